//! Signed tokens of others (RFC 7515, 7519), read within bounds. What one says counts for nothing before its signature was checked by a key
//! that its supposed owner has registered, by an algorithm that is for that key: keys that a token brings along itself (`jwk`, `jku`, `x5c`,
//! `x5u`) are not looked at.

use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::config::PublicKey;

/// A longer one is not read.
pub const JWT_MAX_BYTES: usize = 8 * 1024;
/// Clocks of others may differ by so much.
pub const LEEWAY_S: i64 = 5;

/// A signed token whose signature has not been checked.
#[derive(Debug)]
pub struct Jwt<'t> {
    /// By which algorithm it says it is signed.
    pub algorithm: Algorithm,
    /// By which key it says it is signed.
    pub kid: String,
    /// What kind of token it says it is (`typ`), in small letters.
    pub kind: Option<String>,
    /// What it says.
    pub claims: Map<String, Value>,
    signed: &'t str,
    signature: &'t str,
}

// === impl Jwt ===

impl<'t> Jwt<'t> {
    /// Takes it apart. None where it is none, has no key's name, is signed by an algorithm that is not among these, or asks for something
    /// that must be understood (`crit`, RFC 7515, 4.1.11).
    pub fn read(text: &'t str, pinned: &[Algorithm]) -> Option<Self> {
        if text.len() > JWT_MAX_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let object = |part: &str| -> Option<Map<String, Value>> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let header = object(header)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let algorithm = Algorithm::from_str(text("alg")?).ok().filter(|found| pinned.contains(found))?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return None;
        }
        Some(Self {
            algorithm,
            kid: text("kid").filter(|kid| !kid.is_empty())?.to_owned(),
            kind: text("typ").map(str::to_ascii_lowercase),
            claims: object(claims)?,
            signed,
            signature,
        })
    }

    /// Whether the holder of this key has signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let checked = jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), key.key(), self.algorithm);
        key.is_for(self.algorithm) && checked.unwrap_or(false)
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// A claim that is a moment (NumericDate): seconds, perhaps with a fraction. `Err` where it is something else.
    pub fn moment(&self, name: &str) -> Result<Option<Timestamp>, NoMoment> {
        let Some(found) = self.claims.get(name) else { return Ok(None) };
        let seconds = found.as_i64().or_else(|| {
            let seconds = found.as_f64().filter(|seconds| (0.0..1e12).contains(seconds))?;
            // whole seconds are fine enough, and the range is checked
            Some(seconds as i64)
        });
        seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).map(Some).ok_or(NoMoment)
    }

    /// Whether it is meant for one of these (`aud`: one, or a list).
    pub fn is_for(&self, audiences: &[&str]) -> bool {
        let is_one = |value: &Value| value.as_str().is_some_and(|text| audiences.contains(&text));
        match self.claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_one),
            Some(one) => is_one(one),
            None => false,
        }
    }
}

/// A claim that should be a moment and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no moment")]
pub struct NoMoment;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const PINNED: [Algorithm; 2] = [Algorithm::RS384, Algorithm::ES384];

    fn token(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    #[test]
    fn only_pinned_algorithms_with_a_key_are_read() {
        let good =
            json!({"alg": "RS384", "kid": "k", "typ": "JWT", "jku": "https://evil.example", "jwk": {"kty": "RSA"}});
        let text = token(&good, &json!({"iss": "a"}));
        let read = Jwt::read(&text, &PINNED).unwrap();
        assert_eq!((read.algorithm, read.kid.as_str(), read.text("iss")), (Algorithm::RS384, "k", Some("a")));
        for bad in [
            json!({"alg": "none", "kid": "k"}),
            json!({"alg": "None", "kid": "k"}),
            json!({"alg": "HS256", "kid": "k"}),
            json!({"alg": "RS256", "kid": "k"}),
            json!({"alg": "rs384", "kid": "k"}),
            json!({"alg": ["RS384"], "kid": "k"}),
            json!({"kid": "k"}),
            json!({"alg": "RS384"}),
            json!({"alg": "RS384", "kid": ""}),
            json!({"alg": "RS384", "kid": 1}),
            json!({"alg": "RS384", "kid": "k", "crit": ["exp"]}),
            json!({"alg": "RS384", "kid": "k", "b64": false}),
            json!("RS384"),
        ] {
            assert!(Jwt::read(&token(&bad, &json!({})), &PINNED).is_none(), "{bad}");
        }
        assert!(Jwt::read(&token(&good, &json!([])), &PINNED).is_none());
        assert!(Jwt::read(&format!("{text}{}", "A".repeat(JWT_MAX_BYTES)), &PINNED).is_none());
    }

    #[test]
    fn moments_and_audiences_are_read_as_they_may_be_written() {
        let header = json!({"alg": "ES384", "kid": "k"});
        let claims =
            json!({"exp": 1_700_000_000, "nbf": 1_700_000_000.9, "iat": "1700000000", "big": 1e300, "aud": ["a", "b"]});
        let text = token(&header, &claims);
        let read = Jwt::read(&text, &PINNED).unwrap();
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!((read.moment("exp"), read.moment("nbf")), (Ok(Some(at)), Ok(Some(at))));
        assert_eq!(
            (read.moment("iat"), read.moment("big"), read.moment("x")),
            (Err(NoMoment), Err(NoMoment), Ok(None))
        );
        assert!(read.is_for(&["b"]) && read.is_for(&["x", "a"]) && !read.is_for(&["ab"]) && !read.is_for(&[]));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9_.=-]{0,200}") {
            let _ = Jwt::read(&text, &PINNED);
        }
    }
}
