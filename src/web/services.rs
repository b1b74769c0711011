//! `/services`: what the directory says of a provider's services that changes from week to week: whether there is room, and how long one
//! waits. It holds at once, signed by whoever says it: whoever refers must read what is so today. What else the directory says is proposed
//! over the API, and a steward approves it.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Shared, Web,
    form::{Seen, Signed},
    frame::{self, Frame, Section},
    inbox::absent,
    page::{self, Fault},
};
use crate::{
    directory::{
        Draft, WriteError, body_of,
        entry::{CAPACITY, WAITING_TIME},
    },
    domain::{EntryKind, ProposalStatus, ProviderId},
    fhir::tree,
    http::call::pairs,
    store::{DirectoryEntry, DirectoryError, Proposal, ProposalQuery, StoreError},
};

/// So many proposals that wait are looked at: as many as may wait.
const PENDING_MAX: usize = 200;
/// So many services of a provider are shown.
const SHOWN_MAX: usize = 100;
/// Nobody is told to wait longer, in weeks.
const WEEKS_MAX: u32 = 520;

/// What a service says of its room, for who refers.
const SAID: [(&str, &str); 3] = [
    ("capacity", "has room"),
    ("waitlist", "has a waiting list"),
    ("no-capacity", "has no room and takes nobody at present"),
];

/// Whether there is room: the code (SDOH Clinical Care 3.0.0, capacity status), and the words.
const ROOM: [(&str, &str); 3] = [
    ("capacity", "We have room"),
    ("waitlist", "We have a waiting list"),
    ("no-capacity", "We have no room and take nobody at present"),
];

/// The page.
#[derive(Template)]
#[template(path = "services.html")]
struct ServicesPage {
    frame: Frame,
    faults: Vec<Fault>,
    done: bool,
    made_for: String,
    services: Vec<Service>,
    room: [(&'static str, &'static str); 3],
}

/// A service.
struct Service {
    id: Uuid,
    version: u64,
    name: String,
    room: String,
    weeks: String,
    /// What the directory says now.
    says: String,
    /// Something else is proposed, and waits for a steward.
    waits: bool,
    /// Whether the visitor may say something else.
    may_change: bool,
}

/// `GET /services`
pub(super) async fn page(State(web): State<Shared>, seen: Seen, RawQuery(query): RawQuery) -> Response {
    let done = pairs(&query.unwrap_or_default()).iter().any(|(name, code)| name == "done" && code == "told");
    shown(&web, &seen, done, vec![], None).await
}

async fn shown(
    web: &Web,
    seen: &Seen,
    done: bool,
    faults: Vec<Fault>,
    typed: Option<(Uuid, String, String)>,
) -> Response {
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let tells: BTreeSet<ProviderId> = frame::proposes(&seen.visitor.positions).cloned().collect();
    let reads: BTreeSet<ProviderId> = frame::providers(&seen.visitor.positions).cloned().collect();
    if tells.is_empty() && reads.is_empty() {
        return absent(seen);
    }
    let mut services = Vec::new();
    for provider in tells.union(&reads) {
        match web.services(provider).await {
            Ok(all) => {
                let may_change = tells.contains(provider);
                services.extend(all.into_iter().map(|service| Service { may_change, ..service }));
            }
            Err(error) => return away(&error),
        }
    }
    if let Some((id, room, weeks)) = typed
        && let Some(service) = services.iter_mut().find(|service| service.id == id)
    {
        (service.room, service.weeks) = (room, weeks);
    }
    let (frame, made_for) = (Frame::of(seen, Section::Services), seen.made_for.clone());
    page::shown(status, &ServicesPage { frame, faults, done, made_for, services, room: ROOM })
}

fn away(error: &StoreError) -> Response {
    tracing::warn!(%error, "the directory cannot be read");
    page::unavailable()
}

