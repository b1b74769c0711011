//! Looks after the parts: a write into the store, the room on its disk, the broker, what waits, and how many are sent away.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Health, Part, State};
use crate::{
    admission::{
        Admission, Fullness, Gate, Kind,
        outbox::{self, Waiting},
    },
    broker::{Broker, BrokerHealth},
    store::{Backlog, Store, StoreError},
};

/// How often the parts are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The store is written to this often to see whether it can be.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// A store that has not taken a write by then is one that takes none.
const PROBE_MAX: Duration = Duration::from_secs(10);
/// What waits is counted this often, …
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// … and more seldom where that takes long: at most this part of the time is spent on it.
const COUNT_SHARE: u32 = 50;
/// Of the referrals that came of late, so many must have been refused before that is worth a word.
const REFUSED_PART: f64 = 0.02;

/// See the module's documentation.
pub struct Watch {
    /// Where what it finds is told.
    pub health: Arc<Health>,
    /// Where what it finds is acted on.
    pub admission: Arc<Admission>,
    /// What it looks at.
    pub store: Arc<dyn Store>,
    /// What it looks at.
    pub broker: Arc<dyn Broker>,
    /// The folder of an embedded store.
    pub folder: Option<PathBuf>,
    /// The room that there must be on its disk.
    pub free_disk_bytes: u64,
    /// What may wait.
    pub outbox: outbox::Bounds,
}

