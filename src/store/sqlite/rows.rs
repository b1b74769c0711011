//! How domain values lie in columns.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{Row, types::Type};
use uuid::Uuid;

use crate::{
    domain::{
        ReferralId, TaskId, TransportStatus,
        clock::from_micros,
        deadline::{Deadlines, RouteTerms},
        task::TaskState,
    },
    store::{StoreError, StoredResource, TaskRecord},
};

/// What SQLite says, as the port says it.
pub(super) fn store_error(error: rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => StoreError::Corrupt(error.to_string()),
        other => StoreError::Unavailable(told(&other)),
    }
}

/// What SQLite refuses in words that say what to do; what it names otherwise means little to who must mend it.
fn told(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode as Code;
    let what = match error.sqlite_error_code() {
        Some(Code::DiskFull) => "the disk of the store is full: make room on it",
        Some(Code::ReadOnly) => {
            "the store can only be read: see that its file and folder may be written to and were not moved"
        }
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => "another program holds the store: wait for it, or end it",
        Some(Code::SystemIoFailure) => "the disk of the store fails, or has a limit: see what the system says of it",
        Some(Code::CannotOpen) => {
            "the store's files cannot be opened: see that their folder is there and may be written to"
        }
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
            "the store's file is damaged: stop, and restore it from a backup"
        }
        _ => return error.to_string(),
    };
    format!("{what} ({error})")
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        store_error(error)
    }
}

impl From<rusqlite::Error> for crate::store::ActivateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(store_error(error))
    }
}

impl From<rusqlite::Error> for crate::store::DirectoryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(store_error(error))
    }
}

impl From<rusqlite::Error> for crate::store::AppendError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(store_error(error))
    }
}

/// A text column as one of our types.
pub(super) fn parse<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let index = row.as_ref().column_index(column)?;
    let text: String = row.get(index)?;
    text.parse().map_err(|e: T::Err| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(e)))
}

/// A JSON text column as one of our types.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let index = row.as_ref().column_index(column)?;
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(e)))
}

/// A 16-byte column as a UUID.
pub(super) fn uuid(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid> {
    let index = row.as_ref().column_index(column)?;
    row.get::<_, [u8; 16]>(index).map(Uuid::from_bytes)
}

/// The same, where there may be none.
fn uuid_if(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
}

fn terms(row: &Row<'_>) -> rusqlite::Result<RouteTerms> {
    let index = row.as_ref().column_index("terms")?;
    let text: Option<String> = row.get(index)?;
    RouteTerms::of_text(text.as_deref())
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(e)))
}

/// A column of microseconds as a moment.
pub(super) fn moment(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get::<_, i64>(column).map(from_micros)
}

/// The same, where there may be none.
fn moment_if(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(from_micros))
}

/// A moment as microseconds.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A moment `later` than another, as microseconds.
pub(super) fn micros_after(at: Timestamp, later: std::time::Duration) -> i64 {
    at.as_microsecond().saturating_add(i64::try_from(later.as_micros()).unwrap_or(i64::MAX))
}

/// The columns [`task_record`] reads, of `task t JOIN referral r ON r.id = t.referral`.
pub(super) const TASK_COLUMNS: &str = "t.id AS task_id, t.referral, t.part_of, t.terms, t.system, t.inbox, t.provider, t.status, \
     t.cancel_requested, t.transport, t.sent, t.information_requested, t.deliver_by, t.open_by, t.answer_by, t.seen_to, t.seq, \
     t.beside, t.version, t.answered, t.created, t.last_updated, \
     r.request, r.origin, r.identifier, r.route_set";
/// Where they come from.
pub(super) const TASK_SOURCE: &str = "task t JOIN referral r ON r.id = t.referral";

/// A Task from [`TASK_COLUMNS`].
pub(super) fn task_record(row: &Row<'_>) -> rusqlite::Result<TaskRecord> {
    let transport: Option<String> = row.get("transport")?;
    Ok(TaskRecord {
        id: TaskId(uuid(row, "task_id")?),
        referral: ReferralId(uuid(row, "referral")?),
        system: parse(row, "system")?,
        request: uuid(row, "request")?,
        origin: row.get("origin")?,
        identifier: row.get("identifier")?,
        route_set: row.get("route_set")?,
        inbox: parse(row, "inbox")?,
        provider: parse(row, "provider")?,
        part_of: uuid_if(row, "part_of")?.map(TaskId),
        terms: terms(row)?,
        beside: uuid_if(row, "beside")?.map(TaskId),
        state: TaskState {
            status: parse(row, "status")?,
            cancel_requested: row.get("cancel_requested")?,
            transport: transport.and_then(|t| t.parse::<TransportStatus>().ok()),
            sent: row.get("sent")?,
            information_requested: row.get("information_requested")?,
            deadlines: Deadlines {
                deliver_by: moment_if(row, "deliver_by")?,
                open_by: moment_if(row, "open_by")?,
                answer_by: moment_if(row, "answer_by")?,
            },
            seen_to: row.get("seen_to")?,
        },
        seq: row.get("seq")?,
        version: row.get("version")?,
        answered: row.get("answered")?,
        created: moment(row, "created")?,
        last_updated: moment(row, "last_updated")?,
    })
}

/// The columns [`stored_resource`] reads, of `resource s`.
pub(super) const RESOURCE_COLUMNS: &str = "s.kind, s.id AS resource_id, s.version AS resource_version, s.referral AS resource_referral, \
     s.last_updated AS resource_updated, s.origin AS resource_origin, s.task AS resource_task, s.later, s.body";

/// A resource from [`RESOURCE_COLUMNS`].
pub(super) fn stored_resource(row: &Row<'_>) -> rusqlite::Result<StoredResource> {
    Ok(StoredResource {
        kind: row.get("kind")?,
        id: uuid(row, "resource_id")?,
        version: row.get("resource_version")?,
        last_updated: moment(row, "resource_updated")?,
        referral: ReferralId(uuid(row, "resource_referral")?),
        origin: row.get("resource_origin")?,
        task: uuid_if(row, "resource_task")?.map(TaskId),
        later: row.get("later")?,
        body: row.get("body")?,
    })
}
