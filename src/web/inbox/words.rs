//! What the pages call things: plain words for codes, moments and persons.

use jiff::{Timestamp, Zoned};

use crate::domain::{TaskStatus, TransportStatus, task::TaskState, written};

/// A status in a word or two, and the colour of its tag (NHS service manual, “Tag”).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) struct Tag {
    /// The words.
    pub words: &'static str,
    /// The colour as nhsuk-frontend names it.
    pub colour: &'static str,
}

pub(in crate::web) const fn tag(words: &'static str, colour: &'static str) -> Tag {
    Tag { words, colour }
}

/// What a status is called.
pub(in crate::web) const fn status(of: TaskStatus) -> Tag {
    match of {
        TaskStatus::Requested | TaskStatus::Received => tag("New", "blue"),
        TaskStatus::Accepted => tag("Accepted", "aqua-green"),
        TaskStatus::InProgress => tag("In progress", "green"),
        TaskStatus::OnHold => tag("On hold", "yellow"),
        TaskStatus::Completed => tag("Completed", "white"),
        TaskStatus::Rejected => tag("Declined", "grey"),
        TaskStatus::Failed => tag("Ended early", "grey"),
        TaskStatus::Cancelled => tag("Cancelled", "grey"),
        TaskStatus::EnteredInError => tag("Ended in error", "grey"),
    }
}

/// What a status is called of a referral that its referrer may have taken back.
pub(in crate::web) const fn status_of(of: TaskStatus, taken_back: bool) -> Tag {
    match of {
        TaskStatus::EnteredInError if taken_back => tag("Taken back: sent in error", "red"),
        _ => status(of),
    }
}

/// What else a state says, the gravest first.
pub(in crate::web) fn marks(state: &TaskState, now: Timestamp) -> Vec<Tag> {
    let mut marks = Vec::new();
    if is_overdue(state, now) {
        marks.push(tag("Overdue", "red"));
    }
    if state.cancel_requested {
        marks.push(tag("Asked to cancel", "orange"));
    }
    if state.information_requested {
        marks.push(tag("Waiting for the referrer", "yellow"));
    }
    marks
}

/// Whether its provider was to have opened or answered it by now.
pub(in crate::web) fn is_overdue(state: &TaskState, now: Timestamp) -> bool {
    let told = matches!(state.transport, Some(TransportStatus::NotOpened | TransportStatus::Overdue));
    let passed = [state.deadlines.open_by, state.deadlines.answer_by].into_iter().flatten().any(|by| by < now);
    !state.status.is_terminal() && (told || passed)
}

/// What a person is asked by when: the earlier of opening and answering.
pub(in crate::web) fn due(state: &TaskState) -> Option<Timestamp> {
    [state.deadlines.open_by, state.deadlines.answer_by]
        .into_iter()
        .flatten()
        .min()
        .filter(|_| !state.status.is_terminal())
}

/// The same in words: what is asked for by then.
pub(in crate::web) fn due_words(state: &TaskState) -> Option<String> {
    let due = due(state)?;
    let what = if state.deadlines.answer_by == Some(due) { "answered" } else { "opened" };
    Some(format!("to be {what} by {}", day(due)))
}

/// The same for a table: `Open by 3 March 2026`.
pub(in crate::web) fn to_do(state: &TaskState) -> Option<String> {
    let due = due(state)?;
    let what = if state.deadlines.answer_by == Some(due) { "Answer" } else { "Open" };
    Some(format!("{what} by {}", day(due)))
}

/// How urgent a referral is, by its code (R4 request-priority): the rank, the most urgent first, and the words.
pub(in crate::web) fn priority(code: &str) -> (u8, Option<Tag>) {
    match code {
        "stat" => (0, Some(tag("Immediate", "red"))),
        "asap" => (1, Some(tag("As soon as possible", "red"))),
        "urgent" => (2, Some(tag("Urgent", "orange"))),
        _ => (3, None),
    }
}

fn in_london(at: Timestamp) -> Zoned {
    at.to_zoned(written::LONDON)
}

/// A day: `3 March 2026`.
pub(in crate::web) fn day(at: Timestamp) -> String {
    written::day(at)
}

/// A day for a table: `2026-03-03`.
pub(in crate::web) fn iso_day(at: Timestamp) -> String {
    in_london(at).strftime("%Y-%m-%d").to_string()
}

/// A moment to the minute: `3 March 2026, 2:05pm` (NHS service manual, “Dates and times”).
pub(in crate::web) fn moment(at: Timestamp) -> String {
    written::moment(at)
}

/// A time of day to the minute: `2:05pm`.
pub(in crate::web) fn clock(at: Timestamp) -> String {
    written::time(at)
}

/// A date as FHIR writes it, whole or in part: `2 November 1984`, `November 1984`, `1984`. What is none stays as it is.
pub(in crate::web) fn date(text: &str) -> String {
    let whole = text.get(..10).and_then(|day| day.parse::<jiff::civil::Date>().ok());
    let month = || format!("{text}-01").parse::<jiff::civil::Date>().ok();
    match (whole, text.len()) {
        (Some(day), _) => day.strftime("%-d %B %Y").to_string(),
        (None, 7) => month().map_or_else(|| text.to_owned(), |day| day.strftime("%B %Y").to_string()),
        _ => text.to_owned(),
    }
}

