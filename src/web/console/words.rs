//! What pages of the console say in words.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::store::Attempt;

/// A status in a word or two, with the colour of its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) struct Tag {
    /// The words.
    pub words: &'static str,
    /// The colour, as the NHS's tags have it.
    pub colour: &'static str,
}

impl Tag {
    pub(in crate::web) const fn of(words: &'static str, colour: &'static str) -> Self {
        Self { words, colour }
    }
}

/// Where people are.
pub(in crate::web) const LONDON: TimeZone = jiff::tz::get!("Europe/London");

/// A moment to the second, in the time of London, which has two: which of them is said.
pub(in crate::web) fn moment(at: Timestamp) -> String {
    at.to_zoned(LONDON).strftime("%-d %B %Y, %H:%M:%S %Z").to_string()
}

/// A moment to the minute.
pub(in crate::web) fn minute(at: Timestamp) -> String {
    at.to_zoned(LONDON).strftime("%-d %B, %H:%M").to_string()
}

/// How long something took, or lasts: in the largest whole unit.
pub(in crate::web) fn long(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (count, unit) = match seconds {
        0..=59 => return "less than a minute".to_owned(),
        60..=7_199 => (seconds / 60, "minute"),
        7_200..=172_799 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    counted(u64::try_from(count).unwrap_or_default(), unit)
}

/// A number of things.
pub(in crate::web) fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// A code as words.
pub(in crate::web) fn spoken(code: &str) -> String {
    let mut letters = code.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters.map(|letter| if letter == '-' { ' ' } else { letter })).collect()
}

/// A text of ours as people read it: without the marks of code, which are for a terminal, and with moments in the time of London.
pub(in crate::web) fn plain(text: &str) -> String {
    let local = |word: &str| {
        let bare = word.trim_end_matches(['.', ',', ';', ':', ')']);
        let at: Timestamp = bare.parse().ok()?;
        Some(format!("{}{}", moment(at), word.strip_prefix(bare).unwrap_or_default()))
    };
    let words = text.split(' ').map(|word| local(word).unwrap_or_else(|| word.to_owned()));
    quoted(&words.collect::<Vec<_>>().join(" "))
}

/// What stands between marks of code is quoted.
fn quoted(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for (at, part) in text.split('`').enumerate() {
        if at > 0 {
            told.push(if at % 2 == 1 { '“' } else { '”' });
        }
        told.push_str(part);
    }
    told
}

/// What came of a try to send something, in words.
pub(super) fn came_of(attempt: &Attempt) -> String {
    let why = attempt.why.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
    match attempt.result.as_str() {
        "arrived" => format!("it arrived, within {} ms", attempt.duration.as_millis().max(1)),
        "deferred" => format!("it did not arrive{why}. It is tried again by itself"),
        "refused" => format!("it was not taken{why}"),
        "superseded" => "it need not be sent any more".to_owned(),
        other => format!("{other}{why}"),
    }
}

/// What a line of the IT worklist is about; none where the code is no kind of line.
pub(super) fn kind_words(code: &str) -> Option<&'static str> {
    Some(match code {
        "undeliverable" => "Could not be delivered",
        "dead-letter" => "Could not be written back into the record",
        "delivery-delayed" => "Not delivered yet",
        "not-opened" => "Not opened in time",
        "overdue" => "Not answered in time",
        "destination-mismatch" => "On its way to the wrong place",
        "copy-unreadable" => "The provider’s copy cannot be read",
        "answer-refused" => "An answer that cannot be taken",
        "configuration-refused" => "A changed configuration was not taken up",
        "not-configured" => "Messages for somebody who is not configured",
        "broker-away" => "Message broker not reached",
        "store-trouble" => "Store in trouble",
        "endpoint-broken" => "A server does not answer",
        "sending-fails" => "Cannot be sent at present",
        "glass-broken" => "Somebody looked into a referral",
        "worker-let-in" => "Somebody was let in to referrals",
        "mail-away" => "Mail cannot be sent",
        "proposals-waiting" => "Proposals for the directory",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_whole_units() {
        for (seconds, told) in [
            (-5, "less than a minute"),
            (59, "less than a minute"),
            (60, "1 minute"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(long(SignedDuration::from_secs(seconds)), told);
        }
    }

    #[test]
    fn what_came_of_a_try_is_told_without_a_code() {
        for (result, why, told) in [
            ("arrived", None, "it arrived, within 12 ms"),
            (
                "deferred",
                Some("connection refused"),
                "it did not arrive: connection refused. It is tried again by itself",
            ),
            ("refused", Some("HTTP 422"), "it was not taken: HTTP 422"),
            ("superseded", None, "it need not be sent any more"),
        ] {
            let attempt = Attempt {
                side: crate::domain::Side::Delivery,
                of: 1,
                at: Timestamp::UNIX_EPOCH,
                duration: std::time::Duration::from_millis(12),
                endpoint: String::new(),
                result: result.to_owned(),
                why: why.map(str::to_owned),
            };
            assert_eq!(came_of(&attempt), told);
        }
    }

    #[test]
    fn codes_are_words() {
        assert_eq!(spoken("delivery-delayed"), "Delivery delayed");
        assert_eq!(spoken(""), "");
    }

    #[test]
    fn marks_of_code_become_quotes() {
        for (text, told) in [("run `onward check` there", "run “onward check” there"), ("", ""), ("`a` `b`", "“a” “b”")]
        {
            assert_eq!(plain(text), told);
        }
    }

    #[test]
    fn moments_are_londons() {
        let at: Timestamp = "2026-07-02T09:00:01Z".parse().unwrap();
        assert_eq!((moment(at).as_str(), minute(at).as_str()), ("2 July 2026, 10:00:01 BST", "2 July, 10:00"));
        let text = "olga sees it until 2026-01-02T09:00:01Z, and `gave` a reason";
        assert_eq!(plain(text), "olga sees it until 2 January 2026, 09:00:01 GMT, and “gave” a reason");
    }
}
