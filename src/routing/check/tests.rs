use proptest::prelude::*;

use crate::routing::{Kind, Route, RouteSet, samples};

/// A rule with a priority of its own.
fn rule(name: &str, priority: u32, to: &str, when: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\npriority = {priority}\nto = \"{to}\"\nwhen = {{ {when} }}\n")
}

fn faults(text: &str) -> Vec<String> {
    let text = format!("{}{text}", samples::SETS);
    let Err(faults) = samples::read(&text) else { return Vec::new() };
    faults.into_iter().map(|fault| fault.split_once(": ").unwrap().1.to_owned()).collect()
}

/// Of two rules, the first of which is tried first.
fn is_shadowed(first: &str, second: &str) -> bool {
    let faults = faults(&[rule("first", 1, "a", first), rule("second", 2, "b", second)].concat());
    assert!(faults.iter().all(|fault| fault.contains("never decides: “first” (line")), "{faults:?}");
    !faults.is_empty()
}

#[test]
fn one_rule_takes_all_that_another_takes() {
    for (first, second, expected) in [
        ("code = ['1']", "code = ['s|1', '|1', '1']", true),
        ("code = ['s|1']", "code = ['1']", false),
        ("code = ['1']", "code = ['s|2', 's|1']", false),
        ("code = ['1', '2']", "code = ['in:debt']", true),
        ("code = ['1']", "code = ['in:debt']", false),
        ("code = ['in:wide']", "code = ['in:debt', 's|3']", true),
        ("code = ['in:debt']", "code = ['in:wide']", false),
        ("code = ['in:debt']", "code = ['s|1']", true),
        ("code = ['in:debt']", "code = ['1']", false),
        ("code = ['1']", "category = ['1']", false),
        ("code = ['1']", "code = ['1'], category = ['1']", true),
        ("code = ['1'], category = ['1']", "code = ['1']", false),
        ("performer = ['u99999']", "performer = ['U99999']", true),
        ("performer = ['svc|life']", "performer = ['svc|Life']", false),
        ("requester-org = ['rw4', 'N82999']", "requester-org = ['RW4']", true),
        ("system = ['epr', 'gp']", "system = ['epr'], code = ['1']", true),
        ("system = ['epr', 'gp', 'ward']", "code = ['1']", true),
        ("system = ['epr', 'gp']", "code = ['1']", false),
        ("patient-area = ['L']", "patient-area = ['L1', 'L15']", true),
        ("patient-area = ['L1']", "patient-area = ['L']", false),
        ("patient-area = ['L']", "patient-area = ['LL11']", false),
        ("patient-area = ['lsoa:E01']", "patient-area = ['lsoa:E01006512', 'lsoa:E010']", true),
        ("patient-area = ['lsoa:E01006512']", "patient-area = ['lsoa:E010065']", false),
        ("patient-area = ['L', 'lsoa:E0100']", "patient-area = ['in:town']", true),
        ("patient-area = ['L']", "patient-area = ['in:town']", false),
        ("patient-area = ['in:town']", "patient-area = ['L2', 'lsoa:E01006512']", true),
        ("patient-area = ['in:round', 'L']", "patient-area = ['in:round']", true),
        ("patient-area = ['in:round']", "patient-area = ['in:field']", false),
        ("patient-age = ['18..']", "patient-age = ['40', '65..']", true),
        ("patient-age = ['18..64']", "patient-age = ['40..65']", false),
        // who is 17 or 18, which of them is not known, is in neither
        ("patient-age = ['..17', '18..']", "patient-age = ['10..30']", false),
        ("patient-age = ['..18', '18..']", "patient-age = ['10..30']", true),
        ("patient-age = ['0..']", "code = ['1']", false),
        ("language = ['cy', 'en']", "language = ['cy-GB', 'en']", true),
        ("language = ['cy-GB']", "language = ['cy']", false),
        ("language = ['cy']", "language = ['cym']", false),
        ("consent = ['given', 'refused', 'absent']", "code = ['1']", true),
        ("consent = ['given', 'refused']", "consent = ['given']", true),
        ("consent = ['given', 'refused']", "code = ['1']", false),
        ("urgency = ['routine', 'urgent', 'asap', 'stat']", "language = ['cy']", true),
        ("urgency = ['stat']", "urgency = ['stat', 'asap']", false),
        ("time = ['00:00-24:00']", "code = ['1']", true),
        ("time = ['09:00-17:00', '17:00-09:00']", "code = ['1']", true),
        ("time = ['working-days', 'holidays']", "code = ['1']", true),
        ("time = ['mon-fri 09:00-17:00']", "time = ['tue 10:00-12:00']", true),
        ("time = ['mon-fri 09:00-17:00']", "time = ['tue 10:00-17:01']", false),
        ("time = ['mon-fri']", "time = ['working-days 09:00-10:00', 'working-hours']", true),
        ("time = ['working-days']", "time = ['mon-fri']", false),
        ("time = ['holidays']", "time = ['sat,sun']", true),
        ("time = ['fri 17:00-09:00']", "time = ['sat 08:00-09:00']", true),
        ("time = ['fri 17:00-09:00']", "time = ['sat 08:00-09:01']", false),
        ("time = ['fri 17:00-09:00', 'sat 09:00-10:00']", "time = ['fri 18:00-24:00']", true),
        ("fhirpath = ['code.exists()']", "fhirpath = ['code.exists()'], code = ['1']", true),
        ("fhirpath = ['code.exists()']", "fhirpath = ['code.exists() ']", false),
        ("fhirpath = ['code.exists()']", "code = ['1']", false),
    ] {
        assert_eq!(is_shadowed(first, second), expected, "{first} before {second}");
    }
}

