//! What is told of something that was done, on the page that one is sent to then: a page that is loaded again does nothing a second time.
//! The URL has a code of it and no words, as in `inbox/done.rs`.

use crate::{
    http::call::pairs,
    web::inbox::done::{PARAMETER, with},
};

/// A dead letter is tried again.
pub(super) const REPLAYED: &str = "replayed";
/// A dead letter is put away.
pub(super) const PUT_AWAY: &str = "put-away";

/// A line of what waits is ticked off.
pub(super) const TICKED: &str = "ticked";
/// There was nothing to tick off any more.
pub(super) const GONE: &str = "gone";

/// Where one is sent when this was done: this path of ours.
pub(super) fn at(path: &str, code: &str) -> String {
    with(path, code)
}

/// What the query of such a URL tells; nothing where it has no code of ours.
pub(super) fn told(query: Option<String>) -> Option<&'static str> {
    let query = pairs(&query.unwrap_or_default());
    match query.iter().find(|(name, _)| name == PARAMETER)?.1.as_str() {
        REPLAYED => Some("The message is tried again now, in the order of its referral."),
        PUT_AWAY => Some("The message is put away, and is never sent."),
        TICKED => Some("It is ticked off."),
        GONE => Some("It was ticked off before, or what it was about is over."),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_only_what_is_ours_to_tell() {
        let asked = |url: &str| told(url.split_once('?').map(|(_, query)| query.to_owned()));
        assert!(asked(&at("/console/trace/1", REPLAYED)).is_some_and(|told| told.contains("tried again now")));
        assert!(asked(&at("/console/trace/1?x=y", PUT_AWAY)).is_some_and(|told| told.contains("put away")));
        for bad in ["/console", "/console?done=", "/console?done=Ring%200900%201234", "/console?did=replayed"] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }
}