/// A moment as FHIR writes it; a date where it is no more than that.
pub(in crate::web) fn instant_or_date(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| date(text), moment)
}

/// An NHS number as people read it: `999 074 2677`.
pub(in crate::web) fn nhs_number(digits: &str) -> String {
    match (digits.get(..3), digits.get(3..6), digits.get(6..)) {
        (Some(a), Some(b), Some(c)) if digits.len() == 10 => format!("{a} {b} {c}"),
        _ => digits.to_owned(),
    }
}

/// A text as it is searched for: lower case, in letters that everybody's keyboard has, words apart by one space.
///
/// Nothing that is folded is stored: a name is found from the moment that the letter it is written with is known here.
pub(in crate::web) fn folded(text: &str) -> String {
    use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};
    let small = text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    let mut plain = String::with_capacity(text.len());
    for letter in small {
        match spelled(letter) {
            Some(letters) => plain.push_str(letters),
            None => plain.push(letter),
        }
    }
    plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What somebody types for a small letter that is no letter with an accent to Unicode, and what parts words without being a sign to it.
const fn spelled(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ł' | 'ŀ' => "l",
        'đ' | 'ð' => "d",
        'ø' => "o",
        'ħ' => "h",
        'ı' => "i",
        'ŧ' => "t",
        'ŋ' | 'ŉ' => "n",
        'ĸ' => "k",
        'ſ' => "s",
        'ə' => "a",
        'æ' => "ae",
        'œ' => "oe",
        'ß' => "ss",
        'þ' => "th",
        'ĳ' => "ij",
        'ς' => "σ",
        'ʻ' | 'ʼ' | 'ʾ' | 'ʿ' => " ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_and_dates_are_told_as_people_say_them() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(moment(at("2026-03-03T14:05:00Z")), "3 March 2026, 2:05pm");
        assert_eq!(moment(at("2026-07-01T11:00:00Z")), "1 July 2026, 12pm", "in summer time");
        assert_eq!(moment(at("2026-01-01T00:30:00Z")), "1 January 2026, 12:30am");
        assert_eq!((date("1984-11-02").as_str(), date("1984-11").as_str()), ("2 November 1984", "November 1984"));
        assert_eq!((date("1984").as_str(), date("?").as_str()), ("1984", "?"));
        assert_eq!(instant_or_date("2026-03-03T14:05:22.125+00:00"), "3 March 2026, 2:05pm");
        assert_eq!(nhs_number("9990742677"), "999 074 2677");
        assert_eq!(iso_day(at("2026-07-01T23:30:00Z")), "2026-07-02", "in summer time");
    }

    #[test]
    fn what_is_to_be_done_first_is_told() {
        let by = |text: &str| Some(text.parse().unwrap());
        let mut state = TaskState::new();
        state.deadlines.answer_by = by("2026-03-16T10:00:00Z");
        assert_eq!(to_do(&state).as_deref(), Some("Answer by 16 March 2026"));
        state.deadlines.open_by = by("2026-03-04T10:00:00Z");
        assert_eq!(to_do(&state).as_deref(), Some("Open by 4 March 2026"), "nobody has opened it");
        state.status = TaskStatus::Completed;
        assert_eq!(to_do(&state), None);
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        assert_eq!(folded("Siobhán  O'Neill-Łuk"), "siobhan o neill luk");
        assert_eq!(folded("فاطمة"), folded(" فاطمة "));
        for (written, typed) in [
            ("Łukasz ĐORĐEVIĆ", "lukasz dordevic"),
            ("Søren Ørsted", "soren orsted"),
            ("Ħaż-Żebbuġ", "haz zebbug"),
            ("Işıl İnci", "isil inci"),
            ("Æsa Œuvrard", "aesa oeuvrard"),
            ("Groß, GROẞ", "gross gross"),
            ("Þór Guðmundsson", "thor gudmundsson"),
            ("Ŋuura", "nuura"),
            ("Məmməd", "mammad"),
            ("Γιώργος", "γιωργοσ"),
            ("O\u{2bc}Neill", "o neill"),
        ] {
            assert_eq!(folded(written), typed);
        }
    }

    proptest! {
        #[test]
        fn what_is_folded_stays_so(any in r"\PC{0,40}", letters in r"[\u{c0}-\u{2ff}\u{370}-\u{3ff}\u{1e00}-\u{1eff} ]{0,40}") {
            for text in [any, letters] {
                let once = folded(&text);
                prop_assert_eq!(&folded(&once), &once, "{:?}", text);
                let large = text.to_uppercase();
                prop_assert_eq!(folded(&large), folded(&large.to_lowercase()), "{:?}", text);
            }
        }
    }

    #[test]
    fn what_was_not_opened_or_answered_in_time_is_overdue_until_it_ends() {
        let now: Timestamp = "2026-03-03T14:05:00Z".parse().unwrap();
        let mut state = TaskState::new();
        assert!(!is_overdue(&state, now));
        state.deadlines.answer_by = Some("2026-03-03T14:04:59Z".parse().unwrap());
        assert!(is_overdue(&state, now));
        assert_eq!(marks(&state, now)[0].words, "Overdue");
        state.status = TaskStatus::Completed;
        assert!(!is_overdue(&state, now));
        state = TaskState { transport: Some(TransportStatus::NotOpened), ..TaskState::new() };
        assert!(is_overdue(&state, now));
    }
}
