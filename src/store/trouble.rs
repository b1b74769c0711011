//! What went wrong and waits for somebody: dead letters, alerts, Tasks in trouble.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{StoreError, TaskRecord};
use crate::domain::{Alert, AlertKind, Side, TaskId};

/// A dead letter.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The outbox row.
    pub message: Uuid,
    /// Its Task.
    pub task: TaskId,
    /// Its lane.
    pub side: Side,
    /// The seq of the event it carries.
    pub seq: u64,
    /// The inbox or originating system it was for.
    pub to: String,
    /// Tries made.
    pub attempts: u32,
    /// When the event happened, or when it was replayed last.
    pub since: Timestamp,
    /// Why it died.
    pub why: String,
}

/// Which dead letters. Every condition given must hold.
#[derive(Debug, Clone, Default)]
pub struct DeadQuery {
    /// For this inbox or originating system.
    pub to: Option<String>,
    /// In lanes to this side.
    pub side: Option<Side>,
    /// Only this one.
    pub message: Option<Uuid>,
    /// Of this Task; then in the order of their seq, otherwise oldest first.
    pub task: Option<TaskId>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Not newer than this.
    pub until: Option<Timestamp>,
    /// Whose reason holds these words, in any case of ASCII letters.
    pub why: Option<String>,
    /// Only those after the one with this time and id: the cursor of paging.
    pub after: Option<(Timestamp, Uuid)>,
    /// At most so many.
    pub count: usize,
}

/// An alert as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// What somebody must be told of.
    pub alert: Alert,
    /// Tries to tell it so far.
    pub attempts: u32,
    /// When it was raised.
    pub raised: Timestamp,
}

/// What became of a try to tell an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertSettled {
    /// It was told.
    Told,
    /// It is told from this moment on.
    Later(Timestamp),
    /// It is not told any more.
    GivenUp,
}

/// A Task whose transport status is a trouble that nobody has seen to.
#[derive(Debug, Clone)]
pub struct Troubled {
    /// The Task.
    pub task: TaskRecord,
    /// Since when it has that transport status.
    pub since: Timestamp,
}

/// The part of the port that keeps alerts. Its behaviours are in the same suite (`tests/it/store/trouble.rs`).
#[async_trait]
pub trait AlertStore: Send + Sync + 'static {
    /// Keeps alerts until they are told. A standing one that is open already is not raised again.
    async fn raise(&self, alerts: Vec<Alert>) -> Result<(), StoreError>;

    /// Ends a standing alert; whether one was open.
    async fn end_alert(&self, kind: AlertKind, subject: &str) -> Result<bool, StoreError>;

    /// Alerts that are to be told, oldest first; each is the caller's for `lease`. What was told and is not open is forgotten after a
    /// month.
    async fn claim_alerts(&self, limit: usize, lease: Duration) -> Result<Vec<StoredAlert>, StoreError>;

    /// What became of a try to tell an alert.
    async fn settle_alert(&self, id: Uuid, settled: AlertSettled) -> Result<(), StoreError>;

    /// Standing alerts that are open, oldest first.
    async fn open_alerts(&self, limit: usize) -> Result<Vec<Alert>, StoreError>;
}
