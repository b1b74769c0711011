//! What the gate lets in, what it refuses and how it says so.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn fault(text: &str) -> (String, IssueCode, Option<(u32, u32)>) {
    let issue = read(text.as_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(issue.expression.len(), 1, "{issue:?}");
    (issue.expression[0].clone(), issue.code, issue.at)
}

#[test]
fn any_key_order_and_every_decimal_is_kept() {
    let text = r#"{"value":1.50,"resourceType":"Observation","big":123456789012345678901234567890.0100,"zero":-0.0,"n":[0,-1,1e+5]}"#;
    let value = read(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let value = read("\u{feff}{\"resourceType\":\"Task\"}".as_bytes(), &Limits::default()).unwrap();
    assert_eq!(value, json!({ "resourceType": "Task" }));
}

#[test]
fn a_key_twice_is_refused_with_its_path() {
    let text = r#"{"resourceType":"Bundle","entry":[{},{"resource":{"status":"draft","status":"active"}}]}"#;
    assert_eq!(fault(text).0, "Bundle.entry[1].resource.status");
    // spelled differently, it is still the same key
    assert_eq!(fault(r#"{"resourceType":"Task","status":"a","\u0073tatus":"b"}"#).0, "Task.status");
    assert_eq!(fault(r#"{"Ann Smith":1,"Ann Smith":2}"#).0, "%resource");
}

#[test]
fn a_forged_number_is_refused() {
    for key in ["$serde_json::private::Number", "$serde_json::private::RawValue", r"\u0024serde_json::private::Number"]
    {
        let text = format!(r#"{{"resourceType":"Task","note":{{"{key}":"1.5"}}}}"#);
        assert_eq!(fault(&text).0, "Task.note");
        assert_eq!(fault(&text).1, IssueCode::Structure);
    }
}

#[test]
fn syntax_faults_name_the_element_reached_and_the_place() {
    let (path, code, at) = fault("{\"resourceType\":\"Task\",\n \"note\":[{\"text\":\"a\"},{\"text\":oops}]}");
    assert_eq!((path.as_str(), code, at), ("Task.note[1].text", IssueCode::Structure, Some((2, 31))));
    for text in
        ["", " ", "{", "[1,2", "MSH|^~\\&|", "{\"a\":1,}", "{\"a\":01}", "{\"a\":NaN}", "{} {}", "\"x\"", "[]", "7"]
    {
        let (path, code, at) = fault(text);
        assert!(path.starts_with("%resource"), "{text}: {path}");
        assert_eq!(code, IssueCode::Structure, "{text}");
        assert!(at.is_some(), "{text}");
    }
    assert!(read(b"{\"a\":\"\xff\xfe\"}", &Limits::default()).is_err());
    assert!(read(br#"{"a":"\ud800"}"#, &Limits::default()).is_err());
}

#[test]
fn size_depth_number_and_digits_are_bounded() {
    let limits = Limits { bytes: 400, depth: 4, values: 20, number_digits: 10 };
    let refused = |text: &str| read(text.as_bytes(), &limits).unwrap_err();
    assert_eq!(refused(&format!("{{\"a\":\"{}\"}}", "x".repeat(400))).code, IssueCode::TooLong);
    assert!(read(br#"{"a":{"b":[{}]}}"#, &limits).is_ok());
    assert_eq!(refused(r#"{"name":{"part":[{"code":{}}]}}"#).expression, ["%resource.name.part[0].code"]);
    assert_eq!(refused(r#"{"name":{"Smith":[{"code":{}}]}}"#).expression, ["%resource.name"], "no name of R4's");
    assert_eq!(refused(&format!("{{\"a\":[{}0]}}", "0,".repeat(20))).code, IssueCode::TooCostly);
    assert_eq!(refused(r#"{"value":12345678901}"#).expression, ["%resource.value"]);
    // far beyond every bound: refused before the stack is at risk
    assert!(read("[".repeat(1_000_000).as_bytes(), &Limits::default()).is_err());
    assert!(read("{\"a\":".repeat(1_000_000).as_bytes(), &Limits { bytes: usize::MAX, ..limits }).is_err());
}

fn any_tree() -> impl Strategy<Value = Value> {
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,12})?(e[+-][0-9]{1,3})?";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        ".{0,12}".prop_map(Value::String),
        number.prop_map(|text| Value::Number(text.parse().unwrap())),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(("[a-zA-Z_]{1,8}|.{0,6}", inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_the_same(tree in any_tree()) {
        let text = serde_json::to_string(&json!({ "resourceType": "Basic", "x": tree })).unwrap();
        let read = read(text.as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn it_agrees_with_serde_json_on_what_is_json(text in "[\\[\\]{}:,\"a0-9.e\\- \\\\u]{0,30}") {
        let ours = read(format!("{{\"a\":{text}}}").as_bytes(), &Limits::default());
        let theirs: Result<Value, _> = serde_json::from_str(&format!("{{\"a\":{text}}}"));
        match ours {
            Ok(value) => prop_assert_eq!(value, theirs.unwrap()),
            Err(issue) => prop_assert!(theirs.is_err() || issue.diagnostics.contains("twice"), "{:?}", issue),
        }
    }

    #[test]
    fn bytes_of_any_kind_never_crash_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(issue) = read(&bytes, &Limits::default()) {
            prop_assert_eq!(issue.expression.len(), 1);
        }
    }

    #[test]
    fn a_document_cut_off_anywhere_is_refused(tree in any_tree(), cut in 0.0..1.0f64) {
        let text = serde_json::to_vec(&json!({ "resourceType": "Basic", "x": tree })).unwrap();
        let end = (text.len() as f64 * cut) as usize;
        let issue = read(&text[..end], &Limits::default()).unwrap_err();
        prop_assert!(issue.expression[0].starts_with("Basic") || issue.expression[0].starts_with("%resource"));
    }
}
