//! What is asked for each action, what is wrong with what was typed, and what it makes of a Task. Pure.

use jiff::civil::Date;
use serde_json::{Value, json};

use crate::{
    domain::{TaskStatus, Timestamp, clock::instant},
    web::{form::Form, page::Fault},
};

/// A text has no more characters.
const TEXT_CHARS_MAX: usize = 4_000;

/// How something is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Kind {
    /// One of some.
    Choice(&'static [(&'static str, &'static str)]),
    /// A few words or many.
    Text,
    /// A day, as `2026-03-09` or `9/3/2026`.
    Day,
    /// 0 to 10.
    Score,
}

/// A field.
#[derive(Debug)]
pub(in crate::web) struct Asked {
    pub name: &'static str,
    pub label: &'static str,
    pub hint: &'static str,
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
    pub button: &'static str,
    pub asked: &'static [Asked],
}

const fn asked(
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    kind: Kind,
    missing: &'static str,
) -> Asked {
    Asked { name, label, hint, kind, missing }
}

const DECLINED: &[(&str, &str)] = &[
    ("Not suitable for our service", "It is not suitable for our service"),
    ("Outside our area", "The person lives outside our area"),
    ("No room", "We have no room"),
    ("Another service is better placed", "Another service is better placed (say which)"),
    ("The person does not want it", "The person does not want it"),
    ("The person could not be reached", "We could not reach the person"),
    ("Other", "Another reason"),
];
const ENDED: &[(&str, &str)] = &[
    ("The person stopped coming", "The person stopped coming"),
    ("The person could not be reached any more", "We cannot reach the person any more"),
    ("The person has moved away", "The person has moved away"),
    ("The person has died", "The person has died"),
    ("Other", "Another reason"),
];
const WAYS: &[(&str, &str)] = &[
    ("Phone call", "Phone call"),
    ("Text message", "Text message"),
    ("Email", "Email"),
    ("Letter", "Letter"),
    ("Video call", "Video call"),
    ("Face to face", "Face to face"),
];
const RESULTS: &[(&str, &str)] = &[
    ("Spoke with the person", "We spoke with the person"),
    ("Left a message", "We left a message"),
    ("No answer", "No answer"),
    ("Spoke with somebody else", "We spoke with somebody else"),
    ("Did not attend", "The person did not attend"),
];

/// The four questions of the ONS on personal well-being (ONS4), each 0 to 10: what a page calls it, and the Task's output.
const SCORES: [(&str, &str); 4] =
    [("satisfied", "Life satisfaction"), ("worthwhile", "Worthwhile"), ("happy", "Happiness"), ("anxious", "Anxiety")];

/// The forms.
pub(in crate::web) const FORMS: &[FormOf] = &[
    FormOf {
        code: "rejected",
        heading: "Decline or redirect this referral",
        warning: "This ends the referral here. The referrer is told why, and can send the person elsewhere.",
        button: "Decline this referral",
        asked: &[
            asked("reason", "Why?", "", Kind::Choice(DECLINED), "Choose why you decline it"),
            asked("more", "Say more, such as who could help instead", "", Kind::Text, ""),
        ],
    },
    FormOf {
        code: "on-hold",
        heading: "Put this referral on hold",
        warning: "",
        button: "Put on hold",
        asked: &[asked("reason", "Why, and until when?", "The referrer is told", Kind::Text, "Say why it is on hold")],
    },
    FormOf {
        code: "cancelled",
        heading: "Cancel this referral",
        warning: "The referrer asked for this. It ends the referral.",
        button: "Cancel this referral",
        asked: &[asked(
            "reason",
            "What was done until now?",
            "The referrer is told",
            Kind::Text,
            "Say what was done until now",
        )],
    },
    FormOf {
        code: "keep",
        heading: "Go on with this referral",
        warning: "The referrer asked to cancel it, and is told that you go on.",
        button: "Go on with it",
        asked: &[asked(
            "note",
            "Why is it better to go on?",
            "The referrer is told",
            Kind::Text,
            "Say why you go on with it",
        )],
    },
    FormOf {
        code: "schedule",
        heading: "Book the first appointment",
        warning: "",
        button: "Save",
        asked: &[
            asked("day", "Date", "For example, 9/3/2026", Kind::Day, "Enter the date of the appointment"),
            asked("note", "Where and with whom", "The referrer is told", Kind::Text, ""),
        ],
    },
    FormOf {
        code: "contact",
        heading: "Record a contact",
        warning: "",
        button: "Save",
        asked: &[
            asked("way", "How?", "", Kind::Choice(WAYS), "Choose how you tried to reach the person"),
            asked("result", "What came of it?", "", Kind::Choice(RESULTS), "Choose what came of it"),
            asked("note", "Notes", "They go into the person’s record", Kind::Text, ""),
        ],
    },
    FormOf {
        code: "completed",
        heading: "Complete this referral",
        warning: "This ends the referral. What you write goes into the person’s record.",
        button: "Complete this referral",
        asked: &[
            asked("outcome", "What came of it?", "", Kind::Text, "Say what came of it"),
            asked("activities", "Activities the person took part in", "One on each line", Kind::Text, ""),
            asked(
                "before-satisfied",
                "Life satisfaction, before",
                "0 to 10; leave empty what you did not ask",
                Kind::Score,
                "",
            ),
            asked("before-worthwhile", "Worthwhile, before", "0 to 10", Kind::Score, ""),
            asked("before-happy", "Happiness, before", "0 to 10", Kind::Score, ""),
            asked("before-anxious", "Anxiety, before", "0 to 10", Kind::Score, ""),
            asked("after-satisfied", "Life satisfaction, after", "0 to 10", Kind::Score, ""),
            asked("after-worthwhile", "Worthwhile, after", "0 to 10", Kind::Score, ""),
            asked("after-happy", "Happiness, after", "0 to 10", Kind::Score, ""),
            asked("after-anxious", "Anxiety, after", "0 to 10", Kind::Score, ""),
        ],
    },
    FormOf {
        code: "failed",
        heading: "End this referral early",
        warning: "This ends the referral. The referrer is told why.",
        button: "End this referral",
        asked: &[
            asked("reason", "Why?", "", Kind::Choice(ENDED), "Choose why it ends"),
            asked("more", "Say more", "", Kind::Text, ""),
        ],
    },
];

