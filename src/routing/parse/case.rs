//! Reads the tests of a route set.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{MESSAGE_CHARS_MAX, NAME_CHARS_MAX, Reading, name};
use crate::{
    fhir::{Limits, gate, tree, xml},
    routing::{Case, Expected, Unavailable},
    toml_reader::{Node, Table, quoted},
};

const MOMENT: &str = "a moment such as \"2026-11-26T10:00:00Z\"";
const REFERRAL: &str =
    "a ServiceRequest or a Bundle, as JSON or XML between three quotes, or the path of a file that holds it";

impl Reading<'_> {
    /// `None` only after a fault was noted.
    pub(super) fn case(&self, mut table: Table<'_>, names: &mut BTreeSet<String>) -> Option<Case> {
        let spot = table.spot();
        let name = name(&mut table, names);
        let referral_node = table.need("referral", REFERRAL);
        let entries = referral_node.as_ref().and_then(|node| self.referral(node));
        let which = table.get("request").and_then(|node| node.line(MESSAGE_CHARS_MAX));
        let request = match (&referral_node, &entries) {
            (Some(node), Some(entries)) => request(node, entries, which.as_deref()),
            _ => None,
        };
        let system = table.need("from", "the id of the system that sends it").and_then(|node| self.system(&node));
        let at_node = table.get("at");
        let said = at_node.as_ref().map(|node| node.parse::<Timestamp>(MOMENT));
        let at = said.unwrap_or_else(|| {
            let written = request.and_then(|at| entries.as_ref()?.get(at)?.pointer("/resource/authoredOn")?.as_str());
            let written = written.and_then(|text| text.parse::<Timestamp>().ok());
            if request.is_some() && written.is_none() {
                table.fault(
                    "at",
                    format!("found nothing, and the referral's authoredOn is no moment; needed: {MOMENT}"),
                );
            }
            written
        });
        let mut unavailable = BTreeMap::new();
        for (key, why) in [("closed", Unavailable::Closed), ("full", Unavailable::Full)] {
            let inboxes = table.get(key).and_then(|node| self.inboxes(&node)).unwrap_or_default();
            unavailable.extend(inboxes.into_iter().map(|inbox| (inbox, why)));
        }
        let expected =
            table.need("expect", "a table with to and route, or with refused").and_then(|node| self.expected(&node));
        table.finish();
        Some(Case {
            spot,
            name: name?,
            request: request?,
            entries: entries?,
            system: system?,
            at: at?,
            unavailable,
            expected: expected?,
        })
    }

    fn expected(&self, node: &Node<'_>) -> Option<Expected> {
        let mut table = node.table("a table with to and route, or with refused")?;
        let to = table.get("to").map(|node| self.inboxes(&node));
        let route = table.get("route").map(|node| node.line(NAME_CHARS_MAX));
        let refused = table.get("refused").map(|node| node.line(MESSAGE_CHARS_MAX));
        let clash = refused.is_some() && (to.is_some() || route.is_some());
        if clash || (to.is_none() && route.is_none() && refused.is_none()) {
            node.fault(
                if clash { "a refusal and a target" } else { "nothing to expect" },
                "to, route or both; or refused, with words of the refusal",
            );
            return None;
        }
        table.finish();
        // what is wrong was told: then nothing is expected
        let some = |value: Option<Option<String>>| value.map_or(Some(None), |value| value.map(Some));
        let to = to.map_or(Some(None), |to| to.map(Some))?;
        Some(Expected { to, route: some(route)?, refused: some(refused)? })
    }

    /// The entries of a referral: its own, or itself as the only one.
    fn referral(&self, node: &Node<'_>) -> Option<Vec<Value>> {
        let text = node.text(REFERRAL)?.trim();
        let text = match text.starts_with(['{', '<']) {
            true => text.into(),
            false => self.file(node, text)?,
        };
        let limits = Limits::default();
        let text: &str = &text;
        let read = match text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
            true => xml::read(text.as_bytes(), &limits).map(|(body, _)| body),
            false => gate::read(text.as_bytes(), &limits),
        };
        let body = match read {
            Ok(body) => body,
            Err(issue) => {
                node.fault(&format!("what cannot be read: {}", issue.diagnostics), REFERRAL);
                return None;
            }
        };
        match tree::resource_type(&body) {
            Some("Bundle") => Some(tree::items(&body, "entry").to_vec()),
            _ => Some(vec![json!({ "resource": body })]),
        }
    }
}

/// Which entry is asked about: the only ServiceRequest, or the one with this identifier.
fn request(node: &Node<'_>, entries: &[Value], identifier: Option<&str>) -> Option<usize> {
    let is_request = |entry: &Value| entry["resource"]["resourceType"] == "ServiceRequest";
    let is_wanted = |entry: &Value| {
        let of = |wanted: &str| {
            let mut tokens = tree::identifiers(&entry["resource"]);
            tokens.any(|(system, value, _)| format!("{}|{value}", system.unwrap_or_default()) == wanted)
        };
        is_request(entry) && identifier.is_none_or(of)
    };
    let mut found = entries.iter().enumerate().filter(|(_, entry)| is_wanted(entry)).map(|(at, _)| at);
    let (first, second) = (found.next(), found.next());
    match (first, second, identifier) {
        (Some(at), None, _) => return Some(at),
        (Some(_), Some(_), _) => {
            node.fault(
                "several ServiceRequests",
                "one, or request = \"system|value\" with the identifier of the one that is meant",
            );
        }
        (None, _, Some(wanted)) => {
            node.fault(&format!("no ServiceRequest with the identifier {}", quoted(wanted)), REFERRAL);
        }
        (None, _, None) => node.fault("no ServiceRequest", REFERRAL),
    }
    None
}
