//! What it costs to read and to validate: `cargo bench`. One core; a typical referral is a transaction Bundle of 8 KB that says it conforms
//! to our profile. The other sizes are the same with more of what a referral carries.

use divan::{Bencher, black_box, counter::BytesCount};
use jiff::Timestamp;
use onward::{
    bench::referral::{Fate, Maker},
    fhir::{Limits, Severity, gate, xml},
    profiles::{Asked, Validator, load, structure},
};
use serde_json::{Value, json};

/// So many times the entries of a typical referral beside its first.
const TIMES: [usize; 4] = [1, 4, 16, 64];
const PROFILE: &str = "https://onward.example/fhir/StructureDefinition/referral-bundle";

fn main() {
    divan::main();
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn validator() -> Validator {
    load::validator(&[]).unwrap_or_default()
}

/// A referral with so many times what it carries.
fn referral(times: usize) -> Value {
    let body = Maker::new().make("bench", Fate { answers: 1, number: 7 }, "https://record.example/fhir", "s1");
    let mut bundle: Value = serde_json::from_str(&body).unwrap_or_default();
    let carried: Vec<Value> = bundle["entry"].as_array().cloned().unwrap_or_default();
    for number in 1..times {
        for entry in &carried {
            let text = entry
                .to_string()
                .replace("-7\"", &format!("-7-{number}\""))
                .replace("/sr-7", &format!("/sr-7-{number}"));
            let mut entry: Value = serde_json::from_str(&text).unwrap_or_default();
            entry["fullUrl"] = json!(format!("{}x{number}", entry["fullUrl"].as_str().unwrap_or_default()));
            if let Some(id) = entry["resource"]["id"].as_str() {
                entry["resource"]["id"] = json!(format!("{id}x{number}"));
            }
            if let Some(entries) = bundle["entry"].as_array_mut() {
                entries.push(entry);
            }
        }
    }
    bundle["meta"] = json!({"profile": [PROFILE]});
    let wrong: Vec<_> = validator()
        .check(&bundle, "", &Asked::at(now()))
        .into_iter()
        .filter(|finding| finding.issue.severity <= Severity::Error)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    bundle
}

/// Parsed and fully validated: what intake does with a body.
#[divan::bench(args = TIMES)]
fn read_and_validate(bencher: Bencher<'_, '_>, times: usize) {
    let (validator, text) = (validator(), referral(times).to_string());
    bencher.counter(BytesCount::of_str(&text)).bench(|| {
        let value = gate::read(black_box(text.as_bytes()), &Limits::default()).unwrap_or_default();
        validator.check(&value, "", &Asked::at(now()))
    });
}

/// Parsed only.
#[divan::bench(args = TIMES)]
fn read(bencher: Bencher<'_, '_>, times: usize) {
    let text = referral(times).to_string();
    bencher.counter(BytesCount::of_str(&text)).bench(|| gate::read(black_box(text.as_bytes()), &Limits::default()));
}

/// Held against R4, its invariants included, without profiles and without what the NHS asks.
#[divan::bench(args = TIMES)]
fn of_r4(bencher: Bencher<'_, '_>, times: usize) {
    let value = referral(times);
    bencher.bench(|| structure::check(black_box(&value), "", now()));
}

/// Held against R4, profiles and what the NHS asks.
#[divan::bench(args = TIMES)]
fn whole(bencher: Bencher<'_, '_>, times: usize) {
    let (validator, value) = (validator(), referral(times));
    bencher.bench(|| validator.check(black_box(&value), "", &Asked::at(now())));
}

/// A ServiceRequest with its Patient in XML, parsed only.
#[divan::bench]
fn read_xml(bencher: Bencher<'_, '_>) {
    let text = include_str!("../../fixtures/referrals/07-welsh.xml");
    bencher.counter(BytesCount::of_str(text)).bench(|| xml::read(black_box(text.as_bytes()), &Limits::default()));
}

/// The validator itself, as it is made at the start.
#[divan::bench(sample_count = 20)]
fn made_at_the_start() -> Validator {
    validator()
}
