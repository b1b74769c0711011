//! A referrer's change of its ServiceRequest: taken back, taken to be cancelled, or written anew.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::Value;
use uuid::Uuid;

use super::{
    Conversation, ConversationError, Faults, MOVED_MAX, Read, brought,
    known::{Known, Place, placed},
    new_version, tells_of_risk,
};
use crate::{
    config::registry::Registry,
    domain::{
        Actor, Event, InboxId, Side, TaskStatus,
        task::{Ask, Refusal, TaskState},
    },
    fhir::{Issue, IssueCode, canonical, filler_order, task as fhir_task, tree},
    intake::{
        apart::{self, Placed},
        asked_of,
    },
    lanes::task_body,
    profiles::Asked,
    routing::{Carried, Decision, Facts, all_open},
    status::parent,
    store::{Append, AppendError, NewEvent, NewVersion, Settle, Settled, StoreError, StoredResource, TaskRecord, turn},
};

/// The seq of the event that made a Task, whose lane message is the referral itself.
const REFERRAL: u64 = 1;

/// The ServiceRequest as it will be, with what was read for it.
struct Changed {
    body: Value,
    brought: Vec<Placed>,
    ask: Ask,
    /// It tells of a risk that was not told of before.
    risk: bool,
}

impl Conversation {
    /// Takes a change of a ServiceRequest: `make` turns it as it stands into what the referrer wants, made from `version`. The
    /// same content again changes nothing. Whether the caller may do so was decided before (`auth`).
    ///
    /// # Errors
    /// [`ConversationError`]
    pub async fn change(
        &self,
        request: Uuid,
        version: u64,
        make: impl Fn(&Value) -> Result<Value, ConversationError> + Send + Sync,
    ) -> Result<StoredResource, ConversationError> {
        let registry = self.registry.load_full();
        // set once it turned out that something may have been sent though nobody has noted it yet
        let mut perhaps_sent = false;
        for lost in 0..MOVED_MAX {
            turn(lost).await;
            let found = self.store.resource("ServiceRequest", request, None).await?;
            let (stored, _) = found.ok_or(ConversationError::NotFound)?;
            let known = Known::of(&*self.store, stored.referral).await?;
            let current = known.find(&format!("ServiceRequest/{request}")).ok_or(ConversationError::NotFound)?;
            if stored.task.is_some() {
                let told = "this order was made of the referrer's ServiceRequest for one target; change the one that it is based on";
                return Err(ConversationError::Rule(vec![Issue::error(
                    IssueCode::BusinessRule,
                    "ServiceRequest",
                    told,
                )]));
            }
            let mut tasks = self.store.find_tasks(&request.to_string()).await?;
            // a parent follows what becomes of its parts
            tasks.retain(|task| task.referral == stored.referral && !task.is_parent());
            let place = Place { registry: &registry, base_url: &self.base_url, known: &known, tasks: &tasks };
            let wanted = make(current)?;
            let Some(changed) = self.prepare(&place, request, current, wanted).await? else { return Ok(stored) };
            if stored.version != version {
                return Err(ConversationError::Stale { current: stored.version });
            }
            let next = stored.version + 1;
            let mut steps = self.decide(&registry, &tasks, &changed, next, perhaps_sent).await?;
            if let Some(one) = tasks.first() {
                steps = parent::with_parent(&*self.store, &registry, one, steps).await?;
            }
            match self.store.append_together(steps).await {
                Ok(done) => {
                    let name = match changed.ask {
                        Ask::Cancel => "cancellation-requested",
                        Ask::Retract => "retracted",
                        Ask::Amend => "amended",
                    };
                    self.tell(done, name).await;
                    let found = self.store.resource("ServiceRequest", request, Some(next)).await?;
                    return Ok(found.ok_or(ConversationError::NotFound)?.0);
                }
                Err(AppendError::Moved) => {}
                Err(AppendError::LeaseLost) => perhaps_sent = true,
                Err(AppendError::Store(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Unavailable("the referral moves on faster than a change can be stored".into()).into())
    }

    /// What the referrer wants, resolved and checked; none where that is how it is already.
    async fn prepare(
        &self,
        place: &Place<'_>,
        request: Uuid,
        current: &Value,
        wanted: Value,
    ) -> Result<Option<Changed>, ConversationError> {
        let mut faults = Faults::default();
        if tree::resource_type(&wanted) != Some("ServiceRequest") {
            let told = "the body must be a ServiceRequest";
            faults.invalid.push(Issue::error(IssueCode::Invalid, "ServiceRequest", told));
        }
        if wanted.get("id").and_then(Value::as_str) != Some(&*request.to_string()) {
            let told = "the id must be the one in the URL";
            faults.invalid.push(Issue::error(IssueCode::Invalid, "ServiceRequest.id", told));
        }
        let system = place.tasks.first().and_then(|task| place.registry.systems.get(&task.system));
        let now = self.store.now();
        faults.check(&wanted, &self.validator, &system.map_or(Asked::at(now), |system| asked_of(system, now)));
        faults.refuse_invalid()?;
        let mut resource = placed("ServiceRequest", request, wanted);
        let (brought, read) = place.resolve((&self.client, &self.reading), &mut resource, system).await?;
        if canonical::digest(&[current]) == canonical::digest(&[&resource.body]) {
            return Ok(None);
        }
        let ask = match tree::text(&resource.body, "status").unwrap_or_default() {
            "revoked" => Ask::Cancel,
            "entered-in-error" => Ask::Retract,
            "active" => Ask::Amend,
            _ => {
                let told = "a referral that was sent may stay active, be revoked, or become entered-in-error; how far it has \
                            come is said by its Task";
                faults.rule(Issue::error(IssueCode::BusinessRule, "ServiceRequest.status", told));
                Ask::Amend
            }
        };
        apart::understood(&resource.body, "ServiceRequest").into_iter().for_each(|issue| faults.rule(issue));
        place.loose(&resource.body, &brought, false).into_iter().for_each(|issue| faults.rule(issue));
        unchangeable(place, current, &resource.body, &read).into_iter().for_each(|issue| faults.rule(issue));
        faults.into_result()?;
        let risk = tells_of_risk(current, &resource.body, &brought);
        Ok(Some(Changed { body: resource.body, brought, ask, risk }))
    }

    /// One step for each Task that the change concerns; what is stored comes with the first.
    async fn decide(
        &self,
        registry: &Registry,
        tasks: &[TaskRecord],
        changed: &Changed,
        version: u64,
        perhaps_sent: bool,
    ) -> Result<Vec<Append>, ConversationError> {
        let mut steps: Vec<Append> = Vec::new();
        let mut refused = None;
        let with: Vec<String> = changed.brought.iter().map(Placed::reference).collect();
        for task in tasks {
            let before = TaskState { sent: task.state.sent || perhaps_sent, ..task.state };
            let after = match before.asked(changed.ask) {
                // it has ended in just that way, and is not written anew
                Ok(after) if after.status.is_terminal() && after.status == before.status => {
                    refused = Some(Refusal::Ended { status: after.status });
                    continue;
                }
                Ok(after) => after,
                Err(pending @ Refusal::CancelPending) => return Err(pending.into()),
                Err(other) => {
                    refused = Some(other);
                    continue;
                }
            };
            let mut body = task_body(&*self.store, task.id, task.version).await?;
            let own = self.own_order(&body, &changed.body).await?;
            let order = own.as_ref().map(|own| own.version);
            let (event, told, unsent) = match changed.ask {
                Ask::Amend => {
                    let (with, risk) = (with.clone(), changed.risk);
                    (Event::Amended { request: version, order, with, risk }, true, false)
                }
                Ask::Cancel if after.status == TaskStatus::Cancelled => {
                    (Event::Cancelled { request: Some(version) }, false, true)
                }
                Ask::Cancel => (Event::CancellationRequested { request: version, order }, true, false),
                Ask::Retract => (Event::Retracted { request: version, order }, before.sent, !before.sent),
            };
            let mut lanes = if told { vec![Side::Delivery] } else { vec![] };
            if changed.ask != Ask::Amend {
                lanes.extend(crate::status::write_back_lanes(registry, task));
            }
            fhir_task::follow(&mut body, &changed.body);
            fhir_task::set_state(&mut body, &after, self.store.now());
            let actor = Actor::System(task.system.clone());
            let mut events = vec![NewEvent { event, actor, body: Some(body.to_string()), lanes }];
            // what nobody has is not sent any more: its lane is through, however long it would have waited
            let settle = unsent.then(|| {
                let event = Event::Superseded { side: Side::Delivery, of: REFERRAL };
                events.push(NewEvent { event, actor: Actor::Onward, body: None, lanes: vec![] });
                let outcome = Settled::Done { memory: None };
                Settle { side: Side::Delivery, seq: REFERRAL, lease: None, extend: Duration::ZERO, outcome }
            });
            let resources = own.into_iter().collect();
            steps.push(Append { events, resources, settle, state: after, answers: true, unsent, ..Append::to(task) });
        }
        let Some(first) = steps.first_mut() else {
            return Err(refused.map_or(ConversationError::NotFound, ConversationError::Refused));
        };
        let request = changed.body.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok()).unwrap_or_default();
        first.resources.extend(brought(changed.brought.clone()));
        first.resources.push(new_version("ServiceRequest", request, version, &changed.body, None));
        Ok(steps)
    }

    /// The next version of the order that was made for a Task alone, after what the referrer wrote; none where it has none.
    async fn own_order(&self, task: &Value, request: &Value) -> Result<Option<NewVersion>, StoreError> {
        let Some(order) = fhir_task::own_order(task) else { return Ok(None) };
        let Some((stored, _)) = self.store.resource("ServiceRequest", order, None).await? else { return Ok(None) };
        let order = parent::order_of(&stored)?;
        Ok(Some(parent::next_version(&stored, &filler_order::renew(&order, request))))
    }
}

/// What of a referral is not the referrer's to change, because another could be meant by it or it would go elsewhere.
fn unchangeable(place: &Place<'_>, current: &Value, wanted: &Value, read: &Read) -> Vec<Issue> {
    let mut issues = Vec::new();
    let Some(task) = place.tasks.first() else { return issues };
    let subject = wanted.get("subject").unwrap_or(&Value::Null);
    if !place.same_person(subject, wanted, current, read) {
        let told = "a referral stays with its person; retract this one (entered-in-error) and refer the other";
        issues.push(Issue::error(IssueCode::BusinessRule, "ServiceRequest.subject", told));
    }
    if let Some(token) = &task.identifier
        && !tree::identifiers(wanted).any(|(s, v, _)| format!("{}|{v}", s.unwrap_or_default()) == *token)
    {
        let told = "the identifier by which the referral is known must stay; others may come and go";
        issues.push(Issue::error(IssueCode::BusinessRule, "ServiceRequest.identifier", told));
    }
    // closed and full inboxes were looked at when it was routed; what counts now is what the rules say of either text
    let decide = |request: &Value| {
        let request = place.known.as_sent(request);
        let carried =
            Carried { find: Arc::new(|literal| place.known.find_any(literal, read)), consents: place.known.consents() };
        let facts = Facts::of(&task.system, &request, carried, place.registry.setting(task.created));
        place.registry.routes.decide(&facts, &all_open)
    };
    let (before, after) = (decide(current), decide(wanted));
    if before != after {
        let here: BTreeSet<&InboxId> = place.tasks.iter().map(|task| &task.inbox).collect();
        let late: BTreeSet<&InboxId> = place.tasks.iter().filter_map(|task| task.terms.escalate_to.as_ref()).collect();
        // each that has it would get it, and no other: whom it was escalated to has it besides
        let is_here = |decision: &Decision| {
            let there: BTreeSet<&InboxId> = decision.inboxes().collect();
            there.is_subset(&here) && here.iter().all(|inbox| there.contains(inbox) || late.contains(inbox))
        };
        let told = match &after {
            Ok(decision) if is_here(decision) => None,
            Ok(decision) => Some(format!("to {}", list(decision.inboxes()))),
            Err(_) => Some("nowhere, as no route matches it".to_owned()),
        };
        if let Some(elsewhere) = told {
            let told = format!(
                "as it is now written, this referral would go {elsewhere}, and not to {} where it is; cancel this one \
                 (revoked) and refer anew",
                list(here.into_iter())
            );
            issues.push(Issue::error(IssueCode::BusinessRule, "ServiceRequest", told));
        }
    }
    issues
}

fn list<'a>(inboxes: impl Iterator<Item = &'a InboxId>) -> String {
    let named: Vec<String> = inboxes.map(|inbox| format!("“{inbox}”")).collect();
    let word = if named.len() == 1 { "the inbox" } else { "the inboxes" };
    format!("{word} {}", named.join(", "))
}
