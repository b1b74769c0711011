//! How it is with Onward, in words: a pure function of what is known of its parts and of what waits.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    figures::Counted,
    queues::{self, Depths},
    refusals,
    todo::{Waits, waits},
    words::{Tag, counted, long, minute, plain},
};
use crate::{
    alerts::{sending, worklist::Line},
    config::{Registry, registry::InboxKind},
    domain::{AlertKind, Destination, InboxId, Side, SystemId, breaker::Phase, working_days::WorkingTime, written},
    health::{Condition, Part, State},
    lanes::endpoints::Seen,
    store::{Backlog, Failing},
};

/// What has waited longer than this is told as late, though nothing else is wrong.
const LATE: SignedDuration = SignedDuration::from_mins(15);

/// Refused configurations that the verdict tells of; the others are among what waits.
const REFUSED_MAX: usize = 3;

/// What is told where every part is well and nothing gets in.
const NO_WAY: &str = "No rule says where referrals go, and no inbox takes those that no rule matches: each is refused. Write the routes.";

/// How it is where tries fail, though the endpoint is spoken to.
const FAILS: &str = "Cannot be sent";

/// What is known at a moment.
pub(super) struct Known<'k> {
    pub now: Timestamp,
    pub parts: &'k BTreeMap<Part, Condition>,
    pub overall: State,
    /// Whether it is being ended.
    pub stopping: bool,
    pub registry: &'k Registry,
    pub endpoints: &'k [Seen],
    pub backlog: &'k [Backlog],
    /// What of it is tried in vain.
    pub failing: &'k [Failing],
    /// What lies in the broker's queues.
    pub queues: &'k Depths,
    /// What came and went in the last [`refusals::MINUTES`].
    pub lately: Counted,
    /// What waits for a person, the oldest first; of each sort at most one more than `lines_max`.
    pub lines: &'k [Line],
    pub lines_max: usize,
}

/// What the page says.
#[derive(Debug)]
pub(super) struct Overview {
    pub verdict: Verdict,
    pub parts: Vec<PartRow>,
    /// The way to each provider.
    pub inboxes: Vec<EndRow>,
    /// The way back to each originating system.
    pub systems: Vec<EndRow>,
    /// What waits for a person.
    pub waits: Waits,
}

/// Whether all is well.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub tag: Tag,
    pub heading: &'static str,
    /// What is not, each in a sentence.
    pub reasons: Vec<String>,
}

/// A part of the service.
#[derive(Debug)]
pub(super) struct PartRow {
    pub name: String,
    pub tag: Tag,
    pub since: String,
    pub detail: String,
    pub advice: String,
}

/// An inbox, or the write-back of an originating system.
#[derive(Debug)]
pub(super) struct EndRow {
    /// `inbox.ID` or `writeback.ID`.
    pub of: String,
    /// Whose it is, for people.
    pub name: String,
    /// How it is reached.
    pub how: String,
    pub tag: Tag,
    /// What is wrong, or worth saying.
    pub why: String,
    pub waiting: u64,
    /// What of it lies in queues; empty where that is not known.
    pub queue: String,
    /// For how long the oldest has waited.
    pub oldest: String,
    pub dead: u64,
    /// Requests under way from this process.
    pub in_flight: usize,
    /// Why somebody has to look, in a sentence; none where nobody has to.
    trouble: Option<String>,
}

/// See the module's documentation.
pub(super) fn overview(known: &Known<'_>) -> Overview {
    let parts: Vec<PartRow> = known.parts.iter().map(|(part, found)| part_row(*part, found)).collect();
    let (mut inboxes, mut systems) = (Vec::new(), Vec::new());
    for (of, name, how) in ends(known) {
        let side = of.side;
        let row = end_row(known, &of, name, how);
        if side == Side::Delivery { inboxes.push(row) } else { systems.push(row) }
    }
    let waits = waits(known.lines, known.backlog, known.registry, known.lines_max);
    let verdict = verdict(known, &waits, inboxes.iter().chain(&systems));
    Overview { verdict, parts, inboxes, systems, waits }
}

