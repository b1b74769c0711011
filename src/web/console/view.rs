//! How it is with Onward, in words: a pure function of what is known of its parts and of what waits.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    queues::{self, Depths},
    todo::{Waits, waits},
    words::{Tag, counted, long, minute, plain},
};
use crate::{
    alerts::{sending, worklist::Line},
    config::{Registry, registry::InboxKind},
    domain::{AlertKind, Destination, InboxId, Side, SystemId, breaker::Phase, working_days::WorkingTime},
    health::{Condition, Part, State},
    lanes::endpoints::Seen,
    store::{Backlog, Failing},
};

/// What has waited longer than this is told as late, though nothing else is wrong.
const LATE: SignedDuration = SignedDuration::from_mins(15);

/// Refused configurations that the verdict tells of; the others are among what waits.
const REFUSED_MAX: usize = 3;

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
    let of_parts = reasons.len();
    reasons.extend(ends.filter_map(|end| end.trouble.clone()));
    let (tag, heading) = match known.overall {
        State::Unavailable => (Tag::of("Down", "red"), "Referrals cannot be taken"),
        _ if of_parts > 0 => (Tag::of("Trouble", "orange"), "Onward works, and not all of it as it should"),
        _ if !reasons.is_empty() => (Tag::of("Trouble", "orange"), "Onward works, and somebody it speaks to does not"),
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
    format!("{}, since {}, {}", plain(&one.why), sending::clock(one.oldest, now), sending::next(one, now))
}

