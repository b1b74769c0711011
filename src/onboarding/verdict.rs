//! What a test referral showed: whether it arrived, and whether what became of it arrived at the originating record; if not, what failed.
//! Pure: read from the journal and the tries, as of every other referral.

use jiff::Timestamp;

use crate::{
    config::registry::{InboxKind, System},
    domain::{Event, Side, TaskStatus},
    store::{Attempt, JournalLine},
};

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Onward has taken it, and routed it.
    Taken,
    /// The provider has it.
    Arrived,
    /// The provider has said something of it.
    Answered,
    /// What became of it is in the originating record.
    WrittenBack,
    /// It is over, and waits for nobody.
    Over,
}

/// How it is with one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// As it should be.
    Good(String),
    /// Not yet.
    Waits(String),
    /// Not wanted of this system or provider, and why.
    NotWanted(String),
    /// It failed, for now or for good.
    Bad {
        /// What.
        why: String,
        /// What to do about it.
        advice: String,
    },
}

/// All of it in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There and back, and the provider has said something of it.
    Works,
    /// The same; nothing is written back.
    WorksThere,
    /// It is not known yet.
    Waits,
    /// It is there, and the provider has said nothing of it yet.
    Delivered,
    /// It is over, and the provider has said nothing of it.
    Unanswered,
    /// The provider has it, and what it says of it cannot be taken.
    FailsAnswered,
    /// It does not get to the provider.
    FailsThere,
    /// It gets to the provider, and what becomes of it does not get back.
    FailsBack,
}

/// What is known of a test referral.
pub struct Seen<'s> {
    /// How the Task stands.
    pub status: TaskStatus,
    /// As if it came from this; none where it is not in the configuration any more.
    pub system: Option<&'s System>,
    /// How its provider is reached, likewise.
    pub inbox: Option<&'s InboxKind>,
    /// What happened, in order.
    pub journal: &'s [JournalLine],
    /// Every try to send something.
    pub attempts: &'s [Attempt],
}

/// See the module's documentation.
pub fn verdict(seen: &Seen<'_>) -> (Verdict, Vec<(Point, Shown)>) {
    let (arrived, answered, back) = (arrived(seen), answered(seen), written_back(seen));
    let verdict = match (&arrived, &answered, &back) {
        (Shown::Bad { .. }, ..) => Verdict::FailsThere,
        (_, Shown::Bad { .. }, _) => Verdict::FailsAnswered,
        (.., Shown::Bad { .. }) => Verdict::FailsBack,
        (Shown::Good(_), Shown::Good(_), Shown::Good(_)) => Verdict::Works,
        (Shown::Good(_), Shown::Good(_), Shown::NotWanted(_)) => Verdict::WorksThere,
        // what Onward itself writes back says nothing of the provider
        (Shown::Good(_), Shown::Waits(_), _) if seen.status.is_terminal() => Verdict::Unanswered,
        (Shown::Good(_), Shown::Waits(_), _) => Verdict::Delivered,
        _ => Verdict::Waits,
    };
    let points = vec![
        (Point::Taken, taken(seen)),
        (Point::Arrived, arrived),
        (Point::Answered, answered),
        (Point::WrittenBack, back),
        (Point::Over, over(seen)),
    ];
    (verdict, points)
}

fn taken(seen: &Seen<'_>) -> Shown {
    let inbox = seen.journal.iter().find_map(|line| match &line.event {
        Event::Submitted { inbox, .. } => Some(inbox),
        _ => None,
    });
    inbox
        .map_or_else(|| Shown::Waits("not yet".to_owned()), |inbox| Shown::Good(format!("it is for the inbox {inbox}")))
}

