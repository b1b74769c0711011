//! What entries of the directory lead to, and what of the directory leads to them.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::super::{INCLUDED_MAX, Match, too_much_along};
use crate::{
    directory::{entry, referred},
    domain::EntryKind,
    http::{Shared, directory, reply::Fault},
    search::{COUNT_MAX, Include, Search, parameters},
};

/// So many ids are asked for in one look at the index.
const IDS_AT_ONCE: usize = 100;

type Named = (String, String);

/// What these bodies refer to in the directory, by type and id.
pub(in super::super) async fn led_to_by<'b>(
    app: &Shared,
    bodies: impl Iterator<Item = &'b Value>,
    base: &str,
) -> Result<HashMap<Named, Value>, Fault> {
    let mut wanted: BTreeMap<EntryKind, HashSet<String>> = BTreeMap::new();
    for body in bodies {
        referred(body, &mut |_, literal| {
            if let Some((kind, id)) = entry::named(literal, base) {
                wanted.entry(kind).or_default().insert(id.to_owned());
            }
        });
    }
    let mut all = HashMap::new();
    for (kind, ids) in wanted {
        let found = super::read(app, kind, ids.iter().map(String::as_str)).await?;
        all.extend(found.into_iter().map(|(id, found)| ((kind.code().to_owned(), id), found.body)));
    }
    Ok(all)
}

/// What the matches lead to in the directory, and what of it leads to them, each once.
pub(in super::super) async fn brought_along(
    app: &Shared,
    search: &Search,
    matches: &[Match],
    base: &str,
) -> Result<Vec<Value>, Fault> {
    let mut known: HashSet<Named> = matches.iter().map(|m| (m.found.kind.clone(), m.found.id.clone())).collect();
    let mut from: Vec<Value> = matches.iter().map(|m| m.found.body.clone()).collect();
    let mut brought = Vec::new();
    let mut first = true;
    // each round goes on from what the last one brought, as far as it may
    while !from.is_empty() {
        let mut new = forward(app, search, &from, base, first, &mut known).await?;
        new.extend(backward(app, search, &from, base, first, &mut known).await?);
        if brought.len() + new.len() > INCLUDED_MAX {
            return Err(too_much_along());
        }
        brought.extend(new.iter().cloned());
        from = new;
        first = false;
    }
    Ok(brought.into_iter().map(|body| directory::measured(app, body)).collect())
}

async fn forward(
    app: &Shared,
    search: &Search,
    from: &[Value],
    base: &str,
    first: bool,
    known: &mut HashSet<Named>,
) -> Result<Vec<Value>, Fault> {
    let now = jiff::Timestamp::now();
    let mut wanted: BTreeMap<EntryKind, Vec<String>> = BTreeMap::new();
    for body in from {
        for include in search.includes.iter().filter(|include| first || include.iterate) {
            for (kind, id) in include.leads_to(body, base, now) {
                let Ok(of) = kind.parse::<EntryKind>() else { continue };
                if known.insert((kind, id.clone())) {
                    wanted.entry(of).or_default().push(id);
                }
            }
        }
    }
    if wanted.values().map(Vec::len).sum::<usize>() > INCLUDED_MAX {
        return Err(too_much_along());
    }
    let mut new = Vec::new();
    for (kind, ids) in wanted {
        let mut found = super::read(app, kind, ids.iter().map(String::as_str)).await?;
        new.extend(ids.iter().filter_map(|id| found.remove(id)).map(|found| found.body));
    }
    Ok(new)
}

async fn backward(
    app: &Shared,
    search: &Search,
    from: &[Value],
    base: &str,
    first: bool,
    known: &mut HashSet<Named>,
) -> Result<Vec<Value>, Fault> {
    let now = jiff::Timestamp::now();
    let targets: Vec<Named> = from.iter().filter_map(name_of).collect();
    let mut new = Vec::new();
    for include in search.revincludes.iter().filter(|include| first || include.iterate) {
        let Ok(kind) = include.from.parse::<EntryKind>() else { continue };
        for (by, target) in ways(include, &targets) {
            for ids in target.chunks(IDS_AT_ONCE) {
                let values: Vec<String> = ids.iter().map(|(kind, id)| format!("{kind}/{id}")).collect();
                let pairs = [(by.to_owned(), values.join(","))];
                let Ok(asked) = Search::read(kind.code(), &pairs, base, false) else { continue };
                let candidates = app.directory.candidates(kind, &asked, None).await?;
                let of_registry = app.directory.of_registry(kind);
                let made = of_registry.iter().filter_map(name_of).map(|(_, id)| id);
                let all: Vec<String> = candidates.iter().map(|c| c.id.to_string()).chain(made).collect();
                for chunk in all.chunks(COUNT_MAX) {
                    let mut found = super::read(app, kind, chunk.iter().map(String::as_str)).await?;
                    for id in chunk {
                        let Some(found) = found.remove(id) else { continue };
                        let leads = include.leads_to(&found.body, base, now);
                        if leads.iter().any(|named| ids.contains(named))
                            && known.insert((found.kind.clone(), found.id.clone()))
                        {
                            new.push(found.body);
                        }
                    }
                    if new.len() > INCLUDED_MAX {
                        return Err(too_much_along());
                    }
                }
            }
        }
    }
    Ok(new)
}

/// By which parameters what leads to these is found, and which of them each can lead to.
fn ways<'p>(include: &'p Include, targets: &[Named]) -> Vec<(&'p str, Vec<Named>)> {
    let by = |name: &str| include.by.as_ref().is_none_or(|by| by.name == name);
    let references = parameters(&include.from)
        .filter(|parameter| parameter.kind == crate::definitions::SearchKind::Reference && by(parameter.name));
    let of = |targets_of: &[&str]| -> Vec<Named> {
        let may = |kind: &str| targets_of.is_empty() || targets_of.contains(&kind);
        targets.iter().filter(|(kind, _)| may(kind)).cloned().collect()
    };
    references.map(|parameter| (parameter.name, of(parameter.targets))).filter(|(_, to)| !to.is_empty()).collect()
}

fn name_of(body: &Value) -> Option<Named> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((text("resourceType")?, text("id")?))
}
