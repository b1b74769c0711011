//! What goes wrong, in which order and for how long: pure, and the same for the same seed.

use std::{fmt, time::Duration};

/// How many of each take part.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub replicas: usize,
    /// Replicas that clients speak to: the first so many.
    pub fronts: usize,
    pub nodes: usize,
    pub receivers: usize,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike {
    pub whom: Whom,
    pub trouble: Trouble,
    /// From then on it is healed.
    pub lasts: Duration,
    /// Before the next one strikes.
    pub pause: Duration,
}

/// To whom it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    Replica(usize),
    Node(usize),
    Store,
    Receiver(usize),
    /// The line from a replica to the store.
    ToStore(usize),
    /// The line from a replica to a node.
    ToNode(usize, usize),
    /// The line from all replicas to a receiver.
    ToReceiver(usize),
    /// The line from all clients to a replica.
    ToReplica(usize),
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// `kill -9`, and started again.
    Kill,
    /// Stopped in good order, and started again.
    Stop,
    /// `SIGSTOP`: it goes on later and does not know.
    Freeze,
    /// 503
    Unavailable,
    /// 429 with `Retry-After`
    Throttled,
    /// No answer, and nothing is done.
    Hang,
    /// It is done, and the answer is cut off.
    AnswersLost,
    /// Each request waits.
    Slow,
    /// All connections end, once.
    Cut,
    /// No connection holds or comes about.
    Refuse,
    /// Answers come later.
    Delay,
    /// Nothing goes through until it is over, and then all of it.
    Hold,
    /// Requests vanish.
    LoseRequests,
    /// Answers vanish.
    LoseAnswers,
    /// Everything vanishes.
    LoseAll,
    /// Some answers end their connection.
    CutAnswers,
}

/// What can go wrong together with what else: of each group one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Each part of the work is done by two replicas at least.
    Replicas,
    /// Two nodes of three are a majority.
    Nodes,
    Store,
    Receivers,
    ToStore,
    ToNodes,
    ToReceivers,
    ToReplicas,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Replicas,
        Self::Nodes,
        Self::Store,
        Self::Receivers,
        Self::ToStore,
        Self::ToNodes,
        Self::ToReceivers,
        Self::ToReplicas,
    ];

    /// What can happen in it.
    fn troubles(self) -> &'static [Trouble] {
        use Trouble::*;
        match self {
            Self::Replicas => &[Kill, Stop, Freeze],
            Self::Nodes | Self::Store => &[Kill, Stop],
            Self::Receivers => &[Unavailable, Throttled, Hang, AnswersLost, Slow],
            Self::ToStore | Self::ToNodes | Self::ToReceivers | Self::ToReplicas => {
                &[Cut, Refuse, Delay, Hold, LoseRequests, LoseAnswers, LoseAll, CutAnswers]
            }
        }
    }

    /// How often each of them comes in a round: what ends a process more often than what happens to a line.
    fn times(self) -> usize {
        if matches!(self, Self::Replicas | Self::Store | Self::Nodes) { 2 } else { 1 }
    }

    fn one_of(self, size: Size, dice: &mut fastrand::Rng) -> Whom {
        match self {
            Self::Replicas => Whom::Replica(dice.usize(..size.replicas)),
            Self::Nodes => Whom::Node(dice.usize(..size.nodes)),
            Self::Store => Whom::Store,
            Self::Receivers => Whom::Receiver(dice.usize(..size.receivers)),
            Self::ToStore => Whom::ToStore(dice.usize(..size.replicas)),
            Self::ToNodes => Whom::ToNode(dice.usize(..size.replicas), dice.usize(..size.nodes)),
            Self::ToReceivers => Whom::ToReceiver(dice.usize(..size.receivers)),
            Self::ToReplicas => Whom::ToReplica(dice.usize(..size.fronts)),
        }
    }
}

impl Whom {
    /// Where it belongs.
    pub fn group(self) -> Group {
        match self {
            Self::Replica(_) => Group::Replicas,
            Self::Node(_) => Group::Nodes,
            Self::Store => Group::Store,
            Self::Receiver(_) => Group::Receivers,
            Self::ToStore(_) => Group::ToStore,
            Self::ToNode(..) => Group::ToNodes,
            Self::ToReceiver(_) => Group::ToReceivers,
            Self::ToReplica(_) => Group::ToReplicas,
        }
    }
}

