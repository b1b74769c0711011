//! Intake: what becomes of an incoming referral, whatever way it came in. Read apart, checked, routed, and stored in one commit
//! with its Tasks, journal and outbox; only then is it acknowledged.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    admission::Admission,
    client::FhirClient,
    config::registry::{InboxKind, Registry, System},
    domain::{Actor, InboxId, ReferralId, SystemId},
    fhir::{
        Issue, IssueCode, Severity, names,
        reference::{Target, parse},
        tree,
    },
    lanes::Relay,
    profiles::{Asked, Validator},
    routing::{EXPLAINED_MAX, Missing, NoRoute},
    store::{AskedBy, NewReferral, NewResource, Store, StoreError, Submission, Submit, Submitted},
};

pub mod again;
pub mod apart;
mod divide;
mod duplicate;
pub mod key;
mod openings;
pub mod record;
mod targets;

use apart::{Apart, Draft};
use openings::Openings;

/// A commit that failed is told as one that took this long at the least.
const FAILED_COUNTS: Duration = Duration::from_secs(1);

/// A request to refer, parsed and known to come from this system.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Who sends it.
    pub system: SystemId,
    /// The resource type that the URL asks for: `ServiceRequest`, or `Bundle` for the service base.
    pub expected: &'static str,
    /// Media type of the body.
    pub content_type: String,
    /// The body as it came.
    pub original: Bytes,
    /// The body as JSON.
    pub body: Value,
    /// What is wrong with the form of the body already.
    pub faults: Vec<Issue>,
    /// `If-None-Exist`
    pub if_none_exist: Option<String>,
    /// `Idempotency-Key`
    pub idempotency_key: Option<String>,
    /// `traceparent`, where well-formed.
    pub traceparent: Option<String>,
}

/// A request that was stored, or had been stored before.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// What became of each ServiceRequest, in their order.
    pub referrals: Vec<Submitted>,
    /// Where each item of the request lies now, as `Type/id`, in their order; none where a part of it had come before under
    /// another wrapper.
    pub entries: Vec<Option<String>>,
    /// The new ServiceRequests as they are stored, in their order; none for one that was known.
    pub requests: Vec<Option<Value>>,
    /// Whether the sender gave nothing to know it by, so that sending it again would make it anew.
    pub minted: bool,
    /// What is not wrong with the request and worth saying.
    pub notes: Vec<Issue>,
}

/// Why a request was not accepted. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// It is not right FHIR, or not what this URL takes: 400.
    #[error("the referral is not valid")]
    Invalid(Vec<Issue>),
    /// It is right FHIR and breaks a rule: 422.
    #[error("the referral breaks a rule")]
    Rule(Vec<Issue>),
    /// Its key is known with other content: 409.
    #[error("a referral with this identifier and other content was accepted before")]
    Differs(Issue),
    /// The record it refers to cannot be read just now: 503.
    #[error("the originating record cannot be read: {0}")]
    RecordAway(String),
    /// The store failed: 503.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See the module's documentation.
#[derive(Clone)]
pub struct Intake {
    /// Where referrals are stored.
    pub store: Arc<dyn Store>,
    /// Who publishes their wake-ups.
    pub relay: Relay,
    /// Systems, inboxes and routes.
    pub registry: Arc<ArcSwap<Registry>>,
    /// How records are read.
    pub client: FhirClient,
    /// How much of each at once.
    pub reading: record::Reading,
    /// What referrals are held against.
    pub validator: Arc<Validator>,
    /// Where this Onward is reached.
    pub base_url: String,
    /// Who is told how long a commit takes.
    pub admission: Arc<Admission>,
}

/// Referrals ready to be stored, the ServiceRequest of each, where each item of their request will lie, and what is said of what is open
/// beside each.
type Made = (Vec<NewReferral>, Vec<Value>, Vec<Option<String>>, Vec<Vec<Issue>>);

/// What is asked beside R4 of what a system sends, at this moment.
pub fn asked_of(system: &System, now: Timestamp) -> Asked<'_> {
    Asked { required: &system.profiles, rules: system.rules, ..Asked::at(now) }
}

