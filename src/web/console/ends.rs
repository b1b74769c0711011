//! `/console/systems` and `/console/providers`: who takes part and how they are reached; each can be looked at step by step, and a test
//! referral sent from a system to a provider.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{
    Keeper, absent, away,
    looked::{Check, CheckSaid, Looked},
    words::moment,
};
use crate::{
    auth::{Deed, What, Who, may},
    config::{
        Registry,
        registry::{Endpoint, Inbox, InboxKind, System},
    },
    delivery::fhir_rest,
    domain::{InboxId, Position, SystemId},
    onboarding::{Needs, TrialError, probe},
    web::{
        Shared, Web,
        form::{Seen, Signed},
        frame::{Frame, Section},
        page::{self, Fault},
    },
};

/// The two kinds, as their URLs have them.
const SYSTEMS: &str = "systems";
const PROVIDERS: &str = "providers";

/// Whether somebody may have a test referral sent.
pub(super) fn may_send(positions: &[Position]) -> bool {
    may(Who::Person(positions), Deed::SendTest, What::Whole)
}

/// All of one kind.
#[derive(Template)]
#[template(path = "console/ends.html")]
struct EndsPage {
    frame: Frame,
    title: &'static str,
    /// Where the piece is written that adds one.
    adds: Option<(&'static str, &'static str)>,
    rows: Vec<EndRow>,
}

/// One of them.
struct EndRow {
    path: String,
    id: String,
    name: String,
    how: String,
}

