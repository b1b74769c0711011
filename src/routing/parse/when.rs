//! Reads the conditions of a rule.

use std::{collections::BTreeSet, str::FromStr};

use super::{Reading, name, path};
use crate::{
    places::lsoa,
    routing::{
        Condition, Coverage,
        condition::is_ods_code,
        person::{Consented, Urgency},
        place::{AreaWanted, Piece},
        wanted::CodeWanted,
    },
    toml_reader::{Node, Table, quoted},
};

const CODES: &str = "\"system|code\", \"|code\", \"code\" or \"in:NAME\" of a value set";
const PERFORMERS: &str = "an ODS code, \"system|value\" or a reference such as \"https://…/HealthcareService/1\"";
const AREAS: &str = "a postcode area such as \"CH\", an outward code such as \"L1\", the beginning of a census area such as \
                     \"lsoa:E0100651\", or \"in:NAME\" of an area";
const ODS: &str = "an ODS code: 3 to 10 letters and digits";
const AGES: &str = "completed years such as \"18..64\", \"..17\", \"65..\" or \"40\"";
const LANGUAGES: &str = "a language tag such as \"cy\" or \"en-GB\"";
const HOURS: &str = "days and hours such as \"mon-fri 09:00-17:00\", \"sat,sun\", \"17:00-09:00\", \"working-days\", \"holidays\" or \
                     \"working-hours\"";
/// No condition has more values.
const VALUES_MAX: usize = 2_000;

impl Reading<'_> {
    pub(super) fn when(&self, node: &Node<'_>) -> Option<Vec<Condition>> {
        let mut table = node.table("a table of conditions")?;
        let given = self.conditions(&mut table);
        if given.is_empty() {
            node.fault("no condition", "at least one; what no route takes goes to the inbox under [triage]");
        }
        table.finish();
        // one that is wrong spoils the rule: without it the rule would take more than was meant
        given.into_iter().collect()
    }

    /// `None` only after a fault was noted.
    pub(super) fn coverage(&self, mut table: Table<'_>, names: &mut BTreeSet<String>) -> Option<Coverage> {
        let spot = table.spot();
        let name = name(&mut table, names);
        let given = self.conditions(&mut table);
        if given.is_empty() {
            table.fault("", "found no condition; needed: at least one, in the words of when");
        }
        table.finish();
        Some(Coverage { spot, name: name?, when: given.into_iter().collect::<Option<_>>()? })
    }

    /// Those that are given, none for one that is wrong.
    fn conditions(&self, table: &mut Table<'_>) -> Vec<Option<Condition>> {
        let org = |item: &Node<'_>| read_text(item, ODS, |text| is_ods_code(text).then(|| text.to_ascii_uppercase()));
        let conditions = [
            table.get("code").map(|node| values(&node, CODES, |item| self.code(item)).map(Condition::Code)),
            table.get("category").map(|node| values(&node, CODES, |item| self.code(item)).map(Condition::Category)),
            table.get("performer").map(|node| any_of(&node, PERFORMERS).map(Condition::Performer)),
            table.get("requester-org").map(|node| values(&node, ODS, org).map(Condition::RequesterOrg)),
            table
                .get("system")
                .map(|node| values(&node, "the id of a system", |item| self.system(item)).map(Condition::System)),
            table
                .get("patient-area")
                .map(|node| values(&node, AREAS, |item| self.area(item)).map(Condition::PatientArea)),
            table.get("patient-age").map(|node| any_of(&node, AGES).map(Condition::PatientAge)),
            table.get("language").map(|node| any_of(&node, LANGUAGES).map(Condition::Language)),
            table.get("consent").map(|node| words(&node, &Consented::WORDS).map(Condition::Consent)),
            table.get("urgency").map(|node| words(&node, &Urgency::WORDS).map(Condition::Urgency)),
            table.get("time").map(|node| any_of(&node, HOURS).map(Condition::Time)),
            table.get("fhirpath").map(|node| values(&node, "a FHIRPath expression", path).map(Condition::Fhirpath)),
        ];
        conditions.into_iter().flatten().collect()
    }

    fn code(&self, item: &Node<'_>) -> Option<CodeWanted> {
        let text = item.text(CODES)?;
        match text.strip_prefix("in:") {
            Some(name) => self.sets.value_set(item, name).map(CodeWanted::InSet),
            None => read_text(item, CODES, |text| text.parse().ok()),
        }
    }

    pub(super) fn area(&self, item: &Node<'_>) -> Option<AreaWanted> {
        let text = item.text(AREAS)?;
        match (text.strip_prefix("in:"), text.strip_prefix("lsoa:")) {
            (Some(name), _) => self.sets.area(item, name).map(AreaWanted::Named),
            (None, Some(_)) => {
                let read = |text: &str| text.strip_prefix("lsoa:").and_then(lsoa);
                read_text(item, AREAS, read).map(|begins| AreaWanted::Piece(Piece::Lsoa(begins)))
            }
            (None, None) => {
                let read = |text: &str| text.parse().ok();
                read_text(item, AREAS, read).map(|area| AreaWanted::Piece(Piece::Postcode(area)))
            }
        }
    }
}

fn any_of<T: FromStr>(node: &Node<'_>, allowed: &str) -> Option<Vec<T>> {
    values(node, allowed, |item| read_text(item, allowed, |text| text.parse().ok()))
}

fn words<T: Copy>(node: &Node<'_>, words: &[(&'static str, T)]) -> Option<Vec<T>> {
    let allowed = words.iter().map(|(word, _)| quoted(word)).collect::<Vec<_>>().join(", ");
    values(node, &allowed, |item| item.choice(words))
}

pub(super) fn read_text<T>(item: &Node<'_>, allowed: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let text = item.text(allowed)?;
    let value = read(text);
    if value.is_none() {
        item.fault(&quoted(text), allowed);
    }
    value
}

/// The values of one condition; `None` after a fault.
pub(super) fn values<T>(node: &Node<'_>, allowed: &str, read: impl Fn(&Node<'_>) -> Option<T>) -> Option<Vec<T>> {
    let items = node.items(&format!("a list, each item {allowed}"));
    if items.is_empty() && node.is_list() {
        node.fault("an empty list, which nothing can match", format!("at least one: {allowed}"));
    }
    if items.len() > VALUES_MAX {
        node.fault(&format!("{} values", items.len()), format!("at most {VALUES_MAX}"));
        return None;
    }
    // every item is read before any is missed, so that all faults are told
    let values: Vec<Option<T>> = items.iter().map(read).collect();
    let values: Option<Vec<T>> = values.into_iter().collect();
    values.filter(|values| !values.is_empty())
}
