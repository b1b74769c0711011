//! What a browser sends: who it is, and forms that are known to come from a page of ours.
//!
//! A form is taken only from our own origin, which browsers tell (`Sec-Fetch-Site`, `Origin`) and no page of another can change. One
//! that acts for somebody who is logged in must also bear what only a page made for that session bears. A handler that takes a
//! [`Signed`] cannot forget either.

use std::{net::IpAddr, time::Duration};

use axum::{
    body::{HttpBody as _, to_bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use zeroize::Zeroizing;

use super::{Shared, Web, held, page};
use crate::{
    http::{Came, call::pairs},
    people::{Token, Visitor},
    store::AskedBy,
};

/// A longer form is not read.
const FORM_MAX_BYTES: usize = 64 * 1024;
/// Nor is one that holds a file's worth of text.
pub(super) const LONG_FORM_MAX_BYTES: usize = 4 * 1024 * 1024;
/// It has so long to come.
const FORM_WITHIN: Duration = Duration::from_secs(10);
/// The field that says which session a page was made for.
pub(super) const MADE_FOR: &str = "made-for";
/// The same as a header, of a page that asks by itself (`pages/script.js`).
pub(super) const MADE_FOR_HEADER: &str = "onward-made-for";
/// The field and parameter that says where to go after a log-in.
pub(super) const RETURN_TO: &str = "return-to";
/// No path of ours is longer.
const PATH_MAX_BYTES: usize = 500;

/// A form from a page of ours.
pub(super) struct Form {
    fields: Vec<(String, Zeroizing<String>)>,
    /// Where it was sent to.
    pub path: String,
    /// Where it comes from.
    pub from: Option<IpAddr>,
    /// With what else.
    pub headers: HeaderMap,
}

/// A form of somebody who is logged in.
pub(super) struct Signed {
    /// Who.
    pub visitor: Visitor,
    /// What she sends.
    pub form: Form,
    /// What the forms of the page bear that is shown then.
    made_for: String,
}

/// The same with a file's worth of text in it.
pub(super) struct Long(pub Signed);

/// Somebody who is logged in and looks at a page.
#[derive(Clone)]
pub(super) struct Seen {
    /// Who.
    pub visitor: Visitor,
    /// What her forms bear.
    pub made_for: String,
}

/// The page of somebody who is logged in, which asks by itself for what is new: her session is not used by that. A page that was made for
/// another session, of whoever was logged in before in the same browser, is given nothing: it is loaded anew.
pub(super) struct Glance(pub Seen);

impl Form {
    /// A field; an empty text where it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, text)| text.as_str())
    }

    /// All that were sent under one name.
    pub(super) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, text)| text.as_str())
    }

    /// All that was sent.
    pub(super) fn typed(&self) -> Vec<(String, String)> {
        self.fields.iter().map(|(name, text)| (name.clone(), text.as_str().to_owned())).collect()
    }

    /// A field that is a secret.
    pub(super) fn secret(&self, name: &str) -> Zeroizing<String> {
        Zeroizing::new(self.text(name).to_owned())
    }
}

impl Signed {
    /// Who sent it, as one who looks at the page that is shown then.
    pub(super) fn seen(&self) -> Seen {
        Seen { visitor: self.visitor.clone(), made_for: self.made_for.clone() }
    }
}

/// A request with all of its body, which has a while to come. It may be this long.
pub(super) async fn arrived(request: Request, max_bytes: usize) -> Result<Request, Response> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(FORM_WITHIN, to_bytes(body, max_bytes)).await {
        Ok(Ok(body)) => Ok(Request::from_parts(parts, body.into())),
        _ => Err(page::told(StatusCode::BAD_REQUEST, "What was sent is too long, or did not arrive.")),
    }
}

/// So many bytes a request's body may have, whoever sends it; of somebody who has logged in as many as it says, up to those of the
/// longest form.
pub(super) fn allowed(request: &Request, is_known: bool) -> usize {
    let announced = request.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    match announced {
        Some(bytes) if is_known => bytes.clamp(FORM_MAX_BYTES, LONG_FORM_MAX_BYTES),
        _ => FORM_MAX_BYTES,
    }
}

/// What is said where a form is not from a page of ours; nothing where it is.
pub(super) fn not_ours(headers: &HeaderMap, base_url: &str) -> Option<Response> {
    if is_ours(headers, base_url) {
        return None;
    }
    let told = format!("This form does not come from a page of {base_url}. Open the page there, and send it again.");
    Some(page::told(StatusCode::FORBIDDEN, &told))
}

impl Form {
    /// A form of no more bytes than these.
    async fn within(max_bytes: usize, request: Request, web: &Shared) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        if let Some(page) = not_ours(&parts.headers, &web.base_url) {
            return Err(page);
        }
        // it has arrived: none that is slow is waited for here
        let Ok(body) = to_bytes(body, max_bytes).await else {
            return Err(page::told(StatusCode::BAD_REQUEST, "What was sent is too long, or did not arrive."));
        };
        Ok(Self::of(parts, &body))
    }

    fn of(parts: Parts, body: &[u8]) -> Self {
        let body = Zeroizing::new(String::from_utf8_lossy(body).into_owned());
        let fields = pairs(&body).into_iter().map(|(name, text)| (name, Zeroizing::new(text))).collect();
        let (from, path) = (Came::of(&parts.extensions).address, parts.uri.path().to_owned());
        Self { fields, path, from, headers: parts.headers }
    }
}

