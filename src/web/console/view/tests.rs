use super::*;
use crate::{
    domain::breaker::Breaker,
    routing::RouteSet,
    web::console::tests::{line, routed},
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
    lately: Counted,
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
        registry: routed().registry,
        endpoints: vec![],
        backlog: vec![],
        failing: vec![],
        queues: Depths::new(),
        lately: Counted::default(),
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
        lately: world.lately,
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
    assert_eq!(shown, ["inbox.life-rooms", "inbox.link-workers", "writeback.brownlow-gp", "writeback.merseycare-rio"]);
    assert_eq!(view.inboxes[0].name, "The Life Rooms");
    assert_eq!(view.systems[0].how, "its users look into Onward; nothing is written back");
}

#[test]
fn that_no_referral_gets_in_is_told_though_every_part_is_well() {
    let mut world = well();
    world.lately = Counted { refused: 5, unknown: 3, ..Counted::default() };
    let verdict = seen(&world).verdict;
    assert_eq!((verdict.tag.words, verdict.heading), ("Trouble", "Onward works, and turns somebody away"));
    assert!(verdict.reasons.len() == 1 && verdict.reasons[0].contains("refused 5 requests"), "{verdict:?}");
    world.lately = Counted { referrals: 1, refused: 5, ..Counted::default() };
    assert_eq!(seen(&world).verdict.heading, "All is well");
    world.registry.routes = RouteSet::empty();
    let verdict = seen(&world).verdict;
    assert_eq!((verdict.tag.words, verdict.heading), ("Down", "Referrals cannot be taken"));
    assert!(verdict.reasons[0].starts_with("No rule says where referrals go"), "{verdict:?}");
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
    world.lines = vec![Line { text: "onward.toml: [[system]] needs `id`.".into(), ..line("configuration-refused") }];
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
    let how = "connection refused, since 8:58am, next try at 9:03am";
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
    world.endpoints = vec![endpoint("inbox.life-rooms", Phase::Draining { until: now(), holder: uuid::Uuid::nil() })];
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
