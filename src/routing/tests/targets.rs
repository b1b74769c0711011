//! Several targets, those that stand in, what receivers insist on, and a set's own tests.

use super::*;

fn closed<'c>(inboxes: &'c [(&'c str, Unavailable)]) -> impl Fn(&InboxId) -> Option<Unavailable> + 'c {
    |inbox| inboxes.iter().find(|(id, _)| *id == inbox.as_str()).map(|(_, why)| *why)
}

fn goes(routes: &RouteSet, inboxes: &[(&str, Unavailable)]) -> String {
    match routes.decide(&no_facts(), &closed(inboxes)) {
        Ok(decision) => {
            let targets = decision.targets.iter().map(|target| match &target.instead_of {
                Some((inbox, why)) => format!("{} for {inbox} ({why})", target.inbox),
                None => target.inbox.to_string(),
            });
            targets.collect::<Vec<_>>().join(", ")
        }
        Err(none) => none.to_string(),
    }
}

#[test]
fn who_stands_in_for_what_is_closed_or_full() {
    use Unavailable::{Closed, Full};
    let rule = |to: &str, fallback: &str| {
        format!("[[route]]\nname = \"r\"\nwhen = {{ system = ['epr'] }}\nto = {to}\nfallback = {fallback}\n")
    };
    let triage = "[triage]\nto = \"triage\"\n";
    let one = parse(&rule("\"a\"", "['b', 'c']")).unwrap();
    assert_eq!(goes(&one, &[]), "a");
    assert_eq!(goes(&one, &[("a", Full)]), "b for a (full)");
    assert_eq!(goes(&one, &[("a", Closed), ("b", Full)]), "c for a (closed)");
    assert_eq!(goes(&one, &[("b", Closed)]), "a");
    assert_eq!(
        goes(&one, &[("a", Closed), ("b", Full), ("c", Full)]),
        "the route “r” leads to the inbox “a”, which is closed, and no inbox that stands in for it is open"
    );
    let with_triage = parse(&(rule("\"a\"", "['b']") + triage)).unwrap();
    assert_eq!(goes(&with_triage, &[("a", Closed), ("b", Full)]), "triage for a (closed)");
    let two = parse(&(rule("['a', 'b']", "['c']") + triage)).unwrap();
    assert_eq!(goes(&two, &[]), "a, b");
    assert_eq!(goes(&two, &[("b", Full)]), "a, c for b (full)");
    // whoever stands in gets it once, for however many
    assert_eq!(goes(&two, &[("a", Full), ("b", Full)]), "c for a (full)");
    assert_eq!(goes(&two, &[("a", Full), ("b", Full), ("c", Closed)]), "triage for a (full)");
    let explained = two.explain(&no_facts(), &closed(&[("b", Full)]), usize::MAX);
    assert!(
        explained.to_string().starts_with("Goes to a and c instead of b, which is full by the route r."),
        "{explained}"
    );
}

#[test]
fn a_service_names_its_inbox_and_what_targets_may_not_be_is_told() {
    let rule = |more: &str| format!("[[route]]\nname = \"r\"\nwhen = {{ system = ['epr'] }}\n{more}\n");
    let by_service = parse(&rule("to = \"service:debt advice\"")).unwrap();
    assert_eq!(goes(&by_service, &[]), "b");
    let split = parse(&rule("to = ['a', 'b']\nshare = \"split\"\nacknowledge-within = \"1wd\"\nanswer-within = \"48h\"\nescalate-to = \"c\"")).unwrap();
    let decision = decide(&split, &no_facts()).unwrap();
    assert_eq!(decision.share, Share::Split);
    assert_eq!(decision.terms.acknowledge_within, Some(Within::WorkingDays(1)));
    assert_eq!(decision.terms.answer_within, Some(Within::Span(jiff::SignedDuration::from_hours(48))));
    assert_eq!(decision.terms.escalate_to.as_ref().map(InboxId::as_str), Some("c"));
    let plain = parse(&rule("to = ['a', 'b']")).unwrap();
    assert_ne!(split.version(), plain.version());
    for (more, told) in [
        (
            "to = 'service:gardens'",
            "route[0].to: found \"gardens\", which no inbox is for; allowed: \"service:debt advice\"",
        ),
        ("to = []", "route[0].to: found 0 inboxes; allowed: 1 to 20 ids of inboxes"),
        ("to = ['a', 'a']", "route[0].to[1]: found \"a\" a second time; allowed: an id once"),
        (
            "to = 'a'\nshare = 'split'",
            "route[0].share: found a share, though there is one target; allowed: several ids under to, or no share",
        ),
        (
            "to = 'a'\nfallback = ['a']",
            "route[0].fallback: found \"a\", which stands under to as well; allowed: an inbox that is no target itself",
        ),
        ("to = ['a', 'b']\nshare = 'both'", "route[0].share: found \"both\"; allowed: \"copy\", \"split\""),
    ] {
        let faults = parse(&rule(more)).unwrap_err();
        assert!(faults.len() == 1 && faults[0].ends_with(told), "{more}: {faults:?}");
    }
}

#[test]
fn what_a_receiver_insists_on_is_asked_for_by_its_own_words() {
    let text = r#"
[[route]]
name = "r"
when = { system = ["epr"] }
to = ["a", "b"]
[[needs]]
to = "b"
fhirpath = "reasonCode.exists()"
message = "say why the person comes"
[[needs]]
to = ["a", "c"]
fhirpath = "%patient.telecom.exists()"
message = "give a telephone number"
[[needs]]
to = "c"
fhirpath = "false"
message = "nobody gets here"
"#;
    let routes = parse(text).unwrap();
    let missing = |request: &Value, carried: &[Value]| {
        let facts = facts_at(NOW, "epr", request, carried);
        let decision = decide(&routes, &facts).unwrap();
        let missing = routes.missing(&decision, &facts).into_iter();
        missing.map(|missing| format!("{}: {}", missing.inbox, missing.message)).collect::<Vec<_>>()
    };
    let patient = json!({"resourceType": "Patient", "id": "p", "telecom": [{"value": "020"}]});
    let whole = json!({"subject": {"reference": "Patient/p"}, "reasonCode": [{"text": "x"}]});
    assert_eq!(missing(&whole, &[patient]), Vec::<String>::new());
    assert_eq!(missing(&whole, &[]), ["a: give a telephone number"]);
    assert_eq!(missing(&json!({}), &[]), ["b: say why the person comes", "a: give a telephone number"]);
    let other = parse(&text.replace("say why", "tell why")).unwrap();
    assert_ne!(routes.version(), other.version());
    // where it goes when it is late is asked for as well, while somebody is there to answer
    let late = parse(&text.replace("to = [\"a\", \"b\"]\n", "to = \"b\"\nescalate-to = \"a\"\n")).unwrap();
    let request = json!({"reasonCode": [{"text": "x"}]});
    let facts = facts_at(NOW, "epr", &request, &[]);
    let told = late.missing(&decide(&late, &facts).unwrap(), &facts);
    assert_eq!(told.iter().map(|one| one.inbox.as_str()).collect::<Vec<_>>(), ["a"]);
}

const ROUTES: &str = r#"
[[route]]
name = "children"
when = { patient-age = ["..17"] }
to = "a"
fallback = "b"
[[route]]
name = "adults"
when = { patient-age = ["18.."] }
to = ["b", "c"]
[[needs]]
to = "c"
fhirpath = "reasonCode.exists()"
message = "say why the person comes"
"#;

fn with_case(case: &str) -> Result<RouteSet, Vec<String>> {
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "ServiceRequest", "identifier": [{"system": "s", "value": "1"}],
            "subject": {"reference": "urn:uuid:3"}, "reasonCode": [{"text": "x"}], "authoredOn": "2026-11-26T10:00:00Z"}},
        {"fullUrl": "urn:uuid:2", "resource": {"resourceType": "ServiceRequest", "identifier": [{"system": "s", "value": "2"}],
            "subject": {"reference": "urn:uuid:3"}, "authoredOn": "2026-11-26"}},
        {"fullUrl": "urn:uuid:3", "resource": {"resourceType": "Patient", "birthDate": "2008-11-26"}}]});
    let files = |name: &str| match name {
        "two.json" => Ok(bundle.to_string()),
        "xml/one.xml" => {
            Ok("<ServiceRequest xmlns=\"http://hl7.org/fhir\"><status value=\"active\"/></ServiceRequest>".to_owned())
        }
        _ => Err("there is none".to_owned()),
    };
    let text = format!("{ROUTES}\n[[test]]\nname = \"t\"\nfrom = \"epr\"\n{case}\n");
    read_with(&text, &["a", "b", "c", "triage"], &["epr", "gp"], &files)
}

