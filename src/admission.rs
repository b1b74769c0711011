//! Who is let in, decided from a request's headers before its body is read: each kind of request has places of its own, each
//! client a fair share of them, and referrals no more places than the store can serve without getting slow.
//!
//! What it refuses has cost next to nothing; what it lets in can be finished.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::config::Limits;

pub mod limit;
pub mod outbox;
mod rates;
pub mod shares;

pub use rates::Rates;

use limit::{Adaptive, Bounds};
use shares::{Refused, Shares};

/// However slow the store is, so many referrals are worked on at once, or as many as may be where that is fewer.
const REFERRALS_MIN: usize = 16;
/// Requests for figures at once.
const FIGURES_MAX: usize = 4;
/// Requests of people for pages at once.
const PAGES_MAX: usize = 96;
/// How fast what was let in and refused is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(1);
/// Nobody is asked to wait longer for a place.
const WAIT_MAX_S: f64 = 30.0;

/// A kind of request. Each has places of its own, so that no flood of one keeps another out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What originating systems write.
    Referral,
    /// What providers write.
    Answer,
    /// What is read.
    Read,
    /// `/metrics`
    Figures,
    /// What people look at and send in a browser.
    Page,
}

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether it is this client that asks too much (429), and not that there is too much of everything (503).
    pub own: bool,
    /// In words for the client.
    pub why: String,
    /// When to come again, in seconds.
    pub retry_after_s: u64,
}

/// Why a kind of request is not let in at all at present, whoever sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// The store does not take writes: neither referrals nor answers.
    Store,
    /// The disk is nearly full: what room there is belongs to what was accepted already.
    Disk,
    /// Too much waits to be delivered.
    Outbox,
    /// Nothing says where a referral goes.
    Routes,
}

impl Gate {
    fn shuts_out(self, kind: Kind) -> bool {
        match kind {
            Kind::Referral => true,
            Kind::Answer => self == Self::Store,
            Kind::Read | Kind::Figures | Kind::Page => false,
        }
    }
}

/// See the module's documentation.
pub struct Admission {
    begun: Instant,
    bodies_max: usize,
    body_max: usize,
    state: Mutex<State>,
}

struct State {
    referrals: Adaptive,
    /// How much of the referrals' limit is given out; less while the outbox fills.
    open: f64,
    rooms: BTreeMap<Kind, Room>,
    /// Bytes of bodies that are being read or worked on, by client.
    bodies: HashMap<String, usize>,
    gates: BTreeMap<Gate, String>,
}

/// The places of one kind.
#[derive(Default)]
struct Room {
    max: usize,
    shares: Shares,
    recent: Recent,
}

/// What was let in and refused of late.
#[derive(Default)]
struct Recent {
    at: Duration,
    taken: f64,
    refused: f64,
}

/// A place that a request has until it is answered.
pub struct Place {
    admission: Arc<Admission>,
    kind: Kind,
    who: String,
    bytes: usize,
    aside: AtomicBool,
}

/// How full it is, for figures and health.
#[derive(Debug, Clone, PartialEq)]
pub struct Fullness {
    /// Places taken, of how many, by kind.
    pub rooms: Vec<(Kind, usize, usize)>,
    /// How many referrals could be in at once if the store were fast enough.
    pub referrals_max: usize,
    /// Of the referrals that came of late, the part that was refused.
    pub refused: f64,
    /// How much of the referrals' limit is given out.
    pub open: f64,
}

// === impl Kind ===

impl Kind {
    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Referral => "referral",
            Self::Answer => "answer",
            Self::Read => "read",
            Self::Figures => "figures",
            Self::Page => "page",
        }
    }
}

// === impl Admission ===