fn arrived(seen: &Seen<'_>) -> Shown {
    let last = seen.journal.iter().rev().find_map(|line| match &line.event {
        Event::Delivered { remote, .. } => {
            let there = remote.as_deref().map(|id| format!(", there as Task/{id}")).unwrap_or_default();
            Some(Shown::Good(format!("the provider’s system has it{there}")))
        }
        Event::Listed { .. } => Some(Shown::Good("it is in the worklist that the provider reads here".to_owned())),
        Event::HandedOver { .. } => Some(Shown::Good("it is in the queue that the provider reads".to_owned())),
        Event::Undeliverable { why } => Some(Shown::Bad {
            why: format!("it was given up: {why}"),
            advice: "look at the provider step by step, and send another one".to_owned(),
        }),
        Event::Cancelled { request: Some(_) } => Some(Shown::Bad {
            why: "it was cancelled before it could be sent".to_owned(),
            advice: "look at the provider step by step, and send another one".to_owned(),
        }),
        // what was tried before says nothing any more
        Event::Replayed { side: Side::Delivery, .. } => {
            let failing = failing(seen.attempts, Side::Delivery, Some(line.at), "look at the provider step by step");
            Some(failing.unwrap_or_else(|| Shown::Waits("it is tried again".to_owned())))
        }
        _ => None,
    });
    let not_yet = match seen.inbox {
        None => "its inbox is not in the configuration any more",
        Some(_) => "it is on its way",
    };
    last.unwrap_or_else(|| {
        failing(seen.attempts, Side::Delivery, None, "look at the provider step by step")
            .unwrap_or_else(|| Shown::Waits(not_yet.to_owned()))
    })
}

fn answered(seen: &Seen<'_>) -> Shown {
    let last = seen.journal.iter().rev().find_map(|line| match &line.event {
        Event::Answered { to, .. } => Some(Shown::Good(format!("it says “{to}”"))),
        Event::AnswerRefused { why } => Some(Shown::Bad {
            why: format!("what its copy says cannot be taken: {why}"),
            advice: "ask the provider’s IT to put its Task right".to_owned(),
        }),
        Event::CopyUnreadable { why } => Some(Shown::Bad {
            why: format!("its copy cannot be read: {why}"),
            advice: "ask the provider’s IT whether its server still has the Task".to_owned(),
        }),
        _ => None,
    });
    let by = match seen.inbox {
        Some(InboxKind::Worklist | InboxKind::Amqp(_)) => "nothing yet: somebody at the provider has to open it",
        _ => "nothing yet",
    };
    last.unwrap_or_else(|| Shown::Waits(by.to_owned()))
}

fn written_back(seen: &Seen<'_>) -> Shown {
    let Some(system) = seen.system else {
        return Shown::Waits("the system is not in the configuration any more".to_owned());
    };
    if system.write_back.is_none() {
        return Shown::NotWanted(
            "nothing is written into this record: who refers from it looks here what becomes of it".to_owned(),
        );
    }
    let last = seen.journal.iter().rev().find_map(|line| match &line.event {
        Event::WrittenBack { of, remote } => {
            Some(Shown::Good(format!("step {of} is in the originating record, there as Task/{remote}")))
        }
        Event::WriteBackFailed { of, why } => Some(Shown::Bad {
            why: format!("writing step {of} back was given up: {why}"),
            advice: "look at the system step by step, and send another one".to_owned(),
        }),
        Event::Replayed { side: Side::WriteBack, .. } => Some(Shown::Waits("it is tried again".to_owned())),
        _ => None,
    });
    // what failed after something had arrived is told rather than that
    let replayed = |line: &&JournalLine| matches!(line.event, Event::Replayed { side: Side::WriteBack, .. });
    let since = seen.journal.iter().rev().find(replayed).map(|line| line.at);
    let failing = failing(seen.attempts, Side::WriteBack, since, "look at the system step by step");
    match (last, failing) {
        (Some(bad @ Shown::Bad { .. }), _) => bad,
        (_, Some(failing)) => failing,
        (Some(shown), None) => shown,
        (None, None) => Shown::Waits("nothing has been written there yet".to_owned()),
    }
}

/// Where the last try towards a side failed, and it is tried on: that. Of what was tried again since a moment, only what was tried then.
fn failing(attempts: &[Attempt], side: Side, since: Option<Timestamp>, advice: &str) -> Option<Shown> {
    let first = attempts.iter().position(|one| since.is_none_or(|since| one.at >= since))?;
    let attempts = attempts.get(first..)?;
    let last = attempts.iter().rev().find(|attempt| attempt.side == side)?;
    let why = last.why.as_deref().filter(|_| last.result != "arrived")?;
    let tries = attempts.iter().rev().take_while(|one| one.side != side || one.of == last.of);
    let count = tries.filter(|one| one.side == side).count();
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    Some(Shown::Bad {
        why: format!("tried {times}, last at {}: {why}", last.endpoint),
        advice: format!("{advice}; it is tried again by itself"),
    })
}

