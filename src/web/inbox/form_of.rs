//! What is asked for each action, what is wrong with what was typed, and what it makes of a Task. Pure.

use jiff::{
    ToSpan as _, Zoned,
    civil::{Date, DateTime},
};
use serde_json::{Value, json};

use super::{
    done::{self, Told},
    scores::{self, When, score},
    words,
};
use crate::{
    domain::{TaskStatus, Timestamp, clock::instant, written::LONDON},
    fhir::tree,
    web::{
        dates::{day, time},
        form::Form,
        page::Fault,
    },
    writeback::detail::WayBack,
};

mod forms;

pub(in crate::web) use forms::FORMS;

/// A text has no more characters.
pub(super) const TEXT_CHARS_MAX: usize = 4_000;
/// A line has no more.
const LINE_CHARS_MAX: usize = 200;
/// An appointment lies no more days ahead: beyond it a year was mistyped.
const AHEAD_DAYS_MAX: i64 = 730;
/// The reason beside which it is said where the person is better placed.
const PLACED: &str = "Another service is better placed";
/// The reason that has words of its own.
const OTHER: &str = "Other";

/// The field that says which others were filled when the page was made, so that what is empty then was taken away.
pub(super) const FILLED: &str = "filled";

/// How something is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Kind {
    /// One of some.
    Choice(&'static [(&'static str, &'static str)]),
    /// A few words or many.
    Text,
    /// A few words.
    Line,
    /// A day, as `9 March 2026`, `9/3/2026` or `2026-03-09`.
    Day,
    /// A time of day, as `14:30` or `2:30pm`.
    Time,
    /// 0 to 10.
    Score,
}

/// A field.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Asked {
    pub name: &'static str,
    pub label: &'static str,
    pub hint: &'static str,
    /// As what it goes back to the referrer; the hint says how far.
    pub goes: Option<Told>,
    pub kind: Kind,
    /// What is told where it is missing; empty where it need not be there.
    pub missing: &'static str,
}

/// The form of an action.
#[derive(Debug)]
pub(in crate::web) struct FormOf {
    pub code: &'static str,
    pub heading: &'static str,
    /// What comes of it, where it cannot be undone.
    pub warning: &'static str,
    /// What of it goes back to the referrer, told beside the warning.
    pub goes: Option<Told>,
    pub button: &'static str,
    pub asked: &'static [Asked],
}

/// Within what days are taken: a contact from when the referral came up to now, an appointment from then on, and not years ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within {
    pub came: Timestamp,
    pub now: Timestamp,
}