/// What was found of one part: its state, what that is, what to do.
type Found = (State, String, &'static str);

impl Watch {
    /// Looks at everything once, so that what is told is true from the first moment on.
    pub async fn first_look(&self) {
        self.look_at_store().await;
        self.look_at_outbox().await;
        self.look_at_the_rest();
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let every = |period| async move {
            tokio::time::sleep(period).await;
        };
        let store = async {
            loop {
                every(PROBE_EVERY).await;
                self.look_at_store().await;
            }
        };
        let outbox = async {
            loop {
                let took = self.look_at_outbox().await;
                every(COUNT_EVERY.max(took * COUNT_SHARE)).await;
            }
        };
        let rest = async {
            loop {
                every(LOOK_EVERY).await;
                self.look_at_the_rest();
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            // none of these ends
            ((), (), ()) = async { tokio::join!(store, outbox, rest) } => {}
        }
    }

    async fn look_at_store(&self) {
        let late = || StoreError::Unavailable(format!("it did not take a write within {} s", PROBE_MAX.as_secs()));
        let written = tokio::time::timeout(PROBE_MAX, self.store.ready()).await.unwrap_or_else(|_| Err(late()));
        let why = written.as_ref().err().map(|_| "the store takes no writes just now; nothing was stored");
        self.admission.shut(Gate::Store, why);
        let (state, detail, advice) = of_store(&written);
        self.health.note(Part::Store, state, detail, advice);
    }

    async fn look_at_outbox(&self) -> Duration {
        let begun = Instant::now();
        // where it cannot be counted, what was known before stands, and the store is told to be away
        let (backlog, overdue) = (self.store.backlog().await, self.store.overdue().await);
        if let (Ok(backlog), Ok(overdue)) = (backlog, overdue) {
            let overdue = overdue.map(|since| self.store.now().duration_since(since));
            let waiting = waiting(&backlog, overdue.and_then(|late| Duration::try_from(late).ok()));
            let open = outbox::open(&self.outbox, &waiting);
            self.admission.narrow(open);
            let why = "too much waits to be delivered; nothing was stored";
            self.admission.shut(Gate::Outbox, (open <= 0.0).then_some(why));
            let (state, detail, advice) = of_outbox(&self.outbox, &waiting, open);
            self.health.note(Part::Outbox, state, detail, advice);
        }
        begun.elapsed()
    }

    fn look_at_the_rest(&self) {
        if let Some(folder) = &self.folder {
            let (state, detail, advice) = match rustix::fs::statvfs(folder) {
                Ok(disk) => of_disk(disk.f_bavail.saturating_mul(disk.f_frsize), self.free_disk_bytes),
                Err(error) => of_unseen_disk(error),
            };
            let why = "the disk is nearly full; nothing was stored";
            self.admission.shut(Gate::Disk, (state == State::Unavailable).then_some(why));
            self.health.note(Part::Disk, state, detail, advice);
        }
        let (state, detail, advice) = of_broker(self.broker.health());
        self.health.note(Part::Broker, state, detail, advice);
        let fullness = self.admission.fullness();
        for (kind, taken, limit) in &fullness.rooms {
            metrics::gauge!("onward_places_taken", "kind" => kind.name()).set(*taken as f64);
            metrics::gauge!("onward_places", "kind" => kind.name()).set(*limit as f64);
        }
        let parts = self.health.conditions();
        let shut = [Part::Store, Part::Disk, Part::Outbox, Part::Routes]
            .into_iter()
            .find(|part| parts.get(part).is_some_and(|found| found.state == State::Unavailable));
        let (state, detail, advice) = of_intake(shut, &fullness);
        self.health.note(Part::Intake, state, detail, advice);
    }
}

fn of_store(written: &Result<(), StoreError>) -> Found {
    match written {
        Ok(()) => (State::Ready, "it takes writes".to_owned(), ""),
        Err(error) => {
            let advice = "see to what it says; until then referrals and answers are refused and nothing is lost, and it goes \
                          on by itself";
            (State::Unavailable, error.to_string(), advice)
        }
    }
}

fn waiting(backlog: &[Backlog], overdue: Option<Duration>) -> Waiting {
    let messages = backlog.iter().map(|one| one.waiting).sum();
    Waiting { messages, overdue: overdue.unwrap_or_default() }
}

fn of_outbox(bounds: &outbox::Bounds, waiting: &Waiting, open: f64) -> Found {
    let (late, most) = (waiting.overdue.as_secs(), bounds.age.as_secs());
    let wait = match waiting.messages {
        0 => "nothing waits".to_owned(),
        1 => format!("1 message of at most {} waits", bounds.messages),
        many => format!("{many} messages of at most {} wait", bounds.messages),
    };
    let said = match late {
        0 => wait,
        _ => format!("{wait}; one has waited {late} s of at most {most} s for the broker"),
    };
    let advice =
        "see in /metrics (onward_messages_waiting) for whom they wait and get that going, and see to the broker";
    match open {
        1.0 => (State::Ready, said, ""),
        open if open > 0.0 => (State::Degraded, format!("{said}: referrals are let in more slowly"), advice),
        _ => (State::Unavailable, format!("{said}: referrals are refused"), advice),
    }
}

fn of_disk(free: u64, needed: u64) -> Found {
    let mib = |bytes: u64| bytes >> 20;
    let said = format!("{} MiB free", mib(free));
    let advice = "make room on the disk of the store, or enlarge it; it goes on by itself";
    if free < needed {
        return (State::Unavailable, format!("{said}, fewer than {}: referrals are refused", mib(needed)), advice);
    }
    if free < needed.saturating_mul(2) {
        return (State::Degraded, format!("{said}; below {} referrals are refused", mib(needed)), advice);
    }
    (State::Ready, said, "")
}

fn of_unseen_disk(error: rustix::io::Errno) -> Found {
    let advice = "see whether the folder of the store is still there";
    (State::Degraded, format!("its room cannot be seen: {error}"), advice)
}

fn of_broker(broker: BrokerHealth) -> Found {
    if !broker.connected {
        let advice = "start the broker or mend the way to it; referrals are accepted, and delivered when it is back";
        return (State::Unavailable, broker.detail, advice);
    }
    if broker.blocked {
        let advice = "give the broker memory or disk (rabbitmqctl status says which); referrals are accepted, and delivered \
                      when it takes messages again";
        return (State::Degraded, broker.detail, advice);
    }
    (State::Ready, broker.detail, "")
}

fn of_intake(shut: Option<Part>, fullness: &Fullness) -> Found {
    if let Some(part) = shut {
        let advice = "see what is said of that part";
        return (State::Unavailable, format!("referrals are refused because of the {}", part.name()), advice);
    }
    let (taken, limit) =
        fullness.rooms.iter().find(|(kind, ..)| *kind == Kind::Referral).map_or((0, 0), |(_, n, limit)| (*n, *limit));
    let said = format!("{taken} of {limit} places for referrals are taken");
    if fullness.refused >= REFUSED_PART {
        let advice =
            "if this lasts: a faster disk or database, or more replicas on PostgreSQL; who was refused comes again";
        let refused = (fullness.refused * 100.0).round();
        return (State::Degraded, format!("{said}, {refused} % of those that come are asked to come again"), advice);
    }
    (State::Ready, said, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Side,
        clock::{Clock, SystemClock},
    };

    #[test]
    fn a_disk_warns_before_it_refuses() {
        assert_eq!(of_disk(1 << 30, 128 << 20).0, State::Ready);
        assert_eq!(of_disk(200 << 20, 128 << 20).0, State::Degraded);
        assert_eq!(of_disk(100 << 20, 128 << 20).0, State::Unavailable);
        assert_eq!(of_disk(0, 0).0, State::Ready);
    }

    #[test]
    fn a_blocked_broker_is_degraded_and_one_that_is_away_unavailable() {
        let health = |connected, blocked| BrokerHealth {
            connected,
            blocked,
            since: SystemClock.now(),
            detail: "why".to_owned(),
        };
        assert_eq!(of_broker(health(true, false)).0, State::Ready);
        assert_eq!(of_broker(health(true, true)).0, State::Degraded);
        assert_eq!(of_broker(health(false, false)).0, State::Unavailable);
    }

    #[test]
    fn what_waits_is_counted_over_all_destinations() {
        let one = |waiting| Backlog { side: Side::Delivery, to: "a".into(), waiting, oldest: None, dead: 9 };
        let waiting = waiting(&[one(3), one(4)], None);
        assert_eq!(waiting, Waiting { messages: 7, overdue: Duration::ZERO });
        let bounds = |messages| outbox::Bounds { messages, age: Duration::from_secs(1) };
        let state = |messages| of_outbox(&bounds(messages), &waiting, outbox::open(&bounds(messages), &waiting)).0;
        assert_eq!((state(100), state(10), state(7)), (State::Ready, State::Degraded, State::Unavailable));
    }

    #[test]
    fn whatever_is_not_ready_says_what_to_do() {
        let fullness = Fullness { rooms: vec![], referrals_max: 1, refused: 0.5, open: 1.0 };
        let away = StoreError::Unavailable("the disk is full".into());
        for (state, detail, advice) in [
            of_store(&Err(away)),
            of_disk(0, 1),
            of_unseen_disk(rustix::io::Errno::NOENT),
            of_intake(Some(Part::Disk), &fullness),
            of_intake(None, &fullness),
        ] {
            assert!(state != State::Ready && !detail.is_empty() && !advice.is_empty(), "{detail}");
        }
    }
}
