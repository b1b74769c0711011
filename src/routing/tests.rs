use std::collections::BTreeSet;

use proptest::{prelude::*, sample::subsequence};
use serde_json::{Value, json};

use super::*;
use crate::{
    domain::working_days::{Within, WorkingTime},
    places::Places,
};

mod conditions;
mod targets;

fn ids<T: std::str::FromStr + Ord>(words: &[&str]) -> BTreeSet<T> {
    words.iter().filter_map(|word| word.parse().ok()).collect()
}

/// A Thursday, in working time.
const NOW: &str = "2026-11-26T10:00:00Z";

fn read_with(
    text: &str,
    inboxes: &[&str],
    systems: &[&str],
    files: &dyn Fn(&str) -> Result<String, String>,
) -> Result<RouteSet, Vec<String>> {
    let known = Known {
        inboxes: ids(inboxes),
        services: [("debt advice".to_owned(), "b".parse().unwrap())].into(),
        systems: ids(systems),
        working_time: &WorkingTime::default(),
        places: &Places::default(),
        files,
    };
    let read = RouteSet::read(text, "routes.toml", known);
    read.map(|(set, _)| set).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn parse(text: &str) -> Result<RouteSet, Vec<String>> {
    read_with(text, &["a", "b", "c", "triage"], &["epr", "gp"], &|_| Err("there is none".to_owned()))
}

/// Rules that may be at odds with each other.
fn parse_unchecked(text: &str) -> Result<RouteSet, Vec<String>> {
    samples::read_unchecked(text).map(|(set, _)| set)
}

fn no_facts() -> Facts<'static> {
    facts("epr", &json!({}))
}

fn one_rule(when: &str) -> RouteSet {
    parse(&format!("[[route]]\nname = \"r\"\nto = \"a\"\nwhen = {{ {when} }}\n")).unwrap()
}

/// Of a referral that carries nothing else. It lives as long as the test.
fn facts(system: &str, request: &Value) -> Facts<'static> {
    facts_at(NOW, system, request, &[])
}

fn facts_at(at: &str, system: &str, request: &Value, carried: &[Value]) -> Facts<'static> {
    let request: &'static Value = Box::leak(Box::new(request.clone()));
    let carried: Vec<Value> = carried.iter().map(|resource| json!({ "resource": resource })).collect();
    let carried: &'static [Value] = carried.leak();
    let (working_time, places) = (WorkingTime::default(), Places::default());
    let setting = Setting { at: at.parse().unwrap(), working_time: &working_time, places: &places };
    Facts::of(&system.parse().unwrap(), request, Carried::entries(carried), setting)
}

fn decide(routes: &RouteSet, facts: &Facts<'_>) -> Result<Decision, NoRoute> {
    routes.decide(facts, &all_open)
}

fn only(decision: &Decision) -> &str {
    assert_eq!(decision.targets.len(), 1, "{decision:?}");
    decision.targets[0].inbox.as_str()
}

#[test]
fn each_condition_matches_and_does_not() {
    let ods = |code: &str| json!({"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": code});
    let request = json!({
        "code": {"coding": [{"system": "s", "code": "1"}, {"code": "2"}]},
        "category": [{"coding": [{"system": "s", "code": "c"}]}],
        "performer": [{"reference": "HealthcareService/h"}, {"identifier": ods("u99999")},
                      {"identifier": {"system": "svc", "value": "life"}}],
        "requester": {"identifier": ods("N82999")},
        "subject": {"reference": "#p"},
        "contained": [{"resourceType": "Patient", "id": "p", "address": [{"use": "home", "postalCode": "ch417zz"}]}],
    });
    let facts = facts("epr", &request);
    for (when, expected) in [
        ("code = ['s|1']", true),
        ("code = ['1']", true),
        ("code = ['|1']", false),
        ("code = ['|2']", true),
        ("code = ['t|1', 't|2', '2']", true),
        ("code = ['t|1']", false),
        ("code = ['c']", false),
        ("category = ['s|c']", true),
        ("category = ['1']", false),
        ("performer = ['U99999']", true),
        ("performer = ['https://fhir.nhs.uk/id/ods-organization-code|u99999']", true),
        ("performer = ['svc|life']", true),
        ("performer = ['svc|Life']", false),
        ("performer = ['HealthcareService/h']", true),
        ("performer = ['Service/h']", false),
        ("performer = ['N82999']", false),
        ("requester-org = ['n82999']", true),
        ("requester-org = ['U99999', 'RW4']", false),
        ("patient-area = ['CH']", true),
        ("patient-area = ['ch 41']", true),
        ("patient-area = ['CH4', 'C']", false),
        ("system = ['gp', 'epr']", true),
        ("system = ['gp']", false),
        ("code = ['1'], system = ['epr'], patient-area = ['CH']", true),
        ("code = ['1'], system = ['gp'], patient-area = ['CH']", false),
    ] {
        assert_eq!(decide(&one_rule(when), &facts).is_ok(), expected, "{when}");
    }
}

