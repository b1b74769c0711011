//! What comes in: a request's referrals, stored in one commit or not at all.

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::AskedBy;
use crate::domain::{
    Actor, Event, InboxId, ProviderId, ReferralId, Side, SystemId, TaskId, WakeUp,
    deadline::{Deadlines, RouteTerms},
};

/// What came in with one request: one referral or several, stored in one commit or not at all.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Identifies the request's original bytes.
    pub id: Uuid,
    /// Who sent it.
    pub system: SystemId,
    /// Media type of `original`.
    pub content_type: String,
    /// The request body as it was sent.
    pub original: Bytes,
    /// Its referrals, in the order of their ServiceRequests.
    pub referrals: Vec<NewReferral>,
    /// What the answer says beside them, kept so that the same again is answered the same.
    pub answer: String,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// By what the client knows the request.
    pub asked_by: Option<AskedBy>,
}

/// A referral about to be stored.
#[derive(Debug, Clone)]
pub struct NewReferral {
    /// Its id.
    pub id: ReferralId,
    /// The business key by which “the same again” is recognised; unique for one originating system.
    pub key: String,
    /// The placer identifier as `system|value`, where the referral has one.
    pub identifier: Option<String>,
    /// SHA-256 of the canonical content.
    pub digest: [u8; 32],
    /// Logical id of its ServiceRequest here.
    pub request: Uuid,
    /// Logical id of the ServiceRequest in the originating record, where the sender told it.
    pub origin: Option<String>,
    /// Version of the route set that decided.
    pub route_set: String,
    /// Why it goes where it goes, as JSON.
    pub decision: String,
    /// ServiceRequest and all that travels with it.
    pub resources: Vec<NewResource>,
    /// One a target; where there are several, their parent before them.
    pub tasks: Vec<NewTask>,
}

/// A FHIR resource about to be stored.
#[derive(Debug, Clone)]
pub struct NewResource {
    /// Its type, such as `Patient`.
    pub kind: String,
    /// Its logical id here.
    pub id: Uuid,
    /// What its sender calls it, as it may stand in a reference: the `fullUrl` of its entry, or `Type/id`.
    pub origin: Option<String>,
    /// What its referral is known by because of it, each once: values of identifiers ([`crate::fhir::names`]).
    pub names: Vec<String>,
    /// The resource as JSON.
    pub body: String,
}

/// A Task about to be stored.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// The inbox it goes to.
    pub inbox: InboxId,
    /// The provider whose inbox that is.
    pub provider: ProviderId,
    /// The Task that it is a part of.
    pub part_of: Option<TaskId>,
    /// What the route says of the time its provider has.
    pub terms: RouteTerms,
    /// What is its own alone, beside what its referral carries for all.
    pub resources: Vec<NewResource>,
    /// What is awaited by when.
    pub deadlines: Deadlines,
    /// The Task of another referral of the same person that is open in the same inbox.
    pub beside: Option<TaskId>,
    /// What happened first.
    pub events: Vec<NewEvent>,
}

/// An event about to be written to the journal.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What happened.
    pub event: Event,
    /// Who did it.
    pub actor: Actor,
    /// The Task as JSON after it, where its content changed; `meta` is added on reading.
    pub body: Option<String>,
    /// The lanes that must carry it.
    pub lanes: Vec<Side>,
}

/// What became of one referral of a [`Submission`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Its id here: a new one, or that of the referral stored before.
    pub referral: ReferralId,
    /// Logical id of its ServiceRequest.
    pub request: Uuid,
    /// Its Tasks.
    pub tasks: Vec<TaskId>,
    /// Whether this call stored it; otherwise it was here already, with the same content.
    pub new: bool,
    /// When it was stored: the `meta.lastUpdated` of the first version of all that came with it.
    pub at: Timestamp,
    /// [`Submission::answer`] of the request that stored it.
    pub answer: String,
}

/// What became of a whole [`Submission`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submit {
    /// All referrals are in the store; wake-ups are leased to the caller, who publishes them.
    Stored(Vec<Submitted>, Vec<WakeUp>),
    /// The referral at this index is known under its key with other content; nothing was stored.
    Differs(usize),
}
