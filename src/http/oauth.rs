//! Access tokens for systems: where they are told how to get one (SMART App Launch 2.2, conformance), and the endpoints that give, take back and
//! tell of one (RFC 6749, 7009, 7662). They speak JSON and forms, not FHIR, and whoever may not is told no more than that.

use std::{net::IpAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    App, Shared,
    call::pairs,
    often::network,
    request_timeout,
    who::{Came, connection},
};
use crate::{
    admission::{Kind, Place, Rates},
    auth::{Refused, Shown, TOKEN_S},
    config::ASSERTION_ALGORITHMS,
};

/// Where tokens are given.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Where they are taken back.
pub const REVOKE_PATH: &str = "/oauth/revoke";
/// Where it is told how it is with one.
pub const INTROSPECT_PATH: &str = "/oauth/introspect";
/// Where all that is told.
pub const WELL_KNOWN: &str = "/.well-known/smart-configuration";
/// A longer body is not read.
const FORM_MAX_BYTES: usize = 32 * 1024;
/// So many parameters are looked at.
const PARAMETERS_MAX: usize = 16;
/// What an assertion is called (RFC 7523, 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// All who want a token share the places of one client.
const WHO: &str = "access tokens";

/// So many requests of one address are told what is wrong with them. Who asks from there and signs right is given a token whatever
/// others do: several systems may stand behind one address.
const FAILURES_BURST: u32 = 100;
const FAILURES_EVERY: Duration = Duration::from_millis(50);
/// So many signatures are looked at at once for addresses from which more than that comes.
const LOOKED_AT_AFTER: usize = 1;
/// So often may one client be given a token, or ask after one.
const CLIENT_BURST: u32 = 30;
const CLIENT_EVERY: Duration = Duration::from_secs(2);

/// How often somebody may ask.
pub struct Limits {
    failures: Rates<IpAddr>,
    clients: Rates<String>,
    /// The place of addresses from which too much comes that is wrong.
    aside: Semaphore,
}

/// Why there is no other answer (RFC 6749, 5.2).
struct Fault {
    status: StatusCode,
    error: &'static str,
    told: String,
    wait: Option<Duration>,
}

/// What is asked: each parameter once.
struct Form<'a> {
    asked: Vec<(String, String)>,
    /// Both are held for as long as it is worked on.
    _aside: Option<SemaphorePermit<'a>>,
    _place: Place,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failures: Rates::new(FAILURES_BURST, FAILURES_EVERY),
            clients: Rates::new(CLIENT_BURST, CLIENT_EVERY),
            aside: Semaphore::new(LOOKED_AT_AFTER),
        }
    }
}

impl Limits {
    /// A place to look at a signature in, for an address from which too much came that was wrong; others need none. However much comes
    /// from there, looking at it takes up one core at the most, and keeps nobody waiting who comes from elsewhere.
    async fn aside(&self, came: &Came) -> Option<SemaphorePermit<'_>> {
        let address = network(came.address?);
        self.failures.wait(&address)?;
        // it is never closed
        self.aside.acquire().await.ok()
    }

    /// What is told of a fault: as often as may be what is wrong, and then that it is too often.
    fn told(&self, came: &Came, fault: Fault) -> Fault {
        let Some(address) = came.address.filter(|_| fault.is_nobodys()) else { return fault };
        self.failures.take(network(address), 1).err().map_or(fault, Fault::later)
    }
}

/// Its routes.
pub(super) fn router(app: Shared) -> Router {
    Router::new()
        .route(WELL_KNOWN, get(configuration))
        .route(&format!("/fhir{WELL_KNOWN}"), get(configuration))
        .route(TOKEN_PATH, post(token))
        .route(REVOKE_PATH, post(revoke))
        .route(INTROSPECT_PATH, post(introspect))
        .with_state(app)
}

