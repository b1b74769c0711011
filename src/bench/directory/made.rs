//! Services that nobody offers, made from a seed: organisations, places and what is offered there, over the North West.

use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    domain::EntryKind,
    places::{Centre, Places},
    store::DirectoryWrite,
};

/// So many services belong to one organisation.
pub(super) const SERVICES_AN_ORGANIZATION: u32 = 20;
/// The code system of needs.
const NEEDS: &str = "https://onward.example/bench/needs";
/// One service in so many is no longer offered.
const INACTIVE_ONE_IN: u32 = 25;
/// How far places lie from the middle of their outward code, in degrees.
const SPREAD: f64 = 0.03;

const NEED_WORDS: [&str; 40] = [
    "gardening",
    "befriending",
    "counselling",
    "debt",
    "housing",
    "walking",
    "football",
    "dementia",
    "carers",
    "food",
    "english",
    "crafts",
    "singing",
    "swimming",
    "cooking",
    "benefits",
    "volunteering",
    "employment",
    "parenting",
    "bereavement",
    "veterans",
    "autism",
    "hearing",
    "sight",
    "smoking",
    "alcohol",
    "drugs",
    "sleep",
    "pain",
    "falls",
    "transport",
    "warmth",
    "digital",
    "reading",
    "art",
    "music",
    "pets",
    "men",
    "women",
    "youth",
];
const OUTWARD: [&str; 48] = [
    "L1", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L11", "L13", "L15", "L17", "L18", "L19", "L20", "L23", "L24",
    "L25", "L30", "L33", "L36", "CH41", "CH42", "CH44", "CH46", "CH62", "CH1", "WA1", "WA7", "WA8", "WA10", "PR1",
    "PR8", "WN1", "WN5", "M1", "M14", "M20", "M33", "BL1", "OL1", "SK1", "CW1", "LA1", "BB1", "BB11", "FY1", "FY8",
];

/// See the module's documentation. What stands at a number is the same each time.
#[derive(Debug)]
pub(super) struct Made {
    seed: u64,
    count: u32,
    centres: Vec<Centre>,
}

// === impl Made ===

impl Made {
    pub(super) fn new(seed: u64, count: u32) -> Self {
        let places = Places::default();
        Self { seed, count, centres: OUTWARD.iter().filter_map(|code| places.centre(code)).collect() }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Chance for whatever is known by this number.
    pub(super) fn random(&self, number: u64) -> Rng {
        Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number)
    }

    /// A need as a search asks for it.
    pub(super) fn need(&self, random: &mut Rng) -> String {
        format!("{NEEDS}%7C{}", self.word(random))
    }