impl Intake {
    /// Whether a Task is right as its provider wants it, held against what is asked of the system whose referral it is about.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn check_answer(&self, task: &Value, system: &SystemId) -> Result<(), Vec<Issue>> {
        let registry = self.registry.load();
        let rules = registry.systems.get(system).map(|system| system.rules).unwrap_or_default();
        let findings = self.validator.check(task, "", &Asked { rules, ..Asked::at(self.store.now()) });
        let wrong = findings.into_iter().map(|found| found.issue).filter(|issue| issue.severity <= Severity::Error);
        let wrong: Vec<Issue> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Accepts a request, or says everything that is wrong with it.
    ///
    /// # Errors
    /// [`IntakeError`]
    pub async fn accept(&self, incoming: Incoming) -> Result<Accepted, IntakeError> {
        let actor = Actor::System(incoming.system.clone());
        self.accept_by(incoming, actor).await
    }

    /// The same where it is somebody else who refers, in a referral of this system's.
    ///
    /// # Errors
    /// [`IntakeError`]
    pub async fn accept_by(&self, incoming: Incoming, actor: Actor) -> Result<Accepted, IntakeError> {
        let system = incoming.system.clone();
        let answer = self.taken(incoming, actor).await;
        if let Err(IntakeError::Invalid(issues) | IntakeError::Rule(issues)) = &answer {
            metrics::counter!("onward_referrals_total", "result" => "refused").increment(1);
            // an issue says nothing of what was sent
            let why = issues.first().map(|issue| issue.diagnostics.as_str()).unwrap_or_default();
            tracing::info!(system.id = %system, issues = issues.len(), why, "a referral was refused");
        }
        answer
    }

    async fn taken(&self, mut incoming: Incoming, actor: Actor) -> Result<Accepted, IntakeError> {
        let came = Instant::now();
        // one view of the registry from beginning to end: no referral is routed by a mixture
        let registry = self.registry.load_full();
        let Some(system) = registry.systems.get(&incoming.system) else {
            let issue = Issue::error(IssueCode::Forbidden, "%resource", "the originating system is not registered");
            return Err(IntakeError::Rule(vec![issue]));
        };
        let asked = asked_of(system, self.store.now());
        let (apart, wrong) = apart::read_anyway(incoming.body.take(), incoming.expected, &self.validator, &asked)?;
        let wrong = match (wrong, incoming.faults.is_empty()) {
            (wrong, true) => wrong,
            (Some(IntakeError::Invalid(more) | IntakeError::Rule(more)), false) => {
                Some(IntakeError::Invalid(std::mem::take(&mut incoming.faults).into_iter().chain(more).collect()))
            }
            (_, false) => Some(IntakeError::Invalid(std::mem::take(&mut incoming.faults))),
        };
        let keys: Vec<_> =
            apart.drafts.iter().enumerate().map(|(index, draft)| key::of(&apart, draft, index, &incoming)).collect();
        let minted = keys.iter().any(|key| key.minted);
        if let Some(wrong) = wrong {
            return self.known(&incoming.system, &apart, &keys).await?.ok_or(wrong);
        }
        let (referrals, requests, entries, beside) = match self.make(&registry, (system, &actor), &apart, &keys).await {
            Ok(made) => made,
            Err(error @ (IntakeError::Rule(_) | IntakeError::RecordAway(_))) => {
                // a sender that did not hear our answer asks again: what was accepted once is not refused now, though by now
                // the routes are others or the record is away
                return self.known(&incoming.system, &apart, &keys).await?.ok_or(error);
            }
            Err(error) => return Err(error),
        };
        let submission = Submission {
            id: Uuid::now_v7(),
            system: incoming.system,
            content_type: incoming.content_type,
            original: incoming.original,
            referrals,
            answer: json!(entries).to_string(),
            traceparent: incoming.traceparent,
            asked_by: AskedBy::current(),
        };
        let begun = Instant::now();
        let submitted = self.store.submit(submission).await;
        // one that failed counts as slow: where writes are turned away, fewer should come
        let took = begun.elapsed();
        self.admission.committed(if submitted.is_ok() { took } else { took.max(FAILED_COUNTS) });
        match submitted? {
            Submit::Stored(done, wake_ups) => {
                self.relay.publish_all(wake_ups).await;
                metrics::histogram!("onward_intake_seconds").record(came.elapsed().as_secs_f64());
                self.tell(&system.id, &done);
                let entries = entries_now(&apart, &done, entries);
                let requests = done.iter().zip(requests).map(|(done, body)| done.new.then_some(body)).collect();
                // what was known is answered as it was then
                let beside = done.iter().zip(beside).filter(|(done, _)| done.new).flat_map(|(_, notes)| notes);
                let notes = apart.notes.into_iter().chain(beside).collect();
                Ok(Accepted { referrals: done, requests, entries, minted, notes })
            }
            Submit::Differs(index) => {
                let place = &apart.items[apart.drafts[index].request].path;
                let told = "a referral with this identifier and other content was accepted before; sending it again does not change that one";
                Err(IntakeError::Differs(Issue::error(IssueCode::Duplicate, format!("{place}.identifier"), told)))
            }
        }
    }

