//! What pages say of the referrals of `fixtures/`.

use super::*;
use crate::web::inbox;

/// A fixture's resources as the store would have them, and the ServiceRequest's id.
fn stored(file: &str) -> (Uuid, Vec<(StoredResource, Value)>) {
    let path = format!("{}/fixtures/referrals/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut bundle: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let names: Vec<(String, String)> = tree::items(&bundle, "entry")
        .iter()
        .map(|entry| {
            let url = tree::text(entry, "fullUrl").unwrap();
            let kind = tree::resource_type(&entry["resource"]).unwrap();
            (url.to_owned(), format!("{kind}/{}", url.strip_prefix("urn:uuid:").unwrap()))
        })
        .collect();
    tree::map_references(&mut bundle, &mut |literal| {
        names.iter().find(|(url, _)| url == literal).map(|(_, reference)| reference.clone())
    });
    let mut all = Vec::new();
    for (entry, (_, reference)) in tree::items(&bundle, "entry").iter().zip(&names) {
        let (kind, id) = reference.split_once('/').unwrap();
        let mut body = entry["resource"].clone();
        body["id"] = id.into();
        let one = inbox::tests::stored(kind, id.parse().unwrap(), &body);
        all.push((one, body));
    }
    let request = all.iter().find(|(s, _)| s.kind == "ServiceRequest").unwrap().0.id;
    (request, all)
}

fn story(file: &str) -> Story {
    let (request, resources) = stored(file);
    Story::of(TaskId(Uuid::nil()), request, &Value::Null, &resources, "2026-03-10T09:00:00Z".parse().unwrap())
}

fn told<'s>(facts: &'s [Fact], key: &str) -> Vec<&'s str> {
    facts.iter().filter(|fact| fact.key == key).flat_map(|fact| &fact.values).map(String::as_str).collect()
}

#[test]
fn who_why_and_what_matters_are_told_of_a_whole_referral() {
    let story = story("03-full-bundle.json");
    assert_eq!(story.person, "Declan Rimmer");
    assert_eq!(
        told(&story.reach, "Phone and email"),
        [
            "07700 900133 (mobile phone)\nIt is not clear whether this is safe: read what the referrer wrote before you ring"
        ]
    );
    assert_eq!(told(&story.reach, "What the referrer wrote"), ["Happy to be phoned. Voicemail is fine."]);
    assert_eq!(told(&story.reach, "Date of birth"), ["2 November 1984 (41 years old)"]);
    assert_eq!(told(&story.reach, "NHS number"), ["999 074 2677"]);
    assert_eq!(
        told(&story.reach, "Address"),
        [
            "Flat 3, 40 Invented Street, Liverpool, L9 8ZZ\nIt is not clear whether this is safe: read what the referrer wrote before you write or visit"
        ]
    );
    assert_eq!(
        told(&story.reach, "Contacts"),
        [
            "Next-of-Kin: Siobhán Rimmer: 07700 900134 (mobile phone). Not said whether they know of this referral: ask the person before you ring"
        ]
    );
    assert!(told(&story.why, "Reason")[0].starts_with("Low mood and isolation"));
    assert_eq!(told(&story.why, "When"), ["9 March 2026 to 29 May 2026"]);
    assert_eq!(told(&story.matters, "Overall, how happy did you feel yesterday?"), ["0"]);
    assert_eq!(told(&story.consent, "Consent")[0], "Consent is given");
    assert_eq!(told(&story.referrer, "Name"), ["Grace Oyelaran"]);
    assert_eq!(told(&story.referrer, "Organisation"), ["Mersey Care NHS Foundation Trust"]);
    assert_eq!(story.documents[0].title, "Letter of support");
    assert!(story.documents[0].url.as_deref().unwrap().ends_with("/0"));
}

#[test]
fn risks_stand_by_themselves_and_a_document_beside_is_opened() {
    let story = story("04-ward-urgent-safeguarding.json");
    assert_eq!(story.risks[0].key, "Safeguarding Concern");
    assert!(story.risks[0].values[0].contains("Visit in pairs"), "{:?}", story.risks);
    assert!(told(&story.reach, "Contacts")[0].contains("daughter: Karen Molyneux-Shaw"), "{:?}", story.reach);
    assert!(story.documents[0].url.is_some(), "a Binary came along");
}

