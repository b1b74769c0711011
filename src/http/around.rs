//! What stands around every route: by what ids a request is known, whether it says once to whom it goes, which pages may ask from a
//! browser, and the coding of the answer.

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, uri::Authority},
    middleware::{Next, from_fn},
    response::Response,
};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument as _;

use super::{coding, reply::Fault, write};
use crate::{
    config::{Cors, Http},
    fhir::{Issue, IssueCode, nhs_number},
    store::AskedBy,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// An id that is longer is not taken.
const ID_MAX_BYTES: usize = 128;

/// The routes with all that.
pub fn around(router: Router, http: &Http) -> Router {
    let router = router.layer(from_fn(coding::answer));
    let router = if http.cors.origins.is_empty() { router } else { router.layer(cors(&http.cors)) };
    router.layer(from_fn(addressed)).layer(from_fn(identify))
}

/// Lets in what says once to whom it goes, and how its body comes in no way but the one that is read here. Of two hosts, or two codings,
/// whoever stands before this may have looked at the other one; then it is not known of what else it has let through, and the
/// connection ends.
async fn addressed(request: Request, next: Next) -> Response {
    let is_addressed = is_addressed(request.version(), request.headers(), request.uri().authority());
    let fault = match coded(request.headers()) {
        _ if !is_addressed => {
            let told = "a request names in Host, once, where it goes (RFC 9112, 3.2)";
            Fault::invalid(vec![Issue::error(IssueCode::Value, "http.Host", told)])
        }
        Coded::Plainly => return next.run(request).await,
        Coded::Twice => {
            let told = "Transfer-Encoding stands there once, and is chunked (RFC 9112, 6.1)";
            Fault::invalid(vec![Issue::error(IssueCode::Value, "http.Transfer-Encoding", told)])
        }
        Coded::Otherwise => {
            let told =
                "no coding of a transfer is known here but chunked (RFC 9112, 6.1); a body may have a Content-Encoding";
            let issue = Issue::error(IssueCode::NotSupported, "http.Transfer-Encoding", told);
            Fault::new(StatusCode::NOT_IMPLEMENTED, issue)
        }
    };
    let is_first = request.version() < Version::HTTP_2;
    let mut response = fault.in_json();
    if is_first {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// How a body is said to come.
#[derive(Debug, PartialEq, Eq)]
enum Coded {
    /// In chunks, or as long as it says.
    Plainly,
    /// In chunks of chunks, or by two headers.
    Twice,
    /// In a coding that is not known here.
    Otherwise,
}

/// What `Transfer-Encoding` says: hyper looks at the last coding alone, and takes those before it for done.
fn coded(headers: &HeaderMap) -> Coded {
    let mut all = headers.get_all(header::TRANSFER_ENCODING).iter();
    let (first, further) = (all.next(), all.next());
    let Some(value) = first else { return Coded::Plainly };
    let words: Vec<&[u8]> = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    let is_chunked = |word: &[u8]| word.eq_ignore_ascii_case(b"chunked");
    match words.as_slice() {
        _ if further.is_some() => Coded::Twice,
        [one] if is_chunked(one) => Coded::Plainly,
        all if all.iter().all(|word| is_chunked(word)) => Coded::Twice,
        _ => Coded::Otherwise,
    }
}

/// Whether `Host` stands there as it must: in HTTP/1.1 once (RFC 9112, 3.2), in HTTP/1.0 at most once, in HTTP/2 as the request's own
/// authority says or not at all (RFC 9113, 8.3.1).
fn is_addressed(version: Version, headers: &HeaderMap, authority: Option<&Authority>) -> bool {
    let mut all = headers.get_all(header::HOST).iter();
    let (first, further) = (all.next(), all.next());
    let Some(host) = first else { return version != Version::HTTP_11 };
    if further.is_some() {
        return false;
    }
    let Ok(host) = host.to_str() else { return false };
    let names = host.parse::<Authority>().is_ok_and(|host| !host.as_str().contains('@'));
    // one that is addressed to nobody by name has an empty one
    let sound = host.is_empty() || names;
    let same =
        version < Version::HTTP_2 || authority.is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
    sound && same
}

/// The ids by which a client knows its request (R4 http, 3.1.0.1.13) are given back, and stand in every line that is logged while it
/// is worked on, beside the ids of what was stored, and in the journal beside what came of it. A request that brings no id gets one of ours.
async fn identify(mut request: Request, next: Next) -> Response {
    let own = || HeaderValue::try_from(uuid::Uuid::now_v7().to_string()).ok();
    let request_id = taken(request.headers(), &REQUEST_ID).or_else(own);
    let correlates = request.headers().contains_key(&CORRELATION_ID);
    let correlation_id = taken(request.headers(), &CORRELATION_ID).or_else(|| own().filter(|_| correlates));
    let text = |id: &Option<HeaderValue>| id.as_ref().and_then(|id| id.to_str().ok()).map(str::to_owned);
    // of the gravest level, so that it is there whatever is logged
    let span = tracing::error_span!("request", request.id = text(&request_id), correlation.id = text(&correlation_id));
    if let Some(asked) = text(&request_id) {
        request.extensions_mut().insert(AskedBy { request: asked, correlation: text(&correlation_id), person: None });
    }
    let mut response = next.run(request).instrument(span).await;
    for (name, id) in [(REQUEST_ID, request_id), (CORRELATION_ID, correlation_id)] {
        if let Some(id) = id {
            response.headers_mut().insert(name, id);
        }
    }
    response
}

/// An id that may go into a log and into a header as it is: a word, not too long, with nobody's NHS number in it, though other digits touch it.
/// Where it is not, the answer says by what else the request is known: of ids of twenty digits and nothing else half are taken for a number by
/// chance, and a client that sends such reads there which one counts.
fn taken(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let id = headers.get(name)?;
    let sound = |b: &u8| b.is_ascii_alphanumeric() || b"-._~:/+=@|".contains(b);
    ((1..=ID_MAX_BYTES).contains(&id.len()) && id.as_bytes().iter().all(sound) && !names_somebody(id))
        .then(|| id.clone())
}

fn names_somebody(id: &HeaderValue) -> bool {
    id.to_str().is_ok_and(nhs_number::may_be_in)
}

/// What a browser is told: pages of these origins may do what a client does, and read what it reads. They show a token as every client
/// does; nothing is given for a cookie.
fn cors(cors: &Cors) -> CorsLayer {
    let origins: Vec<HeaderValue> = cors.origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            header::IF_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_NONE_MATCH,
            write::IF_NONE_EXIST,
            write::IDEMPOTENCY_KEY,
            HeaderName::from_static("prefer"),
            HeaderName::from_static("traceparent"),
            REQUEST_ID,
            CORRELATION_ID,
        ])
        .expose_headers([
            header::ETAG,
            header::LAST_MODIFIED,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            write::NOT_REPEATABLE,
            REQUEST_ID,
            CORRELATION_ID,
        ])
        .max_age(cors.max_age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_once_where_it_goes() {
        let is = |version: Version, hosts: &[&str], authority: Option<&'static str>| {
            let headers = hosts.iter().map(|host| (header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap()));
            is_addressed(version, &headers.collect(), authority.map(Authority::from_static).as_ref())
        };
        let (old, first, second) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for host in ["onward", "onward.nhs.uk:443", "127.0.0.1:8787", "[::1]:8787", ""] {
            assert!(is(first, &[host], None) && is(old, &[host], None), "{host}");
        }
        for host in ["a b", "a@b", "a/b", "a?b", "a#b", "é", "[::1", "a:b:c"] {
            assert!(!is(first, &[host], None), "{host}");
        }
        assert!(!is(first, &[], None) && is(old, &[], None) && is(second, &[], Some("onward")));
        for version in [old, first, second] {
            assert!(!is(version, &["onward", "onward"], Some("onward")) && !is(version, &["onward", "b"], None));
        }
        assert!(
            is(first, &["onward"], Some("elsewhere")),
            "where both are told the path's own counts, and neither is looked at"
        );
        assert!(is(second, &["Onward"], Some("onward")) && !is(second, &["b"], Some("onward")));
    }

    #[test]
    fn a_body_comes_in_chunks_once_or_in_none() {
        let of = |all: &[&str]| {
            let headers = all.iter().map(|one| (header::TRANSFER_ENCODING, HeaderValue::from_str(one).unwrap()));
            coded(&headers.collect())
        };
        for plainly in [&[][..], &["chunked"], &["Chunked"], &[" chunked\t"]] {
            assert_eq!(of(plainly), Coded::Plainly, "{plainly:?}");
        }
        for twice in
            [&["chunked", "chunked"][..], &["chunked, chunked"], &["gzip", "chunked"], &["chunked", "identity"]]
        {
            assert_eq!(of(twice), Coded::Twice, "{twice:?}");
        }
        for otherwise in ["gzip, chunked", "identity", "xchunked", "chunked;a=b", "", ",chunked"] {
            assert_eq!(of(&[otherwise]), Coded::Otherwise, "{otherwise}");
        }
    }

    #[test]
    fn only_a_short_word_is_taken_as_an_id() {
        let id = |text: &[u8]| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(text).unwrap())]);
            taken(&headers, &REQUEST_ID).is_some()
        };
        for good in ["a", "0198b6a0-7c1e-7bd0-a5d1-000000000000", "urn:uuid:x", "a/b+c=~.@_|", &"x".repeat(128)] {
            assert!(id(good.as_bytes()), "{good}");
        }
        for bad in [&b""[..], b"a b", b"a\tb", b"<a>", b"a;b", b"a\"b", "é".as_bytes(), &[b'x'; 129]] {
            assert!(!id(bad), "{bad:?}");
        }
        for named in [&b"referral-of-9990606900"[..], b"r-79990606900", b"99906069001", b"999.060.6900"] {
            assert!(!id(named), "nobody is named in a log");
        }
        assert!(id(b"referral-of-9990606901"));
    }
}
