//! What claims make of somebody: pure.

use openidconnect::AdditionalClaims;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    config::people::{RoleRule, Says},
    domain::Position,
};

/// All claims beside the standard ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for Claims {}

/// So many steps of a path are followed.
const STEPS_MAX: usize = 5;

/// The values of a claim, of a list each one. A name with dots that is no claim leads into objects: `realm_access.roles`.
pub(super) fn found<'c>(claims: &'c Map<String, Value>, name: &str) -> Vec<&'c Value> {
    if let Some(value) = claims.get(name) {
        return each(value).collect();
    }
    let mut steps = name.split('.');
    let mut at: Vec<&Value> = steps.next().and_then(|first| claims.get(first)).into_iter().flat_map(each).collect();
    for (n, step) in steps.enumerate() {
        if n >= STEPS_MAX {
            return Vec::new();
        }
        at = at.into_iter().filter_map(|value| value.get(step)).flat_map(each).collect();
    }
    at
}

/// A claim as a text.
pub(super) fn text_of(claims: &Map<String, Value>, name: &str) -> Option<String> {
    found(claims, name).first().and_then(|value| value.as_str()).map(str::to_owned)
}

/// What somebody is by these rules, each once.
pub(super) fn positions(claims: &Map<String, Value>, rules: &[RoleRule]) -> Vec<Position> {
    let says = |rule: &&RoleRule| found(claims, &rule.claim).into_iter().any(|value| is_said(value, &rule.says));
    let mut positions: Vec<Position> = rules.iter().filter(says).map(|rule| rule.position.clone()).collect();
    positions.sort();
    positions.dedup();
    positions
}

fn is_said(value: &Value, says: &Says) -> bool {
    match says {
        Says::Text(text) => is_text(value, text),
        Says::Fields(fields) => {
            !fields.is_empty() && fields.iter().all(|(field, text)| value.get(field).is_some_and(|v| is_text(v, text)))
        }
    }
}

fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Number(found) => found.to_string() == text,
        Value::Bool(found) => found.to_string() == text,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    let (many, one) = match value {
        Value::Array(all) => (all.as_slice(), None),
        one => (&[][..], Some(one)),
    };
    many.iter().chain(one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(claim: &str, says: Says, position: &str) -> RoleRule {
        RoleRule { claim: claim.into(), says, position: position.parse().unwrap() }
    }

    fn of(claims: Value, rule: RoleRule) -> bool {
        let Value::Object(claims) = claims else { panic!("{claims}") };
        !positions(&claims, &[rule]).is_empty()
    }

    #[test]
    fn a_text_is_said_by_itself_or_in_a_list_and_no_part_of_it() {
        let says = |claims| of(claims, rule("groups", Says::Text("onward-operators".into()), "operator"));
        assert!(says(json!({"groups": "onward-operators"})));
        assert!(says(json!({"groups": ["other", "onward-operators"]})));
        for no in [
            json!({}),
            json!({"groups": null}),
            json!({"groups": "onward-operators-of-another"}),
            json!({"groups": "other onward-operators"}),
            json!({"groups": {"onward-operators": true}}),
            json!({"groups": [["onward-operators"]]}),
            json!({"Groups": "onward-operators"}),
        ] {
            assert!(!says(no.clone()), "{no}");
        }
    }

    #[test]
    fn all_fields_must_be_of_one_and_the_same_object() {
        let fields = vec![("org_code".into(), "RW4".into()), ("role_code".into(), "R8001".into())];
        let says = |claims| of(claims, rule("nhsid_nrbac_roles", Says::Fields(fields.clone()), "referrer:rio"));
        let role = |org: &str, role: &str| json!({"org_code": org, "role_code": role, "role_name": "x"});
        assert!(says(json!({"nhsid_nrbac_roles": [role("REM", "R1"), role("RW4", "R8001")]})));
        assert!(says(json!({"nhsid_nrbac_roles": role("RW4", "R8001")})));
        assert!(
            !says(json!({"nhsid_nrbac_roles": [role("REM", "R8001"), role("RW4", "R1")]})),
            "of two different ones"
        );
        assert!(!says(json!({"nhsid_nrbac_roles": [{"org_code": "RW4"}]})));
        assert!(
            !of(json!({"x": [{}]}), rule("x", Says::Fields(vec![]), "operator")),
            "nothing asked for is nothing given"
        );
    }

    #[test]
    fn a_name_with_dots_is_a_claim_or_a_way_into_one() {
        let says = |claims| of(claims, rule("realm_access.roles", Says::Text("auditor".into()), "auditor"));
        assert!(says(json!({"realm_access": {"roles": ["x", "auditor"]}})));
        assert!(says(json!({"realm_access.roles": "auditor"})));
        assert!(!says(json!({"realm_access": {"other": ["auditor"]}})));
        assert!(
            !says(json!({"realm_access.roles": "x", "realm_access": {"roles": ["auditor"]}})),
            "the claim itself counts"
        );
    }

    #[test]
    fn somebody_is_each_thing_once() {
        let Value::Object(claims) = json!({"a": ["1", "2"], "n": 7}) else { panic!() };
        let text = |text: &str| Says::Text(text.into());
        let rules = [
            rule("a", text("1"), "auditor"),
            rule("a", text("2"), "auditor"),
            rule("a", text("3"), "operator"),
            rule("n", text("7"), "route-editor"),
        ];
        let found = positions(&claims, &rules).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found, ["route-editor", "auditor"]);
        assert!(positions(&claims, &[]).is_empty());
    }
}
