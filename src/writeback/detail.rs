//! How much of a status goes back into the record: what the system is configured for, narrowed by the referral's Consent.

use serde_json::{Map, Value};

use crate::{
    config::registry::{Detail, WriteBack},
    fhir::{
        consent::keeps_from_referrer,
        task::{CANONICAL, TRANSPORT_SYSTEM},
        tree,
    },
};

/// Elements of a Task that say more than how far it has come.
const TELLING: &[&str] = &["statusReason", "businessStatus", "note", "output", "executionPeriod"];

/// `configured`, or less where an active Consent of the referral says so.
///
/// A Consent that was refused (`status` rejected) leaves the bare status. A provision that denies disclosure (`action`
/// `disclose`, or no action at all) leaves the bare status too, unless it is said to be about the person's own family only, or, where it names by `code` what must not be told, what remains without that: of our own codes
/// (`…/CodeSystem/write-back-detail`) the level below the one named, of any other the codes without free text. A provision that
/// permits one of our levels bounds it to that.
pub fn narrowed(configured: Detail, resources: &[Value]) -> Detail {
    let contained = resources.iter().flat_map(|r| tree::items(r, "contained"));
    resources
        .iter()
        .chain(contained)
        .filter(|r| tree::resource_type(r) == Some("Consent"))
        .map(|consent| match consent.get("status").and_then(Value::as_str) {
            Some("rejected") => Detail::None,
            Some("active") => consent.get("provision").map_or(Detail::Full, bound),
            _ => Detail::Full,
        })
        .fold(configured, Detail::min)
}

/// How far what a provider says of a referral gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    /// Into the originating record, so much of it.
    Record {
        /// How much.
        detail: Detail,
        /// Whether the person's consent holds back what the record would take.
        by_consent: bool,
    },
    /// Into no record: who referred sees it only where she looks into Onward.
    Nowhere,
}

/// How far it gets for a referral that came with these resources from a system with this write-back. What is said to people about it, and
/// what is done, are one.
pub fn way_back(to: Option<&WriteBack>, resources: &[Value]) -> WayBack {
    let Some(to) = to else { return WayBack::Nowhere };
    let detail = narrowed(to.detail, resources);
    WayBack::Record { detail, by_consent: detail < to.detail }
}

fn bound(provision: &Value) -> Detail {
    let own = match provision.get("type").and_then(Value::as_str) {
        Some("deny") if keeps_from_referrer(provision) => denied(provision),
        Some("permit") => levels(provision).flatten().min().unwrap_or(Detail::Full),
        _ => Detail::Full,
    };
    tree::items(provision, "provision").iter().map(bound).fold(own, Detail::min)
}

fn denied(provision: &Value) -> Detail {
    let below = |level: Option<Detail>| match level {
        Some(Detail::Full) => Detail::Summary,
        Some(Detail::Codes | Detail::None) => Detail::None,
        Some(Detail::Summary) | None => Detail::Codes,
    };
    levels(provision).map(below).min().unwrap_or(Detail::None)
}

/// The levels a provision names by `code`; none for a code that is not one of ours.
fn levels(provision: &Value) -> impl Iterator<Item = Option<Detail>> {
    let system = format!("{CANONICAL}/CodeSystem/write-back-detail");
    tree::items(provision, "code").iter().flat_map(|concept| tree::items(concept, "coding")).map(move |coding| {
        let text = |name| coding.get(name).and_then(Value::as_str);
        let all = [Detail::None, Detail::Codes, Detail::Summary, Detail::Full];
        (text("system") == Some(&*system)).then(|| all.into_iter().find(|d| Some(d.as_str()) == text("code"))).flatten()
    })
}

