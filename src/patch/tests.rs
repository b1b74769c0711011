//! FHIRPath Patch by example, and held against JSON Patch.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fhir::IssueCode;

fn now() -> jiff::Timestamp {
    "2026-11-26T09:00:00Z".parse().unwrap()
}

fn task() -> Value {
    json!({
        "resourceType": "Task", "status": "requested", "intent": "order", "description": "Meet her.",
        "code": {"text": "walk"},
        "note": [{"text": "a"}, {"text": "b"}, {"text": "c"}],
        "input": [{"type": {"text": "how long"}, "valueString": "an hour"}],
    })
}

/// An operation, its parts as name and what is given.
fn operation(parts: &[(&str, Value)]) -> Value {
    let part = |(name, given): &(&str, Value)| {
        let mut part = given.clone();
        part["name"] = (*name).into();
        part
    };
    json!({"name": "operation", "part": parts.iter().map(part).collect::<Vec<_>>()})
}

fn of(kind: &str, path: &str, more: &[(&str, Value)]) -> Value {
    let first = [("type", json!({"valueCode": kind})), ("path", json!({"valueString": path}))];
    operation(&first.into_iter().chain(more.iter().cloned()).collect::<Vec<_>>())
}

fn text(of: &str) -> Value {
    json!({"valueString": of})
}

fn number(of: u64) -> Value {
    json!({"valueInteger": of})
}

fn note(text: &str) -> Value {
    json!({"valueAnnotation": {"text": text}})
}

fn patched(target: &Value, operations: &[Value]) -> Result<Value, crate::fhir::Issue> {
    fhirpath_patch(target, &json!({"resourceType": "Parameters", "parameter": operations}), now())
}

/// The task with one member of it as it became.
fn with(name: &str, value: Value) -> Value {
    let mut task = task();
    task[name] = value;
    task
}

fn without(name: &str) -> Value {
    let mut task = task();
    task.as_object_mut().unwrap().shift_remove(name);
    task
}

#[test]
fn every_operation_does_what_r4_says() {
    let texts = |all: &[&str]| Value::Array(all.iter().map(|text| json!({"text": text})).collect());
    let input = |key: &str, value: Value| json!([{"type": {"text": "how long"}, key: value}]);
    let contained = json!({"resourceType": "Patient", "id": "p"});
    let restriction = [
        json!({"name": "repetitions", "valuePositiveInt": 2}),
        json!({"name": "recipient", "valueReference": {"reference": "Patient/1"}}),
        json!({"name": "recipient", "valueReference": {"reference": "Patient/2"}}),
    ];
    for (operation, expected) in [
        (
            of("add", "Task", &[("name", text("note")), ("value", note("d"))]),
            with("note", texts(&["a", "b", "c", "d"])),
        ),
        (
            of("add", "Task", &[("name", text("priority")), ("value", json!({"valueCode": "asap"}))]),
            with("priority", "asap".into()),
        ),
        (
            of("add", "Task", &[("name", text("contained")), ("value", json!({"resource": contained}))]),
            with("contained", json!([contained])),
        ),
        // what has a type of its own is given by its parts
        (
            of("add", "Task", &[("name", text("restriction")), ("value", json!({"part": restriction}))]),
            with(
                "restriction",
                json!({"repetitions": 2, "recipient": [{"reference": "Patient/1"}, {"reference": "Patient/2"}]}),
            ),
        ),
        // what is said about a primitive
        (
            of("add", "Task.description", &[("name", text("id")), ("value", text("d1"))]),
            with("_description", json!({"id": "d1"})),
        ),
        (
            of("insert", "Task.note", &[("index", number(0)), ("value", note("z"))]),
            with("note", texts(&["z", "a", "b", "c"])),
        ),
        (
            of("insert", "Task.note", &[("index", number(3)), ("value", note("z"))]),
            with("note", texts(&["a", "b", "c", "z"])),
        ),
        (
            of(
                "insert",
                "Task.partOf",
                &[("index", number(0)), ("value", json!({"valueReference": {"reference": "Task/1"}}))],
            ),
            with("partOf", json!([{"reference": "Task/1"}])),
        ),
        (of("delete", "Task.note[1]", &[]), with("note", texts(&["a", "c"]))),
        (of("delete", "Task.note.where(text = 'c')", &[]), with("note", texts(&["a", "b"]))),
        (of("delete", "Task.description", &[]), without("description")),
        (of("delete", "Task.input", &[]), without("input")),
        (of("delete", "Task.owner", &[]), task()),
        (
            of("replace", "Task.status", &[("value", json!({"valueCode": "accepted"}))]),
            with("status", "accepted".into()),
        ),
        (of("replace", "status", &[("value", json!({"valueCode": "accepted"}))]), with("status", "accepted".into())),
        (of("replace", "Task.code.text", &[("value", text("run"))]), with("code", json!({"text": "run"}))),
        (
            of("replace", "Task.input.value", &[("value", text("a day"))]),
            with("input", input("valueString", "a day".into())),
        ),
        (
            of("replace", "Task.input.value", &[("value", json!({"valueDecimal": 1}))]),
            with("input", input("valueDecimal", 1.into())),
        ),
        (of("replace", "Task.note.last()", &[("value", note("z"))]), with("note", texts(&["a", "b", "z"]))),
        (
            of("move", "Task.note", &[("source", number(0)), ("destination", number(2))]),
            with("note", texts(&["b", "c", "a"])),
        ),
        (
            of("move", "Task.note", &[("source", number(2)), ("destination", number(0))]),
            with("note", texts(&["c", "a", "b"])),
        ),
    ] {
        let target = task();
        let made = patched(&target, std::slice::from_ref(&operation)).unwrap_or_else(|i| panic!("{operation}: {i:?}"));
        assert_eq!(made, expected, "{operation}");
        assert_eq!(target, task());
    }
}