/// What the request carries in itself is told as what came beside it.
#[test]
fn a_risk_and_a_consent_that_are_contained_are_told() {
    let (request, mut resources) = stored("04-ward-urgent-safeguarding.json");
    let kinds = ["Flag", "Consent", "RelatedPerson"];
    let (carried, mut beside): (Vec<_>, Vec<_>) =
        resources.drain(..).partition(|(s, _)| kinds.contains(&s.kind.as_str()));
    assert!(carried.iter().any(|(s, _)| s.kind == "Flag"));
    let carried: Vec<Value> = carried.into_iter().map(|(_, body)| body).collect();
    beside.iter_mut().find(|(s, _)| s.kind == "ServiceRequest").unwrap().1["contained"] = carried.into();
    let at = "2026-03-10T09:00:00Z".parse().unwrap();
    let (inside, outside) =
        (Story::of(TaskId(Uuid::nil()), request, &Value::Null, &beside, at), story("04-ward-urgent-safeguarding.json"));
    assert_eq!(inside.risks[0].values, outside.risks[0].values);
    assert_eq!(told(&inside.reach, "Contacts"), told(&outside.reach, "Contacts"));
    assert_eq!(inside.consent.len(), outside.consent.len());
    let bodies: Vec<Value> = beside.into_iter().map(|(_, body)| body).collect();
    assert!(bodies.iter().flat_map(line::with_contained).any(line::is_safeguarding));
}

#[test]
fn an_interpreter_and_the_name_that_is_used_are_told() {
    let story = story("06-interpreter-arabic.json");
    assert_eq!(story.person, "ليلى حدّاد");
    assert_eq!(told(&story.reach, "Interpreter"), ["An interpreter is needed"]);
    assert_eq!(told(&story.reach, "Language"), ["Arabic (preferred)", "English"]);
}

#[test]
fn what_is_not_to_be_told_to_the_referrer_is_said() {
    let told_of = |file: &str| story(file).consent[0].values.join(" ");
    assert!(told_of("08-consent-codes-only.json").contains("Notes and reasons in words. Onward keeps it back."));
    assert!(told_of("17-consent-nothing-back.json").contains("what becomes of this. Onward keeps it back."));
}

#[test]
fn nothing_that_was_sent_is_kept_back_but_ids_and_files() {
    let story = story("03-full-bundle.json");
    let all: Vec<&str> = story.all.iter().flat_map(|d| &d.lines).map(|(_, value)| value.as_str()).collect();
    for sent in ["EP-77120", "Irish", "555021987103", "L9 8ZZ"] {
        assert!(all.contains(&sent), "{sent}: {all:?}");
    }
    let names: Vec<&str> = story.all.iter().flat_map(|d| &d.lines).map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"Ethnic category, coding, display"), "{names:?}");
    assert!(!all.iter().any(|value| value.starts_with("TGV0dGVy")), "what is in a document is opened by itself");
}

#[test]
fn a_consent_is_told_as_routing_and_the_record_go_by_it() {
    let told = |more: Value| {
        let mut of = serde_json::json!({"resourceType": "Consent", "status": "active"});
        of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        consent(&of, "2026-03-10T09:00:00Z".parse().unwrap()).values
    };
    let collect = serde_json::json!({"type": "deny", "action": [{"coding": [{"code": "collect"}]}]});
    let kept = "The person does not want the referrer to be told what becomes of this. Onward keeps it back.";
    for (consent, expected) in [
        (serde_json::json!({}), vec!["Consent is given"]),
        (serde_json::json!({"provision": {"type": "deny"}}), vec!["Consent was refused", kept]),
        (serde_json::json!({"policyRule": {"coding": [{"code": "OPTOUT"}]}}), vec!["Consent was refused"]),
        (serde_json::json!({"provision": {"period": {"end": "2020-01-01"}}}), vec!["Consent is not in force"]),
        (serde_json::json!({"provision": {"provision": [{"type": "deny"}]}}), vec!["Consent is given", kept]),
        (serde_json::json!({"provision": {"provision": [collect]}}), vec!["Consent is given"]),
        (
            serde_json::json!({"policyRule": {"text": "Not to be told to her mother"}}),
            vec!["Consent is given", "As it was written: Not to be told to her mother"],
        ),
    ] {
        assert_eq!(told(consent.clone()), expected, "{consent}");
    }
}

#[test]
fn an_interpreter_who_is_asked_for_is_told_however_that_is_written() {
    let said = |values: &[(&str, Value)]| {
        let one = |(name, value): &(&str, Value)| {
            serde_json::json!({"url": "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSCommunication",
                "extension": [{"url": "interpreterRequired", *name: value}]})
        };
        reach::interpreter(&serde_json::json!({"extension": values.iter().map(one).collect::<Vec<_>>()}))
    };
    let needed = "An interpreter is needed";
    let sign = serde_json::json!({"text": "Yes, British Sign Language"});
    assert_eq!(said(&[("valueBoolean", true.into())]), [needed]);
    assert_eq!(said(&[("valueString", "true".into())]), [needed]);
    assert_eq!(said(&[("valueCodeableConcept", sign)]), ["An interpreter is asked for: Yes, British Sign Language"]);
    assert_eq!(said(&[("valueBoolean", false.into()), ("valueBoolean", true.into())]), [needed]);
    assert_eq!(said(&[("valueBoolean", false.into())]), ["No interpreter is needed"]);
    assert!(said(&[]).is_empty());
}