/// One.
#[derive(Template)]
#[template(path = "console/end.html")]
struct EndPage {
    frame: Frame,
    made_for: String,
    faults: Vec<Fault>,
    back: (&'static str, &'static str),
    title: String,
    path: String,
    facts: Vec<(&'static str, String)>,
    /// What can be looked at.
    can_check: bool,
    /// Why there is nothing to look at, where that is so.
    no_check: &'static str,
    /// When it was looked at last, and what was found.
    looked_at: Option<String>,
    checks: Vec<CheckSaid>,
    /// Of a system the inboxes that a test referral may go to, of an inbox the systems that it may come from; none where none may be sent.
    others: Vec<(String, String)>,
    /// Which of them, as a field of the form and in words.
    other: &'static str,
    other_label: &'static str,
    chosen: String,
}

/// One that takes part.
enum End<'r> {
    System(&'r System),
    Inbox(&'r Inbox),
}

/// `GET /console/systems`.
pub(super) async fn systems(State(web): State<Shared>, Keeper(seen): Keeper) -> Response {
    let registry = web.console.registry.load();
    let rows = registry.systems.values().map(|one| End::System(one).row(&registry)).collect();
    let adds = may_send(&seen.visitor.positions).then_some(("/console/add/system", "Add a system"));
    let page = EndsPage { frame: Frame::of(&seen, Section::Console), title: "Systems", adds, rows };
    page::shown(StatusCode::OK, &page)
}

/// `GET /console/providers`.
pub(super) async fn providers(State(web): State<Shared>, Keeper(seen): Keeper) -> Response {
    let registry = web.console.registry.load();
    let rows = registry.inboxes.values().map(|one| End::Inbox(one).row(&registry)).collect();
    let adds = may_send(&seen.visitor.positions).then_some(("/console/add/provider", "Add a provider"));
    let frame = Frame::of(&seen, Section::Console);
    let page = EndsPage { frame, title: "Providers and their inboxes", adds, rows };
    page::shown(StatusCode::OK, &page)
}

/// `GET /console/systems/{id}`.
pub(super) async fn system(State(web): State<Shared>, Path(id): Path<String>, Keeper(seen): Keeper) -> Response {
    one(&web, &seen, SYSTEMS, &id)
}

/// `GET /console/providers/{id}`.
pub(super) async fn provider(State(web): State<Shared>, Path(id): Path<String>, Keeper(seen): Keeper) -> Response {
    one(&web, &seen, PROVIDERS, &id)
}

fn one(web: &Web, seen: &Seen, kind: &str, id: &str) -> Response {
    let registry = web.console.registry.load();
    match End::find(&registry, kind, id) {
        Some(end) => page::shown(StatusCode::OK, &end.page(web, seen, &registry)),
        None => absent(seen),
    }
}

/// `POST /console/systems/{id}/check`: looks at each of its endpoints, layer by layer.
pub(super) async fn check_system(State(web): State<Shared>, Path(id): Path<String>, signed: Signed) -> Response {
    check(&web, &signed.seen(), SYSTEMS, &id).await
}

/// `POST /console/providers/{id}/check`: the same.
pub(super) async fn check_provider(State(web): State<Shared>, Path(id): Path<String>, signed: Signed) -> Response {
    check(&web, &signed.seen(), PROVIDERS, &id).await
}

async fn check(web: &Web, seen: &Seen, kind: &str, id: &str) -> Response {
    if !may_send(&seen.visitor.positions) {
        return absent(seen);
    }
    let registry = web.console.registry.load_full();
    let Some(end) = End::find(&registry, kind, id) else { return absent(seen) };
    // few at a time: each connects to others
    let Ok(_one_of_few) = web.console.checks.try_acquire() else {
        let text = "Others are being looked at just now. Try again shortly.";
        let (frame, to) = (Frame::of(seen, Section::Console), ("/console", "IT console"));
        return page::told_in(frame, StatusCode::CONFLICT, text, to);
    };
    let mut checks = Vec::new();
    for (title, endpoint, needs) in end.endpoints() {
        let steps = probe(&web.console.previews.client, &web.console.resolver, &endpoint, needs).await;
        checks.push(Check { title, steps });
    }
    let path = end.path();
    web.console.looked.note(path.clone(), Looked { at: web.console.store.now(), checks: Arc::new(checks) });
    page::to(&format!("{path}#found"))
}

/// `POST /console/systems/{id}/refer`: sends a test referral from it, and leads to what becomes of it.
pub(super) async fn refer_from(State(web): State<Shared>, Path(id): Path<String>, signed: Signed) -> Response {
    let inbox = signed.form.text("inbox").to_owned();
    refer(&web, &signed.seen(), (SYSTEMS, &id), (&id, &inbox)).await
}

/// `POST /console/providers/{id}/refer`: the same, to it.
pub(super) async fn refer_to(State(web): State<Shared>, Path(id): Path<String>, signed: Signed) -> Response {
    let system = signed.form.text("system").to_owned();
    refer(&web, &signed.seen(), (PROVIDERS, &id), (&system, &id)).await
}

async fn refer(web: &Web, seen: &Seen, (kind, id): (&str, &str), (system, inbox): (&str, &str)) -> Response {
    let registry = web.console.registry.load_full();
    let (Some(end), true) = (End::find(&registry, kind, id), may_send(&seen.visitor.positions)) else {
        return absent(seen);
    };
    let (Ok(system), Ok(inbox)) = (system.parse::<SystemId>(), inbox.parse::<InboxId>()) else { return absent(seen) };
    match web.trial.begin(&system, &inbox, &seen.visitor.person).await {
        Ok(begun) => page::to(&format!("/console/trials/{}", begun.task)),
        Err(TrialError::Unknown) => absent(seen),
        Err(TrialError::Store(error)) => away(&error),
        Err(why @ (TrialError::UnderWay | TrialError::Refused(_))) => {
            let page = end.page(web, seen, &registry);
            let faults = vec![Fault::at(page.other, format!("Nothing was sent: {why}"))];
            let chosen = if kind == SYSTEMS { inbox.to_string() } else { system.to_string() };
            page::shown(StatusCode::UNPROCESSABLE_ENTITY, &EndPage { faults, chosen, ..page })
        }
    }
}

// === impl End ===

impl<'r> End<'r> {
    fn find(registry: &'r Registry, kind: &str, id: &str) -> Option<Self> {
        match kind {
            SYSTEMS => registry.systems.get(&id.parse().ok()?).map(Self::System),
            PROVIDERS => registry.inboxes.get(&id.parse().ok()?).map(Self::Inbox),
            _ => None,
        }
    }

    fn path(&self) -> String {
        match self {
            Self::System(system) => format!("/console/systems/{}", system.id),
            Self::Inbox(inbox) => format!("/console/providers/{}", inbox.id),
        }
    }

    fn row(&self, registry: &Registry) -> EndRow {
        let (id, name, how) = match self {
            Self::System(system) => (system.id.to_string(), system.name.clone(), self.ways()),
            Self::Inbox(inbox) => {
                let provider = registry.providers.get(&inbox.provider).map(|one| one.name.clone());
                (inbox.id.to_string(), provider.unwrap_or_else(|| inbox.provider.to_string()), self.ways())
            }
        };
        EndRow { path: self.path(), id, name, how }
    }

    /// How it is reached, in words.
    fn ways(&self) -> String {
        match self {
            Self::System(system) => match (&system.write_back, &system.read) {
                (Some(_), Some(_)) => "is told what becomes of its referrals, and is read",
                (Some(_), None) => "is told what becomes of its referrals",
                (None, Some(_)) => "is read, and looks by itself what becomes of its referrals",
                (None, None) => "looks by itself what becomes of its referrals",
            }
            .to_owned(),
            Self::Inbox(inbox) => match &inbox.kind {
                InboxKind::FhirRest(_) => "referrals are sent to its FHIR server",
                InboxKind::Worklist => "it reads its referrals here",
                InboxKind::Amqp(_) => "its own consumer reads its queue",
            }
            .to_owned(),
        }
    }

    /// Who is spoken to, and what is wanted of it.
    fn endpoints(&self) -> Vec<(&'static str, Endpoint, Needs)> {
        match self {
            Self::System(system) => {
                let back = system.write_back.as_ref().map(|back| {
                    let (base_url, access) = (back.base_url.clone(), back.access.clone());
                    ("What becomes of referrals", Endpoint { base_url, access, timeout: back.timeout }, Needs::Statuses)
                });
                let read = system.read.as_ref().map(|read| ("Reading", read.clone(), Needs::Reading));
                back.into_iter().chain(read).collect()
            }
            Self::Inbox(inbox) => match &inbox.kind {
                InboxKind::FhirRest(rest) => vec![("Referrals", fhir_rest::endpoint(rest), Needs::Referrals)],
                InboxKind::Worklist | InboxKind::Amqp(_) => vec![],
            },
        }
    }

    /// Why nothing of it can be looked at from here.
    fn no_check(&self) -> &'static str {
        match self {
            Self::System(_) => {
                "Onward connects to nothing of this system: it sends its referrals here, and asks here what becomes of them. So there is nothing to look at step by step; a test referral shows the way."
            }
            Self::Inbox(inbox) => match &inbox.kind {
                InboxKind::FhirRest(_) => "",
                InboxKind::Worklist => {
                    "Onward connects to nothing of this provider: it reads and answers its referrals here. So there is nothing to look at step by step; a test referral shows the way."
                }
                InboxKind::Amqp(_) => {
                    "Onward connects to nothing of this provider: it reads its referrals from its queue at the message broker. So there is nothing to look at step by step; a test referral shows the way."
                }
            },
        }
    }

    fn page(&self, web: &Web, seen: &Seen, registry: &Registry) -> EndPage {
        let looked = web.console.looked.of(&self.path(), web.console.store.now());
        let may_send = may_send(&seen.visitor.positions);
        let EndRow { path, id, name, how } = self.row(registry);
        let mut facts = vec![("Id", id.clone()), ("How", how)];
        for (title, endpoint, _) in self.endpoints() {
            facts.push((title, endpoint.base_url.clone()));
            facts.push(("It is shown", shown(&endpoint)));
        }
        let (back, other, other_label) = match self {
            Self::System(system) => {
                facts.push(("ODS code", system.ods_code.to_string()));
                (("/console/systems", "Systems"), "inbox", "To which inbox")
            }
            Self::Inbox(inbox) => {
                facts.extend(inbox.service.clone().map(|service| ("Service", service)));
                (("/console/providers", "Providers"), "system", "As if it came from")
            }
        };
        let named = |end: End<'_>| {
            let row = end.row(registry);
            (row.id.clone(), format!("{} ({})", row.name, row.id))
        };
        let others = match self {
            Self::System(_) => registry.inboxes.values().map(|one| named(End::Inbox(one))).collect(),
            Self::Inbox(_) => registry.systems.values().map(|one| named(End::System(one))).collect(),
        };
        EndPage {
            frame: Frame::of(seen, Section::Console),
            made_for: seen.made_for.clone(),
            faults: vec![],
            back,
            title: name,
            path,
            facts,
            can_check: may_send && !self.endpoints().is_empty(),
            no_check: if self.endpoints().is_empty() { self.no_check() } else { "" },
            looked_at: looked.as_ref().map(|looked| moment(looked.at)),
            checks: looked.iter().flat_map(|looked| looked.checks.iter()).map(CheckSaid::of).collect(),
            others: if may_send { others } else { vec![] },
            other,
            other_label,
            chosen: String::new(),
        }
    }
}