#[test]
fn what_is_said_about_primitives_of_a_list_stays_beside_them() {
    let target = json!({
        "resourceType": "ServiceRequest", "instantiatesUri": ["urn:a", "urn:b"], "_instantiatesUri": [null, {"id": "b"}],
    });
    let path = "ServiceRequest.instantiatesUri";
    let made =
        patched(&target, &[of("insert", path, &[("index", number(0)), ("value", json!({"valueUri": "urn:z"}))])])
            .unwrap();
    assert_eq!(made["instantiatesUri"], json!(["urn:z", "urn:a", "urn:b"]));
    assert_eq!(made["_instantiatesUri"], json!([null, null, {"id": "b"}]));
    let made = patched(&target, &[of("delete", "ServiceRequest.instantiatesUri[1]", &[])]).unwrap();
    assert_eq!(made, json!({"resourceType": "ServiceRequest", "instantiatesUri": ["urn:a"]}));
    let absent = json!({"_valueUri": {"extension": [{"url": "urn:why", "valueCode": "unknown"}]}});
    let made = patched(&target, &[of("replace", "instantiatesUri[0]", &[("value", absent.clone())])]).unwrap();
    assert_eq!(made["instantiatesUri"], json!([null, "urn:b"]));
    assert_eq!(made["_instantiatesUri"], json!([absent["_valueUri"], {"id": "b"}]));
    let url = of(
        "replace",
        "instantiatesUri.extension.where(url = 'urn:why').value",
        &[("value", json!({"valueCode": "masked"}))],
    );
    let made = patched(&made, &[url]).unwrap();
    assert_eq!(made["_instantiatesUri"][0]["extension"][0]["valueCode"], "masked");
    let named = of("add", "instantiatesUri[0]", &[("name", text("id")), ("value", text("a"))]);
    assert_eq!(patched(&target, &[named]).unwrap()["_instantiatesUri"], json!([{"id": "a"}, {"id": "b"}]));
}

