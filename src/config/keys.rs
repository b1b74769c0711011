//! By which keys clients show who they are: sets of public keys (RFC 7517, JWKS), and what an access token may be granted to their holders.

use std::{path::Path, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use super::url::{base_url, is_open_to_listeners};
use crate::{
    definitions::resource_named,
    domain::Scopes,
    toml_reader::{Node, Table},
};

/// A larger set is not read.
pub const JWKS_MAX_BYTES: usize = 64 * 1024;
/// So many keys of one set are looked at.
pub const KEYS_MAX: usize = 32;
/// So many names of one client at an external issuer.
const NAMES_MAX: usize = 16;
const NAME_CHARS_MAX: usize = 200;
/// A shorter key of RSA could be found out.
const RSA_BYTES_MIN: usize = 256;

/// By what a client gets access tokens, beside the tokens of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Its public keys.
    pub source: Option<KeySource>,
    /// What may be granted to it.
    pub scopes: Scopes,
    /// Whether the configuration says so; then it may no more by a token of the configuration or a certificate.
    pub bounds_all: bool,
    /// Its names at the external issuer.
    pub issued_as: Vec<String>,
}

/// Where a client's public keys are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// Here.
    Set(Arc<KeySet>),
    /// At this URL, where the client changes them.
    Url(String),
}

/// Public keys, each known by its `kid`.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<PublicKey>);

/// A public key that signatures are checked by.
#[derive(Clone)]
pub struct PublicKey {
    kid: String,
    family: Family,
    /// The only algorithm that its owner allows, where the set says so.
    only: Option<String>,
    key: DecodingKey,
}

/// What kind of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
}

/// Why a text is no set of public keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotKeys {
    /// It is too long, or is not what RFC 7517 says.
    #[error("is no JWKS: JSON with a list “keys” of at most {KEYS_MAX} keys, at most {JWKS_MAX_BYTES} bytes")]
    NoSet,
    /// Whoever reads it could sign in its owner's name.
    #[error("holds a private or a shared key: give the public one alone, and take it that the other is known by now")]
    Private,
    /// None of its keys is one that signatures are checked by here.
    #[error(
        "has no key that can be used: RSA of 2048 bits or more, or EC on P-384 (or P-256 for an issuer), each with a kid"
    )]
    NoneUsable,
}

/// A key as RFC 7517 and 7518 write it, as far as it is looked at.
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// Private.
    d: Option<serde_json::Value>,
    /// Shared.
    k: Option<serde_json::Value>,
}

// === impl KeySet ===

impl KeySet {
    /// How many keys of it can be used.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Reads a set. A key that cannot be used here is passed over: others may use it.
    ///
    /// # Errors
    /// [`NotKeys`]
    pub fn read(bytes: &[u8]) -> Result<Self, NotKeys> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        if bytes.len() > JWKS_MAX_BYTES {
            return Err(NotKeys::NoSet);
        }
        let set: Set = serde_json::from_slice(bytes).map_err(|_| NotKeys::NoSet)?;
        if set.keys.len() > KEYS_MAX {
            return Err(NotKeys::NoSet);
        }
        let written = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Written>(key).ok());
        let mut keys = Vec::new();
        for key in written {
            if key.d.is_some() || key.k.is_some() {
                return Err(NotKeys::Private);
            }
            keys.extend(PublicKey::of(key));
        }
        if keys.is_empty() { Err(NotKeys::NoneUsable) } else { Ok(Self(keys)) }
    }

    /// The key with this name that is for this algorithm.
    pub fn find(&self, kid: &str, algorithm: Algorithm) -> Option<&PublicKey> {
        self.0.iter().find(|key| key.kid == kid && key.is_for(algorithm))
    }

    /// Whether there is a key with this name, whatever it is for.
    pub fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    /// Whether one of them is for one of these algorithms.
    pub fn is_for_any(&self, algorithms: &[Algorithm]) -> bool {
        self.0.iter().any(|key| algorithms.iter().any(|algorithm| key.is_for(*algorithm)))
    }
}

// === impl PublicKey ===

