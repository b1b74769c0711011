//! UK Core: its own examples against the profiles that they declare.

use std::fs;

use onward::{
    domain::rule_level::RuleLevels,
    fhir::{Limits, Severity, gate},
    profiles::{Asked, Validator},
};
use serde_json::Value;

use super::structure::{Tally, index, now};
use crate::support::corpus::corpus;

/// Examples that R4 forbids, and what is wrong with them: they must be refused.
const WRONG: [(&str, &str); 1] = [("UKCore-Bundle-NEWS2Observations-Example", "a fullUrl is absolute")];

/// Everything that UK Core defines.
pub fn uk_core() -> Option<Validator> {
    let folder = corpus("ukcore")?;
    let mut resources = Vec::new();
    for part in ["structuredefinitions", "valuesets", "codesystems"] {
        for file in fs::read_dir(folder.join(part)).unwrap() {
            let file = file.unwrap().path();
            let resource: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            resources.push((file.display().to_string(), resource));
        }
    }
    Some(Validator::new(resources).unwrap())
}

/// The profile that an example is named after: `UKCore-Patient-BabyPatient-Example` is one of `UKCore-Patient`.
fn profile_of(validator: &Validator, example: &str) -> Option<String> {
    let mut name = example;
    while let Some((shorter, _)) = name.rsplit_once('-') {
        name = shorter;
        let url = format!("https://fhir.hl7.org.uk/StructureDefinition/{name}");
        if name.starts_with("UKCore-") && validator.knows(&url) {
            return Some(url);
        }
    }
    None
}

#[test]
fn examples_are_what_their_profiles_ask_for() {
    let Some(validator) = uk_core() else { return };
    let folder = corpus("ukcore").unwrap();
    let (mut tally, mut declared) = (Tally::default(), 0);
    for file in index(&folder) {
        // those of which nobody knows whether they are right
        if file["xsd_valid"] != true || file["oracle_consensus"] != "accept" {
            continue;
        }
        let name = file["json"].as_str().unwrap().replace("json-converted/examples", "examples-json");
        let resource = gate::read(&fs::read(folder.join(&name)).unwrap(), &Limits::default()).unwrap();
        // they declare none in themselves: their names say which one they are examples of
        let wished: Vec<String> = profile_of(&validator, file["id"].as_str().unwrap()).into_iter().collect();
        declared += wished.len();
        let errors: Vec<String> = validator
            .check(&resource, "", &Asked { profiles: &wished, rules: RuleLevels::OFF, ..Asked::at(now()) })
            .into_iter()
            .filter(|finding| finding.issue.severity <= Severity::Error)
            .map(|finding| format!("{}: {}", finding.issue.expression.join(", "), finding.issue.diagnostics))
            .collect();
        if let Some((_, why)) = WRONG.iter().find(|(id, _)| file["id"] == *id) {
            assert!(!errors.is_empty() && errors.iter().all(|error| error.contains(why)), "{errors:?}");
            continue;
        }
        tally.note(&name, "ukcore", true, (!errors.is_empty()).then(|| errors.join("; ")));
    }
    assert!(declared > 40, "only {declared} declare a profile");
    tally.assert("ukcore");
}

#[test]
fn what_the_nhs_asks_refuses_only_what_is_wrong() {
    let (Some(official), Some(uk_core_folder)) = (corpus("official"), corpus("ukcore")) else { return };
    let validator = Validator::default();
    let (mut found, mut seen) = (Vec::new(), 0);
    let files = index(&official).into_iter().map(|file| official.join(file["file"].as_str().unwrap()));
    let of_uk_core = index(&uk_core_folder).into_iter().map(|file| {
        uk_core_folder.join(file["json"].as_str().unwrap().replace("json-converted/examples", "examples-json"))
    });
    for path in files.chain(of_uk_core).filter(|path| path.extension().is_some_and(|end| end == "json")) {
        let Ok(resource) = gate::read(&fs::read(&path).unwrap(), &Limits::default()) else { continue };
        seen += 1;
        for finding in validator.check(&resource, "", &Asked::at(now())) {
            if finding.rule && finding.issue.severity <= Severity::Error {
                found.push((path.display().to_string(), finding.issue.diagnostics));
            }
        }
    }
    println!("the NHS's rules, each an error, over {seen} examples: {found:?}");
    // one of UK Core's own has an NHS number that was never given out
    let is_number = |(_, said): &(String, String)| said == "the check digit of the NHS number is wrong";
    assert!(found.len() <= 2 && found.iter().all(is_number), "{found:?}");
    assert!(seen > 400, "{seen}");
}
