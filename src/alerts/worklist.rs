//! The IT worklist: every line that waits for somebody, computed from the store, with what to do about it.

use jiff::Timestamp;
use uuid::Uuid;

use super::sending;
use crate::{
    broker::Queue,
    config::Registry,
    domain::{Actor, Alert, AlertKind, Event, Side, TaskId, TransportStatus, task::TaskState},
    store::{Append, AppendError, DeadQuery, NewEvent, Store, StoreError, TaskRecord, Troubled},
};

/// A line of the worklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// By what it is named when it is seen to.
    pub id: String,
    /// What it is about, in a code.
    pub kind: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// The inbox, originating system, queue, endpoint or part.
    pub about: String,
    /// The Task, where it is about one.
    pub task: Option<TaskId>,
    /// More, in our own words.
    pub text: String,
    /// What to do about it.
    pub advice: &'static str,
    /// Whether a person may tick it; others go away with what they are about.
    pub tick: bool,
}

/// Why a line is not ticked.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// There is no such line.
    #[error("no open line of the worklist is “{0}”")]
    Unknown(String),
    /// It goes away by other means.
    #[error("“{id}” cannot be ticked; {how}")]
    Otherwise {
        /// The line.
        id: String,
        /// How it goes away.
        how: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const MOVED_MAX: usize = 20;
/// The line of proposals for the directory.
const PROPOSALS: &str = "directory.proposals";

/// The kinds that somebody has to look at first, the gravest before all others: what keeps referrals out or away before what is late.
const GRAVEST: [&str; 13] = [
    AlertKind::StoreTrouble.code(),
    AlertKind::BrokerAway.code(),
    AlertKind::DestinationMismatch.code(),
    TransportStatus::Undeliverable.code(),
    AlertKind::DeadLetter.code(),
    AlertKind::NotConfigured.code(),
    AlertKind::EndpointBroken.code(),
    AlertKind::SendingFails.code(),
    AlertKind::ConfigurationRefused.code(),
    AlertKind::CopyUnreadable.code(),
    AlertKind::AnswerRefused.code(),
    TransportStatus::Overdue.code(),
    TransportStatus::NotOpened.code(),
];

/// How soon somebody has to look at lines of this kind: the smaller, the sooner.
pub fn rank(kind: &str) -> usize {
    GRAVEST.iter().position(|one| *one == kind).unwrap_or(GRAVEST.len())
}

/// The oldest lines, `count` at most.
///
/// # Errors
/// [`StoreError`]
pub async fn lines(store: &dyn Store, registry: &Registry, count: usize) -> Result<Vec<Line>, StoreError> {
    let mut lines = gathered(store, registry, count).await?;
    lines.truncate(count);
    Ok(lines)
}

/// Of what is asked for apart (dead letters, referrals in trouble, alerts) the oldest `count` each, so that many of one sort do not hide
/// the others; all of them the oldest first.
///
/// # Errors
/// [`StoreError`]
pub async fn gathered(store: &dyn Store, registry: &Registry, count: usize) -> Result<Vec<Line>, StoreError> {
    let mut lines = Vec::new();
    let dead = store.find_dead(DeadQuery { count, ..DeadQuery::default() }).await?;
    lines.extend(dead.into_iter().map(|letter| Line {
        id: letter.message.to_string(),
        kind: match letter.side {
            Side::Delivery => TransportStatus::Undeliverable.code(),
            Side::WriteBack => AlertKind::DeadLetter.code(),
        },
        since: letter.since,
        about: letter.to,
        task: Some(letter.task),
        text: match letter.side {
            Side::Delivery if letter.seq == 1 => format!("the referral, to the provider: {}", letter.why),
            Side::Delivery => {
                format!(
                    "what came after the referral (step {} of its journal), to the provider: {}",
                    letter.seq, letter.why
                )
            }
            Side::WriteBack => {
                format!("what became of it (step {} of its journal), back into the record: {}", letter.seq, letter.why)
            }
        },
        advice: AlertKind::DeadLetter.advice(),
        tick: false,
    }));
    lines.extend(store.troubled(None, count).await?.into_iter().filter_map(of_task));
    // as it is now, and not as it was told
    lines.extend(sending::failing(store).await?.iter().map(|one| sending::line(one, store.now())));
    let alerts = store.open_alerts(count).await?.into_iter();
    lines.extend(alerts.filter(|alert| alert.kind != AlertKind::SendingFails).map(of_alert));
    lines.extend(not_configured(store, registry).await?);
    lines.extend(store.proposals_waiting().await?.map(of_proposals));
    lines.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
    Ok(lines)
}

fn of_task(troubled: Troubled) -> Option<Line> {
    let Troubled { task, since } = troubled;
    let transport = task.state.transport?;
    let (text, advice) = match transport {
        TransportStatus::DeliveryDelayed => {
            ("it has not arrived; it is tried again by itself", "ask the provider's IT whether its server is there")
        }
        TransportStatus::NotOpened => ("it was not opened in time", AlertKind::NotOpened.advice()),
        TransportStatus::Overdue => ("it was not answered in time", AlertKind::Overdue.advice()),
        TransportStatus::CopyUnreadable => {
            ("the provider's copy is gone or unreadable", AlertKind::CopyUnreadable.advice())
        }
        TransportStatus::HandedOver | TransportStatus::Undeliverable => return None,
    };
    Some(Line {
        id: task.id.to_string(),
        kind: transport.code(),
        since,
        about: task.inbox.to_string(),
        task: Some(task.id),
        text: text.to_owned(),
        advice,
        tick: true,
    })
}

fn of_alert(alert: Alert) -> Line {
    Line {
        id: alert.id.to_string(),
        kind: alert.kind.code(),
        since: alert.since,
        // one that is named by its Task says that there
        about: if alert.kind == AlertKind::AnswerRefused { String::new() } else { alert.subject },
        task: alert.task,
        text: alert.text,
        advice: alert.kind.advice(),
        tick: alert.kind.needs_a_person(),
    }
}

/// What stewards of the directory have to decide. Of what and by whom is theirs to see.
fn of_proposals((count, since): (u64, Timestamp)) -> Line {
    Line {
        id: PROPOSALS.to_owned(),
        kind: "proposals-waiting",
        since,
        about: "directory".to_owned(),
        task: None,
        text: if count == 1 {
            "1 proposal waits for a steward".to_owned()
        } else {
            format!("{count} proposals wait for a steward")
        },
        advice: "ask those who keep the directory to decide them; `onward directory proposals` lists them",
        tick: false,
    }
}

/// What waits for an inbox or system that is not configured.
async fn not_configured(store: &dyn Store, registry: &Registry) -> Result<Vec<Line>, StoreError> {
    let mut lines = Vec::new();
    for waiting in store.backlog().await?.into_iter().filter(|b| b.waiting > 0) {
        let known = match waiting.side {
            Side::Delivery => waiting.to.parse().is_ok_and(|id| registry.inboxes.contains_key(&id)),
            Side::WriteBack => waiting.to.parse().is_ok_and(|id| registry.systems.contains_key(&id)),
        };
        if !known {
            lines.push(Line {
                id: Queue { side: waiting.side, to: waiting.to.clone() }.name(),
                kind: AlertKind::NotConfigured.code(),
                since: waiting.oldest.unwrap_or_else(|| store.now()),
                text: format!("{} messages wait for it", waiting.waiting),
                about: waiting.to,
                task: None,
                advice: AlertKind::NotConfigured.advice(),
                tick: false,
            });
        }
    }
    Ok(lines)
}

/// Ticks a line: somebody has seen to it. Journalled with the operator and the reason; what the record shows stays.
///
/// # Errors
/// [`TickError`]
pub async fn tick(store: &dyn Store, id: &str, operator: &str, reason: &str) -> Result<(), TickError> {
    let otherwise = |how| Err(TickError::Otherwise { id: id.to_owned(), how });
    let Ok(uuid) = id.parse::<Uuid>() else {
        return match id.split_once('.') {
            _ if id == PROPOSALS => otherwise("it goes away when the proposals are decided"),
            Some((sending::LINE, _)) => otherwise("it goes away by itself when what waits there has arrived"),
            Some(("inbox" | "writeback", _)) => otherwise("it goes away when the configuration or the messages do"),
            _ => Err(TickError::Unknown(id.to_owned())),
        };
    };
    if store.dead_letter(uuid).await?.is_some() {
        return otherwise("use `onward dead replay` or `onward dead discard`");
    }
    let seen = |line: &str| {
        let event = Event::SeenTo { line: line.to_owned(), reason: reason.to_owned() };
        vec![NewEvent { event, actor: Actor::Operator(operator.to_owned()), body: None, lanes: vec![] }]
    };
    if let Some(alert) = store.open_alerts(usize::MAX).await?.into_iter().find(|alert| alert.id == uuid) {
        if !alert.kind.needs_a_person() {
            return otherwise("it goes away by itself with what it is about");
        }
        // one that is about no Task stands in no journal; whoever asks for it tells the log
        if let Some(task) = alert.task {
            let done = append(store, task, |task| Some(Append { events: seen(alert.kind.code()), ..Append::to(task) }));
            done.await?;
        }
        store.end_alert(alert.kind, &alert.subject).await?;
        return Ok(());
    }
    let ticked = append(store, TaskId(uuid), |task| {
        let TaskState { transport, seen_to, .. } = task.state;
        let line = of_task(Troubled { task: task.clone(), since: task.last_updated });
        let transport = transport.filter(|_| line.is_some() && !seen_to)?;
        let state = TaskState { seen_to: true, ..task.state };
        Some(Append { events: seen(transport.code()), state, ..Append::to(task) })
    });
    if ticked.await? { Ok(()) } else { Err(TickError::Unknown(id.to_owned())) }
}

/// Stores a step decided on a Task as it stands; whether there was one to store.
async fn append(
    store: &dyn Store,
    id: TaskId,
    decide: impl Fn(&TaskRecord) -> Option<Append>,
) -> Result<bool, StoreError> {
    for _ in 0..MOVED_MAX {
        let Some(task) = store.task(id).await? else { return Ok(false) };
        let Some(append) = decide(&task) else { return Ok(false) };
        match store.append(append).await {
            Ok(_) => return Ok(true),
            Err(AppendError::Moved | AppendError::LeaseLost) => {}
            Err(AppendError::Store(error)) => return Err(error),
        }
    }
    Err(StoreError::Unavailable("the task moves on faster than a line can be ticked".into()))
}
