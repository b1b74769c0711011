//! `onward routes check` and `onward routes test`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{ConfigFile, Ended, Finding, print_json, shown};
use crate::{
    config::{
        Config, Env, Fault,
        routes::{beside, read_text},
    },
    routing::{RouteSet, TEXT_MAX_BYTES},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Check {
    /// The route file; the one that [routes] names, if not said.
    routes: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Test {
    /// The route file; the one that [routes] names, if not said.
    routes: Option<PathBuf>,
    /// Only tests whose names hold these words.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn check(asked: &Check) -> Ended {
    let (config, path) = place(&asked.file, asked.routes.as_deref())?;
    let text = text(&path)?;
    let name = path.display().to_string();
    match RouteSet::read(&text, &name, config.registry.known(&beside(&path))) {
        Ok((set, warnings)) if asked.json => {
            print_json(&json!({"version": set.version(), "routes": set.routes().len(), "tests": set.cases().len(),
                               "faults": [], "warnings": warnings}));
        }
        Ok((set, warnings)) => {
            for warning in &warnings {
                eprintln!("{}", shown::warning(warning, &text));
            }
            say!("good: {}, {} tests hold", super::super::check::said_of(&set), set.cases().len());
        }
        Err(faults) => {
            if asked.json {
                print_json(&json!({"faults": faults}));
            } else {
                faults.iter().for_each(|fault| eprintln!("{}\n", shown::fault(fault, &text)));
            }
            return Err(count(&faults).into());
        }
    }
    Ok(())
}

pub(in crate::cli) fn test(asked: &Test) -> Ended {
    let (config, path) = place(&asked.file, asked.routes.as_deref())?;
    let text = text(&path)?;
    let registry = &config.registry;
    let read = RouteSet::read_untried(&text, &path.display().to_string(), registry.known(&beside(&path)));
    let (set, _) = read.map_err(|faults| {
        faults.iter().for_each(|fault| eprintln!("{}\n", shown::fault(fault, &text)));
        count(&faults)
    })?;
    let wanted = |name: &str| asked.only.as_ref().is_none_or(|words| name.contains(words.as_str()));
    let (mut tried, mut failed) = (Vec::new(), 0);
    for case in set.cases().iter().filter(|case| wanted(&case.name)) {
        let outcome = set.try_case(case, &registry.working_time, &registry.places);
        failed += usize::from(outcome.is_err());
        if asked.json {
            let why = outcome.as_ref().err().map(|failed| json!({"expected": failed.expected, "found": failed.found}));
            tried.push(json!({"name": case.name, "holds": outcome.is_ok(), "why": why}));
            continue;
        }
        match outcome {
            Ok(()) => say!("ok      {}: {}", case.name, case.expected),
            Err(why) => say!("FAILED  {}: {why}", case.name),
        }
        tried.push(json!(null));
    }
    if asked.json {
        print_json(&json!(tried));
    }
    match (tried.len(), failed) {
        (0, _) => Err(Finding("no test was tried: the set has none that is so called".into()).into()),
        (all, 0) => {
            if !asked.json {
                say!("good: all {all} tests hold");
            }
            Ok(())
        }
        (all, failed) => Err(Finding(format!("{failed} of {all} tests fail")).into()),
    }
}

/// A route set, good as a whole, and the configuration that it is held against.
pub(super) fn read_set(file: &ConfigFile, path: &Path) -> anyhow::Result<(Config, RouteSet)> {
    let (config, path) = place(file, Some(path))?;
    let text = text(&path)?;
    let read = RouteSet::read(&text, &path.display().to_string(), config.registry.known(&beside(&path)));
    let (set, _) = read.map_err(|faults| {
        faults.iter().for_each(|fault| eprintln!("{}\n", shown::fault(fault, &text)));
        count(&faults)
    })?;
    Ok((config, set))
}

/// The configuration apart from its routes, and which route file is meant.
fn place(file: &ConfigFile, named: Option<&Path>) -> anyhow::Result<(Config, PathBuf)> {
    let config = file.load_apart(&Env::of_process())?;
    let none = || Finding("say which route file: [routes] names none".into());
    let path = named.or(config.routes.file.as_deref()).ok_or_else(none)?.to_owned();
    Ok((config, path))
}

fn text(path: &Path) -> anyhow::Result<String> {
    let read = read_text(path, TEXT_MAX_BYTES);
    read.map_err(|why| Finding(format!("{} cannot be read: {why}", path.display())).into())
}

fn count(faults: &[Fault]) -> Finding {
    let s = if faults.len() == 1 { "" } else { "s" };
    Finding(format!("the route set has {} fault{s}", faults.len()))
}
