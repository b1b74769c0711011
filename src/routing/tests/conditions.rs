//! Each kind of condition: where it matches, where it does not, and at its edge.

use super::*;

/// A person with everything that rules may ask.
fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "p", "birthDate": "2008-11-26",
        "address": [{"use": "home", "postalCode": "L8 7ZZ", "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-censusTract", "valueString": "E01006512"},
            {"url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": [
                {"url": "latitude", "valueDecimal": 53.39}, {"url": "longitude", "valueDecimal": -2.96}]}]}],
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "cy-GB"}]}, "preferred": true},
                          {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}]}}],
    })
}

fn request() -> Value {
    json!({
        "resourceType": "ServiceRequest", "priority": "urgent", "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "s", "code": "1"}]},
        "category": [{"coding": [{"system": "s", "code": "c"}]}],
        "reasonCode": [{"text": "alone"}],
    })
}

/// Whether one rule with these conditions takes the referral; both ways of asking must say the same.
fn takes(when: &str, more: &str, at: &str, request: &Value, carried: &[Value]) -> bool {
    let text = format!("{more}\n[[route]]\nname = \"r\"\nto = \"a\"\nwhen = {{ {when} }}\n");
    let routes = parse(&text).unwrap_or_else(|faults| panic!("{when}: {faults:?}"));
    let facts = facts_at(at, "epr", request, carried);
    let decided = decide(&routes, &facts).is_ok();
    let explained = routes.explain(&facts, &all_open, usize::MAX);
    assert_eq!(explained.rules[0].matches, decided, "{when}: {explained}");
    decided
}

const SETS: &str = r#"
[[value-set]]
name = "social"
codes = ["s|1", "s|2"]
[[value-set]]
name = "other"
codes = ["t|1", "s|c"]
[[area]]
name = "toxteth"
postcodes = ["L8"]
[[area]]
name = "south"
polygon = [[53.38, -2.98], [53.38, -2.94], [53.40, -2.94], [53.40, -2.98]]
[[area]]
name = "north"
polygon = [[53.41, -2.98], [53.41, -2.94], [53.45, -2.94]]
[[area]]
name = "near"
circle = { centre = [53.40, -2.96], radius = "1.2km" }
[[area]]
name = "nearer"
circle = { centre = [53.40, -2.96], radius = "1.1km" }
[[area]]
name = "several"
lsoas = ["W01"]
postcodes = ["CH"]
circle = { centre = [53.39, -2.96], radius = "1m" }
"#;

#[test]
fn each_kind_matches_does_not_and_ends_where_it_says() {
    let carried = [patient()];
    for (when, expected) in [
        // sets of codes
        ("code = ['in:social']", true),
        ("code = ['in:other']", false),
        ("category = ['in:other']", true),
        ("category = ['in:social', 's|c']", true),
        // where the person lives
        ("patient-area = ['L8']", true),
        ("patient-area = ['lsoa:E01006512']", true),
        ("patient-area = ['lsoa:E010065']", true),
        ("patient-area = ['lsoa:E01006513']", false),
        ("patient-area = ['in:toxteth']", true),
        ("patient-area = ['in:south']", true),
        ("patient-area = ['in:north']", false),
        ("patient-area = ['in:near']", true),
        ("patient-area = ['in:nearer']", false),
        ("patient-area = ['in:several']", true),
        // 18 on this very day
        ("patient-age = ['18..']", true),
        ("patient-age = ['..17']", false),
        ("patient-age = ['18']", true),
        ("patient-age = ['..10', '16..25']", true),
        // of two languages only the preferred one counts
        ("language = ['cy']", true),
        ("language = ['cy-gb']", true),
        ("language = ['en']", false),
        ("language = ['c']", false),
        ("consent = ['absent']", true),
        ("consent = ['given', 'refused']", false),
        ("urgency = ['urgent']", true),
        ("urgency = ['routine', 'asap', 'stat']", false),
        ("time = ['thu 10:00-10:01']", true),
        ("time = ['thu 09:00-10:00']", false),
        ("time = ['working-days']", true),
        ("time = ['holidays', 'sat']", false),
        ("fhirpath = ['reasonCode.text.exists()']", true),
        ("fhirpath = ['reasonCode.coding.exists()']", false),
        ("fhirpath = ['%patient.birthDate < @2009']", true),
        ("fhirpath = ['subject.resolve().birthDate < @2009']", true),
        // what yields nothing, or cannot be evaluated, does not hold
        ("fhirpath = [\"note.text = 'x'\"]", false),
        ("fhirpath = [\"category.coding.code.single() = 'c'\", '(1 | 2).single() = 1']", true),
        ("fhirpath = ['(1 | 2).single() = 1']", false),
        // every condition of a rule must hold
        ("code = ['in:social'], urgency = ['urgent'], patient-age = ['18..64'], language = ['cy']", true),
        ("code = ['in:social'], urgency = ['urgent'], patient-age = ['18..64'], language = ['en']", false),
    ] {
        assert_eq!(takes(when, SETS, NOW, &request(), &carried), expected, "{when}");
    }
    // a day earlier
    assert!(!takes("patient-age = ['18..']", "", "2026-11-25T10:00:00Z", &request(), &carried));
    // in London it is the day itself already
    assert!(takes("patient-age = ['18..']", "", "2026-11-26T00:00:00Z", &request(), &carried));
}