/// How to get a token here.
async fn configuration(State(app): State<Shared>) -> Response {
    let base = &app.base_url;
    let algorithms = ASSERTION_ALGORITHMS.map(|algorithm| format!("{algorithm:?}"));
    let methods = json!(["private_key_jwt"]);
    let told = json!({
        "token_endpoint": format!("{base}{TOKEN_PATH}"),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint": format!("{base}{REVOKE_PATH}"),
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint": format!("{base}{INTROSPECT_PATH}"),
        "introspection_endpoint_auth_methods_supported": methods,
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": ["system/*.cruds", "system/*.rs", "system/ServiceRequest.crus", "system/Task.rus"],
        // asked for by the standard of every server, and by this one of nobody
        "code_challenge_methods_supported": ["S256"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, told.to_string()).into_response()
}

/// `POST /oauth/token` (RFC 6749, 4.4; RFC 7523, 2.2)
async fn token(State(app): State<Shared>, request: Request) -> Response {
    let came = Came::of(request.extensions());
    answered(&app, &came, async {
        let form = Form::of(&app, request, &came).await?;
        if form.need("grant_type")? != "client_credentials" {
            return Err(Fault::bad("unsupported_grant_type", "grant_type must be client_credentials"));
        }
        let scope = form.get("scope").unwrap_or_default();
        let shown = shown(&app, &form, &came).await?;
        let given = app.authority.give(shown, scope, connection(&came)).await?;
        metrics::counter!("onward_access_tokens_given_total").increment(1);
        came.of_known();
        Ok(json!({
            "access_token": given.token.as_str(),
            "token_type": "bearer",
            "expires_in": TOKEN_S,
            "scope": given.scopes.to_string(),
        }))
    })
    .await
}

/// `POST /oauth/revoke` (RFC 7009): the token of whoever asks, and no other's.
async fn revoke(State(app): State<Shared>, request: Request) -> Response {
    let came = Came::of(request.extensions());
    answered(&app, &came, async {
        let form = Form::of(&app, request, &came).await?;
        let token = form.need("token")?;
        app.authority.revoke(shown(&app, &form, &came).await?, token).await?;
        Ok(json!({}))
    })
    .await
}

/// `POST /oauth/introspect` (RFC 7662): how it is with the token of whoever asks, and no other's.
async fn introspect(State(app): State<Shared>, request: Request) -> Response {
    let came = Came::of(request.extensions());
    answered(&app, &came, async {
        let form = Form::of(&app, request, &came).await?;
        let token = form.need("token")?;
        let Some(found) = app.authority.told(shown(&app, &form, &came).await?, token).await? else {
            return Ok(json!({"active": false}));
        };
        let mut told = json!({
            "active": true,
            "client_id": found.client,
            "sub": found.client,
            "scope": found.scopes,
            "token_type": "bearer",
            "iat": found.at.as_second(),
            "exp": found.until.as_second(),
        });
        if let Some(certificate) = found.certificate {
            told["cnf"] = json!({"x5t#S256": crate::auth::thumbprint(&certificate)});
        }
        Ok(told)
    })
    .await
}

/// What is answered. Who is nobody is told what is wrong only so often.
async fn answered(app: &App, came: &Came, answer: impl Future<Output = Result<Value, Fault>>) -> Response {
    let mut response = match answer.await {
        Ok(body) => body.to_string().into_response(),
        Err(fault) => app.token_limits.told(came, fault).into_response(),
    };
    for (name, value) in
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")]
    {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Who asks, by the assertion in what is asked.
async fn shown(app: &App, form: &Form<'_>, came: &Came) -> Result<Shown, Fault> {
    // one that shows a password is refused like one that shows nothing
    if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(Fault::client("client_assertion_type must be that of RFC 7523, and client_assertion a signed JWT"));
    }
    let assertion = form.get("client_assertion").unwrap_or_default();
    let shown = app.authority.shown(assertion, form.get("client_id"), connection(came)).await?;
    app.token_limits.clients.take(shown.client.clone(), 1).map_err(Fault::later)?;
    Ok(shown)
}

// === impl Form ===

impl<'a> Form<'a> {
    /// What is asked.
    async fn of(app: &'a App, request: Request, came: &Came) -> Result<Self, Fault> {
        if !is_form(request.headers()) {
            return Err(Fault::bad("invalid_request", "the body must be application/x-www-form-urlencoded"));
        }
        let read = axum::body::to_bytes(request.into_body(), FORM_MAX_BYTES);
        let body = match tokio::time::timeout(request_timeout(app), read).await {
            Ok(Ok(body)) => body,
            _ => return Err(Fault::bad("invalid_request", "the body is too long, or did not come in time")),
        };
        // only now: who sends slowly, and who waits for others of the same address, holds no place that others want
        let aside = app.token_limits.aside(came).await;
        let place = app.admission.enter(Kind::Read, WHO, None);
        let place = place.map_err(|refused| Fault::later(Duration::from_secs(refused.retry_after_s)))?;
        let text = std::str::from_utf8(&body).map_err(|_| Fault::bad("invalid_request", "the body is not UTF-8"))?;
        let asked = pairs(text);
        let mut names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| pair.first() == pair.last());
        if twice || names.len() > PARAMETERS_MAX {
            return Err(Fault::bad("invalid_request", "a parameter is given twice, or there are too many"));
        }
        Ok(Self { asked, _aside: aside, _place: place })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.asked.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn need(&self, name: &'static str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| Fault::bad("invalid_request", format!("{name} is missing")))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = found.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

// === impl Fault ===

impl Fault {
    fn bad(error: &'static str, told: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, told: told.into(), wait: None }
    }

    fn client(told: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::bad("invalid_client", told) }
    }

    /// Whether it was sent by whoever can reach the port, and not by somebody who signed right.
    fn is_nobodys(&self) -> bool {
        matches!(self.error, "invalid_client" | "invalid_request" | "unsupported_grant_type")
    }

    fn later(wait: Duration) -> Self {
        let told = "too many ask for tokens: use one for as long as it holds, and try again after Retry-After";
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, wait: Some(wait), ..Self::bad("temporarily_unavailable", told) }
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        let told = refused.to_string();
        match refused {
            Refused::Client => Self::client(told),
            Refused::Scope(_) | Refused::NotIts => Self::bad("invalid_scope", told),
            Refused::Store(error) => {
                tracing::error!(%error, "the store failed a request for a token");
                let told = "the store is not available just now; try again with another assertion";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self { status, wait: Some(CLIENT_EVERY), ..Self::bad("temporarily_unavailable", told) }
            }
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = json!({"error": self.error, "error_description": self.told}).to_string();
        let mut response = (self.status, Body::from(body)).into_response();
        if let Some(wait) = self.wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}
