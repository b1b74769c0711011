//! Access tokens that others give Onward: got when they are needed, used until shortly before they end, each by one request at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::Instant;
use zeroize::{Zeroize as _, Zeroizing};

use super::{AnswerMax, CallError, Transport, signer};
use crate::config::{Grant, Secret};

/// A token is not used when it ends so soon: it must last until it arrives.
const BEFORE_END: Duration = Duration::from_secs(20);
/// Where nothing is said of how long it holds.
const HOLDS_DEFAULT: Duration = Duration::from_secs(60);
/// Whatever is said, it is got anew after so long.
const HOLDS_MAX: Duration = Duration::from_secs(3600);
/// After a failure, others who need the same token are told the same for so long: who refuses is not asked all the time.
const FAILED_FOR: Duration = Duration::from_secs(2);
/// A larger answer is not read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// A longer token would not fit into a header.
const TOKEN_MAX_BYTES: usize = 16 * 1024;
/// So many are remembered.
const GRANTS_MAX: usize = 1_024;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Grants(Mutex<HashMap<Arc<Grant>, Arc<Place>>>);

/// One token; whoever gets it holds the place.
#[derive(Default)]
struct Place(tokio::sync::Mutex<Kept>);

#[derive(Default)]
struct Kept {
    token: Option<(Secret, Instant)>,
    failed: Option<(CallError, Instant)>,
}

// === impl Grants ===

impl Grants {
    /// A token by this grant, and whether it was there already.
    ///
    /// # Errors
    /// [`CallError`] where there is none to be had now.
    pub async fn token(
        &self,
        transport: &dyn Transport,
        grant: &Arc<Grant>,
        limit: Duration,
    ) -> Result<(Secret, bool), CallError> {
        let place = self.place(grant);
        let mut kept = place.0.lock().await;
        if let Some((token, until)) = &kept.token
            && *until > Instant::now()
        {
            return Ok((token.clone(), true));
        }
        if let Some((error, at)) = &kept.failed
            && at.elapsed() < FAILED_FOR
        {
            return Err(error.clone());
        }
        let asked = tokio::time::timeout(limit, ask(transport, grant)).await;
        match asked.unwrap_or(Err(CallError::NoToken(format!("no answer within {limit:?}")))) {
            Ok((token, holds)) => {
                let until = Instant::now() + holds.saturating_sub(BEFORE_END).max(holds / 2);
                *kept = Kept { token: Some((token.clone(), until)), failed: None };
                Ok((token, false))
            }
            Err(error) => {
                *kept = Kept { token: None, failed: Some((error.clone(), Instant::now())) };
                Err(error)
            }
        }
    }

    /// Forgets a token that was refused, unless it is another by now.
    pub async fn forget(&self, grant: &Arc<Grant>, refused: &Secret) {
        let place = self.place(grant);
        let mut kept = place.0.lock().await;
        if kept.token.as_ref().is_some_and(|(token, _)| token == refused) {
            kept.token = None;
        }
    }

    fn place(&self, grant: &Arc<Grant>) -> Arc<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= GRANTS_MAX && !all.contains_key(grant) {
            // grants come from the configuration alone: these are of earlier ones
            all.clear();
        }
        Arc::clone(all.entry(Arc::clone(grant)).or_default())
    }
}

/// Asks for a token (RFC 6749, 4.4); how long it holds.
async fn ask(transport: &dyn Transport, grant: &Arc<Grant>) -> Result<(Secret, Duration), CallError> {
    let no = |why: &str| CallError::NoToken(why.to_owned());
    let signing = Arc::clone(grant);
    // the key's file may lie on a disk that is slow, or away
    let signed = tokio::task::spawn_blocking(move || signer::assertion(&signing, Timestamp::now())).await;
    let assertion = signed.map_err(|_| no("the assertion cannot be signed"))?.map_err(CallError::NoToken)?;
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.as_str()),
    ];
    form.extend(grant.scopes.as_deref().map(|scopes| ("scope", scopes)));
    let body = written(&form);
    let request = Request::builder()
        .method(Method::POST)
        .uri(&grant.token_url)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::USER_AGENT, concat!("onward/", env!("CARGO_PKG_VERSION")))
        .extension(AnswerMax(ANSWER_MAX_BYTES))
        .body(Full::new(Bytes::from_owner(body)))
        .map_err(|_| no("token-url cannot be used"))?;
    metrics::counter!("onward_tokens_asked_total").increment(1);
    let answer = transport.exchange(request).await.map_err(|error| match error {
        // where it may not be connected to is told as such
        CallError::NotAllowed => CallError::NotAllowed,
        error => CallError::NoToken(error.to_string()),
    })?;
    let (status, body) = (answer.status(), answer.into_body());
    let told = read(status, &body);
    wipe(body);
    told
}

