//! The one integration test binary; a module per capability.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod broker;
mod support;
