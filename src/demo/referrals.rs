//! The fixture referrals as requests to be sent: as they are the first time, then with fresh placer identifiers and NHS
//! numbers, so that each is a referral of its own. Only these are changed, in the text itself; everything else stays
//! byte for byte.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fhir::{NhsNumber, ods_code::ORGANISATION_SYSTEM, tree};

/// The routes that the fixtures are made for.
pub(super) const ROUTES: &str = include_str!("../../fixtures/routes.toml");
const EXPECTED: &str = include_str!("../../fixtures/expected-routes.json");

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each fixture, in their order.
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../fixtures/referrals/", $name)))),*];
    };
}
files!(
    "01-contained-patient.json",
    "02-nhs-number-only.json",
    "03-full-bundle.json",
    "04-ward-urgent-safeguarding.json",
    "05-two-referrals.json",
    "06-interpreter-arabic.json",
    "07-welsh.xml",
    "08-consent-codes-only.json",
    "09-no-nhs-number.json",
    "10-named-service.json",
    "11-no-route.json",
    "12-lossless.json",
    "13-long-note-offset-time.json",
    "14-outward-code-lookalike.json",
    "15-ward-bundle.xml",
    "16-two-performers.json",
    "17-consent-nothing-back.json",
    "18-ward-code-from-gp.json",
    "19-second-coding.json",
    "20-untidy-postcode.json",
);

/// One referral within a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its placer identifier, `system|value`.
    pub identifier: String,
    /// The inbox it must come to.
    pub inbox: String,
}

/// A request to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referral {
    /// The fixture it is made from.
    pub file: &'static str,
    /// The system that sends it.
    pub system: String,
    /// Whether it is XML.
    pub is_xml: bool,
    /// Whether it goes to the base, as a transaction.
    pub is_bundle: bool,
    /// What it holds, in the order of its ServiceRequests.
    pub referrals: Vec<Expected>,
    /// The body.
    pub body: String,
}

/// Deals requests out until so many referrals are dealt.
#[derive(Debug, Clone)]
pub struct Deck {
    fixtures: Vec<Referral>,
    next: usize,
    cycle: u32,
    left: usize,
    numbers: Numbers,
    tag: String,
}

// === impl Deck ===

impl Deck {
    /// A deck of `count` referrals, or of each fixture once. With a tag every identifier is made fresh, from the first on: for
    /// a store that may hold an earlier run.
    pub fn new(count: Option<usize>, tag: Option<&str>) -> Self {
        let fixtures = fixtures();
        let all: usize = fixtures.iter().map(|f| f.referrals.len()).sum();
        let numbers = Numbers::beside(fixtures.iter().map(|f| f.body.as_str()));
        let cycle = u32::from(tag.is_some());
        Self { fixtures, next: 0, cycle, left: count.unwrap_or(all), numbers, tag: tag.unwrap_or_default().to_owned() }
    }

    /// How many referrals are still to be dealt.
    pub fn left(&self) -> usize {
        self.left
    }

    /// A fixture with identifiers that end in `suffix`, and a fresh NHS number.
    fn respun(&mut self, fixture: &Referral, suffix: &str) -> Referral {
        let mut spun = fixture.clone();
        for old in nhs_numbers(&fixture.body) {
            spun.body = spun.body.replace(&old, &self.numbers.fresh());
        }
        for referral in &mut spun.referrals {
            let (system, value) = referral.identifier.split_once('|').unwrap_or_default();
            let new = format!("{value}-{suffix}");
            spun.body = spun.body.replace(&format!("\"{value}\""), &format!("\"{new}\""));
            referral.identifier = format!("{system}|{new}");
        }
        spun
    }

    /// Some more that were not dealt, to whoever bears this ODS code and works by hand: each fixture of `BY_HAND` once.
    pub fn by_hand(&mut self, code: &str, inbox: &str) -> Vec<Referral> {
        let files = BY_HAND.iter().filter_map(|file| self.fixtures.iter().find(|fixture| fixture.file == *file));
        let fixtures: Vec<Referral> = files.cloned().collect();
        let tag = self.tag.clone();
        let spun = fixtures.iter().map(|fixture| {
            let mut spun = self.respun(fixture, &format!("{tag}{BY_HAND_MARK}"));
            spun.body = sent_to(&spun.body, code)?;
            spun.referrals.iter_mut().for_each(|referral| inbox.clone_into(&mut referral.inbox));
            Some(spun)
        });
        spun.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    /// One more that was not dealt, for people to send by hand: a single ServiceRequest in JSON.
    pub fn spare(&mut self) -> Option<Referral> {
        let fixture = self.fixtures.iter().find(|f| !f.is_bundle && !f.is_xml)?.clone();
        Some(self.respun(&fixture, "BY-HAND"))
    }
}

impl Iterator for Deck {
    type Item = Referral;