impl PublicKey {
    fn of(written: Written) -> Option<Self> {
        if written.used_for.is_some_and(|used_for| used_for != "sig") {
            return None;
        }
        let (family, key) = match (written.kty.as_str(), written.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (written.n?, written.e?);
                // four letters of base64 are three bytes
                if n.len() / 4 * 3 + n.len() % 4 * 3 / 4 < RSA_BYTES_MIN {
                    return None;
                }
                (Family::Rsa, DecodingKey::from_rsa_components(&n, &e).ok()?)
            }
            ("EC", Some("P-256")) => (Family::P256, DecodingKey::from_ec_components(&written.x?, &written.y?).ok()?),
            ("EC", Some("P-384")) => (Family::P384, DecodingKey::from_ec_components(&written.x?, &written.y?).ok()?),
            _ => return None,
        };
        let kid = written.kid.filter(|kid| !kid.is_empty())?;
        Some(Self { kid, family, only: written.alg, key })
    }

    /// Whether it is for this algorithm: by its kind, and by what its owner says.
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, PS256, PS384, PS512, RS256, RS384, RS512};
        let by_kind = match self.family {
            Family::Rsa => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Family::P256 => algorithm == ES256,
            Family::P384 => algorithm == ES384,
        };
        by_kind && self.only.as_ref().is_none_or(|only| *only == format!("{algorithm:?}"))
    }

    /// The key itself.
    pub fn key(&self) -> &DecodingKey {
        &self.key
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({:?}, {:?})", self.kid, self.family)
    }
}

// === impl Keys ===

/// Client assertions are signed by one of these (SMART App Launch 2.2, client-confidential-asymmetric).
pub const ASSERTION_ALGORITHMS: [Algorithm; 2] = [Algorithm::RS384, Algorithm::ES384];

impl Keys {
    /// `jwks`, `jwks-url`, `scopes` and `client-id` of a client; `default` is what may be granted where nothing is said.
    pub(super) fn read(table: &mut Table<'_>, folder: &Path, files: &Files, default: &str) -> Self {
        let set = table.get("jwks").and_then(|node| set(&node, folder, files));
        let url = table.get("jwks-url").and_then(|node| https(&node));
        let source = match (set, url) {
            (Some(_), Some(_)) => {
                table.fault("jwks", "found jwks and jwks-url; allowed: one of the two");
                None
            }
            (Some(set), None) => Some(KeySource::Set(Arc::new(set))),
            (None, url) => url.map(KeySource::Url),
        };
        let scopes = table.get("scopes").and_then(|node| scopes(&node));
        let bounds_all = scopes.is_some();
        let scopes = scopes.unwrap_or_else(|| default.parse().unwrap_or_default());
        let nodes = table.get("client-id").map(|node| node.items("a list of names")).unwrap_or_default();
        if nodes.len() > NAMES_MAX {
            table.fault("client-id", format!("found {} names; allowed: at most {NAMES_MAX}", nodes.len()));
        }
        let issued_as = nodes.iter().take(NAMES_MAX).filter_map(|node| node.line(NAME_CHARS_MAX)).collect();
        Self { source, scopes, bounds_all, issued_as }
    }

    /// Whether there is a way for its client to get a token.
    pub fn are_any(&self) -> bool {
        self.source.is_some() || !self.issued_as.is_empty()
    }
}

/// Files that were read, for those who watch them.
pub(super) type Files = std::cell::RefCell<Vec<std::path::PathBuf>>;

fn set(node: &Node<'_>, folder: &Path, files: &Files) -> Option<KeySet> {
    const ALLOWED: &str = "the path of a JWKS file (RFC 7517) with the client's public keys";
    let path = folder.join(node.text(ALLOWED)?);
    let read = std::fs::metadata(&path).and_then(|about| {
        if about.len() > JWKS_MAX_BYTES as u64 { Ok(vec![b' '; JWKS_MAX_BYTES + 1]) } else { std::fs::read(&path) }
    });
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            node.fault(&format!("a file that cannot be read ({error})"), ALLOWED);
            return None;
        }
    };
    files.borrow_mut().push(path);
    match KeySet::read(&bytes) {
        Ok(set) if set.is_for_any(&ASSERTION_ALGORITHMS) => Some(set),
        Ok(_) => {
            node.fault("a file without a key for RS384 or ES384", ALLOWED);
            None
        }
        Err(why) => {
            node.fault(&format!("a file that {why}"), ALLOWED);
            None
        }
    }
}

