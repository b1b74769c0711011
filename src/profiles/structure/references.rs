//! References: what they name, and whether that may stand there (references.html).

use serde_json::{Map, Value};

use super::{Stands, Walk};
use crate::{
    definitions::{self, Type},
    fhir::{
        outcome::IssueCode,
        path::Place,
        reference::{self, Target},
    },
    profiles::links::Lead,
};

impl<'v> Walk<'v> {
    /// `ref-1`, and the type it names.
    pub(super) fn reference(&mut self, object: &Map<String, Value>, place: Place<'_>) {
        if let Some(literal) = object.get("reference").and_then(Value::as_str).filter(|text| text.starts_with('#'))
            && !self.container.refer(literal)
        {
            let said = "a reference that begins with “#” names a contained resource (ref-1)";
            self.report.fault(IssueCode::Invariant, place, said);
        }
        if let Some(kind) = object.get("type").and_then(Value::as_str)
            && !kind.contains(':')
            && definitions::resource_named(kind).is_none()
        {
            self.report.warning(IssueCode::Value, place.child("type"), "this is not a resource type of R4");
        }
    }

    /// Whether a reference points at what it may point at: seen where that lies here, otherwise as far as the reference tells.
    pub(super) fn target(&mut self, stands: Stands, object: &Map<String, Value>, place: Place<'_>) {
        let targets = stands.is.targets;
        let literal = object.get("reference").and_then(Value::as_str);
        let lead = match literal {
            Some(literal) => self.lead(literal),
            None => Lead::Outside,
        };
        match (lead, literal) {
            (Lead::To(resource), _) => {
                let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
                let named = match literal.map(reference::parse) {
                    Some(Target::Relative { kind, .. } | Target::Absolute { kind, .. }) => Some(kind),
                    _ => None,
                };
                if named.is_some_and(|named| named != kind) && definitions::resource_named(kind).is_some() {
                    let said = format!("this leads to a {kind}, which is not the type that it names");
                    self.report.fault(IssueCode::Value, place, said);
                } else if !targets.is_empty() && !targets.contains(&kind) && definitions::resource_named(kind).is_some()
                {
                    let said =
                        format!("this leads to a {kind}, and a reference to a {} stands here", targets.join(" or a "));
                    self.report.fault(IssueCode::Value, place, said);
                }
                return;
            }
            (_, Some(literal)) if self.must_be_here(stands.within) && !literal.starts_with('#') => {
                let said = "what a document's Composition refers to is in its Bundle (documents.html)";
                return self.report.fault(IssueCode::NotFound, place, said);
            }
            (Lead::Nowhere, _) => {
                // somebody may know it beside the Bundle
                let said = "no entry of the Bundle has this fullUrl (bundle.html#references)";
                return self.report.warning(IssueCode::NotFound, place, said);
            }
            _ => {}
        }
        if targets.is_empty() {
            return;
        }
        let by_type = object.get("type").and_then(Value::as_str).filter(|kind| reference::is_resource_type(kind));
        let by_url = match literal.map(reference::parse) {
            Some(Target::Relative { kind, .. } | Target::Absolute { kind, .. }) => Some(kind),
            _ => None,
        };
        for kind in [by_url, by_type].into_iter().flatten() {
            if !targets.contains(&kind) {
                // what it points at is not here: its URL may say something else than it is
                let said = format!("a reference to a {} stands here", targets.join(" or a "));
                return self.report.warning(IssueCode::Value, place, said);
            }
        }
    }

    fn lead(&self, literal: &str) -> Lead<'v> {
        match literal.strip_prefix('#') {
            Some(id) => self.container.named(id).map_or(Lead::Outside, Lead::To),
            None => self.links.as_ref().map_or(Lead::Outside, |links| links.lead(literal)),
        }
    }

    /// Whether it is part of a document's Composition, but for what that only relates to.
    fn must_be_here(&self, of: &Type) -> bool {
        let is_first_of_document = self.links.as_ref().is_some_and(|links| links.is_document && links.is_first);
        is_first_of_document
            && self.container.within.is_none()
            && (of.name == "Composition" || of.name.starts_with("Composition."))
            && of.name != "Composition.relatesTo"
    }
}
