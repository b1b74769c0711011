//! The checks that every referral must pass before anything is made of it: shapes, required elements and codes, dates and
//! NHS numbers of what a referral rests on. They accept nothing that R4 forbids in these places, and say all faults at once;
//! what they do not know they let pass.

mod table;

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use crate::fhir::{
    datetime,
    nhs_number::{self, NhsNumber},
    outcome::{Issue, IssueCode},
    path::{self, Place},
    reference::{is_id, is_resource_type},
};
use table::{DateType, Element, Shape};

/// How far ahead of us a sender's `authoredOn` may be: its clock, or a date without a time zone.
const AUTHORED_AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// In summer a day begins in England an hour before it does in UTC.
const BORN_AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// One fault, and what kind of answer it calls for.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is wrong.
    pub issue: Issue,
    /// Whether it is a rule about the content that is broken (422), and not R4 itself (400).
    pub rule: bool,
}

/// All faults of a resource and of those that stand in it. `path` is the expression of the resource itself (`Task`,
/// `Bundle.entry[0].resource`); where it is empty, the resource type is taken. `today` is the present moment.
pub fn check(resource: &Value, path: &str, today: Timestamp) -> Vec<Finding> {
    let mut checker = Checker { today, findings: Vec::new() };
    let kind = resource.get("resourceType").and_then(Value::as_str).and_then(path::element_name);
    let root = if path.is_empty() { kind.unwrap_or(path::UNKNOWN_ROOT) } else { path };
    checker.resource(resource, Place::Root(root));
    checker.findings
}

struct Checker {
    today: Timestamp,
    findings: Vec<Finding>,
}

// === impl Checker: resources ===

impl Checker {
    fn fault(&mut self, code: IssueCode, place: Place<'_>, said: impl Into<String>) {
        self.findings.push(Finding { issue: Issue::error(code, place.to_string(), said), rule: false });
    }

    fn broken_rule(&mut self, code: IssueCode, place: Place<'_>, said: impl Into<String>) {
        self.findings.push(Finding { issue: Issue::error(code, place.to_string(), said), rule: true });
    }

    fn resource(&mut self, resource: &Value, place: Place<'_>) {
        let Some(object) = resource.as_object() else {
            return self.fault(IssueCode::Structure, place, "a resource is an object");
        };
        let kind = match object.get("resourceType") {
            None => return self.fault(IssueCode::Required, place, "“resourceType” is missing"),
            Some(Value::String(kind)) if is_resource_type(kind) => kind.as_str(),
            Some(_) => return self.fault(IssueCode::Structure, place, "“resourceType” is not a resource type of R4"),
        };
        for element in table::OF_ALL.iter().chain(table::elements(kind)) {
            self.element(object, place, *element);
        }
        if object.get("id").and_then(Value::as_str).is_some_and(|id| !id.is_empty() && !is_id(id)) {
            self.fault(IssueCode::Value, place.child("id"), "an id is 1 to 64 of A-Z, a-z, 0-9, “-” and “.”");
        }
        self.particular(kind, object, place);
        self.object(object, place, kind);
    }

