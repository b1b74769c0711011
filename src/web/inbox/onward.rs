//! Referring on: somebody who works a referral sends the person to a further service, as a referral of its own that is based on the first
//! (`passing.rs`). It goes through `intake` as one that is sent over the API does: checked, routed by the trust's rules, kept once. It belongs
//! to the system that the first came from, so its record hears of it, and the first Task names it among its outputs.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    absent, act, away, done,
    finding::{FOUND_MAX, Found, NotFound},
    line,
    meanwhile::{too_late, written_as},
    passing::{self, Passed, Service},
    story::Story,
};
use crate::{
    auth::Deed,
    config::registry::Provider,
    domain::{Actor, InboxId, TaskId, Timestamp},
    fhir::Issue,
    intake::{Incoming, IntakeError},
    lanes::task_body,
    status::{Source, StatusError},
    store::{StoreError, TaskRecord},
    web::{
        Shared, Web,
        form::{Form, Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// What is looked for has no more characters.
const SOUGHT_CHARS_MAX: usize = 100;
/// What is written has no more.
const TEXT_CHARS_MAX: usize = 4_000;
/// So many risks go on.
const RISKS_MAX: usize = 50;
const CODE: &str = "onward";
/// The field that names whoever gets a referral instead of the service that was chosen, where the person agrees to that.
const AGREED_TO: &str = "agreed-to";

/// The page on which it is said where to, why, and what goes along.
#[derive(Template)]
#[template(path = "onward.html")]
struct OnwardPage {
    frame: Frame,
    faults: Vec<Fault>,
    made_for: String,
    task: TaskId,
    typed: Typed,
    person: String,
    has_risks: bool,
    /// What was found; none where nothing was looked for.
    found: Option<Found>,
    /// Which of all that is, in words; empty where it is all.
    which: String,
}

/// The page on which it is looked at once more.
#[derive(Template)]
#[template(path = "onward-check.html")]
struct CheckPage {
    frame: Frame,
    made_for: String,
    task: TaskId,
    typed: Typed,
    person: String,
    service: Service,
    /// Where the trust's routes lead it, in words.
    goes_to: String,
    /// It does not go to the service that was chosen, but to others, who see all of it.
    goes_elsewhere: bool,
    faults: Vec<Fault>,
    /// What of it goes along, in words.
    along: Vec<&'static str>,
}

/// What was typed.
#[derive(Debug, Clone, Default)]
struct Typed {
    need: String,
    place: String,
    /// How many of what was found were passed over; empty where nothing was looked for.
    from: String,
    service: String,
    why: String,
    matters: String,
    urgent: String,
    reach: String,
    risks: String,
    agreed: String,
    once: String,
}

/// What of a referral is needed to refer on.
struct Known {
    record: TaskRecord,
    provider: Provider,
    request: Value,
    person: Value,
    risks: Vec<Value>,
    called: String,
}

impl Typed {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.text(name).trim().replace("\r\n", "\n");
        let short = |name: &str| text(name).chars().take(SOUGHT_CHARS_MAX).collect::<String>();
        Self {
            need: short("need"),
            place: short("place"),
            from: short("from"),
            service: short("service"),
            why: text("why"),
            matters: text("matters"),
            urgent: short("urgent"),
            reach: short("reach"),
            risks: short("risks"),
            agreed: short("agreed"),
            once: short("once"),
        }
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.service.is_empty() {
            faults.push(Fault::at("service", "Choose a service"));
        }
        match self.why.chars().count() {
            0 => faults.push(Fault::at("why", "Say why you refer the person on")),
            count if count > TEXT_CHARS_MAX => {
                faults.push(Fault::at("why", format!("Use {TEXT_CHARS_MAX} characters or fewer: there are {count}")));
            }
            _ => {}
        }
        if self.matters.chars().count() > TEXT_CHARS_MAX {
            faults.push(Fault::at("matters", format!("Use {TEXT_CHARS_MAX} characters or fewer")));
        }
        match self.agreed.as_str() {
            "yes" => {}
            "no" => {
                faults.push(Fault::at("agreed", "Ask the person first: without their agreement nothing is passed on"))
            }
            _ => faults.push(Fault::at("agreed", "Say whether the person agrees")),
        }
        faults
    }

    /// What goes along, in words.
    fn along(&self) -> Vec<&'static str> {
        let all = [
            (true, "Name, date of birth, gender, NHS number, languages, interpreter"),
            (self.reach == "yes", "Phone numbers, email and address"),
            (self.risks == "yes", "Safeguarding and risks"),
            (true, "That the person agrees, and what you write here"),
        ];
        all.into_iter().filter(|(goes, _)| *goes).map(|(_, what)| what).collect()
    }
}

/// `GET /inbox/{task}/onward`
pub(in crate::web) async fn form(State(web): State<Shared>, seen: Seen, Path(task): Path<String>) -> Response {
    let known = match web.known_for_onward(&seen, &task, &Typed::default()).await {
        Ok(known) => known,
        Err(page) => return page,
    };
    let typed = Typed {
        reach: "yes".into(),
        risks: "yes".into(),
        once: passing::once_at(web.store.now()).to_string(),
        ..Typed::default()
    };
    shown(&web, &seen, &known, typed, vec![]).await
}

/// `POST /inbox/{task}/onward`
pub(in crate::web) async fn step(State(web): State<Shared>, Path(task): Path<String>, signed: Signed) -> Response {
    let seen = signed.seen();
    let mut typed = Typed::of(&signed.form);
    let known = match web.known_for_onward(&seen, &task, &typed).await {
        Ok(known) => known,
        Err(page) => return page,
    };
    let step = signed.form.text("step");
    if !matches!(step, "check" | "send") {
        let from: usize = typed.from.parse().unwrap_or(0);
        let from = match step {
            "more" => Some(from.saturating_add(FOUND_MAX)),
            "before" => Some(from.saturating_sub(FOUND_MAX)),
            "find" => Some(0),
            _ => typed.from.parse().ok(),
        };
        typed.from = from.map(|from| from.to_string()).unwrap_or_default();
        return shown(&web, &seen, &known, typed, vec![]).await;
    }
    let mut faults = typed.faults();
    let service = match web.service_for(&known.provider.id, &typed.service).await {
        Ok(service) => service,
        Err(error) => return away(&error),
    };
    if service.is_none() && !typed.service.is_empty() {
        faults.push(Fault::at("service", "This service takes no referrals any more. Choose another one"));
    }
    let now = web.store.now();
    let once = typed.once.parse::<Uuid>().ok().and_then(|once| Some((once, passing::moment_of(once, now)?)));
    if once.is_none() {
        faults.push(Fault::of_all("This page is old. Look at what you wrote, and send it again"));
    }
    let (Some(service), Some((once, at)), true) = (service, once, faults.is_empty()) else {
        let once = if once.is_some() { typed.once.clone() } else { passing::once_at(now).to_string() };
        return shown(&web, &seen, &known, Typed { once, ..typed }, faults).await;
    };
    let incoming = known.incoming(&web, &seen, &typed, &service, once, at);
    let inboxes = match web.intake.foreseen(&incoming).await {
        Ok(inboxes) => inboxes,
        Err(error) => return refused(&web, &seen, &known, typed, error).await,
    };
    let (goes_to, goes_elsewhere) = web.leads_to(&inboxes, &service);
    // she has agreed to the service that was chosen: whoever else is to see it all is named to her, and agreed to as well
    let is_agreed = !goes_elsewhere || signed.form.text(AGREED_TO) == goes_to;
    if step == "check" || !is_agreed {
        let mut faults = Vec::new();
        if step == "send" {
            faults
                .push(Fault::at(AGREED_TO, format!("Say whether the person agrees that {goes_to} gets this referral")));
        }
        let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        let (frame, made_for, along) = (Frame::of(&seen, Section::Inbox), seen.made_for.clone(), typed.along());
        let (task, person) = (known.record.id, known.called);
        let page = CheckPage { frame, made_for, task, typed, person, service, goes_to, goes_elsewhere, faults, along };
        return page::shown(status, &page);
    }
    let called = if goes_elsewhere { format!("{goes_to}, for {}", service.name) } else { service.name };
    send(&web, &seen, known, typed, (incoming, &called)).await
}

async fn send(web: &Web, seen: &Seen, known: Known, typed: Typed, (incoming, service): (Incoming, &str)) -> Response {
    let actor = Actor::Provider(known.record.provider.clone());
    let accepted = match web.intake.accept_by(incoming, actor).await {
        Ok(accepted) => accepted,
        Err(error) => return refused(web, seen, &known, typed, error).await,
    };
    let Some(made) = accepted.referrals.first() else { return page::unavailable() };
    let task = known.record.id;
    tracing::info!(person = seen.visitor.person, task.id = %task, referral.id = %made.referral, "a person was referred on");
    match web.note_onward(known.record, made.request, service).await {
        Ok(()) => page::to(&done::with(&format!("/inbox/{task}"), "referred")),
        Err(StatusError::Store(error)) => away(&error),
        // it ended between the page and now: what was sent is sent
        Err(_) => {
            let told = "The new referral is sent. This one has ended meanwhile, so it does not name it.";
            let to = format!("/inbox/{task}");
            page::told_in(Frame::of(seen, Section::Inbox), StatusCode::OK, told, (&to, "Back to the referral"))
        }
    }
}

/// What intake says, told on the page it was written on.
async fn refused(web: &Web, seen: &Seen, known: &Known, typed: Typed, error: IntakeError) -> Response {
    let told = |issues: Vec<Issue>| issues.into_iter().map(|issue| Fault::of_all(issue.diagnostics)).collect();
    let faults = match error {
        IntakeError::Invalid(issues) | IntakeError::Rule(issues) => told(issues),
        // the same form was sent twice, with other words the second time
        IntakeError::Differs(_) => {
            vec![Fault::of_all(
                "This form was sent before with other words. Look whether the person is referred on already.",
            )]
        }
        IntakeError::RecordAway(_) => return page::unavailable(),
        IntakeError::Store(error) => return away(&error),
    };
    shown(web, seen, known, typed, faults).await
}

async fn shown(web: &Web, seen: &Seen, known: &Known, typed: Typed, mut faults: Vec<Fault>) -> Response {
    // whoever presses “Find services” without a word looks through all of them
    let looks = !typed.need.is_empty() || !typed.place.is_empty() || !typed.from.is_empty();
    let mut found = None;
    if looks {
        let from = typed.from.parse().unwrap_or(0);
        match web.services_for(&known.provider.id, &typed.need, &typed.place, from).await {
            Ok(page) => found = Some(page),
            Err(NotFound::Place) => {
                faults.push(Fault::at(
                    "place",
                    "Where this postcode lies is not known here. Try its first half, such as L8",
                ));
            }
            Err(NotFound::Store(error)) => return away(&error),
        }
    }
    let mut which = found.as_ref().map(which).unwrap_or_default();
    // what was chosen stays, also where something else is looked for by now
    if let Ok(Some(chosen)) = web.service_for(&known.provider.id, &typed.service).await {
        let services = &mut found.get_or_insert_default().services;
        if services.iter().all(|one| one.id != chosen.id) {
            services.insert(0, chosen);
            if !which.is_empty() {
                which.push_str(". The one you have chosen stands before them");
            }
        }
    }
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let (frame, made_for, task) = (Frame::of(seen, Section::Inbox), seen.made_for.clone(), known.record.id);
    let (person, has_risks) = (known.called.clone(), !known.risks.is_empty());
    page::shown(status, &OnwardPage { frame, faults, made_for, task, typed, person, has_risks, found, which })
}

/// Which of all services a page shows; nothing where it shows all.
fn which(found: &Found) -> String {
    let (first, last) = (found.from + 1, found.from + found.services.len());
    match (found.from, found.more) {
        (0, false) => String::new(),
        (_, true) => format!("Services {first} to {last}. There are more"),
        (_, false) => format!("Services {first} to {last}. These are the last"),
    }
}

impl Known {
    fn incoming(
        &self,
        web: &Web,
        seen: &Seen,
        typed: &Typed,
        service: &Service,
        once: Uuid,
        at: Timestamp,
    ) -> Incoming {
        let risks: Vec<&Value> = if typed.risks == "yes" { self.risks.iter().collect() } else { vec![] };
        let passed = Passed {
            base_url: &web.base_url,
            request: &self.request,
            person: &self.person,
            risks: &risks,
            who: &seen.visitor.name,
            provider: &self.provider,
            service,
            why: &typed.why,
            matters: &typed.matters,
            urgent: typed.urgent == "yes",
            reach: typed.reach == "yes",
            once,
        };
        let body = passed.bundle(at);
        Incoming {
            system: self.record.system.clone(),
            expected: "Bundle",
            content_type: "application/fhir+json".to_owned(),
            original: body.to_string().into(),
            body,
            faults: vec![],
            if_none_exist: None,
            idempotency_key: None,
            traceparent: None,
        }
    }
}

impl Web {
    /// What the inboxes are called that the routes lead to, and whether they are others' than the provider's whose service was chosen.
    fn leads_to(&self, inboxes: &[InboxId], service: &Service) -> (String, bool) {
        let registry = self.registry.load();
        let known: Vec<_> = inboxes.iter().filter_map(|id| registry.inboxes.get(id)).collect();
        let called: Vec<String> = known.iter().map(|inbox| registry.called(inbox)).collect();
        (called.join(", "), known.iter().any(|inbox| inbox.provider != service.provider))
    }

    /// A referral that may be referred on from now; else the page that is answered.
    async fn known_for_onward(&self, seen: &Seen, task: &str, typed: &Typed) -> Result<Known, Response> {
        let record = self.named(seen, task, Deed::Answer).await?;
        if !act::is_open_to(&record, CODE) {
            let written = [("Why you refer them on", &typed.why), ("What matters to them", &typed.matters)];
            let written = written.into_iter().filter_map(|(label, text)| written_as(label, text)).collect();
            return Err(too_late(self, seen, &record, record.version, written).await);
        }
        let registry = self.registry.load();
        let Some(provider) = registry.providers.get(&record.provider).cloned() else { return Err(absent(seen)) };
        let read = async {
            let body = task_body(&*self.store, record.id, record.version).await?;
            Ok::<_, StoreError>((self.visible(&record).await?, line::own_request(&record, &body), body))
        };
        let (resources, own, body) = read.await.map_err(|error| away(&error))?;
        let called = Story::of(record.id, own, &body, &resources, self.store.now()).person;
        let found = resources.iter().find(|(stored, _)| stored.kind == "ServiceRequest" && stored.id == own);
        let request = found.map(|(_, body)| body.clone()).unwrap_or_default();
        let people: Vec<Value> =
            resources.iter().filter(|(stored, _)| stored.kind == "Patient").map(|(_, body)| body.clone()).collect();
        let Some(person) = line::subject(&request, &people).cloned() else {
            let told = "The person came with this referral by name alone, so she cannot be referred on here. Ask the referrer to refer her.";
            let to = super::path_of(&record.id);
            let frame = Frame::of(seen, Section::Inbox);
            return Err(page::told_in(frame, StatusCode::CONFLICT, told, (&to, "Back to the referral")));
        };
        let risks = resources
            .iter()
            .flat_map(|(_, body)| line::with_contained(body))
            .filter(|body| line::is_safeguarding(body));
        let risks = risks.take(RISKS_MAX).cloned().collect();
        Ok(Known { record, provider, request, person, risks, called })
    }

    /// Has a Task name the request that it led to, whatever happened to it meanwhile.
    async fn note_onward(&self, record: TaskRecord, request: Uuid, service: &str) -> Result<(), StatusError> {
        let (id, system) = (record.id, record.system.clone());
        let make = |current: &Value| {
            let wanted = passing::noted(current, request, &self.base_url, service);
            self.intake.check_answer(&wanted, &system)?;
            Ok(wanted)
        };
        let version = record.version;
        match self.status.answer_known(record, Source::Request { version }, make).await {
            Err(StatusError::Stale { .. }) => {
                let Some(record) = self.store.task(id).await? else { return Err(StatusError::NotFound) };
                let version = record.version;
                self.status.answer_known(record, Source::Request { version }, make).await?;
            }
            answered => drop(answered?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
