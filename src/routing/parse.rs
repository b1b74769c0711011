//! Reads a route file and tells everything that is wrong with it at once.

use std::{collections::BTreeSet, fmt::Display, str::FromStr};

use super::{Condition, DEFAULT_PRIORITY, Route, RouteSet, condition::is_ods_code};
use crate::{
    domain::{InboxId, SystemId},
    toml_reader::{self, Fault, Node, Table},
};

const PRIORITY_MAX: u32 = 1_000_000;
const NAME_CHARS_MAX: usize = 100;
const CODES: &str = "\"system|code\", \"|code\" or \"code\"";
const PERFORMERS: &str = "an ODS code, \"system|value\" or a reference such as \"https://…/HealthcareService/1\"";
const AREAS: &str = "a postcode area such as \"CH\" or an outward code such as \"L1\"";
const ODS: &str = "an ODS code: 3 to 10 letters and digits";

/// The ids a route file may name.
struct Known<'k> {
    inboxes: &'k BTreeSet<InboxId>,
    systems: &'k BTreeSet<SystemId>,
}

// === impl RouteSet ===

impl RouteSet {
    /// Reads the text of a route file, which faults call `file_name`. Every inbox and system it names must be known.
    pub fn parse(
        text: &str,
        file_name: &str,
        known_inboxes: &BTreeSet<InboxId>,
        known_systems: &BTreeSet<SystemId>,
    ) -> Result<RouteSet, Vec<Fault>> {
        let (reader, table) = toml_reader::read(file_name, text);
        if reader.has_faults() {
            return Err(reader.finish().0);
        }
        let known = Known { inboxes: known_inboxes, systems: known_systems };
        let mut root = reader.root(&table);
        let mut names = BTreeSet::new();
        let routes = root.tables("route").into_iter().filter_map(|route| known.route(route, &mut names)).collect();
        let triage = root.get("triage").and_then(|triage| {
            let mut triage = triage.table("a table with the key to")?;
            let to = triage.need("to", "the id of an inbox").and_then(|to| known.inbox(&to));
            triage.finish();
            to
        });
        root.finish();
        let faults = reader.finish().0;
        if faults.is_empty() { Ok(RouteSet::of(routes, triage)) } else { Err(faults) }
    }
}

// === impl Known ===

impl Known<'_> {
    /// `None` only after a fault was noted.
    fn route(&self, mut table: Table<'_>, names: &mut BTreeSet<String>) -> Option<Route> {
        let name = table.need("name", "a name for people, once in the file").and_then(|name| {
            let text = name.line(NAME_CHARS_MAX)?;
            if !names.insert(text.clone()) {
                name.fault(&format!("\"{text}\" a second time"), "a name once in the file");
            }
            Some(text)
        });
        let priority = table.get("priority").map_or(Some(DEFAULT_PRIORITY), |number| number.number(0, PRIORITY_MAX));
        let when = table.need("when", "at least one condition").and_then(|when| self.when(&when));
        let to = table.need("to", "the id of an inbox").and_then(|to| self.inbox(&to));
        table.finish();
        Some(Route { name: name?, priority: priority?, when: when?, to: to? })
    }

    fn when(&self, node: &Node<'_>) -> Option<Vec<Condition>> {
        let mut table = node.table("a table of conditions")?;
        let org = |text: &str| is_ods_code(text).then(|| text.to_ascii_uppercase());
        let conditions = [
            table.get("code").map(|node| any_of(&node, CODES).map(Condition::Code)),
            table.get("category").map(|node| any_of(&node, CODES).map(Condition::Category)),
            table.get("performer").map(|node| any_of(&node, PERFORMERS).map(Condition::Performer)),
            table.get("requester-org").map(|node| values(&node, ODS, org).map(Condition::RequesterOrg)),
            table.get("patient-area").map(|node| any_of(&node, AREAS).map(Condition::PatientArea)),
            table.get("system").map(|node| self.systems(&node).map(Condition::System)),
        ];
        let given: Vec<_> = conditions.into_iter().flatten().collect();
        if given.is_empty() {
            node.fault("no condition", "at least one; what no route takes goes to the inbox under [triage]");
        }
        table.finish();
        // one that is wrong spoils the rule: without it the rule would take more than was meant
        given.into_iter().collect()
    }

    fn inbox(&self, node: &Node<'_>) -> Option<InboxId> {
        let allowed = one_of(self.inboxes);
        node.parse::<InboxId>(&allowed).filter(|id| {
            let known = self.inboxes.contains(id);
            if !known {
                node.fault(&format!("\"{id}\", which is no inbox"), &allowed);
            }
            known
        })
    }

    fn systems(&self, node: &Node<'_>) -> Option<Vec<SystemId>> {
        let known = |text: &str| text.parse::<SystemId>().ok().filter(|id| self.systems.contains(id));
        values(node, &one_of(self.systems), known)
    }
}

fn any_of<T: FromStr>(node: &Node<'_>, allowed: &str) -> Option<Vec<T>> {
    values(node, allowed, |text| text.parse().ok())
}

/// The values of one condition; `None` after a fault.
fn values<T>(node: &Node<'_>, allowed: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let list_of = format!("a list, each item {allowed}");
    let items = node.items(&list_of);
    if items.is_empty() && node.is_list() {
        node.fault("an empty list, which nothing can match", format!("at least one: {allowed}"));
    }
    let read_one = |item: &Node<'_>| {
        let text = item.text(allowed)?;
        let value = read(text);
        if value.is_none() {
            item.fault(&toml_reader::quoted(text), allowed);
        }
        value
    };
    // every item is read before any is missed, so that all faults are told
    let values: Vec<Option<T>> = items.iter().map(read_one).collect();
    let values: Option<Vec<T>> = values.into_iter().collect();
    values.filter(|values| !values.is_empty())
}

fn one_of<T: Display>(ids: &BTreeSet<T>) -> String {
    if ids.is_empty() {
        return "none, because none is configured".to_owned();
    }
    format!("one of {}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
