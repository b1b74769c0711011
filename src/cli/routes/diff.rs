//! `onward routes diff`

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigFile, Ended, check::read_set, in_force, print_json};
use crate::{config::Env, routing::RouteSet};

#[derive(Args, Debug)]
pub(in crate::cli) struct Diff {
    /// The route file that would come.
    candidate: PathBuf,
    /// What it is held against; what is in force, if not said.
    before: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(asked: &Diff) -> Ended {
    let (_, after) = read_set(&asked.file, &asked.candidate)?;
    let before = match &asked.before {
        Some(path) => read_set(&asked.file, path)?.1,
        None => in_force(&asked.file.load(&Env::of_process())?).await?,
    };
    let changes = changes(&before, &after);
    if asked.json {
        print_json(&json!({"from": before.version(), "to": after.version(), "changes": changes}));
        return Ok(());
    }
    if changes.is_empty() {
        say!("the rules are the same (version {})", after.version());
        return Ok(());
    }
    say!("from version {} to {}", before.version(), after.version());
    for change in &changes {
        say!("{}", line(change));
    }
    say!("what this does to referrals, `onward routes rehearse {}` shows", asked.candidate.display());
    Ok(())
}

/// What differs, in the order of the names: a route that came, went or says something else; triage; needs.
fn changes(before: &RouteSet, after: &RouteSet) -> Vec<Value> {
    let by_name = |set: &RouteSet| -> BTreeMap<String, Value> {
        set.routes().iter().map(|route| (route.name.clone(), flat(&json!(route)))).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        match (old.get(name), new.get(name)) {
            (None, Some(route)) => changes.push(json!({"route": name, "change": "added", "to": route})),
            (Some(route), None) => changes.push(json!({"route": name, "change": "removed", "from": route})),
            (Some(old), Some(new)) => {
                let keys: BTreeSet<&String> =
                    [old, new].iter().filter_map(|one| one.as_object()).flat_map(|o| o.keys()).collect();
                for key in keys {
                    let (from, to) = (&old[key], &new[key]);
                    if from != to {
                        changes.push(json!({"route": name, "change": "changed", "key": key, "from": from, "to": to}));
                    }
                }
            }
            (None, None) => {}
        }
    }
    if before.triage() != after.triage() {
        changes.push(json!({"change": "changed", "key": "triage", "from": before.triage(), "to": after.triage()}));
    }
    let (old, new) = (before.named_sets(), after.named_sets());
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
        let items = |set: &BTreeMap<String, Value>| -> Vec<Value> {
            set.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let (was, is) = (items(&old), items(&new));
        let only =
            |of: &[Value], other: &[Value]| json!(of.iter().filter(|one| !other.contains(one)).collect::<Vec<_>>());
        changes.push(json!({"change": "changed", "key": name, "from": only(&was, &is), "to": only(&is, &was)}));
    }
    let needs =
        |set: &RouteSet| -> BTreeSet<String> { set.needs().iter().map(|need| json!(need).to_string()).collect() };
    let (old, new) = (needs(before), needs(after));
    let value = |text: &String| serde_json::from_str::<Value>(text).unwrap_or_default();
    changes.extend(new.difference(&old).map(|need| json!({"change": "added", "key": "needs", "to": value(need)})));
    changes.extend(old.difference(&new).map(|need| json!({"change": "removed", "key": "needs", "from": value(need)})));
    changes
}

/// A route with each of its conditions as a key of its own.
fn flat(route: &Value) -> Value {
    let mut flat = serde_json::Map::new();
    for (key, value) in route.as_object().into_iter().flatten() {
        match key.as_str() {
            "name" => {}
            "when" => {
                let conditions = value.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
                flat.extend(conditions.map(|(word, wanted)| (format!("when.{word}"), wanted.clone())));
            }
            _ => {
                flat.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(flat)
}

fn line(change: &Value) -> String {
    let text = |key: &str| change[key].as_str().unwrap_or_default().to_owned();
    let what = match (text("route"), text("key")) {
        (route, key) if key.is_empty() => format!("route {route}"),
        (route, key) if route.is_empty() => key,
        (route, key) => format!("route {route}: {key}"),
    };
    match text("change").as_str() {
        "added" => format!("+ {what} {}", change["to"]),
        "removed" => format!("- {what} {}", change["from"]),
        _ => format!("~ {what}: {} → {}", change["from"], change["to"]),
    }
}