impl Admission {
    /// Within these limits.
    pub fn new(limits: &Limits) -> Arc<Self> {
        let bounds = Bounds { min: REFERRALS_MIN, max: limits.concurrent_requests, tolerated: limits.store_latency };
        let rooms = [
            (Kind::Referral, limits.concurrent_requests),
            (Kind::Answer, limits.concurrent_answers),
            (Kind::Read, limits.concurrent_reads),
            (Kind::Figures, FIGURES_MAX),
            (Kind::Page, PAGES_MAX),
        ];
        let rooms = rooms.into_iter().map(|(kind, max)| (kind, Room { max, ..Room::default() })).collect();
        let state = State {
            referrals: Adaptive::new(bounds),
            open: 1.0,
            rooms,
            bodies: HashMap::new(),
            gates: BTreeMap::new(),
        };
        Arc::new(Self {
            begun: Instant::now(),
            // one body must always fit
            bodies_max: limits.bodies_bytes.max(limits.body_bytes),
            body_max: limits.body_bytes,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a request of `who`, whose body is announced to have so many bytes (`None`: it does not say).
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn enter(self: &Arc<Self>, kind: Kind, who: &str, announced: Option<usize>) -> Result<Place, Refusal> {
        let at = self.begun.elapsed();
        let mut state = self.state();
        let state = &mut *state;
        let shut = state.gates.iter().find(|(gate, _)| gate.shuts_out(kind)).map(|(_, why)| why.clone());
        let bytes = match kind {
            Kind::Read | Kind::Figures => 0,
            // what is larger than allowed is refused by its handler, unread
            _ => announced.unwrap_or(self.body_max).min(self.body_max),
        };
        let adaptive = state.referrals.limit();
        let limit_of_referrals = ((adaptive as f64 * state.open) as usize).max(1);
        let Some(room) = state.rooms.get_mut(&kind) else {
            return Err(Refusal { own: false, why: String::new(), retry_after_s: 1 });
        };
        let limit = if kind == Kind::Referral { limit_of_referrals.min(room.max) } else { room.max };
        room.recent.fade(at);
        let refused = if let Some(why) = shut {
            (false, "gate", why)
        } else if let Some(own) = over(&state.bodies, who, bytes, self.bodies_max) {
            (own, "bodies", "the bodies being worked on take up all the memory there is for them".to_owned())
        } else {
            match room.shares.take(who, limit, at) {
                Ok(()) => {
                    room.recent.taken += 1.0;
                    let (admission, who) = (Arc::clone(self), who.to_owned());
                    *state.bodies.entry(who.clone()).or_default() += bytes;
                    return Ok(Place { admission, kind, who, bytes, aside: AtomicBool::new(false) });
                }
                Err(Refused::Own) => {
                    (true, "own", "this client has as many requests being worked on as its share is".to_owned())
                }
                Err(Refused::All) => (false, "all", "as many requests are being worked on as can be".to_owned()),
            }
        };
        room.recent.refused += 1.0;
        let (own, reason, why) = refused;
        metrics::counter!("onward_refused_total", "kind" => kind.name(), "reason" => reason).increment(1);
        Err(Refusal { own, why, retry_after_s: room.recent.wait_s(fastrand::f64()) })
    }

    /// The store took this long over a referral.
    pub fn committed(&self, took: Duration) {
        let at = self.begun.elapsed();
        let mut state = self.state();
        let in_flight = state.rooms.get(&Kind::Referral).map_or(0, |room| room.shares.total());
        state.referrals.committed(at, took, in_flight);
    }

    /// Shuts a gate, and tells who comes why; or opens it.
    pub fn shut(&self, gate: Gate, why: Option<&str>) {
        let gates = &mut self.state().gates;
        match why {
            Some(why) => drop(gates.insert(gate, why.to_owned())),
            None => drop(gates.remove(&gate)),
        }
    }

    /// Gives out only this part of the referrals' limit, from 0 to 1.
    pub fn narrow(&self, open: f64) {
        self.state().open = open.clamp(0.0, 1.0);
    }

    /// How full it is.
    pub fn fullness(&self) -> Fullness {
        let at = self.begun.elapsed();
        let mut state = self.state();
        let state = &mut *state;
        let adaptive = ((state.referrals.limit() as f64 * state.open) as usize).max(1);
        let mut refused = 0.0;
        let mut rooms = Vec::new();
        for (kind, room) in &mut state.rooms {
            let mut limit = room.max;
            if *kind == Kind::Referral {
                limit = adaptive.min(room.max);
                room.recent.fade(at);
                refused = room.recent.refused_part();
            }
            rooms.push((*kind, room.shares.total(), limit));
        }
        let referrals_max = state.rooms.get(&Kind::Referral).map_or(0, |room| room.max);
        Fullness { rooms, referrals_max, refused, open: state.open }
    }
}

/// Whether a body is too much for the memory that is left, and if so whether that is its own client's doing: one that has
/// three quarters leaves the rest to others.
fn over(bodies: &HashMap<String, usize>, who: &str, bytes: usize, max: usize) -> Option<bool> {
    let own = bodies.get(who).copied().unwrap_or_default();
    if own > 0 && own + bytes > max - max / 4 {
        return Some(true);
    }
    (bytes > 0 && bodies.values().sum::<usize>() + bytes > max).then_some(false)
}

// === impl Recent ===

impl Recent {
    fn fade(&mut self, at: Duration) {
        let by = 0.5_f64.powf(at.saturating_sub(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64());
        self.taken *= by;
        self.refused *= by;
        self.at = at;
    }

    fn refused_part(&self) -> f64 {
        let all = self.taken + self.refused;
        if all < 0.5 { 0.0 } else { self.refused / all }
    }

    /// When to come again: if all who were refused came back spread over the time that the places need to serve them, they would
    /// just fit. `dice` is from 0 to 1 and spreads them.
    fn wait_s(&self, dice: f64) -> u64 {
        let span = (self.refused / self.taken.max(1.0)).clamp(1.0, WAIT_MAX_S);
        1 + (dice * span) as u64
    }
}

// === impl Place ===

impl Place {
    /// Steps out of the count while its body comes slowly: whoever dawdles keeps nobody else out.
    pub fn step_aside(&self) {
        if !self.aside.swap(true, Ordering::Relaxed)
            && let Some(room) = self.admission.state().rooms.get_mut(&self.kind)
        {
            room.shares.leave(&self.who);
        }
    }

    /// And into it again, whatever the limit: it was let in.
    pub fn step_back(&self) {
        if self.aside.swap(false, Ordering::Relaxed)
            && let Some(room) = self.admission.state().rooms.get_mut(&self.kind)
        {
            room.shares.take_back(&self.who);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let aside = self.aside.load(Ordering::Relaxed);
        let mut state = self.admission.state();
        if let Some(own) = state.bodies.get_mut(&self.who) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                state.bodies.remove(&self.who);
            }
        }
        if !aside && let Some(room) = state.rooms.get_mut(&self.kind) {
            room.shares.leave(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(requests: usize) -> Arc<Admission> {
        let (config, _) = crate::config::Config::parse(
            "[limits]\nbody = \"1MiB\"\nbodies = \"4MiB\"\n",
            std::path::Path::new("onward.toml"),
            &crate::config::Env::default(),
        )
        .unwrap();
        Admission::new(&Limits { concurrent_requests: requests, ..config.limits })
    }

    #[test]
    fn a_flood_of_referrals_keeps_nobody_from_answering_or_reading() {
        let admission = admission(8);
        let places: Vec<_> = (0..100).filter_map(|_| admission.enter(Kind::Referral, "flood", Some(10)).ok()).collect();
        assert_eq!(places.len(), 6);
        assert!(admission.enter(Kind::Referral, "flood", Some(10)).is_err_and(|refusal| refusal.own));
        assert!(admission.enter(Kind::Answer, "provider", Some(10)).is_ok());
        assert!(admission.enter(Kind::Read, "flood", None).is_ok());
        assert!(admission.enter(Kind::Referral, "other", Some(10)).is_ok());
        drop(places);
        assert!(admission.enter(Kind::Referral, "flood", Some(10)).is_ok());
    }

    #[test]
    fn bodies_are_bounded_together_and_one_that_does_not_say_counts_for_the_largest() {
        let admission = admission(64);
        let places: Vec<_> = (0..10).filter_map(|_| admission.enter(Kind::Referral, "a", None).ok()).collect();
        assert_eq!(places.len(), 3);
        assert!(admission.enter(Kind::Referral, "a", None).is_err_and(|refusal| refusal.own));
        let rest = admission.enter(Kind::Answer, "b", None).unwrap();
        let refusal = admission.enter(Kind::Answer, "c", Some(1)).err().unwrap();
        assert!(!refusal.own && refusal.why.contains("memory"), "{refusal:?}");
        assert!(admission.enter(Kind::Read, "c", None).is_ok());
        drop((places, rest));
        assert!(admission.enter(Kind::Answer, "c", Some(1)).is_ok());
        assert!(admission.state().bodies.is_empty());
    }

    #[test]
    fn a_gate_shuts_out_what_it_must_and_no_more() {
        let admission = admission(8);
        let kinds = [Kind::Referral, Kind::Answer, Kind::Read, Kind::Figures, Kind::Page];
        let shut_out = || kinds.map(|kind| admission.enter(kind, "a", Some(1)).is_err());
        for (gate, expected) in [
            (Gate::Store, [true, true, false, false, false]),
            (Gate::Disk, [true, false, false, false, false]),
            (Gate::Outbox, [true, false, false, false, false]),
        ] {
            admission.shut(gate, Some("why"));
            assert_eq!(shut_out(), expected, "{gate:?}");
            admission.shut(gate, None);
            assert_eq!(shut_out(), [false; 5]);
        }
    }

    #[test]
    fn who_dawdles_gives_up_the_place_for_so_long() {
        let admission = admission(1);
        let slow = admission.enter(Kind::Referral, "slow", Some(1)).unwrap();
        assert!(admission.enter(Kind::Referral, "other", Some(1)).is_err());
        slow.step_aside();
        slow.step_aside();
        let other = admission.enter(Kind::Referral, "other", Some(1)).unwrap();
        slow.step_back();
        assert_eq!(admission.fullness().rooms[0], (Kind::Referral, 2, 1));
        drop((slow, other));
        assert_eq!(admission.fullness().rooms[0], (Kind::Referral, 0, 1));
    }

    #[test]
    fn the_outbox_narrows_referrals_alone() {
        let admission = admission(8);
        admission.narrow(0.0);
        assert!(admission.enter(Kind::Referral, "a", Some(1)).is_ok(), "one at a time goes on: it is slowed, not shut");
        admission.narrow(0.5);
        assert_eq!(admission.fullness().rooms[0], (Kind::Referral, 0, 4));
        assert_eq!(admission.fullness().rooms[1].2, 64);
    }

    #[test]
    fn who_is_refused_is_spread_over_the_time_that_serving_all_would_take() {
        let recent = |taken, refused| Recent { at: Duration::ZERO, taken, refused };
        assert_eq!((recent(10.0, 1.0).wait_s(0.0), recent(10.0, 1.0).wait_s(0.999)), (1, 1));
        assert_eq!((recent(10.0, 90.0).wait_s(0.0), recent(10.0, 90.0).wait_s(0.999)), (1, 9));
        assert_eq!(recent(0.0, 1e9).wait_s(0.999), 30);
        let mut faded = recent(10.0, 90.0);
        faded.fade(Duration::from_secs(20));
        assert!(faded.refused_part() < 0.001 && faded.wait_s(0.999) == 1);
    }
}