    /// To which inboxes a request would go if it were sent now. Nothing is kept of it, and no record is read.
    ///
    /// # Errors
    /// [`IntakeError`], as [`Intake::accept`] would say.
    pub async fn foreseen(&self, incoming: &Incoming) -> Result<Vec<InboxId>, IntakeError> {
        let registry = self.registry.load_full();
        let Some(system) = registry.systems.get(&incoming.system) else {
            let issue = Issue::error(IssueCode::Forbidden, "%resource", "the originating system is not registered");
            return Err(IntakeError::Rule(vec![issue]));
        };
        let now = self.store.now();
        let apart = apart::read(incoming.body.clone(), incoming.expected, &self.validator, &asked_of(system, now))?;
        let openings = Openings::at(&*self.store, &registry, now).await?;
        let unavailable = |inbox: &_| openings.unavailable(inbox);
        let (nothing, mut inboxes) = (BTreeMap::new(), Vec::new());
        for draft in &apart.drafts {
            let place = &apart.items[draft.request].path;
            let facts = apart.facts(draft, &system.id, &nothing, registry.setting(now));
            let decided = registry.routes.decide(&facts, &unavailable);
            let decision = decided.map_err(|none| IntakeError::Rule(vec![no_route(place, &none)]))?;
            let missing = registry.routes.missing(&decision, &facts);
            if !missing.is_empty() {
                return Err(IntakeError::Rule(missing.iter().map(|missing| insisted_on(place, missing)).collect()));
            }
            inboxes.extend(targets::found(&registry, &decision, place)?.iter().map(|target| target.inbox.id.clone()));
        }
        Ok(inboxes)
    }

    /// Every referral of a request, routed and ready to be stored, its ServiceRequest, where each of its items will lie, and what is
    /// said of what is open beside it.
    async fn make(
        &self,
        registry: &Registry,
        by: (&System, &Actor),
        apart: &Apart,
        keys: &[key::Key],
    ) -> Result<Made, IntakeError> {
        let (mut referrals, mut requests, mut beside) = (Vec::new(), Vec::new(), Vec::new());
        let mut entries: Vec<Option<String>> = vec![None; apart.items.len()];
        let mut issues = Vec::new();
        let openings = Openings::at(&*self.store, registry, self.store.now()).await?;
        for (draft, key) in apart.drafts.iter().zip(keys) {
            match self.referral((registry, &openings), by, apart, draft, key.clone()).await {
                Ok((referral, request, ids, notes)) => {
                    for (item, id) in ids {
                        entries[item].get_or_insert_with(|| format!("{}/{id}", apart.items[item].kind));
                    }
                    referrals.push(referral);
                    requests.push(request);
                    beside.push(notes);
                }
                Err(IntakeError::Rule(more)) => issues.extend(more),
                Err(other) => return Err(other),
            }
        }
        if issues.is_empty() { Ok((referrals, requests, entries, beside)) } else { Err(IntakeError::Rule(issues)) }
    }

