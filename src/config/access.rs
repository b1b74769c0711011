//! How Onward shows an endpoint who it is: a token that was agreed on, tokens that it gets by signing for them, a certificate of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey};

use super::{Secret, keys::https, secret::Secrets};
use crate::toml_reader::{Node, Table};

/// So many scopes are asked for.
const SCOPES_MAX: usize = 64;
const WORD_CHARS_MAX: usize = 500;
/// A file with a key is not larger.
const KEY_MAX_BYTES: u64 = 64 * 1024;
const AUTH: &str = "a table with kind = \"backend-services\", token-url, client-id, key, key-id, algorithm, scopes and perhaps audience";

/// How Onward shows an endpoint who it is.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The bearer token it wants.
    pub token: Option<Secret>,
    /// How to get one.
    pub grant: Option<Arc<Grant>>,
    /// What is shown when TLS is agreed on.
    pub identity: Option<Arc<Identity>>,
}

/// How to get an access token for a signed assertion (SMART App Launch 2.2, backend services; NHS API Management, application-restricted).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Where they are given.
    pub token_url: String,
    /// Who Onward is there.
    pub client_id: String,
    /// The file with the key, in PEM. It is read each time something is signed.
    pub key: PathBuf,
    /// The key's name there.
    pub key_id: String,
    /// By which algorithm is signed.
    pub algorithm: Algorithm,
    /// What is asked for, with spaces between; none: what the other side gives by itself.
    pub scopes: Option<String>,
    /// For whom the assertion is.
    pub audience: String,
}

/// A certificate of Onward's own, and whom it trusts. The files are read when they are needed first and whenever they change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The certificate and those that lead to its authority, and its key, in PEM.
    pub shown: Option<(PathBuf, PathBuf)>,
    /// The authorities of the other side, in PEM; none: those of the machine.
    pub roots: Option<PathBuf>,
}

// === impl Access ===

impl Access {
    /// A token that was agreed on.
    pub fn by_token(token: Option<Secret>) -> Self {
        Self { token, ..Self::default() }
    }

    /// `token`, `auth` and `tls` of an endpoint.
    pub(super) fn read(table: &mut Table<'_>, secrets: &Secrets<'_>) -> Self {
        let token = table.get("token").and_then(|node| secrets.token(&node));
        let auth = table.get("auth");
        if let (Some(_), Some(auth)) = (&token, &auth) {
            auth.fault("token and auth", "one of the two");
        }
        let grant = auth.and_then(|node| Grant::read(&node, secrets.folder())).map(Arc::new);
        let identity = table.get("tls").and_then(|node| Identity::read(&node, secrets.folder())).map(Arc::new);
        Self { token, grant, identity }
    }
}

// === impl Grant ===

impl Grant {
    fn read(node: &Node<'_>, folder: &Path) -> Option<Self> {
        let mut table = node.table(AUTH)?;
        let kind = table.need("kind", "\"backend-services\"").and_then(|node| node.choice(&[("backend-services", ())]));
        let token_url = table.need("token-url", "\"https://HOST/PATH\"").and_then(|node| https(&node));
        let client_id = table.need("client-id", "who Onward is there").and_then(|node| node.line(WORD_CHARS_MAX));
        let key = table.need("key", KEY);
        let key_id = table.need("key-id", "the name of the key there (kid)").and_then(|node| node.line(WORD_CHARS_MAX));
        let algorithms = [("RS384", Algorithm::RS384), ("ES384", Algorithm::ES384), ("RS512", Algorithm::RS512)];
        let algorithm = table.need("algorithm", "\"RS384\", \"ES384\" or \"RS512\"");
        let algorithm = algorithm.and_then(|node| node.choice(&algorithms));
        let scopes = table.get("scopes").map(|node| {
            let all: Vec<String> =
                node.items("a list of scopes").iter().filter_map(|one| one.line(WORD_CHARS_MAX)).collect();
            if all.len() > SCOPES_MAX {
                node.fault(&format!("{} scopes", all.len()), format!("at most {SCOPES_MAX}"));
            }
            all.join(" ")
        });
        let audience = table.get("audience").and_then(|node| node.line(WORD_CHARS_MAX));
        table.finish();
        let key = key.and_then(|node| key_file(&node, folder, algorithm?));
        kind?;
        let token_url = token_url?;
        Some(Self {
            audience: audience.unwrap_or_else(|| token_url.clone()),
            token_url,
            client_id: client_id?,
            key: key?,
            key_id: key_id?,
            algorithm: algorithm?,
            scopes: scopes.filter(|scopes| !scopes.is_empty()),
        })
    }

    /// The key, as it lies in its file now.
    ///
    /// # Errors
    /// What is wrong with the file, without anything that stands in it.
    pub fn signing_key(&self) -> Result<EncodingKey, String> {
        signing_key(&self.key, self.algorithm)
    }
}

const KEY: &str = "the path of a PEM file with the private key for this algorithm (PKCS #8): RSA of 2048 bits or more, or EC on P-384";

fn key_file(node: &Node<'_>, folder: &Path, algorithm: Algorithm) -> Option<PathBuf> {
    let path = folder.join(node.text(KEY)?);
    match signing_key(&path, algorithm) {
        Ok(_) => Some(path),
        Err(why) => {
            node.fault(&format!("a file that {why}"), KEY);
            None
        }
    }
}

fn signing_key(path: &Path, algorithm: Algorithm) -> Result<EncodingKey, String> {
    let about = std::fs::metadata(path).map_err(|error| format!("cannot be read ({error})"))?;
    if about.len() > KEY_MAX_BYTES {
        return Err(format!("has more than {KEY_MAX_BYTES} bytes"));
    }
    let read = std::fs::read(path).map_err(|error| format!("cannot be read ({error})"))?;
    let pem = zeroize::Zeroizing::new(read);
    let key = match algorithm {
        Algorithm::ES384 => EncodingKey::from_ec_pem(&pem),
        _ => EncodingKey::from_rsa_pem(&pem),
    };
    // whether it is one of the right kind and length is seen when something is signed
    let key = key.map_err(|_| "is no PEM with such a key".to_owned())?;
    let tried = jsonwebtoken::crypto::sign(b"tried", &key, algorithm);
    tried.map(|_| key).map_err(|_| "has a key of another kind or length".to_owned())
}

// === impl Identity ===

impl Identity {
    fn read(node: &Node<'_>, folder: &Path) -> Option<Self> {
        let mut table = node.table("a table with certificate and key, or roots, or all three")?;
        let mut file = |key: &'static str| {
            let node = table.get(key)?;
            super::tls::existing(&node, folder, "the path of a PEM file")
        };
        let (certificate, key, roots) = (file("certificate"), file("key"), file("roots"));
        if certificate.is_some() != key.is_some() {
            node.fault("one of certificate and key", "both or neither");
        }
        if certificate.is_none() && roots.is_none() {
            node.fault("neither a certificate nor roots", "certificate and key, or roots, or all three");
        }
        table.finish();
        Some(Self { shown: certificate.zip(key), roots })
    }
}