fn is_closed(known: &Known<'_>, of: &Destination) -> bool {
    let inbox = of.to.parse::<InboxId>().ok().filter(|_| of.side == Side::Delivery);
    let today = WorkingTime::local(known.now).date();
    inbox.and_then(|id| known.registry.inboxes.get(&id)).is_some_and(|inbox| inbox.opening.is_closed(today))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::breaker::Breaker,
        web::console::tests::{config, line},
    };

    /// What is known, where a test changes one thing.
    struct World {
        parts: BTreeMap<Part, Condition>,
        overall: State,
        registry: Registry,
        endpoints: Vec<Seen>,
        backlog: Vec<Backlog>,
        failing: Vec<Failing>,
        queues: Depths,
        lines: Vec<Line>,
    }

    fn now() -> Timestamp {
        "2026-03-02T09:00:00Z".parse().unwrap()
    }

    fn condition(state: State, detail: &str) -> Condition {
        Condition { state, since: now(), detail: detail.into(), advice: "do this".into() }
    }

    fn well() -> World {
        World {
            parts: BTreeMap::from([(Part::Store, condition(State::Ready, "it takes writes"))]),
            overall: State::Ready,
            registry: config().registry,
            endpoints: vec![],
            backlog: vec![],
            failing: vec![],
            queues: Depths::new(),
            lines: vec![],
        }
    }

    fn seen(world: &World) -> Overview {
        overview(&Known {
            now: now(),
            parts: &world.parts,
            overall: world.overall,
            stopping: false,
            registry: &world.registry,
            endpoints: &world.endpoints,
            backlog: &world.backlog,
            failing: &world.failing,
            queues: &world.queues,
            lines: &world.lines,
            lines_max: 1,
        })
    }

    fn endpoint(of: &str, phase: Phase) -> Seen {
        let why = Some("HTTP 503".to_owned());
        let breaker = Breaker { phase, why, ..Breaker::closed("http://127.0.0.1:9", now()) };
        Seen { of: of.parse().unwrap(), breaker, in_flight: 2, waiting: 0, shut: false }
    }

    fn backlog(side: Side, to: &str, waiting: u64, minutes: i64, dead: u64) -> Backlog {
        let oldest = (waiting > 0).then(|| now() - SignedDuration::from_mins(minutes));
        Backlog { side, to: to.into(), waiting, oldest, dead }
    }

    /// Of the row of this destination: the tag, and why.
    fn row(view: &Overview, of: &str) -> (&'static str, String) {
        let found = view.inboxes.iter().chain(&view.systems).find(|row| row.of == of);
        found.map(|row| (row.tag.words, row.why.clone())).unwrap_or_else(|| panic!("no {of} in {view:?}"))
    }

    #[test]
    fn where_nothing_is_wrong_all_is_well() {
        let view = seen(&well());
        assert_eq!((view.verdict.heading, view.verdict.reasons.len()), ("All is well", 0));
        let shown: Vec<&str> = view.inboxes.iter().chain(&view.systems).map(|row| row.of.as_str()).collect();
        assert_eq!(
            shown,
            ["inbox.life-rooms", "inbox.link-workers", "writeback.brownlow-gp", "writeback.merseycare-rio"]
        );
        assert_eq!(view.inboxes[0].name, "The Life Rooms");
        assert_eq!(view.systems[0].how, "its users look into Onward; nothing is written back");
    }

    #[test]
    fn a_part_that_is_not_as_it_should_be_is_told_first() {
        let mut world = well();
        world.parts.insert(Part::Broker, condition(State::Unavailable, "not connected"));
        world.overall = State::Degraded;
        let view = seen(&world);
        assert_eq!(view.verdict.tag.words, "Trouble");
        assert_eq!(view.verdict.reasons, ["Message broker: not connected."]);
        world.overall = State::Unavailable;
        assert_eq!(seen(&world).verdict.heading, "Referrals cannot be taken");
    }

    #[test]
    fn how_each_end_is_told() {
        let mut world = well();
        world.endpoints = vec![endpoint("inbox.life-rooms", Phase::Open { until: now() })];
        let view = seen(&world);
        let (tag, why) = row(&view, "inbox.life-rooms");
        assert_eq!((tag, why.as_str()), ("Not answering", "since 2 March 2026, 9am; the last answer: HTTP 503"));
        assert_eq!(view.inboxes[0].in_flight, 2);
        assert!(view.verdict.reasons[0].contains("The Life Rooms"), "{:?}", view.verdict);
        for (phase, tag, reasons) in [
            (Phase::Probing { until: now(), holder: uuid::Uuid::nil() }, "Not answering", 1),
            (Phase::Paused { until: now() }, "Asked for a pause", 0),
            (Phase::Draining { until: now(), holder: uuid::Uuid::nil() }, "Catching up", 0),
            (Phase::Closed, "Well", 0),
        ] {
            world.endpoints = vec![endpoint("inbox.life-rooms", phase)];
            let view = seen(&world);
            assert_eq!((row(&view, "inbox.life-rooms").0, view.verdict.reasons.len()), (tag, reasons), "{phase:?}");
        }
    }

    #[test]
    fn what_waits_long_and_what_died_is_told() {
        for (waiting, minutes, dead, tag) in
            [(3, 15, 0, "Well"), (3, 16, 0, "Late"), (0, 0, 1, "Dead letters"), (3, 16, 2, "Dead letters")]
        {
            let mut world = well();
            world.backlog = vec![backlog(Side::WriteBack, "merseycare-rio", waiting, minutes, dead)];
            let view = seen(&world);
            assert_eq!(row(&view, "writeback.merseycare-rio").0, tag);
            assert_eq!(view.verdict.heading == "All is well", tag == "Well");
        }
    }

    #[test]
    fn a_configuration_that_was_not_taken_up_is_trouble() {
        let mut world = well();
        world.lines =
            vec![Line { text: "onward.toml: [[system]] needs `id`.".into(), ..line("configuration-refused") }];
        let verdict = seen(&world).verdict;
        assert_eq!((verdict.tag.words, verdict.heading), ("Trouble", "Onward works, and not all of it as it should"));
        let told = "A changed configuration was not taken up, and what was before it is in force: onward.toml: [[system]] needs “id”.";
        assert_eq!(verdict.reasons[0], told);
    }

    #[test]
    fn what_is_tried_in_vain_is_told_whatever_else_is_well() {
        let mut world = well();
        let of = Destination::new(Side::WriteBack, "merseycare-rio");
        let (oldest, next) = (now() - SignedDuration::from_mins(2), now() + SignedDuration::from_mins(3));
        world.failing = vec![Failing { of, count: 1, oldest, next, why: "connection refused".into() }];
        // of another Task given up before is not said what is of this one
        world.backlog = vec![backlog(Side::WriteBack, "merseycare-rio", 1, 2, 1)];
        let view = seen(&world);
        let how = "connection refused, since 08:58, next try at 09:03";
        assert_eq!(row(&view, "writeback.merseycare-rio"), (FAILS, format!("1 answer cannot be written back: {how}")));
        assert_eq!(view.verdict.reasons, [format!("1 answer cannot be written back to Mersey Care: {how}.")]);
        assert_eq!(view.verdict.tag.words, "Trouble");
        // where the endpoint is left alone as a whole, that is what is told
        world.endpoints = vec![endpoint("writeback.merseycare-rio", Phase::Open { until: now() })];
        assert_eq!(row(&seen(&world), "writeback.merseycare-rio").0, "Not answering");
    }

    #[test]
    fn what_waits_for_somebody_who_is_gone_is_told() {
        let mut world = well();
        world.backlog = vec![backlog(Side::Delivery, "gone", 1, 1, 0), backlog(Side::Delivery, "done", 0, 0, 0)];
        let view = seen(&world);
        assert_eq!(row(&view, "inbox.gone").0, "Not configured");
        assert!(!view.inboxes.iter().any(|row| row.of == "inbox.done"), "nothing waits for that one");
    }

    #[test]
    fn an_inbox_that_is_closed_says_so_and_troubles_nobody() {
        let mut world = well();
        for inbox in world.registry.inboxes.values_mut() {
            inbox.opening.open = false;
        }
        let view = seen(&world);
        assert_eq!((row(&view, "inbox.life-rooms").0, view.verdict.heading), ("Closed today", "All is well"));
    }

    #[test]
    fn after_a_pause_nobody_says_that_it_was_away() {
        let mut world = well();
        world.endpoints =
            vec![endpoint("inbox.life-rooms", Phase::Draining { until: now(), holder: uuid::Uuid::nil() })];
        let told = row(&seen(&world), "inbox.life-rooms").1;
        assert_eq!(told, "the pause it asked for is over, and what has waited is on its way");
        world.endpoints[0].breaker.failures = 5;
        let told = row(&seen(&world), "inbox.life-rooms").1;
        assert_eq!(told, "it is spoken to again, and what has waited is on its way");
    }

    #[test]
    fn what_waits_for_a_person_is_counted_beyond_what_is_shown() {
        let mut world = well();
        world.lines = vec![line("overdue")];
        let view = seen(&world);
        assert_eq!((view.verdict.heading, view.waits.is_more), ("All works, and something waits for you", false));
        assert_eq!(view.verdict.reasons, ["1 thing waits for a person."]);
        world.lines = vec![line("overdue"), line("overdue")];
        let view = seen(&world);
        assert_eq!((view.waits.total, view.waits.is_more), (1, true));
        assert_eq!(view.verdict.reasons, ["More than 1 thing wait for a person."]);
    }
}