#[test]
fn what_is_shadowed_is_told_with_both_names_and_places() {
    let text =
        [rule("near", 10, "a", "patient-area = ['L']"), rule("nearer", 20, "b", "patient-area = ['L1']")].concat();
    let same = [rule("a", 10, "a", "patient-area = ['L']"), rule("b", 10, "a", "patient-area = ['L1']")].concat();
    let told = |text: &str| match samples::read(text) {
        Ok(_) => panic!("nothing is told"),
        Err(faults) => faults,
    };
    assert_eq!(
        told(&text),
        [
            "routes.toml:6:1 route[1]: the route “nearer” never decides: “near” (line 1) is tried before it (its priority 10 before 20) and \
          takes every referral that it takes; needed: a lower number than 10 as its priority, or one route less"
        ]
    );
    assert_eq!(
        told(&same),
        [
            "routes.toml:6:1 route[1]: the route “b” never decides: “a” (line 1) is tried before it (of equal priorities the name that \
          comes first in the alphabet) and takes every referral that it takes; needed: a lower number than 10 as its priority, or one route less"
        ]
    );
}

#[test]
fn several_rules_together_take_all_that_another_takes() {
    let unreachable = |whens: &[&str]| {
        let rules: String = (0..)
            .zip(whens)
            .map(|(n, when)| rule(&format!("r{n}"), n, if n % 2 == 0 { "a" } else { "b" }, when))
            .collect();
        let faults = faults(&rules);
        let last = format!("the route “r{}” never decides: “r0” (line", whens.len() - 1);
        assert!(faults.iter().all(|fault| fault.starts_with(&last) && fault.contains("together")), "{faults:?}");
        !faults.is_empty()
    };
    for (whens, expected) in [
        (&["code = ['s|1']", "code = ['s|2']", "code = ['s|1', 's|2'], language = ['cy']"][..], true),
        (&["code = ['s|1']", "code = ['s|2']", "code = ['s|1', 's|2', 's|3']"], false),
        (&["code = ['s|1']", "code = ['2', 't|1']", "code = ['in:debt']"], true),
        (&["urgency = ['stat', 'asap']", "urgency = ['urgent', 'routine']", "code = ['1']"], true),
        (&["urgency = ['stat', 'asap']", "urgency = ['routine']", "code = ['1']"], false),
        (&["consent = ['given']", "consent = ['absent', 'refused']", "code = ['1']"], true),
        (&["system = ['gp']", "system = ['epr', 'ward']", "code = ['1'], patient-area = ['in:round']"], true),
        (&["time = ['mon-fri']", "time = ['sat']", "time = ['sun']", "code = ['1']"], true),
        (&["time = ['mon-fri']", "time = ['sat']", "code = ['1']"], false),
        (&["time = ['09:00-17:00'], urgency = ['stat']", "time = ['17:00-09:00']", "urgency = ['stat']"], true),
        (&["time = ['09:00-17:00'], urgency = ['stat']", "time = ['17:00-09:00']", "code = ['1']"], false),
        (&["patient-age = ['..17']", "patient-age = ['18..']", "patient-age = ['10..30']"], false),
        (&["patient-age = ['..18']", "patient-age = ['18..']", "patient-age = ['10..30']"], true),
        (&["patient-age = ['..18']", "patient-age = ['18..']", "code = ['1']"], false),
        (
            &[
                "code = ['s|1'], patient-area = ['L']",
                "code = ['s|2'], patient-area = ['L1']",
                "code = ['s|2'], patient-area = ['L2', 'lsoa:E0100']",
                "code = ['s|1'], patient-area = ['lsoa:E01']",
                "code = ['s|1', 's|2'], patient-area = ['in:town']",
            ],
            true,
        ),
        (
            &[
                "code = ['s|1'], patient-area = ['L']",
                "code = ['s|2'], patient-area = ['L1']",
                "code = ['s|2'], patient-area = ['L2']",
                "code = ['s|1', 's|2'], patient-area = ['in:town']",
            ],
            false,
        ),
        (
            &["patient-area = ['in:round']", "patient-area = ['in:field']", "patient-area = ['in:field', 'in:round']"],
            true,
        ),
    ] {
        assert_eq!(unreachable(whens), expected, "{whens:?}");
    }
}

