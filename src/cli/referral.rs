//! `onward referral`

use clap::Subcommand;
use serde_json::{Value, json};

use super::{ConfigFile, Ended, Finding, print_json};
use crate::{
    domain::{Event, clock::instant},
    store::{Attempt, JournalLine, TaskRecord},
};

#[derive(Subcommand, Debug)]
pub(super) enum Referral {
    /// Tells everything that happened to one, with times.
    Show {
        /// Task id, ServiceRequest id, or placer identifier `system|value`.
        id: String,
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(referral: &Referral) -> Ended {
    let Referral::Show { id, file, json } = referral;
    let store = file.open_store().await?;
    let tasks = store.find_tasks(id).await?;
    if tasks.is_empty() {
        return Err(Finding(format!("no referral is known as “{id}”")).into());
    }
    let mut all = Vec::new();
    for task in tasks {
        let journal = store.journal(task.id).await?;
        let attempts = store.attempts(task.id).await?;
        let decision = store.decision_of(task.referral).await?.unwrap_or_default();
        if *json {
            all.push(as_json(&task, &journal, &attempts, &decision));
        } else {
            print(&task, &journal, &attempts);
        }
    }
    if *json {
        print_json(&all.into());
    }
    Ok(())
}

fn as_json(task: &TaskRecord, journal: &[JournalLine], attempts: &[Attempt], decision: &str) -> Value {
    json!({
        "task": task.id.to_string(),
        "part_of": task.part_of.map(|id| id.to_string()),
        "service_request": task.request.to_string(),
        "identifier": task.identifier,
        "system": task.system.as_str(),
        "inbox": task.inbox.as_str(),
        "provider": task.provider.as_str(),
        "status": task.state.status.code(),
        "transport_status": task.state.transport.map(|t| t.code()),
        "decision": serde_json::from_str::<Value>(decision).unwrap_or_default(),
        "journal": journal.iter().map(line_json).collect::<Vec<_>>(),
        "tries": attempts.iter().map(attempt_json).collect::<Vec<_>>(),
    })
}

fn line_json(line: &JournalLine) -> Value {
    let event = serde_json::to_value(&line.event).unwrap_or_default();
    let detail = event.as_object().and_then(|o| o.values().next()).cloned();
    json!({
        "seq": line.seq,
        "at": instant(line.at),
        "event": line.event.name(),
        "by": line.actor.to_string(),
        "detail": detail,
    })
}

pub(super) fn attempt_json(attempt: &Attempt) -> Value {
    json!({
        "at": instant(attempt.at),
        "lane": attempt.side.code(),
        "of": attempt.of,
        "endpoint": attempt.endpoint,
        "result": attempt.result,
        "why": attempt.why,
        "duration_ms": attempt.duration.as_secs_f64() * 1000.0,
    })
}

fn print(task: &TaskRecord, journal: &[JournalLine], attempts: &[Attempt]) {
    say!("Task {}", task.id);
    say!("  ServiceRequest  {}", task.request);
    say!("  identifier      {}", task.identifier.as_deref().unwrap_or("none"));
    say!("  from            {}", task.system);
    if task.is_parent() {
        say!("  to              several targets, whose Tasks are parts of this");
    } else {
        say!("  to              {} (inbox {})", task.provider, task.inbox);
    }
    if let Some(parent) = task.part_of {
        say!("  part of         Task {parent}");
    }
    let transport = task.state.transport.map(|t| format!(", {t}")).unwrap_or_default();
    say!("  status          {}{transport}", task.state.status);
    let mut lines: Vec<_> = journal.iter().map(|l| (l.at, line_text(l))).collect();
    lines.extend(attempts.iter().map(|a| (a.at, attempt_text(a))));
    // a try begins before the event that it led to; those of one moment keep their order
    lines.sort_by_key(|(at, _)| *at);
    for (_, line) in lines {
        say!("  {line}");
    }
    say!();
}

fn line_text(line: &JournalLine) -> String {
    format!("{}  {:>3}  {:<22} {}  by {}", instant(line.at), line.seq, line.event.name(), told(&line.event), line.actor)
}

fn told(event: &Event) -> String {
    match event {
        Event::Submitted { route, route_set, inbox, .. } if inbox.is_of_parent() => {
            let route = route.as_deref().unwrap_or_default();
            format!("to several targets by route “{route}” (set {route_set}); each has a Task that is a part of this")
        }
        Event::Submitted { route, route_set, inbox, instead_of, beside } => {
            let instead = instead_of.as_ref().map(|i| format!(", instead of {}, which is {}", i.inbox, i.why));
            let instead = instead.unwrap_or_default();
            let beside =
                beside.map(|other| format!("; Task {other} of the same person was open there")).unwrap_or_default();
            match route {
                Some(route) => format!("to inbox {inbox} by route “{route}” (set {route_set}){instead}{beside}"),
                None => format!("to the triage inbox {inbox}, as no route matched (set {route_set}){instead}{beside}"),
            }
        }
        Event::Escalated { to, task } => format!("to inbox {to} as well, as Task/{task}"),
        Event::Followed { part, status, to } => format!("{to}, as its part Task/{part} is {status}"),
        Event::PartChanged { part, status } => format!("its part Task/{part} is {status}"),
        Event::Delivered { remote, by_answer: true, .. } => {
            format!("confirmed by its answer{}", remote.as_deref().map(|r| format!(" as Task/{r}")).unwrap_or_default())
        }
        Event::Delivered { remote, .. } => {
            remote.as_deref().map(|r| format!("there it is Task/{r}")).unwrap_or_default()
        }
        Event::Listed { inbox } => format!("in the worklist of {inbox}"),
        Event::HandedOver { inbox } => format!("in the queue amqp.{inbox}"),
        Event::Amended { request, with, .. } => {
            let read = if with.is_empty() { String::new() } else { format!(", with {} read for it", with.len()) };
            format!("version {request} of the ServiceRequest{read}")
        }
        Event::CancellationRequested { request, .. } | Event::Retracted { request, .. } => {
            format!("by version {request} of the ServiceRequest")
        }
        Event::Cancelled { request: Some(request) } => {
            format!("before anything was sent, by version {request} of the ServiceRequest")
        }
        Event::Cancelled { request: None } => "the provider does not have it".to_owned(),
        Event::Message { communication, asks, .. } => {
            format!("Communication/{communication}{}", if *asks { ", which asks for more" } else { "" })
        }
        Event::PassedOn { of } => format!("seq {of}; the provider has it"),
        Event::DeliveryDelayed | Event::NotOpened | Event::Overdue | Event::CopyReadable | Event::RequestClosed => {
            String::new()
        }
        Event::Undeliverable { why }
        | Event::AnswerRefused { why }
        | Event::CopyUnreadable { why }
        | Event::RequestNotClosed { why }
        | Event::RecordNotFound { why } => why.clone(),
        Event::Answered { from, to, implied } => {
            format!("{from} → {to}{}", if *implied { " (implied)" } else { "" })
        }
        Event::WrittenBack { of, remote } => format!("seq {of}; in the record it is Task/{remote}"),
        Event::WriteBackFailed { of, why } => format!("seq {of}: {why}"),
        Event::Discarded { side, of, reason } => format!("{side} of seq {of}: {reason}"),
        Event::SeenTo { line, reason } => format!("{line}: {reason}"),
        Event::Superseded { side, of } | Event::Replayed { side, of } => format!("{side} of seq {of}"),
    }
}

pub(super) fn attempt_text(attempt: &Attempt) -> String {
    format!(
        "{}       {} of seq {} {} at {} in {:.1} ms{}",
        instant(attempt.at),
        attempt.side,
        attempt.of,
        attempt.result,
        attempt.endpoint,
        attempt.duration.as_secs_f64() * 1000.0,
        attempt.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default()
    )
}
