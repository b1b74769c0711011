//! The base specification over the corpus, judged as its README says: a verdict is right or wrong, and no right input is refused.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use onward::{
    fhir::{Limits, Severity, gate, xml},
    profiles::structure,
};
use serde_json::Value;

use crate::support::corpus::corpus;

/// At least so many of a hundred verdicts are right.
const RIGHT_OF_100: usize = 98;

pub fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub fn index(folder: &Path) -> Vec<Value> {
    let index = fs::read(folder.join("index.json")).unwrap();
    serde_json::from_slice::<Vec<Value>>(&index).unwrap()
}

/// Why a file is refused, where it is.
fn refused(file: &PathBuf) -> Option<String> {
    let bytes = fs::read(file).unwrap();
    let read = if file.extension().is_some_and(|end| end == "xml") {
        xml::read(&bytes, &Limits::default()).and_then(|(resource, mut out_of_order)| match out_of_order.pop() {
            Some(issue) => Err(issue),
            None => Ok(resource),
        })
    } else {
        gate::read(&bytes, &Limits::default())
    };
    match read {
        Err(issue) => Some(format!("{}: {}", issue.expression.join(", "), issue.diagnostics)),
        Ok(resource) => structure::check(&resource, "", now())
            .into_iter()
            // rules of ours are not R4's
            .find(|finding| finding.issue.severity <= Severity::Error && !finding.rule)
            .map(|finding| format!("{}: {}", finding.issue.expression.join(", "), finding.issue.diagnostics)),
    }
}

/// Verdicts over one folder.
#[derive(Default)]
pub struct Tally {
    right: usize,
    false_alarms: Vec<String>,
    missed: BTreeMap<String, usize>,
}

impl Tally {
    pub fn note(&mut self, name: &str, group: &str, accept: bool, refused: Option<String>) {
        match (accept, refused) {
            (true, Some(why)) => self.false_alarms.push(format!("{name}: {why}")),
            (false, None) => *self.missed.entry(group.to_owned()).or_default() += 1,
            _ => self.right += 1,
        }
    }

    #[track_caller]
    pub fn assert(&self, folder: &str) {
        let missed: usize = self.missed.values().sum();
        let all = self.right + missed + self.false_alarms.len();
        println!("{folder}: {} of {all} right, {missed} missed, {} false alarms", self.right, self.false_alarms.len());
        println!("missed: {:?}", self.missed);
        assert!(self.false_alarms.is_empty(), "{}", self.false_alarms.join("\n"));
        assert!(self.right * 100 >= all * RIGHT_OF_100, "{} of {all}", self.right);
    }
}

#[test]
fn no_official_example_is_refused() {
    let Some(folder) = corpus("official") else { return };
    let mut tally = Tally::default();
    for file in index(&folder) {
        let name = file["file"].as_str().unwrap();
        tally.note(name, "official", file["expect_errors"] == 0, refused(&folder.join(name)));
    }
    tally.assert("official");
}

#[test]
fn mutants_are_told_from_what_they_were_made_of() {
    let Some(folder) = corpus("mutants") else { return };
    let mut tally = Tally::default();
    for file in index(&folder) {
        let name = file["file"].as_str().unwrap();
        let refused = refused(&folder.join(name));
        // what R4's text says stands, whatever others made of it
        match file["intended"].as_str().unwrap() {
            "unspecified" => {}
            intended => tally.note(name, file["op"].as_str().unwrap(), intended == "accept", refused),
        }
    }
    tally.assert("mutants");
}

#[test]
fn the_cases_of_hl7s_validator_are_told_apart() {
    let Some(folder) = corpus("validator-cases") else { return };
    let mut tally = Tally::default();
    for case in index(&folder) {
        let file = folder.join(case["file"].as_str().unwrap().rsplit('/').next().unwrap());
        // profiles, and what another version says, are other cases of the same input
        if case["fhirVersion"] != "R4" || !file.is_file() {
            continue;
        }
        let name = case["name"].as_str().unwrap();
        tally.note(name, name, case["verdict"] == "accept", refused(&file));
    }
    // two want terminologies and profiles that are not here: tests/README.md says which
    tally.assert("validator-cases");
}
