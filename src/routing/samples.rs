//! Rules and referrals for tests, over every kind of condition.

use proptest::{prelude::*, sample::subsequence};
use serde_json::{Value, json};

use super::{Carried, Facts, Kind, Known, RouteSet, Setting};
use crate::{domain::working_days::WorkingTime, places::Places, toml_reader::Fault};

/// What the samples name.
pub(super) const SETS: &str = r#"
[[value-set]]
name = "debt"
codes = ["s|1", "s|2", "t|1"]
[[value-set]]
name = "wide"
codes = ["s|1", "s|2", "s|3", "t|1", "t|2"]
[[area]]
name = "town"
postcodes = ["L1", "L2"]
lsoas = ["E0100"]
[[area]]
name = "round"
circle = { centre = [53.4, -2.98], radius = "2km" }
[[area]]
name = "field"
polygon = [[53.0, -3.0], [53.0, -2.9], [53.1, -2.9], [53.1, -3.0]]
"#;

type Read = Result<(RouteSet, Vec<Fault>), Vec<String>>;

fn told(read: Result<(RouteSet, Vec<Fault>), Vec<Fault>>) -> Read {
    read.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn known(working_time: &WorkingTime, reading: impl FnOnce(Known<'_>) -> Read) -> Read {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    reading(Known {
        inboxes: words(&["a", "b", "c", "triage"]).iter().filter_map(|word| word.parse().ok()).collect(),
        services: [("debt advice".to_owned(), "b".parse().unwrap())].into(),
        systems: words(&["epr", "gp", "ward"]).iter().filter_map(|word| word.parse().ok()).collect(),
        working_time,
        places: &Places::default(),
        files: &|_| Err("there is none".to_owned()),
    })
}

/// A set that is checked.
pub(super) fn read(text: &str) -> Read {
    known(&WorkingTime::default(), |known| told(RouteSet::read(text, "routes.toml", known)))
}

/// A set whose rules may be at odds with each other.
pub(super) fn read_unchecked(text: &str) -> Read {
    known(&WorkingTime::default(), |known| told(RouteSet::read_unchecked(text, "routes.toml", known)))
}

/// The values that the samples ask for.
fn pool(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Code | Kind::Category => &["1", "s|1", "|1", "s|2", "t|1", "s|3", "in:debt", "in:wide"],
        Kind::Performer => &["U99999", "RW4", "svc|life", "HealthcareService/h"],
        Kind::RequesterOrg => &["RW4", "N82999", "n81111"],
        Kind::System => &["epr", "gp", "ward"],
        Kind::PatientArea => &[
            "L",
            "L1",
            "L2",
            "CH",
            "CH41",
            "lsoa:E01",
            "lsoa:E0100",
            "lsoa:E01006512",
            "in:town",
            "in:round",
            "in:field",
        ],
        Kind::PatientAge => &["..17", "18..", "18..64", "65..", "40", "..18", "0..150"],
        Kind::Language => &["cy", "cy-GB", "en", "en-GB", "ar"],
        Kind::Consent => &["given", "refused", "absent"],
        Kind::Urgency => &["routine", "urgent", "asap", "stat"],
        Kind::Time => &[
            "working-hours",
            "working-days",
            "holidays",
            "sat,sun",
            "mon-fri 09:00-17:00",
            "17:00-09:00",
            "09:00-17:00",
        ],
        Kind::Fhirpath => &["code.exists()", "priority = 'stat'", "performer.exists().not()"],
    }
}

fn some_of(values: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(values, 1..=most.min(values.len()))
}

/// The conditions of a rule, of one to `most` kinds out of these.
pub(super) fn a_when(kinds: &'static [Kind], most: usize) -> impl Strategy<Value = String> {
    subsequence(kinds, 1..=most.min(kinds.len())).prop_flat_map(|kinds| {
        let line =
            |kind: Kind| some_of(pool(kind), 4).prop_map(move |values| format!("{} = {values:?}\n", kind.word()));
        kinds.into_iter().map(line).collect::<Vec<_>>().prop_map(|lines| lines.concat())
    })
}

/// A referral of a system.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    system: &'static str,
    at: &'static str,
    request: Value,
}