fn over(seen: &Seen<'_>) -> Shown {
    if seen.status.is_terminal() {
        return Shown::Good(format!("it is “{}”", seen.status));
    }
    let asked = seen.journal.iter().any(|line| matches!(line.event, Event::CancellationRequested { .. }));
    Shown::Waits(
        if asked {
            "it waits for the provider to cancel it, and is taken back a quarter of an hour after it was sent"
        } else {
            "its cancellation is asked for when it has arrived, or after a minute"
        }
        .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::{Config, Env, Registry},
        domain::Actor,
    };

    fn registry() -> Registry {
        let text = r#"
            [[system]]
            id = "rio"
            name = "RiO"
            ods-code = "RW4"
            tokens = [{ env = "TOKEN" }]
            write-back = { kind = "fhir-rest", base-url = "http://127.0.0.1:9/fhir" }
            [[system]]
            id = "gp"
            name = "GP"
            ods-code = "N82999"
            tokens = [{ env = "TOKEN_2" }]
        "#;
        let env = Env::from_iter([("TOKEN", "a-token-of-everybody-0123"), ("TOKEN_2", "a-token-of-everybody-0124")]);
        Config::parse(text, std::path::Path::new("onward.toml"), &env).unwrap().0.registry
    }

    /// What stands at this place in a journal happened in this second.
    fn second(seq: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(seq as i64)
    }

    fn journal(events: Vec<Event>) -> Vec<JournalLine> {
        let submitted = Event::Submitted {
            route: None,
            route_set: "1".into(),
            inbox: "mind".parse().unwrap(),
            instead_of: None,
            beside: None,
        };
        let line = |(seq, event)| JournalLine { seq, at: second(seq), actor: Actor::Onward, event, asked_by: None };
        (1..).zip(std::iter::once(submitted).chain(events)).map(line).collect()
    }

    fn attempt(side: Side, of: u64, result: &str, why: Option<&str>) -> Attempt {
        let (at, duration) = (Timestamp::UNIX_EPOCH, Duration::ZERO);
        Attempt {
            side,
            of,
            at,
            duration,
            endpoint: "https://x.example".into(),
            result: result.into(),
            why: why.map(str::to_owned),
        }
    }

    /// The verdict on a referral of this system, and what is said at a point.
    fn told(system: &str, events: Vec<Event>, attempts: &[Attempt], at: Point) -> (Verdict, Shown) {
        let (registry, journal) = (registry(), journal(events));
        let system = registry.systems.get(&system.parse().unwrap());
        let seen = Seen {
            status: TaskStatus::Requested,
            system,
            inbox: Some(&InboxKind::Worklist),
            journal: &journal,
            attempts,
        };
        let (verdict, points) = verdict(&seen);
        (verdict, points.into_iter().find(|(point, _)| *point == at).unwrap().1)
    }

    fn delivered() -> Event {
        Event::Delivered { inbox: "mind".parse().unwrap(), remote: Some("7".into()), by_answer: false }
    }

    fn answer() -> Event {
        Event::Answered { from: TaskStatus::Received, to: TaskStatus::Cancelled, implied: false }
    }

    fn written(of: u64) -> Event {
        Event::WrittenBack { of, remote: "9".into() }
    }

    #[test]
    fn it_works_when_it_is_there_and_what_became_of_it_is_in_the_record() {
        let (verdict, shown) = told("rio", vec![delivered(), answer(), written(2)], &[], Point::WrittenBack);
        assert_eq!(verdict, Verdict::Works);
        assert_eq!(shown, Shown::Good("step 2 is in the originating record, there as Task/9".into()));
        let unwritten = told("rio", vec![delivered(), answer()], &[], Point::Over).0;
        assert_eq!(unwritten, Verdict::Waits, "nothing is written back yet");
        assert_eq!(told("rio", vec![written(1)], &[], Point::Over).0, Verdict::Waits, "the provider does not have it");
    }

    #[test]
    fn where_nothing_is_written_back_nothing_is_waited_for() {
        let (verdict, shown) = told("gp", vec![delivered(), answer()], &[], Point::WrittenBack);
        assert!(verdict == Verdict::WorksThere && matches!(shown, Shown::NotWanted(_)), "{shown:?}");
    }

    #[test]
    fn nothing_works_before_the_provider_has_said_something() {
        for (system, events) in
            [("rio", vec![delivered(), written(2)]), ("rio", vec![delivered()]), ("gp", vec![delivered()])]
        {
            let (verdict, shown) = told(system, events, &[], Point::Answered);
            assert_eq!(verdict, Verdict::Delivered, "{system}");
            assert!(matches!(shown, Shown::Waits(_)), "{shown:?}");
        }
        let (registry, journal) = (registry(), journal(vec![delivered(), written(2)]));
        let system = registry.systems.get(&"rio".parse().unwrap());
        let inbox = Some(&InboxKind::Worklist);
        let over = Seen { status: TaskStatus::EnteredInError, system, inbox, journal: &journal, attempts: &[] };
        assert_eq!(verdict(&over).0, Verdict::Unanswered, "taken back before anybody had looked at it");
        let refused = Event::AnswerRefused { why: "it says draft".into() };
        let (verdict, _) = told("rio", vec![delivered(), refused, written(2)], &[], Point::Over);
        assert_eq!(verdict, Verdict::FailsAnswered);
    }

    #[test]
    fn what_fails_is_told_where_it_fails_while_it_is_still_tried_and_after() {
        let failed = [
            attempt(Side::Delivery, 1, "deferred", Some("cannot connect")),
            attempt(Side::Delivery, 1, "deferred", Some("HTTP 503")),
        ];
        let (verdict, shown) = told("rio", vec![], &failed, Point::Arrived);
        let Shown::Bad { why, .. } = shown else { panic!("{shown:?}") };
        assert_eq!(
            (verdict, why.as_str()),
            (Verdict::FailsThere, "tried 2 times, last at https://x.example: HTTP 503")
        );
        let given_up = Event::Undeliverable { why: "HTTP 422".into() };
        let (verdict, shown) = told("rio", vec![given_up.clone()], &failed, Point::Arrived);
        assert!(verdict == Verdict::FailsThere && format!("{shown:?}").contains("given up: HTTP 422"), "{shown:?}");
        // what was tried before it was tried again says nothing any more, and what is tried then does
        let again = Event::Replayed { side: Side::Delivery, of: 1 };
        let events = || vec![given_up.clone(), again.clone()];
        let at = |seq, attempt: &Attempt| Attempt { at: second(seq), ..attempt.clone() };
        let before = failed.each_ref().map(|one| at(1, one));
        assert_eq!(told("rio", events(), &before, Point::Arrived).0, Verdict::Waits);
        let after = [before.as_slice(), &[at(4, &failed[1])]].concat();
        let (verdict, shown) = told("rio", events(), &after, Point::Arrived);
        assert!(verdict == Verdict::FailsThere && format!("{shown:?}").contains("tried once"), "{shown:?}");

        let back =
            [attempt(Side::WriteBack, 1, "arrived", None), attempt(Side::WriteBack, 2, "deferred", Some("HTTP 401"))];
        let (verdict, shown) = told("rio", vec![delivered(), written(1)], &back, Point::WrittenBack);
        assert!(verdict == Verdict::FailsBack && format!("{shown:?}").contains("tried once"), "{shown:?}");
        let failed = Event::WriteBackFailed { of: 2, why: "HTTP 403".into() };
        let events = vec![delivered(), written(1), failed];
        assert_eq!(told("rio", events.clone(), &[], Point::Over).0, Verdict::FailsBack);
        let again = Event::Replayed { side: Side::WriteBack, of: 2 };
        let tried = [at(2, &back[0]), at(3, &back[1])];
        let shown = told("rio", [events.as_slice(), &[again]].concat(), &tried, Point::WrittenBack).1;
        assert_eq!(shown, Shown::Waits("it is tried again".into()));
    }
}
