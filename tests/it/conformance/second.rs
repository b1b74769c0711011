//! A second opinion: `fhirkit`, which others wrote, reads the same inputs. Where the two disagree, the reason is one of those named here.
//! It knows no codes, no rules between elements and no XML.

use std::{collections::BTreeMap, fs, path::PathBuf};

use fhirkit::r4::Resource;
use onward::{
    fhir::{IssueCode, Limits, Severity, gate},
    profiles::structure,
};

use super::structure::{index, now};
use crate::support::corpus::corpus;

/// What it finds wrong; none where nothing is.
fn theirs(text: &str) -> Option<String> {
    match fhirkit::from_json::<Resource>(text) {
        Err(error) => Some(error.to_string()),
        Ok((_, issues)) => issues
            .into_iter()
            .find(|issue| issue.severity == fhirkit::Severity::Error)
            .map(|issue| format!("{}: {}", issue.path, issue.message)),
    }
}

/// The kinds of what we find wrong; none where nothing is.
fn ours(text: &str) -> Option<Vec<IssueCode>> {
    let found = match gate::read(text.as_bytes(), &Limits::default()) {
        Err(issue) => vec![issue.code],
        Ok(value) => structure::check(&value, "", now())
            .into_iter()
            .filter(|finding| finding.issue.severity <= Severity::Error && !finding.rule)
            .map(|finding| finding.issue.code)
            .collect(),
    };
    (!found.is_empty()).then_some(found)
}

fn inputs() -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    for part in ["official", "mutants", "validator-cases"] {
        let folder = corpus(part)?;
        for file in index(&folder) {
            let name = file["file"].as_str().unwrap();
            let path = match part {
                "validator-cases" => folder.join(name.rsplit('/').next().unwrap()),
                _ => folder.join(name),
            };
            let is_r4 = file.get("fhirVersion").is_none_or(|version| version == "R4");
            if is_r4 && path.extension().is_some_and(|end| end == "json") && path.is_file() {
                found.push(path);
            }
        }
    }
    Some(found)
}

#[test]
fn where_fhirkit_disagrees_the_reason_is_known() {
    let Some(inputs) = inputs() else { return };
    let (mut agreed, mut only_ours, mut only_theirs) = (0, BTreeMap::<&str, usize>::new(), Vec::new());
    for path in &inputs {
        let Ok(text) = fs::read_to_string(path) else { continue };
        match (ours(&text), theirs(&text)) {
            (Some(_), Some(_)) | (None, None) => agreed += 1,
            (Some(codes), None) => *only_ours.entry(codes[0].code()).or_default() += 1,
            (None, Some(why)) => only_theirs.push(format!("{}: {why}", path.display())),
        }
    }
    println!(
        "fhirkit: {agreed} of {} agreed; refused by us alone {only_ours:?}; by it alone {}",
        inputs.len(),
        only_theirs.len()
    );
    assert!(inputs.len() > 1_000, "{}", inputs.len());
    // it looks at no codes, no rules and few forms; everything else that we refuse it refuses as well
    let known = ["code-invalid", "invariant", "value", "not-found", "required", "structure"];
    assert!(only_ours.keys().all(|code| known.contains(code)), "{only_ours:?}");
    assert!(only_theirs.is_empty(), "{}", only_theirs.join("\n"));
}
