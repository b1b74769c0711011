//! What is not served at all is told from what is only not there: a type that R4 does not have, a type or an operation that is not
//! offered here (R4 http, 3.1.0.1.10 and 3.1.0.4).
//!
//! What is offered stands in the routes and nowhere else: a part of the path that a route names is known, one that a route leaves
//! open, or that has no route, is judged here.

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::reply::Fault;
use crate::fhir::{Issue, IssueCode, reference::is_resource_type};

/// Around every FHIR route, and around the answer where there is none.
pub(super) async fn known(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    match unsupported(matched.as_ref().map(MatchedPath::as_str), request.method(), request.uri().path()) {
        Some(fault) => fault.into_response(),
        None => next.run(request).await,
    }
}

fn unsupported(matched: Option<&str>, method: &Method, path: &str) -> Option<Fault> {
    let told = |status, code, told: &str| Some(Fault::new(status, Issue::error(code, "%resource", told)));
    let below = path.strip_prefix("/fhir/")?;
    let mut routed = matched.unwrap_or_default().strip_prefix("/fhir/").unwrap_or_default().split('/');
    for (index, part) in below.split('/').enumerate() {
        let is_named = routed.next().is_some_and(|route| !route.is_empty() && !route.starts_with('{'));
        let part = percent_encoding::percent_decode_str(part).decode_utf8_lossy();
        if is_named || part.is_empty() {
            continue;
        }
        if part.starts_with('$') {
            let words = "this operation is not offered here; /fhir/metadata says which are";
            return told(StatusCode::NOT_FOUND, IssueCode::NotSupported, words);
        }
        if index == 0 && !part.starts_with('_') && !is_resource_type(&part) {
            return told(StatusCode::NOT_FOUND, IssueCode::NotFound, "FHIR R4 has no resource type of this name");
        }
    }
    if matched.is_some() {
        return None;
    }
    if *method == Method::DELETE {
        let words = "nothing is deleted here: a referral is revoked or retracted";
        let issue = Issue::error(IssueCode::NotSupported, "%resource", words);
        // no method is allowed where there is no route (RFC 9110, 10.2.1)
        return Some(Fault::new(StatusCode::METHOD_NOT_ALLOWED, issue).header(header::ALLOW, ""));
    }
    told(
        StatusCode::NOT_FOUND,
        IssueCode::NotSupported,
        "this is not offered for this type here; /fhir/metadata says what is",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_served_is_told_from_what_is_not_there() {
        let told = |matched, method: &Method, path| {
            let fault = unsupported(matched, method, path)?;
            Some((fault.status.as_u16(), fault.issues.first()?.code.code()))
        };
        let (unknown, unsupported) = (Some((404, "not-found")), Some((404, "not-supported")));
        let any = Some("/fhir/{kind}/{id}");
        for (matched, path, expected) in [
            (Some("/fhir/metadata"), "/fhir/metadata", None),
            (Some("/fhir/Task/{id}"), "/fhir/Task/1", None),
            (any, "/fhir/Patient/1", None),
            (any, "/fhir/Patent/1", unknown),
            (any, "/fhir/patient/1", unknown),
            (any, "/fhir/Resource/1", unknown),
            (Some("/fhir/Task/{id}"), "/fhir/Task/$sum", unsupported),
            (Some("/fhir/Task/{id}"), "/fhir/Task/%24sum", unsupported),
            (Some("/fhir/{kind}/$validate"), "/fhir/Account/$validate", None),
            (Some("/fhir/{kind}/$validate"), "/fhir/Acount/$validate", unknown),
            (Some("/fhir/Task/{id}/$package"), "/fhir/Task/1/$package", None),
            (None, "/fhir/$sum", unsupported),
            (None, "/fhir/Account", unsupported),
            (None, "/fhir/Acount", unknown),
            (None, "/fhir/Patient/1/Observation", unsupported),
            (None, "/fhir/_history", unsupported),
            (None, "/elsewhere", None),
        ] {
            assert_eq!(told(matched, &Method::GET, path), expected, "{matched:?} {path}");
        }
        assert_eq!(told(None, &Method::DELETE, "/fhir/Account"), Some((405, "not-supported")));
        assert_eq!(told(None, &Method::DELETE, "/fhir/Acount"), unknown);
        assert_eq!(told(any, &Method::DELETE, "/fhir/Patient/1"), None, "the route refuses it");
    }
}