/// What was typed, by the names of fields.
#[derive(Debug, Default)]
pub(in crate::web) struct Typed(Vec<(&'static str, String)>);

// === impl Typed ===

impl Typed {
    /// What of a form belongs to an action.
    pub(super) fn of(form: Option<&'static FormOf>, sent: &Form) -> Self {
        let asked = form.map_or(&[][..], |form| form.asked);
        Self(asked.iter().map(|of| (of.name, sent.text(of.name).trim().replace("\r\n", "\n"))).collect())
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
}

// === impl FormOf ===

impl FormOf {
    /// All that is wrong with what was typed.
    pub(super) fn faults(&self, typed: &Typed) -> Vec<Fault> {
        self.asked.iter().filter_map(|of| Some(Fault::at(of.name, of.fault(typed.text(of.name))?))).collect()
    }
}

impl Asked {
    fn fault(&self, text: &str) -> Option<String> {
        if text.is_empty() {
            return (!self.missing.is_empty()).then(|| self.missing.to_owned());
        }
        if text.chars().count() > TEXT_CHARS_MAX {
            return Some(format!("{}: use {TEXT_CHARS_MAX} characters or fewer", self.label));
        }
        match self.kind {
            Kind::Choice(options) if !options.iter().any(|(value, _)| *value == text) => Some(self.missing.to_owned()),
            Kind::Day if day(text).is_none() => Some("Enter a date like 9/3/2026".to_owned()),
            Kind::Score if score(text).is_none() => Some(format!("{}: enter a whole number from 0 to 10", self.label)),
            Kind::Choice(_) | Kind::Day | Kind::Score | Kind::Text => None,
        }
    }
}

/// A day as people type it, or as a browser's own field sends it.
fn day(text: &str) -> Option<Date> {
    let parts: Vec<&str> = text.split(['/', '.', '-', ' ']).filter(|part| !part.is_empty()).collect();
    let [a, b, c] = parts[..] else { return None };
    let (year, month, day) = if a.len() == 4 { (a, b, c) } else { (c, b, a) };
    let year: i16 = year.parse().ok()?;
    Date::new(year, month.parse().ok()?, day.parse().ok()?).ok().filter(|_| (2000..2200).contains(&year))
}

fn score(text: &str) -> Option<u8> {
    text.parse().ok().filter(|score| *score <= 10)
}

/// The Task as an action wants it. `who` did it, for people.
pub(super) fn applied(current: &Value, action: &str, typed: &Typed, who: &str, now: Timestamp) -> Value {
    let mut task = current.clone();
    let Some(object) = task.as_object_mut() else { return task };
    let to = match action {
        "schedule" if object.get("status").and_then(Value::as_str) != Some(TaskStatus::OnHold.code()) => {
            TaskStatus::InProgress.code()
        }
        "schedule" | "keep" => object.get("status").and_then(Value::as_str).unwrap_or_default(),
        status => status,
    };
    let to = to.to_owned();
    let needs_reason = to.parse::<TaskStatus>().is_ok_and(TaskStatus::needs_reason);
    object.insert("status".into(), to.clone().into());
    if let Some(reason) = typed.some("reason") {
        let text = typed.some("more").map_or_else(|| reason.to_owned(), |more| format!("{reason}: {more}"));
        object.insert("statusReason".into(), json!({"text": text}));
    } else if !needs_reason {
        // a reason to wait is none any more once it goes on
        object.shift_remove("statusReason");
    }
    if let Some(note) = typed.some("note").or_else(|| typed.some("outcome")) {
        push(object, "note", json!({"authorString": who, "time": instant(now), "text": note}));
    }
    if let Some(day) = typed.some("day").and_then(day) {
        object.insert("executionPeriod".into(), json!({"start": day.to_string()}));
    }
    for output in outputs(typed) {
        push(object, "output", output);
    }
    task
}

fn push(object: &mut serde_json::Map<String, Value>, name: &str, item: Value) {
    match object.get_mut(name).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => {
            object.insert(name.to_owned(), json!([item]));
        }
    }
}

/// What came of a referral, as the Task's outputs.
fn outputs(typed: &Typed) -> Vec<Value> {
    let mut outputs = Vec::new();
    if let Some(outcome) = typed.some("outcome") {
        outputs.push(json!({"type": {"text": "Outcome"}, "valueString": outcome}));
    }
    let lines =
        typed.some("activities").into_iter().flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty());
    outputs.extend(lines.map(|line| json!({"type": {"text": "Activity attended"}, "valueString": line})));
    for when in ["before", "after"] {
        for (name, called) in SCORES {
            if let Some(score) = typed.some(&format!("{when}-{name}")).and_then(score) {
                outputs.push(json!({"type": {"text": format!("ONS4 {when}: {called}")}, "valueInteger": score}));
            }
        }
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(code: &str) -> &'static FormOf {
        FORMS.iter().find(|form| form.code == code).unwrap()
    }

    fn now() -> Timestamp {
        "2026-03-03T14:05:00Z".parse().unwrap()
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_at_its_field() {
        let fields = |code: &str, typed: &[(&'static str, &str)]| -> Vec<&str> {
            form(code).faults(&Typed::made(typed)).iter().map(|fault| fault.field).collect()
        };
        assert_eq!(fields("rejected", &[]), ["reason"]);
        assert_eq!(fields("rejected", &[("reason", "made up")]), ["reason"]);
        assert_eq!(fields("rejected", &[("reason", "No room")]), [""; 0]);
        assert_eq!(
            fields("completed", &[("outcome", "x"), ("before-happy", "11"), ("after-happy", "a")]),
            ["before-happy", "after-happy"]
        );
        assert_eq!(fields("schedule", &[("day", "31/2/2026")]), ["day"]);
        assert_eq!(fields("on-hold", &[("reason", &"x".repeat(4_001))]), ["reason"]);
    }

    #[test]
    fn days_are_read_as_people_type_them() {
        let typed = |text: &str| day(text).map(|day| day.to_string());
        for text in ["9/3/2026", "09.03.2026", "2026-03-09", "9 3 2026"] {
            assert_eq!(typed(text).as_deref(), Some("2026-03-09"), "{text}");
        }
        for bad in ["", "9/3", "9/13/2026", "9/3/26", "tomorrow"] {
            assert_eq!(typed(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_decline_has_its_reason_and_nothing_else_changes() {
        let current = json!({"resourceType": "Task", "status": "received", "owner": {"display": "x"}});
        let typed = Typed::made(&[("reason", "No room"), ("more", "Try Mind")]);
        let task = applied(&current, "rejected", &typed, "Luke", now());
        assert_eq!(
            (task["status"].as_str(), task["statusReason"]["text"].as_str()),
            (Some("rejected"), Some("No room: Try Mind"))
        );
        assert_eq!(task["owner"], current["owner"]);
        assert!(task.get("note").is_none() && task.get("output").is_none());
    }

    #[test]
    fn an_end_has_its_outcome_scores_and_activities() {
        let current = json!({"resourceType": "Task", "status": "in-progress", "statusReason": {"text": "waited"}, "output": [{"x": 1}]});
        let typed = Typed::made(&[
            ("outcome", "Joined a choir"),
            ("activities", "Choir\n\n Walking group "),
            ("before-happy", "2"),
            ("after-happy", "7"),
        ]);
        let task = applied(&current, "completed", &typed, "Luke", now());
        let outputs: Vec<String> = task["output"]
            .as_array()
            .unwrap()
            .iter()
            .skip(1)
            .map(|o| {
                format!(
                    "{} = {}",
                    o["type"]["text"].as_str().unwrap(),
                    o.get("valueString").or(o.get("valueInteger")).unwrap()
                )
            })
            .collect();
        assert_eq!(
            outputs,
            [
                "Outcome = \"Joined a choir\"",
                "Activity attended = \"Choir\"",
                "Activity attended = \"Walking group\"",
                "ONS4 before: Happiness = 2",
                "ONS4 after: Happiness = 7",
            ]
        );
        assert!(task.get("statusReason").is_none(), "why it waited is over");
        assert_eq!(task["note"][0]["authorString"], "Luke");
    }

    #[test]
    fn an_appointment_begins_the_work_but_wakes_nothing_that_is_on_hold() {
        let at = |status: &str| {
            let typed = Typed::made(&[("day", "9/3/2026")]);
            applied(&json!({"status": status, "statusReason": {"text": "ill"}}), "schedule", &typed, "Luke", now())
        };
        assert_eq!(
            (at("accepted")["status"].clone(), at("accepted")["executionPeriod"]["start"].clone()),
            ("in-progress".into(), "2026-03-09".into())
        );
        assert_eq!(
            (at("on-hold")["status"].clone(), at("on-hold")["statusReason"]["text"].clone()),
            ("on-hold".into(), "ill".into())
        );
    }
}
