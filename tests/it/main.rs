//! The one integration test binary; a module a capability.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod broker;
mod cli;
mod store;
mod support;
