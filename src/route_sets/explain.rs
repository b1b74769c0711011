//! Where a referral that somebody has in hand would go, and why. Nothing of it is kept.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    config::Registry,
    domain::{InboxId, SystemId, working_days::WorkingTime},
    fhir::{Issue, Limits, gate, tree, xml},
    intake::{
        IntakeError,
        apart::{self, Apart},
        asked_of,
    },
    profiles::{Asked, Validator},
    routing::{Explanation, RouteSet, Unavailable},
};

/// What is asked.
pub struct Question<'q> {
    /// Which rules are to decide.
    pub routes: &'q RouteSet,
    /// Who takes part.
    pub registry: &'q Registry,
    /// The originating system that it would come from; each of the registry, if not said.
    pub system: Option<&'q SystemId>,
    /// When it would be decided.
    pub at: Timestamp,
    /// Inboxes that take nothing, beside those that are closed on that day. How full an inbox is, is not looked at.
    pub closed: &'q [InboxId],
    /// Of a greater set no more rules are told of.
    pub most: usize,
}

/// What would become of one referral that comes from one system.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The system.
    pub system: SystemId,
    /// The referral's first identifier, as `system|value`.
    pub identifier: Option<String>,
    /// Why it goes where.
    pub explanation: Explanation,
}

/// Reads a ServiceRequest or a Bundle, JSON or XML, whichever it is.
///
/// # Errors
/// What is wrong with its form.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Value, Issue> {
    let is_xml = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<') || bytes.starts_with(b"\xef\xbb\xbf<");
    let read = if is_xml { xml::read(bytes, limits) } else { gate::read(bytes, limits).map(|body| (body, vec![])) };
    read.and_then(|(body, mut out_of_order)| out_of_order.pop().map_or(Ok(body), Err))
}

impl Question<'_> {
    /// Takes a body apart as intake does, and says of each of its referrals where it would go. What intake would read from the
    /// originating record is not read.
    ///
    /// # Errors
    /// What it would be refused for before any rule is asked.
    pub fn asked_of(&self, body: Value, validator: &Validator) -> Result<Vec<Explained>, IntakeError> {
        let expected = if tree::resource_type(&body) == Some("Bundle") { "Bundle" } else { "ServiceRequest" };
        let asked = match self.system.and_then(|id| self.registry.systems.get(id)) {
            Some(system) => asked_of(system, self.at),
            None => Asked::at(self.at),
        };
        let apart = apart::read(body, expected, validator, &asked)?;
        let systems = self.registry.systems.keys().filter(|id| self.system.is_none_or(|wanted| wanted == *id));
        Ok(systems.flat_map(|from| self.of(&apart, from)).collect())
    }

    fn of(&self, apart: &Apart, from: &SystemId) -> Vec<Explained> {
        let today = WorkingTime::local(self.at).date();
        let unavailable = |inbox: &InboxId| {
            let is_closed = self.registry.inboxes.get(inbox).is_some_and(|inbox| inbox.opening.is_closed(today));
            (is_closed || self.closed.contains(inbox)).then_some(Unavailable::Closed)
        };
        let nothing = BTreeMap::new();
        let one = |draft: &apart::Draft| {
            let facts = apart.facts(draft, from, &nothing, self.registry.setting(self.at));
            let request = apart.items.get(draft.request).map(|item| &item.resource);
            let identifier = request.and_then(|request| tree::identifiers(request).next());
            Explained {
                system: from.clone(),
                identifier: identifier.map(|(s, v, _)| format!("{}|{v}", s.unwrap_or_default())),
                explanation: self.routes.explain(&facts, &unavailable, self.most),
            }
        };
        apart.drafts.iter().map(one).collect()
    }
}