#[test]
fn what_does_not_fit_is_refused_with_its_operation() {
    let z = || ("value", note("z"));
    for refused in [
        of("replace", "Task.owner", &[z()]),
        of("replace", "Task.note", &[z()]),
        of("replace", "Task", &[z()]),
        of("delete", "Task", &[]),
        of("delete", "Task.note", &[]),
        of("delete", "'a text'", &[]),
        of("delete", "Task.note.text.first() & 'x'", &[]),
        of("delete", "%unknown", &[]),
        of("add", "Task.owner", &[("name", text("display")), ("value", text("x"))]),
        of("add", "Task", &[("name", text("status")), ("value", json!({"valueCode": "accepted"}))]),
        of("add", "Task", &[("name", text("colour")), ("value", text("red"))]),
        of("add", "Task", &[("name", text("resourceType")), ("value", text("Patient"))]),
        // there is one already, of another type
        of("add", "Task.input[0]", &[("name", text("value")), ("value", json!({"valueBoolean": true}))]),
        of("add", "Task.status", &[("name", text("coding")), ("value", json!({"valueCode": "x"}))]),
        of("insert", "Task.note", &[("index", number(4)), z()]),
        of("insert", "Task.partOf", &[("index", number(1)), z()]),
        of("insert", "Task.status", &[("index", number(0)), z()]),
        of("insert", "Task.owner", &[("index", number(0)), z()]),
        of("insert", "Task.note.skip(1)", &[("index", number(0)), z()]),
        of("insert", "Task.note | Task.input", &[("index", number(0)), z()]),
        of("move", "Task.note", &[("source", number(3)), ("destination", number(0))]),
        of("move", "Task.note", &[("source", number(0)), ("destination", number(3))]),
        of("move", "Task.partOf", &[("source", number(0)), ("destination", number(0))]),
    ] {
        let first = of("delete", "Task.owner", &[]);
        let issue = patched(&task(), &[first, refused.clone()]).expect_err(&refused.to_string());
        assert_eq!(issue.code, IssueCode::Processing, "{refused}: {}", issue.diagnostics);
        assert_eq!(issue.expression, ["Parameters.parameter[1]"]);
        assert!(issue.diagnostics.starts_with("operation 1: "), "{}", issue.diagnostics);
    }
}

#[test]
fn what_is_no_patch_is_told_from_that() {
    let z = || ("value", note("z"));
    for none in [
        json!({"name": "patch"}),
        operation(&[]),
        operation(&[("type", json!({"valueCode": "delete"}))]),
        of("remove", "Task.note", &[]),
        of("delete", "Task.", &[]),
        of("delete", "Task.note[0]", &[z()]),
        of("add", "Task", &[z()]),
        of("add", "Task", &[("name", text("note"))]),
        of("add", "Task", &[("name", text("note")), ("value", json!({}))]),
        of("add", "Task", &[("name", text("note")), ("value", json!({"valueString": "a", "valueCode": "b"}))]),
        of("add", "Task", &[("name", text("note")), ("value", json!({"valueNote": {}}))]),
        of("insert", "Task.note", &[z()]),
        of("insert", "Task.note", &[("index", json!({"valueInteger": -1})), z()]),
        of("move", "Task.note", &[("source", number(0))]),
        of("delete", "Task.note[0]", &[("where", text("x"))]),
        of("delete", "Task.note[0]", &[("path", text("Task.note[1]"))]),
    ] {
        let issue = patched(&task(), std::slice::from_ref(&none)).expect_err(&none.to_string());
        assert_eq!(issue.code, IssueCode::Structure, "{none}: {}", issue.diagnostics);
    }
    assert_eq!(fhirpath_patch(&task(), &task(), now()).unwrap_err().code, IssueCode::Structure);
}

#[test]
fn a_patch_is_bounded() {
    let cheap = of("delete", "Task.owner", &[]);
    assert!(patched(&task(), &vec![cheap.clone(); MAX_OPERATIONS]).is_ok());
    assert_eq!(patched(&task(), &vec![cheap; MAX_OPERATIONS + 1]).unwrap_err().code, IssueCode::TooCostly);
    let long = with("note", Value::Array(vec![json!({"text": "x"}); 3_000]));
    let costly = of("delete", "Task.note.where(%resource.note.where(text = 'y').exists())", &[]);
    assert_eq!(patched(&long, &[costly]).unwrap_err().code, IssueCode::TooCostly);
    // each goes down further
    let extension = |n: usize| {
        let path = format!("Task{}", ".extension[0]".repeat(n));
        let value = json!({"part": [{"name": "url", "valueUri": "u"}]});
        of("add", &path, &[("name", text("extension")), ("value", value)])
    };
    let deep = |count: usize| patched(&without("extension"), &(0..count).map(extension).collect::<Vec<_>>());
    assert!(deep(20).is_ok(), "{:?}", deep(20).unwrap_err());
    assert_eq!(deep(40).unwrap_err().code, IssueCode::TooCostly);
}