    /// What the table cannot say.
    fn particular(&mut self, kind: &str, object: &Map<String, Value>, place: Place<'_>) {
        let list = |name: &str| object.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter();
        match kind {
            "ServiceRequest" => {
                let nobody = |subject: &Map<String, Value>| {
                    !subject.is_empty() && !subject.contains_key("reference") && !subject.contains_key("identifier")
                };
                if object.get("subject").and_then(Value::as_object).is_some_and(nobody) {
                    let said = "the subject needs a reference or an identifier";
                    // R4 lets a subject be only described, but nobody could be helped by that
                    self.broken_rule(IssueCode::Required, place.child("subject"), said);
                }
            }
            "DocumentReference" => {
                for (index, content) in list("content").enumerate().filter_map(with_object) {
                    self.element(content, place.child("content").item(index), ("attachment", Shape::Object, true));
                }
            }
            "Provenance" => {
                for (index, agent) in list("agent").enumerate().filter_map(with_object) {
                    self.element(agent, place.child("agent").item(index), ("who", Shape::Object, true));
                }
            }
            "Bundle" => {
                let is_work = object.get("type").is_some_and(|kind| kind == "transaction" || kind == "batch");
                let mut urls = HashSet::new();
                for (index, entry) in list("entry").enumerate().filter_map(with_object) {
                    let entries = place.child("entry");
                    let at = entries.item(index);
                    self.element(entry, at, ("request", Shape::Object, is_work));
                    let version = entry.get("resource").and_then(|resource| resource.pointer("/meta/versionId"));
                    if let Some(url) = entry.get("fullUrl").and_then(Value::as_str)
                        && !urls.insert((url, version.and_then(Value::as_str)))
                    {
                        let said = "another entry has the same fullUrl";
                        self.fault(IssueCode::Invariant, at.child("fullUrl"), said);
                    }
                    if let Some(request) = entry.get("request").and_then(Value::as_object) {
                        let request_at = at.child("request");
                        self.element(request, request_at, ("method", Shape::Code(table::HTTP_VERB), true));
                        self.element(request, request_at, ("url", Shape::Text, true));
                    }
                }
            }
            _ => {}
        }
    }

    fn element(&mut self, object: &Map<String, Value>, place: Place<'_>, (name, shape, required): Element) {
        let place = place.child(name);
        let Some(value) = object.get(name) else {
            if required && !object.contains_key(&format!("_{name}")) {
                self.fault(IssueCode::Required, place, format!("“{name}” is missing"));
            }
            return;
        };
        match (shape, value) {
            // said by the walk, once
            (_, Value::Null) => {}
            (Shape::Code(codes), Value::String(code)) => {
                if !code.is_empty() && !codes.contains(&code.as_str()) {
                    self.fault(IssueCode::CodeInvalid, place, format!("this is not one of {}", codes.join(", ")));
                }
            }
            (Shape::Text, Value::String(_)) | (Shape::Object, Value::Object(_)) => {}
            (Shape::List, Value::Array(items)) => {
                for (index, item) in items.iter().enumerate().filter(|(_, item)| !item.is_object() && !item.is_null()) {
                    let said = format!("an item of “{name}” is an object, not {}", called(item));
                    self.fault(IssueCode::Structure, place.item(index), said);
                }
            }
            (shape, value) => {
                let due = match shape {
                    Shape::Code(_) | Shape::Text => "a text",
                    Shape::Object => "an object",
                    Shape::List => "a list",
                };
                self.fault(IssueCode::Structure, place, format!("“{name}” is {due}, not {}", called(value)));
            }
        }
    }
}

// === impl Checker: the walk over everything ===

impl Checker {
    fn object(&mut self, object: &Map<String, Value>, place: Place<'_>, kind: &str) {
        if object.is_empty() {
            self.fault(IssueCode::Structure, place, "an object is never empty");
        }
        self.identifier(object, place);
        for (key, value) in object {
            let at = place.child(key);
            if path::element_name(key).is_none() {
                self.fault(IssueCode::Structure, place, "a key that no FHIR element has");
            }
            self.date(kind, key, value, at);
            match value {
                Value::Array(items) => self.list(object, key, items, at, kind),
                Value::String(_) | Value::Number(_) | Value::Bool(_) if key.starts_with('_') => {
                    let said = format!("what is said about a value is an object, not {}", called(value));
                    self.fault(IssueCode::Structure, at, said);
                }
                other => self.value(other, key, at, kind),
            }
        }
    }

