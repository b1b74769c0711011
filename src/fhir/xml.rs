//! FHIR's XML form to its JSON form and back. fhirbolt does the converting, because it knows which element repeats, which
//! is a number and which comes first; but it drops attributes, trims narrative, can panic and can loop. So it only gets what our own
//! gate has read and tidied, it works on threads of its own under a watchdog, and what it makes is compared leaf by leaf with
//! what went in: a conversion that would lose anything is refused.

mod convert;
mod gate;
mod leaves;
mod pool;

use bytes::Bytes;
use serde_json::Value;

use crate::fhir::{
    gate::Limits,
    outcome::{Issue, IssueCode},
    path, tree,
};
use pool::{NoAnswer, Pool};

/// Converts between FHIR's XML and JSON on its own threads, which end when it is dropped.
#[derive(Debug)]
pub struct XmlConverter {
    pool: Pool,
}

impl XmlConverter {
    /// A converter with so many threads; at least one.
    pub fn new(workers: usize) -> Self {
        Self { pool: Pool::new(workers.max(1)) }
    }

    /// The JSON form of an XML resource. The issue is a `structure` or `too-…` one where the input is at fault, and
    /// `transient`, `timeout` or `exception` where the conversion is.
    pub async fn read(&self, bytes: Bytes, limits: &Limits) -> Result<Value, Issue> {
        let limits = limits.clone();
        let answer = self.pool.run(move || convert::read(&bytes, &limits)).await;
        answer.unwrap_or_else(|why| Err(unanswered(why, path::UNKNOWN_ROOT)))
    }

    /// The XML form of a JSON resource, in UTF-8. Refused where XML cannot say the same: control characters, or narrative
    /// that is not well-formed XHTML.
    pub async fn write(&self, value: Value) -> Result<Vec<u8>, Issue> {
        let root = tree::resource_type(&value).unwrap_or(path::UNKNOWN_ROOT).to_owned();
        let answer = self.pool.run(move || convert::write(value)).await;
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