#[test]
fn the_lower_number_first_then_the_name_then_triage() {
    let rule = |name: &str, priority: &str, to: &str| {
        format!("[[route]]\nname = \"{name}\"\n{priority}\nwhen = {{ system = [\"epr\"] }}\nto = \"{to}\"\n")
    };
    let text =
        [rule("late", "", "a"), rule("first", "priority = 5", "b"), rule("second", "priority = 5", "a")].concat();
    let routes = parse_unchecked(&text).unwrap();
    let names: Vec<_> = routes.routes().iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "late"]);
    let decided = decide(&routes, &no_facts()).unwrap();
    assert_eq!((only(&decided), decided.route.as_deref()), ("b", Some("first")));

    let from_gp = facts("gp", &json!({}));
    let tried = decide(&routes, &from_gp).unwrap_err();
    assert_eq!(tried.to_string(), "no route matches and there is no triage inbox; tried: first, second, late");
    let with_triage = parse_unchecked(&format!("{text}\n[triage]\nto = \"triage\"\n")).unwrap();
    let decided = decide(&with_triage, &from_gp).unwrap();
    assert_eq!((only(&decided), decided.route.clone()), ("triage", None));
}

#[test]
fn who_is_a_target_anyway_stands_in_for_nobody() {
    let text = "[[route]]\nname = \"r\"\nto = [\"a\", \"triage\"]\nwhen = { system = [\"epr\"] }\nfallback = [\"b\"]\n\
                [triage]\nto = \"triage\"\n";
    let routes = parse(text).unwrap();
    let inboxes = |shut: &'static [&'static str]| {
        let closed = move |inbox: &InboxId| shut.contains(&inbox.as_str()).then_some(Unavailable::Full);
        let decision = routes.decide(&no_facts(), &closed).unwrap();
        decision.inboxes().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(inboxes(&["a"]), ["b", "triage"]);
    assert_eq!(inboxes(&["a", "b"]), ["triage"]);
    assert_eq!(inboxes(&["a", "b", "triage"]), ["triage"], "which is never closed");
}

#[test]
fn the_version_is_what_the_rules_say() {
    let a = "[[route]]\nname = \"x\"\npriority = 1\nwhen = { system = [\"epr\"] }\nto = \"a\"\n";
    let b = "[[route]]\nname = \"y\"\npriority = 2\nwhen = { code = [\"1\"] }\nto = \"b\"\n";
    let version = |text: &str| parse(text).unwrap().version().to_owned();
    let there = version(&[a, b].concat());
    assert_eq!(there.len(), 12);
    assert_eq!(there, version(&format!("# a comment\n\n{b}\n{a}")));
    assert_ne!(there, version(&[a, &b.replace("\"1\"", "\"2\"")].concat()));
    assert_ne!(there, version(&format!("{a}{b}[triage]\nto = \"a\"\n")));
}

