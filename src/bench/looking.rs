//! People who look while referrals come in: one Task by its id, and a page of what a search finds.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

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
    searches: RefCell<BTreeMap<&'static str, Histogram<u64>>>,
}

/// Percentiles of reads, and of each search by its name.
pub type Told = (Percentiles, BTreeMap<String, Percentiles>);

impl Looks {
    /// Nobody has looked.
    pub fn new() -> Option<Rc<Self>> {
        let empty = Histogram::new_with_bounds(1, MOST_US, 3).ok()?;
        Some(Rc::new(Self { reads: RefCell::new(empty), searches: RefCell::default() }))
    }

    /// Looks at this rate until `stop`, turn by turn at a Task and at what a search finds.
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
        let found = if turn.is_multiple_of(2) {
            load.a_search(turn / 2)
        } else {
            load.a_task().map(|(url, token)| ("", url, token))
        };
        let Some((search, url, token)) = found else { return };
        let begun = now_us();
        let answered = load.caller().call(Call::get(url).token(token)).await;
        if answered.is_ok_and(|answered| answered.status.is_success()) {
            let us = u64::try_from(now_us() - begun).unwrap_or_default().clamp(1, MOST_US);
            if search.is_empty() {
                let _ = self.reads.borrow_mut().record(us);
            } else if let Ok(empty) = Histogram::new_with_bounds(1, MOST_US, 3) {
                let _ = self.searches.borrow_mut().entry(search).or_insert(empty).record(us);
            }
        }
    }

    /// What was seen.
    pub fn told(&self) -> Told {
        let searches = self.searches.borrow();
        let each = searches.iter().map(|(name, took)| ((*name).to_owned(), percentiles(took)));
        (percentiles(&self.reads.borrow()), each.collect())
    }
}
