//! `onward dead`

use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ConfigFile, Ended, Finding, operator, print_json};
use crate::{
    domain::clock::instant,
    lanes::dead::replay,
    store::{DeadLetter, Store},
};

#[derive(Subcommand, Debug)]
pub(super) enum Dead {
    /// Lists them, oldest first.
    List {
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Shows one with every try.
    Show {
        /// Message id, Task id, ServiceRequest id, or `system|value`.
        id: String,
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Has them tried again by the running service.
    Replay {
        /// Message id, Task id, ServiceRequest id, or `system|value`.
        id: String,
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(dead: &Dead) -> Ended {
    match dead {
        Dead::List { file, json, limit } => list(file, *json, *limit).await,
        Dead::Show { id, file, json } => show(file, id, *json).await,
        Dead::Replay { id, file, json } => replay_all(file, id, *json).await,
    }
}

async fn list(file: &ConfigFile, as_json: bool, limit: usize) -> Ended {
    let letters = file.open_store().await?.dead_letters(limit).await?;
    if as_json {
        print_json(&letters.iter().map(line).collect());
        return Ok(());
    }
    for letter in &letters {
        say!("{}", text(letter));
    }
    say!("{} dead letter{}", letters.len(), if letters.len() == 1 { "" } else { "s" });
    Ok(())
}

async fn show(file: &ConfigFile, id: &str, as_json: bool) -> Ended {
    let store = file.open_store().await?;
    let mut shown = Vec::new();
    for letter in letters(&*store, id).await? {
        let attempts = store.attempts(letter.task).await?;
        let tries: Vec<_> = attempts.iter().filter(|a| a.side == letter.side && a.of == letter.seq).collect();
        if as_json {
            let mut shown_one = line(&letter);
            shown_one["tries"] = tries.iter().map(|a| super::referral::attempt_json(a)).collect();
            shown.push(shown_one);
            continue;
        }
        say!("{}", text(&letter));
        for attempt in tries {
            say!("    {}", super::referral::attempt_text(attempt));
        }
    }
    if as_json {
        print_json(&shown.into());
    }
    Ok(())
}

async fn replay_all(file: &ConfigFile, id: &str, as_json: bool) -> Ended {
    let store = file.open_store().await?;
    let operator = operator();
    let mut results = Vec::new();
    let mut refused = 0;
    for letter in letters(&*store, id).await? {
        let result = replay(&*store, &letter, &operator).await;
        refused += usize::from(result.is_err());
        let said = result.map_or_else(|e| e.to_string(), |()| "it is tried again".to_owned());
        if as_json {
            results.push(json!({"message": letter.message.to_string(), "result": said}));
        } else {
            say!("{}: {said}", letter.message);
        }
    }
    store.close().await;
    if as_json {
        print_json(&results.into());
    }
    if refused == 0 { Ok(()) } else { Err(Finding(format!("{refused} not replayed")).into()) }
}

/// The dead letters a person means.
async fn letters(store: &dyn Store, id: &str) -> anyhow::Result<Vec<DeadLetter>> {
    let all = store.dead_letters(usize::MAX).await?;
    let message = id.parse::<Uuid>().ok();
    let tasks: Vec<_> = store.find_tasks(id).await?.into_iter().map(|t| t.id).collect();
    let meant: Vec<_> = all.into_iter().filter(|l| Some(l.message) == message || tasks.contains(&l.task)).collect();
    if meant.is_empty() {
        return Err(Finding(format!("no dead letter belongs to “{id}”")).into());
    }
    Ok(meant)
}

fn line(letter: &DeadLetter) -> Value {
    json!({
        "message": letter.message.to_string(),
        "task": letter.task.to_string(),
        "lane": letter.side.code(),
        "seq": letter.seq,
        "to": letter.to,
        "attempts": letter.attempts,
        "since": instant(letter.since),
        "why": letter.why,
    })
}

fn text(letter: &DeadLetter) -> String {
    format!(
        "{}  {}  {} to {}  Task {}  seq {}  {} tries  {}",
        letter.message,
        instant(letter.since),
        letter.side,
        letter.to,
        letter.task,
        letter.seq,
        letter.attempts,
        letter.why
    )
}
