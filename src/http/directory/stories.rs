//! `/directory/stories`: practice stories are taken out of a service and of all that was ever kept of it. JSON, not FHIR.

use axum::{
    body::Body,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    proposals::{Answer, answer, is_json, read_body},
    writer,
};
use crate::{
    auth::directory::Writer,
    directory::{self, TakenOut, Which, WriteError},
    fhir::{Issue, IssueCode},
    http::{Shared, call::Caller, reply::Fault},
    store::DirectoryError,
};

/// `POST /directory/stories/{id}/take-out` of a HealthcareService: with `{"which": "all"}` all its stories; with `{"which": "earlier"}`
/// those that it does not tell now; with `{"which": 0}` the first of those that it tells now as well. What is taken out does not come
/// back, so nothing is meant where nothing is said.
pub(in super::super) async fn take_out(
    State(app): State<Shared>,
    Path(id): Path<String>,
    caller: Caller,
    body: Body,
) -> Answer {
    is_json(&caller)?;
    let Writer::Steward(steward) = writer(&caller)? else {
        return Err(Fault::forbidden(
            "only a steward of the directory takes a story out; propose the service without it",
        ));
    };
    let id: Uuid = id.parse().map_err(|_| Fault::not_found())?;
    let body = read_body(body).await?;
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

/// Which stories are meant.
fn which(body: &[u8]) -> Result<Which, Fault> {
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(said)) if said.keys().all(|key| key == "which") => said,
        _ => return Err(unclear(IssueCode::Value)),
    };
    match said.get("which") {
        None => Err(unclear(IssueCode::Required)),
        Some(Value::String(word)) if word == "all" => Ok(Which::All),
        Some(Value::String(word)) if word == "earlier" => Ok(Which::Earlier),
        Some(at) => {
            at.as_u64().and_then(|at| usize::try_from(at).ok()).map(Which::At).ok_or_else(|| unclear(IssueCode::Value))
        }
    }
}

fn unclear(code: IssueCode) -> Fault {
    let told = "say which: {\"which\": 0}, the first of those that it tells now; \"earlier\", those that it does not tell now; \"all\"";
    Fault::invalid(vec![Issue::error(code, "which", told)])
}