    fn list(&mut self, object: &Map<String, Value>, key: &str, items: &[Value], place: Place<'_>, kind: &str) {
        if items.is_empty() {
            self.fault(IssueCode::Structure, place, "a list is never empty");
        }
        for (index, item) in items.iter().enumerate() {
            let at = place.item(index);
            match item {
                Value::Null if has_partner(object, key, index) => {}
                Value::Array(_) => self.fault(IssueCode::Structure, at, "a list does not stand in a list"),
                Value::Object(extension) if matches!(key, "extension" | "modifierExtension") => {
                    self.element(extension, at, ("url", Shape::Text, true));
                    self.object(extension, at, kind);
                }
                other => self.value(other, key, at, kind),
            }
        }
    }

    fn value(&mut self, value: &Value, key: &str, place: Place<'_>, kind: &str) {
        match value {
            Value::Null => self.fault(
                IssueCode::Structure,
                place,
                "null stands only in lists of simple values, beside an extension",
            ),
            Value::String(text) if text.is_empty() => self.fault(IssueCode::Value, place, "a text is never empty"),
            Value::Object(_) if holds_resource(key, value) => self.resource(value, place),
            Value::Object(object) => self.object(object, place, kind),
            _ => {}
        }
    }

    fn date(&mut self, kind: &str, key: &str, value: &Value, place: Place<'_>) {
        let Some((date_type, always)) = table::date_type(kind, key) else { return };
        let Some(text) = value.as_str() else {
            if always && !value.is_null() {
                self.fault(IssueCode::Structure, place, format!("“{key}” is a text, not {}", called(value)));
            }
            return;
        };
        let (fits, due) = match date_type {
            DateType::Date => (datetime::is_date(text), "a date like 2026-03-01"),
            DateType::DateTime => (datetime::is_date_time(text), "a date, or a time like 2026-03-01T09:30:00+00:00"),
            DateType::Instant => (datetime::is_instant(text), "a time like 2026-03-01T09:30:00+00:00"),
        };
        if text.is_empty() {
            return;
        }
        if !fits {
            return self.fault(IssueCode::Value, place, format!("“{key}” is not {due} that exists"));
        }
        let latest = match key {
            "birthDate" => day(self.ahead(BORN_AHEAD)),
            "authoredOn" => Some(self.ahead(AUTHORED_AHEAD)),
            _ => return,
        };
        if let (Some(at), Some(latest)) = (datetime::earliest(text), latest)
            && at > latest
        {
            self.broken_rule(IssueCode::BusinessRule, place, format!("“{key}” lies in the future"));
        }
    }

    fn ahead(&self, by: SignedDuration) -> Timestamp {
        self.today.checked_add(by).unwrap_or(Timestamp::MAX)
    }

    fn identifier(&mut self, object: &Map<String, Value>, place: Place<'_>) {
        let is_nhs_number = object.get("system").is_some_and(|system| system == nhs_number::SYSTEM);
        let value = object.get("value").and_then(Value::as_str).filter(|value| !value.is_empty());
        if let Some(Err(why)) = value.filter(|_| is_nhs_number).map(str::parse::<NhsNumber>) {
            self.broken_rule(IssueCode::Value, place.child("value"), why.to_string());
        }
    }
}

/// The first moment of the day of `at` in UTC.
fn day(at: Timestamp) -> Option<Timestamp> {
    at.to_zoned(TimeZone::UTC).start_of_day().ok().map(|start| start.timestamp())
}

/// Whether a gap in one of `given` and `_given` is filled by the other.
fn has_partner(object: &Map<String, Value>, key: &str, index: usize) -> bool {
    let partner = match key.strip_prefix('_') {
        Some(name) => object.get(name),
        None => object.get(&format!("_{key}")),
    };
    partner.and_then(|partner| partner.get(index)).is_some_and(|item| !item.is_null())
}

/// A contained resource or that of an entry; `resource` and `outcome` are names of other elements, too.
fn holds_resource(key: &str, value: &Value) -> bool {
    key == "contained" || (matches!(key, "resource" | "outcome") && value.get("resourceType").is_some())
}

fn with_object((index, item): (usize, &Value)) -> Option<(usize, &Map<String, Value>)> {
    item.as_object().map(|object| (index, object))
}

fn called(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
