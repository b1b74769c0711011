//! The ServiceRequest that Onward makes for one target of a referral that is split: an order of its own, based on the referrer's.
//!
//! R4 request pattern: `intent` filler-order, `basedOn` the original; SDOH Clinical Care 3.0.0 asks the same of a coordination
//! platform. What the referrer wrote travels beside it untouched.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::task::URI_SYSTEM;
use crate::domain::{TaskStatus, clock::instant};

/// What it has of its own, or what would say of it what is true of the original alone. All else is carried over.
const OWN: &[&str] = &[
    "resourceType",
    "id",
    "meta",
    "implicitRules",
    "text",
    "identifier",
    "instantiatesCanonical",
    "instantiatesUri",
    "basedOn",
    "replaces",
    "status",
    "intent",
    "authoredOn",
    "performer",
];

/// What a new one says.
pub struct Order<'a> {
    /// Its id.
    pub id: Uuid,
    /// The referrer's ServiceRequest as it is stored.
    pub request: &'a Value,
    /// Reference to the target's organisation.
    pub performer: Value,
    /// When it was made.
    pub at: Timestamp,
}

/// The order for one target.
pub fn make(order: &Order<'_>) -> Value {
    let own = json!({
        "identifier": [{
            "use": "official",
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "FILL"}]},
            "system": URI_SYSTEM,
            "value": format!("urn:uuid:{}", order.id),
        }],
        "authoredOn": instant(order.at),
        "performer": [order.performer],
    });
    put_together(&order.id.to_string(), &own, order.request)
}

/// The same order after the referrer has written its ServiceRequest anew.
pub fn renew(order: &Value, request: &Value) -> Value {
    let id = order.get("id").and_then(Value::as_str).unwrap_or_default();
    put_together(id, order, request)
}

/// The same order with another status.
pub fn with_status(order: &Value, status: &str) -> Value {
    let mut order = order.clone();
    if let Some(object) = order.as_object_mut() {
        object.insert("status".into(), status.into());
    }
    order
}

/// What the end of its Task makes of an order; none while that is open. What nobody will do is `revoked`.
pub const fn status_after(task: TaskStatus) -> Option<&'static str> {
    match task {
        TaskStatus::Completed => Some("completed"),
        TaskStatus::Rejected | TaskStatus::Failed | TaskStatus::Cancelled => Some("revoked"),
        TaskStatus::EnteredInError => Some("entered-in-error"),
        _ => None,
    }
}

fn put_together(id: &str, own: &Value, request: &Value) -> Value {
    let mut order = Map::new();
    let original = request.get("id").and_then(Value::as_str).unwrap_or_default();
    order.insert("resourceType".into(), "ServiceRequest".into());
    order.insert("id".into(), id.into());
    // how it is to be kept from whom is as true of this as of the original
    if let Some(security) = request.get("meta").and_then(|meta| meta.get("security")) {
        order.insert("meta".into(), json!({"security": security}));
    }
    let of_own = |name: &str| own.get(name).cloned().unwrap_or_default();
    order.insert("identifier".into(), of_own("identifier"));
    order.insert(
        "basedOn".into(),
        json!([{"reference": format!("ServiceRequest/{original}"), "type": "ServiceRequest"}]),
    );
    order.insert("status".into(), request.get("status").cloned().unwrap_or_else(|| "active".into()));
    order.insert("intent".into(), "filler-order".into());
    let carried = request.as_object().into_iter().flatten();
    for (name, value) in carried.filter(|(name, _)| !OWN.contains(&name.strip_prefix('_').unwrap_or(name))) {
        order.insert(name.clone(), value.clone());
    }
    order.insert("authoredOn".into(), of_own("authoredOn"));
    order.insert("performer".into(), of_own("performer"));
    Value::Object(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Value {
        json!({"resourceType": "ServiceRequest", "id": "r", "meta": {"profile": ["p"], "security": [{"code": "R"}]},
               "text": {"status": "generated"}, "identifier": [{"system": "epr", "value": "1"}],
               "basedOn": [{"reference": "CarePlan/1"}], "requisition": {"value": "q"}, "status": "active", "intent": "plan",
               "_intent": {"id": "x"}, "priority": "urgent", "code": {"text": "help"}, "quantityQuantity": {"value": 1.50},
               "subject": {"reference": "#p"}, "authoredOn": "2026-01-01", "requester": {"reference": "Practitioner/d"},
               "performer": [{"reference": "HealthcareService/7"}], "contained": [{"resourceType": "Patient", "id": "p"}],
               "extension": [{"url": "https://epr.example/x", "valueBoolean": true}]})
    }

    #[test]
    fn it_is_an_order_of_its_own_that_carries_what_was_asked() {
        let id = Uuid::from_u128(5);
        let performer = json!({"reference": "Organization/life-rooms"});
        let made = make(&Order { id, request: &request(), performer: performer.clone(), at: Timestamp::UNIX_EPOCH });
        assert_eq!(
            (&made["id"], &made["intent"], &made["status"]),
            (&json!(id), &"filler-order".into(), &"active".into())
        );
        assert_eq!(made["basedOn"][0]["reference"], "ServiceRequest/r");
        assert_eq!(made["performer"], json!([performer]));
        assert_eq!(made["identifier"][0]["value"], format!("urn:uuid:{id}"));
        assert_eq!(made["meta"], json!({"security": [{"code": "R"}]}));
        for carried in
            ["requisition", "priority", "code", "quantityQuantity", "subject", "requester", "contained", "extension"]
        {
            assert_eq!(made[carried], request()[carried], "{carried}");
        }
        assert_eq!((made.get("text"), made.get("_intent")), (None, None));

        let mut written_anew = request();
        written_anew["status"] = "revoked".into();
        written_anew["priority"] = "routine".into();
        let renewed = renew(&made, &written_anew);
        assert_eq!((&renewed["status"], &renewed["priority"]), (&"revoked".into(), &"routine".into()));
        for kept in ["id", "identifier", "authoredOn", "performer", "basedOn"] {
            assert_eq!(renewed[kept], made[kept], "{kept}");
        }
        assert_eq!(with_status(&made, "completed")["status"], "completed");
    }

    #[test]
    fn it_ends_with_its_task() {
        for status in TaskStatus::ALL {
            assert_eq!(status_after(*status).is_some(), status.is_terminal(), "{status}");
        }
    }
}
