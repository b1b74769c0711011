//! What is told of something that was done, on the page that one is sent to then. The URL has a code of it and no words: words in a URL
//! would be anybody's who makes somebody open one.

/// The parameter that has the code.
pub(in crate::web) const PARAMETER: &str = "done";

/// A path of ours with the code.
pub(in crate::web) fn with(path: &str, code: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}{PARAMETER}={code}")
}

/// What a code tells; nothing where it is none.
pub(in crate::web) fn words(code: &str) -> Option<String> {
    if let Some((given, passed)) = code.strip_prefix("assigned-").and_then(|rest| rest.split_once('-')) {
        return Some(assigned(given.parse().ok()?, passed.parse().ok()?));
    }
    let told = match code {
        "accepted" => "You have accepted this referral. The referrer is told.",
        "in-progress" => "This referral is in progress. The referrer is told.",
        "on-hold" => "This referral is on hold. The referrer is told why.",
        "rejected" => "You have declined this referral. The referrer is told why.",
        "completed" => "You have completed this referral. The referrer is told what came of it.",
        "failed" => "This referral has ended early. The referrer is told why.",
        "cancelled" => "This referral is cancelled. The referrer is told.",
        "asked" => "Your question is on its way to the referrer.",
        "said" => "Your message is on its way to the referrer.",
        "noted" => "It is noted, and goes into the record.",
        "given" => "The worker of this referral is changed.",
        "referred" => "The new referral is sent and linked to this one.",
        _ => return None,
    };
    Some(told.to_owned())
}

fn assigned(given: u32, passed: u32) -> String {
    let were = |count: u32| if count == 1 { "1 referral was".to_owned() } else { format!("{count} referrals were") };
    match (given, passed) {
        (0, 0) => "Nothing was selected.".to_owned(),
        (given, 0) => format!("{} assigned.", were(given)),
        (given, passed) => format!("{} assigned; {} not, because it has ended or changed.", were(given), were(passed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_only_what_is_ours_to_tell() {
        assert_eq!(words("assigned-1-0").unwrap(), "1 referral was assigned.");
        assert_eq!(
            words("assigned-3-1").unwrap(),
            "3 referrals were assigned; 1 referral was not, because it has ended or changed."
        );
        for bad in ["", "Ring 0900 1234", "assigned-x-1", "assigned-1"] {
            assert_eq!(words(bad), None, "{bad}");
        }
        assert_eq!(
            (with("/inbox", "a"), with("/inbox?view=new", "a")),
            ("/inbox?done=a".into(), "/inbox?view=new&done=a".into())
        );
    }
}
