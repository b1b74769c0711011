//! `onward about`

use clap::Args;
use serde_json::json;

use super::{Ended, print_json};
use crate::definitions::PACKAGE;

#[derive(Args, Debug)]
pub(super) struct About {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(asked: &About) -> Ended {
    let version = env!("CARGO_PKG_VERSION");
    if asked.json {
        print_json(&json!({
            "version": version,
            "definitions": {
                "fhirVersion": "4.0.1", "package": PACKAGE.name, "version": PACKAGE.version,
                "licence": PACKAGE.licence, "integrity": PACKAGE.integrity,
            },
        }));
        return Ok(());
    }
    say!("onward {version}");
    say!("FHIR R4 4.0.1 (HL7, CC0), as {} {} ({}) has it", PACKAGE.name, PACKAGE.version, PACKAGE.licence);
    say!("  {}", PACKAGE.integrity);
    Ok(())
}
