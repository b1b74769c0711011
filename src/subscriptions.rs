//! Subscriptions: R4 with the topics of R5 (Subscriptions R5 Backport 1.1). Whoever takes part is told of changes of its Tasks by a POST
//! to its own URL; each event has a number, none is left out.
//!
//! Nothing is noted where a Task changes: whoever attends to a subscription goes along the changes of the Tasks that concern its owner,
//! numbers those that it wants, and sends them in order. One process attends to it at a time, under a lease; what cannot be sent is
//! tried again by the same policy as everything else, and when that ends the subscription is in `error` until its owner asks anew.

mod attend;
pub mod channel;
pub mod notification;
pub mod wanted;

pub use attend::Notifier;
pub(crate) use attend::hooks_of;
pub use wanted::Wanted;

/// The topic: changes of Tasks, the first version of each among them.
pub const TOPIC: &str = "https://onward.example/fhir/SubscriptionTopic/Task";
/// By what the changes can be narrowed.
pub const FILTERS: &[&str] =
    &["owner", "requester", "status", "code", "patient", "focus", "business-status", "priority"];
/// The base of the extensions of the backport.
const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
