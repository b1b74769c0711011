//! `onward routes explain`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{ConfigFile, Ended, Finding, check::read_set, in_force, print_json};
use crate::{
    config::Env,
    domain::{InboxId, SystemId, Timestamp},
    fhir::Limits,
    intake::IntakeError,
    route_sets::explain::{self, Explained, Question},
    routing::Explanation,
    service::profiles,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Explain {
    /// A file with a ServiceRequest or a transaction Bundle, JSON or XML; or the id of a referral that was routed: what was decided
    /// then is told, by the route set of then.
    referral: PathBuf,
    /// Another route set than the one in force.
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    /// When it would be decided, such as 2026-11-26T18:30:00Z; now, if not said.
    #[arg(long, value_name = "MOMENT")]
    at: Option<Timestamp>,
    /// An inbox that takes nothing.
    #[arg(long, value_name = "INBOX")]
    closed: Vec<InboxId>,
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
    let Explain { referral, system, file, json, routes, at, closed } = asked;
    if !referral.exists() {
        return decided(file, &referral.to_string_lossy(), *json).await;
    }
    let (config, routes) = match routes {
        Some(candidate) => read_set(file, candidate)?,
        None => {
            let config = file.load(&Env::of_process())?;
            let routes = in_force(&config).await?;
            (config, routes)
        }
    };
    let registry = &config.registry;
    if let Some(unknown) = system.as_ref().filter(|id| !registry.systems.contains_key(id)) {
        let known: Vec<_> = registry.systems.keys().map(SystemId::as_str).collect();
        return Err(
            Finding(format!("no originating system is called “{unknown}”; there are: {}", known.join(", "))).into()
        );
    }
    let bytes = std::fs::read(referral).with_context(|| format!("cannot read {}", referral.display()))?;
    let body = explain::read(&bytes, &Limits::default())
        .map_err(|issue| Finding(format!("{}: {}", issue.expression.join(", "), issue.diagnostics)))?;
    let validator = profiles::validator(&config).map_err(|error| Finding(error.to_string()))?;
    let question = Question {
        routes: &routes,
        registry,
        system: system.as_ref(),
        at: at.unwrap_or_else(Timestamp::now),
        closed,
        most: usize::MAX,
    };
    let explained = question.asked_of(body, &validator).map_err(|error| not_right(&error))?;
    let mut all = Vec::new();
    let mut unrouted = 0;
    for Explained { system, identifier, explanation } in explained {
        unrouted += usize::from(explanation.inboxes.is_empty());
        if *json {
            all.push(json!({"system": system.as_str(), "identifier": identifier, "explanation": explanation}));
        } else {
            say!("from {system}, {}", identifier.as_deref().unwrap_or("without identifier"));
            say!("{explanation}\n");
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

/// What was decided of a referral when it was routed.
async fn decided(file: &ConfigFile, id: &str, json: bool) -> Ended {
    let looked_for = || format!("“{id}” is no file, and as the id of a referral it is looked for in the store");
    let store = file.open_store().await.with_context(looked_for)?;
    let tasks = store.find_tasks(id).await?;
    let Some(task) = tasks.first() else {
        return Err(Finding(format!("“{id}” is neither a file nor a referral that is known")).into());
    };
    let kept = store.decision_of(task.referral).await?.unwrap_or_default();
    match serde_json::from_str::<Explanation>(&kept) {
        Ok(explanation) if !json => say!("{explanation}"),
        _ => print_json(&serde_json::from_str(&kept).unwrap_or_default()),
    }
    store.close().await;
    Ok(())
}

fn not_right(error: &IntakeError) -> Finding {
    let (IntakeError::Invalid(issues) | IntakeError::Rule(issues)) = error else { return Finding(error.to_string()) };
    let lines: Vec<String> = issues.iter().map(|i| format!("{}: {}", i.expression.join(", "), i.diagnostics)).collect();
    Finding(format!("it would be refused\n  {}", lines.join("\n  ")))
}
