//! A form that is not taken because its session is over or another one: what was typed is not lost by that. The answer holds it, in the page
//! and nowhere else, and whoever is logged in again sends it again. It stands in no URL, no log and no store.

use askama::Template;
use axum::{extract::Request, http::StatusCode, response::Response};

use super::{
    Web,
    form::{self, Form, MADE_FOR, RETURN_TO, Seen},
    frame::{Frame, Section},
    inbox, page, stay,
};

/// A form of more fields is not held: none of ours has more that are typed.
const FIELDS_MAX: usize = 200;
/// A form that holds more is not held.
const HELD_MAX_BYTES: usize = 64 * 1024;
/// Fields that a page puts into its form, and nobody types.
const OURS: [&str; 7] = [MADE_FOR, "version", "once", "answers", "back", "step", "task"];

/// The page that holds it.
#[derive(Template)]
#[template(path = "held.html")]
struct HeldPage {
    frame: Frame,
    /// Where it was sent.
    path: String,
    /// What it does there.
    deed: &'static str,
    /// The referral that it is about; empty where it is about none.
    about: String,
    /// What it bears of the session that there is now; empty where there is none.
    made_for: String,
    /// Who is logged in now.
    who: Option<String>,
    fields: Vec<(String, String)>,
    /// What was typed, as it is shown.
    shown: Vec<String>,
}

/// Whether a form may be held of a browser in which nobody is logged in any more: one that shows a cookie of ours, if only that there was a
/// session. Of any other nothing is read.
pub(super) fn may_be(web: &Web, request: &Request) -> bool {
    web.cookies().session(request.headers()).is_some() && request.uri().path() != "/logout"
}

/// What is answered where nobody is logged in any more, to a form that has arrived.
pub(super) async fn over(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let fields = match form::read(request).await {
        Ok(form) => form.typed(),
        Err(page) => return page,
    };
    let back = percent_encoding::utf8_percent_encode(&path, percent_encoding::NON_ALPHANUMERIC);
    held(None, &path, fields).unwrap_or_else(|| page::to(&format!("/login?{RETURN_TO}={back}")))
}

/// What is answered where the form was made for another session than there is now.
pub(super) fn of_another(seen: &Seen, form: &Form) -> Response {
    held(Some(seen), &form.path, form.typed()).unwrap_or_else(|| {
        let told =
            "This form was made before you logged in, or by somebody else. Open the page again, and send it again.";
        page::told(StatusCode::FORBIDDEN, told)
    })
}

/// What a form does that is sent to this path, and the page of the referral it is about; nothing where it is not held. What opens a record,
/// decides about somebody's account or sends messages anew is asked for anew, at its own page: nobody does that by what another has typed.
fn deed(path: &str) -> Option<(&'static str, String)> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let deed = match parts.as_slice() {
        ["inbox", _, "message"] => "Write to the referrer",
        ["inbox", _, "onward"] => "Refer this person on to another service",
        ["inbox", _, "led-to", _] => "Write to the service that this person was referred on to",
        ["inbox", _, "put-right"] => "Mark something as noted in error",
        ["inbox", _, action] => inbox::heading_of(action)?,
        ["services", _] => "Say whether a service has room, and how long people wait",
        ["console", "add", _] => "Write what is to be added to the configuration",
        ["console", "routes", "edit"] => "Go on writing routes",
        ["console", "routes", "explain"] => "Ask where a referral would go",
        _ => return None,
    };
    let about = match parts.as_slice() {
        ["inbox", task, ..] => format!("/inbox/{task}"),
        _ => String::new(),
    };
    Some((deed, about))
}

/// The page; none where nothing was typed, or where it cannot be held.
fn held(seen: Option<&Seen>, path: &str, mut fields: Vec<(String, String)>) -> Option<Response> {
    let path = form::return_to(path)?.to_owned();
    let (deed, about) = deed(&path)?;
    fields.retain(|(name, _)| name != MADE_FOR);
    // a referral that was about to be sent on is looked at once more
    fields
        .iter_mut()
        .filter(|(name, text)| name == "step" && text == "send")
        .for_each(|(_, text)| *text = "check".into());
    let bytes: usize = fields.iter().map(|(name, text)| name.len() + text.len()).sum();
    let shown = shown(&fields);
    if shown.is_empty() || fields.len() > FIELDS_MAX || bytes > HELD_MAX_BYTES {
        return None;
    }
    let page = HeldPage {
        frame: seen.map_or_else(Frame::outside, |seen| Frame::of(seen, Section::None)),
        path,
        deed,
        about,
        made_for: seen.map_or_else(String::new, |seen| seen.made_for.clone()),
        who: seen.map(|seen| seen.visitor.name.clone()),
        fields,
        shown,
    };
    let status = if seen.is_some() { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
    Some(page::shown(status, &page))
}

/// What somebody typed or chose, as people read it.
fn shown(fields: &[(String, String)]) -> Vec<String> {
    let typed = |(name, text): &&(String, String)| {
        !OURS.contains(&name.as_str()) && !text.trim().is_empty() && text.parse::<uuid::Uuid>().is_err()
    };
    fields.iter().filter(typed).map(|(_, text)| text.clone()).collect()
}

/// Where one logs in again, in another tab, and is told that one can go back. For templates.
pub(super) fn logs_in_at() -> String {
    let there = percent_encoding::utf8_percent_encode(stay::PATH, percent_encoding::NON_ALPHANUMERIC);
    format!("/login?{RETURN_TO}={there}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn what_was_typed_is_held_and_what_nobody_typed_is_not_shown() {
        let once = uuid::Uuid::now_v7().to_string();
        let typed =
            fields(&[("made-for", "x"), ("version", "7"), ("once", &once), ("note", "Two\nlines"), ("day", "")]);
        assert_eq!(shown(&typed), ["Two\nlines"]);
        assert!(held(None, "/inbox/7/contact", typed.clone()).is_some());
        assert!(held(None, "//evil.example/", typed).is_none(), "it is sent to ourselves alone");
        assert!(held(None, "/inbox/7/accepted", fields(&[("made-for", "x"), ("version", "7")])).is_none());
    }

    /// Nobody does by one press, and by what another has typed, what she is to think of herself.
    #[test]
    fn only_what_says_what_it_does_is_held() {
        let reason = || fields(&[("reason", "A reason that somebody else has written, long enough")]);
        for path in [
            "/console/trace/7/referral",
            "/people/7/reset",
            "/people/add",
            "/console/dead/7/replay",
            "/console/routes/activate",
            "/inbox/assign",
            "/account/sessions/end",
            "/inbox/7/nothing",
        ] {
            assert!(held(None, path, reason()).is_none(), "{path}");
        }
        for (path, told) in [
            ("/inbox/7/rejected", "Decline or redirect this referral"),
            ("/inbox/7/message", "Write to the referrer"),
            ("/services/7", "Say whether a service has room"),
        ] {
            assert!(held(None, path, reason()).is_some(), "{path}");
            assert!(deed(path).unwrap().0.starts_with(told), "{path}");
        }
        assert_eq!(deed("/inbox/7/contact").unwrap().1, "/inbox/7");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let long = "x".repeat(HELD_MAX_BYTES);
        assert!(held(None, "/inbox/7/contact", fields(&[("note", &long)])).is_none());
        let many: Vec<(String, String)> = (0..=FIELDS_MAX).map(|n| (format!("f{n}"), "x".to_owned())).collect();
        assert!(held(None, "/inbox/7/contact", many).is_none());
    }
}
