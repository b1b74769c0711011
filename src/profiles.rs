//! Whether a resource is what R4 says it is. `basic` holds the checks that a referral must pass until full validation
//! against compiled definitions stands here.

pub mod basic;

pub use basic::{Finding, check};
