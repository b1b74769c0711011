//! What a Consent says (R4 Consent), in one place for all who go by it: routing, what goes back into the record, and the pages.

use serde_json::Value;

use super::{datetime::is_current, tree};

/// What the person has said to being referred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It is given.
    Given,
    /// It was refused: the whole of it, or its policy or outermost provision says no.
    Refused,
    /// It was given and holds no more, or not yet.
    OutOfForce,
    /// It is being asked for.
    NotYet,
    /// Its status says nothing of that.
    Unclear,
}

/// What a Consent says on a day (`YYYY-MM-DD`).
pub fn said(consent: &Value, today: &str) -> Said {
    let period = consent.get("provision").and_then(|provision| provision.get("period")).unwrap_or(&Value::Null);
    if !is_current(period, Some(today)) {
        return Said::OutOfForce;
    }
    match tree::text(consent, "status") {
        Some("rejected") => Said::Refused,
        Some("active") if says_no(consent) => Said::Refused,
        Some("active") => Said::Given,
        Some("inactive") => Said::OutOfForce,
        Some("proposed" | "draft") => Said::NotYet,
        _ => Said::Unclear,
    }
}

fn says_no(consent: &Value) -> bool {
    let policy = consent.get("policyRule").unwrap_or(&Value::Null);
    has_code(policy, "OPTOUT") || tree::text(consent, "provision.type") == Some("deny")
}

/// Whether this provision keeps something from whoever referred: it denies disclosure (`action` `disclose`, or none at all). In doubt
/// it does: only one whose every actor is a relative or the person is about others.
pub fn keeps_from_referrer(provision: &Value) -> bool {
    let is_family = |actor: &Value| {
        let literal = tree::text(actor, "reference.reference").unwrap_or_default();
        let kind = tree::text(actor, "reference.type").unwrap_or_default();
        ["RelatedPerson", "Patient"].iter().any(|k| kind == *k || literal.starts_with(&format!("{k}/")))
    };
    let (actions, actors) = (tree::items(provision, "action"), tree::items(provision, "actor"));
    let is_disclosure = actions.is_empty() || actions.iter().any(|action| has_code(action, "disclose"));
    let is_to_referrer = actors.is_empty() || !actors.iter().all(is_family);
    tree::text(provision, "type") == Some("deny") && is_disclosure && is_to_referrer
}

fn has_code(concept: &Value, code: &str) -> bool {
    tree::items(concept, "coding").iter().any(|coding| tree::text(coding, "code") == Some(code))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_consent_is_given_refused_or_out_of_force() {
        for (consent, expected) in [
            (json!({"status": "active"}), Said::Given),
            (json!({"status": "rejected"}), Said::Refused),
            (json!({"status": "active", "provision": {"type": "deny"}}), Said::Refused),
            (json!({"status": "active", "policyRule": {"coding": [{"code": "OPTOUT"}]}}), Said::Refused),
            (json!({"status": "active", "provision": {"provision": [{"type": "deny"}]}}), Said::Given),
            (json!({"status": "active", "provision": {"period": {"end": "2026-11-25"}}}), Said::OutOfForce),
            (json!({"status": "active", "provision": {"period": {"start": "2026-11-27"}}}), Said::OutOfForce),
            (json!({"status": "active", "provision": {"period": {"end": "2026-11-26"}}}), Said::Given),
            (json!({"status": "inactive"}), Said::OutOfForce),
            (json!({"status": "draft"}), Said::NotYet),
            (json!({"status": "entered-in-error"}), Said::Unclear),
        ] {
            assert_eq!(said(&consent, "2026-11-26"), expected, "{consent}");
        }
    }

    #[test]
    fn only_what_denies_disclosure_to_others_than_relatives_is_kept_from_the_referrer() {
        for (provision, expected) in [
            (json!({"type": "deny"}), true),
            (json!({"type": "deny", "action": [{"coding": [{"code": "disclose"}]}]}), true),
            (json!({"type": "deny", "action": [{"coding": [{"code": "collect"}]}]}), false),
            (json!({"type": "deny", "actor": [{"reference": {"reference": "RelatedPerson/1"}}]}), false),
            (json!({"type": "permit"}), false),
        ] {
            assert_eq!(keeps_from_referrer(&provision), expected, "{provision}");
        }
    }
}
