//! JSON Patch (RFC 6902) on a resource, bounded: a few `copy` operations could otherwise grow a document beyond memory.

use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchErrorKind, PatchOperation, RemoveOperation, ReplaceOperation,
    TestOperation, jsonptr::PointerBuf, patch_unsafe,
};
use serde_json::Value;

use super::{MAX_OPERATIONS, weight};
use crate::fhir::{
    outcome::{Issue, IssueCode},
    path::{self, Step},
    tree,
};

/// The resource as the patch makes it; `target` stays as it is. An issue with code `structure` means that the patch is none
/// (400), `conflict` that a `test` did not hold, anything else that it cannot be applied to this resource (422 both).
/// What comes out is not checked: an emptied list or a changed id is for the caller to refuse.
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, Issue> {
    let root = tree::resource_type(target).unwrap_or(path::UNKNOWN_ROOT);
    let operations = patch.as_array().ok_or_else(|| malformed(root, "a JSON Patch is a list of operations"))?;
    if operations.len() > MAX_OPERATIONS {
        let said = format!("a patch has at most {MAX_OPERATIONS} operations");
        return Err(Issue::error(IssueCode::TooCostly, root, said));
    }
    let parsed: Vec<PatchOperation> =
        operations.iter().enumerate().map(|(index, json)| operation(root, index, json)).collect::<Result<_, _>>()?;
    let mut patched = target.clone();
    for (index, operation) in parsed.iter().enumerate() {
        patch_unsafe(&mut patched, std::slice::from_ref(operation))
            .map_err(|error| failed(root, index, operation, &error.kind))?;
        if weight::is_too_great(&patched) {
            let said = format!("operation {index} makes the resource larger than is allowed");
            return Err(Issue::error(IssueCode::TooCostly, expression(root, operation.path().as_str()), said));
        }
    }
    Ok(patched)
}

fn malformed(root: &str, said: impl Into<String>) -> Issue {
    Issue::error(IssueCode::Structure, root, said)
}

/// Reads one operation by hand: serde's reading of a tagged enum does not keep decimals as they were written.
fn operation(root: &str, index: usize, json: &Value) -> Result<PatchOperation, Issue> {
    let pointer = |name: &str| -> Result<PointerBuf, Issue> {
        let text = json.get(name).and_then(Value::as_str);
        text.and_then(|text| PointerBuf::parse(text).ok())
            .ok_or_else(|| malformed(root, format!("operation {index} has no JSON Pointer in “{name}”")))
    };
    let value =
        || json.get("value").cloned().ok_or_else(|| malformed(root, format!("operation {index} has no “value”")));
    let path = pointer("path")?;
    Ok(match json.get("op").and_then(Value::as_str) {
        Some("add") => PatchOperation::Add(AddOperation { path, value: value()? }),
        Some("remove") => PatchOperation::Remove(RemoveOperation { path }),
        Some("replace") => PatchOperation::Replace(ReplaceOperation { path, value: value()? }),
        Some("move") => PatchOperation::Move(MoveOperation { from: pointer("from")?, path }),
        Some("copy") => PatchOperation::Copy(CopyOperation { from: pointer("from")?, path }),
        Some("test") => PatchOperation::Test(TestOperation { path, value: value()? }),
        _ => {
            let said = format!("operation {index} is none of add, remove, replace, move, copy and test");
            return Err(malformed(root, said));
        }
    })
}

fn failed(root: &str, index: usize, operation: &PatchOperation, kind: &PatchErrorKind) -> Issue {
    let at = |pointer: &str| expression(root, pointer);
    let (code, expression, said) = match (kind, operation) {
        (PatchErrorKind::TestFailed, _) => {
            (IssueCode::Conflict, at(operation.path().as_str()), "the test does not hold")
        }
        (PatchErrorKind::InvalidFromPointer, PatchOperation::Move(MoveOperation { from, .. }))
        | (PatchErrorKind::InvalidFromPointer, PatchOperation::Copy(CopyOperation { from, .. })) => {
            (IssueCode::Processing, at(from.as_str()), "there is nothing at “from”")
        }
        (PatchErrorKind::CannotMoveInsideItself, _) => {
            (IssueCode::Processing, at(operation.path().as_str()), "an element cannot be moved into itself")
        }
        _ => (IssueCode::Processing, at(operation.path().as_str()), "there is no such place in the resource"),
    };
    Issue::error(code, expression, format!("operation {index}: {said}"))
}

