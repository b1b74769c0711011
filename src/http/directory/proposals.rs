//! `/directory/proposals`: what providers propose, seen by themselves and by stewards, and decided by stewards. JSON, not FHIR; what is
//! wrong is said by an OperationOutcome as everywhere.

use axum::{
    body::Body,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::story_checked;
use crate::{
    auth::directory::{Sees, decider, is_proposer, sees, sees_names},
    directory::{
        self, Proposed, authors,
        told::{in_short, whole},
    },
    domain::{ProposalStatus, StewardId},
    fhir::{Issue, IssueCode},
    http::{Shared, call::Caller, reply::Fault},
    store::ProposalQuery,
};

/// So many on a page where nothing is said.
const COUNT_DEFAULT: usize = 50;
/// No page has more.
const COUNT_MAX: usize = 200;
/// Bytes of what is said with a decision.
const BODY_MAX_BYTES: usize = 16_384;
/// Letters of a reason.
const REASON_MAX_CHARS: usize = 2_000;

pub(super) type Answer = Result<Response, Fault>;

pub(super) fn answer(body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from(body.to_string())).into_response()
}

fn wrong(name: &str, told: impl Into<String>) -> Fault {
    Fault::invalid(vec![Issue::error(IssueCode::Value, format!("http.{name}"), told)])
}

/// `GET /directory/proposals?status=…`: a provider's own, or all for a steward.
pub(in super::super) async fn list(State(app): State<Shared>, caller: Caller) -> Answer {
    let provider = match sees(&caller.clients) {
        Some(Sees::All) => None,
        Some(Sees::Of(id)) => Some(id),
        None => {
            let told =
                "providers see what they propose for the directory, and stewards all of it; this token is of neither";
            return Err(Fault::forbidden(told));
        }
    };
    let mut query = ProposalQuery { provider, count: COUNT_DEFAULT, ..ProposalQuery::default() };
    for (name, value) in &caller.query {
        match name.as_str() {
            "status" => query.status = Some(value.parse().map_err(|error| wrong(name, format!("{error}")))?),
            "after" => query.after = Some(value.parse().map_err(|_| wrong(name, "use the id of a proposal"))?),
            "count" => {
                let count: usize = value.parse().map_err(|_| wrong(name, "use a whole number"))?;
                query.count = count.clamp(1, COUNT_MAX);
            }
            _ => return Err(wrong("query", "this list knows status, after and count")),
        }
    }
    let count = query.count;
    let mut found = app.store.proposals(ProposalQuery { count: count + 1, ..query }).await?;
    let more = found.len() > count;
    found.truncate(count);
    let who = who(&app, &caller);
    let mut body = json!({"proposals": found.iter().map(|one| in_short(one, &who)).collect::<Vec<_>>()});
    if let Some(last) = found.last().filter(|_| more) {
        body["next"] = last.new.id.to_string().into();
    }
    Ok(answer(&body))
}

/// A proposal that this caller may see. Another provider's looks as if it were not there.
async fn visible(app: &Shared, caller: &Caller, id: &str) -> Result<Proposed, Fault> {
    let sees = sees(&caller.clients).ok_or_else(Fault::not_found)?;
    let id: Uuid = id.parse().map_err(|_| Fault::not_found())?;
    let proposed = app.directory.proposed(id).await?;
    match sees {
        Sees::Of(own) if own != proposed.proposal.new.provider => Err(Fault::not_found()),
        _ => Ok(proposed),
    }
}

/// `GET /directory/proposals/{id}`
pub(in super::super) async fn read(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let proposed = visible(&app, &caller, &id).await?;
    Ok(answer(&whole(&proposed, &who(&app, &caller))))
}

/// As whom this caller sees those who decide: as a Provenance has it.
fn who(app: &Shared, caller: &Caller) -> impl Fn(&str) -> String + use<> {
    let (registry, signed) = (app.registry.load_full(), sees_names(&caller.clients));
    move |by| authors::author(by, &registry, signed)
}

/// A proposal that this caller sees, and as whom it decides.
async fn decided(app: &Shared, caller: &Caller, id: &str) -> Result<(StewardId, Proposed), Fault> {
    let proposed = visible(app, caller, id).await?;
    let only = || Fault::forbidden("only a steward of the directory decides what is proposed");
    Ok((decider(&caller.clients).ok_or_else(only)?, proposed))
}

