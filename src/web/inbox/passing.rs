//! A referral that is made of another one: what of it goes on to the next service, as a request of its own that is based on it (R4
//! ServiceRequest.basedOn: it fulfils a part of what was asked for, and ends nothing). Pure.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::line;
use crate::{
    config::registry::Provider,
    domain::{ProviderId, Timestamp, clock::instant},
    fhir::{ods_code::ORGANISATION_SYSTEM, tree},
};

/// System of the identifiers of such requests.
pub(super) const IDENTIFIERS: &str = "https://onward.example/fhir/onward-referral";
/// What the output of a Task is called that names one.
pub(in crate::web) const OUTPUT: &str = "Onward referral";

/// Elements of a Patient by which she is known and spoken to; they always go on.
const PERSON: [&str; 7] =
    ["identifier", "name", "gender", "birthDate", "deceasedBoolean", "deceasedDateTime", "communication"];
/// Those by which she is reached.
const REACH: [&str; 2] = ["telecom", "address"];
/// Extensions that go on: what somebody must heed who speaks to her.
const HEEDED: [&str; 3] = ["interpreterrequired", "nhscommunication", "contactpreference"];
/// Elements of a Flag that go on.
const RISK: [&str; 4] = ["status", "category", "code", "period"];

/// The service that is to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub id: String,
    pub name: String,
    /// Of what kind it is, as the directory says.
    pub kind: Option<Value>,
    /// Whose it is: id, ODS code and name.
    pub provider: ProviderId,
    pub ods_code: String,
    pub organisation: String,
    /// It says that it takes nobody at present.
    pub is_full: bool,
    /// Its address, how far it is, and whether it has room, for people.
    pub about: String,
}

/// What is passed on.
pub(super) struct Passed<'a> {
    pub base_url: &'a str,
    /// The referral that it is based on, as it lies here.
    pub request: &'a Value,
    pub person: &'a Value,
    /// Risks that go on.
    pub risks: &'a [&'a Value],
    /// Who refers on, and for whom.
    pub who: &'a str,
    pub provider: &'a Provider,
    pub service: &'a Service,
    pub why: &'a str,
    /// What matters to the person; may be empty.
    pub matters: &'a str,
    pub urgent: bool,
    /// Whether telephone and address go on.
    pub reach: bool,
    /// By which the form is known that is sent twice; it bears the time that the request says.
    pub once: Uuid,
}

