//! Pages for people. They show what the rooms below decide: whoever is not logged in sees the way to log in, and a page shows nothing
//! that `auth` does not let its visitor see.
//!
//! A cookie is looked at here and nowhere else: it opens no `/fhir`, where clients show a token each time.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post},
};

use crate::{
    admission::Admission,
    config::Registry,
    conversation::Conversation,
    directory::Directory,
    intake::Intake,
    onboarding::Trial,
    people::{People, Token, oidc::Issuer},
    status::Status,
    store::{AskedBy, Store},
};

mod account;
pub mod assets;
mod astray;
mod backchannel;
mod console;
mod cookie;
mod door;
mod enrol;
mod form;
mod frame;
mod glasses;
mod held;
mod inbox;
mod login;
mod page;
mod people;
mod qr;
mod routes;
mod services;
mod stay;

pub use astray::for_people;
pub use console::Console;
pub use cookie::Cookies;
pub use door::Door;
pub use inbox::Live;
pub use routes::Routes;

/// What the pages stand on.
pub struct Web {
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// Systems, providers and inboxes.
    pub registry: Arc<ArcSwap<Registry>>,
    /// Answers of providers.
    pub status: Status,
    /// What is said after sending.
    pub conversation: Conversation,
    /// Referrals in.
    pub intake: Intake,
    /// Who offers what, where.
    pub directory: Directory,
    /// Lists of referrals, in memory.
    pub live: Live,
    /// What those look at who keep it running.
    pub console: Console,
    /// Where referrals go.
    pub routes: Routes,
    /// Test referrals.
    pub trial: Trial,
    /// Who looks at them.
    pub people: People,
    /// Who says who somebody is.
    pub issuer: Option<Issuer>,
    /// Who is let in.
    pub admission: Arc<Admission>,
    /// How often each may come.
    pub door: Door,
    /// Where this Onward is reached.
    pub base_url: String,
    /// A request that is not answered by then is given up.
    pub request_timeout: Duration,
}

/// Shared by all requests.
type Shared = Arc<Web>;

/// The routes of the pages; none where the configuration lets nobody log in.
pub fn router(web: Web) -> Router {
    if !web.people.config().any() {
        return Router::new();
    }
    let web = Arc::new(web);
    let mut routes = Router::new()
        .route("/", get(login::begin_page))
        .route("/login", get(login::page))
        .route("/logout", post(login::log_out))
        .route(stay::PATH, get(stay::stay))
        .route("/account", get(account::page))
        .route("/account/sessions/end", post(account::end_all))
        .route("/account/sessions/{id}/end", post(account::end))
        .route("/inbox", get(inbox::page))
        .route("/inbox/lines", get(inbox::lines))
        .route("/inbox/list.csv", get(inbox::csv).post(inbox::csv_of_search))
        .route("/inbox/search", post(inbox::search))
        .route("/inbox/assign", post(inbox::assign))
        .route("/glasses", get(glasses::page))
        .route("/glasses.csv", get(glasses::csv))
        .route("/people", get(self::people::page))
        .route("/people/add", get(self::people::add_page).post(self::people::add))
        .route("/people/{key}", get(self::people::one))
        .route("/people/{key}/{action}", get(self::people::ask).post(self::people::act))
        .route("/services", get(services::page))
        .route("/services/{id}", post(services::tell))
        .route("/inbox/{task}", get(inbox::referral))
        .route("/inbox/{task}/give", post(inbox::give))
        .route("/inbox/{task}/message", post(inbox::message))
        .route("/inbox/{task}/letter", get(inbox::letter))
        .route("/inbox/{task}/onward", get(inbox::onward_form).post(inbox::onward_step))
        .route("/inbox/{task}/led-to/{other}", get(inbox::led_to_form).post(inbox::led_to_answer))
        .route("/inbox/{task}/put-right", get(inbox::put_right_form).post(inbox::put_right))
        .route("/inbox/{task}/documents/{id}/{number}", get(inbox::document))
        .route("/inbox/{task}/{action}", get(inbox::form).post(inbox::act))
        .route(&format!("{}{{name}}", assets::FOLDER), get(assets::asset));
    if web.people.config().local {
        routes = routes
            .route("/login", post(login::log_in))
            .route("/enrol", get(enrol::page).post(enrol::begin))
            .route("/enrol/device", post(enrol::device));
    }
    if web.issuer.is_some() {
        routes = routes
            .route(door::BEGIN, get(login::begin))
            .route("/login/callback", get(login::came_back))
            .route("/login/backchannel", post(backchannel::log_out));
    }
    routes = routes.merge(console::routes()).merge(self::routes::routes());
    routes.layer(from_fn_with_state(Arc::clone(&web), around)).with_state(web)
}

impl Web {
    /// How cookies are named and sent here.
    fn cookies(&self) -> Cookies {
        Cookies::at(&self.base_url)
    }

    /// What the browser shows as its session.
    fn session_of(&self, headers: &HeaderMap) -> Option<Token> {
        Token::read(&self.cookies().session(headers)?)
    }
}

/// A cell of a table that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    let begins = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if begins { format!("'{cell}") } else { cell.to_owned() }
}

/// Finds a place, bounds the time, and says to the browser what a page may not do.
async fn around(State(web): State<Shared>, request: Request, next: Next) -> Response {
    // what comes of it bears the ids of the request in the journal, and hers whose form it is
    let asked = request.extensions().get::<AskedBy>().cloned();
    let running = async {
        let (request, _place) = match door::enter(&web, request).await {
            Ok(let_in) => let_in,
            Err(page) => return page,
        };
        let answered = tokio::time::timeout(web.request_timeout, next.run(request)).await;
        answered.unwrap_or_else(|_| page::unavailable())
    };
    let mut response = match asked {
        Some(asked) => asked.within(running).await,
        None => running.await,
    };
    guard(response.headers_mut(), &web.base_url);
    response
}

/// What a browser may not do with an answer.
fn guard(headers: &mut HeaderMap, base_url: &str) {
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| page::policy(base_url));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // the origin must still be told to ourselves: by it a form of ours is known
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if base_url.starts_with("https://") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

#[cfg(test)]
mod tests;
