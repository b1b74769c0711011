//! Load that does not end while something is done to those who carry it, and what must be true of it afterwards.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use onward::demo::double::Double;
use tokio::{task::JoinSet, time::Instant};

use super::{
    checker::{Acknowledged, Provider, Record, Servers, differences},
    onward::Onward,
    referrals::{self, Referral},
    scripts::Fates,
    until_within,
};

/// How long a sender waits before it sends again what was not acknowledged.
const AGAIN: Duration = Duration::from_millis(20);
/// How long everything may take to arrive once nothing is done any more.
const LIMIT: Duration = Duration::from_secs(90);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Record systems that send, each going round the Onwards; what is not acknowledged is sent to the next, as the same.
pub struct Load {
    senders: JoinSet<Sent>,
    onwards: Arc<Mutex<Vec<Onward>>>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

/// What was sent.
#[derive(Default)]
pub struct Sent {
    /// What was acknowledged.
    pub referrals: Vec<Acknowledged>,
    /// How long the slowest acknowledgement took, by the call that gave it.
    pub slowest: Duration,
    /// How often nobody answered, or not with 2xx.
    pub refused: usize,
}

impl Load {
    /// `senders` systems that pause for `pause` after each.
    pub fn start(onwards: &[Onward], tag: &str, senders: usize, pause: Duration) -> Self {
        Self::of(onwards, (0..senders).map(|sender| referrals::singles(&format!("{tag}{sender}-"))), pause)
    }

    /// One sender for each of these; each pauses for `pause` after each referral.
    pub fn of<R>(onwards: &[Onward], decks: impl Iterator<Item = R>, pause: Duration) -> Self
    where
        R: Iterator<Item = Referral> + Send + 'static,
    {
        let ended = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::<Mutex<Vec<String>>>::default();
        let all_onwards = Arc::new(Mutex::new(onwards.to_vec()));
        let mut set = JoinSet::new();
        for (sender, deck) in decks.enumerate() {
            let (onwards, ended) = (Arc::clone(&all_onwards), Arc::clone(&ended));
            let acknowledged = Arc::clone(&acknowledged);
            set.spawn(async move {
                let (mut sent, mut turn) = (Sent::default(), sender);
                for referral in deck {
                    loop {
                        let began = Instant::now();
                        turn += 1;
                        let onward = {
                            let onwards = onwards.lock().unwrap();
                            onwards[turn % onwards.len()].clone()
                        };
                        match onward.send(&referral).await {
                            Ok(answer) if answer.status.is_success() => {
                                sent.slowest = sent.slowest.max(began.elapsed());
                                let links = answer.links("monitor");
                                let tasks: Vec<_> =
                                    links.iter().map(|link| link.rsplit('/').next().unwrap().to_owned()).collect();
                                acknowledged.lock().unwrap().extend(tasks.iter().cloned());
                                sent.referrals.push(Acknowledged::new(&referral, tasks));
                                break;
                            }
                            Ok(answer) if answer.status.is_client_error() && answer.status.as_u16() != 429 => {
                                panic!("{}", answer.describe())
                            }
                            other => {
                                sent.refused += 1;
                                // whoever is asked to come later does
                                let asked = other.ok().filter(|a| a.status.as_u16() == 429);
                                let wait = asked.and_then(|a| a.retry_after()).unwrap_or(AGAIN);
                                tokio::time::sleep(wait).await;
                            }
                        }
                    }
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    tokio::time::sleep(pause).await; // the load
                }
                sent
            });
        }
        Self { senders: set, onwards: all_onwards, acknowledged, ended }
    }

    /// One Onward more to send to.
    pub fn add(&self, onward: Onward) {
        self.onwards.lock().unwrap().push(onward);
    }

    /// The ids of the Tasks acknowledged so far.
    pub fn so_far(&self) -> Vec<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Ends it when each has its last one acknowledged.
    pub async fn end(self) -> Sent {
        self.ended.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for sent in self.senders.join_all().await {
            all.referrals.extend(sent.referrals);
            all.slowest = all.slowest.max(sent.slowest);
            all.refused += sent.refused;
        }
        all
    }
}

/// When Tasks came to a provider, or statuses to a record.
#[derive(Clone, Default)]
pub struct Pulse(Arc<Mutex<Vec<Instant>>>);

impl Pulse {
    /// That of a server, from now on.
    pub fn of(server: &Double) -> Self {
        let pulse = Self::default();
        let beats = Arc::clone(&pulse.0);
        server.on_change(move |change| {
            if change.kind == "Task" {
                beats.lock().unwrap().push(Instant::now());
            }
        });
        pulse
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Waits for so many more.
    pub async fn goes_on(&self, more: usize) {
        let goal = self.count() + more;
        until_within(LIMIT, &format!("{more} more"), || async { (self.count() >= goal).then_some(()) }).await;
    }

    /// The longest time without one since `from`.
    pub fn longest_pause(&self, from: Instant) -> Duration {
        let beats = self.0.lock().unwrap();
        let times = std::iter::once(from).chain(beats.iter().copied().filter(|at| *at > from)).chain([Instant::now()]);
        let times: Vec<_> = times.collect();
        times.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }
}

/// Waits until nothing differs any more from what was acknowledged, at one provider and in one record. How long it took.
pub async fn assert_all_told(
    sent: &[Acknowledged],
    provider: &Arc<Double>,
    record: &Arc<Double>,
    fates: &Fates,
) -> Duration {
    let began = Instant::now();
    let servers = Servers {
        providers: vec![Provider { inbox: "life-rooms", fates: fates.clone(), server: Some(Arc::clone(provider)) }],
        records: vec![Record { systems: &["merseycare-rio"], server: Arc::clone(record) }],
    };
    let differ = settle(sent, &servers, LIMIT).await;
    assert!(differ.is_empty(), "{} differences after {LIMIT:?}:\n{}", differ.len(), differ.join("\n"));
    began.elapsed()
}

/// Waits until nothing differs any more from what was acknowledged, no longer than `limit`; what still does.
pub async fn settle(sent: &[Acknowledged], servers: &Servers, limit: Duration) -> Vec<String> {
    let began = Instant::now();
    loop {
        let differ = differences(sent, &servers.look());
        if differ.is_empty() || began.elapsed() > limit {
            return differ;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
