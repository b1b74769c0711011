//! What it costs to decide where a referral goes, among so many rules: `cargo bench --bench routing`. One core. Beside each figure stands
//! that of a walk over all rules, which finds the same.

// a measurement has nobody to hand an error to
#![allow(clippy::panic)]

use std::collections::BTreeSet;

use divan::{Bencher, black_box};
use onward::{
    domain::working_days::WorkingTime,
    places::Places,
    routing::{Carried, EXPLAINED_MAX, Facts, Known, RouteSet, Setting, all_open},
};
use serde_json::{Value, json};

/// So many rules.
const RULES: [usize; 3] = [10, 1_000, 10_000];
const SYSTEM: &str = "https://example.org/CodeSystem/service";
/// Forty services, of which each is offered in many districts.
const SERVICES: usize = 40;
const LETTERS: [&str; 8] = ["L", "CH", "WA", "PR", "WN", "M", "SK", "BL"];

fn main() {
    divan::main();
}

fn outward(number: usize) -> String {
    format!("{}{}", LETTERS[number / 99 % LETTERS.len()], number % 99 + 1)
}

/// One of ten asks for a named performer, two for a practice and an urgency, seven for a service in a district.
fn rule(number: usize) -> String {
    let code = format!("{SYSTEM}|{}", number % SERVICES);
    let (priority, when) = match number % 10 {
        0 => (10, format!("performer = [\"P{number:05}\"]")),
        1 | 2 => {
            (20, format!("code = [\"{code}\"], requester-org = [\"N{number:05}\"], urgency = [\"urgent\", \"stat\"]"))
        }
        _ => {
            let first = number / SERVICES * 3;
            let areas: Vec<String> = (first..first + 3).map(outward).collect();
            (30, format!("code = [\"{code}\"], patient-area = {areas:?}"))
        }
    };
    format!(
        "[[route]]\nname = \"rule {number}\"\npriority = {priority}\nto = \"inbox-{}\"\nwhen = {{ {when} }}\n",
        number % 7
    )
}

fn text(rules: usize) -> String {
    (0..rules).map(rule).collect::<String>() + "[triage]\nto = \"inbox-0\"\n"
}

fn read(text: &str) -> RouteSet {
    let known = Known {
        inboxes: (0..7).filter_map(|n| format!("inbox-{n}").parse().ok()).collect(),
        services: Default::default(),
        systems: BTreeSet::from_iter("epr".parse().ok()),
        working_time: &WorkingTime::default(),
        places: &Places::default(),
        files: &|_| Err("there is none".to_owned()),
    };
    let read = RouteSet::read(text, "routes.toml", known);
    read.map(|(set, _)| set).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

/// What the last rule for a service in a district takes: a walk looks at most of the others before.
fn request(rules: usize) -> Value {
    let number = (0..rules).rev().find(|number| number % 10 > 2).unwrap_or_default();
    let home = outward(number / SERVICES * 3 + 2);
    json!({
        "resourceType": "ServiceRequest",
        "code": {"coding": [{"system": SYSTEM, "code": (number % SERVICES).to_string()}, {"system": "http://snomed.info/sct", "code": "871731000000106"}]},
        "requester": {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "N82999"}},
        "subject": {"reference": "#p"},
        "contained": [{"resourceType": "Patient", "id": "p", "birthDate": "1961-05-01",
            "address": [{"use": "home", "postalCode": format!("{home} 1ZZ")}]}],
    })
}

fn with_facts(rules: usize, bench: impl FnOnce(&RouteSet, &Facts<'_>)) {
    let (set, request) = (read(&text(rules)), request(rules));
    let (working_time, places) = (WorkingTime::default(), Places::default());
    let at = "2026-11-26T10:00:00Z".parse().unwrap_or_default();
    let setting = Setting { at, working_time: &working_time, places: &places };
    let Ok(system) = "epr".parse() else { return };
    let facts = Facts::of(&system, &request, Carried::nothing(), setting);
    let walked = set.routes().iter().find(|route| route.matches(&facts)).map(|route| route.name.clone());
    let decided = set.decide(&facts, &all_open).ok().and_then(|decision| decision.route);
    assert!(walked.is_some() && walked == decided, "{walked:?} {decided:?}");
    bench(&set, &facts);
}

/// The decision.
#[divan::bench(args = RULES)]
fn decide(bencher: Bencher<'_, '_>, rules: usize) {
    with_facts(rules, |set, facts| bencher.bench_local(|| set.decide(black_box(facts), &all_open)));
}

/// The same by a walk over all rules.
#[divan::bench(args = RULES)]
fn decide_by_a_walk(bencher: Bencher<'_, '_>, rules: usize) {
    with_facts(rules, |set, facts| {
        bencher.bench_local(|| {
            set.routes().iter().find(|route| route.matches(black_box(facts))).map(|route| route.to.clone())
        });
    });
}

/// The explanation that is kept with a referral.
#[divan::bench(args = RULES)]
fn explain(bencher: Bencher<'_, '_>, rules: usize) {
    with_facts(rules, |set, facts| bencher.bench_local(|| set.explain(black_box(facts), &all_open, EXPLAINED_MAX)));
}

/// A route file read, checked and indexed.
#[divan::bench(args = RULES, sample_count = 5)]
fn read_and_check(bencher: Bencher<'_, '_>, rules: usize) {
    let text = text(rules);
    bencher.bench_local(|| read(black_box(&text)));
}
