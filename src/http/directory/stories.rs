//! `/directory/stories`: practice stories are taken out of a service and of all that was ever kept of it. JSON, not FHIR.

use axum::{
    body::Body,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Writer,
    proposals::{Answer, answer, is_json, read_body},
    writer,
};
use crate::{
    directory::{self, TakenOut, WriteError},
    fhir::{Issue, IssueCode},
    http::{Shared, call::Caller, reply::Fault},
    store::DirectoryError,
};

/// `POST /directory/stories/{id}/take-out` of a HealthcareService: all its stories, or with `{"story": 0}` the first of those that it
/// tells now, with every earlier wording.
pub(in super::super) async fn take_out(
    State(app): State<Shared>,
    Path(id): Path<String>,
    caller: Caller,
    body: Body,
) -> Answer {
    let Writer::Steward(steward) = writer(&caller)? else {
        return Err(Fault::forbidden(
            "only a steward of the directory takes a story out; propose the service without it",
        ));
    };
    let id: Uuid = id.parse().map_err(|_| Fault::not_found())?;
    let body = read_body(body).await?;
    if !body.is_empty() {
        is_json(&caller)?;
    }
    let by = directory::signed(&steward);
    let taken = app.directory.take_out(id, which(&body)?, &by).await.map_err(|error| match error {
        WriteError::Directory(DirectoryError::Moved { .. }) => {
            let told = "the service was changed meanwhile, and nothing was taken out: ask again";
            Fault::new(StatusCode::CONFLICT, Issue::error(IssueCode::Conflict, "HealthcareService", told))
        }
        other => other.into(),
    })?;
    let TakenOut { entry, versions, proposals } = taken;
    tracing::info!(entry.id = %entry.id, version = entry.version, "practice stories were taken out of a service");
    Ok(answer(&json!({
        "entry": format!("{}/{}", entry.kind, entry.id),
        "version": entry.version,
        "rewritten": {"versions": versions, "proposals": proposals},
    })))
}

/// Which story is meant; none where all are.
fn which(body: &[u8]) -> Result<Option<usize>, Fault> {
    if body.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let told = "say which of the stories that it tells now, counted from 0: {\"story\": 0}; or {} for all of them";
        Fault::invalid(vec![Issue::error(IssueCode::Value, "story", told)])
    };
    let Ok(Value::Object(said)) = serde_json::from_slice::<Value>(body) else { return Err(wrong()) };
    if said.keys().any(|key| key != "story") {
        return Err(wrong());
    }
    match said.get("story") {
        None => Ok(None),
        Some(at) => at.as_u64().and_then(|at| usize::try_from(at).ok()).map(Some).ok_or_else(wrong),
    }
}
