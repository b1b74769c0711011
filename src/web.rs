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
};

use crate::{
    admission::Admission,
    auth::Deed,
    config::Registry,
    conversation::Conversation,
    directory::Directory,
    domain::Noise,
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
mod called;
mod changes;
mod console;
mod cookie;
mod dates;
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
mod role;
mod routes;
mod services;
mod stay;
mod table;

pub use astray::for_people;
pub use console::Console;
pub use cookie::Cookies;
pub use door::Door;
pub use inbox::Live;
pub use routes::Routes;
use table::Table;
pub use table::{For, Listed};

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
    /// What was refused of those whom nobody knows.
    pub refused: RefusedAtDoor,
    /// Where this Onward is reached.
    pub base_url: String,
    /// A request that is not answered by then is given up.
    pub request_timeout: Duration,
}

/// What whoever likes can have refused, so that it fills no log.
#[derive(Debug, Default)]
pub struct RefusedAtDoor {
    /// Logout tokens.
    logouts: Noise,
    /// Ways back from the issuer.
    log_ins: Noise,
}

/// Shared by all requests.
type Shared = Arc<Web>;

/// The routes of the pages; none where the configuration lets nobody log in.
pub fn router(web: Web) -> Router {
    if !web.people.config().any() {
        return Router::new();
    }
    let web = Arc::new(web);
    let routes = table(web.people.config().local, web.issuer.is_some()).into_router();
    routes.layer(from_fn_with_state(Arc::clone(&web), around)).with_state(web)
}

/// Every route of the pages, where people log in with accounts of Onward's own, with an issuer, or either.
pub fn routes_of_pages(local: bool, issuer: bool) -> Vec<Listed> {
    table(local, issuer).listed()
}

const WORKERS: For = For::Those(&[Deed::Read]);
const ANSWERERS: For = For::Those(&[Deed::Answer]);
const ADMINS: For = For::Those(&[Deed::ManagePeople]);
const REVIEWERS: For = For::Those(&[Deed::ReviewGlasses]);

/// All of them, grouped by whom they are for.
fn table(local: bool, issuer: bool) -> Table {
    let mut table = Table::default()
        .page("/", For::Everybody, login::begin_page)
        .page("/login", For::Everybody, login::page)
        .page(&format!("{}{{name}}", assets::FOLDER), For::Everybody, assets::asset)
        // oneself
        .form("/logout", For::Herself, login::log_out)
        .page("/account", For::Herself, account::page)
        .page(stay::PATH, For::Herself, stay::stay)
        .form("/account/sessions/end", For::Herself, account::end_all)
        .form("/account/sessions/{id}/end", For::Herself, account::end)
        // the referrals of a provider
        .page("/inbox", WORKERS, inbox::page)
        .page("/inbox/lines", WORKERS, inbox::lines)
        .page("/inbox/list.csv", WORKERS, inbox::csv)
        .form("/inbox/list.csv", WORKERS, inbox::csv_of_search)
        .form("/inbox/search", WORKERS, inbox::search)
        .form("/inbox/assign", ANSWERERS, inbox::assign)
        .page("/inbox/{task}", WORKERS, inbox::referral)
        .form("/inbox/{task}/give", ANSWERERS, inbox::give)
        .form("/inbox/{task}/message", ANSWERERS, inbox::message)
        .page("/inbox/{task}/letter", WORKERS, inbox::letter)
        .page("/inbox/{task}/onward", ANSWERERS, inbox::onward_form)
        .form("/inbox/{task}/onward", ANSWERERS, inbox::onward_step)
        .page("/inbox/{task}/led-to/{other}", ANSWERERS, inbox::led_to_form)
        .form("/inbox/{task}/led-to/{other}", ANSWERERS, inbox::led_to_answer)
        .page("/inbox/{task}/put-right", ANSWERERS, inbox::put_right_form)
        .form("/inbox/{task}/put-right", ANSWERERS, inbox::put_right)
        .page("/inbox/{task}/documents/{id}/{number}", WORKERS, inbox::document)
        .page("/inbox/{task}/{action}", ANSWERERS, inbox::form)
        .acting(inbox::actions())
        .form("/inbox/{task}/{action}", ANSWERERS, inbox::act)
        .acting(inbox::actions())
        // a provider's services and people
        .page("/services", For::Those(&[Deed::Read, Deed::Propose]), services::page)
        .form("/services/{id}", For::Those(&[Deed::Propose]), services::tell)
        .page("/people", ADMINS, self::people::page)
        .page("/people/add", ADMINS, self::people::add_page)
        .form("/people/add", ADMINS, self::people::add)
        .page("/people/{key}", ADMINS, self::people::one)
        .page("/people/{key}/{action}", ADMINS, self::people::ask)
        .acting(self::people::ACTIONS)
        .form("/people/{key}/{action}", ADMINS, self::people::act)
        .acting(self::people::ACTIONS)
        // those who look at what others have done
        .page("/glasses", REVIEWERS, glasses::page)
        .page("/glasses.csv", REVIEWERS, glasses::csv)
        .page("/changes", For::Those(&[Deed::ReviewAccounts]), changes::page)
        .page("/changes.csv", For::Those(&[Deed::ReviewAccounts]), changes::csv);
    if local {
        table = table
            .open_form("/login", login::log_in)
            .page("/enrol", For::Everybody, enrol::page)
            .open_form("/enrol", enrol::begin)
            .open_form("/enrol/device", enrol::device);
    }
    if issuer {
        table = table
            .page(door::BEGIN, For::Everybody, login::begin)
            .page("/login/callback", For::Everybody, login::came_back)
            .open_form(door::BACKCHANNEL, backchannel::log_out);
    }
    self::routes::routes(console::routes(table))
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
        let coming = match door::who(&web, door::shown(&web, &request)).await {
            Ok(coming) => coming,
            Err(page) => return page,
        };
        let takes_away = coming.is_nobodys && door::is_opened(request.headers());
        let answer = match door::enter(&web, request, &coming).await {
            Ok((request, _place)) => {
                let answered = tokio::time::timeout(web.request_timeout, next.run(request)).await;
                answered.unwrap_or_else(|_| page::unavailable())
            }
            Err(page) => page,
        };
        if takes_away { door::without_session(&web, answer) } else { answer }
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
