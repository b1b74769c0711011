//! FHIR R4 at the edge: what comes in is read within bounds and kept as it was written, what is wrong with it is said
//! with the element's path. A resource is a `serde_json::Value` with the sender's key order and lexical decimals; there are no
//! typed models, because a model loses what it does not know.

pub mod bundle;
pub mod canonical;
pub mod datetime;
pub mod gate;
pub mod narrative;
pub mod negotiate;
pub mod nhs_number;
pub mod ods_code;
pub mod outcome;
pub mod patch;
pub(crate) mod path;
pub mod primitive;
pub mod reference;
pub mod sctid;
pub mod task;
pub mod tree;
pub mod xml;

pub use gate::Limits;
pub use nhs_number::NhsNumber;
pub use ods_code::OdsCode;
pub use outcome::{Issue, IssueCode, Severity, outcome};
pub use xml::XmlWriter;

/// Where the tests find what others wrote.
#[cfg(test)]
pub(crate) mod test_corpus {
    use std::{fs::OpenOptions, io::Write as _, path::PathBuf};

    /// A part of the conformance corpus; none where it is absent, which is said aloud and in the list of what was skipped.
    pub(crate) fn corpus(part: &str) -> Option<PathBuf> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus").join(part);
        if folder.is_dir() {
            return Some(folder);
        }
        let line = format!("SKIPPED: checks against {} (the folder is absent)", folder.display());
        println!("{line}");
        if let Some(list) = std::env::var_os("ONWARD_TEST_SKIPPED") {
            let mut list = OpenOptions::new().create(true).append(true).open(list).unwrap();
            writeln!(list, "{line}").unwrap();
        }
        None
    }
}
