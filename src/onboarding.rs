//! Whether another system can be reached and is what it should be, step by step, each with what failed in words and what to do; and a
//! test referral that goes the whole way and is cancelled.

mod probe;
mod trial;

pub use probe::{Found, Needs, Stage, Step, probe};
pub use trial::{Begun, Trial, TrialError};
