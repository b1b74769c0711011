//! What routing looks at in a referral. Of the patient, what is kept is what rules may ask: the outward half of a postcode, a census
//! area, a point, an age, languages. FHIRPath conditions alone look at the resources themselves.

mod organisations;
mod person;

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    hours::Moment,
    person::{Age, Consented, Urgency},
    place::Homes,
};
use crate::{
    domain::{SystemId, working_days::WorkingTime},
    places::Places,
};

pub use organisations::same_ods;
pub(super) use organisations::{is_ods_system, names_a_person};

/// A code and the system it is from; also an identifier's system and value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Coding {
    /// The system, where one is named.
    pub system: Option<String>,
    /// The code or value.
    pub code: String,
}

/// What a referral says, as far as rules may ask.
#[derive(Clone)]
pub struct Facts<'a> {
    /// The system that sent it.
    pub system: SystemId,
    /// What is asked for: every coding of `code`.
    pub codes: BTreeSet<Coding>,
    /// Every coding of `category`.
    pub categories: BTreeSet<Coding>,
    /// Performers by reference as the sender wrote it, without a version. No `urn:uuid:`, which names nothing outside.
    pub performer_references: BTreeSet<String>,
    /// Performers by identifier, other than an ODS code.
    pub performer_identifiers: BTreeSet<Coding>,
    /// Performers by ODS code, in capitals.
    pub performer_orgs: BTreeSet<String>,
    /// The ODS codes of the organisation that refers, in capitals.
    pub requester_orgs: BTreeSet<String>,
    /// Where the person lives.
    pub homes: Homes,
    /// How old the person is at that moment.
    pub age: Option<Age>,
    /// Tags (BCP 47) of the languages that the person speaks; only those that are preferred, where any is.
    pub languages: BTreeSet<String>,
    /// What the person has said to being referred.
    pub consent: Consented,
    /// How soon.
    pub urgency: Urgency,
    /// When it is decided.
    pub moment: Moment,
    /// The same as a time.
    pub(super) at: Timestamp,
    /// The ServiceRequest.
    pub(super) request: &'a Value,
    /// The Patient, where one travels along.
    pub(super) patient: Option<&'a Value>,
    carried: Find<'a>,
}

/// Finds what travels with a referral by a reference string such as `Patient/1`, a full URL or `urn:uuid:…`.
type Find<'a> = Arc<dyn Fn(&str) -> Option<&'a Value> + Send + Sync + 'a>;

/// What travels with a ServiceRequest.
#[derive(Clone)]
pub struct Carried<'a> {
    /// Finds it by a reference; what is contained needs not be found.
    pub find: Find<'a>,
    /// The Consents among it.
    pub consents: Vec<&'a Value>,
}

/// What a decision depends on beside the referral.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'s> {
    /// When it is decided.
    pub at: Timestamp,
    /// When people work.
    pub working_time: &'s WorkingTime,
    /// Where postcodes lie.
    pub places: &'s Places,
}

// === impl Carried ===

impl<'a> Carried<'a> {
    /// Nothing but the ServiceRequest.
    pub fn nothing() -> Self {
        Self { find: Arc::new(|_| None), consents: Vec::new() }
    }

    /// What these resources are to each other in a Bundle: found by their full URL, or by type and id.
    pub fn entries(entries: &'a [Value]) -> Self {
        let find = move |reference: &str| {
            let by_url = entries.iter().find(|entry| text(&entry["fullUrl"]) == Some(reference));
            let by_id = || {
                let (kind, id) = reference.split_once('/')?;
                let is = |entry: &&Value| {
                    text(&entry["resource"]["resourceType"]) == Some(kind) && text(&entry["resource"]["id"]) == Some(id)
                };
                entries.iter().find(is)
            };
            by_url.or_else(by_id).map(|entry| &entry["resource"])
        };
        let is_consent = |resource: &&Value| text(&resource["resourceType"]) == Some("Consent");
        Self {
            find: Arc::new(find),
            consents: entries.iter().map(|entry| &entry["resource"]).filter(is_consent).collect(),
        }
    }
}

// === impl Facts ===

impl<'a> Facts<'a> {
    /// The facts of one ServiceRequest of this system. `carried` finds the other resources that travel with it; what is contained is
    /// found here.
    pub fn of(system: &SystemId, request: &'a Value, carried: Carried<'a>, setting: Setting<'_>) -> Self {
        let find = &*carried.find;
        let patient = resolve(&request["subject"], request, find).map(|(patient, _)| patient);
        let contained = list(&request["contained"]).iter();
        let consents = contained.filter(|one| text(&one["resourceType"]) == Some("Consent"));
        let consents: Vec<&Value> = consents.chain(carried.consents.iter().copied()).collect();
        let today = WorkingTime::local(setting.at).date();
        let written_on = text(&request["authoredOn"]);
        let mut facts = Self {
            system: system.clone(),
            codes: codings(&request["code"]).collect(),
            categories: list(&request["category"]).iter().flat_map(codings).collect(),
            performer_references: BTreeSet::new(),
            performer_identifiers: BTreeSet::new(),
            performer_orgs: BTreeSet::new(),
            requester_orgs: BTreeSet::new(),
            homes: patient.map(|patient| person::homes(patient, written_on, setting.places)).unwrap_or_default(),
            age: patient.and_then(|patient| Age::on(today, text(&patient["birthDate"])?)),
            languages: patient.map(person::languages).unwrap_or_default(),
            consent: person::consented(&consents, &today.to_string()),
            urgency: Urgency::of(text(&request["priority"])),
            moment: Moment::of(setting.at, setting.working_time),
            at: setting.at,
            request,
            patient,
            carried: Arc::clone(&carried.find),
        };
        for performer in list(&request["performer"]) {
            facts.add_performer(performer, request, find);
        }
        organisations::add(&mut facts.requester_orgs, &request["requester"], request, find);
        facts
    }

    /// A resource that travels with the referral.
    pub(super) fn find(&self, reference: &str) -> Option<&'a Value> {
        (self.carried)(reference)
    }
}

/// The resource a reference points to, and the one in whose `contained` its own `#…` are found.
fn resolve<'a>(
    reference: &'a Value,
    within: &'a Value,
    find: &dyn Fn(&str) -> Option<&'a Value>,
) -> Option<(&'a Value, &'a Value)> {
    let literal = text(&reference["reference"])?;
    if let Some(id) = literal.strip_prefix('#') {
        let contained = list(&within["contained"]).iter().find(|one| text(&one["id"]) == Some(id))?;
        return Some((contained, within));
    }
    find(literal).map(|resource| (resource, resource))
}

fn codings(concept: &Value) -> impl Iterator<Item = Coding> + '_ {
    list(&concept["coding"]).iter().filter_map(|coding| {
        let system = text(&coding["system"]).map(str::to_owned);
        text(&coding["code"]).map(|code| Coding { system, code: code.to_owned() })
    })
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
