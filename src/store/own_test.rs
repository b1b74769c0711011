//! Whose a test is: Onward's own (`onboarding`), or a sender's.

use super::{Store, StoreError};
use crate::domain::TaskId;

/// Whether a Task is of a test of Onward's own, whose failure is told by the test: it leaves no dead letter, and no alert calls anybody. So says the
/// first line of its journal, which nobody else writes; what the referral says of itself is its sender's word.
///
/// # Errors
/// [`StoreError`] where its journal cannot be read.
pub async fn is_own_test(store: &dyn Store, task: TaskId) -> Result<bool, StoreError> {
    Ok(store.journal(task).await?.first().is_some_and(|line| line.event.begins_own_test()))
}