fn verdict<'r>(known: &Known<'_>, waits: &Waits, ends: impl Iterator<Item = &'r EndRow>) -> Verdict {
    let mut reasons: Vec<String> = Vec::new();
    if known.stopping {
        reasons.push("This process is being ended. What it has in hand is finished.".to_owned());
    }
    for (part, found) in known.parts.iter().filter(|(_, found)| found.state != State::Ready) {
        reasons.push(format!("{}: {}.", named(*part), plain(&found.detail)));
    }
    // what is in force is not what somebody wants, though every part is well
    let refused = known.lines.iter().filter(|line| line.kind == AlertKind::ConfigurationRefused.code());
    reasons.extend(refused.take(REFUSED_MAX).map(|line| {
        let why = plain(&line.text);
        format!(
            "A changed configuration was not taken up, and what was before it is in force: {}.",
            why.trim_end_matches('.')
        )
    }));
    let no_way = known.registry.routes.inboxes().next().is_none();
    if no_way {
        reasons.push(NO_WAY.to_owned());
    }
    let of_parts = reasons.len();
    reasons.extend(ends.filter_map(|end| end.trouble.clone()));
    let of_ends = reasons.len();
    reasons.extend(refusals::told(known.lately));
    let (tag, heading) = match known.overall {
        State::Unavailable => (Tag::of("Down", "red"), "Referrals cannot be taken"),
        _ if no_way => (Tag::of("Down", "red"), "Referrals cannot be taken"),
        _ if of_parts > 0 => (Tag::of("Trouble", "orange"), "Onward works, and not all of it as it should"),
        _ if of_ends > 0 => (Tag::of("Trouble", "orange"), "Onward works, and somebody it speaks to does not"),
        _ if !reasons.is_empty() => (Tag::of("Trouble", "orange"), "Onward works, and turns somebody away"),
        _ if !known.lines.is_empty() => (Tag::of("To do", "yellow"), "All works, and something waits for you"),
        _ => (Tag::of("Well", "green"), "All is well"),
    };
    if waits.total > 0 {
        let over = if waits.is_more { "More than " } else { "" };
        let wait = if waits.total == 1 && !waits.is_more { "waits" } else { "wait" };
        reasons.push(format!("{over}{} {wait} for a person.", counted(waits.total, "thing")));
    }
    Verdict { tag, heading, reasons }
}

/// The name of a part, for people.
fn named(part: Part) -> &'static str {
    match part {
        Part::Store => "Store",
        Part::Disk => "Disk",
        Part::Broker => "Message broker",
        Part::Intake => "Intake of referrals",
        Part::Outbox => "What waits to be sent",
        Part::Routes => "Routes",
        Part::Certificate => "Certificates",
    }
}

fn part_row(part: Part, found: &Condition) -> PartRow {
    let tag = match found.state {
        State::Ready => Tag::of("Well", "green"),
        State::Degraded => Tag::of("Less than it should", "orange"),
        State::Unavailable => Tag::of("Down", "red"),
    };
    PartRow {
        name: named(part).to_owned(),
        tag,
        since: minute(found.since),
        detail: plain(&found.detail),
        advice: plain(&found.advice),
    }
}

/// Every inbox and every way back, with whatever else messages wait for; whose it is, and how it is reached.
fn ends(known: &Known<'_>) -> Vec<(Destination, String, String)> {
    let Registry { systems, providers, inboxes, .. } = known.registry;
    let mut all: Vec<(Destination, String, String)> = Vec::new();
    for inbox in inboxes.values() {
        let name = providers.get(&inbox.provider).map_or_else(|| inbox.provider.to_string(), |one| one.name.clone());
        let how = match &inbox.kind {
            InboxKind::FhirRest(rest) => format!("sent to {}", rest.base_url),
            InboxKind::Worklist => "fetched from its worklist here".to_owned(),
            InboxKind::Amqp(_) => "read from its queue at the broker".to_owned(),
        };
        all.push((Destination::new(Side::Delivery, inbox.id.as_str()), name, how));
    }
    for system in systems.values() {
        let how = match &system.write_back {
            Some(to) => format!("answers go to {}", to.base_url),
            None => "its users look into Onward; nothing is written back".to_owned(),
        };
        all.push((Destination::new(Side::WriteBack, system.id.as_str()), system.name.clone(), how));
    }
    let there: BTreeSet<Destination> = all.iter().map(|(of, ..)| of.clone()).collect();
    for one in known.backlog.iter().filter(|one| one.waiting + one.dead > 0) {
        let of = Destination::new(one.side, one.to.as_str());
        if !there.contains(&of) {
            all.push((of, "not in the configuration".to_owned(), String::new()));
        }
    }
    all.sort();
    all
}