    /// The answer to a request of which every referral was accepted before with the same content.
    async fn known(
        &self,
        system: &SystemId,
        apart: &Apart,
        keys: &[key::Key],
    ) -> Result<Option<Accepted>, IntakeError> {
        if keys.is_empty() || keys.iter().any(|key| key.minted) {
            return Ok(None);
        }
        let mut done = Vec::with_capacity(keys.len());
        for (draft, key) in apart.drafts.iter().zip(keys) {
            match self.store.submitted(system, &key.text).await? {
                Some((submitted, digest)) if digest == apart.digest(draft) => done.push(submitted),
                _ => return Ok(None),
            }
        }
        self.tell(system, &done);
        let entries = entries_now(apart, &done, vec![None; apart.items.len()]);
        let requests = vec![None; done.len()];
        Ok(Some(Accepted { referrals: done, requests, entries, minted: false, notes: apart.notes.clone() }))
    }

    fn tell(&self, system: &SystemId, done: &[Submitted]) {
        for referral in done {
            let result = if referral.new { "stored" } else { "known" };
            metrics::counter!("onward_referrals_total", "result" => result).increment(1);
            tracing::info!(system.id = %system, referral.id = %referral.referral, result, "a referral was accepted");
        }
    }

    /// One ServiceRequest with all that belongs to it, routed and ready to be stored; the ServiceRequest as it will be read; which id
    /// each item got; and what is said of what is open beside it.
    async fn referral(
        &self,
        (registry, openings): (&Registry, &Openings),
        (system, actor): (&System, &Actor),
        apart: &Apart,
        draft: &Draft,
        key: key::Key,
    ) -> Result<(NewReferral, Value, Vec<(usize, Uuid)>, Vec<Issue>), IntakeError> {
        let ids: BTreeMap<usize, Uuid> = draft.members.iter().map(|item| (*item, Uuid::now_v7())).collect();
        let digest = apart.digest(draft);
        let mut resources = apart.rewritten(draft, &ids);
        let read = record::bring_in(&self.client, &self.reading, system, &mut resources, &[])
            .await
            .map_err(IntakeError::RecordAway)?;

        let request_id = ids.get(&draft.request).copied().unwrap_or_default();
        let find = |reference: &str| resources.iter().find(|r| r.reference() == reference).map(|r| &r.body);
        let request_reference = format!("ServiceRequest/{request_id}");
        let request = find(&request_reference).cloned().unwrap_or_default();
        let place = &apart.items[draft.request].path;
        let now = self.store.now();
        let facts = apart.facts(draft, &system.id, &read, registry.setting(now));
        let unavailable = |inbox: &_| openings.unavailable(inbox);
        let decision = registry
            .routes
            .decide(&facts, &unavailable)
            .map_err(|none| IntakeError::Rule(vec![no_route(place, &none)]))?;
        let missing = registry.routes.missing(&decision, &facts);
        if !missing.is_empty() {
            return Err(IntakeError::Rule(missing.iter().map(|missing| insisted_on(place, missing)).collect()));
        }
        let targets = targets::found(registry, &decision, place)?;
        let late = decision.terms.escalate_to.as_ref().and_then(|inbox| registry.inboxes.get(inbox));
        let mut all = targets.iter().map(|target| target.inbox).chain(late);
        if all.any(|inbox| matches!(inbox.kind, InboxKind::FhirRest(_))) {
            require_person(place, &request, &find)?;
            refuse_loose(apart, draft, &resources)?;
        }
        let inboxes: Vec<_> = targets.iter().map(|target| target.inbox).collect();
        let beside = duplicate::Routed {
            registry,
            system,
            key: &key.text,
            place,
            request: &request,
            find: &find,
            inboxes: &inboxes,
        };
        let beside = self.beside(&beside).await?;
        let tasks = targets::Tasks {
            base_url: &self.base_url,
            registry,
            actor,
            system: &system.id,
            request: &request,
            beside: &beside.tasks,
            at: now,
        };
        let tasks = tasks.make(&decision, &targets);
        let explanation = registry.routes.explain(&facts, &unavailable, EXPLAINED_MAX);
        let referral = NewReferral {
            id: ReferralId::mint(),
            key: key.text,
            identifier: key.identifier,
            digest,
            request: request_id,
            origin: apart.origin(draft, system),
            route_set: registry.routes.version().to_owned(),
            decision: serde_json::to_string(&explanation).unwrap_or_default(),
            resources: resources
                .iter()
                .map(|r| NewResource {
                    kind: r.kind.clone(),
                    id: r.id,
                    origin: r.origin.clone(),
                    names: names::of(&r.body),
                    body: r.body.to_string(),
                })
                .collect(),
            tasks,
        };
        Ok((referral, request, ids.into_iter().collect(), beside.notes))
    }
}