/// `POST /services/{id}`
pub(super) async fn tell(State(web): State<Shared>, Path(id): Path<String>, signed: Signed) -> Response {
    let seen = signed.seen();
    let Ok(id) = id.parse::<Uuid>() else { return absent(&seen) };
    let (room, weeks) = (signed.form.text("room").to_owned(), signed.form.text("weeks").trim().to_owned());
    let typed = Some((id, room.clone(), weeks.clone()));
    for provider in frame::proposes(&seen.visitor.positions) {
        match web.services(provider).await {
            Ok(services) if services.iter().any(|service| service.id == id) => {}
            Ok(_) => continue,
            Err(error) => return away(&error),
        }
        let draft =
            match web.directory.draft(EntryKind::HealthcareService, Some(&id.to_string()), Value::Null, true).await {
                Ok(draft) => draft,
                Err(_) => return absent(&seen),
            };
        let Some(before) = draft.before.clone() else { return absent(&seen) };
        if signed.form.text("version") != before.version.to_string() {
            let told =
                "This service was changed meanwhile. Look at what referrers are told of it now, and save yours again.";
            return shown(&web, &seen, false, vec![Fault::of_all(told)], typed).await;
        }
        let body = match body_of(&before).map(|body| changed(&body, &room, &weeks)) {
            Ok(Ok(body)) => body,
            Ok(Err(faults)) => return shown(&web, &seen, false, faults, typed).await,
            Err(error) => return away(&error),
        };
        return match web.directory.tell(Draft { body, ..draft }, provider, &seen.visitor.person).await {
            Ok(told) => {
                tracing::info!(person = seen.visitor.person, entry.id = %id, "room and wait of a service were told");
                if told.is_some() {
                    web.bring_up(provider, id, &room, &weeks).await;
                }
                page::to("/services?done=told")
            }
            Err(WriteError::Invalid(issues) | WriteError::Rule(issues)) => {
                let faults = issues.into_iter().map(|issue| Fault::of_all(issue.diagnostics)).collect();
                shown(&web, &seen, false, faults, typed).await
            }
            Err(WriteError::Directory(DirectoryError::Store(error))) => away(&error),
            Err(WriteError::Directory(error)) => {
                shown(&web, &seen, false, vec![Fault::of_all(error.to_string())], typed).await
            }
            Err(WriteError::NotFound | WriteError::Forbidden(_)) => absent(&seen),
        };
    }
    absent(&seen)
}

