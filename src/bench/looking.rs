//! People who look while referrals come in: one Task by its id, and a page of a provider's worklist.

use std::{cell::RefCell, rc::Rc, time::Duration};

use hdrhistogram::Histogram;
use tokio_util::sync::CancellationToken;

use super::{
    latency::{MOST_US, Percentiles, percentiles},
    load::Load,
    peer::book::now_us,
};
use crate::demo::caller::Call;

/// How long each took.
#[derive(Debug)]
pub struct Looks {
    reads: RefCell<Histogram<u64>>,
    searches: RefCell<Histogram<u64>>,
}

impl Looks {
    /// Nobody has looked.
    pub fn new() -> Option<Rc<Self>> {
        let empty = || Histogram::new_with_bounds(1, MOST_US, 3).ok();
        Some(Rc::new(Self { reads: RefCell::new(empty()?), searches: RefCell::new(empty()?) }))
    }

    /// Looks at this rate until `stop`, turn by turn at a Task and at a worklist.
    pub async fn go_on(self: Rc<Self>, load: Rc<Load>, rate: f64, stop: CancellationToken) {
        let mut every = tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(0.1)));
        for turn in 0u32.. {
            tokio::select! {
                _ = every.tick() => {}
                () = stop.cancelled() => return,
            }
            let (looks, load) = (self.clone(), load.clone());
            tokio::task::spawn_local(async move { looks.one(&load, turn).await });
        }
    }

    async fn one(&self, load: &Load, turn: u32) {
        let search = turn.is_multiple_of(2);
        let Some((url, token)) = (if search { load.a_worklist(turn) } else { load.a_task() }) else { return };
        let begun = now_us();
        let answered = load.caller().call(Call::get(url).token(token)).await;
        if answered.is_ok_and(|answered| answered.status.is_success()) {
            let us = u64::try_from(now_us() - begun).unwrap_or_default().clamp(1, MOST_US);
            let of = if search { &self.searches } else { &self.reads };
            let _ = of.borrow_mut().record(us);
        }
    }

    /// Percentiles of reads and of searches.
    pub fn told(&self) -> (Percentiles, Percentiles) {
        (percentiles(&self.reads.borrow()), percentiles(&self.searches.borrow()))
    }
}
