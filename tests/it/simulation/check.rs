//! What must hold when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use onward::{
    domain::{Event, Side, TaskId, TaskStatus, parent, task::TaskState},
    fhir::task::SEQ_EXTENSION,
};
use serde_json::Value;

use super::{
    actors::{Seen, code, number_of},
    net::Servers,
    schedule::{Inbox, Referral, Said, Schedule, Trouble},
};
use crate::support::{
    memory::{Memory, Row, State},
    onward::our_id,
};

/// Everything that is wrong.
pub fn faults(schedule: &Schedule, struck: &[Trouble], memory: &Memory, servers: &Servers, seen: &Seen) -> Vec<String> {
    let mut wrong = seen.wrong.lock().unwrap().clone();
    let rows = memory.rows();
    let acknowledged = seen.acknowledged.lock().unwrap().clone();
    for (n, referral) in schedule.referrals.iter().enumerate() {
        let tasks: BTreeSet<_> = acknowledged.iter().filter(|(m, _)| *m == n).map(|(_, task)| *task).collect();
        let own: Vec<&Row> = rows.iter().filter(|row| number_of(row) == Some(n)).collect();
        // of several it is the parent
        let first: BTreeSet<_> = own.first().map(|row| row.record.id).into_iter().collect();
        let targets = referral.inbox.targets();
        let parents = usize::from(targets.len() > 1);
        if tasks != first || own.len() != targets.len() + parents {
            let stored: Vec<_> = own.iter().map(|row| row.record.id).collect();
            wrong.push(format!("referral {n}: acknowledged {tasks:?}, stored {stored:?}"));
            continue;
        }
        let (parents, parts) = own.split_at(parents);
        let has_refusals = struck.contains(&Trouble::Refused);
        let taken = seen.said.lock().unwrap().contains(&n);
        let says = |row: &Row| row.journal.iter().any(|line| matches!(line.event, Event::Message { .. }));
        for (row, inbox) in parts.iter().zip(targets) {
            let referral = &Referral { inbox: *inbox, ..referral.clone() };
            if row.record.inbox.as_str() != code(*inbox) {
                wrong.push(format!("referral {n}: it went to {}", row.record.inbox));
            }
            if referral.said == Some(Said::Message) {
                // one that has ended hears nothing; another may
                let taken = taken && !parts.iter().any(|other| other.record.id != row.record.id && says(other));
                of_message(row, referral, taken, servers, &mut |what| wrong.push(format!("referral {n}: {what}")));
            }
            of_journal(row, referral, has_refusals, &mut |what| wrong.push(format!("referral {n}: {what}")));
            of_record(row, servers, &mut |what| wrong.push(format!("referral {n}: {what}")));
        }
        for parent in parents {
            of_parent(parent, parts, &mut |what| wrong.push(format!("the parent of referral {n}: {what}")));
            of_record(parent, servers, &mut |what| wrong.push(format!("the parent of referral {n}: {what}")));
        }
    }
    of_receivers(struck, &rows, servers, &mut wrong);
    wrong
}

/// A parent is what follows from its parts, was so at each of their steps, and goes to no provider.
fn of_parent(row: &Row, parts: &[&Row], wrong: &mut dyn FnMut(String)) {
    let states: Vec<_> = parts.iter().map(|part| part.record.state).collect();
    let follows = parent::follow(&states);
    let told = |state: &TaskState| (state.status, state.cancel_requested, state.information_requested);
    if told(&row.record.state) != told(&follows) {
        wrong(format!("it is {:?}, its parts say {follows:?}", row.record.state));
    }
    let mut now: BTreeMap<TaskId, TaskStatus> =
        parts.iter().map(|part| (part.record.id, TaskStatus::Requested)).collect();
    for line in &row.journal {
        match &line.event {
            Event::Followed { part, status, to } => {
                now.insert(*part, *status);
                let follows = parent::status_of(now.values().copied());
                if follows != *to {
                    wrong(format!("it became {to} when {now:?}"));
                }
            }
            Event::PartChanged { part, status } => drop(now.insert(*part, *status)),
            Event::Submitted { .. }
            | Event::WrittenBack { .. }
            | Event::RecordNotFound { .. }
            | Event::RequestClosed
            | Event::RequestNotClosed { .. }
            | Event::WriteBackFailed { .. }
            | Event::Replayed { .. }
            | Event::Superseded { side: Side::WriteBack, .. } => {}
            other => wrong(format!("that should not happen: {other:?}")),
        }
    }
    for part in parts {
        if now.get(&part.record.id) != Some(&part.record.state.status) {
            wrong(format!("it has not heard that {} is {}", part.record.id, part.record.state.status));
        }
        if part.record.part_of != Some(row.record.id) {
            wrong(format!("{} is not a part of it", part.record.id));
        }
    }
    if row.outbox.iter().any(|message| message.wake_up.side == Side::Delivery) {
        wrong("something of it went to a provider".to_owned());
    }
}