/// Takes from a Task what goes beyond `detail`. The transport status stays: it tells of the message, not of the person.
pub fn reduce(task: &mut Value, detail: Detail) {
    let Some(object) = task.as_object_mut() else { return };
    match detail {
        Detail::Full => {}
        Detail::Summary => {
            object.shift_remove("note");
            object.shift_remove("output");
        }
        Detail::Codes => {
            for name in ["note", "executionPeriod"] {
                object.shift_remove(name);
            }
            for name in ["statusReason", "businessStatus"] {
                keep(object, name, codes_only);
            }
            keep(object, "output", coded_outputs);
        }
        Detail::None => {
            let business = object.get("businessStatus").and_then(transport_only);
            for name in TELLING {
                object.shift_remove(*name);
            }
            if let Some(business) = business {
                object.insert("businessStatus".into(), business);
            }
        }
    }
}

/// The same for a provider's message. It is written to the referrer, so its words go with `summary` already; with `codes` only
/// what it is about, with `none` nothing of it is written at all.
pub fn reduce_message(message: &mut Value, detail: Detail) {
    let Some(object) = message.as_object_mut() else { return };
    if detail <= Detail::Summary {
        object.shift_remove("note");
        let payload: Vec<Value> =
            tree::items(message, "payload").iter().filter(|p| p.get("contentString").is_some()).cloned().collect();
        let Some(object) = message.as_object_mut() else { return };
        object.shift_remove("payload");
        if detail == Detail::Summary && !payload.is_empty() {
            object.insert("payload".into(), payload.into());
        }
    }
    let Some(object) = message.as_object_mut() else { return };
    if detail <= Detail::Codes {
        object.shift_remove("topic");
        for name in ["category", "reasonCode"] {
            keep(object, name, |concepts| {
                let coded: Vec<Value> = concepts.as_array()?.iter().filter_map(codes_only).collect();
                (!coded.is_empty()).then(|| coded.into())
            });
        }
    }
}

fn keep(object: &mut Map<String, Value>, name: &str, of: impl Fn(&Value) -> Option<Value>) {
    let kept = object.get(name).and_then(of);
    match kept {
        Some(value) => {
            object.insert(name.to_owned(), value);
        }
        None => {
            object.shift_remove(name);
        }
    }
}

/// A concept with its codes and nothing that was typed.
fn codes_only(concept: &Value) -> Option<Value> {
    let codings: Vec<Value> = tree::items(concept, "coding")
        .iter()
        .map(|coding| {
            let mut coding = coding.clone();
            if let Some(object) = coding.as_object_mut() {
                object.retain(|name, _| matches!(name.as_str(), "system" | "version" | "code"));
            }
            coding
        })
        .filter(|c| c.get("code").is_some())
        .collect();
    (!codings.is_empty()).then(|| serde_json::json!({ "coding": codings }))
}

fn coded_outputs(outputs: &Value) -> Option<Value> {
    let coded: Vec<Value> = outputs
        .as_array()?
        .iter()
        .filter_map(|output| {
            let kind = codes_only(output.get("type")?)?;
            let value = codes_only(output.get("valueCodeableConcept")?)?;
            Some(serde_json::json!({"type": kind, "valueCodeableConcept": value}))
        })
        .collect();
    (!coded.is_empty()).then(|| coded.into())
}

