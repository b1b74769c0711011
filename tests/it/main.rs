//! The one integration test binary; a module a capability.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broker;
mod broker_away;
mod crash;
mod delivery;
mod loops;
mod store;
mod support;
mod writeback;
