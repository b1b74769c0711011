//! Access tokens of another server that the trust has already (RFC 9068, as far as others write them): signed, meant for Onward, and about a
//! client that is registered here under the name that it has there.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::Algorithm::{self, ES256, ES384, PS256, PS384, PS512, RS256, RS384, RS512};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

use super::{
    jwks::{Jwks, get},
    jwt::{Jwt, LEEWAY_S},
};
use crate::{client::FhirClient, config::Issuer, domain::Scopes};

/// Its tokens are signed by one of these, whatever they say themselves.
const ALGORITHMS: [Algorithm; 8] = [RS256, RS384, RS512, ES256, ES384, PS256, PS384, PS512];
/// Its description is fetched anew after so long, …
const FRESH: Duration = Duration::from_secs(3600);
/// … and no more often than this, whatever comes of it.
const ASKED_EVERY: Duration = Duration::from_secs(60);
/// A longer description is not read.
const DESCRIPTION_MAX_BYTES: usize = 256 * 1024;
/// Where it stands below the issuer's URL (OpenID Connect Discovery 1.0, 4).
const DESCRIPTION: &str = ".well-known/openid-configuration";

/// What another server says of whoever shows its token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The client's name there.
    pub client: String,
    /// What it granted.
    pub scopes: Scopes,
    /// The SHA-256 of the certificate beside which alone it is worth something.
    pub certificate: Option<[u8; 32]>,
}

/// Where its keys are, by its own description.
pub(super) struct Described {
    client: FhirClient,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The issuer, where its keys are, and when that was found out.
    keys_at: Option<(String, String, Instant)>,
    asked: Option<Instant>,
}

// === impl Described ===

impl Described {
    /// With nothing asked yet.
    pub fn new(client: FhirClient) -> Self {
        Self { client, kept: Mutex::default() }
    }

    /// What this issuer says by this token, if it is its, and holds.
    pub async fn said(&self, issuer: &Issuer, jwks: &Jwks, token: &str, now: Timestamp) -> Option<Said> {
        let jwt = Jwt::read(token, &ALGORITHMS)?;
        // nothing is fetched for a token of somebody else
        if !is_of(&jwt, issuer) {
            return None;
        }
        let url = self.keys_at(issuer).await?;
        let keys = jwks.keys(&url, &jwt.kid).await?;
        let key = keys.find(&jwt.kid, jwt.algorithm)?;
        if !jwt.is_signed_by(key) {
            return None;
        }
        said(&jwt, issuer, now)
    }

    async fn keys_at(&self, issuer: &Issuer) -> Option<String> {
        let mut kept = self.kept.lock().await;
        let known = kept.keys_at.as_ref().filter(|(of, ..)| *of == issuer.url);
        let is_fresh = known.is_some_and(|(_, _, at)| at.elapsed() < FRESH);
        let may_ask =
            known.is_none() && kept.keys_at.is_some() || kept.asked.is_none_or(|at| at.elapsed() >= ASKED_EVERY);
        if !is_fresh && may_ask {
            kept.asked = Some(Instant::now());
            match self.fetch(issuer).await {
                Ok(url) => kept.keys_at = Some((issuer.url.clone(), url, Instant::now())),
                Err(why) => tracing::warn!(issuer = issuer.url, why, "the issuer's description cannot be used"),
            }
        }
        kept.keys_at.as_ref().filter(|(of, ..)| *of == issuer.url).map(|(_, url, _)| url.clone())
    }

    async fn fetch(&self, issuer: &Issuer) -> Result<String, String> {
        let bytes = get(&self.client, &format!("{}/{DESCRIPTION}", issuer.url), DESCRIPTION_MAX_BYTES).await?;
        let said: Value = serde_json::from_slice(&bytes).map_err(|_| "it is no JSON".to_owned())?;
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        // or one server could stand for another (OpenID Connect Discovery 1.0, 4.3)
        if text("issuer").map(|of| of.trim_end_matches('/')) != Some(&*issuer.url) {
            return Err("it names another issuer".to_owned());
        }
        let url = text("jwks_uri").ok_or_else(|| "it names no jwks_uri".to_owned())?;
        let encrypted = url.starts_with("https://") || !issuer.url.starts_with("https://");
        encrypted.then(|| url.to_owned()).ok_or_else(|| "its jwks_uri is not https://".to_owned())
    }
}

