//! What pages of the console say in words.

use jiff::{SignedDuration, Timestamp};

use crate::{domain::written, store::Attempt};

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

/// A moment to the second.
pub(in crate::web) fn moment(at: Timestamp) -> String {
    written::to_the_second(at)
}

/// A moment to the minute.
pub(in crate::web) fn minute(at: Timestamp) -> String {
    written::moment(at)
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

/// What the journal calls an event, for people; a code that is none as words.
pub(super) fn happened(code: &str) -> String {
    let words = match code {
        "submitted" => "Sent by the referrer",
        "delivered" => "Arrived",
        "listed" => "In the worklist",
        "handed-over" => "In the provider’s queue",
        "delivery-delayed" => "Not delivered yet",
        "not-opened" => "Not opened in time",
        "overdue" => "Not answered in time",
        "escalated" => "Sent to another inbox as well",
        "undeliverable" => "Delivery given up",
        "answered" => "Answered by the provider",
        "followed" => "Followed one of its parts",
        "part-changed" => "A part of it changed",
        "amended" => "Changed by the referrer",
        "cancellation-requested" => "Asked to be cancelled",
        "retracted" => "Taken back by the referrer",
        "message" => "A message was written",
        "passed-on" => "Has reached the provider",
        "answer-refused" => "Answer that cannot be taken",
        "copy-unreadable" => "Copy cannot be read",
        "copy-readable" => "Copy can be read again",
        "written-back" => "Written into the record",
        "record-not-found" => "Not found in the record",
        "request-closed" => "Closed in the record",
        "request-not-closed" => "Not closed in the record",
        "write-back-failed" => "Write-back given up",
        "superseded" => "Need not be sent any more",
        "replayed" => "Tried again",
        "discarded" => "Put away",
        "seen-to" => "Seen to",
        "route-set-activated" => "Other routes in force",
        other => return spoken(other),
    };
    words.to_owned()
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
        for name in crate::domain::Event::NAMES {
            assert!(happened(name) != spoken(name) || matches!(name, "cancelled" | "not-opened" | "seen-to"), "{name}");
        }
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
        assert_eq!((moment(at).as_str(), minute(at).as_str()), ("2 July 2026, 10:00:01am", "2 July 2026, 10am"));
        let text = "olga sees it until 2026-01-02T09:00:01Z, and `gave` a reason";
        assert_eq!(plain(text), "olga sees it until 2 January 2026, 9:00:01am, and “gave” a reason");
    }
}
