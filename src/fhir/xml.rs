//! FHIR's XML form to its JSON form and back. Reading is a gate that makes a tree of elements within bounds, and a walk over it beside the
//! definitions. Writing is fhirbolt's, because it knows which element comes first; but it drops attributes, trims narrative, can panic
//! and can loop. So it works on threads of its own under a watchdog, and what it makes is read again and compared leaf by leaf with
//! what went in: what would lose anything is refused.

mod gate;
mod leaves;
mod pool;
mod read;
mod write;

pub(in crate::fhir) use gate::is_xml_char;

use serde_json::Value;

use crate::fhir::{
    gate::Limits,
    outcome::{Issue, IssueCode},
    path, tree,
};
use pool::{NoAnswer, Pool};

/// The JSON form of an XML resource, within bounds, and what is wrong beside it: elements out of the order that R4 has for them, which JSON
/// cannot show. What R4 does not know is in it as it stands: whether the resource is right is for a validator to say.
///
/// # Errors
/// A `structure` or `too-…` issue with line and column where the input is no XML of FHIR's form.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<(Value, Vec<Issue>), Issue> {
    read::read(bytes, limits)
}

/// Writes JSON as XML on its own threads, which end when it is dropped.
#[derive(Debug)]
pub struct XmlWriter {
    pool: Pool,
}

impl XmlWriter {
    /// A writer with so many threads; at least one.
    pub fn new(workers: usize) -> Self {
        Self { pool: Pool::new(workers.max(1)) }
    }

    /// The XML form of a JSON resource, in UTF-8. Refused where XML cannot say the same: control characters, or narrative
    /// that is not well-formed XHTML.
    ///
    /// # Errors
    /// `transient`, `timeout` or `exception` where the writing is at fault, another issue where the resource is.
    pub async fn write(&self, value: Value) -> Result<Vec<u8>, Issue> {
        let root = tree::resource_type(&value).unwrap_or(path::UNKNOWN_ROOT).to_owned();
        let answer = self.pool.run(move || write::write(value)).await;
        answer.unwrap_or_else(|why| Err(unanswered(why, &root)))
    }
}

fn unanswered(why: NoAnswer, root: &str) -> Issue {
    let (code, said) = match why {
        NoAnswer::Busy => {
            (IssueCode::Transient, "too many XML conversions are waiting: send it again later, or as JSON")
        }
        NoAnswer::TooSlow => (IssueCode::Timeout, "the XML conversion took too long and was given up: send it as JSON"),
        NoAnswer::Panicked => (IssueCode::Exception, "the XML conversion failed: send it as JSON"),
    };
    Issue::error(code, root, said)
}

#[cfg(test)]
mod tests;
