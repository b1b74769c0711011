//! Vital signs: what bears one of R4's codes for them is one, whichever profile it names (R4 observation-vitalsigns.html). Asked by hand,
//! for no definition that is held says by which code it is meant. Its invariants are errors; what else it asks are warnings.

use serde_json::{Map, Value};

use super::report::Report;
use crate::fhir::{outcome::IssueCode, path::Place, tree};

const LOINC: &str = "http://loinc.org";
const UCUM: &str = "http://unitsofmeasure.org";
const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

/// A vital sign: its LOINC code, and the UCUM codes of what it is measured in.
type Sign = (&'static str, &'static [&'static str]);

const SIGNS: &[Sign] = &[
    ("9279-1", &["/min"]),
    ("8867-4", &["/min"]),
    ("2708-6", &["%"]),
    ("8310-5", &["Cel", "[degF]"]),
    ("8302-2", &["cm", "[in_i]"]),
    ("9843-4", &["cm", "[in_i]"]),
    ("29463-7", &["g", "kg", "[lb_av]"]),
    ("39156-5", &["kg/m2"]),
    (PANEL, &[]),
    (BLOOD_PRESSURE, &[]),
];
/// All vital signs of one time.
const PANEL: &str = "85353-1";
/// Has its two pressures as components.
const BLOOD_PRESSURE: &str = "85354-9";
const PRESSURES: [Sign; 2] = [("8480-6", &["mm[Hg]"]), ("8462-4", &["mm[Hg]"])];

/// What holds for an Observation that is a vital sign; nothing for any other.
pub(super) fn check(report: &mut Report, observation: &Map<String, Value>, place: Place<'_>) {
    let signs: Vec<&Sign> = SIGNS.iter().filter(|(code, _)| has_code(observation, code)).collect();
    if signs.is_empty() {
        return;
    }
    let mut broken = |is_broken: bool, code: IssueCode, place: Place<'_>, said: &str| {
        let said = || format!("a vital sign {said}");
        match code {
            _ if !is_broken => {}
            IssueCode::Invariant => report.fault(code, place, said()),
            // examples of R4's own and of UK Core are not so
            _ => report.warning(code, place, said()),
        }
    };
    let categories = items(observation, "category");
    let is_vital = categories.iter().any(|category| is_coded(category, CATEGORY, "vital-signs"));
    broken(!is_vital, IssueCode::Required, place.child("category"), "has the category vital-signs (vitalsigns)");
    broken(
        !observation.contains_key("subject"),
        IssueCode::Required,
        place.child("subject"),
        "has a subject (vitalsigns)",
    );
    let moment = observation.get("effectiveDateTime").and_then(Value::as_str);
    let is_timed = ["effectiveDateTime", "_effectiveDateTime", "effectivePeriod"]
        .iter()
        .any(|name| observation.contains_key(*name));
    broken(
        !is_timed,
        IssueCode::Required,
        place.child("effective"),
        "has a dateTime or a Period as its time (vitalsigns)",
    );
    let is_vague = moment.is_some_and(|moment| moment.len() < "2026-01-01".len());
    broken(is_vague, IssueCode::Invariant, place.child("effective"), "has a time that is precise to the day (vs-1)");
    let says = |of: &Map<String, Value>| of.contains_key("dataAbsentReason") || value_of(of).is_some();
    let holds_others = observation.contains_key("component") || observation.contains_key("hasMember");
    broken(
        !holds_others && !says(observation),
        IssueCode::Invariant,
        place,
        "has a value, or says why it has none (vs-2)",
    );
    let components = items(observation, "component");
    let list = place.child("component");
    for (index, component) in components.iter().enumerate() {
        let is_silent = component.as_object().is_some_and(|component| !says(component));
        broken(
            is_silent,
            IssueCode::Invariant,
            list.item(index),
            "has a value in each component, or says why not (vs-3)",
        );
    }
    for (code, units) in signs {
        measured(units, observation, place, &mut broken);
        match *code {
            PANEL => {
                let is_empty = !observation.contains_key("hasMember");
                broken(
                    is_empty,
                    IssueCode::Required,
                    place.child("hasMember"),
                    "panel names its members (vitalspanel)",
                );
            }
            BLOOD_PRESSURE => {
                for (code, units) in PRESSURES {
                    let of_code = |component: &&Map<String, Value>| has_code(component, code);
                    let found = components.iter().enumerate();
                    let mut found = found.filter_map(|(at, one)| Some((at, one.as_object().filter(of_code)?)));
                    match (found.next(), found.next()) {
                        (Some((at, component)), None) => measured(units, component, list.item(at), &mut broken),
                        _ => broken(
                            true,
                            IssueCode::Required,
                            list,
                            "of blood pressure has one systolic and one diastolic (bp)",
                        ),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Where it has a value, that is a quantity in one of these units, of which there is one at least where it is measured in any.
fn measured(
    units: &[&str],
    of: &Map<String, Value>,
    place: Place<'_>,
    broken: &mut impl FnMut(bool, IssueCode, Place<'_>, &str),
) {
    let Some((name, value)) = value_of(of).filter(|_| !units.is_empty()) else { return };
    let place = place.child("value");
    if name != "valueQuantity" {
        return broken(true, IssueCode::Structure, place, "has a Quantity as its value");
    }
    for element in ["value", "unit"] {
        let is_there = value.get(element).is_some() || value.get(format!("_{element}")).is_some();
        broken(!is_there, IssueCode::Required, place.child(element), "says how much of what unit");
    }
    let is_one = tree::text(value, "system") == Some(UCUM)
        && tree::text(value, "code").is_some_and(|code| units.contains(&code));
    broken(!is_one, IssueCode::Value, place, &format!("is measured in {}, as UCUM writes it", units.join(" or ")));
}

fn value_of(of: &Map<String, Value>) -> Option<(&String, &Value)> {
    of.iter().find(|(name, _)| name.starts_with("value"))
}

fn has_code(of: &Map<String, Value>, code: &str) -> bool {
    of.get("code").is_some_and(|concept| is_coded(concept, LOINC, code))
}

fn is_coded(concept: &Value, system: &str, code: &str) -> bool {
    let is = |coding: &Value| tree::text(coding, "system") == Some(system) && tree::text(coding, "code") == Some(code);
    tree::items(concept, "coding").iter().any(is)
}

fn items<'v>(of: &'v Map<String, Value>, name: &str) -> &'v [Value] {
    of.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
