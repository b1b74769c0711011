//! The piece of the configuration that adds another system, checked before it is pasted; whether that system can be reached and is what it
//! should be, step by step, each with what failed in words and what to do; and a test referral that goes the whole way and is cancelled,
//! with the verdict on it.

pub mod piece;
mod probe;
mod trial;
pub mod verdict;

pub use probe::{Found, Needs, Stage, Step, probe};
pub use trial::{Begun, Trial, TrialError};
