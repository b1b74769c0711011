//! Packs what R4 4.0.1 defines into the program: types, elements, invariants, search parameters and the codes of its value sets, as Rust tables for
//! `src/definitions.rs`. They come from npm, once: what was packed lies in the target folder, under the hash of the lock file and
//! of this script.

#[path = "build/codes.rs"]
mod codes;
#[path = "build/npm.rs"]
mod npm;
#[path = "build/search.rs"]
mod search;
#[path = "build/types.rs"]
mod types;
#[path = "build/write.rs"]
mod write;

use std::{env, fs, path::PathBuf, process::ExitCode};

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
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?).join("profiles");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?);
    for file in ["package.json", "package-lock.json", "build.rs", "build"] {
        println!("cargo::rerun-if-changed=profiles/{file}");
    }
    let cache = npm::Cache::of(&here, &out)?;
    let made = cache.or_make("definitions.rs", |package| {
        let codes = codes::Codes::read(package)?;
        let (types, of_package) = types::read(package, &here.join("package-lock.json"), &codes)?;
        let parameters = search::read(package, &types)?;
        Ok(write::tables(&types, &of_package) + &search::table(&parameters))
    })?;
    let to = out.join("definitions.rs");
    fs::copy(&made, &to).map(drop).map_err(|e| format!("{} cannot be written: {e}", to.display()))
}