/// What was typed, by the names of fields.
#[derive(Debug, Default)]
pub(in crate::web) struct Typed(Vec<(&'static str, String)>);

// === impl Typed ===

impl Typed {
    /// What of a form belongs to an action.
    pub(super) fn of(form: Option<&'static FormOf>, sent: &Form) -> Self {
        let asked = form.map_or(&[][..], |form| form.asked);
        let typed = asked.iter().map(|of| (of.name, sent.text(of.name).trim().replace("\r\n", "\n")));
        Self(typed.chain([(FILLED, sent.text(FILLED).to_owned())]).collect())
    }

    /// What a form has before anything is typed: today for a contact, and the first scores as the Task has them, or as they came with the
    /// referral.
    pub(super) fn before<'r>(
        form: &'static FormOf,
        task: &Value,
        resources: impl Iterator<Item = &'r Value>,
        now: Timestamp,
    ) -> Self {
        let mut typed = Vec::new();
        if form.code == "contact" {
            typed.push(("day", in_london(now).strftime("%-d/%-m/%Y").to_string()));
        }
        if let Some((day, time)) = appointment(task).filter(|_| form.code == "schedule").map(typed_as) {
            typed.extend([("day", day), ("time", time)]);
        }
        let names = scores::fields(When::Before);
        if form.asked.iter().any(|of| names.iter().any(|name| name == of.name)) {
            let (noted, came) = (scores::of_task(task, When::Before), scores::of_referral(resources));
            let is_noted = scores::noted(task, When::Before);
            let mut filled = Vec::new();
            for (((name, noted), came), is_noted) in names.iter().zip(noted).zip(came).zip(is_noted) {
                let field = form.asked.iter().find(|of| of.name == name);
                // what came is offered until something was said here
                if let (Some(of), Some(score)) = (field, if is_noted { noted } else { came }) {
                    typed.push((of.name, score.to_string()));
                    filled.push(of.name);
                }
            }
            typed.push((FILLED, filled.join(" ")));
        }
        Self(typed)
    }

    #[cfg(test)]
    fn made(pairs: &[(&'static str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, text)| (*name, (*text).to_owned())).collect())
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text.as_str())
    }

    fn some(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The day and time typed, as FHIR has them: a day alone where no time was.
    pub(super) fn moment(&self) -> Option<String> {
        let day = self.some("day").and_then(day)?;
        let Some(time) = self.some("time").and_then(time) else { return Some(day.to_string()) };
        Some(at_london(day.to_datetime(time))?.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    /// Which scores were in the form before, and are not any more.
    fn taken_away(&self, when: When) -> [bool; 4] {
        scores::fields(when)
            .map(|name| self.text(&name).is_empty() && self.text(FILLED).split(' ').any(|filled| filled == name))
    }

    fn scores(&self, when: When) -> scores::Scores {
        scores::fields(when).map(|name| self.some(&name).and_then(score))
    }
}

// === impl FormOf ===

impl FormOf {
    /// What the page is called for a Task.
    pub(super) fn heading_for(&self, task: &Value) -> &'static str {
        match appointment(task) {
            Some(_) if self.code == "schedule" => "Change the appointment",
            _ => self.heading,
        }
    }

    /// What of a Task somebody has to know before she fills the form in.
    pub(super) fn known_of(&self, task: &Value) -> Option<String> {
        let at = appointment(task).filter(|_| self.code == "schedule").map(words::instant_or_date)?;
        Some(format!("There is an appointment: {at}. What you save takes its place, and the change is noted."))
    }

    /// All that is wrong with what was typed.
    pub(super) fn faults(&self, typed: &Typed, within: Within) -> Vec<Fault> {
        let mut faults: Vec<Fault> =
            self.asked.iter().filter_map(|of| Some(Fault::at(of.name, of.fault(typed.text(of.name))?))).collect();
        if let Some(day) = typed.some("day").and_then(day) {
            faults.extend(self.day_fault(day, typed, within));
        }
        let reason = typed.text("reason");
        if reason == PLACED && typed.text("where").is_empty() {
            faults.push(Fault::at("where", "Say which service could help instead"));
        }
        if reason == OTHER && self.asked.iter().any(|of| of.name == "more") && typed.text("more").is_empty() {
            faults.push(Fault::at("more", "Say what the other reason is"));
        }
        let says_nothing = || self.asked.iter().all(|of| typed.text(of.name).is_empty());
        if self.code == "progress"
            && faults.is_empty()
            && says_nothing()
            && !typed.taken_away(When::Before).contains(&true)
        {
            faults.push(Fault::at("activities", "Write an activity, a score or a note"));
        }
        faults
    }

    /// What is wrong with a day, and its time where one was typed.
    fn day_fault(&self, day: Date, typed: &Typed, within: Within) -> Option<Fault> {
        let (came, now) = (in_london(within.came), in_london(within.now));
        let (first, last) = match self.code {
            "contact" => (came.date(), now.date()),
            _ => (came.date(), now.date().checked_add(AHEAD_DAYS_MAX.days()).unwrap_or(Date::MAX)),
        };
        let is_contact = self.code == "contact";
        let what = if is_contact { "The day of the contact" } else { "The date of the appointment" };
        let called = |day: Date| words::date(&day.to_string());
        if day < first {
            let told = format!("{what} must be {} or later: the referral came on that day", called(first));
            return Some(Fault::at("day", told));
        }
        if day > last {
            let last = if is_contact { "today".to_owned() } else { called(last) };
            return Some(Fault::at("day", format!("{what} must be {last} or earlier")));
        }
        let at = typed.some("time").and_then(time).and_then(|time| at_london(day.to_datetime(time)));
        let is_to_come = is_contact && at.is_some_and(|at| at > now);
        is_to_come.then(|| Fault::at("time", "The time of the contact must not be later than now"))
    }

    /// What comes of it, and how far what is written gets.
    pub(in crate::web) fn warning(&self, way: WayBack) -> String {
        let goes = self.goes.map(|told| done::back(told, way));
        [Some(self.warning).filter(|text| !text.is_empty()), goes].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

impl Asked {
    /// The hint, and how far what is written gets.
    pub(super) fn hint_for(&self, way: WayBack) -> String {
        let goes = self.goes.map(|told| done::back(told, way));
        [Some(self.hint).filter(|text| !text.is_empty()), goes].into_iter().flatten().collect::<Vec<_>>().join(". ")
    }

    fn fault(&self, text: &str) -> Option<String> {
        if text.is_empty() {
            return (!self.missing.is_empty()).then(|| self.missing.to_owned());
        }
        let max = if self.kind == Kind::Line { LINE_CHARS_MAX } else { TEXT_CHARS_MAX };
        if text.chars().count() > max {
            return Some(format!("{}: use {max} characters or fewer", self.label));
        }
        match self.kind {
            Kind::Choice(options) if !options.iter().any(|(value, _)| *value == text) => Some(self.missing.to_owned()),
            Kind::Day if day(text).is_none() => {
                Some(format!("{}: enter a date like 9/3/2026 or 9 March 2026", self.label))
            }
            Kind::Time if time(text).is_none() => Some(format!("{}: enter a time like 2:30pm", self.label)),
            Kind::Score if score(text).is_none() => Some(format!("{}: enter a whole number from 0 to 10", self.label)),
            Kind::Choice(_) | Kind::Day | Kind::Time | Kind::Score | Kind::Text | Kind::Line => None,
        }
    }
}

fn in_london(at: Timestamp) -> Zoned {
    at.to_zoned(LONDON)
}

/// A time that the clocks pass over in spring is the one after it.
fn at_london(at: DateTime) -> Option<Zoned> {
    at.to_zoned(LONDON).ok()
}

/// The Task as an action wants it. `who` did it, for people.
pub(super) fn applied(current: &Value, action: &str, typed: &Typed, who: &str, now: Timestamp) -> Value {
    let mut task = current.clone();
    let Some(object) = task.as_object_mut() else { return task };
    let to = match action {
        "schedule" if object.get("status").and_then(Value::as_str) != Some(TaskStatus::OnHold.code()) => {
            TaskStatus::InProgress.code()
        }
        "schedule" | "keep" | "progress" => object.get("status").and_then(Value::as_str).unwrap_or_default(),
        status => status,
    };
    let to = to.to_owned();
    let needs_reason = to.parse::<TaskStatus>().is_ok_and(TaskStatus::needs_reason);
    object.insert("status".into(), to.clone().into());
    if let Some(reason) = typed.some("reason") {
        let reason = typed.some("where").map_or_else(|| reason.to_owned(), |place| format!("{reason} ({place})"));
        let text = typed.some("more").map_or_else(|| reason.clone(), |more| format!("{reason}: {more}"));
        object.insert("statusReason".into(), json!({"text": text}));
    } else if !needs_reason {
        // a reason to wait is none any more once it goes on
        object.shift_remove("statusReason");
    }
    if let Some(note) = typed.some("note").or_else(|| typed.some("outcome")) {
        push(object, "note", json!({"authorString": who, "time": instant(now), "text": note}));
    }
    if let Some(start) = typed.moment() {
        let before = appointment(current).filter(|before| *before != start);
        if let Some(before) = before {
            // what was said before is not lost: somebody may have come then
            let (before, now_is) = (words::instant_or_date(before), words::instant_or_date(&start));
            let text = format!("The appointment of {before} was changed to {now_is}.");
            push(object, "note", json!({"authorString": who, "time": instant(now), "text": text}));
        }
        object.insert("executionPeriod".into(), json!({"start": start}));
    }
    let mut outputs = match object.get("output").and_then(Value::as_array) {
        Some(outputs) => outputs.clone(),
        None => Vec::new(),
    };
    add_outputs(&mut outputs, typed);
    if !outputs.is_empty() {
        object.insert("output".into(), outputs.into());
    }
    task
}

/// The appointment that a Task has, as FHIR has it.
pub(super) fn appointment(task: &Value) -> Option<&str> {
    tree::text(task, "executionPeriod.start")
}

/// A moment as people type it: day and time, which is empty where it is a day alone.
fn typed_as(start: &str) -> (String, String) {
    match start.parse::<Timestamp>() {
        Ok(at) => (in_london(at).strftime("%-d/%-m/%Y").to_string(), words::clock(at)),
        Err(_) => {
            let day = start.parse::<Date>().map(|day| day.strftime("%-d/%-m/%Y").to_string());
            (day.unwrap_or_default(), String::new())
        }
    }
}

pub(super) fn push(object: &mut serde_json::Map<String, Value>, name: &str, item: Value) {
    match object.get_mut(name).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => {
            object.insert(name.to_owned(), json!([item]));
        }
    }
}

/// What came of a referral, as the Task's outputs.
fn add_outputs(outputs: &mut Vec<Value>, typed: &Typed) {
    if let Some(outcome) = typed.some("outcome") {
        outputs.push(json!({"type": {"text": "Outcome"}, "valueString": outcome}));
    }
    let lines =
        typed.some("activities").into_iter().flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty());
    outputs.extend(lines.map(|line| json!({"type": {"text": "Activity attended"}, "valueString": line})));
    for when in [When::Before, When::After] {
        scores::put(outputs, when, typed.scores(when), typed.taken_away(when));
    }
}

#[cfg(test)]
mod tests;
