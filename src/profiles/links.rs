//! What references within a Bundle lead to (bundle.html#references).

use std::collections::HashMap;

use serde_json::Value;

use crate::fhir::reference::{self, Target};

/// The entries of a Bundle, by what they are referred to.
#[derive(Debug, Default)]
pub(super) struct Links<'v> {
    by_url: HashMap<&'v str, Vec<&'v Value>>,
    /// Whether it is a document, which holds all that its Composition refers to (documents.html#bundle).
    pub(super) is_document: bool,
    /// The fullUrl of the entry that the walk is in.
    pub(super) here: Option<&'v str>,
    /// Whether that is the first.
    pub(super) is_first: bool,
}

/// What a reference leads to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lead<'v> {
    /// This resource.
    To(&'v Value),
    /// Nothing in the Bundle, though by its form it can lead nowhere else.
    Nowhere,
    /// Perhaps to something elsewhere.
    Outside,
}

// === impl Links ===

impl<'v> Links<'v> {
    pub(super) fn of(bundle: &'v Value) -> Self {
        let entries = bundle.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut by_url: HashMap<&str, Vec<&Value>> = HashMap::with_capacity(entries.len());
        for entry in entries {
            if let (Some(url), Some(resource)) = (entry.get("fullUrl").and_then(Value::as_str), entry.get("resource")) {
                by_url.entry(url).or_default().push(resource);
            }
        }
        Self {
            by_url,
            is_document: bundle.get("type").is_some_and(|kind| kind == "document"),
            here: None,
            is_first: false,
        }
    }

    /// Where a literal reference leads from the entry that the walk is in.
    pub(super) fn lead(&self, literal: &str) -> Lead<'v> {
        let (url, version) = match reference::parse(literal) {
            Target::Urn(_) => return self.at(literal, None).map_or(Lead::Nowhere, Lead::To),
            Target::Absolute { base, kind, id, version } => (format!("{base}/{kind}/{id}"), version),
            Target::Relative { kind, id, version } => {
                let base = match self.here.map(reference::parse) {
                    Some(Target::Absolute { base, .. }) => base,
                    // an entry that is no server's: what has the id for its uuid is meant
                    _ => return self.at(&format!("urn:uuid:{id}"), version).map_or(Lead::Outside, Lead::To),
                };
                (format!("{base}/{kind}/{id}"), version)
            }
            Target::Contained(_) | Target::Other(_) => return Lead::Outside,
        };
        self.at(&url, version).map_or(Lead::Outside, Lead::To)
    }

    fn at(&self, url: &str, version: Option<&str>) -> Option<&'v Value> {
        let all = self.by_url.get(url)?;
        let of = |resource: &Value| resource.pointer("/meta/versionId").and_then(Value::as_str).map(str::to_owned);
        match version {
            Some(version) => all.iter().find(|resource| of(resource).as_deref() == Some(version)).copied(),
            None => all.first().copied(),
        }
    }
}
