//! Dead letters in the hands of a person: tried again, one or many at a bounded rate, or put away.

use std::{collections::HashSet, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{Actor, Event, Side, TransportStatus, task::TaskState},
    store::{Append, AppendError, DeadLetter, DeadQuery, NewEvent, Store, StoreError, TaskRecord},
};

/// Why a dead letter is not tried again, or not put away.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The Task has ended, so there is nothing left to deliver.
    #[error("the Task has ended; its referral is not delivered any more")]
    Closed,
    /// Someone else has replayed it, or it is gone.
    #[error("it is not a dead letter any more")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// No reason is longer.
pub const REASON_CHARS_MAX: usize = 500;
const MOVED_MAX: usize = 20;
/// So many are read at once.
const PAGE: usize = 200;
/// Of one lane, at most so many are replayed in one go.
const LANE_MAX: usize = 10_000;

/// A reason as it goes into the journal: one line.
///
/// # Errors
/// What is allowed, in words.
pub fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > REASON_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(format!("a text of 1 to {REASON_CHARS_MAX} characters in one line"));
    }
    Ok(text.to_owned())
}

/// Has a dead letter tried again; running services take it up. Journalled under the operator's name.
///
/// A delivery for a Task that has ended is refused, unless it tells the provider of that end. A write-back is not: that a Task has
/// ended is what its record must learn; if a later status is there already, this one is not sent.
///
/// # Errors
/// [`ReplayError`]
pub async fn replay(store: &dyn Store, letter: &DeadLetter, operator: &str) -> Result<(), ReplayError> {
    // what stands in the journal stays so, whatever comes in between
    let tells_the_end = letter.side == Side::Delivery && {
        let journal = store.journal(letter.task).await?;
        journal.iter().any(|line| line.seq == letter.seq && line.event.tells_the_end())
    };
    step(store, letter, operator, |task| {
        if letter.side == Side::Delivery && task.state.status.is_terminal() && !tells_the_end {
            return Err(ReplayError::Closed);
        }
        let event = Event::Replayed { side: letter.side, of: letter.seq };
        Ok((event, Append { rearm: Some(letter.message), ..Append::to(task) }))
    })
    .await
}

/// Puts a dead letter away: it is never sent, and no more listed. Journalled with the operator and the reason; the record keeps
/// `undeliverable`.
///
/// # Errors
/// [`ReplayError`]
pub async fn discard(store: &dyn Store, letter: &DeadLetter, operator: &str, reason: &str) -> Result<(), ReplayError> {
    step(store, letter, operator, |task| {
        let event = Event::Discarded { side: letter.side, of: letter.seq, reason: reason.to_owned() };
        let seen_to = task.state.seen_to || task.state.transport == Some(TransportStatus::Undeliverable);
        let state = TaskState { seen_to, ..task.state };
        Ok((event, Append { discard: Some(letter.message), state, ..Append::to(task) }))
    })
    .await
}

/// Stores what an operator does to a dead letter, decided anew where something came in between.
async fn step(
    store: &dyn Store,
    letter: &DeadLetter,
    operator: &str,
    decide: impl Fn(&TaskRecord) -> Result<(Event, Append), ReplayError>,
) -> Result<(), ReplayError> {
    for _ in 0..MOVED_MAX {
        let task = store.task(letter.task).await?.ok_or(ReplayError::Gone)?;
        let (event, append) = decide(&task)?;
        let new = NewEvent { event, actor: Actor::Operator(operator.to_owned()), body: None, lanes: vec![] };
        match store.append(Append { events: vec![new], ..append }).await {
            Ok(_) => return Ok(()),
            Err(AppendError::Moved | AppendError::LeaseLost) if still_dead(store, letter.message).await? => {}
            Err(AppendError::Moved | AppendError::LeaseLost) => return Err(ReplayError::Gone),
            Err(AppendError::Store(error)) => return Err(error.into()),
        }
    }
    Err(ReplayError::Gone)
}

async fn still_dead(store: &dyn Store, message: Uuid) -> Result<bool, StoreError> {
    Ok(store.dead_letter(message).await?.is_some())
}

/// Ticks so often a second, and never faster to make up for what was late.
pub fn pace(rate: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / rate.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// Replays every dead letter that is as wished and was one when this began, oldest first but each lane in its order, one at each
/// tick. `told` hears what became of each. Ends early, between two, when `stop` is; called again, it goes on with what is
/// left, because what was replayed is no dead letter any more.
///
/// # Errors
/// [`StoreError`]
pub async fn replay_many(
    store: &dyn Store,
    query: &DeadQuery,
    operator: &str,
    pace: &mut Interval,
    stop: &CancellationToken,
    mut told: impl FnMut(&DeadLetter, &Result<(), ReplayError>),
) -> Result<(), StoreError> {
    // one that is replayed and dies again while this goes on is younger, and not taken twice
    let began = store.now();
    let until = Some(query.until.map_or(began, |until| until.min(began)));
    let mut lanes = HashSet::new();
    let mut after = query.after;
    loop {
        let page = store.find_dead(DeadQuery { until, after, count: PAGE, ..query.clone() }).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some((last.since, last.message));
        for letter in &page {
            if !lanes.insert((letter.task, letter.side)) {
                continue;
            }
            // what stands earlier in a lane may be younger here, where it was replayed before
            let (task, side) = (Some(letter.task), Some(letter.side));
            let lane = DeadQuery { task, side, until, after: None, count: LANE_MAX, ..query.clone() };
            for letter in store.find_dead(lane).await? {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    _ = pace.tick() => {}
                }
                let result = replay(store, &letter, operator).await;
                told(&letter, &result);
                if let Err(ReplayError::Store(error)) = result {
                    return Err(error);
                }
            }
        }
    }
}