/// A service with what is told of it.
///
/// # Errors
/// What is wrong with it.
fn changed(service: &Value, room: &str, weeks: &str) -> Result<Value, Vec<Fault>> {
    let mut faults = Vec::new();
    if !ROOM.iter().any(|(code, _)| *code == room) {
        faults.push(Fault::at("room", "Choose whether you have room"));
    }
    let wait: Option<u32> = weeks.parse().ok().filter(|weeks| *weeks <= WEEKS_MAX);
    if !weeks.is_empty() && wait.is_none() {
        faults.push(Fault::at(
            "weeks",
            format!("Enter a whole number of weeks from 0 to {WEEKS_MAX}, or leave it empty"),
        ));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut extensions: Vec<Value> = tree::items(service, "extension").to_vec();
    extensions.retain(|one| !matches!(tree::text(one, "url"), Some(CAPACITY | WAITING_TIME)));
    extensions.push(json!({"url": CAPACITY, "valueCode": room}));
    if let Some(weeks) = wait {
        let wait = json!({"value": weeks, "unit": "weeks", "system": "http://unitsofmeasure.org", "code": "wk"});
        extensions.push(json!({"url": WAITING_TIME, "valueDuration": wait}));
    }
    let mut service = service.clone();
    if let Some(object) = service.as_object_mut() {
        object.insert("extension".into(), extensions.into());
    }
    Ok(service)
}

impl Web {
    /// The services of a provider, by their names.
    async fn services(&self, provider: &ProviderId) -> Result<Vec<Service>, StoreError> {
        let entries = self.directory.services_of(provider, SHOWN_MAX).await?;
        let pending = self.pending(provider).await?;
        let mut services = Vec::new();
        for entry in entries {
            let waits = pending.iter().any(|proposal| proposal.new.entry == entry.id);
            services.push(Service::of(&entry, &body_of(&entry)?, waits));
        }
        services.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
        Ok(services)
    }

    /// Makes what else is proposed of a service anew over what it says now: a steward could not approve it over a version that is past.
    async fn bring_up(&self, provider: &ProviderId, id: Uuid, room: &str, weeks: &str) {
        let made_anew = async {
            for before in self.pending(provider).await?.into_iter().filter(|proposal| proposal.new.entry == id) {
                let body = serde_json::from_str(&before.new.body).unwrap_or(Value::Null);
                let Ok(body) = changed(&body, room, weeks) else { continue };
                let name = id.to_string();
                let draft = self.directory.draft(EntryKind::HealthcareService, Some(&name), Value::Null, true).await?;
                self.directory.propose(Draft { body, ..draft }, provider).await?;
                let by = format!("provider {provider}");
                let reason = Some("made anew, because the service says something else of its room by now".to_owned());
                self.directory.close(before.new.id, ProposalStatus::Withdrawn, &by, reason).await?;
            }
            Ok::<_, WriteError>(())
        };
        if let Err(error) = made_anew.await {
            tracing::warn!(%error, entry.id = %id, "what is proposed of a service could not be brought up to what it says now");
        }
    }

    /// What a provider has proposed and nobody has decided.
    async fn pending(&self, provider: &ProviderId) -> Result<Vec<Proposal>, StoreError> {
        let query = ProposalQuery {
            provider: Some(provider.clone()),
            status: Some(ProposalStatus::Pending),
            count: PENDING_MAX,
            ..ProposalQuery::default()
        };
        self.store.proposals(query).await
    }
}

/// What a service says of its room and wait, for who refers: some words each.
pub(super) fn said(service: &Value) -> Vec<String> {
    let (room, weeks) = room_and_weeks(service);
    let room = SAID.iter().find(|(code, _)| *code == room).map(|(_, words)| (*words).to_owned());
    let wait = weeks.map(|weeks| match weeks {
        0 => "nobody waits".to_owned(),
        1 => "people wait 1 week".to_owned(),
        weeks => format!("people wait {weeks} weeks"),
    });
    room.into_iter().chain(wait).collect()
}

/// Whether a service says that it takes nobody at present.
pub(super) fn is_full(service: &Value) -> bool {
    room_and_weeks(service).0 == "no-capacity"
}

fn room_and_weeks(service: &Value) -> (&str, Option<u64>) {
    let extension =
        |url: &str| tree::items(service, "extension").iter().find(|one| tree::text(one, "url") == Some(url));
    let room = extension(CAPACITY).and_then(|one| tree::text(one, "valueCode")).unwrap_or_default();
    (room, extension(WAITING_TIME).and_then(|one| one.get("valueDuration")).and_then(weeks))
}

impl Service {
    /// An entry, and whether something else is proposed of it.
    fn of(entry: &DirectoryEntry, body: &Value, waits: bool) -> Self {
        let (room, weeks) = room_and_weeks(body);
        let says = said(body).join(", ");
        Self {
            id: entry.id,
            version: entry.version,
            name: tree::text(body, "name").unwrap_or("Service without a name").to_owned(),
            room: room.to_owned(),
            weeks: weeks.map(|weeks| weeks.to_string()).unwrap_or_default(),
            says: if says.is_empty() { "nothing of room or wait".to_owned() } else { says },
            waits,
            may_change: false,
        }
    }
}

/// A Duration in whole weeks, rounded up: nobody is promised less.
fn weeks(wait: &Value) -> Option<u64> {
    let value = wait.get("value").and_then(Value::as_f64)?;
    let days = match tree::text(wait, "code")? {
        "d" => value,
        "wk" => value * 7.0,
        "mo" => value * 365.25 / 12.0,
        "a" => value * 365.25,
        _ => return None,
    };
    (0.0..=f64::from(WEEKS_MAX) * 7.0).contains(&days).then(|| (days / 7.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_and_wait_take_the_place_of_what_was_told_and_the_rest_stays() {
        let before = json!({
            "resourceType": "HealthcareService", "name": "Choir",
            "extension": [{"url": CAPACITY, "valueCode": "capacity"}, {"url": "urn:other", "valueString": "kept"}],
        });
        let after = changed(&before, "waitlist", "6").unwrap();
        assert_eq!(after["extension"][0]["valueString"], "kept");
        assert_eq!(after["extension"][1], json!({"url": CAPACITY, "valueCode": "waitlist"}));
        assert_eq!(
            (after["extension"][2]["valueDuration"]["value"].as_u64(), after["name"].as_str()),
            (Some(6), Some("Choir"))
        );
        assert_eq!(
            changed(&before, "capacity", "").unwrap()["extension"].as_array().unwrap().len(),
            2,
            "no wait is told"
        );
    }

    #[test]
    fn what_is_wrong_is_told_at_its_field() {
        let fields = |room: &str, weeks: &str| -> Vec<&str> {
            changed(&json!({}), room, weeks).unwrap_err().iter().map(|fault| fault.field).collect()
        };
        assert_eq!(fields("", "six"), ["room", "weeks"]);
        assert_eq!(fields("full", "1"), ["room"]);
        assert_eq!(fields("capacity", "521"), ["weeks"]);
    }

    #[test]
    fn a_wait_is_told_in_whole_weeks_and_never_less() {
        let told = |value: f64, code: &str| weeks(&json!({"value": value, "code": code}));
        assert_eq!((told(6.0, "wk"), told(8.0, "d"), told(1.0, "mo")), (Some(6), Some(2), Some(5)));
        assert_eq!((told(1.0, "h"), told(-1.0, "wk")), (None, None));
    }
}
