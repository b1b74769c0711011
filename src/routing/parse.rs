//! Reads a route file and tells everything that is wrong with it at once.

mod case;
mod sets;
mod when;
mod within;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::Arc,
};

use super::{
    DEFAULT_PRIORITY, Need, Parts, Path, Route, RouteSet, Share, Terms,
    check::{self, Checked},
};
use crate::{
    domain::{InboxId, SystemId, event::TEST_ROUTE, working_days::WorkingTime},
    places::Places,
    toml_reader::{self, Fault, Node, Spot, Table, quoted},
};

pub(crate) use within::within;

use sets::Sets;

const PRIORITY_MAX: u32 = 1_000_000;
const NAME_CHARS_MAX: usize = 100;
const MESSAGE_CHARS_MAX: usize = 500;
/// No referral goes to more inboxes at once, nor do more stand in for one.
const TARGETS_MAX: usize = 20;
/// A route file has no more bytes.
pub const TEXT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Nor do the files that it names, together.
pub const FILES_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a route file may name.
#[derive(Clone)]
pub struct Known<'k> {
    /// The inboxes.
    pub inboxes: BTreeSet<InboxId>,
    /// The services that exactly one inbox is for, by the words of the configuration.
    pub services: BTreeMap<String, InboxId>,
    /// The originating systems.
    pub systems: BTreeSet<SystemId>,
    /// When people work.
    pub working_time: &'k WorkingTime,
    /// Where postcodes lie.
    pub places: &'k Places,
    /// Reads a file that the route file names, beside it; an error says why it cannot be read.
    pub files: &'k dyn Fn(&str) -> Result<String, String>,
}

/// What of a set is held against the rest of it.
#[derive(Clone, Copy)]
struct Held {
    /// Its rules, against each other.
    rules: bool,
    /// Its tests, against its rules.
    cases: bool,
}

/// A route file being read.
struct Reading<'k> {
    known: Known<'k>,
    sets: Sets,
    files: RefCell<BTreeMap<String, Arc<str>>>,
}

// === impl RouteSet ===

impl RouteSet {
    /// Reads the text of a route file, which faults call `file_name`, holds its rules against each other and its own tests against it.
    /// Whatever it names must be known. What is legal but risky comes beside it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(text: &str, file_name: &str, known: Known<'_>) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        Self::read_and(text, file_name, known, Held { rules: true, cases: true })
    }

    /// The same without trying its tests.
    ///
    /// # Errors
    /// Everything else that is wrong with it.
    pub fn read_untried(text: &str, file_name: &str, known: Known<'_>) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        Self::read_and(text, file_name, known, Held { rules: true, cases: false })
    }

    /// Reads a set that was held against itself when it was stored: here only whether what it names is known.
    ///
    /// # Errors
    /// What it names and is not known.
    pub fn read_again(text: &str, file_name: &str, known: Known<'_>) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        Self::read_and(text, file_name, known, Held { rules: false, cases: false })
    }

    /// Reads a set whose rules may be at odds with each other.
    #[cfg(test)]
    pub(super) fn read_unchecked(
        text: &str,
        file_name: &str,
        known: Known<'_>,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        Self::read_and(text, file_name, known, Held { rules: false, cases: true })
    }

    fn read_and(text: &str, file_name: &str, known: Known<'_>, held: Held) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        if text.len() > TEXT_MAX_BYTES {
            return Err(vec![Fault::of_file(file_name, format!("it has more than {TEXT_MAX_BYTES} bytes"))]);
        }
        let (reader, table) = toml_reader::read(file_name, text);
        if reader.has_faults() {
            return Err(reader.finish().0);
        }
        let mut root = reader.root(&table);
        let mut reading = Reading { known, sets: Sets::default(), files: RefCell::default() };
        reading.sets = sets::read(&mut root, &reading);
        let (mut route_names, mut case_names) = (BTreeSet::new(), BTreeSet::new());
        let mut spots = BTreeMap::new();
        let mut route = |table: Table<'_>| {
            let spot = table.spot();
            let route = reading.route(table, &mut route_names)?;
            spots.insert(route.name.clone(), spot);
            Some(route)
        };
        let routes = root.tables("route").into_iter().filter_map(&mut route).collect();
        let triage = root.get("triage").and_then(|triage| {
            let mut triage = triage.table("a table with the key to")?;
            let to = triage.need("to", "the id of an inbox").and_then(|to| reading.inbox(&to));
            triage.finish();
            to
        });
        let needs = root.tables("needs").into_iter().filter_map(|need| reading.need(need)).collect();
        let mut coverage_names = BTreeSet::new();
        let coverages = root.tables("coverage").into_iter();
        let coverages: Vec<_> = coverages.filter_map(|one| reading.coverage(one, &mut coverage_names)).collect();
        let cases = root.tables("test").into_iter().filter_map(|case| reading.case(case, &mut case_names)).collect();
        root.finish();
        if reader.has_faults() {
            // half a set would only show faults that are none
            return Err(reader.finish().0);
        }
        let routes: Vec<Route> = routes;
        if routes.is_empty() && triage.is_none() {
            let told = "it has no route and no [triage]: every referral would be refused; an inbox under [triage] takes them all";
            return Err(vec![Fault::of_file(file_name, told)]);
        }
        let Reading { known, files, .. } = reading;
        let (working_time, places) = (known.working_time, known.places);
        let set = Self::of(Parts { routes, triage, needs, cases, files: files.into_inner() });
        let line_of = |spot: &Spot| reader.line_of(spot);
        let checked = Checked {
            routes: set.routes(),
            spots: &spots,
            coverages: &coverages,
            systems: &known.systems,
            working_time,
            line_of: &line_of,
        };
        if held.rules {
            check::faults(&checked).into_iter().for_each(|(spot, message)| reader.fault_at(&spot, message));
        }
        for case in set.cases().iter().filter(|_| held.cases) {
            if let Err(failed) = set.try_case(case, working_time, places) {
                reader.fault_at(&case.spot, format!("the test “{}” fails: {failed}", case.name));
            }
        }
        let (faults, warnings) = reader.finish();
        if faults.is_empty() { Ok((set, warnings)) } else { Err(faults) }
    }
}