/// `POST /directory/proposals/{id}/approve`, `story-checked: true` where a story is new.
pub(in super::super) async fn approve(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let (steward, proposed) = decided(&app, &caller, &id).await?;
    let id = proposed.proposal.new.id;
    let by = directory::signed(&steward);
    let approved = app.directory.approve(id, &by, story_checked(&caller)).await;
    let (proposal, entry) = approved.map_err(again)?;
    tracing::info!(proposal.id = %id, entry.kind = %entry.kind, entry.id = %entry.id, "a proposal was approved");
    let mut told = in_short(&proposal, &who(&app, &caller));
    told["location"] = format!("{}/fhir/{}/{}/_history/{}", app.base_url, entry.kind, entry.id, entry.version).into();
    Ok(answer(&told))
}

/// What was made on another version is made anew.
fn again(error: directory::WriteError) -> Fault {
    use crate::store::DirectoryError;
    match error {
        directory::WriteError::Directory(DirectoryError::Moved { kind, .. }) => {
            let told = "the entry was changed after this was proposed: the provider reads it again and proposes again";
            Fault::new(StatusCode::CONFLICT, Issue::error(IssueCode::Conflict, format!("{kind}.meta.versionId"), told))
        }
        other => other.into(),
    }
}

/// `POST /directory/proposals/{id}/decline` with `{"reason": "…"}`.
pub(in super::super) async fn decline(
    State(app): State<Shared>,
    Path(id): Path<String>,
    caller: Caller,
    body: Body,
) -> Answer {
    is_json(&caller)?;
    let (steward, proposed) = decided(&app, &caller, &id).await?;
    let reason = reason(&read_body(body).await?)?;
    let id = proposed.proposal.new.id;
    let by = directory::signed(&steward);
    let proposal = app.directory.close(id, ProposalStatus::Declined, &by, Some(reason)).await?;
    Ok(answer(&in_short(&proposal, &who(&app, &caller))))
}

/// `POST /directory/proposals/{id}/withdraw`: its provider takes it back.
pub(in super::super) async fn withdraw(State(app): State<Shared>, Path(id): Path<String>, caller: Caller) -> Answer {
    let proposed = visible(&app, &caller, &id).await?;
    let own = &proposed.proposal.new.provider;
    if !is_proposer(&caller.clients, own) {
        return Err(Fault::forbidden("only the provider that proposed it takes it back; a steward declines it"));
    }
    let by = format!("provider {own}");
    let proposal = app.directory.close(proposed.proposal.new.id, ProposalStatus::Withdrawn, &by, None).await?;
    Ok(answer(&in_short(&proposal, &who(&app, &caller))))
}

pub(super) fn is_json(caller: &Caller) -> Result<(), Fault> {
    let said = caller.header(&header::CONTENT_TYPE).unwrap_or_default();
    if said.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let told = "a decision is said as application/json";
    let issue = Issue::error(IssueCode::NotSupported, "http.Content-Type", told);
    Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue))
}

pub(super) async fn read_body(body: Body) -> Result<Bytes, Fault> {
    let read = http_body_util::Limited::new(body, BODY_MAX_BYTES).collect().await;
    let too_long = |_| {
        let told = format!("what is said with a decision has at most {BODY_MAX_BYTES} bytes");
        Fault::new(StatusCode::PAYLOAD_TOO_LARGE, Issue::error(IssueCode::TooLong, "%resource", told))
    };
    Ok(read.map_err(too_long)?.to_bytes())
}

fn reason(body: &[u8]) -> Result<String, Fault> {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let reason = said.as_ref().and_then(|said| said.get("reason")?.as_str()).map(str::trim).unwrap_or_default();
    let is_line = !reason.chars().any(char::is_control);
    if reason.is_empty() || !is_line || reason.chars().count() > REASON_MAX_CHARS {
        let told = format!(
            "say why in one line, so that the provider can propose better: {{\"reason\": \"…\"}}, {REASON_MAX_CHARS} letters at most"
        );
        return Err(Fault::invalid(vec![Issue::error(IssueCode::Required, "reason", told)]));
    }
    Ok(reason.to_owned())
}
