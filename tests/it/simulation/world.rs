//! What the replicas of a simulation share: time, dice, the count of steps, and what strikes at which of them.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use jiff::Timestamp;
use onward::domain::Clock;
use tokio::{sync::mpsc, time::Instant};

use super::{
    STEPS_MAX,
    broker::Hall,
    schedule::{Schedule, Trouble},
};

/// See the module's documentation.
pub struct World {
    began: Instant,
    latency_ms: u64,
    /// What is done step by step is printed.
    pub traced: bool,
    inner: Mutex<Inner>,
    /// Replicas that ended and want a successor.
    pub ended: mpsc::UnboundedSender<Ended>,
    pub hall: Hall,
}

struct Inner {
    dice: fastrand::Rng,
    history: Vec<Step>,
    strikes: BTreeMap<usize, Vec<Trouble>>,
    struck: Vec<Trouble>,
    last_step: Instant,
    replicas: Vec<Weak<Replica>>,
    away: BTreeMap<Place, Instant>,
    /// When what is still under way will have been done.
    late: Vec<Instant>,
}

/// A step as it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub replica: usize,
    pub place: Place,
    pub what: &'static str,
    pub at: Duration,
}

/// How a replica came to its end.
pub enum Ended {
    Crashed(usize),
    Asked(usize),
}

/// What a step is a call of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Store,
    Broker,
    /// The server with this number.
    Peer(u16),
}

/// One life of one of the Onwards: the gate that all its steps go through.
pub struct Replica {
    pub index: usize,
    pub world: Arc<World>,
    life: Mutex<Life>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    StoppedUntil(Instant),
    Dead,
}

/// What becomes of one step.
#[derive(Debug, Default)]
pub struct Fate {
    /// What the place itself has to see to.
    pub trouble: Option<Trouble>,
    dies: bool,
}

impl World {
    pub fn new(schedule: &Schedule, traced: bool) -> (Arc<Self>, mpsc::UnboundedReceiver<Ended>) {
        let mut strikes: BTreeMap<usize, Vec<Trouble>> = BTreeMap::new();
        for strike in &schedule.strikes {
            strikes.entry(strike.at).or_default().push(strike.trouble);
        }
        let (ended, endings) = mpsc::unbounded_channel();
        let inner = Inner {
            dice: fastrand::Rng::with_seed(schedule.seed),
            history: Vec::new(),
            strikes,
            struck: Vec::new(),
            last_step: Instant::now(),
            replicas: Vec::new(),
            away: BTreeMap::new(),
            late: Vec::new(),
        };
        let world = Self {
            began: Instant::now(),
            latency_ms: schedule.latency_ms,
            traced,
            inner: Mutex::new(inner),
            ended,
            hall: Hall::default(),
        };
        (Arc::new(world), endings)
    }

    pub fn tell(&self, who: impl Display, what: impl FnOnce() -> String) {
        if self.traced {
            println!("{:>12.3}  {who}: {}", self.began.elapsed().as_secs_f64(), what());
        }
    }

    /// A number below `n`.
    pub fn draw(&self, n: u64) -> u64 {
        self.inner.lock().unwrap().dice.u64(0..n.max(1))
    }

    fn latency(&self) -> Duration {
        Duration::from_millis(self.draw(self.latency_ms + 1))
    }

    /// Every step so far.
    pub fn history(&self) -> Vec<Step> {
        self.inner.lock().unwrap().history.clone()
    }

    /// Whether more was done than any run needs; nothing is done any more.
    pub fn is_worn_out(&self) -> bool {
        self.inner.lock().unwrap().history.len() > STEPS_MAX
    }

    /// Every trouble that met a step so far.
    pub fn struck(&self) -> Vec<Trouble> {
        self.inner.lock().unwrap().struck.clone()
    }

    /// For how long nothing has been done.
    pub fn quiet_for(&self) -> Duration {
        self.inner.lock().unwrap().last_step.elapsed()
    }

    /// When the first stopped replica goes on.
    pub fn next_to_go_on(&self) -> Option<Instant> {
        let replicas = self.inner.lock().unwrap().replicas.clone();
        let until = |replica: Arc<Replica>| match *replica.life.lock().unwrap() {
            Life::StoppedUntil(until) if until > Instant::now() => Some(until),
            _ => None,
        };
        replicas.iter().filter_map(|r| until(r.upgrade()?)).min()
    }

    pub fn is_away(&self, place: Place) -> bool {
        self.inner.lock().unwrap().away.get(&place).is_some_and(|until| *until > Instant::now())
    }