    fn next(&mut self) -> Option<Referral> {
        // one that holds more than are left is passed over; the fixtures begin with single ones
        for _ in 0..self.fixtures.len() {
            let fixture = self.fixtures.get(self.next)?.clone();
            let cycle = self.cycle;
            self.next += 1;
            if self.next == self.fixtures.len() {
                self.next = 0;
                self.cycle += 1;
            }
            let holds = fixture.referrals.len();
            if self.left > 0 && holds <= self.left {
                self.left -= holds;
                let suffix = format!("{}{cycle:03}", self.tag);
                return Some(if cycle == 0 { fixture } else { self.respun(&fixture, &suffix) });
            }
        }
        None
    }
}

/// The fixtures that are worked by hand: a plain one, one with all that one carries, somebody who speaks Arabic, an urgent one from a ward,
/// one whose consent keeps words back.
const BY_HAND: [&str; 5] = [
    "01-contained-patient.json",
    "03-full-bundle.json",
    "06-interpreter-arabic.json",
    "04-ward-urgent-safeguarding.json",
    "08-consent-codes-only.json",
];
/// Their identifiers end so.
const BY_HAND_MARK: &str = "HUB";

/// Whether a referral with this placer identifier is one that is worked by hand.
pub fn is_by_hand(identifier: &str) -> bool {
    identifier.ends_with(BY_HAND_MARK)
}

/// A request that names whoever bears this ODS code as its performer.
fn sent_to(body: &str, code: &str) -> Option<String> {
    let mut body: Value = serde_json::from_str(body).ok()?;
    let named =
        serde_json::json!([{"type": "Organization", "identifier": {"system": ORGANISATION_SYSTEM, "value": code}}]);
    let is_request = |one: &Value| tree::resource_type(one) == Some("ServiceRequest");
    if is_request(&body) {
        body.as_object_mut()?.insert("performer".into(), named);
    } else {
        let entries = body.get_mut("entry")?.as_array_mut()?;
        for request in entries.iter_mut().filter_map(|entry| entry.get_mut("resource")).filter(|one| is_request(one)) {
            request.as_object_mut()?.insert("performer".into(), named.clone());
        }
    }
    Some(body.to_string())
}

/// The fixtures with what `expected-routes.json` says of them. What it does not speak of is left out, which a test forbids.
fn fixtures() -> Vec<Referral> {
    let expected: Value = serde_json::from_str(EXPECTED).unwrap_or_default();
    let all = expected.as_array().map(Vec::as_slice).unwrap_or_default();
    let made = FILES.iter().filter_map(|(file, body)| {
        let said = all.iter().find(|e| tree::text(e, "file") == Some(file))?;
        let referrals = tree::items(said, "referrals").iter().filter_map(|r| {
            let text = |name| tree::text(r, name).map(str::to_owned);
            Some(Expected { identifier: text("identifier")?, inbox: text("inbox")? })
        });
        let is_xml = file.ends_with(".xml");
        let is_bundle = if is_xml {
            body.contains("<Bundle ")
        } else {
            let json: Value = serde_json::from_str(body).unwrap_or_default();
            tree::resource_type(&json) == Some("Bundle")
        };
        let system = tree::text(said, "system")?.to_owned();
        Some(Referral { file, system, is_xml, is_bundle, referrals: referrals.collect(), body: (*body).to_owned() })
    });
    made.collect()
}

/// The NHS numbers of the 999 range that stand in a text, each once.
fn nhs_numbers(text: &str) -> BTreeSet<String> {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter(|run| run.starts_with("999") && run.parse::<NhsNumber>().is_ok()).map(str::to_owned).collect()
}

/// Valid NHS numbers of the 999 test range, none twice, none of a fixture.
#[derive(Debug, Clone)]
struct Numbers {
    serial: u64,
    taken: BTreeSet<String>,
}

impl Numbers {
    fn beside<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        Self { serial: 0, taken: texts.flat_map(nhs_numbers).collect() }
    }