/// A form of whoever is not logged in any more, which has arrived, as far as it is none that holds a file's worth of text.
pub(super) async fn read(request: Request) -> Result<Form, Response> {
    let (parts, body) = request.into_parts();
    match to_bytes(body, FORM_MAX_BYTES).await {
        Ok(body) => Ok(Form::of(parts, &body)),
        Err(_) => Err(page::to("/login")),
    }
}

impl FromRequest<Shared> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Shared) -> Result<Self, Response> {
        Self::within(FORM_MAX_BYTES, request, web).await
    }
}

impl FromRequest<Shared> for Signed {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Shared) -> Result<Self, Response> {
        Self::by(Form::from_request(request, web).await?, web).await
    }
}

impl FromRequest<Shared> for Long {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Shared) -> Result<Self, Response> {
        Signed::by(Form::within(LONG_FORM_MAX_BYTES, request, web).await?, web).await.map(Self)
    }
}

impl Signed {
    /// Whose form it is.
    async fn by(form: Form, web: &Shared) -> Result<Self, Response> {
        let (visitor, token) = visitor(web, &form.headers).await?.ok_or_else(|| page::to("/login"))?;
        if !token.made_form(form.text(MADE_FOR)) {
            return Err(held::of_another(&Seen { visitor, made_for: token.for_forms() }, &form));
        }
        AskedBy::sent_by(&visitor.person);
        Ok(Self { visitor, made_for: token.for_forms(), form })
    }
}

impl FromRequestParts<Shared> for Glance {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Response> {
        let Some(token) = web.session_of(&parts.headers) else { return Err(page::to("/login")) };
        // who asks by hand has no page in which anything else could stand
        let made_for = parts.headers.get(MADE_FOR_HEADER);
        if made_for.is_some_and(|shown| !shown.to_str().is_ok_and(|shown| token.made_form(shown))) {
            return Err(page::to("/login"));
        }
        match web.people.glance(&token).await {
            Ok(Some(visitor)) => Ok(Self(Seen { visitor, made_for: String::new() })),
            Ok(None) => Err(page::to("/login")),
            Err(error) => {
                tracing::warn!(%error, "a session cannot be looked up");
                Err(page::unavailable())
            }
        }
    }
}

impl FromRequestParts<Shared> for Seen {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Response> {
        match visitor(web, &parts.headers).await? {
            Some((visitor, token)) => Ok(Self { visitor, made_for: token.for_forms() }),
            None => {
                let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                let path = percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC);
                Err(page::to(&format!("/login?{RETURN_TO}={path}")))
            }
        }
    }
}

/// Who shows the cookie of a session that is of use.
pub(super) async fn visitor(web: &Web, headers: &HeaderMap) -> Result<Option<(Visitor, Token)>, Response> {
    let Some(token) = web.session_of(headers) else { return Ok(None) };
    match web.people.visitor(&token).await {
        Ok(visitor) => Ok(visitor.map(|visitor| (visitor, token))),
        Err(error) => {
            tracing::warn!(%error, "a session cannot be looked up");
            Err(page::unavailable())
        }
    }
}

/// Whether a browser says that a page of ours sends it. One that says nothing of it is not believed.
fn is_ours(headers: &HeaderMap, base_url: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    text(header::ORIGIN).is_some_and(|origin| origin.eq_ignore_ascii_case(origin_of(base_url)))
}

/// Scheme, host and port of a URL.
pub(super) fn origin_of(url: &str) -> &str {
    let host_at = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(host_at..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host_at + at);
    url.get(..end).unwrap_or(url)
}

/// A path of ours to go to after a log-in; whatever might lead elsewhere is none.
pub(super) fn return_to(text: &str) -> Option<&str> {
    let ours = text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= PATH_MAX_BYTES
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    ours.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_ours_where_the_browser_says_so() {
        let base = "https://onward.trust.nhs.uk/x";
        let ours = |pairs: &[(&'static str, &str)]| {
            let headers = pairs.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap())
            });
            is_ours(&headers.collect(), base)
        };
        assert!(ours(&[("origin", "https://onward.trust.nhs.uk")]));
        assert!(ours(&[("sec-fetch-site", "same-origin")]));
        for other in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://onward.trust.nhs.uk")],
            &[("origin", "https://onward.trust.nhs.uk.evil.example")],
            &[("origin", "https://evil.example")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://onward.trust.nhs.uk")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!ours(other), "{other:?}");
        }
    }

    #[test]
    fn nobody_is_led_elsewhere() {
        for good in ["/account", "/inbox?status=new&x=%2F%2Fevil.example", "/"] {
            assert_eq!(return_to(good), Some(good));
        }
        let long = format!("/{}", "x".repeat(PATH_MAX_BYTES));
        for bad in [
            "",
            "account",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/a\r\nSet-Cookie: x=y",
            "/ä",
            "\\\\evil.example",
            " /account",
            &long,
        ] {
            assert_eq!(return_to(bad), None, "{bad}");
        }
    }
}
