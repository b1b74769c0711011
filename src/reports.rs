//! What became of the referrals of some days, in numbers: how many, how many were taken on, how soon they were answered and finished;
//! by service, area and reason. Small numbers are left out so that they cannot be reckoned from what is told.

mod figures;
mod read;
mod suppress;

pub use figures::{Answered, By, Counted, Group, Outcome, Table, Times};
pub use read::{REPORTED_MAX, ReportError, read};
pub use suppress::{Cell, Line, SMALL, Told, TooFew};

#[cfg(test)]
mod tests;
