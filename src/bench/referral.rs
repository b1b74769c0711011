//! The referral of a measurement: a transaction of 8 KB, each with its own identifiers, made from one text at the cost of a copy.

use uuid::Uuid;

use crate::fhir::NhsNumber;

/// The size of every referral.
pub const BYTES: usize = 8 * 1024;
/// The identifier system of the measurement's placer identifiers.
pub const IDENTIFIERS: &str = "https://bench.example/Id/referral";
/// The code system by which referrals are routed.
pub const SERVICES: &str = "https://bench.example/CodeSystem/service";

/// How far a referral goes, as its identifier says; so nobody has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// So many answers its provider gives: accepted, in-progress, completed.
    pub answers: u8,
    /// Its number within the run.
    pub number: u32,
}

/// Makes referrals.
#[derive(Debug, Clone)]
pub struct Maker {
    /// Between these stand the values that differ.
    parts: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Base,
    Identifier,
    Number,
    NhsNumber,
    Service,
    Padding,
}

// === impl Fate ===

impl Fate {
    /// The placer identifier's value: run, answers, number.
    pub fn identifier(self, run: &str) -> String {
        format!("{run}-{}-{:08}", self.answers, self.number)
    }

    /// What a placer identifier says.
    pub fn of(identifier: &str) -> Option<Self> {
        let (rest, number) = identifier.rsplit_once('-')?;
        let (_, answers) = rest.rsplit_once('-')?;
        Some(Self { answers: answers.parse().ok()?, number: number.parse().ok()? })
    }
}

/// A name for one run, so that a store that holds an earlier one takes its referrals as new.
pub fn run_name() -> String {
    let id = Uuid::now_v7().simple().to_string();
    format!("b{}", id.get(2..12).unwrap_or_default())
}

/// An NHS number whose check digit is right, from the range that is given to nobody (999…); the same for the same referral.
pub fn nhs_number(number: u32) -> String {
    let first = number.wrapping_mul(10) % 1_000_000;
    let made = (0..10).find_map(|step| {
        let nine = 999_000_000 + (first + step) % 1_000_000;
        (0..10).map(|check| format!("{nine}{check}")).find(|text| text.parse::<NhsNumber>().is_ok())
    });
    made.unwrap_or_default()
}

// === impl Maker ===

impl Maker {
    /// One whose referrals have [`BYTES`] bytes.
    pub fn new() -> Self {
        let mut parts = Vec::new();
        let mut rest = TEMPLATE;
        while let Some((before, after)) = rest.split_once('{').filter(|_| rest.contains("{=")) {
            // the template's own braces are told from marks by what follows
            match after.strip_prefix('=').and_then(|mark| mark.split_once('}')) {
                Some((mark, after)) => {
                    push(&mut parts, before);
                    parts.push(match mark {
                        "base" => Piece::Base,
                        "identifier" => Piece::Identifier,
                        "number" => Piece::Number,
                        "nhs" => Piece::NhsNumber,
                        "service" => Piece::Service,
                        _ => Piece::Padding,
                    });
                    rest = after;
                }
                None => {
                    push(&mut parts, before);
                    push(&mut parts, "{");
                    rest = after;
                }
            }
        }
        push(&mut parts, rest);
        Self { parts }
    }

    /// The body of one referral, from the record whose FHIR base is `base`, for the service called `service`.
    pub fn make(&self, run: &str, fate: Fate, base: &str, service: &str) -> String {
        let identifier = fate.identifier(run);
        let number = fate.number.to_string();
        let nhs = nhs_number(fate.number);
        let mut body = String::with_capacity(BYTES + 64);
        let mut padding_at = None;
        for part in &self.parts {
            match part {
                Piece::Text(text) => body.push_str(text),
                Piece::Base => body.push_str(base),
                Piece::Identifier => body.push_str(&identifier),
                Piece::Number => body.push_str(&number),
                Piece::NhsNumber => body.push_str(&nhs),
                Piece::Service => body.push_str(service),
                Piece::Padding => padding_at = Some(body.len()),
            }
        }
        if let Some(at) = padding_at {
            let words = padding(BYTES.saturating_sub(body.len()), fate.number);
            body.insert_str(at, &words);
        }
        body
    }
}

impl Default for Maker {
    fn default() -> Self {
        Self::new()
    }
}

fn push(parts: &mut Vec<Piece>, text: &str) {
    match parts.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ => parts.push(Piece::Text(text.to_owned())),
    }
}

const WORDS: &[&str] = &[
    "walks", "sleeps", "little", "since", "the", "winter", "and", "would", "like", "to", "meet", "people", "again",
    "who", "share", "an", "interest", "in", "gardens", "music", "wood", "or", "cooking", "on", "most", "mornings",
    "with", "support",
];

/// Words, different for each referral: a store that compresses shall have something to do, and not too little.
fn padding(bytes: usize, number: u32) -> String {
    let mut dice = fastrand::Rng::with_seed(u64::from(number) + 1);
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push_str(dice.choice(WORDS).copied().unwrap_or_default());
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

const TEMPLATE: &str = include_str!("referral.json");

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_referral_is_valid_has_its_size_and_its_own_identifiers() {
        let maker = Maker::new();
        for number in [0, 1, 77, 123_456] {
            let fate = Fate { answers: 3, number };
            let body = maker.make("b123", fate, "http://127.0.0.1:2/fhir", "s5");
            assert_eq!(body.len(), BYTES);
            let json: Value = serde_json::from_str(&body).unwrap();
            let asked = crate::profiles::Asked::at(jiff::Timestamp::now());
            let mut found = crate::profiles::Validator::default().check(&json, "", &asked);
            found.retain(|f| f.issue.severity <= crate::fhir::Severity::Error);
            assert!(found.is_empty(), "{:?}", found.iter().map(|f| &f.issue).collect::<Vec<_>>());
            let identifier = json["entry"][0]["resource"]["identifier"][0]["value"].as_str().unwrap();
            assert_eq!(Fate::of(identifier), Some(fate));
            assert_eq!(json["entry"][0]["fullUrl"], format!("http://127.0.0.1:2/fhir/ServiceRequest/sr-{number}"));
            assert_eq!(json["entry"][0]["resource"]["code"]["coding"][0]["code"], "s5");
            let nhs = json["entry"][1]["resource"]["identifier"][0]["value"].as_str().unwrap();
            assert!(nhs.parse::<NhsNumber>().is_ok());
        }
    }
}
