//! What Onward signs to show another server who it is (RFC 7523, 2.2): by RS384 or ES384 as SMART asks, by RS512 as NHS API Management does.

use jiff::Timestamp;
use jsonwebtoken::Header;
use serde_json::json;
use zeroize::Zeroizing;

use crate::config::Grant;

/// An assertion holds for so long; others take none that hold for more than five minutes.
const ASSERTION_S: i64 = 240;

/// An assertion for this grant, made at this moment. It reads the key's file and blocks for that long.
///
/// # Errors
/// Why it cannot be signed, in words that hold nothing secret.
pub fn assertion(grant: &Grant, now: Timestamp) -> Result<Zeroizing<String>, String> {
    let key = grant.signing_key().map_err(|why| format!("{}: the file {why}", grant.key.display()))?;
    let at = now.as_second();
    let claims = json!({
        "iss": grant.client_id,
        "sub": grant.client_id,
        "aud": grant.audience,
        "iat": at,
        "exp": at.saturating_add(ASSERTION_S),
        "jti": uuid::Uuid::now_v7().to_string(),
    });
    let header = Header { kid: Some(grant.key_id.clone()), ..Header::new(grant.algorithm) };
    let signed = jsonwebtoken::encode(&header, &claims, &key).map(Zeroizing::new);
    signed.map_err(|_| "the assertion cannot be signed".to_owned())
}