/// The same change in both languages.
#[derive(Debug, Clone)]
enum Change {
    Status(&'static str),
    Description(Option<String>),
    AddNote(String),
    InsertNote(usize, String),
    DeleteNote(usize),
    MoveNote(usize, usize),
    ReplaceText(usize, String),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let word = || "[a-z]{1,6}";
    let one = prop_oneof![
        prop::sample::select(&["accepted", "received", "completed"]).prop_map(Change::Status),
        prop::option::of(word()).prop_map(Change::Description),
        word().prop_map(Change::AddNote),
        (0..5usize, word()).prop_map(|(n, text)| Change::InsertNote(n, text)),
        (0..5usize).prop_map(Change::DeleteNote),
        (0..5usize, 0..5usize).prop_map(|(from, to)| Change::MoveNote(from, to)),
        (0..5usize, word()).prop_map(|(n, text)| Change::ReplaceText(n, text)),
    ];
    prop::collection::vec(one, 0..12)
}

/// A change as FHIRPath Patch and as JSON Patch of this resource; none where it would not fit.
fn both(change: &Change, now: &Value) -> Option<(Value, Value)> {
    let notes = now["note"].as_array().map_or(0, Vec::len);
    let value = |value: Value| ("value", value);
    Some(match change {
        Change::Status(code) => (
            of("replace", "Task.status", &[value(json!({"valueCode": code}))]),
            json!([{"op": "replace", "path": "/status", "value": code}]),
        ),
        Change::Description(None) if now.get("description").is_some() => {
            (of("delete", "Task.description", &[]), json!([{"op": "remove", "path": "/description"}]))
        }
        Change::Description(Some(new)) if now.get("description").is_none() => (
            of("add", "Task", &[("name", text("description")), value(text(new))]),
            json!([{"op": "add", "path": "/description", "value": new}]),
        ),
        Change::AddNote(new) if notes == 0 => (
            of("add", "Task", &[("name", text("note")), value(note(new))]),
            json!([{"op": "add", "path": "/note", "value": [{"text": new}]}]),
        ),
        Change::AddNote(new) => (
            of("add", "Task", &[("name", text("note")), value(note(new))]),
            json!([{"op": "add", "path": "/note/-", "value": {"text": new}}]),
        ),
        Change::InsertNote(n, new) if *n <= notes && notes > 0 => (
            of("insert", "Task.note", &[("index", number(*n as u64)), value(note(new))]),
            json!([{"op": "add", "path": format!("/note/{n}"), "value": {"text": new}}]),
        ),
        Change::DeleteNote(n) if *n < notes && notes > 1 => {
            (of("delete", &format!("Task.note[{n}]"), &[]), json!([{"op": "remove", "path": format!("/note/{n}")}]))
        }
        Change::DeleteNote(0) if notes == 1 => {
            (of("delete", "Task.note", &[]), json!([{"op": "remove", "path": "/note"}]))
        }
        Change::MoveNote(from, to) if *from < notes && *to < notes => (
            of("move", "Task.note", &[("source", number(*from as u64)), ("destination", number(*to as u64))]),
            json!([{"op": "move", "from": format!("/note/{from}"), "path": format!("/note/{to}")}]),
        ),
        Change::ReplaceText(n, new) if *n < notes => (
            of("replace", &format!("Task.note[{n}].text"), &[value(text(new))]),
            json!([{"op": "replace", "path": format!("/note/{n}/text"), "value": new}]),
        ),
        _ => return None,
    })
}

proptest! {
    #[test]
    fn it_does_what_a_json_patch_does(changes in changes()) {
        let mut now = task();
        for change in &changes {
            let Some((fhirpath, json)) = both(change, &now) else { continue };
            let by_json = json_patch(&now, &json).unwrap();
            now = patched(&now, &[fhirpath]).unwrap();
            prop_assert_eq!(&now, &by_json, "{:?}", change);
        }
    }

    #[test]
    fn no_patch_crashes_it(operations in prop::collection::vec((
        prop::sample::select(&["add", "insert", "delete", "replace", "move"]),
        "(Task|%resource|note|status|descendants\\(\\)|children\\(\\))(\\.(note|text|value|input|extension|children\\(\\)|first\\(\\)|last\\(\\))){0,3}",
        prop::sample::select(&["note", "value", "status", "id", "extension", "input", "description"]),
        0..4u64, 0..4u64), 0..6)) {
        let operations: Vec<Value> = operations.iter().map(|(kind, path, name, n, m)| {
            let value = ("value", [note("x"), text("x"), json!({"part": [{"name": "type", "valueString": "x"}]})][*n as usize % 3].clone());
            let more = match *kind {
                "add" => vec![("name", text(name)), value],
                "insert" => vec![("index", number(*n)), value],
                "replace" => vec![value],
                "move" => vec![("source", number(*n)), ("destination", number(*m))],
                _ => vec![],
            };
            of(kind, path, &more)
        }).collect();
        let _ = patched(&task(), &operations);
    }
}
