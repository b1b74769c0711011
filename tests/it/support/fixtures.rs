//! The referrals of `fixtures/`, and variations of one.

use std::path::PathBuf;

use bytes::Bytes;
use onward::fhir::{Limits, gate, xml};
use serde_json::{Value, json};

/// A referral of `fixtures/referrals`, with what must become of it.
pub struct Fixture {
    pub file: String,
    pub system: String,
    pub expected: Vec<Expected>,
    pub content_type: &'static str,
    pub bytes: Bytes,
    /// By its JSON form.
    pub body: Value,
}

/// Where one ServiceRequest of a fixture goes.
pub struct Expected {
    pub identifier: String,
    pub inbox: String,
    pub route: Option<String>,
}

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

pub fn bytes(name: &str) -> Bytes {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}")).into()
}

pub fn text(name: &str) -> String {
    String::from_utf8(bytes(name).to_vec()).unwrap()
}

pub fn json(name: &str) -> Value {
    gate::read(&bytes(name), &Limits::default()).unwrap_or_else(|_| serde_json::from_slice(&bytes(name)).unwrap())
}

pub fn content_type(file: &str) -> &'static str {
    if file.ends_with(".xml") { "application/fhir+xml" } else { "application/fhir+json" }
}

/// All of them.
pub async fn all() -> Vec<Fixture> {
    let expected = json("expected-routes.json");
    let mut fixtures = Vec::new();
    for line in expected.as_array().unwrap() {
        let file = line["file"].as_str().unwrap().to_owned();
        let bytes = bytes(&format!("referrals/{file}"));
        let content_type = content_type(&file);
        let body = if content_type.ends_with("xml") {
            xml::read(&bytes, &Limits::default()).unwrap().0
        } else {
            gate::read(&bytes, &Limits::default()).unwrap()
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let expected = line["referrals"].as_array().unwrap().iter().map(|r| Expected {
            identifier: text(&r["identifier"]).unwrap(),
            inbox: text(&r["inbox"]).unwrap(),
            route: text(&r["route"]),
        });
        let system = text(&line["system"]).unwrap();
        fixtures.push(Fixture { expected: expected.collect(), system, content_type, bytes, body, file });
    }
    assert!(fixtures.len() >= 12);
    fixtures
}

impl Fixture {
    pub fn path(&self) -> &'static str {
        if self.body["resourceType"] == "Bundle" { "/fhir" } else { "/fhir/ServiceRequest" }
    }
}

/// A practice's referral to the link workers (their worklist), known to the practice by this number.
pub fn to_link_workers(number: &str) -> Value {
    let mut referral = json("referrals/02-nhs-number-only.json");
    referral["identifier"][0]["value"] = number.into();
    referral
}

/// A referral from Mersey Care to the Life Rooms (pushed), known there by this number.
pub fn to_life_rooms(number: &str) -> Value {
    let mut referral = json("referrals/01-contained-patient.json");
    referral["identifier"][0]["value"] = number.into();
    referral
}

/// The same without anything that it could be known by.
pub fn without_identifier(mut referral: Value) -> Value {
    referral.as_object_mut().unwrap().remove("identifier");
    referral
}

/// One transaction of these.
pub fn bundle(entries: &[(&str, Value)]) -> Value {
    let entry = |(url, resource): &(&str, Value)| {
        let kind = resource["resourceType"].clone();
        json!({"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": kind}})
    };
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries.iter().map(entry).collect::<Vec<_>>()})
}
