//! Load that does not end while something is done to those who carry it, and what must be true of it afterwards.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use onward::demo::double::Double;
use tokio::{task::JoinSet, time::Instant};

use super::{
    onward::{Onward, our_id, told},
    referrals,
    scripts::Fates,
    until_within,
};

/// How long a sender waits before it sends again what was not acknowledged.
const AGAIN: Duration = Duration::from_millis(20);
/// How long everything may take to arrive once nothing is done any more.
const LIMIT: Duration = Duration::from_secs(90);

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
    /// The ids of the Tasks that were acknowledged.
    pub tasks: Vec<String>,
    /// How long the slowest acknowledgement took, by the call that gave it.
    pub slowest: Duration,
    /// How often nobody answered, or not with 2xx.
    pub refused: usize,
}

impl Load {
    /// `senders` systems that pause for `pause` after each.
    pub fn start(onwards: &[Onward], tag: &str, senders: usize, pause: Duration) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::<Mutex<Vec<String>>>::default();
        let all_onwards = Arc::new(Mutex::new(onwards.to_vec()));
        let mut set = JoinSet::new();
        for sender in 0..senders {
            let (onwards, ended, tag) = (Arc::clone(&all_onwards), Arc::clone(&ended), format!("{tag}{sender}-"));
            let acknowledged = Arc::clone(&acknowledged);
            set.spawn(async move {
                let (mut sent, mut turn) = (Sent::default(), sender);
                for referral in referrals::singles(&tag) {
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
                                let id = answer.links("monitor")[0].rsplit('/').next().unwrap().to_owned();
                                acknowledged.lock().unwrap().push(id.clone());
                                sent.tasks.push(id);
                                break;
                            }
                            Ok(answer) if answer.status.is_client_error() && answer.status.as_u16() != 429 => {
                                panic!("{}", answer.describe())
                            }
                            _ => sent.refused += 1,
                        }
                        tokio::time::sleep(AGAIN).await;
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
            all.tasks.extend(sent.tasks);
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

/// Waits until the record was told everything that the provider did with these Tasks; then: each is at the provider once, and
/// each status is in the record once and in order. How long it took.
pub async fn assert_all_told(tasks: &[String], provider: &Double, record: &Double, fates: &Fates) -> Duration {
    let began = Instant::now();
    let mut sent = tasks.to_vec();
    sent.sort();
    until_within(LIMIT, "every record is told everything", || async {
        let fates = fates.all();
        let ended: BTreeMap<String, String> = record
            .resources("Task")
            .iter()
            .filter_map(|t| Some((our_id(t)?, t["status"].as_str()?.to_owned())))
            .collect();
        let told =
            |id: &String| fates.get(id).is_some_and(|fate| ended.get(id).is_some_and(|s| s == fate[fate.len() - 1]));
        sent.iter().all(told).then_some(())
    })
    .await;
    let took = began.elapsed();
    let ids = |server: &Double| {
        let mut ids: Vec<_> = server.resources("Task").iter().map(|t| our_id(t).unwrap()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(provider), sent, "at the provider: lost, doubled or never acknowledged");
    assert_eq!(provider.counts()["ServiceRequest"], sent.len());
    assert_eq!(ids(record), sent, "in the record");
    let fates = fates.all();
    for task in record.resources("Task") {
        let versions = record.versions("Task", task["id"].as_str().unwrap());
        let history = told(&versions.iter().map(|v| (*v.resource).clone()).collect::<Vec<_>>());
        assert!(history.is_sorted_by(|a, b| a.0 < b.0), "{history:?}");
        let statuses: Vec<_> = history.iter().map(|(_, status)| status.as_str()).collect();
        assert_eq!(statuses, fates[&our_id(&task).unwrap()], "{history:?}");
    }
    took
}
