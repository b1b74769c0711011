//! `onward dead replay`: one, some or all, at a bounded rate, with progress. It may be stopped at any time and called again.

use std::io::{IsTerminal, Write};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::{Ended, Finding, operator};
use crate::{
    lanes::dead::{ReplayError, pace, replay_many},
    store::{DeadLetter, DeadQuery, Store},
};

/// What became of those so far.
struct Progress {
    replayed: u64,
    refused: u64,
    /// How many there are, where that is known.
    all: Option<u64>,
    as_json: bool,
    /// A bar is drawn for a person who watches.
    bar: bool,
}

const BAR_WIDTH: u64 = 30;

impl Progress {
    fn tell(&mut self, letter: &DeadLetter, result: &Result<(), ReplayError>) {
        match result {
            Ok(()) => self.replayed += 1,
            Err(_) => self.refused += 1,
        }
        let said = result.as_ref().map_or_else(ToString::to_string, |()| "it is tried again".to_owned());
        if self.as_json {
            say!(
                "{}",
                json!({"message": letter.message.to_string(), "task": letter.task.to_string(), "seq": letter.seq,
                              "replayed": result.is_ok(), "result": said})
            );
        } else if !self.bar || result.is_err() {
            say!("{}: {said}", letter.message);
        }
        self.draw();
    }

    fn draw(&self) {
        if !self.bar {
            return;
        }
        let done = self.replayed + self.refused;
        let mut error = std::io::stderr().lock();
        let _ = match self.all.filter(|all| *all >= done) {
            Some(all) => {
                let full = (BAR_WIDTH * done).checked_div(all).unwrap_or(BAR_WIDTH);
                let filled = |n: u64, sign: &str| sign.repeat(usize::try_from(n).unwrap_or_default());
                let (full, empty) = (filled(full, "█"), filled(BAR_WIDTH - full, "░"));
                write!(error, "\r{full}{empty} {done} of {all}, {} refused ", self.refused)
            }
            None => write!(error, "\r{done} done, {} refused ", self.refused),
        };
        let _ = error.flush();
    }
}

/// Replays what the queries find.
pub(super) async fn run(
    store: &dyn Store,
    queries: Vec<DeadQuery>,
    all: Option<u64>,
    rate: u32,
    as_json: bool,
) -> Ended {
    let stop = CancellationToken::new();
    let on_interrupt = stop.clone();
    let interrupted = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_interrupt.cancel();
        }
    });
    let bar = std::io::stderr().is_terminal();
    let mut progress = Progress { replayed: 0, refused: 0, all, as_json, bar };
    let operator = operator();
    let mut pace = pace(rate);
    let mut ended = Ok(());
    for query in queries {
        ended = replay_many(store, &query, &operator, &mut pace, &stop, |letter, result| progress.tell(letter, result))
            .await;
        if ended.is_err() || stop.is_cancelled() {
            break;
        }
    }
    interrupted.abort();
    if bar {
        eprintln!();
    }
    let Progress { replayed, refused, .. } = progress;
    if as_json {
        say!("{}", json!({"replayed": replayed, "refused": refused, "stopped": stop.is_cancelled()}));
    } else {
        say!("{replayed} replayed, {refused} refused");
    }
    ended?;
    if stop.is_cancelled() {
        return Err(Finding("stopped; the same command goes on with what is left".to_owned()).into());
    }
    if refused == 0 { Ok(()) } else { Err(Finding(format!("{refused} not replayed")).into()) }
}
