//! An entry that was imported, was changed here, and comes again: each element is what was changed last. What was changed on both sides
//! is as the source has it, since that is whose entry it is, and a person is told.

use serde_json::{Map, Value};

use super::{element::set, open_referral};

/// What an entry becomes: `known` is as it is, `before` what its source made of it the last time, `now` what it makes of it today.
/// The elements that both had changed are named.
pub(super) fn three_way(before: Option<&Value>, known: &Value, now: &Value) -> (Value, Vec<String>) {
    let nothing = Map::new();
    let object = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (known, now) = (object(Some(known)), object(Some(now)));
    let had_before = before.is_some();
    let before = before.and_then(Value::as_object).unwrap_or(&nothing);
    let (mut merged, mut both) = (Map::new(), Vec::new());
    // in the order of the entry as it is, so that nothing changes that is the same
    for key in known.keys().chain(now.keys().filter(|key| !known.contains_key(*key))) {
        let (is, was, comes) = (known.get(key), before.get(key), now.get(key));
        let value = match key.as_str() {
            "id" => is.cloned(),
            "meta" => meta(is, comes),
            "extension" => Some(extensions(was, is, comes)),
            _ if is == comes || was == comes && had_before => is.cloned(),
            _ => match (was, is, comes) {
                (was, Some(Value::Array(is)), Some(Value::Array(comes))) => {
                    let was = was.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                    Some(Value::Array(lists(was, is, comes)))
                }
                // what a source that never told of it does not tell of is none of its
                (None, Some(_), None) => is.cloned(),
                (was, is, comes) => {
                    if had_before && is != was {
                        both.push(key.clone());
                    }
                    comes.cloned()
                }
            },
        };
        set(&mut merged, key, value.unwrap_or_default());
    }
    (merged.into(), both)
}

/// A list: what the source took away goes, what it added comes, and what was added or taken away here stays so.
fn lists(was: &[Value], is: &[Value], comes: &[Value]) -> Vec<Value> {
    if is == was {
        return comes.to_vec();
    }
    let mut items: Vec<Value> = is.iter().filter(|item| comes.contains(item) || !was.contains(item)).cloned().collect();
    for item in comes {
        if !items.contains(item) && !was.contains(item) {
            items.push(item.clone());
        }
    }
    items
}

fn extensions(was: Option<&Value>, is: Option<&Value>, comes: Option<&Value>) -> Value {
    let list = |of: Option<&Value>, kept: bool| {
        let all = of.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        all.iter().filter(|one| open_referral::is_kept(one) == kept).cloned().collect::<Vec<_>>()
    };
    let mut items = lists(&list(was, false), &list(is, false), &list(comes, false));
    items.extend(list(comes, true));
    Value::Array(items)
}

fn meta(is: Option<&Value>, comes: Option<&Value>) -> Option<Value> {
    let mut meta = is.and_then(Value::as_object).cloned().unwrap_or_default();
    for own in ["versionId", "lastUpdated"] {
        meta.shift_remove(own);
    }
    if let Some(source) = comes.and_then(|meta| meta.get("source")) {
        set(&mut meta, "source", source.clone());
    }
    Some(meta.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_element_is_what_was_changed_last() {
        let before = json!({"name": "A", "comment": "old", "active": true, "type": [1, 2], "telecom": ["x"]});
        let known = json!({"id": "7", "name": "A", "comment": "ours", "active": false, "type": [1, 2, 9], "telecom": ["x"],
            "endpoint": ["ours"]});
        let now = json!({"name": "B", "comment": "old", "active": true, "type": [2, 3], "telecom": ["y"]});
        let (merged, both) = three_way(Some(&before), &known, &now);
        assert_eq!(
            merged,
            json!({"id": "7", "name": "B", "comment": "ours", "active": false, "type": [2, 9, 3], "telecom": ["y"],
                "endpoint": ["ours"]})
        );
        assert!(both.is_empty());
    }

    #[test]
    fn what_both_changed_is_as_the_source_has_it_and_named() {
        let (merged, both) =
            three_way(Some(&json!({"name": "A"})), &json!({"name": "ours"}), &json!({"name": "theirs"}));
        assert_eq!((merged, both), (json!({"name": "theirs"}), vec!["name".to_owned()]));
    }

    #[test]
    fn an_entry_that_was_never_imported_keeps_what_the_source_does_not_speak_of() {
        let (merged, both) = three_way(None, &json!({"name": "A", "comment": "ours"}), &json!({"name": "B"}));
        assert_eq!((merged, both), (json!({"name": "B", "comment": "ours"}), vec![]));
    }

    proptest! {
        #[test]
        fn the_same_again_changes_nothing_whatever_was_changed_here(
            before in proptest::collection::btree_map("[a-e]", proptest::collection::vec(0..4_u8, 0..4), 0..5),
            known in proptest::collection::btree_map("[a-e]", proptest::collection::vec(0..4_u8, 1..4), 0..5),
        ) {
            let (before, known) = (json!(before), json!(known));
            prop_assert_eq!(three_way(Some(&before), &known, &before).0, known);
        }

        #[test]
        fn what_was_not_changed_here_is_as_it_comes(
            before in proptest::collection::btree_map("[a-e]", proptest::collection::vec(0..4_u8, 1..4), 0..5),
            now in proptest::collection::btree_map("[a-e]", proptest::collection::vec(0..4_u8, 1..4), 0..5),
        ) {
            let (before, now) = (json!(before), json!(now));
            prop_assert_eq!(three_way(Some(&before), &before, &now).0, now);
        }
    }
}
