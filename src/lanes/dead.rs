//! Dead letters in the hands of a person.

use uuid::Uuid;

use crate::{
    domain::{Actor, Event, Side},
    store::{Append, AppendError, DeadLetter, NewEvent, Store, StoreError},
};

/// Why a dead letter is not tried again.
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

const MOVED_MAX: usize = 20;

/// Has a dead letter tried again; running services take it up. Journalled under the operator's name.
///
/// A delivery for a Task that has ended is refused, unless it tells the provider of that end. A write-back is not: that a Task has ended is what its record must learn; if
/// a later status is there already, this one is not sent.
///
/// # Errors
/// [`ReplayError`]
pub async fn replay(store: &dyn Store, letter: &DeadLetter, operator: &str) -> Result<(), ReplayError> {
    for _ in 0..MOVED_MAX {
        let task = store.task(letter.task).await?.ok_or(ReplayError::Gone)?;
        if letter.side == Side::Delivery && task.state.status.is_terminal() {
            let journal = store.journal(task.id).await?;
            if !journal.iter().any(|line| line.seq == letter.seq && line.event.tells_the_end()) {
                return Err(ReplayError::Closed);
            }
        }
        let event = Event::Replayed { side: letter.side, of: letter.seq };
        let replayed = NewEvent { event, actor: Actor::Operator(operator.to_owned()), body: None, lanes: vec![] };
        let appended =
            store.append(Append { events: vec![replayed], rearm: Some(letter.message), ..Append::to(&task) }).await;
        match appended {
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
