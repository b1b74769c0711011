//! `onward routes explain`

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::{ConfigFile, Ended, Finding, in_force, print_json};
use crate::{
    config::Env,
    domain::{SystemId, Timestamp},
    fhir::{Limits, gate, tree, xml},
    intake::{IntakeError, apart, asked_of},
    profiles::Asked,
    routing::all_open,
    service::profiles,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Explain {
    /// A ServiceRequest or a transaction Bundle, JSON or XML.
    referral: PathBuf,
    /// The originating system it would come from; every registered one, if not said.
    #[arg(long, value_name = "ID")]
    system: Option<SystemId>,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(asked: &Explain) -> Ended {
    let Explain { referral, system, file, json } = asked;
    let config = file.load(&Env::of_process())?;
    let registry = &config.registry;
    let routes = in_force(&config).await?;
    if let Some(unknown) = system.as_ref().filter(|id| !registry.systems.contains_key(id)) {
        let known: Vec<_> = registry.systems.keys().map(SystemId::as_str).collect();
        return Err(
            Finding(format!("no originating system is called “{unknown}”; there are: {}", known.join(", "))).into()
        );
    }
    let body = read(referral)?;
    let expected = if tree::resource_type(&body) == Some("Bundle") { "Bundle" } else { "ServiceRequest" };
    let validator = profiles::validator(&config).map_err(|error| Finding(error.to_string()))?;
    let now = Timestamp::now();
    let asked = match system.as_ref().and_then(|id| registry.systems.get(id)) {
        Some(system) => asked_of(system, now),
        None => Asked::at(now),
    };
    let apart = apart::read(body, expected, &validator, &asked).map_err(|error| not_right(&error))?;
    let systems = registry.systems.keys().filter(|id| system.as_ref().is_none_or(|wanted| wanted == *id));
    let mut all = Vec::new();
    let mut unrouted = 0;
    for from in systems {
        for draft in &apart.drafts {
            let request = &apart.items[draft.request].resource;
            // what intake would read from the record is not read here
            let explanation = routes.explain(
                &apart.facts(draft, from, &BTreeMap::new(), registry.setting(now)),
                &all_open,
                usize::MAX,
            );
            unrouted += usize::from(explanation.inboxes.is_empty());
            let identifier =
                tree::identifiers(request).next().map(|(s, v, _)| format!("{}|{v}", s.unwrap_or_default()));
            if *json {
                all.push(json!({"system": from.as_str(), "identifier": identifier, "explanation": explanation}));
            } else {
                say!("from {from}, {}", identifier.as_deref().unwrap_or("without identifier"));
                say!("{explanation}\n");
            }
        }
    }
    if *json {
        print_json(&all.into());
    }
    if unrouted == 0 {
        Ok(())
    } else {
        Err(Finding("a referral would be refused: no route, and no triage inbox".into()).into())
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Value> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is_xml = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<') || bytes.starts_with(b"\xef\xbb\xbf<");
    let limits = Limits::default();
    let read = if is_xml { xml::read(&bytes, &limits) } else { gate::read(&bytes, &limits).map(|body| (body, vec![])) };
    let read = read.and_then(|(body, mut out_of_order)| out_of_order.pop().map_or(Ok(body), Err));
    read.map_err(|issue| Finding(format!("{}: {}", issue.expression.join(", "), issue.diagnostics)).into())
}

fn not_right(error: &IntakeError) -> Finding {
    let (IntakeError::Invalid(issues) | IntakeError::Rule(issues)) = error else { return Finding(error.to_string()) };
    let lines: Vec<String> = issues.iter().map(|i| format!("{}: {}", i.expression.join(", "), i.diagnostics)).collect();
    Finding(format!("it would be refused\n  {}", lines.join("\n  ")))
}