#[test]
fn every_way_a_file_can_be_wrong_has_its_sentence() {
    let text = r#"
[[route]]
name = "x"
priority = -1
when = { code = [], colour = ["red"] }
to = "nowhere"

[[route]]
name = "x"
when = { patient-area = ["L1 9ZZ"], system = ["rio"], requester-org = "RW4", performer = ["a b"] }
to = "a"
from = "b"

[[route]]
when = {}
to = 7

[triage]
to = "Triage"

[[test]]
name = "t"
"#;
    assert_eq!(
        parse(text).unwrap_err(),
        [
            "routes.toml:4:12 route[0].priority: found -1; allowed: a whole number from 0 to 1000000",
            "routes.toml:5:17 route[0].when.code: found an empty list, which nothing can match; \
             allowed: at least one: \"system|code\", \"|code\", \"code\" or \"in:NAME\" of a value set",
            "routes.toml:5:21 route[0].when.colour: found an unknown key; allowed: code, category, performer, requester-org, \
             system, patient-area, patient-age, language, consent, urgency, time, fhirpath",
            "routes.toml:6:6 route[0].to: found \"nowhere\", which is no inbox; allowed: one of a, b, c, triage",
            "routes.toml:9:8 route[1].name: found \"x\" a second time; allowed: a name once in the file",
            "routes.toml:10:26 route[1].when.patient-area[0]: found \"L1 9ZZ\"; allowed: a postcode area such as \"CH\", an \
             outward code such as \"L1\", the beginning of a census area such as \"lsoa:E0100651\", or \"in:NAME\" of an area",
            "routes.toml:10:47 route[1].when.system[0]: found \"rio\"; allowed: one of epr, gp",
            "routes.toml:10:71 route[1].when.requester-org: found a text; \
             allowed: a list, each item an ODS code: 3 to 10 letters and digits",
            "routes.toml:10:91 route[1].when.performer[0]: found \"a b\"; allowed: an ODS code, \"system|value\" \
             or a reference such as \"https://…/HealthcareService/1\"",
            "routes.toml:12:1 route[1].from: found an unknown key; allowed: name, priority, when, to, share, fallback, \
             acknowledge-within, answer-within, escalate-to",
            "routes.toml:14:1 route[2].name: found nothing; needed: a name for people, once in the file",
            "routes.toml:15:8 route[2].when: found no condition; \
             allowed: at least one; what no route takes goes to the inbox under [triage]",
            "routes.toml:16:6 route[2].to: found a number; allowed: one of a, b, c, triage",
            "routes.toml:19:6 triage.to: found \"Triage\"; allowed: one of a, b, c, triage",
            "routes.toml:21:1 test[0].referral: found nothing; needed: a ServiceRequest or a Bundle, as JSON or XML between \
             three quotes, or the path of a file that holds it",
            "routes.toml:21:1 test[0].from: found nothing; needed: the id of the system that sends it",
            "routes.toml:21:1 test[0].expect: found nothing; needed: a table with to and route, or with refused",
        ]
    );
}

#[test]
fn an_explanation_tells_every_rule_and_no_postcode() {
    let text = r#"
[[route]]
name = "near"
priority = 1
when = { code = ["1"], patient-area = ["L1"] }
to = "a"
[[route]]
name = "any"
when = { patient-area = ["CH"] }
to = "b"
[triage]
to = "triage"
"#;
    let request = json!({"code": {"coding": [{"system": "s", "code": "1"}]}, "subject": {"reference": "#p"}, "contained": [
        {"resourceType": "Patient", "id": "p", "name": [{"family": "Tarleton"}], "address": [{"postalCode": "CH41 7ZZ"}]}]});
    let explanation = parse(text).unwrap().explain(&facts("epr", &request), &all_open, usize::MAX);
    let expected = format!(
        "Goes to b by the route any.\nRoute set {}, in the order tried:\n\n\
         near (priority 1, to a): does not match\n  yes  code: the referral has 1\n  \
         no   patient-area: the person lives in none of these; wanted L1\n\n\
         any (priority 100, to b): matches and decides\n  yes  patient-area: the person lives in CH\n",
        explanation.version
    );
    assert_eq!(explanation.to_string(), expected);
    let both = format!("{explanation}{}", serde_json::to_string(&explanation).unwrap());
    for of_the_patient in ["CH41", "7ZZ", "Tarleton"] {
        assert!(!both.contains(of_the_patient), "{both}");
    }
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["rules"][1]["decides"], json!(true));
    assert_eq!(json["rules"][0]["conditions"][1]["found"], json!([]));
}