#[test]
fn two_rules_of_one_priority_are_at_odds() {
    let at_odds = |one: &str, two: &str| {
        let told = |a: &str, b: &str| faults(&[rule("x", 5, "a", a), rule("y", 5, "b", b)].concat());
        let (faults, turned) = (told(one, two), told(two, one));
        assert_eq!(faults.len(), turned.len(), "{faults:?} {turned:?}");
        assert!(faults.iter().all(|fault| fault.starts_with("the routes “x” (line ")), "{faults:?}");
        assert!(faults.len() < 2, "{faults:?}");
        let with = faults.first()?.split_once("and both match a referral with ")?.1.split_once("; needed")?.0;
        Some(with.to_owned())
    };
    for (one, two, expected) in [
        ("code = ['s|1', 's|2']", "code = ['s|2', 's|3']", Some("code s|2")),
        ("code = ['s|1']", "code = ['s|2']", None),
        ("code = ['1']", "code = ['s|1']", Some("code s|1")),
        ("code = ['|1']", "code = ['s|1']", None),
        ("code = ['in:debt']", "code = ['in:wide'], system = ['gp']", Some("code s|1 and system gp")),
        ("code = ['s|1']", "patient-area = ['L1']", Some("code s|1 and patient-area L1")),
        ("patient-area = ['L']", "patient-area = ['L1', 'CH']", Some("patient-area L1")),
        ("patient-area = ['L1']", "patient-area = ['L2']", None),
        // a person may live in both, but no value is shared
        ("patient-area = ['L1']", "patient-area = ['lsoa:E01']", None),
        ("patient-area = ['lsoa:E01006512']", "patient-area = ['in:town']", Some("patient-area lsoa:E01006512")),
        ("patient-area = ['in:round']", "patient-area = ['in:field']", None),
        ("patient-age = ['..17']", "patient-age = ['18..']", None),
        ("patient-age = ['..18']", "patient-age = ['18..']", Some("patient-age 18")),
        ("language = ['cy']", "language = ['cy-GB']", Some("language cy-gb")),
        ("language = ['cy']", "language = ['en']", None),
        (
            "urgency = ['stat', 'asap']",
            "urgency = ['asap'], consent = ['given']",
            Some("consent given and urgency asap"),
        ),
        ("urgency = ['stat']", "urgency = ['asap']", None),
        ("time = ['working-hours']", "time = ['sat,sun']", None),
        ("time = ['working-hours']", "time = ['mon 09:00-10:00']", Some("time mon 09:00, a working day")),
        ("performer = ['U99999']", "performer = ['svc|life']", None),
        ("requester-org = ['RW4']", "requester-org = ['rw4']", Some("requester-org RW4")),
        ("system = ['epr', 'gp', 'ward']", "code = ['s|1']", Some("code s|1")),
    ] {
        assert_eq!(at_odds(one, two).as_deref(), expected, "{one} beside {two}");
    }
    let told = faults(
        &[
            rule("x", 5, "a", "code = ['1'], fhirpath = ['code.exists()']"),
            rule("y", 5, "b", "code = ['s|1'], fhirpath = ['subject.exists()']"),
            rule("z", 5, "b", "code = ['s|2']"),
            rule("z too", 5, "b", "code = ['2'], urgency = ['stat']"),
        ]
        .concat(),
    );
    assert_eq!(
        told,
        [
            "the routes “x” (line 18) and “y” have the same priority 5, lead to different inboxes, and both match a referral with \
          code s|1; needed: another priority for one of them: the lower number decides"
        ],
        "those that lead to one place are not at odds"
    );
    let terms = "[[route]]\nname = \"x\"\nto = \"a\"\nwhen = { code = ['1'] }\n\
                 [[route]]\nname = \"y\"\nto = \"a\"\nanswer-within = \"2wd\"\nwhen = { code = ['1'], urgency = ['stat'] }\n";
    let told = faults(terms);
    assert!(told.len() == 1 && told[0].contains("priority 100, give different times, and both match"), "{told:?}");
}

