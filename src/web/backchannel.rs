//! `POST /login/backchannel`: the issuer says that somebody's sessions are over (OpenID Connect Back-Channel Logout 1.0, 2.5). No browser
//! brings it and no cookie is looked at: what it brings is signed.

use axum::{
    body::to_bytes,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::Shared;
use crate::{auth::jwt::JWT_MAX_BYTES, http::call::pairs, people::oidc::NotOut};

/// A longer body is not read.
const BODY_MAX_BYTES: usize = 2 * JWT_MAX_BYTES;

/// See the module's documentation.
pub(super) async fn log_out(State(web): State<Shared>, request: Request) -> Response {
    let Some(issuer) = &web.issuer else { return StatusCode::NOT_FOUND.into_response() };
    let body = to_bytes(request.into_body(), BODY_MAX_BYTES).await.unwrap_or_default();
    let sent = pairs(&String::from_utf8_lossy(&body));
    let mut tokens = sent.iter().filter(|(name, _)| name == "logout_token").map(|(_, token)| token.as_str());
    let (Some(token), None) = (tokens.next(), tokens.next()) else {
        return refused("a form with one logout_token is needed");
    };
    match issuer.logged_out(token).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(NotOut::Token(why)) => {
            // whoever can reach the port can have this said
            if let Some(times) = web.refused.logouts.once_more(web.store.now()) {
                tracing::warn!(why, times, "logout tokens were refused; why tells of the last one");
            }
            refused(why)
        }
        Err(error) => {
            tracing::warn!(%error, "what the issuer says is over could not be ended");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// The issuer's own words for a mistake (2.8).
fn refused(why: &str) -> Response {
    let body = json!({"error": "invalid_request", "error_description": why}).to_string();
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