impl Sample {
    pub(super) fn facts(&self) -> Facts<'_> {
        let (working_time, places) = (WorkingTime::default(), Places::default());
        let setting = Setting { at: self.at.parse().unwrap(), working_time: &working_time, places: &places };
        Facts::of(&self.system.parse().unwrap(), &self.request, Carried::nothing(), setting)
    }
}

/// A referral with up to `most` values of each kind that may have several.
pub(super) fn a_referral(most: usize) -> impl Strategy<Value = Sample> {
    let some = move |values: &'static [&'static str]| subsequence(values, 0..=most.min(values.len()));
    let codes = || some(&["s|1", "t|1", "|1", "s|2", "s|3", "|3", "t|2"]);
    let of_request = (
        codes(),
        codes(),
        some(&["U99999", "rw4", "svc|life", "HealthcareService/h", "HealthcareService/h/_history/2", "Patient/1"]),
        prop::option::of(prop::sample::select(&["RW4", "n82999", "N81111"][..])),
        prop::sample::select(&["", "routine", "urgent", "asap", "stat"][..]),
    );
    let homes = some(&["L1 1AA", "L2 2BB", "L15 1AA", "CH41 7ZZ", "", "WA7 1AA"]);
    let of_person = (
        homes,
        prop::sample::select(&["", "E01006512", "E01000001", "E01006513", "W01000001"][..]),
        prop::sample::select(&[(0.0, 0.0), (53.4, -2.98), (53.41, -2.97), (53.05, -2.95), (53.0, -3.0)][..]),
        prop::sample::select(&["", "2010-05-01", "2008", "2008-11", "1961", "1940-01-01", "1986-11-26"][..]),
        some(&["cy", "CY-gb", "en", "en-GB-oxendict", "ar"]),
        some(&["active", "rejected", "proposed"]),
    );
    let at = prop::sample::select(
        &["2026-11-26T10:00:00Z", "2026-11-28T10:00:00Z", "2026-11-26T20:00:00Z", "2026-12-25T10:00:00Z"][..],
    );
    let system = prop::sample::select(&["epr", "gp", "ward"][..]);
    (of_request, of_person, at, system).prop_map(
        |((codes, categories, performers, org, urgency), (homes, lsoa, point, born, languages, consents), at, system)| {
            let coding = |text: &&str| match text.split_once('|') {
                Some(("", code)) => json!({"code": code}),
                Some((system, code)) => json!({"system": system, "code": code}),
                None => json!({}),
            };
            let codings = |texts: &[&str]| json!({"coding": texts.iter().map(coding).collect::<Vec<_>>()});
            let ods = |code: &str| json!({"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": code});
            let performer = |text: &&str| match text.split_once('|') {
                Some((system, value)) => json!({"identifier": {"system": system, "value": value}}),
                None if text.contains('/') => json!({"reference": text}),
                None => json!({"identifier": ods(text)}),
            };
            let geolocation = json!({"url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": [
                {"url": "latitude", "valueDecimal": point.0}, {"url": "longitude", "valueDecimal": point.1}]});
            let tract =
                json!({"url": "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-censusTract", "valueString": lsoa});
            let address = |postcode: &&str| {
                let extension = if point.0 == 0.0 { vec![tract.clone()] } else { vec![tract.clone(), geolocation.clone()] };
                json!({"use": "home", "postalCode": postcode, "extension": extension})
            };
            let consent = |status: &&str| json!({"resourceType": "Consent", "id": status, "status": status});
            let mut contained: Vec<Value> = consents.iter().map(consent).collect();
            contained.push(json!({"resourceType": "Patient", "id": "p", "birthDate": born,
                "address": homes.iter().map(address).collect::<Vec<_>>(),
                "communication": languages.iter().map(|tag| json!({"language": {"coding": [{"code": tag}]}})).collect::<Vec<_>>()}));
            let request = json!({"resourceType": "ServiceRequest", "code": codings(&codes), "category": [codings(&categories)],
                "performer": performers.iter().map(performer).collect::<Vec<_>>(),
                "requester": {"identifier": ods(org.unwrap_or_default())}, "priority": urgency,
                "subject": {"reference": "#p"}, "contained": contained});
            Sample { system, at, request }
        },
    )
}
