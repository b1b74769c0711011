use proptest::prelude::*;

use super::*;
use crate::routing::{NoRoute, all_open, samples};

fn rules(whens: &[String]) -> String {
    let rule = |(n, when): (usize, &String)| {
        format!("[[route]]\nname = \"r{n:03}\"\npriority = {}\nto = \"a\"\n[route.when]\n{when}", n % 7)
    };
    format!("{}{}", samples::SETS, whens.iter().enumerate().map(rule).collect::<String>())
}

fn read(text: &str) -> RouteSet {
    samples::read_unchecked(text).unwrap().0
}

/// The first that matches, found without an index.
fn walked(set: &RouteSet, facts: &Facts<'_>) -> Option<usize> {
    set.routes().iter().position(|route| route.matches(facts))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_the_index_finds_is_what_a_walk_finds(
        whens in prop::collection::vec(samples::a_when(&Kind::ALL, 4), 150..220),
        referrals in prop::collection::vec(samples::a_referral(3), 24),
    ) {
        let set = read(&rules(&whens));
        for sample in &referrals {
            let facts = &sample.facts();
            // whichever way it decides, what it would look up is right
            let mut found: Vec<u32> = set.index.look_up(&set.index.said(facts));
            found.retain(|at| set.routes().get(*at as usize).is_some_and(|route| route.matches(facts)));
            let all: Vec<u32> = (0..).zip(set.routes()).filter(|(_, route)| route.matches(facts)).map(|(at, _)| at).collect();
            prop_assert_eq!(found, all);
            prop_assert_eq!(set.first_match(facts), walked(&set, facts));
            let explained = set.explain(facts, &all_open, 10);
            let first = walked(&set, facts).and_then(|at| set.routes().get(at));
            prop_assert_eq!(explained.route.as_ref(), first.map(|route| &route.name));
            prop_assert_eq!((explained.rules.len(), explained.left_out), (10, set.routes().len() - 10));
        }
    }
}

#[test]
fn a_rule_is_looked_at_by_whom_it_may_take_alone() {
    let whens: Vec<String> = (0..400)
        .map(|n| format!("code = [\"s|{}\"]\npatient-area = [\"L{}\"]\nsystem = [\"epr\"]\n", n / 20, n % 20))
        .collect();
    let set = read(&rules(&whens));
    assert_eq!(set.index.shapes.len(), 1);
    let request = serde_json::json!({"code": {"coding": [{"system": "s", "code": "7"}]}, "subject": {"reference": "#p"},
        "contained": [{"resourceType": "Patient", "id": "p", "address": [{"postalCode": "L3 1AA"}]}]});
    let (working_time, places) = Default::default();
    let setting = super::super::Setting {
        at: "2026-11-26T10:00:00Z".parse().unwrap(),
        working_time: &working_time,
        places: &places,
    };
    let facts = Facts::of(&"epr".parse().unwrap(), &request, super::super::Carried::nothing(), setting);
    let candidates = set.index.candidates(&set.index.said(&facts)).unwrap();
    let names: Vec<_> = candidates.iter().map(|at| set.routes()[*at as usize].name.as_str()).collect();
    assert_eq!(names, ["r143"]);

    // one that nothing takes is refused without a list of all
    let other = serde_json::json!({});
    let facts = Facts::of(&"gp".parse().unwrap(), &other, super::super::Carried::nothing(), setting);
    let refused = set.decide(&facts, &all_open).unwrap_err();
    let NoRoute::NoneMatches { tried, more } = &refused else { panic!("{refused}") };
    assert_eq!((tried.len(), *more), (20, 380));
    assert!(refused.to_string().ends_with(" and 380 more"), "{refused}");
}

#[test]
fn a_rule_with_too_many_pairs_is_found_by_one_condition() {
    let long = |n: usize| {
        let codes: Vec<String> = (0..30).map(|code| format!("s|{code}")).collect();
        let areas: Vec<String> = (0..30).map(|area| format!("L{area}")).collect();
        format!(
            "code = {codes:?}\npatient-area = {areas:?}\nrequester-org = [\"ORG{}\"]\nurgency = [\"stat\"]\n",
            n % 2
        )
    };
    let whens: Vec<String> = (0..40).map(long).collect();
    let set = read(&rules(&whens));
    assert!(
        set.index.shapes.iter().all(|shape| *shape == (Kind::RequesterOrg, Some(Kind::Urgency))),
        "{:?}",
        set.index.shapes
    );
    assert_eq!(set.index.rules.len(), 2);
}