#[test]
fn a_rule_that_takes_nothing() {
    for (when, never) in [
        ("performer = ['Patient/1', 'https://x.example/RelatedPerson/2']", true),
        ("performer = ['HealthcareService/1/_history/2']", true),
        ("performer = ['HealthcareService/1', 'Patient/1']", false),
        ("fhirpath = ['false', ' ( false ) ']", true),
        ("fhirpath = ['{}']", true),
        ("fhirpath = ['false', 'true']", false),
    ] {
        let faults = faults(&rule("x", 5, "a", when));
        assert_eq!(faults.len(), usize::from(never), "{when}: {faults:?}");
        assert!(faults.iter().all(|fault| fault.starts_with("the route “x” takes no referral: ")), "{faults:?}");
    }
}

#[test]
fn a_coverage_without_a_gap_and_with_one() {
    let gap = |rules: &[&str], coverage: &str| {
        let rules: String = (0..).zip(rules).map(|(n, when)| rule(&format!("r{n}"), n, "a", when)).collect();
        let faults = faults(&format!("{rules}[[coverage]]\nname = \"all\"\n{coverage}\n"));
        assert!(faults.len() < 2, "{faults:?}");
        let told = faults.into_iter().next()?;
        let gap = told.strip_prefix("the coverage “all” has a gap: no route takes every referral with ");
        Some(gap.unwrap_or_else(|| panic!("{told}")).split_once("; needed").unwrap().0.to_owned())
    };
    let by_urgency = ["code = ['s|1'], urgency = ['stat']", "code = ['s|1'], urgency = ['routine', 'urgent']"];
    for (rules, coverage, expected) in [
        (&["code = ['1']"][..], "code = ['s|1', 't|1']", None),
        (&["code = ['s|1']"], "code = ['s|1', 't|1']", Some("code t|1")),
        (&["code = ['s|1']"], "code = ['1']", Some("code 1")),
        (&["patient-area = ['L']", "patient-area = ['lsoa:E01']"], "patient-area = ['in:town']", None),
        (&["patient-area = ['L1', 'lsoa:E01']"], "patient-area = ['in:town']", Some("patient-area L2")),
        (&["code = ['s|1'], patient-area = ['L1']"], "patient-area = ['L1']", Some("patient-area L1")),
        (&by_urgency, "code = ['s|1']", Some("code s|1 and urgency asap")),
        (&by_urgency, "code = ['s|1']\nurgency = ['stat', 'urgent']", None),
        (
            &["code = ['s|1', 's|2'], patient-area = ['L1']", "code = ['s|1'], patient-area = ['L2']"],
            "code = ['s|1', 's|2']\npatient-area = ['L1', 'L2']",
            Some("code s|2 and patient-area L2"),
        ),
        (&["patient-age = ['..17']", "patient-age = ['18..']"], "patient-age = ['..17', '18..']", None),
        (
            &["patient-age = ['..17']", "patient-age = ['18..']"],
            "patient-age = ['0..']",
            Some("patient-age 17 or 18 (which of them is not known)"),
        ),
        (&["patient-age = ['..17']", "patient-age = ['18..']"], "patient-age = ['18..64']", None),
        (&["time = ['mon-fri 09:00-17:00']"], "time = ['working-hours']", Some("time mon 00:00, a working day")),
        (&["time = ['mon-fri']", "time = ['sat,sun'], system = ['epr', 'gp']"], "system = ['epr']", None),
        (
            &["time = ['mon-fri']", "time = ['sat,sun'], system = ['epr', 'gp']"],
            "system = ['ward']",
            Some("system ward and time sat 00:00, no working day"),
        ),
    ] {
        assert_eq!(gap(rules, coverage).as_deref(), expected, "{coverage} by {rules:?}");
    }
    let many = |what: &str, count: usize| (0..count).map(|n| format!("'{what}{n}'")).collect::<Vec<_>>().join(", ");
    let rules = |kind: &str, what: &str, count: usize, first: u32| -> String {
        let one = |n: u32| rule(&format!("{kind}{n}"), first + n, "a", &format!("{kind} = ['{what}{n}']"));
        (0..count as u32).map(one).collect()
    };
    let wide = format!(
        "{}{}[[coverage]]\nname = \"all\"\ncode = [{}]\ncategory = [{}]\n",
        // every combination of both is its own piece
        (0..120)
            .map(|n| rule(&format!("x{n}"), n, "a", &format!("code = ['s|{n}'], category = ['s|{n}']")))
            .collect::<String>(),
        rules("category", "s|", 120, 200),
        many("s|", 120),
        many("s|", 120),
    );
    let told = faults(&wide);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("the coverage “all” has more than 10000 combinations"), "{told:?}");
}

