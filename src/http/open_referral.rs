//! The directory as open data: Open Referral UK 3.0, read by anybody, where the configuration wants that (`[directory] open`). Nothing of a
//! referral is here, and nothing that is not active.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{App, Shared, call::pairs, request_timeout, who::Came};
use crate::{
    admission::Kind,
    directory::{
        body_of, day, entry,
        open_referral::{
            Entry,
            catalogue::{Asked, Catalogue, List},
            referred_to,
        },
    },
    domain::EntryKind,
    fhir::tree,
    store::StoreError,
};

mod shelf;

pub use shelf::Shelf;

/// Where it is described what this is.
const PROFILE: &str = "https://docs.openreferraluk.org/";
const DESCRIPTION: &str = "https://raw.githubusercontent.com/openreferral/uk-profile/main/schema/openapi.json";
/// So many entries are read at once.
const CHUNK: usize = 1_000;
/// All who read without a token share the places of one client.
const WHO: &str = "open data";

pub(super) const LISTS: [(&str, List); 5] = [
    ("services", List::Services),
    ("service_at_locations", List::AtLocations),
    ("organizations", List::Organizations),
    ("taxonomies", List::Taxonomies),
    ("taxonomy_terms", List::Terms),
];

/// Its routes. Where the configuration does not open the directory there is nothing.
pub(super) fn router(app: Shared) -> Router {
    let mut routes = Router::new().route("/open-referral", get(about)).route("/open-referral/", get(about));
    for (name, list) in LISTS {
        let listed = move |state, came: Came, query| listed(state, came, query, list);
        let one = move |state, came: Came, id| one(state, came, id, list);
        routes = routes.route(&format!("/open-referral/{name}"), get(listed));
        routes = routes.route(&format!("/open-referral/{name}/{{id}}"), get(one));
    }
    routes.with_state(app)
}

/// `GET /open-referral/`: what this is.
async fn about(State(app): State<Shared>) -> Response {
    if !app.registry.load().directory.open {
        return absent();
    }
    said(StatusCode::OK, &json!({"version": "3.0", "profile": PROFILE, "openapi_url": DESCRIPTION}))
}

/// `GET /open-referral/services` and the others.
async fn listed(State(app): State<Shared>, came: Came, RawQuery(query): RawQuery, list: List) -> Response {
    let answer = |catalogue: &Catalogue| {
        let asked = match Asked::read(list, &pairs(&query.unwrap_or_default())) {
            Ok(asked) => asked,
            Err(why) => return fault(StatusCode::BAD_REQUEST, &why),
        };
        let from = match asked.postcode() {
            None => None,
            Some(postcode) => match app.registry.load().places.centre(postcode) {
                Some(centre) => Some(centre.point),
                None => {
                    let why = "nobody knows where that postcode lies: a whole one, or its first half such as L8";
                    return fault(StatusCode::BAD_REQUEST, why);
                }
            },
        };
        said(StatusCode::OK, &catalogue.list(list, &asked, from))
    };
    with_catalogue(&app, &came, answer).await
}

/// `GET /open-referral/services/{id}` and the others.
async fn one(State(app): State<Shared>, came: Came, Path(id): Path<String>, list: List) -> Response {
    let answer = |catalogue: &Catalogue| catalogue.one(list, &id).map_or_else(absent, |one| said(StatusCode::OK, &one));
    with_catalogue(&app, &came, answer).await
}

/// What is answered of the catalogue, where the directory is open and there is a place for one more who reads.
async fn with_catalogue(app: &Shared, came: &Came, answer: impl FnOnce(&Catalogue) -> Response) -> Response {
    if !app.registry.load().directory.open {
        return absent();
    }
    let entered = app.often.address(came, 1).and_then(|()| app.admission.enter(Kind::Read, WHO, None));
    let _place = match entered {
        Ok(place) => place,
        Err(refusal) => {
            let (status, why) = if refusal.own {
                (StatusCode::TOO_MANY_REQUESTS, "too much is asked from this address: come again after Retry-After")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "too much is read at present")
            };
            let mut response = fault(status, why);
            if let Ok(seconds) = HeaderValue::try_from(refusal.retry_after_s.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            return response;
        }
    };
    match tokio::time::timeout(request_timeout(app), catalogue(app)).await {
        Ok(Ok(catalogue)) => answer(&catalogue),
        Ok(Err(_)) | Err(_) => fault(StatusCode::SERVICE_UNAVAILABLE, "the directory cannot be read at present"),
    }
}

/// The catalogue, made anew where the directory has changed and the one there is has become too old.
async fn catalogue(app: &Shared) -> Result<Arc<Catalogue>, StoreError> {
    let revision = app.store.directory_revision().await?;
    let making = Arc::clone(app);
    app.open_referral.take(revision, move || async move { made(&making, revision).await }).await
}

/// The catalogue of all that is active, and of which revision it is.
async fn made(app: &App, revision: u64) -> Result<(Catalogue, u64), StoreError> {
    let (mut kept, mut after) = (Vec::new(), 0);
    loop {
        let page = app.store.directory_changes(after, CHUNK).await?;
        let Some(last) = page.last().map(|entry| entry.revision) else { break };
        after = last;
        kept.extend(page);
    }
    let registry = app.registry.load_full();
    let of_registry = entry::all_of_registry(&registry, EntryKind::Organization, "", day(app.store.now()));
    let made_of = tokio::task::spawn_blocking(move || {
        let bodies: Vec<Value> = kept.iter().map(body_of).collect::<Result<_, _>>()?;
        let ids: Vec<String> = kept.iter().map(|entry| entry.id.to_string()).collect();
        let entries = kept.iter().zip(&ids).zip(&bodies);
        let entries =
            entries.map(|((entry, id), body)| Entry { kind: entry.kind, id, last_updated: entry.last_updated, body });
        let referred = referred_to(&bodies);
        let named = of_registry.iter().filter_map(|body| {
            let id = tree::text(body, "id").filter(|id| referred.contains(&format!("Organization/{id}")))?;
            Some(Entry { kind: EntryKind::Organization, id, last_updated: jiff::Timestamp::UNIX_EPOCH, body })
        });
        let centre = |postcode: &str| registry.places.centre(postcode).map(|centre| centre.point);
        Ok(Catalogue::of(&entries.chain(named).collect::<Vec<_>>(), &centre))
    });
    let catalogue = made_of.await.unwrap_or_else(|_| Err(StoreError::Unavailable("ended".to_owned())))?;
    Ok((catalogue, after.max(revision)))
}

/// Everybody may read this, pages of any origin among them.
fn said(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60")),
    ];
    (status, headers, body.to_string()).into_response()
}

fn fault(status: StatusCode, why: &str) -> Response {
    let mut response = said(status, &json!({"status": status.as_u16(), "message": why}));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn absent() -> Response {
    fault(StatusCode::NOT_FOUND, "there is no such thing here")
}
