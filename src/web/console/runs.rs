//! All dead letters of one destination tried again, at a bounded rate, while the page goes on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::words::{counted, minute};
use crate::{
    domain::Destination,
    lanes::dead::{pace, replay_many},
    store::{DeadQuery, Store},
    web::called::bare,
};

/// So many are tried again in a second.
const RATE: u32 = 10;
/// So many destinations are remembered; of those that are done the first is forgotten.
const RUNS_MAX: usize = 20;

/// Those under way, and how those before ended.
#[derive(Default)]
pub(super) struct Runs {
    runs: Mutex<BTreeMap<Destination, Run>>,
}

/// One destination's.
#[derive(Debug, Clone)]
struct Run {
    by: String,
    since: Timestamp,
    /// How many there were when it began.
    all: u64,
    replayed: u64,
    refused: u64,
    /// Why it is over, where it is.
    over: Option<Over>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Done,
    Stopped,
}

/// Why none was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotBegun {
    /// One is under way there.
    UnderWay,
    /// Too many are.
    TooMany,
}

impl Runs {
    fn runs(&self) -> MutexGuard<'_, BTreeMap<Destination, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one; `by` is who, as the journal has it.
    pub(super) fn begin(
        self: &Arc<Self>,
        store: Arc<dyn Store>,
        of: Destination,
        all: u64,
        by: String,
        stop: CancellationToken,
    ) -> Result<(), NotBegun> {
        self.note_begun(&of, all, &by, store.now())?;
        let runs = Arc::clone(self);
        tokio::spawn(async move {
            let query = DeadQuery { to: Some(of.to.clone()), side: Some(of.side), ..DeadQuery::default() };
            let told = |_: &_, result: &Result<(), _>| runs.count(&of, result.is_ok());
            let ended = replay_many(&*store, &query, &by, &mut pace(RATE), &stop, told).await;
            if let Err(error) = &ended {
                tracing::warn!(endpoint = %of, %error, "not all dead letters could be tried again; begin anew");
            }
            runs.end(&of, if ended.is_ok() && !stop.is_cancelled() { Over::Done } else { Over::Stopped });
        });
        Ok(())
    }

    fn note_begun(&self, of: &Destination, all: u64, by: &str, since: Timestamp) -> Result<(), NotBegun> {
        let mut runs = self.runs();
        if runs.get(of).is_some_and(|run| run.over.is_none()) {
            return Err(NotBegun::UnderWay);
        }
        runs.remove(of);
        if runs.len() >= RUNS_MAX {
            let done = runs.iter().filter(|(_, run)| run.over.is_some()).min_by_key(|(_, run)| run.since);
            let Some(done) = done.map(|(of, _)| of.clone()) else { return Err(NotBegun::TooMany) };
            runs.remove(&done);
        }
        let run = Run { by: by.to_owned(), since, all, replayed: 0, refused: 0, over: None };
        runs.insert(of.clone(), run);
        Ok(())
    }

    fn count(&self, of: &Destination, replayed: bool) {
        if let Some(run) = self.runs().get_mut(of) {
            if replayed { run.replayed += 1 } else { run.refused += 1 }
        }
    }

    fn end(&self, of: &Destination, over: Over) {
        if let Some(run) = self.runs().get_mut(of) {
            run.over = Some(over);
        }
    }

    /// How it is with each, in a sentence, the newest first.
    pub(super) fn told(&self) -> Vec<String> {
        let mut all: Vec<(Destination, Run)> = self.runs().iter().map(|(of, run)| (of.clone(), run.clone())).collect();
        all.sort_by_key(|(of, run)| (std::cmp::Reverse(run.since), of.clone()));
        all.iter().map(|(of, run)| run.told(of)).collect()
    }
}

impl Run {
    fn told(&self, of: &Destination) -> String {
        let Self { by, since, all, replayed, refused, over } = self;
        let refused = if *refused == 0 { String::new() } else { format!(", {refused} cannot be any more") };
        let end = match over {
            None => "it goes on",
            Some(Over::Done) => "done",
            Some(Over::Stopped) => "it was broken off; begin anew for those that are left",
        };
        let all = counted(*all, "dead letter");
        format!("{of}: {replayed} of {all} tried again{refused}, begun {} by {}; {end}.", minute(*since), bare(by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Side;

    fn of(n: usize) -> Destination {
        Destination::new(Side::Delivery, format!("inbox-{n}"))
    }

    fn at(second: usize) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + i64::try_from(second).unwrap()).unwrap()
    }

    #[test]
    fn one_at_a_time_for_a_destination_and_no_more_than_are_remembered() {
        let runs = Runs::default();
        for n in 0..RUNS_MAX {
            assert_eq!(runs.note_begun(&of(n), 3, "local:olive", at(n)), Ok(()));
        }
        assert_eq!(runs.note_begun(&of(0), 3, "local:olive", at(50)), Err(NotBegun::UnderWay));
        assert_eq!(runs.note_begun(&of(99), 3, "local:olive", at(50)), Err(NotBegun::TooMany));
        runs.end(&of(7), Over::Done);
        assert_eq!(runs.note_begun(&of(99), 3, "local:olive", at(50)), Ok(()), "one that is done is forgotten");
        assert_eq!(runs.told().len(), RUNS_MAX);
        assert!(!runs.told().iter().any(|told| told.starts_with("inbox.inbox-7:")), "{:?}", runs.told());
        assert!(runs.told()[0].starts_with("inbox.inbox-99:"), "the newest first");
        runs.end(&of(0), Over::Stopped);
        assert_eq!(runs.note_begun(&of(0), 2, "local:olive", at(60)), Ok(()), "one that is over is begun anew");
    }

    #[test]
    fn how_far_it_is_is_told() {
        let runs = Runs::default();
        runs.note_begun(&of(1), 3, "local:olive", "2026-03-02T09:00:00Z".parse().unwrap()).unwrap();
        runs.count(&of(1), true);
        runs.count(&of(1), false);
        let begun = "begun 2 March 2026, 9am by olive";
        let told =
            format!("inbox.inbox-1: 1 of 3 dead letters tried again, 1 cannot be any more, {begun}; it goes on.");
        assert_eq!(runs.told(), [told]);
        runs.end(&of(1), Over::Stopped);
        assert!(runs.told()[0].ends_with("begin anew for those that are left."), "{:?}", runs.told());
    }
}
