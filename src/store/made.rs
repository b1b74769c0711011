//! For tests: referrals as they lie in a store, without a request that brings them.

use uuid::Uuid;

use super::{NewEvent, NewReferral, NewResource, NewTask, Submission};
use crate::domain::{Actor, Event, ReferralId, TaskId};

/// A resource with this body, found by these names.
pub(crate) fn resource(kind: &str, id: Uuid, body: &serde_json::Value, names: Vec<String>) -> NewResource {
    NewResource { kind: kind.into(), id, origin: None, names, body: body.to_string() }
}

/// A referral of one Task, with this body, to an inbox that bears its provider's name. It came from the system `rio`.
pub(crate) fn referral(
    key: &str,
    inbox: &str,
    request: Uuid,
    (task, body): (TaskId, &serde_json::Value),
    resources: Vec<NewResource>,
) -> NewReferral {
    let event = Event::Submitted {
        route: None,
        route_set: "1".into(),
        inbox: inbox.parse().unwrap(),
        instead_of: None,
        beside: None,
    };
    let actor = Actor::System("rio".parse().unwrap());
    NewReferral {
        id: ReferralId::mint(),
        key: key.to_owned(),
        identifier: Some(format!("https://rio.example/id|{key}")),
        digest: [0; 32],
        request,
        origin: None,
        route_set: "1".into(),
        decision: "{}".into(),
        resources,
        tasks: vec![NewTask {
            id: task,
            inbox: inbox.parse().unwrap(),
            provider: inbox.parse().unwrap(),
            part_of: None,
            terms: Default::default(),
            resources: vec![],
            deadlines: Default::default(),
            beside: None,
            events: vec![NewEvent { event, actor, body: Some(body.to_string()), lanes: vec![] }],
        }],
    }
}

/// Referrals that came with one request of this system.
pub(crate) fn submission(system: &str, referrals: Vec<NewReferral>) -> Submission {
    Submission {
        id: Uuid::now_v7(),
        system: system.parse().unwrap(),
        content_type: "application/fhir+json".into(),
        original: bytes::Bytes::from_static(b"{}"),
        referrals,
        answer: "[]".into(),
        traceparent: None,
        asked_by: None,
    }
}