fn transport_only(business: &Value) -> Option<Value> {
    let ours = |c: &&Value| c.get("system").and_then(Value::as_str) == Some(TRANSPORT_SYSTEM);
    let coding = tree::items(business, "coding").iter().find(ours)?;
    Some(serde_json::json!({ "coding": [coding] }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn consent(provision: Value) -> Vec<Value> {
        vec![json!({"resourceType": "Consent", "status": "active", "provision": provision})]
    }

    fn deny(code: Option<(&str, &str)>) -> Value {
        let mut provision = json!({"type": "deny", "action": [{"coding": [{"code": "disclose"}]}],
            "actor": [{"role": {"coding": [{"code": "IRCP"}]}, "reference": {"display": "referrer"}}]});
        if let Some((system, code)) = code {
            provision["code"] = json!([{"coding": [{"system": system, "code": code}]}]);
        }
        json!({"type": "permit", "provision": [provision]})
    }

    const OURS: &str = "https://onward.example/fhir/CodeSystem/write-back-detail";

    #[test]
    fn consent_narrows_and_never_widens() {
        for (consent, expected) in [
            (consent(deny(None)), Detail::None),
            (consent(deny(Some(("https://elsewhere.example", "free-text")))), Detail::Codes),
            (consent(deny(Some((OURS, "full")))), Detail::Summary),
            (consent(deny(Some((OURS, "summary")))), Detail::Codes),
            (consent(deny(Some((OURS, "codes")))), Detail::None),
            (
                consent(json!({"type": "permit", "code": [{"coding": [{"system": OURS, "code": "codes"}]}]})),
                Detail::Codes,
            ),
            (consent(json!({"type": "deny", "action": [{"coding": [{"code": "collect"}]}]})), Detail::Full),
            (vec![json!({"resourceType": "Consent", "status": "rejected"})], Detail::None),
            (vec![json!({"resourceType": "ServiceRequest", "contained": consent(deny(None))})], Detail::None),
            (
                consent(json!({"type": "deny", "actor": [{"reference": {"reference": "RelatedPerson/1"}}]})),
                Detail::Full,
            ),
            (vec![], Detail::Full),
        ] {
            assert_eq!(narrowed(Detail::Full, &consent), expected, "{consent:?}");
            assert_eq!(narrowed(Detail::None, &consent), Detail::None);
        }
    }

    #[test]
    fn a_message_is_words_until_only_codes_are_told() {
        let message = json!({"resourceType": "Communication", "status": "completed", "note": [{"text": "aside"}],
            "reasonCode": [{"coding": [{"system": "s", "code": "information-requested", "display": "d"}], "text": "t"}],
            "payload": [{"contentString": "Does she use a stick?"}, {"contentAttachment": {"title": "form"}}]});
        let at = |detail| {
            let mut reduced = message.clone();
            reduce_message(&mut reduced, detail);
            reduced
        };
        assert_eq!(at(Detail::Full), message);
        assert_eq!(at(Detail::Summary)["payload"], json!([{"contentString": "Does she use a stick?"}]));
        assert_eq!(at(Detail::Summary).get("note"), None);
        assert_eq!(at(Detail::Summary)["reasonCode"], message["reasonCode"]);
        assert_eq!(
            at(Detail::Codes),
            json!({"resourceType": "Communication", "status": "completed",
                   "reasonCode": [{"coding": [{"system": "s", "code": "information-requested"}]}]})
        );
    }

    #[test]
    fn each_level_says_less() {
        let task = json!({"status": "rejected", "note": [{"text": "moved away"}], "executionPeriod": {"start": "2026-01-01"},
            "statusReason": {"coding": [{"system": "s", "code": "FC", "display": "full"}], "text": "no room before May"},
            "businessStatus": {"coding": [{"system": TRANSPORT_SYSTEM, "code": "overdue"}, {"system": "s", "code": "4.0"}]},
            "output": [{"type": {"text": "letter"}, "valueString": "Dear colleague"}]});
        let at = |detail| {
            let mut reduced = task.clone();
            reduce(&mut reduced, detail);
            reduced
        };
        assert_eq!(at(Detail::Full), task);
        assert_eq!(at(Detail::Summary)["statusReason"]["text"], "no room before May");
        assert_eq!(at(Detail::Summary).get("note"), None);
        assert_eq!(at(Detail::Codes)["statusReason"], json!({"coding": [{"system": "s", "code": "FC"}]}));
        assert_eq!(at(Detail::Codes).get("output"), None);
        assert_eq!(
            at(Detail::None),
            json!({"status": "rejected", "businessStatus": {"coding": [{"system": TRANSPORT_SYSTEM, "code": "overdue"}]}})
        );
    }
}
