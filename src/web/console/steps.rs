//! The way of a referral in plain words: what the journal has of it, and every try to send something.

use jiff::Timestamp;

use super::words::{came_of, happened, kind_words, moment, plain};
use crate::{
    config::Registry,
    domain::{Actor, Event, Side, TaskId},
    store::{AskedBy, Attempt, JournalLine},
    web::called::Called,
};

/// One step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub at: String,
    /// In a word or two.
    pub name: String,
    /// Its number in the journal; a try has none.
    pub number: Option<u64>,
    /// In a sentence.
    pub said: String,
    /// Who did it.
    pub by: String,
    /// By what its client knows the request that it came of.
    pub asked: String,
    /// Other Tasks that it is about, whose ways can be followed.
    pub tasks: Vec<TaskId>,
}

/// All of them in the order of their moments. A try begins before what it led to.
pub(super) fn of(journal: &[JournalLine], attempts: &[Attempt], registry: &Registry, called: &Called) -> Vec<Step> {
    let is_own_test = journal.first().is_some_and(|line| line.event.begins_own_test());
    let mut all: Vec<(Timestamp, Step)> =
        journal.iter().map(|line| (line.at, of_line(line, is_own_test, registry, called))).collect();
    all.extend(attempts.iter().map(|attempt| (attempt.at, of_attempt(attempt))));
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, step)| step).collect()
}

/// Whether an event is told otherwise of a test of Onward's own.
pub(super) fn is_given_up(event: &Event) -> bool {
    matches!(event, Event::Undeliverable { .. } | Event::WriteBackFailed { .. })
}

/// A line of a journal, which may be that of a test of Onward's own.
pub(super) fn of_line(line: &JournalLine, is_own_test: bool, registry: &Registry, called: &Called) -> Step {
    let asked = match &line.asked_by {
        Some(AskedBy { request, correlation: Some(correlation), .. }) => {
            format!("request {request}, correlation {correlation}")
        }
        Some(AskedBy { request, correlation: None, .. }) => format!("request {request}"),
        None => String::new(),
    };
    // who looks at this may see who does what
    let person = line.asked_by.as_ref().and_then(|asked| asked.person.as_deref());
    let by = match (&line.actor, person) {
        (Actor::System(_) | Actor::Provider(_), Some(person)) => {
            format!("{}, by {}", by(&line.actor, registry, called), called.of(person))
        }
        _ => by(&line.actor, registry, called),
    };
    Step {
        at: moment(line.at),
        name: happened(line.event.name()),
        number: Some(line.seq),
        said: plain(&said(&line.event, is_own_test)),
        by,
        asked,
        tasks: tasks(&line.event),
    }
}

/// The other Tasks that an event names.
fn tasks(event: &Event) -> Vec<TaskId> {
    match event {
        Event::Escalated { task, .. }
        | Event::Followed { part: task, .. }
        | Event::PartChanged { part: task, .. }
        | Event::Submitted { beside: Some(task), .. } => vec![*task],
        _ => vec![],
    }
}

fn of_attempt(attempt: &Attempt) -> Step {
    Step {
        at: moment(attempt.at),
        name: "Try".to_owned(),
        number: None,
        said: format!(
            "Onward tried to send step {} {}{}: {}.",
            attempt.of,
            towards(attempt.side),
            if attempt.endpoint.is_empty() { String::new() } else { format!(" at {}", attempt.endpoint) },
            came_of(attempt)
        ),
        by: "Onward".to_owned(),
        asked: String::new(),
        tasks: vec![],
    }
}

fn towards(side: Side) -> &'static str {
    match side {
        Side::Delivery => "to the provider",
        Side::WriteBack => "to the originating record",
    }
}

fn by(actor: &Actor, registry: &Registry, called: &Called) -> String {
    match actor {
        Actor::Onward => "Onward".to_owned(),
        Actor::System(id) => registry.systems.get(id).map_or_else(|| id.to_string(), |one| one.name.clone()),
        Actor::Provider(id) => registry.providers.get(id).map_or_else(|| id.to_string(), |one| one.name.clone()),
        Actor::Operator(who) => format!("{}, who keeps Onward running", called.of(who)),
    }
}