fn of_journal(row: &Row, referral: &Referral, has_refusals: bool, wrong: &mut dyn FnMut(String)) {
    let seqs: Vec<_> = row.journal.iter().map(|line| line.seq).collect();
    if seqs != (1..=row.record.seq).collect::<Vec<_>>() {
        wrong(format!("the journal has gaps: {seqs:?}"));
    }
    let (mut status, mut ends) = (TaskStatus::Requested, 0);
    let mut answers = Vec::new();
    let (mut delivered, mut replays, mut said, mut cancelled) = (0, 0, 0, false);
    for line in &row.journal {
        match &line.event {
            Event::Delivered { .. } => {
                delivered += 1;
                if status == TaskStatus::Requested {
                    status = TaskStatus::Received;
                }
            }
            Event::Listed { .. } => delivered += 1,
            Event::Answered { from, to, implied } => {
                if *from != status {
                    wrong(format!("answered from {from}, but it was {status}"));
                }
                status = *to;
                ends += usize::from(to.is_terminal());
                if !implied {
                    answers.push(to.code());
                }
            }
            Event::Message { .. } if referral.said == Some(Said::Message) => said += 1,
            Event::CancellationRequested { .. } if referral.said == Some(Said::Cancel) => said += 1,
            Event::Cancelled { request } if referral.said == Some(Said::Cancel) => {
                // asked for and the provider does not have it; that can only be where it refused it
                if request.is_none() && !has_refusals {
                    wrong("a provider is said not to have what it has not refused".to_owned());
                }
                said += usize::from(request.is_some());
                (status, cancelled) = (TaskStatus::Cancelled, true);
                ends += 1;
            }
            Event::PassedOn { .. } if referral.said.is_some() => {}
            Event::Replayed { .. } => replays += 1,
            Event::Undeliverable { .. }
            | Event::WriteBackFailed { .. }
            | Event::RequestNotClosed { .. }
            | Event::CopyUnreadable { .. }
            | Event::CopyReadable
                if has_refusals => {}
            Event::Submitted { .. }
            | Event::DeliveryDelayed
            | Event::WrittenBack { .. }
            | Event::RecordNotFound { .. }
            | Event::RequestClosed
            | Event::Superseded { .. } => {}
            other => wrong(format!("that should not happen: {other:?}")),
        }
    }
    // a polled provider's server that refuses its history tells the newest status alone
    let may_miss = has_refusals && referral.inbox == Inbox::Polled;
    let hears_all = answers == referral.answers;
    if !(hears_all
        || cancelled && answers.is_empty()
        || may_miss && is_part_of(&answers, referral.answers) && answers.last() == referral.answers.last())
    {
        wrong(format!("the provider said {:?}, the journal has {answers:?}", referral.answers));
    }
    if status != row.record.state.status || ends > 1 {
        wrong(format!("it ended {ends} times, as {status}; the Task is {}", row.record.state.status));
    }
    if said > 1 {
        wrong(format!("what was said once is {said} times in the journal"));
    }
    // a worklist shows a Task whose cancellation is asked for, and it may be answered before it is noted as listed
    let was_answered_first = said > 0 && referral.inbox == Inbox::Listed && was_superseded(row, 1);
    if delivered != usize::from(!cancelled && !was_answered_first) {
        wrong(format!("delivered {delivered} times by the journal, {replays} replays"));
    }
    for message in &row.outbox {
        if message.is_open() || (message.state == State::Dead && !has_refusals) {
            wrong(format!("left over: {message:?}"));
        }
    }
}

/// A message that was taken has reached the provider once, if it did not find the Task ended.
fn of_message(row: &Row, referral: &Referral, taken: bool, servers: &Servers, wrong: &mut dyn FnMut(String)) {
    let line = row.journal.iter().find(|line| matches!(line.event, Event::Message { .. }));
    if taken && line.is_none() {
        wrong("a message was taken and is not in the journal".to_owned());
    }
    let server = match referral.inbox {
        Inbox::Pushed => &servers.pushed,
        Inbox::Polled => &servers.polled,
        Inbox::Listed | Inbox::Both => return,
    };
    let number = row.record.identifier.as_ref().unwrap().rsplit_once("|r").unwrap().1;
    let is_it = |message: &&std::sync::Arc<Value>| message["identifier"][0]["value"] == format!("m{number}");
    let held = server.resources("Communication").iter().filter(is_it).count();
    let passed_on = |event: &Event| matches!(event, Event::PassedOn { of } if line.is_some_and(|line| line.seq == *of));
    let told = row.journal.iter().filter(|line| passed_on(&line.event)).count();
    if told > 1 || held > 1 || told > held {
        wrong(format!("a message is {held} times at the provider, and {told} times passed on by the journal"));
    }
    let is_over = row.outbox.iter().any(|message| {
        // a dead letter is a person's to see to; that there may be one is checked for all messages alike
        let is_it = message.wake_up.side == Side::Delivery && line.is_some_and(|line| line.seq == message.wake_up.seq);
        is_it && (message.state == State::Dead || was_superseded(row, message.wake_up.seq))
    });
    if line.is_some() && told == 0 && !is_over {
        wrong("nothing became of a message".to_owned());
    }
}