/// By what an endpoint knows Onward, without what it is.
fn shown(endpoint: &Endpoint) -> String {
    let access = &endpoint.access;
    let ways: Vec<&str> = [
        access.token.as_ref().map(|_| "a token"),
        access.grant.as_ref().map(|_| "a token that is got by a signed assertion"),
        access.identity.as_ref().map(|_| "a certificate"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if ways.is_empty() { "nothing".to_owned() } else { ways.join(" and ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::TaskId,
        web::{
            console::tests::{SYSTEM, scene},
            tests::Browser,
        },
    };

    #[test]
    fn what_is_shown_to_an_endpoint_is_named_and_not_told() {
        let registry = crate::web::console::tests::config().registry;
        let end = End::find(&registry, "providers", "life-rooms").unwrap();
        let (_, endpoint, needs) = end.endpoints().remove(0);
        assert_eq!((shown(&endpoint).as_str(), needs), ("nothing", Needs::Referrals));
        assert!(End::find(&registry, "providers", "link-workers").unwrap().endpoints().is_empty(), "it reads here");
        let told_and_read = End::find(&registry, "systems", SYSTEM).unwrap().endpoints();
        assert_eq!(told_and_read.iter().map(|one| one.2).collect::<Vec<_>>(), [Needs::Statuses, Needs::Reading]);
        assert!(
            End::find(&registry, "systems", "nobody").is_none() && End::find(&registry, "else", "life-rooms").is_none()
        );
    }

    #[tokio::test]
    async fn systems_and_providers_are_looked_at_step_by_step() {
        let scene = scene();
        let mut olive = scene.browser_of("operator").await;
        let page = olive.get("/console/providers").await;
        assert!(
            page.text.contains("/console/providers/life-rooms") && page.text.contains("Link workers"),
            "{}",
            page.text
        );
        assert!(olive.get("/console/systems").await.text.contains("Brownlow Health"));
        let page = olive.get("/console/providers/life-rooms").await;
        let made_for = page.made_for().to_owned();
        // nobody listens at port 9
        let done = olive.post("/console/providers/life-rooms/check", &[("made-for", &made_for)]).await;
        assert_eq!(done.to(), "/console/providers/life-rooms#found");
        let page = olive.get("/console/providers/life-rooms").await;
        for told in ["127.0.0.1 is 127.0.0.1", "no firewall between", "Not tried"] {
            assert!(page.text.contains(told), "{told}: {}", page.text);
        }
        for path in ["/console/providers/nobody", "/console/systems/life-rooms", "/console/providers/Life%20Rooms"] {
            assert_eq!(olive.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
            let page = olive.post(&format!("{path}/check"), &[("made-for", &made_for)]).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        }
        let mut audrey = scene.browser_of("auditor").await;
        let page = audrey.get("/console/providers/life-rooms").await;
        assert!(!page.text.contains("Send a test referral") && !page.text.contains("step by step"), "{}", page.text);
        let made_for = page.made_for().to_owned();
        for action in ["check", "refer"] {
            let fields = [("made-for", made_for.as_str()), ("system", SYSTEM)];
            let page = audrey.post(&format!("/console/providers/life-rooms/{action}"), &fields).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{action}");
        }
    }

    #[tokio::test]
    async fn a_test_referral_goes_to_its_inbox_and_is_marked_as_one() {
        let scene = scene();
        let mut olive = scene.browser_of("operator").await;
        let path = "/console/providers/link-workers";
        let made_for = olive.get(path).await.made_for().to_owned();
        let fields = |system: &'static str| [("made-for", made_for.clone()), ("system", system.to_owned())];
        let post = async |browser: &mut Browser, system| {
            let fields = fields(system);
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
            browser.post(&format!("{path}/refer"), &fields).await
        };
        assert_eq!(post(&mut olive, "nobody").await.status, StatusCode::NOT_FOUND);
        let page = post(&mut olive, "brownlow-gp").await;
        let task: TaskId = page.to().strip_prefix("/console/trials/").unwrap().parse().unwrap();
        let sent = scene.store.task(task).await.unwrap().unwrap();
        assert_eq!((sent.inbox.as_str(), sent.system.as_str()), ("link-workers", "brownlow-gp"));
        let (request, _) = scene.store.resource("ServiceRequest", sent.request, None).await.unwrap().unwrap();
        assert!(request.body.contains("HTEST") && request.body.contains("local:operator"), "{}", request.body);
        let again = post(&mut olive, "brownlow-gp").await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "one at a time");
        assert!(again.text.contains("another test referral is under way"), "{}", again.text);
        let told = olive.get(page.to()).await.text;
        for words in ["It is not known yet", "Link workers (link-workers)", "nothing is written into this record"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let other = scene.referral("no-test").await;
        for path in [format!("/console/trials/{}", other.id), "/console/trials/x".to_owned()] {
            assert_eq!(
                olive.get(&path).await.status,
                StatusCode::NOT_FOUND,
                "{path}: only of a test there is a verdict"
            );
        }
    }

    #[tokio::test]
    async fn of_a_system_to_which_nothing_connects_the_page_says_so_and_a_test_goes_from_it() {
        let scene = scene();
        let mut olive = scene.browser_of("operator").await;
        let page = olive.get("/console/systems/brownlow-gp").await;
        assert!(page.text.contains("Onward connects to nothing of this system"), "{}", page.text);
        assert!(!page.text.contains("/console/systems/brownlow-gp/check"), "{}", page.text);
        let fields = [("made-for", page.made_for()), ("inbox", "life-rooms")];
        let sent = olive.post("/console/systems/brownlow-gp/refer", &fields).await;
        let task: TaskId = sent.to().strip_prefix("/console/trials/").unwrap().parse().unwrap();
        let task = scene.store.task(task).await.unwrap().unwrap();
        assert_eq!((task.system.as_str(), task.inbox.as_str()), ("brownlow-gp", "life-rooms"));
    }
}