/// An event in a sentence or two. What was given up became a dead letter, but for that of a test of Onward's own.
fn said(event: &Event, is_own_test: bool) -> String {
    let kept = if is_own_test { "It is of a test, and is not kept." } else { "It became a dead letter." };
    match event {
        Event::Submitted { route, route_set, inbox, instead_of, beside } => {
            let to = if inbox.is_of_parent() {
                "to several targets, each with a Task of its own,".to_owned()
            } else {
                format!("to the inbox {inbox}")
            };
            let instead =
                instead_of.as_ref().map(|one| format!(" It stands in for {}, which is {}.", one.inbox, one.why));
            let beside = beside.map(|_| " Another referral of the same person was open there.").unwrap_or_default();
            let more = format!("{}{beside}", instead.unwrap_or_default());
            match route {
                Some(route) => format!("Taken, and routed {to} by the route “{route}” of set {route_set}.{more}"),
                None => format!("Taken, and routed {to} for triage: no route of set {route_set} matched.{more}"),
            }
        }
        Event::Delivered { inbox, remote, by_answer } => {
            let how =
                if *by_answer { "The provider's answer shows that it has it" } else { "The provider's system has it" };
            let there = remote.as_deref().map(|id| format!(" There it is Task/{id}.")).unwrap_or_default();
            format!("{how} (inbox {inbox}).{there}")
        }
        Event::Listed { inbox } => format!("Put into the worklist of {inbox}, which the provider reads."),
        Event::HandedOver { inbox } => format!("Put into the queue amqp.{inbox}, which the provider reads."),
        Event::DeliveryDelayed => "Not delivered in the time promised; it is still being tried.".to_owned(),
        Event::NotOpened => "The provider did not open it in time.".to_owned(),
        Event::Overdue => "The provider did not answer it in time.".to_owned(),
        Event::Escalated { to, .. } => format!("Sent to the inbox {to} as well, as a Task of its own."),
        Event::Undeliverable { why } => format!("Delivery was given up: {why}. {kept}"),
        Event::Answered { from, to, implied } => {
            let implied = if *implied { ", a step that its system left out" } else { "" };
            format!("The provider's status went from {from} to {to}{implied}.")
        }
        Event::Followed { status, to, .. } => format!("A part of it is {status}; so this is {to}."),
        Event::PartChanged { status, .. } => format!("A part of it is {status}."),
        Event::Amended { request, .. } => {
            format!("The referrer changed the referral: version {request} of the ServiceRequest.")
        }
        Event::CancellationRequested { .. } => "The referrer asked for it to be cancelled.".to_owned(),
        Event::Cancelled { request: Some(_) } => "The referrer cancelled it before anything was sent.".to_owned(),
        Event::Cancelled { request: None } => "Cancelled: the provider does not have it.".to_owned(),
        Event::Retracted { .. } => "The referrer took it back as entered in error.".to_owned(),
        Event::Message { communication, asks, .. } => {
            let asks = if *asks { " It asks the referrer for more." } else { "" };
            format!("A message was written: Communication {communication}.{asks}")
        }
        Event::PassedOn { of } => format!("Step {of} has reached the provider."),
        Event::AnswerRefused { why } => format!("The provider's copy says what cannot be taken: {why}."),
        Event::CopyUnreadable { why } => format!("The provider's copy cannot be read: {why}."),
        Event::CopyReadable => "The provider's copy can be read again.".to_owned(),
        Event::WrittenBack { of, remote } => format!("Step {of} is in the originating record, as Task/{remote}."),
        Event::RecordNotFound { why } => {
            format!(
                "The ServiceRequest was not found in the originating record: {why}. The Task was written all the same."
            )
        }
        Event::RequestClosed => "The ServiceRequest in the originating record was set to completed.".to_owned(),
        Event::RequestNotClosed { why } => {
            format!("The ServiceRequest in the originating record could not be set to completed: {why}.")
        }
        Event::WriteBackFailed { of, why } => {
            format!("Writing step {of} back was given up: {why}. {kept}")
        }
        Event::Superseded { side, of } => format!("Step {of} need not be sent {} any more.", towards(*side)),
        Event::Replayed { side, of } => format!("Step {of} is tried again {}.", towards(*side)),
        Event::Discarded { side, of, reason } => {
            format!("Step {of} {} was put away, and is never sent: {reason}.", towards(*side))
        }
        Event::SeenTo { line, reason } => {
            format!("Somebody has seen to “{}”: {reason}.", kind_words(line).unwrap_or(line))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::{TaskStatus, event::TEST_ROUTE},
        web::console::tests::config,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn line(seq: u64, second: i64, event: Event, actor: Actor) -> JournalLine {
        JournalLine { seq, at: at(second), actor, event, asked_by: None }
    }

    #[test]
    fn a_try_stands_before_what_it_led_to() {
        let provider = Actor::Provider("life-rooms".parse().unwrap());
        let answered = Event::Answered { from: TaskStatus::Received, to: TaskStatus::Accepted, implied: false };
        let delivered =
            Event::Delivered { inbox: "life-rooms".parse().unwrap(), remote: Some("7".into()), by_answer: false };
        let journal = [line(2, 5, delivered, Actor::Onward), line(3, 9, answered, provider)];
        let attempt = Attempt {
            side: Side::Delivery,
            of: 1,
            at: at(4),
            duration: Duration::from_millis(12),
            endpoint: "https://lr.example/fhir".into(),
            result: "arrived".into(),
            why: None,
        };
        let steps = of(&journal, &[attempt], &config().registry, &Called::default());
        let told: Vec<(&str, &str)> = steps.iter().map(|step| (step.said.as_str(), step.by.as_str())).collect();
        assert_eq!(
            told,
            [
                (
                    "Onward tried to send step 1 to the provider at https://lr.example/fhir: it arrived, within 12 ms.",
                    "Onward"
                ),
                ("The provider's system has it (inbox life-rooms). There it is Task/7.", "Onward"),
                ("The provider's status went from received to accepted.", "The Life Rooms"),
            ]
        );
    }

    #[test]
    fn of_a_test_that_was_given_up_no_dead_letter_is_told() {
        let submitted = |route: Option<&str>| Event::Submitted {
            route: route.map(str::to_owned),
            route_set: "1".into(),
            inbox: "life-rooms".parse().unwrap(),
            instead_of: None,
            beside: None,
        };
        for event in
            [Event::Undeliverable { why: "HTTP 422".into() }, Event::WriteBackFailed { of: 2, why: "HTTP 422".into() }]
        {
            assert!(is_given_up(&event));
            for (route, kept) in
                [(Some(TEST_ROUTE), "It is of a test, and is not kept."), (Some("choir"), "It became a dead letter.")]
            {
                let journal = [line(1, 0, submitted(route), Actor::Onward), line(2, 1, event.clone(), Actor::Onward)];
                let steps = of(&journal, &[], &config().registry, &Called::default());
                assert!(steps[1].said.ends_with(&format!("was given up: HTTP 422. {kept}")), "{}", steps[1].said);
            }
        }
    }

    #[test]
    fn another_task_is_led_to_and_not_told_by_its_id() {
        let other = TaskId(uuid::Uuid::from_u128(7));
        let status = TaskStatus::Accepted;
        let submitted = Event::Submitted {
            route: None,
            route_set: "1".into(),
            inbox: "life-rooms".parse().unwrap(),
            instead_of: None,
            beside: Some(other),
        };
        for event in [
            submitted,
            Event::Followed { part: other, status, to: status },
            Event::PartChanged { part: other, status },
            Event::Escalated { to: "life-rooms".parse().unwrap(), task: other },
        ] {
            let step = of(&[line(1, 0, event, Actor::Onward)], &[], &config().registry, &Called::default()).remove(0);
            assert_eq!(step.tasks, [other]);
            assert!(!step.said.contains(&other.to_string()), "{}", step.said);
        }
    }

    #[test]
    fn by_what_its_client_knows_a_request_is_told() {
        let mut of_client = line(1, 0, Event::CopyReadable, Actor::Operator("local:olive".into()));
        let asked =
            AskedBy { request: "r-1".into(), correlation: Some("c-1".into()), person: Some("local:olive".into()) };
        of_client.asked_by = Some(asked.clone());
        let called = Called::made(&[("local:olive", "Olive Oak")]);
        let step = of(&[of_client], &[], &config().registry, &called).remove(0);
        assert_eq!(
            (step.asked.as_str(), step.by.as_str()),
            ("request r-1, correlation c-1", "Olive Oak (olive), who keeps Onward running")
        );
        let mut of_worker = line(1, 0, Event::CopyReadable, Actor::Provider("life-rooms".parse().unwrap()));
        of_worker.asked_by = Some(AskedBy { person: Some("local:luke".into()), ..asked });
        assert_eq!(of(&[of_worker], &[], &config().registry, &called).remove(0).by, "The Life Rooms, by luke");
    }
}