/// A URL that nobody on the way may change what it gives.
pub(super) fn https(node: &Node<'_>) -> Option<String> {
    let url = base_url(node)?;
    if is_open_to_listeners(&url) {
        node.fault("http:// to another machine, where whoever stands between could give other keys", "https://");
        return None;
    }
    Some(url)
}

fn scopes(node: &Node<'_>) -> Option<Scopes> {
    const ALLOWED: &str = "a list of scopes, such as [\"system/ServiceRequest.crus\", \"system/Task.rs\"]";
    let words: Vec<&str> = node.items(ALLOWED).iter().filter_map(|item| item.text(ALLOWED)).collect();
    match words.join(" ").parse::<Scopes>() {
        Ok(scopes) => {
            if let Some(unknown) = scopes.types().into_iter().find(|kind| resource_named(kind).is_none()) {
                let known = "a resource type of FHIR R4, such as system/ServiceRequest.crus, or *";
                node.fault(&format!("a scope for {unknown}, which is no resource type"), known);
                return None;
            }
            Some(scopes)
        }
        Err(why) => {
            node.fault("something else", format!("{ALLOWED}: {why}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rsa(more: &Value) -> Value {
        let mut key = json!({"kty": "RSA", "kid": "one", "n": "A".repeat(342), "e": "AQAB"});
        for (name, value) in more.as_object().unwrap() {
            key[name.as_str()] = value.clone();
        }
        key
    }

    fn read(keys: &Value) -> Result<KeySet, NotKeys> {
        KeySet::read(json!({"keys": keys}).to_string().as_bytes())
    }

    #[test]
    fn what_is_no_set_of_public_keys_is_told_apart() {
        let many = vec![rsa(&json!({})); KEYS_MAX + 1];
        for (keys, why) in [
            (json!({"not": "a list"}), NotKeys::NoSet),
            (many.into(), NotKeys::NoSet),
            (json!([]), NotKeys::NoneUsable),
            (json!([rsa(&json!({"d": "AQAB"}))]), NotKeys::Private),
            (json!([{"kty": "oct", "kid": "s", "k": "c2VjcmV0"}]), NotKeys::Private),
            (json!([rsa(&json!({"n": "A".repeat(171)}))]), NotKeys::NoneUsable),
            (json!([rsa(&json!({"use": "enc"}))]), NotKeys::NoneUsable),
            (json!([rsa(&json!({"kid": ""}))]), NotKeys::NoneUsable),
            (json!([{"kty": "EC", "crv": "P-521", "kid": "e", "x": "AA", "y": "AA"}]), NotKeys::NoneUsable),
        ] {
            assert_eq!(read(&keys).map(|_| ()), Err(why), "{keys}");
        }
        let long = format!("{{\"keys\": [] {}}}", " ".repeat(JWKS_MAX_BYTES));
        assert_eq!(KeySet::read(long.as_bytes()).map(|_| ()), Err(NotKeys::NoSet));
        assert_eq!(KeySet::read(b"").map(|_| ()), Err(NotKeys::NoSet));
    }

    #[test]
    fn a_key_is_for_the_algorithms_of_its_kind_alone() {
        let set =
            read(&json!([rsa(&json!({})), rsa(&json!({"kid": "two", "alg": "RS384"})), {"kty": "unknown"}])).unwrap();
        for algorithm in [Algorithm::RS256, Algorithm::RS384, Algorithm::PS512] {
            assert!(set.find("one", algorithm).is_some(), "{algorithm:?}");
            assert_eq!(set.find("two", algorithm).is_some(), algorithm == Algorithm::RS384, "{algorithm:?}");
        }
        for other in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512, Algorithm::ES384, Algorithm::EdDSA] {
            assert!(set.find("one", other).is_none(), "{other:?}");
        }
        assert!(set.find("One", Algorithm::RS384).is_none() && set.find("", Algorithm::RS384).is_none());
        assert!(set.has("two") && !set.has("three"));
    }
}
