//! How domain values lie in columns, and what PostgreSQL's errors mean.

use std::{str::FromStr, time::Duration};

use jiff::Timestamp;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::{
    domain::{
        ReferralId, Side, TaskId, TransportStatus,
        clock::from_micros,
        deadline::{Deadlines, RouteTerms},
        task::TaskState,
    },
    store::{StoreError, StoredResource, TaskRecord},
};

/// What PostgreSQL says, before it what to do where that is known. Only its code and main sentence: the detail may repeat what was
/// stored.
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    let Some(db) = error.as_db_error() else { return format!("PostgreSQL: {error}") };
    let code = db.code().code();
    let what = match code {
        "25006" => "the store can only be read: see that the URL leads to a server that takes writes, and that it may",
        "53100" => "the disk of the store is full: make room on it",
        "53200" => "the server of the store has no memory left: see what uses it",
        "53300" => {
            "the server of the store takes no more connections: raise its max_connections, or end what holds them"
        }
        "57014" | "55P03" => "the server of the store takes too long: see what holds it up",
        "57P01" | "57P02" | "57P03" => "the server of the store is starting or ending: wait for it",
        "42P01" | "42703" => "the store's tables are not as they were made: see who changed them",
        _ if code.starts_with("28") => {
            "the server of the store refuses the user or the password: see [store] in the configuration"
        }
        _ if code.starts_with("3D") => "the database of the store is not there: make it, or see [store] url",
        _ => return format!("PostgreSQL: {} ({code})", db.message()),
    };
    format!("{what} (PostgreSQL: {}, {code})", db.message())
}

/// A column that is not what was written there.
pub(super) fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

/// A column.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(corrupt)
}

/// A column of a whole number that is never negative.
pub(super) fn number(row: &Row, column: &str) -> Result<u64, StoreError> {
    u64::try_from(get::<i64>(row, column)?).map_err(corrupt)
}

/// The same, of 32 bits.
pub(super) fn count(row: &Row, column: &str) -> Result<u32, StoreError> {
    u32::try_from(get::<i32>(row, column)?).map_err(corrupt)
}

/// A text column as one of our types.
pub(super) fn parse<T>(row: &Row, column: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    get::<&str>(row, column)?.parse().map_err(|e: T::Err| corrupt(e))
}

/// A JSON text column as one of our types.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<T, StoreError> {
    serde_json::from_str(get(row, column)?).map_err(corrupt)
}

/// A column of microseconds as a moment.
pub(super) fn moment(row: &Row, column: &str) -> Result<Timestamp, StoreError> {
    get::<i64>(row, column).map(from_micros)
}

/// The same, where there may be none.
fn moment_if(row: &Row, column: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Option<i64>>(row, column)?.map(from_micros))
}

/// 32 bytes.
pub(super) fn bytes32(row: &Row, column: &str) -> Result<[u8; 32], StoreError> {
    get::<&[u8]>(row, column)?.try_into().map_err(corrupt)
}

/// A moment as microseconds.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A moment `later` than another, as microseconds.
pub(super) fn micros_after(at: Timestamp, later: Duration) -> i64 {
    micros(at).saturating_add(duration_micros(later))
}

/// A span as microseconds.
pub(super) fn duration_micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX >> 8)
}

/// A count as PostgreSQL counts.
pub(super) fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A limit as PostgreSQL takes it.
pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How a side lies in a column.
pub(super) fn side_code(side: Side) -> i16 {
    match side {
        Side::Delivery => 0,
        Side::WriteBack => 1,
    }
}

/// A column of [`side_code`].
pub(super) fn side(row: &Row, column: &str) -> Result<Side, StoreError> {
    match get::<i16>(row, column)? {
        0 => Ok(Side::Delivery),
        1 => Ok(Side::WriteBack),
        other => Err(corrupt(format!("a lane's side {other}"))),
    }
}

/// PostgreSQL's text knows no NUL. Only for texts that are shown and never compared.
pub(super) fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// The columns [`task_record`] reads, of `task t`.
pub(super) const TASK_COLUMNS: &str = "t.id AS task_id, t.referral, t.part_of, t.terms, t.request, t.system, t.inbox, t.provider, t.route_set, t.identifier, \
     t.origin, t.status, t.cancel_requested, t.transport, t.sent, t.information_requested, t.deliver_by, t.open_by, t.answer_by, t.seen_to, t.seq, t.version, t.answered, t.created, t.last_updated, t.beside";

/// A Task from [`TASK_COLUMNS`].
pub(super) fn task_record(row: &Row) -> Result<TaskRecord, StoreError> {
    let transport: Option<&str> = get(row, "transport")?;
    Ok(TaskRecord {
        id: TaskId(get(row, "task_id")?),
        referral: ReferralId(get(row, "referral")?),
        system: parse(row, "system")?,
        request: get(row, "request")?,
        origin: get(row, "origin")?,
        identifier: get(row, "identifier")?,
        route_set: get(row, "route_set")?,
        inbox: parse(row, "inbox")?,
        provider: parse(row, "provider")?,
        part_of: get::<Option<Uuid>>(row, "part_of")?.map(TaskId),
        terms: RouteTerms::of_text(get(row, "terms")?).map_err(corrupt)?,
        beside: get::<Option<Uuid>>(row, "beside")?.map(TaskId),
        state: TaskState {
            status: parse(row, "status")?,
            cancel_requested: get(row, "cancel_requested")?,
            transport: transport.and_then(|t| t.parse::<TransportStatus>().ok()),
            sent: get(row, "sent")?,
            information_requested: get(row, "information_requested")?,
            deadlines: Deadlines {
                deliver_by: moment_if(row, "deliver_by")?,
                open_by: moment_if(row, "open_by")?,
                answer_by: moment_if(row, "answer_by")?,
            },
            seen_to: get(row, "seen_to")?,
        },
        seq: number(row, "seq")?,
        version: number(row, "version")?,
        answered: number(row, "answered")?,
        created: moment(row, "created")?,
        last_updated: moment(row, "last_updated")?,
    })
}

/// The columns [`stored_resource`] reads, of `resource s`.
pub(super) const RESOURCE_COLUMNS: &str = "s.kind, s.id AS resource_id, s.version AS resource_version, s.referral AS resource_referral, \
     s.last_updated AS resource_updated, s.origin AS resource_origin, s.task AS resource_task, s.later, s.body";

/// A resource from [`RESOURCE_COLUMNS`].
pub(super) fn stored_resource(row: &Row) -> Result<StoredResource, StoreError> {
    Ok(StoredResource {
        kind: get(row, "kind")?,
        id: get::<Uuid>(row, "resource_id")?,
        version: number(row, "resource_version")?,
        last_updated: moment(row, "resource_updated")?,
        referral: ReferralId(get(row, "resource_referral")?),
        origin: get(row, "resource_origin")?,
        task: get::<Option<Uuid>>(row, "resource_task")?.map(TaskId),
        later: get(row, "later")?,
        body: get(row, "body")?,
    })
}

/// All rows through one reader.
pub(super) fn all<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
    rows.iter().map(read).collect()
}
