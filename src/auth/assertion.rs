//! What a client says of itself to get an access token (SMART App Launch 2.2, client-confidential-asymmetric; RFC 7523, 3), once its signature
//! was checked. Pure.

use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};

use super::jwt::{Jwt, LEEWAY_S};
use crate::store::UsedAssertion;

/// An assertion holds no longer than this from now on.
pub const ASSERTION_MAX_S: i64 = 300;
/// Names of assertions with more bytes are not taken.
const NAME_MAX_BYTES: usize = 255;

/// Why an assertion is not taken. Told to the log, not to whoever showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is another kind of token.
    #[error("it is another kind of token (typ)")]
    Kind,
    /// It speaks of somebody else, or of two.
    #[error("iss and sub are not both the client's id")]
    Client,
    /// It is meant for another server.
    #[error("aud is not the URL of the token endpoint")]
    Audience,
    /// It does not say until when it holds, or not in a way that can be read.
    #[error("exp, iat or nbf is missing or no number of seconds")]
    NoMoment,
    /// It has ended.
    #[error("it has expired: see both clocks")]
    Expired,
    /// It holds for too long.
    #[error("exp is more than {ASSERTION_MAX_S} seconds ahead")]
    TooLong,
    /// It does not hold yet.
    #[error("iat or nbf is in the future: see both clocks")]
    NotYet,
    /// It has no name by which it is used once.
    #[error("jti is missing or too long")]
    NoName,
}

/// What must be kept so that it is used once, where it holds.
///
/// # Errors
/// [`Wrong`]
pub fn holds(assertion: &Jwt<'_>, client: &str, audience: &str, now: Timestamp) -> Result<UsedAssertion, Wrong> {
    if assertion.kind.as_deref().is_some_and(|kind| kind != "jwt") {
        return Err(Wrong::Kind);
    }
    if assertion.text("iss") != Some(client) || assertion.text("sub") != Some(client) {
        return Err(Wrong::Client);
    }
    if !assertion.is_for(&[audience]) {
        return Err(Wrong::Audience);
    }
    let moment = |name| assertion.moment(name).map_err(|_| Wrong::NoMoment);
    let (until, given, from) = (moment("exp")?.ok_or(Wrong::NoMoment)?, moment("iat")?, moment("nbf")?);
    let (leeway, longest) = (SignedDuration::from_secs(LEEWAY_S), SignedDuration::from_secs(ASSERTION_MAX_S));
    if until.duration_since(now) <= -leeway {
        return Err(Wrong::Expired);
    }
    if until.duration_since(now) > longest + leeway {
        return Err(Wrong::TooLong);
    }
    if [given, from].into_iter().flatten().any(|begins| begins.duration_since(now) > leeway) {
        return Err(Wrong::NotYet);
    }
    if given.is_some_and(|given| until.duration_since(given) > longest + leeway) {
        return Err(Wrong::TooLong);
    }
    let name = assertion.text("jti").filter(|name| (1..=NAME_MAX_BYTES).contains(&name.len())).ok_or(Wrong::NoName)?;
    let digest = digest::digest(&digest::SHA256, format!("{client}\n{name}").as_bytes());
    let mut id = [0; 32];
    id.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    // kept for as long as it could be shown again to whoever's clock is behind
    Ok(UsedAssertion { id, until: until.saturating_add(leeway + leeway).unwrap_or(Timestamp::MAX) })
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::Algorithm;
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_700_000_000;
    const URL: &str = "https://onward.example/oauth/token";

    fn of(change: &Value) -> Result<UsedAssertion, Wrong> {
        let mut claims = json!({"iss": "system/epr", "sub": "system/epr", "aud": URL, "exp": NOW + 300, "jti": "one"});
        let mut header = json!({"alg": "RS384", "kid": "k"});
        for (name, value) in change.as_object().unwrap() {
            let place = if name == "typ" { &mut header } else { &mut claims };
            place[name.as_str()] = value.clone();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}.AA", part(&header), part(&claims));
        let jwt = Jwt::read(&text, &[Algorithm::RS384]).unwrap();
        holds(&jwt, "system/epr", URL, Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn each_claim_is_held_against_what_it_must_be() {
        for (change, why) in [
            (json!({"typ": "at+jwt"}), Wrong::Kind),
            (json!({"iss": "system/other"}), Wrong::Client),
            (json!({"sub": "system/other"}), Wrong::Client),
            (json!({"sub": null}), Wrong::Client),
            (json!({"iss": ["system/epr"]}), Wrong::Client),
            (json!({"aud": "https://onward.example"}), Wrong::Audience),
            (json!({"aud": "https://onward.example/oauth/token/"}), Wrong::Audience),
            (json!({"aud": []}), Wrong::Audience),
            (json!({"aud": null}), Wrong::Audience),
            (json!({"exp": null}), Wrong::NoMoment),
            (json!({"exp": "soon"}), Wrong::NoMoment),
            (json!({"iat": true}), Wrong::NoMoment),
            (json!({"exp": NOW - 5}), Wrong::Expired),
            (json!({"exp": -1}), Wrong::Expired),
            (json!({"exp": NOW + 306}), Wrong::TooLong),
            (json!({"iat": NOW - 60}), Wrong::TooLong),
            (json!({"iat": NOW + 6}), Wrong::NotYet),
            (json!({"nbf": NOW + 6}), Wrong::NotYet),
            (json!({"jti": null}), Wrong::NoName),
            (json!({"jti": ""}), Wrong::NoName),
            (json!({"jti": 1}), Wrong::NoName),
            (json!({"jti": "x".repeat(256)}), Wrong::NoName),
        ] {
            assert_eq!(of(&change), Err(why), "{change}");
        }
        for fine in [
            json!({}),
            json!({"typ": "JWT", "aud": ["https://other.example", URL]}),
            json!({"exp": NOW - 4}),
            json!({"exp": NOW + 305}),
            json!({"iat": NOW + 5, "nbf": NOW - 1000}),
        ] {
            assert!(of(&fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn it_is_known_again_by_its_client_and_its_name() {
        let (one, again) = (of(&json!({})).unwrap(), of(&json!({"exp": NOW + 10})).unwrap());
        assert_eq!(one.id, again.id, "whatever else it says");
        assert_ne!(one.id, of(&json!({"jti": "two"})).unwrap().id);
        // it cannot be shown any more before it is forgotten
        assert!(again.until.as_second() >= NOW + 10 + 2 * LEEWAY_S);
    }
}