fn end_row(known: &Known<'_>, of: &Destination, name: String, how: String) -> EndRow {
    let found = known.backlog.iter().find(|one| one.side == of.side && one.to == of.to);
    let (waiting, dead) = found.map_or((0, 0), |one| (one.waiting, one.dead));
    let age = found.and_then(|one| one.oldest).map(|oldest| known.now.duration_since(oldest));
    let seen = known.endpoints.iter().find(|seen| seen.of == *of);
    let is_known = match of.side {
        Side::Delivery => of.to.parse::<InboxId>().is_ok_and(|id| known.registry.inboxes.contains_key(&id)),
        Side::WriteBack => of.to.parse::<SystemId>().is_ok_and(|id| known.registry.systems.contains_key(&id)),
    };
    let failing = known.failing.iter().find(|one| one.of == *of);
    let (tag, why, is_trouble) = match seen.map(|seen| (&seen.breaker, seen.breaker.phase)) {
        _ if !is_known => {
            let why = "put it back into the configuration, or put its messages away";
            (Tag::of("Not configured", "red"), why.to_owned(), true)
        }
        Some((breaker, Phase::Open { .. } | Phase::Probing { .. })) => {
            let said = breaker.why.as_deref().unwrap_or("it did not answer");
            let why = format!("since {}; the last answer: {said}", minute(breaker.outage));
            (Tag::of("Not answering", "red"), why, true)
        }
        Some((breaker, Phase::Paused { until })) => {
            let said = breaker.why.as_deref().unwrap_or("too many requests");
            (Tag::of("Asked for a pause", "yellow"), format!("until {}; it said: {said}", minute(until)), false)
        }
        Some((breaker, Phase::Draining { .. })) => {
            let since =
                if breaker.is_after_pause() { "the pause it asked for is over" } else { "it is spoken to again" };
            (Tag::of("Catching up", "blue"), format!("{since}, and what has waited is on its way"), false)
        }
        _ if let Some(one) = failing => {
            let why = format!("{}: {}", sending::what(one), cause(one, known.now));
            (Tag::of(FAILS, "orange"), why, true)
        }
        _ if let Some(count) = queues::unread(of, known.registry, known.queues) => {
            let why = format!("{} in its own queue, and nobody reads it", counted(count, "message"));
            (Tag::of("Not read", "orange"), why, true)
        }
        _ if dead > 0 => {
            let verb = if dead == 1 { "was" } else { "were" };
            (Tag::of("Dead letters", "orange"), format!("{} {verb} given up", counted(dead, "message")), true)
        }
        _ if age.is_some_and(|age| age > LATE) => {
            let why = format!("the oldest message has waited {}", long(age.unwrap_or_default()));
            (Tag::of("Late", "yellow"), why, true)
        }
        _ if is_closed(known, of) => (Tag::of("Closed today", "grey"), String::new(), false),
        _ => (Tag::of("Well", "green"), String::new(), false),
    };
    let trouble = is_trouble.then(|| match failing {
        Some(one) if tag.words == FAILS => {
            format!("{} to {name}: {}.", sending::what(one), cause(one, known.now))
        }
        _ if why.is_empty() => format!("{} ({name}).", tag.words),
        _ => format!("{} ({name}): {why}.", tag.words),
    });
    EndRow {
        of: of.to_string(),
        name,
        how,
        tag,
        why,
        waiting,
        queue: queues::said(of, known.registry, known.queues),
        oldest: age.map_or_else(|| "none".to_owned(), long),
        dead,
        in_flight: seen.map_or(0, |seen| seen.in_flight),
        trouble,
    }
}

/// Why what fails there fails, since when, and when it is tried again.
fn cause(one: &Failing, now: Timestamp) -> String {
    format!("{}, since {}, {}", plain(&one.why), written::near(one.oldest, now), sending::next(one, now))
}

fn is_closed(known: &Known<'_>, of: &Destination) -> bool {
    let inbox = of.to.parse::<InboxId>().ok().filter(|_| of.side == Side::Delivery);
    let today = WorkingTime::local(known.now).date();
    inbox.and_then(|id| known.registry.inboxes.get(&id)).is_some_and(|inbox| inbox.opening.is_closed(today))
}

#[cfg(test)]
mod tests;
