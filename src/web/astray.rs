//! Whoever comes with a browser to an address that is no page: a page in plain words, not the FHIR that a client is told; and who opens the
//! address of a form is led to the page that the form is on.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use super::{guard, page};

/// Where clients speak, and nobody with a browser: there the answer stays what a client is told.
const CLIENTS: [&str; 8] =
    ["fhir", "directory", "oauth", "open-referral", "health", "metrics", "openapi.json", ".well-known"];

/// Around every route: what a browser is answered that no route of the pages knows.
pub fn for_people(routes: Router, base_url: &str) -> Router {
    routes.layer(from_fn_with_state(base_url.to_owned(), instead))
}

async fn instead(State(base_url): State<String>, request: Request, next: Next) -> Response {
    let asks = matches!(*request.method(), Method::GET | Method::HEAD);
    let astray = asks && wants_page(request.headers()) && is_ours(request.uri().path());
    let path = astray.then(|| request.uri().path().to_owned());
    let response = next.run(request).await;
    let Some(path) = path.filter(|_| !is_page(&response)) else { return response };
    let mut instead = match response.status() {
        StatusCode::NOT_FOUND | StatusCode::NOT_ACCEPTABLE => {
            page::told(StatusCode::NOT_FOUND, "There is no page at this address. Check it, or begin at the start.")
        }
        StatusCode::METHOD_NOT_ALLOWED => match page_of(&path) {
            Some(page) => page::to(&page),
            None => {
                let told = "This address takes a form, so it cannot be opened by itself. Nothing was done.";
                page::told(StatusCode::METHOD_NOT_ALLOWED, told)
            }
        },
        _ => return response,
    };
    if let Some(allow) = response.headers().get(header::ALLOW) {
        instead.headers_mut().insert(header::ALLOW, allow.clone());
    }
    guard(instead.headers_mut(), &base_url);
    instead
}

/// Whether a browser asks for a page, and not a client or a script for data.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.flat_map(|value| value.split(',')).any(|one| one.split(';').next().map(str::trim) == Some("text/html"))
}

fn is_page(response: &Response) -> bool {
    let html = |value: &HeaderValue| value.as_bytes().starts_with(b"text/html");
    response.headers().get(header::CONTENT_TYPE).is_some_and(html)
}

/// Whether an address is none that clients speak to.
fn is_ours(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    !CLIENTS.contains(&first)
}

/// The page that has the form of this address; none where that is not plain.
fn page_of(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let page = match parts.as_slice() {
        ["inbox", "search" | "assign"] => "/inbox".to_owned(),
        ["inbox", task, "give" | "message"] => format!("/inbox/{task}"),
        ["services", _] => "/services".to_owned(),
        ["people", key, _] => format!("/people/{key}"),
        ["account", ..] => "/account".to_owned(),
        ["enrol", ..] => "/enrol".to_owned(),
        ["logout"] => "/".to_owned(),
        ["console", "routes", "check" | "activate"] => "/console/routes/edit".to_owned(),
        ["console", "routes", "rehearsals", id, "stop"] => format!("/console/routes/rehearsals/{id}"),
        ["console", kind @ ("systems" | "providers"), id, "check" | "refer"] => format!("/console/{kind}/{id}"),
        _ => return None,
    };
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_form_leads_to_its_page() {
        for (path, page) in [
            ("/inbox/search", Some("/inbox")),
            ("/inbox/assign", Some("/inbox")),
            ("/inbox/7/give", Some("/inbox/7")),
            ("/inbox/7/message", Some("/inbox/7")),
            ("/services/7", Some("/services")),
            ("/account/sessions/7/end", Some("/account")),
            ("/logout", Some("/")),
            ("/console/systems/rio/check", Some("/console/systems/rio")),
            ("/login/backchannel", None),
            ("/fhir/Task", None),
        ] {
            assert_eq!(page_of(path).as_deref(), page, "{path}");
        }
    }

    #[test]
    fn what_clients_are_told_stays_theirs() {
        for (path, ours) in
            [("/inboxx", true), ("/", true), ("/fhir/Nothing", false), ("/metrics", false), ("/fhirx", true)]
        {
            assert_eq!(is_ours(path), ours, "{path}");
        }
        let accepts =
            |text: &'static str| wants_page(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(text))]));
        assert!(accepts("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8") && accepts("a/b, text/html;q=0.1"));
        assert!(!accepts("*/*") && !accepts("application/fhir+json") && !wants_page(&HeaderMap::new()));
    }
}