#[test]
fn no_more_than_fifty_of_a_kind_are_told() {
    let rules: String = (0..120).map(|n| rule(&format!("r{n:03}"), n + 1, "a", "code = ['1']")).collect();
    let told = faults(&rules);
    assert_eq!(told.len(), 51);
    assert_eq!(
        told.iter().filter(|fault| fault.ends_with("; and there are more of the kind, which are not told")).count(),
        1
    );
}

/// Whether a rule decides of any of these referrals.
fn decides(set: &RouteSet, route: &Route, referrals: &[samples::Sample]) -> bool {
    referrals.iter().any(|sample| {
        let facts = &sample.facts();
        let first = set.routes().iter().find(|one| one.matches(facts));
        first.is_some_and(|one| one.name == route.name)
    })
}

const KINDS: [Kind; 8] = [
    Kind::Code,
    Kind::System,
    Kind::PatientArea,
    Kind::PatientAge,
    Kind::Language,
    Kind::Consent,
    Kind::Urgency,
    Kind::Time,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whoever is called unreachable decides of nothing, and a promise that is not refused is kept.
    #[test]
    fn what_is_told_is_certain(
        whens in prop::collection::vec(samples::a_when(&KINDS, 2), 1..14),
        promise in samples::a_when(&KINDS, 3),
        referrals in prop::collection::vec(samples::a_referral(3), 60),
    ) {
        let rules: String = whens.iter().enumerate().map(|(n, when)| {
            format!("[[route]]\nname = \"r{n:02}\"\npriority = {n}\nto = \"a\"\n[route.when]\n{when}")
        }).collect();
        let text = format!("{}{rules}[[coverage]]\nname = \"p\"\n{promise}", samples::SETS);
        let faults = samples::read(&text).err().unwrap_or_default();
        let (set, _) = samples::read_unchecked(&text).unwrap();
        for route in set.routes() {
            let said = faults.iter().any(|fault| fault.contains(&format!("“{}” never decides", route.name)));
            prop_assert!(!said || !decides(&set, route, &referrals), "{} of {rules}\n{faults:?}", route.name);
        }
        if !faults.iter().any(|fault| fault.contains("the coverage “p”")) {
            let only = format!("{}[[route]]\nname = \"p\"\nto = \"a\"\n[route.when]\n{promise}", samples::SETS);
            let (only, _) = samples::read_unchecked(&only).unwrap();
            for sample in &referrals {
                let facts = &sample.facts();
                let is_meant = only.routes().iter().all(|one| one.matches(facts));
                prop_assert!(!is_meant || set.routes().iter().any(|one| one.matches(facts)), "{promise} by {rules}");
            }
        }
    }

    /// Rules of one priority that are not told to be at odds share no referral with one value of each kind.
    #[test]
    fn who_is_not_at_odds_shares_no_referral_of_single_values(
        one in samples::a_when(&KINDS, 3),
        two in samples::a_when(&KINDS, 3),
        referrals in prop::collection::vec(samples::a_referral(1), 100),
    ) {
        let rule = |name: &str, when: &str| format!("[[route]]\nname = \"{name}\"\nto = \"{name}\"\n[route.when]\n{when}");
        let text = format!("{}{}{}", samples::SETS, rule("a", &one), rule("b", &two));
        let faults = samples::read(&text).err().unwrap_or_default();
        if faults.iter().any(|fault| fault.contains("have the same priority")) {
            return Ok(());
        }
        let (set, _) = samples::read_unchecked(&text).unwrap();
        for sample in &referrals {
            let facts = &sample.facts();
            // a home is a postcode, a census area and a point at once
            let homes = &facts.homes;
            if homes.outward_codes.len() + homes.lsoas.len() + homes.points.len() < 2 {
                prop_assert!(!set.routes().iter().all(|route| route.matches(facts)), "{one} beside {two}");
            }
        }
    }
}
