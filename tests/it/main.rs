//! One binary for all integration tests, one module a capability.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod store;
