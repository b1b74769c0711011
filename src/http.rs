//! The HTTP interface: FHIR REST, health, metrics. Handlers translate and call; they decide nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{Extension, Router, extract::DefaultBodyLimit, routing::MethodRouter};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{
    admission::Admission,
    auth::{Authority, Seal},
    config::{Limits, Registry, Roles, TokenHash},
    conversation::Conversation,
    directory::{Directory, measured::Measured, open_referral::catalogue::Catalogue},
    fhir::XmlWriter,
    health::Health,
    intake::Intake,
    lanes::Endpoints,
    status::Status,
    store::Store,
};

mod addresses;
mod admit;
mod around;
mod batch;
mod beside;
pub mod call;
pub mod capability;
mod coding;
mod conditional;
mod connection;
mod conversation;
mod directory;
mod health;
mod history;
mod matching;
pub mod oauth;
pub mod often;
pub mod open_referral;
pub mod openapi;
mod patching;
mod patient;
mod prefer;
mod read;
pub mod reply;
mod search;
pub mod serve;
mod subscription;
mod supported;
mod surroundings;
mod table;
mod validate;
mod who;
mod write;

use beside::Deed;

pub use around::around;
pub use prefer::Handling;
pub use who::Came;

/// What the handlers call.
pub struct App {
    /// Reading.
    pub store: Arc<dyn Store>,
    /// How its parts are.
    pub health: Arc<Health>,
    /// Who is let in.
    pub admission: Arc<Admission>,
    /// Who calls.
    pub registry: Arc<ArcSwap<Registry>>,
    /// Who is spoken to, and who is left alone.
    pub endpoints: Endpoints,
    /// Who asks.
    pub authority: Authority,
    /// What is given out to be shown again.
    pub seal: Seal,
    /// How often somebody asks.
    pub often: often::Often,
    /// How often tokens are asked for.
    pub token_limits: oauth::Limits,
    /// Referrals in.
    pub intake: Intake,
    /// Answers in.
    pub status: Status,
    /// What is said after sending.
    pub conversation: Conversation,
    /// What was measured of inboxes.
    pub measured: Arc<Measured>,
    /// Who offers what, where.
    pub directory: Directory,
    /// XML in and out.
    pub xml: Arc<XmlWriter>,
    /// What is refused for being too much.
    pub limits: Limits,
    /// What this process does.
    pub roles: Roles,
    /// By which tokens those who keep it running are known from elsewhere.
    pub keeper_tokens: Vec<TokenHash>,
    /// Where this Onward is reached.
    pub base_url: String,
    /// Whether pages of other origins may speak to it from a browser.
    pub cors: bool,
    /// The directory as open data, as it was made last.
    pub open_referral: open_referral::Shelf<Catalogue>,
    /// What `/openapi.json` says.
    pub document: openapi::Document,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
}

/// Shared by all requests.
pub type Shared = Arc<App>;

/// The routes for whoever keeps it running: all that a process without the role `api` serves.
pub fn keepers_router(app: Shared) -> Router {
    beside::router(Deed::is_keepers).with_state(app)
}

/// Every route there is.
pub fn router(app: Shared) -> Router {
    let entries = batch::Entries(refusing(resources()).with_state(Arc::clone(&app)));
    let bundle = beside::router(|deed| deed == beside::Deed::Bundle).layer(Extension(entries));
    let fhir = refusing(resources().merge(bundle))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), reply::render))
        .with_state(Arc::clone(&app));
    let open = open_referral::router(Arc::clone(&app));
    let oauth = oauth::router(Arc::clone(&app));
    keepers_router(app).merge(fhir).merge(open).merge(oauth)
}

/// The routes of resources, and of what is beside them: all that an entry of a batch may ask for.
fn resources() -> Router<Shared> {
    let mut fhir = beside::router(|deed| !deed.is_keepers() && deed != beside::Deed::Bundle);
    for (path, handlers) in routes() {
        fhir = fhir.route(&path, handlers);
    }
    fhir
}

/// With words for what has no route.
fn refusing(routes: Router<Shared>) -> Router<Shared> {
    routes
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::not_allowed)
        .layer(axum::middleware::from_fn(supported::known))
        .layer(DefaultBodyLimit::disable()) // the call reads the body under its own bound
}

/// The routes of the table, each path once.
fn routes() -> BTreeMap<String, MethodRouter<Shared>> {
    let mut routes: BTreeMap<String, MethodRouter<Shared>> = BTreeMap::new();
    for served in table::SERVED {
        for (interaction, method, below) in served.operations() {
            let Some(handler) = interaction.handler(served.kind, method, below) else { continue };
            let handler = who::granted(handler, interaction.needs(served.kind, below));
            let path = format!("/fhir/{}{below}", served.kind);
            let present = routes.remove(&path).unwrap_or_default();
            routes.insert(path, present.merge(handler));
        }
    }
    routes
}

/// The longest time a request may take.
pub(crate) fn request_timeout(app: &App) -> Duration {
    app.limits.request_timeout
}
