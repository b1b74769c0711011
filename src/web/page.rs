//! A page as an answer.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

/// A page with one thing to tell.
#[derive(Template)]
#[template(path = "told.html")]
struct Told<'t> {
    title: &'t str,
    text: &'t str,
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

/// A page with one thing to tell.
pub(super) fn told(status: StatusCode, text: &str) -> Response {
    let title = if status.is_success() { "Done" } else { "That did not work" };
    shown(status, &Told { title, text })
}

/// The store is away.
pub(super) fn unavailable() -> Response {
    told(StatusCode::SERVICE_UNAVAILABLE, "Onward cannot answer just now; nothing was done. Try again shortly.")
}

/// What a page may do: no script, nothing from elsewhere, in no frame. Its forms go to ourselves, and by us to this origin.
pub(super) fn policy(forms_to: Option<&str>) -> HeaderValue {
    let to = forms_to.map(|origin| format!(" {origin}")).unwrap_or_default();
    let text = format!(
        "default-src 'none'; style-src 'self'; form-action 'self'{to}; base-uri 'none'; frame-ancestors 'none'"
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
