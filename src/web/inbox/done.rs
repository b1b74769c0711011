//! What is told of something that was done, on the page that one is sent to then, and how far it gets: nobody is told that the referrer hears
//! of something which no record takes. The URL has a code of it and no words: words in a URL would be anybody's who makes somebody open one.

use super::assign::AT_ONCE_MAX;
use crate::{config::registry::Detail, domain::TaskStatus, writeback::detail::WayBack};

/// The parameter that has the code.
pub(in crate::web) const PARAMETER: &str = "done";

/// The parameter that has the version of the page on which it was done, where something came after that.
pub(in crate::web) const SINCE: &str = "since";

/// What of an answer goes back to the referrer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Told {
    /// How far it has come.
    Status,
    /// Why, in words.
    Reason,
    /// An appointment, and a note beside it.
    Date,
    /// Notes, activities, scores.
    Note,
    /// How it ended, with all that was written.
    Outcome,
    /// Words to the referrer, or of a contact with the person.
    Message,
}

/// What is true of this for a referral with this way back (`writeback/detail.rs` says what goes with which detail).
pub(in crate::web) const fn back(told: Told, way: WayBack) -> &'static str {
    let WayBack::Record { detail, by_consent } = way else {
        return "The referrer’s record takes no answers from Onward: tell the referrer yourself.";
    };
    match (told, detail, by_consent) {
        (Told::Status, ..) => "The referrer is told.",
        (Told::Reason, Detail::Full | Detail::Summary, _) => "The referrer is told why.",
        (Told::Reason, _, true) => "The referrer is told this and not why: the person’s consent keeps it back.",
        (Told::Reason, _, false) => "The referrer is told this and not why: their record takes no words.",
        (Told::Date | Told::Note, Detail::Full, _) => "It goes into the referrer’s record.",
        (Told::Date, Detail::Summary, true) => {
            "The date goes into the referrer’s record. The note stays here: the person’s consent keeps it back."
        }
        (Told::Date, Detail::Summary, false) => {
            "The date goes into the referrer’s record. The note stays here: that record takes none."
        }
        (Told::Message, Detail::Full | Detail::Summary, _) => "It goes into the referrer’s record.",
        (Told::Date | Told::Note | Told::Message, _, true) => {
            "It stays here: the person’s consent keeps it back from the referrer."
        }
        (Told::Date | Told::Note, _, false) => "It stays here: the referrer’s record takes no notes.",
        (Told::Message, _, false) => {
            "Its words do not reach the referrer, whose record takes none: tell them yourself."
        }
        (Told::Outcome, Detail::Full, _) => "The referrer is told what came of it.",
        (Told::Outcome, _, true) => {
            "The referrer is told that it has ended. What you wrote stays here: the person’s consent keeps it back."
        }
        (Told::Outcome, _, false) => {
            "The referrer is told that it has ended. What you wrote stays here: the referrer’s record takes no notes."
        }
    }
}

/// What is said beside all that, while nothing gets into that record.
pub(in crate::web) const RECORD_AWAY: &str = "The referrer’s record cannot be reached at present: Onward writes it there as soon as it can, and IT see that it waits.";

/// A path of ours with the code.
pub(in crate::web) fn with(path: &str, code: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}{PARAMETER}={code}")
}

/// What a code tells of a referral with this way back; nothing where it is none, or tells that it has come to a status in which it is not, or no
/// more: the page may be loaded again when others have gone on with it.
pub(in crate::web) fn words(code: &str, way: WayBack, is: TaskStatus) -> Option<String> {
    if code.parse::<TaskStatus>().is_ok_and(|told| told != is) {
        return None;
    }
    let (done, told) = match code {
        "accepted" => ("You have accepted this referral.", Some(Told::Status)),
        "in-progress" => ("This referral is in progress.", Some(Told::Status)),
        "on-hold" => ("This referral is on hold.", Some(Told::Reason)),
        "rejected" => ("You have declined this referral.", Some(Told::Reason)),
        "completed" => ("You have completed this referral.", Some(Told::Outcome)),
        "failed" => ("This referral has ended early.", Some(Told::Reason)),
        "cancelled" => ("This referral is cancelled.", Some(Told::Status)),
        "entered-in-error" => ("The end of this referral is marked as noted in error.", Some(Told::Reason)),
        "received" => ("This referral is marked as opened.", Some(Told::Status)),
        "keep" => ("You go on with this referral.", Some(Told::Note)),
        "schedule" => ("The appointment is noted.", Some(Told::Date)),
        "progress" => ("It is noted.", Some(Told::Note)),
        "put-right" => {
            return Some(
                "It is marked as noted in error, and that stays to be seen. Note it anew where it is needed."
                    .to_owned(),
            );
        }
        "contact" => ("The contact is noted.", Some(Told::Message)),
        "asked" => ("Your question is written.", Some(Told::Message)),
        "said" => ("Your message is written.", Some(Told::Message)),
        "answered" => ("Your message is on its way to the service you referred on to.", None),
        "given" => ("The worker of this referral is changed.", None),
        "referred" => ("The new referral is sent and linked to this one.", None),
        _ => return None,
    };
    Some(told.map_or_else(|| done.to_owned(), |told| format!("{done} {}", back(told, way))))
}

