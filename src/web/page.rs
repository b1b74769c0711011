//! A page as an answer.

use askama::Template;
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{assets, form::origin_of, frame::Frame};

/// A page with one thing to tell.
#[derive(Template)]
#[template(path = "told.html")]
struct Told<'t> {
    frame: Frame,
    title: &'t str,
    text: &'t str,
    /// Where to go then.
    to: &'t str,
    to_words: &'t str,
}

/// What has to be put right in a form. A page says all of it at once, at its head and at each field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The field's name, which is its id; empty where it is of none alone.
    pub field: &'static str,
    /// What to do, in words.
    pub told: String,
}

impl Fault {
    /// At this field.
    pub(super) fn at(field: &'static str, told: impl Into<String>) -> Self {
        Self { field, told: told.into() }
    }

    /// At no field alone.
    pub(super) fn of_all(told: impl Into<String>) -> Self {
        Self::at("", told)
    }
}

/// Whether something is wrong at a field. For templates.
pub(crate) fn has_fault(faults: &[Fault], field: &str) -> bool {
    faults.iter().any(|fault| fault.field == field)
}

/// Whether two texts are the same, however a template holds them.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one == other
}

/// The way from one page of a list to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pages {
    /// Which this is, from 1.
    pub number: usize,
    /// The URL of the one before.
    pub before: Option<String>,
    /// The URL of the one after.
    pub after: Option<String>,
}

/// A page made of its template.
pub(super) fn shown(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A table as a file of this name, for a spreadsheet; that there is none, where it could not be written. With a mark of UTF-8: a spreadsheet
/// takes it for another coding otherwise, and no name with an accent is read.
pub(super) fn csv(name: &str, table: Option<Vec<u8>>) -> Response {
    let Some(table) = table else { return unavailable() };
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    (StatusCode::OK, headers, [&b"\xef\xbb\xbf"[..], &table].concat()).into_response()
}

/// A part of a page that changes by itself; 304 where the browser has it already.
pub(super) fn part(html: String, headers: &HeaderMap) -> Response {
    let tag = tag_of(&html);
    let has = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if has { StatusCode::NOT_MODIFIED.into_response() } else { Html(html).into_response() };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The ETag of such a part.
pub(super) fn tag_of(html: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, html.as_bytes());
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest))
}

/// A page with one thing to tell, for whoever comes.
pub(super) fn told(status: StatusCode, text: &str) -> Response {
    told_in(Frame::outside(), status, text, ("/", "Go on to Onward"))
}

/// The same in the frame of whoever is logged in, with where to go then.
pub(super) fn told_in(frame: Frame, status: StatusCode, text: &str, (to, to_words): (&str, &str)) -> Response {
    let title = match status {
        StatusCode::NOT_FOUND => "Page not found",
        status if status.is_success() => "Done",
        StatusCode::SERVICE_UNAVAILABLE => "Sorry, Onward cannot answer just now",
        _ => "That did not work",
    };
    shown(status, &Told { frame, title, text, to, to_words })
}

/// The store is away.
pub(super) fn unavailable() -> Response {
    told(StatusCode::SERVICE_UNAVAILABLE, "Nothing was done. Try again shortly.")
}

/// What a page may do: only what is packed for it is run, nothing comes from elsewhere, and it stands in no frame. Its forms go to
/// ourselves.
pub(super) fn policy(base_url: &str) -> HeaderValue {
    let text = format!(
        "default-src 'none'; style-src 'self'; script-src {}{}; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        origin_of(base_url),
        assets::FOLDER,
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// To a path of ours, or where we send a browser, by `GET` (RFC 9110, 15.4.4).
pub(super) fn to(path: &str) -> Response {
    match HeaderValue::try_from(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The same with a cookie.
pub(super) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