/// Whether a message to the provider was not sent because the Task had ended.
fn was_superseded(row: &Row, seq: u64) -> bool {
    let says = |event: &Event| matches!(event, Event::Superseded { side: Side::Delivery, of } if *of == seq);
    row.journal.iter().any(|line| says(&line.event))
}

/// Whether these are some of those, in their order.
fn is_part_of(some: &[&str], all: &[&str]) -> bool {
    let mut rest = all.iter();
    some.iter().all(|one| rest.any(|other| other == one))
}

fn of_record(row: &Row, servers: &Servers, wrong: &mut dyn FnMut(String)) {
    let ours = row.record.id.to_string();
    let held: Vec<_> =
        servers.record.resources("Task").into_iter().filter(|t| our_id(t).as_ref() == Some(&ours)).collect();
    let expected: Vec<u64> =
        row.outbox.iter().filter(|m| m.wake_up.side == Side::WriteBack).map(|m| m.wake_up.seq).collect();
    // what the record refused for good is a dead letter: of one that took nothing else there is no Task
    let mut written = row.outbox.iter().filter(|m| m.wake_up.side == Side::WriteBack);
    let least = usize::from(written.any(|m| m.state != State::Dead));
    let most = usize::from(!expected.is_empty());
    if !(least..=most).contains(&held.len()) {
        return wrong(format!("the record has {} Tasks of it", held.len()));
    }
    let Some(id) = held.first().and_then(|t| t["id"].as_str()) else { return };
    let seq = |task: &Value| -> u64 {
        let extension = task["extension"].as_array().unwrap().iter().find(|e| e["url"] == SEQ_EXTENSION).unwrap();
        extension["valuePositiveInt"].as_u64().unwrap()
    };
    let told: Vec<(u64, String)> = servers
        .record
        .versions("Task", id)
        .iter()
        .map(|v| (seq(&v.resource), v.resource["status"].as_str().unwrap().to_owned()))
        .collect();
    if !told.is_sorted_by(|a, b| a.0 < b.0) {
        wrong(format!("the record was told out of order: {told:?}"));
    }
    let of: BTreeMap<_, _> = told.iter().cloned().collect();
    let failed =
        |seq: u64| row.journal.iter().any(|line| matches!(line.event, Event::WriteBackFailed { of, .. } if of == seq));
    for seq in expected {
        let body: Value = serde_json::from_str(&row.versions.iter().find(|v| v.version == seq).unwrap().body).unwrap();
        match of.get(&seq) {
            Some(status) if body["status"] == **status => {}
            // a dead letter that was replayed after a later one had been written
            None if failed(seq) => {}
            other => wrong(format!("the record should have {seq} as {}, has {other:?} of {told:?}", body["status"])),
        }
    }
}

fn of_receivers(struck: &[Trouble], rows: &[Row], servers: &Servers, wrong: &mut Vec<String>) {
    // a server that gives the ids itself cannot know a request that comes to it twice from one that is new, the Task apart
    let repeats = struck.iter().any(|t| matches!(t, Trouble::Twice | Trouble::Late(_)));
    for (server, inbox, counts_all) in
        [(&servers.pushed, Inbox::Pushed, !repeats), (&servers.polled, Inbox::Polled, true)]
    {
        // what was cancelled is nowhere
        let is_for =
            |row: &&Row| row.record.state.status != TaskStatus::Cancelled && row.record.inbox.as_str() == code(inbox);
        let mut expected: Vec<_> = rows.iter().filter(is_for).map(|row| row.record.id.to_string()).collect();
        let mut held: Vec<_> = server.resources("Task").iter().map(|t| our_id(t).unwrap()).collect();
        expected.sort();
        held.sort();
        if held != expected {
            wrong.push(format!("{inbox:?}: the receiver has {held:?}, should have {expected:?}"));
        }
        // what is split has an order of its own beside the request
        let orders = rows.iter().filter(is_for).filter(|row| row.record.part_of.is_some()).count();
        let requests = server.counts().get("ServiceRequest").copied().unwrap_or_default();
        if counts_all && requests != expected.len() + orders {
            wrong.push(format!("{inbox:?}: {requests} ServiceRequests for {} Tasks", expected.len()));
        }
    }
}