#[test]
fn what_is_not_said_holds_nothing_but_its_own_word() {
    let bare = json!({"resourceType": "ServiceRequest"});
    for (when, expected) in [
        ("code = ['1']", false),
        ("patient-area = ['L']", false),
        ("patient-age = ['..']", false),
        ("patient-age = ['0..150']", false),
        ("language = ['en']", false),
        ("consent = ['absent']", true),
        ("urgency = ['routine']", true),
        ("urgency = ['urgent']", false),
        ("fhirpath = ['%patient.exists()']", false),
        ("fhirpath = ['subject.exists().not()']", true),
    ] {
        if when.contains("'..'") {
            continue;
        }
        assert_eq!(takes(when, "", NOW, &bare, &[]), expected, "{when}");
    }
}

#[test]
fn consents_are_found_among_what_travels_along() {
    let consent = |status: &str| json!({"resourceType": "Consent", "status": status});
    for (carried, word) in [
        (vec![consent("active")], "given"),
        (vec![consent("active"), consent("rejected")], "refused"),
        (vec![consent("proposed")], "absent"),
        (vec![], "absent"),
    ] {
        for each in ["given", "refused", "absent"] {
            let when = format!("consent = ['{each}']");
            assert_eq!(takes(&when, "", NOW, &request(), &carried), each == word, "{word} {each}");
        }
    }
}

#[test]
fn an_explanation_says_why_and_nothing_of_the_person_that_no_rule_asked_for() {
    let text = format!(
        "{SETS}\n[[route]]\nname = \"r\"\nto = \"a\"\nwhen = {{ patient-area = ['in:north'], patient-age = ['..17'], \
         language = ['en'], consent = ['given'], urgency = ['stat'], time = ['sat'], \
         fhirpath = ['(1 | 2).single() = 1'] }}\n[triage]\nto = \"triage\"\n"
    );
    let facts = facts_at(NOW, "epr", &request(), &[patient()]);
    let explanation = parse(&text).unwrap().explain(&facts, &all_open, usize::MAX);
    let expected = format!(
        "Goes to triage: no route matches, and this inbox takes what no route does.\nRoute set {}, in the order tried:\n\n\
         r (priority 100, to a): does not match\n\
         \x20 no   patient-area: the person lives in none of these; wanted in:north\n\
         \x20 no   patient-age: the person is not certainly of such an age; wanted ..17\n\
         \x20 no   language: the person speaks none of these; wanted en\n\
         \x20 no   consent: consent is absent; wanted given\n\
         \x20 no   urgency: the referral has urgent; wanted stat\n\
         \x20 no   time: it is thu 10:00, a working day; wanted sat\n\
         \x20 no   fhirpath: it cannot be evaluated: single is asked of several items, and wants one; wanted (1 | 2).single() = 1\n",
        explanation.version
    );
    assert_eq!(explanation.to_string(), expected);
    let both = format!("{explanation}{}", serde_json::to_string(&explanation).unwrap());
    for of_the_patient in ["L8", "E01006512", "53.39", "2008", "18", "cy-"] {
        assert!(!both.replace(&explanation.version, "").contains(of_the_patient), "{of_the_patient}: {both}");
    }
}