// === impl Reading ===

impl Reading<'_> {
    /// `None` only after a fault was noted.
    fn route(&self, mut table: Table<'_>, names: &mut BTreeSet<String>) -> Option<Route> {
        let name = name(&mut table, names);
        let priority = table.get("priority").map_or(Some(DEFAULT_PRIORITY), |number| number.number(0, PRIORITY_MAX));
        let when = table.need("when", "at least one condition").and_then(|when| self.when(&when));
        let to = table.need("to", "the id of an inbox, or a list of ids").and_then(|to| self.inboxes(&to));
        let words = [("copy", Share::Copy), ("split", Share::Split)];
        let share_node = table.get("share");
        let share = share_node.as_ref().map_or(Some(Share::Copy), |node| node.choice(&words));
        if let (Some(node), Some([_])) = (&share_node, to.as_deref()) {
            node.fault("a share, though there is one target", "several ids under to, or no share");
        }
        let fallback_node = table.get("fallback");
        let fallback = fallback_node.as_ref().map_or(Some(Vec::new()), |node| self.inboxes(node));
        if let (Some(node), Some(fallback), Some(to)) = (&fallback_node, &fallback, &to)
            && let Some(same) = fallback.iter().find(|inbox| to.contains(inbox))
        {
            node.fault(&format!("\"{same}\", which stands under to as well"), "an inbox that is no target itself");
        }
        let terms = Terms {
            acknowledge_within: table.get("acknowledge-within").and_then(|node| within(&node)),
            answer_within: table.get("answer-within").and_then(|node| within(&node)),
            escalate_to: table.get("escalate-to").and_then(|node| {
                let inbox = self.inbox(&node)?;
                if to.as_ref().is_some_and(|to| to.contains(&inbox)) {
                    node.fault(
                        &format!("\"{inbox}\", which stands under to as well"),
                        "an inbox that is no target itself",
                    );
                    return None;
                }
                Some(inbox)
            }),
        };
        table.finish();
        Some(Route {
            name: name?,
            priority: priority?,
            when: when?,
            to: to?,
            share: share?,
            fallback: fallback?,
            terms,
        })
    }

    fn need(&self, mut table: Table<'_>) -> Option<Need> {
        let to = table.need("to", "the ids of the inboxes that insist").and_then(|node| self.inboxes(&node));
        let fhirpath = table.need("fhirpath", "what must be true of the ServiceRequest").and_then(|node| path(&node));
        let message = table.need("message", "what the sender is told").and_then(|node| node.line(MESSAGE_CHARS_MAX));
        table.finish();
        Some(Need { to: to?, fhirpath: fhirpath?, message: message? })
    }

    /// One id, or a list of them.
    fn inboxes(&self, node: &Node<'_>) -> Option<Vec<InboxId>> {
        if !node.is_list() {
            return self.inbox(node).map(|inbox| vec![inbox]);
        }
        let items = node.items("a list of ids of inboxes");
        if items.is_empty() || items.len() > TARGETS_MAX {
            node.fault(&format!("{} inboxes", items.len()), format!("1 to {TARGETS_MAX} ids of inboxes"));
            return None;
        }
        // every item is read before any is missed, so that all faults are told
        let read: Vec<Option<InboxId>> = items.iter().map(|item| self.inbox(item)).collect();
        let read: Vec<InboxId> = read.into_iter().collect::<Option<_>>()?;
        let twice = read.iter().enumerate().find(|(at, id)| read.iter().take(*at).any(|before| before == *id));
        if let Some((at, id)) = twice
            && let Some(item) = items.get(at)
        {
            item.fault(&format!("\"{id}\" a second time"), "an id once");
            return None;
        }
        Some(read)
    }

    /// The id of an inbox, or `service:` and the words by which the configuration says what an inbox is for.
    fn inbox(&self, node: &Node<'_>) -> Option<InboxId> {
        let known = &self.known;
        if let Some(service) = node.is_text().then(|| node.text("")).flatten().and_then(|t| t.strip_prefix("service:"))
        {
            let found = known.services.get(service.trim());
            if found.is_none() {
                let services = known.services.keys().map(|words| format!("\"service:{words}\""));
                let services = services.collect::<Vec<_>>().join(", ");
                let services =
                    if services.is_empty() { "none, because no inbox names one".to_owned() } else { services };
                node.fault(&format!("{}, which no inbox is for", quoted(service)), services);
            }
            return found.cloned();
        }
        let allowed = one_of(&known.inboxes);
        node.parse::<InboxId>(&allowed).filter(|id| {
            let is_known = known.inboxes.contains(id);
            if !is_known {
                node.fault(&format!("\"{id}\", which is no inbox"), &allowed);
            }
            is_known
        })
    }

    fn system(&self, node: &Node<'_>) -> Option<SystemId> {
        let allowed = one_of(&self.known.systems);
        let text = node.text(&allowed)?;
        let known = text.parse::<SystemId>().ok().filter(|id| self.known.systems.contains(id));
        if known.is_none() {
            node.fault(&quoted(text), allowed);
        }
        known
    }

    /// The text of a file that the set names; it is remembered.
    fn file(&self, node: &Node<'_>, name: &str) -> Option<Arc<str>> {
        if let Some(known) = self.files.borrow().get(name) {
            return Some(Arc::clone(known));
        }
        let told = "the path of a file beside the route file";
        if name.starts_with('/') || name.split(['/', '\\']).any(|part| part == "..") {
            node.fault(&format!("{}, which leads elsewhere", quoted(name)), told);
            return None;
        }
        let text = match (self.known.files)(name) {
            Ok(text) => Arc::<str>::from(text),
            Err(why) => {
                node.fault(&format!("{}, which cannot be read: {why}", quoted(name)), told);
                return None;
            }
        };
        let mut files = self.files.borrow_mut();
        if files.values().map(|text| text.len()).sum::<usize>() + text.len() > FILES_MAX_BYTES {
            node.fault(
                &format!("{}, and with it too much", quoted(name)),
                format!("{FILES_MAX_BYTES} bytes in all files together"),
            );
            return None;
        }
        files.insert(name.to_owned(), Arc::clone(&text));
        Some(text)
    }
}

/// The name of a table, once in the file.
fn name(table: &mut Table<'_>, names: &mut BTreeSet<String>) -> Option<String> {
    table.need("name", "a name for people, once in the file").and_then(|name| {
        let text = name.line(NAME_CHARS_MAX)?;
        if text == TEST_ROUTE {
            name.fault(&format!("\"{text}\""), "another name: this is what tests of Onward's own are told by");
        }
        if !names.insert(text.clone()) {
            name.fault(&format!("\"{text}\" a second time"), "a name once in the file");
        }
        Some(text)
    })
}

fn path(node: &Node<'_>) -> Option<Path> {
    let text = node.text("a FHIRPath expression on the ServiceRequest")?;
    let read = Path::read(text);
    if let Err(why) = &read {
        node.fault(&quoted(text), format!("a FHIRPath expression on the ServiceRequest; in this one: {why}"));
    }
    read.ok()
}

fn one_of<T: Display>(ids: &BTreeSet<T>) -> String {
    if ids.is_empty() {
        return "none, because none is configured".to_owned();
    }
    format!("one of {}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