/// The FHIRPath for a JSON Pointer. `-`, the place after the last item, is left out.
fn expression(root: &str, pointer: &str) -> String {
    let steps: Vec<Step> = pointer
        .split('/')
        .skip(1)
        .filter(|token| *token != "-")
        .map(|token| token.parse().map_or_else(|_| Step::Name(token.to_owned()), Step::Index))
        .collect();
    path::render(Some(root), &steps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn task() -> Value {
        json!({ "resourceType": "Task", "status": "requested", "note": [{ "text": "a" }] })
    }

    #[test]
    fn a_patch_is_applied_and_the_target_is_left() {
        let target = task();
        let patch: Value = serde_json::from_str(
            r#"[{"op":"test","path":"/status","value":"requested"},{"op":"replace","path":"/status","value":"accepted"},
                {"op":"add","path":"/note/-","value":{"text":"b"}},{"op":"add","path":"/x","value":1.50}]"#,
        )
        .unwrap();
        let patched = json_patch(&target, &patch).unwrap();
        assert_eq!(target, task());
        assert_eq!(
            patched.to_string(),
            r#"{"resourceType":"Task","status":"accepted","note":[{"text":"a"},{"text":"b"}],"x":1.50}"#
        );
    }

    #[test]
    fn a_failure_names_the_operation_and_the_element() {
        let failure = |patch: Value| {
            let issue = json_patch(&task(), &patch).unwrap_err();
            (issue.code, issue.expression[0].clone(), issue.diagnostics)
        };
        let (code, path, said) = failure(json!([{ "op": "test", "path": "/note/0/text", "value": "z" }]));
        assert_eq!((code, path.as_str()), (IssueCode::Conflict, "Task.note[0].text"));
        assert!(said.contains("operation 0") && said.contains("test"), "{said}");
        let (code, path, _) = failure(json!([{ "op": "remove", "path": "/owner" }]));
        assert_eq!((code, path.as_str()), (IssueCode::Processing, "Task.owner"));
        let (code, path, _) = failure(json!([{ "op": "copy", "from": "/owner/x y", "path": "/for" }]));
        assert_eq!((code, path.as_str()), (IssueCode::Processing, "Task.owner"));
        for none in [
            json!({}),
            json!([1]),
            json!([{ "op": "add", "path": "/x" }]),
            json!([{ "op": "add", "path": "x", "value": 1 }]),
            json!([{ "op": "swap", "path": "/x" }]),
            json!([{ "path": "/x" }]),
        ] {
            assert_eq!(failure(none.clone()).0, IssueCode::Structure, "{none}");
        }
    }

    #[test]
    fn growth_is_bounded() {
        let grow = json!({ "op": "copy", "from": "", "path": "/note/-" });
        assert_eq!(json_patch(&task(), &Value::Array(vec![grow; 100])).unwrap_err().code, IssueCode::TooCostly);
        let deepen = json!({ "op": "copy", "from": "", "path": "/a" });
        assert_eq!(json_patch(&task(), &Value::Array(vec![deepen; 100])).unwrap_err().code, IssueCode::TooCostly);
        let many = json!({ "op": "test", "path": "/status", "value": "requested" });
        assert_eq!(json_patch(&task(), &Value::Array(vec![many; 101])).unwrap_err().code, IssueCode::TooCostly);
    }

    proptest! {
        #[test]
        fn no_patch_crashes_it(operations in prop::collection::vec((
            prop::sample::select(&["add", "remove", "replace", "move", "copy", "test"]),
            "(/(note|status|text|-|0|1|~0|)){0,4}", "(/(note|status|text|-|0|1)){0,3}"), 0..6)) {
            let patch = operations.iter()
                .map(|(op, path, from)| json!({ "op": op, "path": path, "from": from, "value": [{}] })).collect();
            let _ = json_patch(&task(), &Value::Array(patch));
        }
    }
}
