//! Conditional reads (R4 http, 3.1.0.1.5; RFC 9110, 13): what the client has already is not sent again.

use std::time::SystemTime;

use axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};

/// The tag of a version that has none before it.
const FIRST: &str = "\"1\"";

/// What a read says that its client has.
#[derive(Debug, Default)]
pub(super) struct Conditional {
    tags: Option<Vec<String>>,
    /// As of when. Not looked at beside `tags`, which are exact: of two versions of one second a date tells nothing.
    since: Option<SystemTime>,
}

// === impl Conditional ===

impl Conditional {
    /// Of a request; of what is no read, nothing.
    pub fn of(request: &Request) -> Self {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Self::default();
        }
        Self::of_headers(request.headers())
    }

    fn of_headers(headers: &HeaderMap) -> Self {
        let mut tags = None;
        for line in headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()) {
            let tags = tags.get_or_insert_with(Vec::new);
            // ours have no commas in them
            tags.extend(line.split(',').map(|tag| opaque(tag.trim()).to_owned()));
        }
        let since = headers.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
        Self { tags, since: since.and_then(|text| httpdate::parse_http_date(text).ok()) }
    }

    /// Whether the client has what this would give. Only what bears a version can be had.
    pub fn has(&self, response: &Response) -> bool {
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if response.status() != StatusCode::OK {
            return false;
        }
        match &self.tags {
            Some(tags) => text(header::ETAG).is_some_and(|tag| tags.iter().any(|had| had == "*" || had == opaque(tag))),
            None => {
                let changed = text(header::LAST_MODIFIED).and_then(|text| httpdate::parse_http_date(text).ok());
                let Some((changed, since)) = changed.zip(self.since) else { return false };
                // a date knows seconds, and a status often follows another within one: what changed in the very second that the
                // client names may have changed after it looked, unless there never was another version
                changed < since || changed == since && text(header::ETAG).is_some_and(|tag| opaque(tag) == FIRST)
            }
        }
    }
}

/// A tag without what says that it is weak: that is no difference to a read (RFC 9110, 13.1.2).
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_the_client_has_is_known_by_tag_or_else_by_date() {
        const CHANGED: &str = "Wed, 25 Nov 2026 10:00:00 GMT";
        let mut answer = Response::new(axum::body::Body::empty());
        *answer.headers_mut() = headers(&[("etag", "W/\"3\""), ("last-modified", CHANGED)]);
        let has = |pairs: &[(&'static str, &str)]| Conditional::of_headers(&headers(pairs)).has(&answer);
        for tag in ["W/\"3\"", "\"3\"", "*", "W/\"1\", W/\"3\""] {
            assert!(has(&[("if-none-match", tag)]), "{tag}");
        }
        assert!(has(&[("if-none-match", "\"1\""), ("if-none-match", "\"3\"")]));
        assert!(!has(&[("if-none-match", "W/\"2\"")]) && !has(&[("if-none-match", "3")]) && !has(&[]));
        for (since, expected) in [
            (CHANGED, false),
            ("Wed, 25 Nov 2026 10:00:01 GMT", true),
            ("Wed, 25 Nov 2026 09:59:59 GMT", false),
            ("yesterday", false),
            ("2026-11-25T10:00:01Z", false),
        ] {
            assert_eq!(has(&[("if-modified-since", since)]), expected, "{since}");
        }
        assert!(!has(&[("if-modified-since", CHANGED), ("if-none-match", "W/\"2\"")]), "the tag counts");
        *answer.headers_mut() = headers(&[("etag", "W/\"1\""), ("last-modified", CHANGED)]);
        assert!(Conditional::of_headers(&headers(&[("if-modified-since", CHANGED)])).has(&answer), "there is no other");
        let mut plain = Response::new(axum::body::Body::empty());
        assert!(!Conditional::of_headers(&headers(&[("if-none-match", "*")])).has(&plain), "without a version");
        *plain.status_mut() = StatusCode::NOT_FOUND;
        *plain.headers_mut() = answer.headers().clone();
        assert!(!Conditional::of_headers(&headers(&[("if-none-match", "*")])).has(&plain));
    }
}