/// An id for a form that bears this moment.
pub(super) fn once_at(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// The moment that an id bears; none where it bears none, or one that is not about now.
pub(super) fn moment_of(once: Uuid, now: Timestamp) -> Option<Timestamp> {
    let (seconds, nanos) = once.get_timestamp()?.to_unix();
    let at = Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()?;
    let away = now.duration_since(at).abs();
    (away <= jiff::SignedDuration::from_hours(24)).then_some(at)
}

impl Passed<'_> {
    /// The request with all that goes with it, as it would be sent over the API. The same form makes the same, byte for byte.
    pub(super) fn bundle(&self, at: Timestamp) -> Value {
        let person_url = self.url(1);
        let consent_url = self.url(2);
        let mut info = vec![json!({"reference": consent_url})];
        let mut entries = vec![entry(&person_url, self.person()), entry(&consent_url, self.consent(&person_url, at))];
        for (n, risk) in (3_u8..).zip(self.risks) {
            let url = self.url(n);
            info.push(json!({"reference": url}));
            entries.push(entry(&url, copied_risk(risk, &person_url)));
        }
        entries.insert(0, entry(&self.url(0), self.request(&person_url, info, at)));
        json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    }

    /// Where the parts of one form stand in its Bundle.
    fn url(&self, part: u8) -> String {
        let number = self.once.as_u128() ^ (u128::from(part) + 1);
        format!("urn:uuid:{}", Uuid::from_u128(number))
    }

    fn own(&self) -> Value {
        let identifier = json!({"system": ORGANISATION_SYSTEM, "value": self.provider.ods_code});
        json!({"type": "Organization", "identifier": identifier, "display": self.provider.name})
    }

    fn request(&self, person: &str, info: Vec<Value>, at: Timestamp) -> Value {
        let placer = json!([{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]);
        let original = tree::text(self.request, "id").unwrap_or_default();
        let code = self.service.kind.clone().unwrap_or_else(|| json!({"text": self.service.name}));
        let theirs = json!({"system": ORGANISATION_SYSTEM, "value": self.service.ods_code});
        let mut request = json!({
            "resourceType": "ServiceRequest",
            "identifier": [{"type": {"coding": placer}, "system": IDENTIFIERS, "value": self.once.to_string()}],
            "basedOn": [{
                "reference": format!("{}/fhir/ServiceRequest/{original}", self.base_url),
                "type": "ServiceRequest",
                "display": format!("A referral that {} is working on", self.provider.name),
            }],
            "status": "active",
            "intent": "order",
            "priority": if self.urgent { "urgent" } else { "routine" },
            "code": code,
            "subject": {"reference": person, "display": line::name_of(self.person)},
            "authoredOn": instant(at),
            "requester": self.own(),
            "performer": [
                {
                    "reference": format!("{}/fhir/HealthcareService/{}", self.base_url, self.service.id),
                    "type": "HealthcareService",
                    "display": self.service.name,
                },
                {"type": "Organization", "identifier": theirs, "display": self.service.organisation},
            ],
            "reasonCode": [{"text": self.why}],
            "supportingInfo": info,
            "note": [{"authorString": self.who, "time": instant(at), "text": format!("Referred on by {}", self.who)}],
        });
        if let Some(object) = request.as_object_mut() {
            // by it the trust's routes know of what kind a referral is
            if let Some(category) = self.request.get("category") {
                object.insert("category".into(), category.clone());
            }
            if !self.matters.is_empty() {
                let note = json!({"authorString": self.who, "time": instant(at), "text": format!("What matters to the person: {}", self.matters)});
                if let Some(notes) = object.get_mut("note").and_then(Value::as_array_mut) {
                    notes.push(note);
                }
            }
        }
        request
    }

    fn person(&self) -> Value {
        let mut kept = Map::new();
        kept.insert("resourceType".into(), "Patient".into());
        let reach = if self.reach { &REACH[..] } else { &[] };
        for name in PERSON.iter().chain(reach) {
            if let Some(value) = self.person.get(*name) {
                kept.insert((*name).to_owned(), value.clone());
            }
        }
        // who gave a number out is named in the first record alone
        for identifier in kept.get_mut("identifier").and_then(Value::as_array_mut).into_iter().flatten() {
            identifier.as_object_mut().map(|object| object.shift_remove("assigner"));
        }
        let heeded = |extension: &&Value| {
            let url = tree::text(extension, "url").unwrap_or_default().to_lowercase();
            HEEDED.iter().any(|name| url.contains(name))
        };
        let extensions: Vec<Value> = tree::items(self.person, "extension").iter().filter(heeded).cloned().collect();
        if !extensions.is_empty() {
            kept.insert("extension".into(), extensions.into());
        }
        Value::Object(kept)
    }

    fn consent(&self, person: &str, at: Timestamp) -> Value {
        json!({
            "resourceType": "Consent",
            "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": {"reference": person},
            "dateTime": instant(at),
            "organization": [self.own()],
            "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
            "provision": {"type": "permit"},
        })
    }
}

fn copied_risk(risk: &Value, person: &str) -> Value {
    let mut kept = Map::new();
    kept.insert("resourceType".into(), "Flag".into());
    for name in RISK {
        if let Some(value) = risk.get(name) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    kept.insert("subject".into(), json!({"reference": person}));
    Value::Object(kept)
}

fn entry(url: &str, resource: Value) -> Value {
    let kind = tree::resource_type(&resource).unwrap_or_default().to_owned();
    json!({"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": kind}})
}

/// A Task with a request that it led to among its outputs; as it is, where that is there already.
pub(super) fn noted(task: &Value, request: Uuid, base_url: &str, service: &str) -> Value {
    let mut task = task.clone();
    let reference = format!("{base_url}/fhir/ServiceRequest/{request}");
    if led_to(&task).iter().any(|(id, _)| *id == request) {
        return task;
    }
    let output = json!({
        "type": {"text": OUTPUT},
        "valueReference": {"reference": reference, "type": "ServiceRequest", "display": service},
    });
    match task.get_mut("output").and_then(Value::as_array_mut) {
        Some(outputs) => outputs.push(output),
        None => {
            if let Some(object) = task.as_object_mut() {
                object.insert("output".into(), json!([output]));
            }
        }
    }
    task
}

/// The requests that a Task led to, with what each service is called.
pub(super) fn led_to(task: &Value) -> Vec<(Uuid, String)> {
    let one = |output: &Value| {
        let of = output.get("valueReference").filter(|_| tree::text(output, "type.text") == Some(OUTPUT))?;
        let id = tree::text(of, "reference")?.rsplit_once("/ServiceRequest/")?.1.parse().ok()?;
        Some((id, tree::text(of, "display").unwrap_or_default().to_owned()))
    };
    tree::items(task, "output").iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Keys;

    fn provider() -> Provider {
        Provider {
            id: "link-workers".parse().unwrap(),
            name: "Link workers".into(),
            ods_code: "U99999".into(),
            tokens: vec![],
            certificate_names: vec![],
            keys: Keys::default(),
            hooks: vec![],
        }
    }

    fn made(reach: bool, risks: &[&Value]) -> Value {
        let person = json!({
            "resourceType": "Patient", "id": "here", "name": [{"family": "Rimmer"}], "birthDate": "1984-11-02",
            "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990742677", "assigner": {"reference": "Organization/x"}}],
            "telecom": [{"system": "phone", "value": "07700 900133"}], "contact": [{"name": {"family": "SECRET"}}],
            "generalPractitioner": [{"reference": "Organization/SECRET"}],
            "extension": [{"url": "https://x/Extension-UKCore-EthnicCategory", "valueString": "SECRET"},
                          {"url": "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired", "valueBoolean": true}],
        });
        let request = json!({"id": "0198c0de-0000-7000-8000-000000000001", "category": [{"text": "social"}],
                             "reasonCode": [{"text": "SECRET"}], "note": [{"text": "SECRET"}]});
        let service = Service {
            id: "choir".into(),
            name: "Choir".into(),
            kind: None,
            provider: "mind".parse().unwrap(),
            ods_code: "ZH999".into(),
            organisation: "Mind".into(),
            is_full: false,
            about: String::new(),
        };
        let passed = Passed {
            base_url: "https://onward.example",
            request: &request,
            person: &person,
            risks,
            who: "Luke",
            provider: &provider(),
            service: &service,
            why: "Wants to sing",
            matters: "",
            urgent: false,
            reach,
            once: "0198c0de-0000-7000-8000-0000000000aa".parse().unwrap(),
        };
        passed.bundle("2026-03-03T14:05:00Z".parse().unwrap())
    }

    #[test]
    fn only_what_is_passed_on_goes_on() {
        let flag = json!({"resourceType": "Flag", "status": "active", "code": {"text": "Dog"}, "author": {"display": "SECRET"}});
        let bundle = made(false, &[]);
        let text = bundle.to_string();
        assert!(!text.contains("SECRET") && !text.contains("07700") && !text.contains("assigner"), "{text}");
        assert!(text.contains("interpreterRequired") && text.contains("9990742677"), "{text}");
        assert!(made(true, &[]).to_string().contains("07700 900133"));
        let with_risk = made(true, &[&flag]);
        assert!(with_risk.to_string().contains("Dog") && !with_risk.to_string().contains("SECRET"), "{with_risk}");
        assert_eq!(with_risk["entry"][3]["resource"]["subject"]["reference"], with_risk["entry"][1]["fullUrl"]);
    }

    #[test]
    fn it_is_based_on_the_first_and_the_same_form_makes_the_same() {
        let bundle = made(true, &[]);
        assert_eq!(bundle, made(true, &[]));
        let request = &bundle["entry"][0]["resource"];
        let based = "https://onward.example/fhir/ServiceRequest/0198c0de-0000-7000-8000-000000000001";
        assert_eq!(request["basedOn"][0]["reference"], based);
        assert_eq!(request["identifier"][0]["value"], "0198c0de-0000-7000-8000-0000000000aa");
        assert_eq!(
            (&request["priority"], &request["reasonCode"][0]["text"]),
            (&json!("routine"), &json!("Wants to sing"))
        );
        assert_eq!(request["performer"][1]["identifier"]["value"], "ZH999");
    }

    #[test]
    fn a_task_names_what_it_led_to_once() {
        let id = Uuid::from_u128(9);
        let task = noted(&json!({"status": "accepted"}), id, "https://onward.example", "Choir");
        assert_eq!(led_to(&task), [(id, "Choir".to_owned())]);
        assert_eq!(noted(&task, id, "https://onward.example", "Choir"), task);
        assert_eq!(led_to(&json!({"output": [{"type": {"text": "Outcome"}, "valueString": "x"}]})), []);
    }

    #[test]
    fn a_form_bears_the_time_of_its_page() {
        let now: Timestamp = "2026-03-03T14:05:00.123Z".parse().unwrap();
        let once = once_at(now);
        assert_eq!(moment_of(once, now), Some(now));
        assert_eq!(moment_of(Uuid::from_u128(7), now), None);
        let later = now.saturating_add(jiff::SignedDuration::from_hours(30)).unwrap();
        assert_eq!(moment_of(once, later), None, "a page of the day before");
    }
}
