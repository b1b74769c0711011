//! `onward about`

use clap::Args;
use serde_json::json;

use super::{Ended, print_json};
use crate::definitions::{PACKAGE, Package};

#[derive(Args, Debug)]
pub(super) struct About {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(asked: &About) -> Ended {
    let version = env!("CARGO_PKG_VERSION");
    let pages = pages();
    if asked.json {
        let told = |package: &Package| {
            json!({
                "package": package.name, "version": package.version,
                "licence": package.licence, "integrity": package.integrity,
            })
        };
        let mut definitions = told(&PACKAGE);
        definitions["fhirVersion"] = "4.0.1".into();
        print_json(&json!({"version": version, "definitions": definitions, "pages": pages.as_ref().map(told)}));
        return Ok(());
    }
    say!("onward {version}");
    say!("FHIR R4 4.0.1 (HL7, CC0), as {} {} ({}) has it", PACKAGE.name, PACKAGE.version, PACKAGE.licence);
    say!("  {}", PACKAGE.integrity);
    match pages {
        Some(of) => {
            say!("pages made with {} {} ({})", of.name, of.version, of.licence);
            say!("  {}", of.integrity);
        }
        None => say!("built without pages"),
    }
    Ok(())
}

/// What the pages are made with; none where there are none.
fn pages() -> Option<Package> {
    #[cfg(feature = "pages")]
    let made_with = Some(crate::web::assets::PACKAGE);
    #[cfg(not(feature = "pages"))]
    let made_with = None;
    made_with
}
