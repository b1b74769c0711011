//! The Tasks of a referral: one where it has one target, otherwise a parent and a part for each.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::IntakeError;
use crate::{
    config::registry::{Inbox, Provider, Registry},
    domain::{
        Actor, Event, InboxId, ProviderId, Side, SystemId, TaskId,
        deadline::{Deadlines, RouteTerms},
        event::InsteadOf,
    },
    fhir::{
        Issue, IssueCode,
        filler_order::{self, Order},
        names,
        task::{self as fhir_task, NewTask},
    },
    routing::{Decision, Share, Target},
    store::{NewEvent, NewResource, NewTask as StoredTask},
};

/// A target with what the registry says of it.
pub(super) struct Found<'r> {
    pub(super) inbox: &'r Inbox,
    provider: &'r Provider,
    instead_of: Option<InsteadOf>,
}

/// The targets of a decision, as they are configured; what is wrong is told at `place`.
///
/// # Errors
/// [`IntakeError::Rule`] where the registry does not have one.
pub(super) fn found<'r>(
    registry: &'r Registry,
    decision: &Decision,
    place: &str,
) -> Result<Vec<Found<'r>>, IntakeError> {
    let wrong = |told: String| IntakeError::Rule(vec![Issue::error(IssueCode::Processing, place, told)]);
    let one = |target: &Target| {
        let Some(inbox) = registry.inboxes.get(&target.inbox) else {
            return Err(wrong(format!("the route leads to the inbox “{}”, which is not configured", target.inbox)));
        };
        let Some(provider) = registry.providers.get(&inbox.provider) else {
            return Err(wrong(format!("the inbox “{}” belongs to no provider", inbox.id)));
        };
        let instead_of = target.instead_of.as_ref();
        let instead_of = instead_of.map(|(inbox, why)| InsteadOf { inbox: inbox.clone(), why: why.to_string() });
        Ok(Found { inbox, provider, instead_of })
    };
    decision.targets.iter().map(one).collect()
}

/// What the Tasks of a referral are made from.
pub(super) struct Tasks<'a> {
    pub(super) base_url: &'a str,
    pub(super) registry: &'a Registry,
    /// Who refers.
    pub(super) actor: &'a Actor,
    pub(super) system: &'a SystemId,
    /// The ServiceRequest as it will be read.
    pub(super) request: &'a Value,
    /// What is open of the same person in their inboxes.
    pub(super) beside: &'a BTreeMap<InboxId, TaskId>,
    pub(super) at: Timestamp,
}

impl Tasks<'_> {
    /// All of them, the parent first.
    pub(super) fn make(&self, decision: &Decision, targets: &[Found<'_>]) -> Vec<StoredTask> {
        let terms = RouteTerms {
            acknowledge_within: decision.terms.acknowledge_within,
            answer_within: decision.terms.answer_within,
            escalate_to: decision.terms.escalate_to.clone(),
        };
        let route = decision.route.as_ref();
        if let [target] = targets {
            return vec![self.part(route, target, &terms, None, Share::Copy)];
        }
        let parent = self.parent(route);
        let id = parent.id;
        let parts = targets.iter().map(|target| self.part(route, target, &terms, Some(id), decision.share));
        std::iter::once(parent).chain(parts).collect()
    }

    /// The one that the others are parts of. It goes to nobody; the record is told of it at once.
    fn parent(&self, route: Option<&String>) -> StoredTask {
        let id = TaskId::mint();
        let has_record = self.registry.systems.get(self.system).is_some_and(|system| system.write_back.is_some());
        let lanes = if has_record { vec![Side::WriteBack] } else { vec![] };
        let inbox = InboxId::of_parent();
        let body = self.body(id, None, None, None);
        StoredTask {
            id,
            inbox: inbox.clone(),
            provider: ProviderId::of_parent(),
            part_of: None,
            terms: RouteTerms::default(),
            resources: vec![],
            deadlines: Deadlines::default(),
            beside: None,
            events: vec![self.submitted(route, inbox, None, &body, lanes)],
        }
    }

    fn part(
        &self,
        route: Option<&String>,
        target: &Found<'_>,
        terms: &RouteTerms,
        part_of: Option<TaskId>,
        share: Share,
    ) -> StoredTask {
        let id = TaskId::mint();
        let Provider { id: of, ods_code, name, .. } = target.provider;
        let owner = fhir_task::owner(of.as_str(), ods_code, name);
        let order = (share == Share::Split).then(|| {
            let id = Uuid::now_v7();
            (id, filler_order::make(&Order { id, request: self.request, performer: owner.clone(), at: self.at }))
        });
        let body = self.body(id, Some(owner), part_of, order.as_ref().map(|(id, _)| *id));
        let inbox = target.inbox;
        let resources = order.map(|(id, order)| NewResource {
            kind: "ServiceRequest".to_owned(),
            id,
            origin: None,
            names: names::of(&order),
            body: order.to_string(),
        });
        StoredTask {
            id,
            inbox: inbox.id.clone(),
            provider: inbox.provider.clone(),
            part_of,
            terms: terms.clone(),
            resources: resources.into_iter().collect(),
            deadlines: Deadlines::made(self.at, self.registry.delayed_after(inbox)),
            beside: self.beside.get(&inbox.id).copied(),
            events: vec![self.submitted(
                route,
                inbox.id.clone(),
                target.instead_of.clone(),
                &body,
                vec![Side::Delivery],
            )],
        }
    }

    fn body(&self, id: TaskId, owner: Option<Value>, part_of: Option<TaskId>, order: Option<Uuid>) -> Value {
        fhir_task::make(&NewTask {
            id,
            base_url: self.base_url,
            request: self.request,
            owner,
            part_of,
            order,
            at: self.at,
        })
    }

    fn submitted(
        &self,
        route: Option<&String>,
        inbox: InboxId,
        instead_of: Option<InsteadOf>,
        body: &Value,
        lanes: Vec<Side>,
    ) -> NewEvent {
        let beside = self.beside.get(&inbox).copied();
        let event = Event::Submitted {
            route: route.cloned(),
            route_set: self.registry.routes.version().to_owned(),
            inbox,
            instead_of,
            beside,
        };
        NewEvent { event, actor: self.actor.clone(), body: Some(body.to_string()), lanes }
    }
}