#[test]
fn a_set_passes_its_own_tests_or_is_refused() {
    for case in [
        "referral = 'two.json'\nrequest = 's|1'\nexpect = { to = ['c', 'b'], route = 'adults' }",
        "referral = 'two.json'\nrequest = 's|1'\nexpect = { route = 'adults' }",
        // the day before it is a child; what is needed is not asked where it does not go
        "referral = 'two.json'\nrequest = 's|2'\nat = '2026-11-25T10:00:00Z'\nexpect = { to = 'a' }",
        "referral = 'two.json'\nrequest = 's|1'\nat = '2026-11-25T10:00:00Z'\nclosed = 'a'\nexpect = { to = 'b', route = 'children' }",
        "referral = 'two.json'\nrequest = 's|1'\nat = '2026-11-25T10:00:00Z'\nclosed = 'a'\nfull = ['b']\nexpect = { refused = 'which is closed' }",
        "referral = 'two.json'\nrequest = 's|2'\nat = '2026-11-26T10:00:00Z'\nexpect = { refused = 'say why' }",
        "referral = 'xml/one.xml'\nat = '2026-11-26T10:00:00Z'\nexpect = { refused = 'no route matches' }",
        "referral = '''{\"resourceType\": \"ServiceRequest\"}'''\nat = '2026-11-26T10:00:00Z'\nexpect = { refused = 'no route' }",
    ] {
        with_case(case).unwrap_or_else(|faults| panic!("{case}\n{faults:?}"));
    }
    for (case, told) in [
        (
            "referral = 'two.json'\nrequest = 's|1'\nexpect = { to = ['a'], route = 'children' }",
            "routes.toml:16:1 test[0]: the test “t” fails: the referral goes to b, c by the route “adults”; \
             expected: to a by the route “children”",
        ),
        (
            "referral = 'two.json'\nrequest = 's|1'\nexpect = { to = ['b'] }",
            "routes.toml:16:1 test[0]: the test “t” fails: the referral goes to b, c by the route “adults”; expected: to b",
        ),
        (
            "referral = 'two.json'\nrequest = 's|1'\nexpect = { refused = 'x' }",
            "routes.toml:16:1 test[0]: the test “t” fails: the referral goes to b, c by the route “adults”; expected: refused: x",
        ),
        (
            "referral = 'two.json'\nexpect = { to = ['b'] }",
            "routes.toml:19:12 test[0].referral: found several ServiceRequests; \
             allowed: one, or request = \"system|value\" with the identifier of the one that is meant",
        ),
        (
            "referral = 'two.json'\nrequest = 's|2'\nexpect = { to = ['b'] }",
            "routes.toml:16:1 test[0].at: found nothing, and the referral's authoredOn is no moment; \
             needed: a moment such as \"2026-11-26T10:00:00Z\"",
        ),
        (
            "referral = '../two.json'\nexpect = { to = ['b'] }",
            "routes.toml:19:12 test[0].referral: found \"../two.json\", which leads elsewhere; \
             allowed: the path of a file beside the route file",
        ),
        (
            "referral = 'none.json'\nexpect = { to = ['b'] }",
            "routes.toml:19:12 test[0].referral: found \"none.json\", which cannot be read: there is none; \
             allowed: the path of a file beside the route file",
        ),
        (
            "referral = 'two.json'\nrequest = 's|1'\nexpect = { to = ['b'], refused = 'x' }",
            "routes.toml:21:10 test[0].expect: found a refusal and a target; \
             allowed: to, route or both; or refused, with words of the refusal",
        ),
    ] {
        assert_eq!(with_case(case).unwrap_err(), [told], "{case}");
    }
}