// --- properties ---

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(values, 0..=values.len())
}

prop_compose! {
    fn a_when()(code in some_of(&["1", "s|1", "|2", "t|3"]), area in some_of(&["L", "L1", "CH"]),
                org in some_of(&["RW4", "N82999"]), system in some_of(&["epr", "gp"]),
                age in some_of(&["..17", "18..64"]), language in some_of(&["cy", "en"]), urgency in some_of(&["routine", "stat"]),
                time in some_of(&["working-hours", "sat,sun"]), path in some_of(&["code.exists()", "priority = 'stat'"])) -> String {
        let list = |key: &str, values: &[&str]| match values {
            [] => String::new(),
            values => format!("{key} = {values:?}\n"),
        };
        let of_person = [list("patient-area", &area), list("patient-age", &age), list("language", &language)].concat();
        let of_request = [list("code", &code), list("requester-org", &org), list("system", &system), list("urgency", &urgency)].concat();
        let when = [of_person, of_request, list("time", &time), list("fhirpath", &path)].concat();
        if when.is_empty() { "system = ['epr']\n".to_owned() } else { when }
    }
}

prop_compose! {
    fn a_referral()(codes in some_of(&["1", "2", "3"]), in_system in some_of(&["s", "t"]), area in some_of(&["L1 1AA", "L15 1AA", "CH1 1AA"]),
                    org in some_of(&["rw4", "N82999"]), gp in any::<bool>(), stat in any::<bool>(), born in some_of(&["2000", "2015-01"]),
                    speaks in some_of(&["cy-GB", "en"])) -> (&'static str, Value) {
        let coding = |code: &&str| match in_system.first() {
            Some(system) => json!({"system": system, "code": code}),
            None => json!({"code": code}),
        };
        let request = json!({
            "code": {"coding": codes.iter().map(coding).collect::<Vec<_>>()},
            "requester": {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": org.first()}},
            "subject": {"reference": "#p"},
            "priority": if stat { "stat" } else { "routine" },
            "contained": [{"id": "p", "birthDate": born.first(),
                "communication": speaks.iter().map(|code| json!({"language": {"coding": [{"code": code}]}})).collect::<Vec<_>>(),
                "address": area.iter().map(|code| json!({"postalCode": code})).collect::<Vec<_>>()}],
        });
        (if gp { "gp" } else { "epr" }, request)
    }
}

fn file(rules: &[(usize, u32, String)], triage: bool) -> String {
    let rule = |(n, priority, when): &(usize, u32, String)| {
        format!(
            "[[route]]\nname = \"r{n}\"\npriority = {priority}\nto = \"{}\"\n[route.when]\n{when}",
            if n % 2 == 0 { "a" } else { "b" }
        )
    };
    let triage = if triage { "[triage]\nto = \"triage\"\n" } else { "" };
    format!("{}\n{triage}", rules.iter().map(rule).collect::<Vec<_>>().join("\n"))
}

proptest! {
    #[test]
    fn explain_and_decide_never_differ(
        whens in prop::collection::vec((0u32..4, a_when()), 1..8),
        triage in any::<bool>(),
        referral in a_referral(),
    ) {
        let rules: Vec<_> = whens.into_iter().enumerate().map(|(n, (priority, when))| (n, priority, when)).collect();
        let routes = parse_unchecked(&file(&rules, triage)).map_err(|faults| TestCaseError::fail(faults.join("\n")))?;
        let referral = facts(referral.0, &referral.1);
        let explained = routes.explain(&referral, &all_open, usize::MAX);
        prop_assert_eq!(explained.rules.len(), rules.len());
        match decide(&routes, &referral) {
            Ok(decision) => {
                let told: Vec<_> = explained.inboxes.iter().map(|goes| goes.to.clone()).collect();
                prop_assert_eq!(told, decision.inboxes().cloned().collect::<Vec<_>>());
                prop_assert_eq!(&explained.route, &decision.route);
                let deciding: Vec<_> = explained.rules.iter().filter(|rule| rule.decides).map(|rule| rule.name.clone()).collect();
                prop_assert_eq!(deciding, decision.route.into_iter().collect::<Vec<_>>());
            }
            Err(none) => {
                prop_assert_eq!(explained.refused, Some(none.to_string()));
                let NoRoute::NoneMatches { tried, .. } = none else { return Err(TestCaseError::fail("all are open")) };
                prop_assert!(explained.inboxes.is_empty());
                prop_assert!(explained.rules.iter().all(|rule| !rule.matches));
                prop_assert_eq!(tried, explained.rules.into_iter().map(|rule| rule.name).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_order_of_routes_does_not_matter(
        whens in prop::collection::vec((0u32..3, a_when()), 1..8),
        turn in 0usize..8,
        referral in a_referral(),
    ) {
        let mut rules: Vec<_> = whens.into_iter().enumerate().map(|(n, (priority, when))| (n, priority, when)).collect();
        let one = parse_unchecked(&file(&rules, true)).map_err(|faults| TestCaseError::fail(faults.join("\n")))?;
        rules.reverse();
        let middle = turn % rules.len();
        rules.rotate_left(middle);
        let other = parse_unchecked(&file(&rules, true)).map_err(|faults| TestCaseError::fail(faults.join("\n")))?;
        let referral = facts(referral.0, &referral.1);
        prop_assert_eq!(decide(&one, &referral), decide(&other, &referral));
        prop_assert_eq!(one.version(), other.version());
    }
}

/// The fixtures' expectations were worked out by hand; those that are XML need the FHIR room and are tested there.
#[test]
fn the_fixtures_go_where_they_must() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let Ok(text) = std::fs::read_to_string(folder.join("routes.toml")) else { return };
    let inboxes = ["life-rooms", "link-workers", "housing-support", "triage"];
    let systems = ["merseycare-rio", "brownlow-gp", "ward-epr"];
    let routes = read_with(&text, &inboxes, &systems, &|_| Err("there is none".to_owned())).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let expected: Value = serde_json::from_str(&read("expected-routes.json")).unwrap();
    let mut decided = 0;
    for case in expected.as_array().unwrap() {
        let name = case["file"].as_str().unwrap();
        if !name.ends_with(".json") {
            continue;
        }
        let body: Value = serde_json::from_str(&read(&format!("referrals/{name}"))).unwrap();
        let alone = vec![json!({"resource": body})];
        let entries = body["entry"].as_array().unwrap_or(&alone);
        let requests =
            entries.iter().map(|entry| &entry["resource"]).filter(|one| one["resourceType"] == "ServiceRequest");
        for request in requests {
            let identifier = &request["identifier"][0];
            let key = format!("{}|{}", identifier["system"].as_str().unwrap(), identifier["value"].as_str().unwrap());
            let wanted = case["referrals"].as_array().unwrap().iter().find(|one| one["identifier"] == key.as_str());
            let wanted = wanted.unwrap_or_else(|| panic!("{name}: {key} is not expected"));
            let (working_time, places) = (WorkingTime::default(), Places::default());
            let setting = Setting { at: NOW.parse().unwrap(), working_time: &working_time, places: &places };
            let system = case["system"].as_str().unwrap().parse().unwrap();
            let facts = Facts::of(&system, request, Carried::entries(entries), setting);
            let decision = decide(&routes, &facts).unwrap();
            let got = json!({"identifier": key, "inbox": only(&decision), "route": decision.route});
            assert_eq!(&got, wanted, "{name}\n{}", routes.explain(&facts, &all_open, usize::MAX));
            decided += 1;
        }
    }
    assert!(decided >= 12, "only {decided} referrals were decided");
}