/// A form as it is sent, which is wiped once it is.
fn written(form: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    // each byte becomes three at the most; what grows leaves behind what it was
    let bytes = form.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(bytes));
    for (n, (name, value)) in form.iter().enumerate() {
        if n > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        for piece in utf8_percent_encode(value, NON_ALPHANUMERIC) {
            text.extend_from_slice(piece.as_bytes());
        }
    }
    text
}

/// Wipes an answer that held a token, where nobody else holds it.
fn wipe(body: Bytes) {
    if let Ok(mut own) = body.try_into_mut() {
        own.as_mut().zeroize();
    }
}

/// What the token endpoint answers (RFC 6749, 5).
fn read(status: StatusCode, body: &[u8]) -> Result<(Secret, Duration), CallError> {
    let mut said: Value = serde_json::from_slice(body).unwrap_or_default();
    // out of what was read, so that it lies nowhere else
    let given = match said.get_mut("access_token") {
        Some(Value::String(token)) => Some(Zeroizing::new(std::mem::take(token))),
        _ => None,
    };
    let text = |name: &str| said.get(name).and_then(Value::as_str);
    if status != StatusCode::OK {
        // one of the words of RFC 6749, 5.2, and nothing that could be a secret
        let word = |error: &&str| error.len() <= 40 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let error = text("error").filter(word).map(|error| format!(", {error}")).unwrap_or_default();
        return Err(CallError::NoToken(format!("{}{error}", status.as_u16())));
    }
    let usable =
        |token: &&str| (1..=TOKEN_MAX_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    let is_bearer = text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let token = given.as_ref().map(|token| token.as_str()).filter(usable).filter(|_| is_bearer);
    let token = token.ok_or_else(|| CallError::NoToken("the answer holds no bearer token".to_owned()))?;
    // some write the number as a text
    let holds = match said.get("expires_in") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64(),
        None => None,
    };
    let holds = holds.map_or(HOLDS_DEFAULT, Duration::from_secs).min(HOLDS_MAX);
    Ok((Secret::of(token), holds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_is_written_into_what_wipes_it() {
        let form = [("grant_type", "client_credentials"), ("scope", "system/*.rs é")];
        let text = written(&form);
        assert_eq!(text.as_slice(), b"grant_type=client%5Fcredentials&scope=system%2F%2A%2Ers%20%C3%A9");
        assert!(written(&[("a", "%%%%%%%%%%%%")]).capacity() >= 2 + 36, "it never grows");
    }

    #[test]
    fn an_answer_is_wiped_where_it_is_nobody_elses() {
        let body = bytes::BytesMut::from(&b"secret"[..]).freeze();
        let shared = body.clone();
        wipe(body);
        assert_eq!(shared, &b"secret"[..], "another holds it");
        wipe(shared);
    }

    fn of(status: u16, body: &Value) -> Result<(Secret, Duration), CallError> {
        read(StatusCode::from_u16(status).unwrap(), body.to_string().as_bytes())
    }

    #[test]
    fn an_answer_holds_a_token_or_a_reason_without_secrets() {
        for (expires, seconds) in
            [(json!(300), 300), (json!("599"), 599), (json!(null), 60), (json!(86_400), 3600), (json!(-1), 60)]
        {
            let (token, holds) =
                of(200, &json!({"access_token": "abc", "token_type": "Bearer", "expires_in": expires})).unwrap();
            assert_eq!((token.reveal(), holds), ("abc", Duration::from_secs(seconds)), "{expires}");
        }
        for (status, body, why) in [
            (400, json!({"error": "invalid_client", "error_description": "Geheim"}), "400, invalid_client"),
            (401, json!({"error": "A secret!"}), "401"),
            (503, json!("page"), "503"),
            (200, json!({"access_token": "abc", "token_type": "mac"}), "the answer holds no bearer token"),
            (200, json!({"access_token": "a\r\nb"}), "the answer holds no bearer token"),
            (200, json!({"access_token": ""}), "the answer holds no bearer token"),
            (200, json!([]), "the answer holds no bearer token"),
        ] {
            assert_eq!(of(status, &body), Err(CallError::NoToken(why.to_owned())), "{body}");
        }
    }
}