    /// After some 900,000 the range is used up and begins again.
    fn fresh(&mut self) -> String {
        loop {
            self.serial += 1;
            // a stride without a common factor goes through the whole range
            let first = format!("999{:06}", self.serial * 271_829 % 1_000_000);
            let digits = first.bytes().zip((2..=10).rev());
            let sum: u32 = digits.map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
            let check = (11 - sum % 11) % 11;
            let number = format!("{first}{check}");
            if check < 10 && !self.taken.contains(&number) {
                return number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixture_is_dealt_as_it_is() {
        let dealt: Vec<Referral> = Deck::new(None, None).collect();
        assert_eq!(dealt.len(), FILES.len());
        assert_eq!(dealt.iter().map(|r| r.referrals.len()).sum::<usize>(), 21);
        for (referral, (file, body)) in dealt.iter().zip(FILES) {
            assert_eq!((referral.file, referral.body.as_str()), (*file, *body));
            for expected in &referral.referrals {
                let (system, value) = expected.identifier.split_once('|').unwrap();
                assert_eq!(body.matches(&format!("\"{value}\"")).count(), 1, "{file}");
                assert!(body.contains(system), "{file}");
            }
        }
        let on_disk = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/referrals")).unwrap();
        let on_disk = on_disk.filter(|f| !f.as_ref().unwrap().file_name().eq_ignore_ascii_case("README.md")).count();
        assert_eq!(on_disk, FILES.len(), "a fixture that the demonstration does not send");
    }

    #[test]
    fn as_many_as_asked_and_each_a_referral_of_its_own() {
        for count in [0, 1, 5, 6, 21, 64, 200] {
            let dealt: Vec<Referral> = Deck::new(Some(count), None).collect();
            let all: Vec<&Expected> = dealt.iter().flat_map(|r| &r.referrals).collect();
            assert_eq!(all.len(), count);
            let identifiers: BTreeSet<&str> = all.iter().map(|e| e.identifier.as_str()).collect();
            assert_eq!(identifiers.len(), count);
            let numbers: Vec<String> = dealt.iter().flat_map(|r| nhs_numbers(&r.body)).collect();
            assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
        }
    }

    #[test]
    fn nothing_but_identifiers_and_nhs_numbers_is_changed() {
        let dealt: Vec<Referral> = Deck::new(Some(42), None).collect();
        let (first, second) = dealt.split_at(20);
        assert_eq!(second.len(), 20);
        for (old, new) in first.iter().zip(second) {
            let mut back = new.body.clone();
            let numbers = (nhs_numbers(&old.body), nhs_numbers(&new.body));
            assert_eq!(numbers.0.len(), numbers.1.len());
            for (old, new) in numbers.0.iter().zip(&numbers.1) {
                assert!(new.starts_with("999") && new.parse::<NhsNumber>().is_ok());
                back = back.replace(new, old);
            }
            for expected in &new.referrals {
                let (_, value) = expected.identifier.split_once('|').unwrap();
                back = back.replace(value, value.strip_suffix("-001").unwrap());
            }
            assert_eq!(back, old.body, "{}", old.file);
        }
    }

    #[test]
    fn those_that_wait_for_a_person_are_their_own_and_name_her_service() {
        let mut deck = Deck::new(None, None);
        let dealt: Vec<Referral> = deck.by_ref().collect();
        let waiting = deck.by_hand("ZH777", "wavertree-hub");
        assert_eq!(waiting.len(), BY_HAND.len(), "each is a JSON fixture");
        let known: BTreeSet<String> = dealt.iter().flat_map(|r| nhs_numbers(&r.body)).collect();
        for referral in &waiting {
            assert!(referral.body.contains("\"ZH777\""), "{}", referral.file);
            assert!(referral.referrals.iter().all(|one| is_by_hand(&one.identifier) && one.inbox == "wavertree-hub"));
            assert!(nhs_numbers(&referral.body).is_disjoint(&known), "{} is about somebody else", referral.file);
        }
        assert!(dealt.iter().flat_map(|r| &r.referrals).all(|one| !is_by_hand(&one.identifier)));
    }

    #[test]
    fn a_tag_makes_the_first_ones_fresh_too() {
        let mut deck = Deck::new(Some(1), Some("x9-"));
        let first = deck.next().unwrap();
        assert_eq!(first.referrals[0].identifier, "https://rio.merseycare.example/referral-id|RIO-2026-000101-x9-001");
        assert!(!first.body.contains("9990471134"));
        assert_eq!((deck.next(), deck.left()), (None, 0));
        assert!(deck.spare().unwrap().body.contains("RIO-2026-000101-BY-HAND"));
    }
}
