//! Who gets how much of what is due: no destination, however much waits for it, keeps others waiting.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use crate::domain::{Destination, breaker::Breaker};

/// How much of what is due may be claimed in one go.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    /// All together.
    pub limit: usize,
    /// Each destination that is not named.
    pub each: usize,
    /// Those of which more is known.
    pub named: HashMap<Destination, Share>,
}

/// What one destination may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// At most so many.
    pub most: usize,
    /// Also messages that wait for a later moment, unless they were tried at or after this one: their endpoint is back.
    pub early: Option<Timestamp>,
}

/// What the scheduler asks for.
#[derive(Debug, Clone)]
pub struct Claim {
    /// How much, and of which.
    pub shares: Shares,
    /// For how long it is the caller's to publish.
    pub lease: Duration,
    /// What was published longer ago than this, and is not done, counts as lost.
    pub republish_after: Duration,
}

/// A breaker as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBreaker {
    /// Whose it is.
    pub of: Destination,
    /// How it stands.
    pub breaker: Breaker,
    /// Grows by one with each change of this one.
    pub version: u64,
}

impl Shares {
    /// The same for all.
    pub fn even(limit: usize, each: usize) -> Self {
        Self { limit, each, named: HashMap::new() }
    }

    /// At most one, of this destination alone, whatever it waits for.
    pub fn one_of(destination: Destination, early: Timestamp) -> Self {
        Self { limit: 1, each: 0, named: HashMap::from([(destination, Share { most: 1, early: Some(early) })]) }
    }

    /// What this one may get.
    pub fn of(&self, destination: &Destination) -> Share {
        self.named.get(destination).copied().unwrap_or(Share { most: self.each, early: None })
    }
}