    /// A word of names.
    pub(super) fn word(&self, random: &mut Rng) -> &'static str {
        random.choice(NEED_WORDS).unwrap_or_default()
    }

    /// An outward code.
    pub(super) fn outward(&self, random: &mut Rng) -> &'static str {
        random.choice(OUTWARD).unwrap_or_default()
    }

    /// A place near the middle of one: latitude and longitude in degrees.
    pub(super) fn place(&self, random: &mut Rng) -> (f64, f64) {
        let centre = random.choice(&self.centres).map_or((53.4, -2.98), |centre| {
            (f64::from(centre.point.latitude) / 1e6, f64::from(centre.point.longitude) / 1e6)
        });
        let mut beside = || (random.f64() - 0.5) * 2.0 * SPREAD;
        (centre.0 + beside(), centre.1 + beside())
    }

    /// The id of an organisation.
    pub(super) fn organization(&self, number: u32) -> Uuid {
        id(0, number)
    }

    /// Everything, so that nothing refers to what comes after it.
    pub(super) fn entries(&self) -> impl Iterator<Item = DirectoryWrite> + '_ {
        let organizations = (0..self.count.div_ceil(SERVICES_AN_ORGANIZATION)).map(|n| {
            let body = json!({ "resourceType": "Organization", "active": true, "name": format!("Organisation {n}") });
            write(EntryKind::Organization, self.organization(n), &body)
        });
        let services = (0..self.count).flat_map(|n| [self.location(n), self.service(n)]);
        organizations.chain(services)
    }

    fn location(&self, n: u32) -> DirectoryWrite {
        let mut random = self.random(u64::from(n));
        let (latitude, longitude) = self.place(&mut random);
        let number = |degrees: f64| Value::Number(format!("{degrees:.5}").parse().unwrap_or_else(|_| 0.into()));
        let body = json!({
            "resourceType": "Location", "status": "active", "name": format!("Hall {n}"),
            "address": { "line": [format!("{n} Example Street")], "postalCode": format!("{} 9ZZ", self.outward(&mut random)) },
            "position": { "longitude": number(longitude), "latitude": number(latitude) },
            "managingOrganization": { "reference": format!("Organization/{}", self.organization(n / SERVICES_AN_ORGANIZATION)) },
        });
        write(EntryKind::Location, id(1, n), &body)
    }

    fn service(&self, n: u32) -> DirectoryWrite {
        let mut random = self.random(u64::from(n) | 1 << 40);
        let need = self.word(&mut random);
        let days: Vec<&str> =
            ["mon", "tue", "wed", "thu", "fri", "sat"].into_iter().filter(|_| random.bool()).collect();
        let capacity = random.choice(["capacity", "waitlist", "no-capacity"]).unwrap_or_default();
        let body = json!({
            "resourceType": "HealthcareService",
            "extension": [{ "url": "https://onward.example/fhir/StructureDefinition/capacity", "valueCode": capacity }],
            "active": n % INACTIVE_ONE_IN != 7,
            "providedBy": { "reference": format!("Organization/{}", self.organization(n / SERVICES_AN_ORGANIZATION)) },
            "type": [{ "coding": [{ "system": NEEDS, "code": need, "display": need }] }],
            "location": [{ "reference": format!("Location/{}", id(1, n)) }],
            "name": format!("{need} group {n}"),
            "comment": format!("A group for people who look for {need}, with tea and company. Number {n}."),
            "telecom": [{ "system": "phone", "value": "0151 496 0000" }, { "system": "email", "value": format!("s{n}@group.example") }],
            "availableTime": [{ "daysOfWeek": days, "availableStartTime": "10:00:00", "availableEndTime": "12:00:00" }],
        });
        write(EntryKind::HealthcareService, id(2, n), &body)
    }
}

fn write(kind: EntryKind, id: Uuid, body: &Value) -> DirectoryWrite {
    DirectoryWrite { kind, id, over: 0, source: None, body: body.to_string(), by: "bench".to_owned() }
}

/// An id that is the same each time; of version 8, whose bits are whoever's who makes it (RFC 9562, 5.8).
fn id(kind: u8, number: u32) -> Uuid {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().rev().zip(number.to_be_bytes().into_iter().rev().chain([kind])) {
        *to = from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_and_another_does_not() {
        let bodies = |seed| Made::new(seed, 60).entries().map(|entry| entry.body).collect::<Vec<_>>();
        assert_eq!(bodies(1).len(), 3 + 2 * 60);
        assert_eq!(bodies(1), bodies(1));
        assert_ne!(bodies(1), bodies(2));
        let made = Made::new(1, 60);
        assert_eq!(made.centres.len(), OUTWARD.len(), "every outward code is known");
        let mut ids: Vec<Uuid> = made.entries().map(|entry| entry.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3 + 2 * 60);
    }

    /// What is made is what may be written: R4 and the profiles of the directory find no fault.
    #[test]
    fn what_is_made_may_be_written() {
        let validator = crate::profiles::Validator::new([]).unwrap();
        for entry in Made::new(3, 40).entries() {
            let profile = [crate::directory::entry::profile(entry.kind)];
            let body: Value = serde_json::from_str(&entry.body).unwrap();
            let asked = crate::profiles::Asked {
                profiles: &profile,
                ..crate::profiles::Asked::at("2026-11-26T12:00:00Z".parse().unwrap())
            };
            let faults: Vec<_> = validator
                .check(&body, "", &asked)
                .into_iter()
                .filter(|finding| finding.issue.severity <= crate::fhir::Severity::Error)
                .collect();
            assert!(faults.is_empty(), "{faults:?}\n{}", entry.body);
        }
    }
}
