//! Inputs that others wrote.

use std::{io::Write as _, path::PathBuf};

/// A part of the conformance corpus; none where it is absent, which is said aloud and in the list of what was skipped.
pub fn corpus(part: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    let line = format!("SKIPPED: checks against {} (the folder is absent)", folder.display());
    println!("{line}");
    if let Some(list) = std::env::var_os("ONWARD_TEST_SKIPPED") {
        let mut list = std::fs::OpenOptions::new().create(true).append(true).open(list).unwrap();
        writeln!(list, "{line}").unwrap();
    }
    None
}
