//! The forms: what is asked for each action.

use super::{Asked, FormOf, Kind, OTHER, PLACED};
use crate::web::inbox::done::Told;

// why is said in words: R4 binds Task.statusReason to no codes, and those of booking standards (BaRS RRNA, FC, OTH) tell less
const DECLINED: &[(&str, &str)] = &[
    ("Not suitable for our service", "It is not suitable for our service"),
    ("Outside our area", "The person lives outside our area"),
    ("No room", "We have no room"),
    (PLACED, "Another service is better placed (say which)"),
    ("The person is helped already", "The person is helped already, by us or by somebody else"),
    ("The person needs more than we can give safely", "The person needs more help than we can give safely"),
    ("The person does not want it", "The person does not want it"),
    ("The person could not be reached", "We could not reach the person"),
    ("The person has moved away", "The person has moved away"),
    ("The person has died", "The person has died"),
    (OTHER, "Another reason (say which)"),
];
const ENDED: &[(&str, &str)] = &[
    ("The person stopped coming", "The person stopped coming"),
    ("The person could not be reached any more", "We cannot reach the person any more"),
    ("The person has moved away", "The person has moved away"),
    ("The person has died", "The person has died"),
    (OTHER, "Another reason (say which)"),
];
const WAYS: &[(&str, &str)] = &[
    ("Phone call", "Phone call"),
    ("Text message", "Text message"),
    ("Email", "Email"),
    ("Letter", "Letter"),
    ("Video call", "Video call"),
    ("Face to face", "Face to face"),
    ("Home visit", "Home visit"),
];
const RESULTS: &[(&str, &str)] = &[
    ("Spoke with the person", "We spoke with the person"),
    ("Sent", "It was sent"),
    ("Left a message", "We left a message"),
    ("No answer", "No answer"),
    ("Spoke with somebody else", "We spoke with somebody else"),
    ("Did not attend", "The person did not attend"),
];

const fn asked(name: &'static str, label: &'static str, kind: Kind, missing: &'static str) -> Asked {
    Asked { name, label, hint: "", goes: None, kind, missing }
}

impl Asked {
    const fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    const fn goes(self, told: Told) -> Self {
        Self { goes: Some(told), ..self }
    }
}

const ACTIVITIES: Asked =
    asked("activities", "Activities the person took part in", Kind::Text, "").hint("One on each line");
const BEFORE: [Asked; 4] = [
    asked("before-satisfied", "ONS4: Life satisfaction, before", Kind::Score, "")
        .hint("The four questions on well-being of the Office for National Statistics (ONS4), each 0 to 10. Leave empty what you did not ask"),
    asked("before-worthwhile", "ONS4: Worthwhile, before", Kind::Score, "").hint("0 to 10"),
    asked("before-happy", "ONS4: Happiness, before", Kind::Score, "").hint("0 to 10"),
    asked("before-anxious", "ONS4: Anxiety, before", Kind::Score, "").hint("0 to 10"),
];

/// The forms.
pub(in crate::web) const FORMS: &[FormOf] = &[
    FormOf {
        code: "rejected",
        heading: "Decline or redirect this referral",
        warning: "This ends the referral here.",
        goes: Some(Told::Reason),
        button: "Decline this referral",
        asked: &[
            asked("reason", "Why?", Kind::Choice(DECLINED), "Choose why you decline it"),
            asked("where", "Which service could help instead?", Kind::Line, "")
                .hint("Needed where another service is better placed"),
            asked("more", "Say more", Kind::Text, "").hint("Needed for another reason"),
        ],
    },
    FormOf {
        code: "on-hold",
        heading: "Put this referral on hold",
        warning: "",
        goes: None,
        button: "Put on hold",
        asked: &[asked("reason", "Why, and until when?", Kind::Text, "Say why it is on hold").goes(Told::Reason)],
    },
    FormOf {
        code: "cancelled",
        heading: "Cancel this referral",
        warning: "The referrer asked for this. It ends the referral.",
        goes: None,
        button: "Cancel this referral",
        asked: &[
            asked("reason", "What was done until now?", Kind::Text, "Say what was done until now").goes(Told::Reason)
        ],
    },
    FormOf {
        code: "keep",
        heading: "Go on with this referral",
        warning: "The referrer asked to cancel it.",
        goes: Some(Told::Status),
        button: "Go on with it",
        asked: &[asked("note", "Why is it better to go on?", Kind::Text, "Say why you go on with it").goes(Told::Note)],
    },
    FormOf {
        code: "schedule",
        heading: "Book the first appointment",
        warning: "",
        goes: None,
        button: "Save",
        asked: &[
            asked("day", "Date of the appointment", Kind::Day, "Enter the date of the appointment")
                .hint("For example, 9/3/2026"),
            asked("time", "Time", Kind::Time, "").hint("For example, 2:30pm. Leave it empty if it is not fixed yet"),
            asked("note", "Where and with whom", Kind::Text, "").goes(Told::Note),
        ],
    },
    FormOf {
        code: "contact",
        heading: "Record a contact",
        warning: "",
        goes: None,
        button: "Save",
        asked: &[
            asked("way", "How?", Kind::Choice(WAYS), "Choose how you tried to reach the person"),
            asked("day", "On which day?", Kind::Day, "Enter the day of the contact").hint("For example, 9/3/2026"),
            asked("time", "At what time?", Kind::Time, "")
                .hint("For example, 2:30pm. Leave it empty if you do not know it"),
            asked("result", "What came of it?", Kind::Choice(RESULTS), "Choose what came of it"),
            asked("note", "Notes", Kind::Text, "").goes(Told::Message),
        ],
    },
    FormOf {
        code: "progress",
        heading: "Record activities and scores",
        warning: "",
        goes: Some(Told::Note),
        button: "Save",
        asked: &[ACTIVITIES, BEFORE[0], BEFORE[1], BEFORE[2], BEFORE[3], asked("note", "Notes", Kind::Text, "")],
    },
    FormOf {
        code: "completed",
        heading: "Complete this referral",
        warning: "This ends the referral.",
        goes: Some(Told::Outcome),
        button: "Complete this referral",
        asked: &[
            asked("outcome", "What came of it?", Kind::Text, "Say what came of it"),
            ACTIVITIES.hint("Those that are not recorded yet, one on each line"),
            BEFORE[0],
            BEFORE[1],
            BEFORE[2],
            BEFORE[3],
            asked("after-satisfied", "ONS4: Life satisfaction, after", Kind::Score, "").hint("0 to 10"),
            asked("after-worthwhile", "ONS4: Worthwhile, after", Kind::Score, "").hint("0 to 10"),
            asked("after-happy", "ONS4: Happiness, after", Kind::Score, "").hint("0 to 10"),
            asked("after-anxious", "ONS4: Anxiety, after", Kind::Score, "").hint("0 to 10"),
        ],
    },
    FormOf {
        code: "failed",
        heading: "End this referral early",
        warning: "This ends the referral.",
        goes: Some(Told::Reason),
        button: "End this referral",
        asked: &[
            asked("reason", "Why?", Kind::Choice(ENDED), "Choose why it ends"),
            asked("more", "Say more", Kind::Text, "").hint("Needed for another reason"),
        ],
    },
    FormOf {
        code: "entered-in-error",
        heading: "This referral was ended in error",
        warning: "What was written stays to be seen, marked as noted in error. The referral does not open again: where the work goes on, ask the referrer to send it anew.",
        goes: Some(Told::Reason),
        button: "Mark it as ended in error",
        asked: &[asked("reason", "What is wrong with it?", Kind::Text, "Say what is wrong with it")],
    },
];