/// What a code tells on the worklist.
pub(in crate::web) fn words_of_list(code: &str) -> Option<String> {
    let (given, passed) = code.strip_prefix("assigned-")?.split_once('-')?;
    let (given, passed): (u32, u32) = (given.parse().ok()?, passed.parse().ok()?);
    let is_possible = given.checked_add(passed).is_some_and(|all| all <= AT_ONCE_MAX as u32);
    is_possible.then(|| assigned(given, passed))
}

/// How many were given to somebody, and how many were not.
pub(in crate::web) fn assigned(given: u32, passed: u32) -> String {
    let were = |count: u32| if count == 1 { "1 referral was".to_owned() } else { format!("{count} referrals were") };
    match (given, passed) {
        (0, 0) => "Nothing was selected.".to_owned(),
        (given, 0) => format!("{} assigned.", were(given)),
        (given, 1) => format!("{} assigned; 1 referral was not, because it has ended or changed.", were(given)),
        (given, passed) => {
            format!("{} assigned; {} not, because they have ended or changed.", were(given), were(passed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_only_what_is_ours_to_tell() {
        assert_eq!(words_of_list("assigned-1-0").unwrap(), "1 referral was assigned.");
        assert_eq!(
            words_of_list("assigned-3-1").unwrap(),
            "3 referrals were assigned; 1 referral was not, because it has ended or changed."
        );
        assert!(
            words_of_list("assigned-0-2")
                .unwrap()
                .ends_with("2 referrals were not, because they have ended or changed.")
        );
        for bad in ["", "Ring 0900 1234", "assigned-x-1", "assigned-1", "assigned-999999-3", "assigned-100-1"] {
            assert_eq!((words_of_list(bad), words(bad, WayBack::Nowhere, TaskStatus::Accepted)), (None, None), "{bad}");
        }
        for status in TaskStatus::ALL {
            for told in TaskStatus::ALL.iter().filter(|told| *told != status) {
                assert_eq!(
                    words(told.code(), WayBack::Nowhere, *status),
                    None,
                    "{told:?} is told where it is {status:?}"
                );
            }
        }
        assert!(words("said", WayBack::Nowhere, TaskStatus::Completed).is_some());
        assert_eq!(
            (with("/inbox", "a"), with("/inbox?view=new", "a")),
            ("/inbox?done=a".into(), "/inbox?view=new&done=a".into())
        );
    }

    /// What is said to people is held against what the record is given: a line is said to go there only where it does.
    #[test]
    fn what_is_said_to_go_back_is_what_goes_back() {
        use crate::writeback::detail::{reduce, reduce_message};
        let task = serde_json::json!({
            "resourceType": "Task", "status": "rejected", "statusReason": {"text": "WORDS"}, "executionPeriod": {"start": "2026-03-09"},
            "note": [{"text": "WORDS"}], "output": [{"type": {"text": "x"}, "valueString": "WORDS"}],
        });
        let message = serde_json::json!({"resourceType": "Communication", "payload": [{"contentString": "WORDS"}]});
        for detail in [Detail::None, Detail::Codes, Detail::Summary, Detail::Full] {
            let (mut task, mut message) = (task.clone(), message.clone());
            reduce(&mut task, detail);
            reduce_message(&mut message, detail);
            for by_consent in [true, false] {
                let said = |told| back(told, WayBack::Record { detail, by_consent });
                assert_eq!(
                    said(Told::Reason) == "The referrer is told why.",
                    task.get("statusReason").is_some(),
                    "{detail:?}"
                );
                assert_eq!(said(Told::Date).contains("goes into"), task.get("executionPeriod").is_some(), "{detail:?}");
                assert_eq!(said(Told::Note).contains("goes into"), task.get("note").is_some(), "{detail:?}");
                assert_eq!(said(Told::Outcome).contains("what came of it"), task.get("output").is_some(), "{detail:?}");
                let sent = detail > Detail::None && message.get("payload").is_some();
                assert_eq!(said(Told::Message).contains("goes into"), sent, "{detail:?}");
            }
        }
        assert!(
            words("accepted", WayBack::Nowhere, TaskStatus::Accepted).unwrap().contains("tell the referrer yourself")
        );
        let kept = WayBack::Record { detail: Detail::None, by_consent: true };
        assert!(words("completed", kept, TaskStatus::Completed).unwrap().contains("consent keeps it back"));
    }
}
