//! A schedule: who takes part, and what goes wrong at which step. Everything else in a simulation follows from it.

use proptest::{prelude::*, sample::select};

/// One run of the simulation, whole. The same schedule runs the same, to the last step.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Of every choice that is not made here: latencies, who is asked, retry jitter.
    pub seed: u64,
    /// How many Onwards run on the one store and broker.
    pub replicas: usize,
    /// The longest that anything takes when nothing is wrong.
    pub latency_ms: u64,
    /// What is sent.
    pub referrals: Vec<Referral>,
    /// What goes wrong.
    pub strikes: Vec<Strike>,
}

/// A referral and what becomes of it.
#[derive(Debug, Clone)]
pub struct Referral {
    /// Where its route leads.
    pub inbox: Inbox,
    /// What the provider sets, in order.
    pub answers: &'static [&'static str],
    /// Whether the originating record shows its ServiceRequest.
    pub in_record: bool,
    /// What the referrer says some time after sending.
    pub said: Option<Said>,
}

/// What is said after sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// That the referral be not acted on any more.
    Cancel,
    /// A message.
    Message,
}

/// An inbox of each kind, or two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbox {
    /// Pushed to a server that gives its own ids; its provider writes to Onward.
    Pushed,
    /// Pushed to a server that takes our ids; its provider's copy is read.
    Polled,
    /// Fetched.
    Listed,
    /// Split: an order of its own for the one that is pushed to, and one for the one that fetches.
    Both,
}

impl Inbox {
    /// Those that it stands for.
    pub fn targets(self) -> &'static [Self] {
        match self {
            Self::Pushed => &[Self::Pushed],
            Self::Polled => &[Self::Polled],
            Self::Listed => &[Self::Listed],
            Self::Both => &[Self::Pushed, Self::Listed],
        }
    }
}

/// Something goes wrong at the n-th step that the replicas take together. A step is a call of the store, the broker or another
/// server.
#[derive(Debug, Clone, Copy)]
pub struct Strike {
    pub at: usize,
    pub trouble: Trouble,
}

/// What goes wrong. Where it makes no sense for a step, nothing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The replica dies just before the step.
    CrashBefore,
    /// The replica dies when the step is done and before it hears of it.
    CrashAfter,
    /// Another replica dies.
    CrashOther,
    /// The replica is stopped and goes on after so many seconds, not knowing.
    Pause(u64),
    /// The replica is asked to end, and another takes its place.
    Stop,
    /// The step fails and nothing is done.
    FailBefore,
    /// The step is done and its answer lost.
    FailAfter,
    /// No answer comes, and the step is done so many seconds later.
    Late(u64),
    /// The step is done so many seconds later, and answered then.
    Slow(u64),
    /// Done twice: a message, or a request that a proxy repeats.
    Twice,
    /// The other server says no (422). The broker confirms a message and loses it.
    Refused,
    /// The broker loses everything it holds.
    BrokerForgets,
    /// The replica's connection to the broker breaks; what it held is handed out again.
    Disconnect,
    /// The broker is away for so many seconds.
    BrokerAway(u64),
    /// The store is away for so many seconds.
    StoreAway(u64),
    /// The server that is called is away for so many seconds.
    PeerAway(u64),
}

impl Trouble {
    /// One of each.
    pub const EACH: &[Self] = &[
        Self::CrashBefore,
        Self::CrashAfter,
        Self::CrashOther,
        Self::Pause(40),
        Self::Pause(200),
        Self::Stop,
        Self::FailBefore,
        Self::FailAfter,
        Self::Late(1),
        Self::Late(60),
        Self::Late(200),
        Self::Slow(3),
        Self::Twice,
        Self::Refused,
        Self::BrokerForgets,
        Self::Disconnect,
        Self::BrokerAway(40),
        Self::StoreAway(40),
        Self::PeerAway(40),
    ];
}

/// What providers do with a referral.
pub const ANSWERS: &[&[&str]] = &[
    &["accepted", "in-progress", "completed"],
    &["rejected"],
    &["accepted"],
    &["accepted", "completed"],
    &["accepted", "on-hold", "in-progress", "failed"],
    &[],
];

/// Schedules whose referrals go to these inboxes; strikes fall on the first `steps`.
pub fn schedules(inboxes: &'static [Inbox], steps: usize) -> impl Strategy<Value = Schedule> {
    let said = prop::option::weighted(0.4, select(&[Said::Cancel, Said::Message][..]));
    let referral = (select(inboxes), select(ANSWERS), prop::bool::weighted(0.7), said)
        .prop_map(|(inbox, answers, in_record, said)| Referral { inbox, answers, in_record, said });
    let strike = (0..steps, select(Trouble::EACH)).prop_map(|(at, trouble)| Strike { at, trouble });
    (
        any::<u64>(),
        1..=3usize,
        select(&[0, 2, 30, 100][..]),
        prop::collection::vec(referral, 1..=2),
        prop::collection::vec(strike, 0..=8),
    )
        .prop_map(|(seed, replicas, latency_ms, referrals, strikes)| Schedule {
            seed,
            replicas,
            latency_ms,
            referrals,
            strikes,
        })
}