/// Where the items lie. A referral that was known keeps the ids it got then; those made for it now were never stored.
fn entries_now(apart: &Apart, done: &[Submitted], made: Vec<Option<String>>) -> Vec<Option<String>> {
    if done.iter().all(|d| d.new) {
        return made;
    }
    let mut entries = vec![None; made.len()];
    if let [first, rest @ ..] = done
        && !first.new
        && rest.iter().all(|d| d.answer == first.answer)
        && let Ok(then) = serde_json::from_str::<Vec<Option<String>>>(&first.answer)
        && then.len() == entries.len()
    {
        entries = then;
    }
    for (draft, referral) in apart.drafts.iter().zip(done) {
        entries[draft.request] = Some(format!("ServiceRequest/{}", referral.request));
    }
    entries
}

fn no_route(place: &str, none: &NoRoute) -> Issue {
    Issue::error(IssueCode::BusinessRule, place, format!("the referral can go nowhere: {none}"))
}

fn insisted_on(place: &str, missing: &Missing) -> Issue {
    let told = format!("{} (the inbox “{}” insists on it: {})", missing.message, missing.inbox, missing.expression);
    Issue::error(IssueCode::Required, place, told)
}

/// A provider that is pushed to must be told who the person is: nobody can ask the record from there.
fn require_person<'a>(
    place: &str,
    request: &'a Value,
    find: &dyn Fn(&str) -> Option<&'a Value>,
) -> Result<(), IntakeError> {
    let reference = tree::text(request, "subject.reference").unwrap_or_default();
    let person = match reference.strip_prefix('#') {
        Some(id) => tree::items(request, "contained").iter().find(|r| r.get("id").and_then(Value::as_str) == Some(id)),
        None => find(reference),
    };
    let named = person.is_some_and(|p| {
        tree::identifiers(p).next().is_some()
            && tree::items(p, "name").iter().any(|n| {
                n.get("text").or_else(|| n.get("family")).and_then(Value::as_str).is_some_and(|t| !t.trim().is_empty())
            })
    });
    if named {
        return Ok(());
    }
    let told = "this referral goes to a provider's own system, so the person must come with it: carry or contain a Patient \
                with identifier and name, or refer to one that the configured read endpoint gives";
    Err(IntakeError::Rule(vec![Issue::error(IssueCode::Required, format!("{place}.subject"), told)]))
}

/// A relative reference to what is neither carried nor readable would name something else at the provider, perhaps another
/// person's.
fn refuse_loose(apart: &Apart, draft: &Draft, resources: &[apart::Placed]) -> Result<(), IntakeError> {
    let carried: Vec<String> = resources.iter().map(apart::Placed::reference).collect();
    let mut issues = Vec::new();
    for (item, resource) in draft.members.iter().zip(resources) {
        tree::each_reference(&resource.body, &mut |place, reference| {
            let literal = reference.get("reference").and_then(Value::as_str).unwrap_or_default();
            if let Target::Relative { kind, id, .. } = parse(literal)
                && !carried.contains(&format!("{kind}/{id}"))
            {
                let place = place.to_string().replacen(&*resource.kind, &apart.items[*item].path, 1);
                let told = "this goes to a provider's own system, where the reference would name something else: carry what it \
                            names, or give it as an absolute URL";
                issues.push(Issue::error(IssueCode::NotFound, place, told));
            }
        });
    }
    if issues.is_empty() { Ok(()) } else { Err(IntakeError::Rule(issues)) }
}