#[test]
fn files_belong_to_the_set_and_value_sets_come_from_them() {
    let expansion = json!({"resourceType": "ValueSet", "expansion": {"contains": [
        {"system": "s", "code": "1"}, {"system": "s", "code": "group", "abstract": true, "contains": [{"system": "s", "code": "2"}]}]}});
    let listed =
        json!({"resourceType": "ValueSet", "compose": {"include": [{"system": "t", "concept": [{"code": "3"}]}]}});
    let by_rule = json!({"resourceType": "ValueSet", "compose": {"include": [{"system": "t", "filter": []}]}});
    let files = |name: &str| match name {
        "expansion.json" => Ok(expansion.to_string()),
        "listed.json" => Ok(listed.to_string()),
        "rule.json" => Ok(by_rule.to_string()),
        "patient.json" => Ok(json!({"resourceType": "Patient"}).to_string()),
        _ => Err("there is none".to_owned()),
    };
    let set = |file: &str| {
        let text = format!(
            "[[value-set]]\nname = \"v\"\nfile = \"{file}\"\n[[route]]\nname = \"r\"\nwhen = {{ code = ['in:v'] }}\nto = \"a\"\n"
        );
        read_with(&text, &["a"], &["epr"], &files)
    };
    let takes = |routes: &RouteSet, code: &str| {
        let (system, code) = code.split_once('|').unwrap();
        decide(routes, &facts("epr", &json!({"code": {"coding": [{"system": system, "code": code}]}}))).is_ok()
    };
    let expanded = set("expansion.json").unwrap();
    for (code, expected) in [("s|1", true), ("s|2", true), ("s|group", false), ("t|1", false)] {
        assert_eq!(takes(&expanded, code), expected, "{code}");
    }
    assert_eq!(expanded.files().keys().collect::<Vec<_>>(), ["expansion.json"]);
    let from_list = set("listed.json").unwrap();
    assert!(takes(&from_list, "t|3") && !takes(&from_list, "s|3"));
    assert_ne!(from_list.version(), expanded.version());
    for (file, told) in [
        ("rule.json", "it says by a rule which codes it holds, which needs a terminology server: store its expansion"),
        ("patient.json", "it is no ValueSet"),
    ] {
        let faults = set(file).unwrap_err();
        assert!(faults.len() == 1 && faults[0].contains(told), "{faults:?}");
    }
}