    fn go_away(&self, place: Place, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds);
        self.inner.lock().unwrap().away.insert(place, until);
        if place == Place::Broker {
            self.hall.disconnect(self, None);
        }
    }

    /// Does something so much later, whatever becomes of the one who asked for it.
    pub fn later(self: &Arc<Self>, seconds: u64, what: impl Future<Output = ()> + Send + 'static) {
        let at = Instant::now() + Duration::from_secs(seconds);
        self.inner.lock().unwrap().late.push(at);
        let world = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            world.inner.lock().unwrap().last_step = Instant::now();
            what.await;
            let mut inner = world.inner.lock().unwrap();
            let done = inner.late.iter().position(|other| *other == at).unwrap();
            inner.late.swap_remove(done);
        });
    }

    /// When the first of what is done later will be done; none once all of it is.
    pub fn next_late(&self) -> Option<Instant> {
        self.inner.lock().unwrap().late.iter().min().copied()
    }

    /// A new life.
    pub fn replica(self: &Arc<Self>, index: usize) -> Arc<Replica> {
        let replica = Arc::new(Replica { index, world: Arc::clone(self), life: Mutex::new(Life::Running) });
        self.inner.lock().unwrap().replicas.push(Arc::downgrade(&replica));
        replica
    }

    fn count(&self, replica: &Replica, place: Place, what: &'static str) -> Vec<Trouble> {
        let mut inner = self.inner.lock().unwrap();
        let now = Instant::now();
        let n = inner.history.len();
        inner.last_step = now;
        inner.history.push(Step { replica: replica.index, place, what, at: now.duration_since(self.began) });
        let troubles = inner.strikes.remove(&n).unwrap_or_default();
        inner.struck.extend(&troubles);
        troubles
    }

    fn another(&self, index: usize) -> Option<Arc<Replica>> {
        let replicas = self.inner.lock().unwrap().replicas.clone();
        replicas.iter().filter_map(Weak::upgrade).find(|r| r.index != index && !r.is_dead())
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        let start: Timestamp = Timestamp::from_second(1_772_442_000).unwrap();
        let elapsed = i64::try_from(self.began.elapsed().as_micros()).unwrap();
        onward::domain::clock::from_micros(start.as_microsecond() + elapsed)
    }
}

impl Display for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "replica {}", self.index)
    }
}

impl Replica {
    pub fn is_dead(&self) -> bool {
        *self.life.lock().unwrap() == Life::Dead
    }

    /// Nothing it has begun goes on from here; what it held at the broker is handed out again.
    pub fn die(&self) {
        if std::mem::replace(&mut *self.life.lock().unwrap(), Life::Dead) == Life::Dead {
            return;
        }
        self.world.tell(self, || "dies".into());
        self.world.hall.disconnect(&self.world, Some(self.index));
    }

    fn crash(&self) {
        if !self.is_dead() {
            self.die();
            let _ = self.world.ended.send(Ended::Crashed(self.index));
        }
    }

    /// Lets pass while it runs; what is dead never passes again.
    pub async fn gate(&self) {
        loop {
            let life = *self.life.lock().unwrap();
            match life {
                Life::Running => return,
                Life::StoppedUntil(until) if until <= Instant::now() => {
                    self.world.tell(self, || "goes on".into());
                    *self.life.lock().unwrap() = Life::Running;
                }
                Life::StoppedUntil(until) => tokio::time::sleep_until(until).await,
                Life::Dead => std::future::pending().await,
            }
        }
    }

    /// Something takes as long as it takes.
    pub async fn takes_time(&self) {
        let latency = self.world.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    /// A step begins: says what becomes of it. Where this returns, it arrives.
    pub async fn step(&self, place: Place, what: &'static str, detail: impl FnOnce() -> String) -> Fate {
        self.gate().await;
        let troubles = self.world.count(self, place, what);
        if self.world.is_worn_out() {
            // what goes round and round must not keep the run from its end
            std::future::pending::<()>().await;
        }
        self.world.tell(self, || {
            let struck = if troubles.is_empty() { String::new() } else { format!("  <-- {troubles:?}") };
            format!("{what} {}{struck}", detail())
        });
        let mut fate = Fate::default();
        for trouble in troubles {
            match trouble {
                Trouble::CrashBefore => self.crash(),
                Trouble::CrashAfter => fate.dies = true,
                Trouble::CrashOther => self.world.another(self.index).into_iter().for_each(|other| other.crash()),
                Trouble::Pause(seconds) => {
                    let until = Instant::now() + Duration::from_secs(seconds);
                    let mut life = self.life.lock().unwrap();
                    if *life == Life::Running {
                        *life = Life::StoppedUntil(until);
                    }
                }
                Trouble::Stop => {
                    let _ = self.world.ended.send(Ended::Asked(self.index));
                }
                Trouble::BrokerForgets => self.world.hall.forget(),
                Trouble::Disconnect => self.world.hall.disconnect(&self.world, Some(self.index)),
                Trouble::BrokerAway(seconds) => self.world.go_away(Place::Broker, seconds),
                Trouble::StoreAway(seconds) => self.world.go_away(Place::Store, seconds),
                Trouble::PeerAway(seconds) if matches!(place, Place::Peer(_)) => self.world.go_away(place, seconds),
                other => fate.trouble = Some(other),
            }
        }
        self.gate().await;
        let latency = self.world.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
            // what was under way when its sender died arrives, or not
            if self.is_dead() && self.world.draw(2) == 0 {
                std::future::pending().await
            }
        }
        if let Some(Trouble::Slow(seconds)) = fate.trouble {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
        fate
    }

    /// The step is done: its answer comes, if there is anybody to hear it.
    pub async fn done(&self, fate: &Fate) {
        if fate.dies {
            self.crash();
        }
        self.takes_time().await;
        self.gate().await;
    }
}
