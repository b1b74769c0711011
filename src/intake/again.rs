//! What was accepted once, read again as it was when it was routed: for trying other routes on it. The request's own bytes are read,
//! not what was stored of it, so that references are as their sender wrote them. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::apart::{Apart, Draft};
use crate::{
    domain::SystemId,
    fhir::{
        Limits, gate,
        reference::{Target, parse},
        test_data, tree, xml,
    },
    routing::{Facts, Setting},
    store::Sent,
};

/// A request that was accepted, taken apart.
#[derive(Debug)]
pub struct Again {
    apart: Apart,
    /// Where each of its items lies, as `Type/id`.
    lie: Vec<Option<String>>,
}

/// What was accepted once cannot be read any more, as by limits that are narrower now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be read any more")]
pub struct Unreadable;

impl Again {
    /// Reads what was sent.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn read(sent: &Sent, limits: &Limits) -> Result<Self, Unreadable> {
        let body = if sent.content_type.contains("xml") {
            xml::read(&sent.original, limits).map(|(body, _)| body)
        } else {
            gate::read(&sent.original, limits)
        };
        let apart = Apart::accepted(body.map_err(|_| Unreadable)?);
        Ok(Self { apart, lie: serde_json::from_str(&sent.answer).unwrap_or_default() })
    }

    /// The referral whose ServiceRequest has this id here.
    fn draft(&self, request: Uuid) -> Option<&Draft> {
        if let [only] = self.apart.drafts.as_slice() {
            return Some(only);
        }
        let lies = format!("ServiceRequest/{request}");
        let item = self.lie.iter().position(|lie| lie.as_ref() == Some(&lies))?;
        self.apart.drafts.iter().find(|draft| draft.request == item)
    }

    /// Whether the referral whose ServiceRequest has this id here says that it is a test.
    pub fn is_test(&self, request: Uuid) -> bool {
        let request = self.draft(request).and_then(|draft| self.apart.items.get(draft.request));
        request.is_some_and(|item| test_data::is_test(&item.resource))
    }

    /// Whether anything of it names what was not carried, so that it may have been read from its record.
    pub fn leads_outside(&self, request: Uuid) -> bool {
        let Some(draft) = self.draft(request) else { return false };
        let mut outside = false;
        for item in &draft.members {
            tree::each_reference(&self.apart.items[*item].resource, &mut |_, reference| {
                let literal = reference.get("reference").and_then(Value::as_str).unwrap_or_default();
                let relative = matches!(parse(literal), Target::Relative { .. });
                outside |= relative && self.apart.resolve(*item, literal).is_none();
            });
        }
        outside
    }

    /// What routes were decided on, of the referral whose ServiceRequest has this id here; none where the request does not hold it.
    /// `read` is what was read for it, by the reference it was read under.
    pub fn facts<'a>(
        &'a self,
        request: Uuid,
        system: &SystemId,
        read: &'a BTreeMap<String, Value>,
        setting: Setting<'_>,
    ) -> Option<Facts<'a>> {
        self.draft(request).map(|draft| self.apart.facts(draft, system, read, setting))
    }
}