fn is_of(jwt: &Jwt<'_>, issuer: &Issuer) -> bool {
    jwt.text("iss").map(|of| of.trim_end_matches('/')) == Some(&*issuer.url)
}

/// What a token says whose signature was checked, if it is an access token for Onward and holds now.
fn said(jwt: &Jwt<'_>, issuer: &Issuer, now: Timestamp) -> Option<Said> {
    let is_access = matches!(jwt.kind.as_deref(), None | Some("jwt" | "at+jwt" | "application/at+jwt"));
    if !is_access || !is_of(jwt, issuer) || !jwt.is_for(&[&issuer.audience]) {
        return None;
    }
    // who logs in gets one of these as well, which says who somebody is and not what a system may
    if jwt.claims.contains_key("nonce") || jwt.claims.contains_key("at_hash") {
        return None;
    }
    let leeway = SignedDuration::from_secs(LEEWAY_S);
    let moment = |name| jwt.moment(name).ok();
    if moment("exp")??.duration_since(now) <= -leeway {
        return None;
    }
    for begins in [moment("nbf")?, moment("iat")?].into_iter().flatten() {
        if begins.duration_since(now) > leeway {
            return None;
        }
    }
    let client =
        jwt.text(&issuer.client_claim).or_else(|| jwt.text("azp").filter(|_| issuer.client_claim == "client_id"));
    let scopes = match jwt.claims.get("scope").or_else(|| jwt.claims.get("scp"))? {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => return None,
    };
    // it grants more than is ours; one that is narrower than its type is none, for it would become wider here
    let ours: Vec<&str> = scopes.split_ascii_whitespace().filter(|one| one.parse::<Scopes>().is_ok()).collect();
    let certificate = match jwt.claims.get("cnf") {
        None => None,
        // bound to something that is not looked at here is not bound at all
        Some(cnf) => {
            let text = cnf.get("x5t#S256").and_then(Value::as_str)?;
            Some(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?)
        }
    };
    Some(Said { client: client?.to_owned(), scopes: ours.join(" ").parse().ok()?, certificate })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn of(change: &Value) -> Option<Said> {
        let mut claims = json!({"iss": "https://login.example/", "aud": ["onward", "other"], "client_id": "epr",
            "exp": NOW + 3600, "scope": "openid system/Task.rs system/Patient.rs?x=y"});
        let mut header = json!({"alg": "RS256", "kid": "k", "typ": "at+jwt"});
        for (name, value) in change.as_object().unwrap() {
            let place = if name == "typ" { &mut header } else { &mut claims };
            place[name.as_str()] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}.AA", part(&header), part(&claims));
        let issuer = Issuer {
            url: "https://login.example".to_owned(),
            audience: "onward".to_owned(),
            client_claim: "client_id".to_owned(),
        };
        said(&Jwt::read(&text, &ALGORITHMS).unwrap(), &issuer, Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn a_token_says_who_and_what_for() {
        let said = of(&json!({})).unwrap();
        assert_eq!((said.client.as_str(), said.scopes.to_string().as_str()), ("epr", "system/Task.rs"));
        assert_eq!(of(&json!({"client_id": null, "azp": "epr"})), Some(said));
        assert!(of(&json!({"scope": null, "scp": ["system/Task.r"]})).is_some());
        let bound = of(&json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode([7; 32])}})).unwrap();
        assert_eq!(bound.certificate, Some([7; 32]));
    }

    #[test]
    fn what_is_not_for_onward_is_not_taken() {
        for change in [
            json!({"iss": "https://evil.example"}),
            json!({"iss": null}),
            json!({"aud": "other"}),
            json!({"aud": null}),
            json!({"exp": NOW - 5}),
            json!({"exp": null}),
            json!({"exp": "never"}),
            json!({"nbf": NOW + 6}),
            json!({"iat": NOW + 6}),
            json!({"scope": "openid profile"}),
            json!({"scope": null}),
            json!({"scope": {"a": 1}}),
            json!({"client_id": null}),
            json!({"typ": "id+jwt"}),
            json!({"typ": "logout+jwt"}),
            json!({"nonce": "n"}),
            json!({"cnf": {"jkt": "of a key that is not looked at"}}),
            json!({"cnf": {"x5t#S256": "AA"}}),
        ] {
            assert_eq!(of(&change), None, "{change}");
        }
    }
}
