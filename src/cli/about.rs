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
    /// The licence of the typeface that letters are set in, whole.
    #[arg(long)]
    typeface: bool,
}

pub(super) fn run(asked: &About) -> Ended {
    let version = env!("CARGO_PKG_VERSION");
    let pages = pages();
    if asked.typeface {
        say!("{}", typeface_licence());
        return Ok(());
    }
    if asked.json {
        let told = |package: &Package| {
            json!({
                "package": package.name, "version": package.version,
                "licence": package.licence, "integrity": package.integrity,
            })
        };
        let mut definitions = told(&PACKAGE);
        definitions["fhirVersion"] = "4.0.1".into();
        let (pages, typeface) = (pages.as_ref().map(told), typeface().as_ref().map(told));
        print_json(&json!({"version": version, "definitions": definitions, "pages": pages, "typeface": typeface}));
        return Ok(());
    }
    say!("onward {version}");
    say!("FHIR R4 4.0.1 (HL7, CC0), as {} {} ({}) has it", PACKAGE.name, PACKAGE.version, PACKAGE.licence);
    say!("  {}", PACKAGE.integrity);
    match pages {
        Some(of) => {
            say!("pages made with {} {} ({})", of.name, of.version, of.licence);
            say!("  {}", of.integrity);
            if let Some(of) = typeface() {
                say!(
                    "letters set in {} {} ({}; `onward about --typeface` has it whole)",
                    of.name,
                    of.version,
                    of.licence
                );
                say!("  {}", of.integrity);
            }
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

/// What letters are set in; none where there are none.
fn typeface() -> Option<Package> {
    #[cfg(feature = "pages")]
    let set_in = Some(crate::web::assets::TYPEFACE);
    #[cfg(not(feature = "pages"))]
    let set_in = None;
    set_in
}

fn typeface_licence() -> &'static str {
    #[cfg(feature = "pages")]
    let licence = include_str!(concat!(env!("OUT_DIR"), "/typeface-licence.txt"));
    #[cfg(not(feature = "pages"))]
    let licence = "built without pages, and so without letters";
    licence
}