impl Trouble {
    /// How long it lasts at most, in milliseconds. A replica that is frozen for three seconds is taken for dead.
    fn longest_ms(self) -> u64 {
        match self {
            Self::Cut => 1,
            Self::Kill | Self::Stop => 2_500,
            Self::Freeze => 7_000,
            _ => 5_000,
        }
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?} for {:?}", self.whom, self.trouble, self.lasts)
    }
}

/// The longest pause before the next strike.
const PAUSE_MS: u64 = 1_600;
/// One in so many lasts longer, …
const LONG_ONE_IN: u32 = 15;
/// … so many times: until a line that says nothing is taken for dead.
const LONG: u32 = 4;

/// So many strikes, in rounds: each trouble of each group comes once, and those of processes twice, before any comes again.
pub fn schedule(seed: u64, size: Size, length: usize) -> Vec<Strike> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut strikes = Vec::new();
    while strikes.len() < length {
        let mut round = round();
        dice.shuffle(&mut round);
        strikes.extend(round.into_iter().map(|(group, trouble)| strike(group, trouble, size, &mut dice)));
    }
    strikes.truncate(length);
    strikes
}

/// How many strikes it takes until each trouble has come.
pub fn round_length() -> usize {
    round().len()
}

fn round() -> Vec<(Group, Trouble)> {
    let of = |group: Group| group.troubles().repeat(group.times()).into_iter().map(move |trouble| (group, trouble));
    Group::ALL.into_iter().flat_map(of).collect()
}

fn strike(group: Group, trouble: Trouble, size: Size, dice: &mut fastrand::Rng) -> Strike {
    let lasts = Duration::from_millis(dice.u64(..trouble.longest_ms()));
    let lasts = if dice.u32(..LONG_ONE_IN) == 0 { lasts * LONG } else { lasts };
    Strike { whom: group.one_of(size, dice), trouble, lasts, pause: Duration::from_millis(dice.u64(..PAUSE_MS)) }
}

mod tests {
    use super::*;

    const SIZE: Size = Size { replicas: 3, fronts: 2, nodes: 3, receivers: 5 };

    #[test]
    fn the_same_seed_is_the_same_schedule_and_another_is_another() {
        assert_eq!(schedule(7, SIZE, 200), schedule(7, SIZE, 200));
        assert_ne!(schedule(7, SIZE, 200), schedule(8, SIZE, 200));
        assert_eq!(schedule(7, SIZE, 200)[..60], schedule(7, SIZE, 60));
    }

    #[test]
    fn everything_happens_in_a_round_and_to_everybody_in_time() {
        let once = schedule(7, SIZE, round_length());
        for group in Group::ALL {
            for trouble in group.troubles() {
                let happens = |s: &&Strike| s.whom.group() == group && s.trouble == *trouble;
                assert_eq!(once.iter().filter(happens).count(), group.times(), "{group:?} {trouble:?}");
            }
        }
        let all = schedule(7, SIZE, 500);
        let struck = |whom: Whom| all.iter().any(|s| s.whom == whom);
        for replica in 0..SIZE.replicas {
            assert!(struck(Whom::Replica(replica)) && struck(Whom::ToStore(replica)));
            assert!((0..SIZE.nodes).all(|node| struck(Whom::Node(node)) && struck(Whom::ToNode(replica, node))));
        }
        assert!((0..SIZE.receivers).all(|n| struck(Whom::Receiver(n)) && struck(Whom::ToReceiver(n))));
        assert!((0..SIZE.fronts).all(|n| struck(Whom::ToReplica(n))));
    }

    #[test]
    fn nothing_lasts_for_ever_and_some_last_longer_than_a_replica_may_say_nothing() {
        let all = schedule(7, SIZE, 500);
        assert!(all.iter().all(|s| s.lasts < Duration::from_secs(30) && s.pause < Duration::from_secs(2)));
        let long = |s: &&Strike| s.trouble == Trouble::Freeze && s.lasts > onward::store::DEAD_AFTER;
        assert!(all.iter().filter(long).count() > 5);
    }
}
