//! What Onward knows about a referral without touching the world: ids, the Task state machine, the events of the
//! journal, lanes, endpoints and their breakers, and retry timing. Pure: no I/O, no async, nothing of the other rooms.

pub mod alert;
pub mod breaker;
pub mod clock;
pub mod deadline;
pub mod directory;
pub mod endpoint;
pub mod event;
pub mod ids;
pub mod lane;
pub mod measured;
pub mod noise;
pub mod notice;
pub mod parent;
pub mod person;
pub mod point;
pub mod retry;
pub mod rule_level;
pub mod scope;
pub mod status;
pub mod subscription;
pub mod task;
pub mod working_days;
pub mod written;

pub use alert::{Alert, AlertKind};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use directory::{EntryKind, ProposalStatus};
pub use endpoint::{Destination, Terms};
pub use event::{Actor, Event};
pub use ids::{InboxId, ProviderId, ReferralId, StewardId, SystemId, TaskId};
pub use lane::{Side, WakeUp};
pub use noise::Noise;
pub use person::{Organisation, PersonRole, Position};
pub use point::Point;
pub use scope::{Letter, Scopes};
pub use status::{TaskStatus, TransportStatus};
pub use subscription::{Subscriber, Subscription, SubscriptionEvent, SubscriptionStatus};
