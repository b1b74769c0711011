//! What counts as the same again, and what does not.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn bundle(a: &str, b: &str) -> Value {
    json!({ "resourceType": "Bundle", "id": "1", "type": "transaction", "timestamp": "2026-01-01T00:00:00Z", "entry": [
        { "fullUrl": a, "resource": { "resourceType": "ServiceRequest", "meta": { "versionId": "1" },
            "identifier": [{ "system": "urn:ietf:rfc:3986", "value": "urn:uuid:own" }],
            "subject": { "reference": b }, "encounter": { "reference": "urn:uuid:elsewhere" },
            "contained": [{ "resourceType": "Condition", "meta": { "versionId": "1" }, "subject": { "reference": b } }],
            "extension": [{ "url": "urn:uuid:e", "valueMeta": { "versionId": "1" } }] } },
        { "fullUrl": b, "resource": { "resourceType": "Patient", "gender": "female", "id": "p" } },
        { "fullUrl": "urn:uuid:other", "resource": { "resourceType": "Patient", "gender": "female", "id": "p" } }] })
}

/// The bundle with one value at a JSON Pointer changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut bundle = bundle("urn:uuid:a", "urn:uuid:b");
    *bundle.pointer_mut(pointer).unwrap() = value;
    bundle
}

#[test]
fn what_does_not_count() {
    let same = digest_bundle(&bundle("urn:uuid:a", "urn:uuid:b"));
    assert_eq!(digest_bundle(&bundle("urn:uuid:x", "URN:UUID:Y")), same);
    for (pointer, value) in [
        ("/id", json!("2")),
        ("/timestamp", json!("2027-01-01T00:00:00Z")),
        ("/entry/0/resource/meta", json!({ "tag": [] })),
        ("/entry/0/resource/contained/0/meta", json!({})),
        ("/entry/0/resource/encounter/reference", json!("urn:uuid:elsewhere-too")),
        ("/entry/0/fullUrl", json!("https://example.org/ServiceRequest/1")),
    ] {
        assert_eq!(digest_bundle(&with(pointer, value)), same, "{pointer}");
    }
}

#[test]
fn what_does() {
    let one = digest_bundle(&bundle("urn:uuid:a", "urn:uuid:b"));
    for (pointer, value) in [
        // another patient, though both are alike
        ("/entry/0/resource/subject/reference", json!("urn:uuid:other")),
        ("/entry/0/resource/subject/reference", json!("urn:uuid:elsewhere")),
        ("/entry/0/resource/subject/reference", json!("Patient/1")),
        ("/entry/0/resource/subject/reference", json!("@entry1")),
        ("/entry/0/resource/identifier/0/value", json!("urn:uuid:not-own")),
        ("/entry/0/resource/extension/0/url", json!("urn:uuid:f")),
        ("/entry/0/resource/extension/0/valueMeta/versionId", json!("2")),
        ("/entry/1/resource/gender", json!("male")),
        ("/entry/1/resource/id", json!("q")),
        ("/type", json!("batch")),
    ] {
        assert_ne!(digest_bundle(&with(pointer, value)), one, "{pointer}");
    }
    let decimal = |text: &str| digest_bundle(&serde_json::from_str(&format!("{{\"value\":{text}}}")).unwrap());
    assert_ne!(decimal("1.5"), decimal("1.50"));
    assert_ne!(decimal("\"1.5\""), decimal("1.5"));
}

#[test]
fn several_resources_share_their_strangers() {
    let to = |urn: &str| json!({ "resourceType": "Task", "for": { "reference": urn } });
    let (one, two) = (to("urn:uuid:1"), to("urn:uuid:2"));
    assert_ne!(digest(&[&one, &one]), digest(&[&one, &two]));
    assert_eq!(digest(&[&one, &two]), digest(&[&two, &one]));
    assert_ne!(digest(&[&one]), digest(&[&one, &one]));
    assert_eq!(digest(&[&one]), digest_bundle(&one));
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        "[a-c\"\\\\{},:]{0,4}".prop_map(Value::String),
        "(0|[1-9]{1,3})(\\.[0-9]{1,3})?".prop_map(|text| Value::Number(text.parse().unwrap())),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec(("[a-d]{1,2}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(reversed).collect()),
        Value::Object(object) => {
            Value::Object(object.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect())
        }
        scalar => scalar.clone(),
    }
}

/// Equal but for the order of keys, decimals by their spelling.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Number(a), Value::Number(b)) => a.as_str() == b.as_str(),
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn the_order_of_keys_does_not_count(tree in tree(), a in "[a-f0-9]{8}", b in "[0-9]{3}") {
        let mut one = bundle("urn:uuid:a", "urn:uuid:b");
        one["entry"][0]["resource"]["x"] = tree.clone();
        let mut other = bundle(&format!("urn:uuid:{a}"), &format!("urn:uuid:-{b}"));
        other["entry"][0]["resource"]["x"] = tree;
        other["entry"][0]["resource"]["meta"] = json!({ "lastUpdated": b });
        prop_assert_eq!(digest_bundle(&one), digest_bundle(&reversed(&other)));
    }

    #[test]
    fn two_trees_have_one_digest_only_if_they_are_the_same(a in tree(), b in tree()) {
        prop_assert_eq!(digest_bundle(&a) == digest_bundle(&b), same(&a, &b));
    }
}
