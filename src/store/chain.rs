//! The journal's chain: every line is hashed with the one before, and commits to its detail under a salt, so that detail can be
//! erased and the chain still holds.

use aws_lc_rs::{digest, rand};
use jiff::Timestamp;

use super::{NewEvent, StoreError};
use crate::domain::TaskId;

/// The hash before the first line of a Task.
pub(super) const START: [u8; 32] = [0; 32];

/// One line as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub event: &'static str,
    pub actor: String,
    pub detail: String,
    pub salt: [u8; 16],
    pub commitment: [u8; 32],
    pub hash: [u8; 32],
}

/// The line that follows one with the hash `before`.
pub(super) fn line(
    task: TaskId,
    seq: u64,
    at: Timestamp,
    new: &NewEvent,
    before: &[u8; 32],
) -> Result<Line, StoreError> {
    let unreadable = |e: serde_json::Error| StoreError::Corrupt(e.to_string());
    let detail = serde_json::to_string(&new.event).map_err(unreadable)?;
    let actor = serde_json::to_string(&new.actor).map_err(unreadable)?;
    let mut salt = [0u8; 16];
    rand::fill(&mut salt).map_err(|_| StoreError::Unavailable("no random numbers".into()))?;
    let commitment = sha256(&[&salt, detail.as_bytes()]);
    let event = new.event.name();
    let hash = sha256(&[
        task.0.as_bytes(),
        &seq.to_be_bytes(),
        &at.as_microsecond().to_be_bytes(),
        event.as_bytes(),
        &[0],
        actor.as_bytes(),
        &[0],
        &commitment,
        before,
    ]);
    Ok(Line { event, actor, detail, salt, commitment, hash })
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}
