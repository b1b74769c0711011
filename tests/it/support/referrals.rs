//! The fixture referrals, and more of their kind: each with fresh placer identifiers and NHS numbers.

use std::{collections::BTreeSet, path::Path};

use onward::fhir::NhsNumber;
use serde_json::Value;

/// One request body.
#[derive(Debug, Clone)]
pub struct Referral {
    /// The fixture it is made from.
    pub file: String,
    /// The system that sends it.
    pub system: String,
    /// What is sent.
    pub body: String,
    /// Placer identifier (`system|value`) and inbox of each referral in it.
    pub parts: Vec<(String, String)>,
}

impl Referral {
    /// Its media type.
    pub fn content_type(&self) -> &'static str {
        if self.body.trim_start().starts_with('<') { "application/fhir+xml" } else { "application/fhir+json" }
    }

    /// Where it is posted, below the FHIR base.
    pub fn path(&self) -> &'static str {
        let start: String = self.body.chars().take(300).collect();
        if start.contains("<Bundle") || start.contains("\"Bundle\"") { "" } else { "/ServiceRequest" }
    }

    /// Its body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Every fixture, as it is.
pub fn fixtures() -> Vec<Referral> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&read("expected-routes.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    expected
        .iter()
        .map(|said| {
            let file = text(&said["file"]);
            let body = read(&format!("referrals/{file}"));
            let parts = said["referrals"].as_array().unwrap().iter();
            let parts = parts.map(|r| (text(&r["identifier"]), text(&r["inbox"]))).collect();
            Referral { file, system: text(&said["system"]), body, parts }
        })
        .collect()
}

/// The fixture whose name begins so, with fresh identifiers.
pub fn one(file: &str, suffix: &str) -> Referral {
    let fixtures = fixtures();
    let found = fixtures.iter().find(|f| f.file.starts_with(file)).unwrap();
    Spinner::new(&fixtures).spin(found, suffix)
}

/// `count` referrals: the fixtures again and again, each time with fresh identifiers.
pub fn deck(count: usize) -> Vec<Referral> {
    let fixtures = fixtures();
    let mut spinner = Spinner::new(&fixtures);
    let mut dealt = Vec::new();
    let mut left = count;
    for round in 0.. {
        for fixture in &fixtures {
            if fixture.parts.len() <= left {
                left -= fixture.parts.len();
                dealt.push(spinner.spin(fixture, &format!("r{round}")));
            }
            if left == 0 {
                return dealt;
            }
        }
    }
    dealt
}

/// Single ServiceRequests of `merseycare-rio`, without end.
pub fn singles(tag: &str) -> impl Iterator<Item = Referral> + use<> {
    let fixtures = fixtures();
    let mut spinner = Spinner::new(&fixtures);
    let tag = tag.to_owned();
    (0..).map(move |n| spinner.spin(&fixtures[0], &format!("{tag}{n}")))
}

/// Every fixture in turn, without end: several systems and inboxes, one referral and several, JSON and XML.
pub fn mixed(tag: &str) -> impl Iterator<Item = Referral> + use<> {
    let fixtures = fixtures();
    let mut spinner = Spinner::new(&fixtures);
    let tag = tag.to_owned();
    (0..).map(move |n| spinner.spin(&fixtures[n % fixtures.len()], &format!("{tag}{n}")))
}

struct Spinner {
    taken: BTreeSet<String>,
    serial: u64,
}

impl Spinner {
    fn new(fixtures: &[Referral]) -> Self {
        Self { taken: fixtures.iter().flat_map(|f| nhs_numbers(&f.body)).collect(), serial: 0 }
    }

    fn spin(&mut self, fixture: &Referral, suffix: &str) -> Referral {
        let mut spun = fixture.clone();
        for old in nhs_numbers(&fixture.body) {
            spun.body = spun.body.replace(&old, &self.fresh());
        }
        for (identifier, _) in &mut spun.parts {
            let (system, value) = identifier.split_once('|').unwrap();
            let new = format!("{value}-{suffix}");
            assert!(spun.body.contains(&format!("\"{value}\"")), "{}: {value}", fixture.file);
            spun.body = spun.body.replace(&format!("\"{value}\""), &format!("\"{new}\""));
            *identifier = format!("{system}|{new}");
        }
        spun
    }

    fn fresh(&mut self) -> String {
        loop {
            self.serial += 1;
            let first = format!("999{:06}", self.serial * 271_829 % 1_000_000);
            let sum: u32 = first.bytes().zip((2..=10).rev()).map(|(d, weight)| u32::from(d - b'0') * weight).sum();
            let number = format!("{first}{}", (11 - sum % 11) % 11);
            if number.len() == 10 && self.taken.insert(number.clone()) {
                return number;
            }
        }
    }
}

/// The NHS numbers of the test range that stand in a text.
pub fn nhs_numbers(text: &str) -> BTreeSet<String> {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter(|run| run.starts_with("999") && run.parse::<NhsNumber>().is_ok()).map(str::to_owned).collect()
}
