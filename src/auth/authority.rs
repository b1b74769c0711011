//! Who is let in, and how long: clients show by a signed assertion who they are and get an access token for some minutes (SMART App Launch 2.2,
//! backend services), which is looked up with each request that shows it. What is taken away, a token or a client, is gone at once.

use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use aws_lc_rs::{digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{
    assertion,
    caller::{Caller, Granted, KnownBy},
    issuer::Described,
    jwks::Jwks,
    jwt::Jwt,
};
use crate::{
    client::FhirClient,
    config::{ASSERTION_ALGORITHMS, KeySet, KeySource, PublicKey, Registry, is_same_secret, registry::Registered},
    definitions::resource_named,
    domain::{Noise, Scopes, scope::NotScopes},
    store::{AccessToken, Store, StoreError, UsedAssertion},
};

/// An access token holds for so long.
pub const TOKEN_S: i64 = 300;
/// So many tokens are looked up at once; more wait.
const LOOKUPS_MAX: usize = 64;
/// A token has so many random bytes, …
const TOKEN_BYTES: usize = 32;
/// … which are so many letters.
const TOKEN_CHARS: usize = 43;

/// Over what a request came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connection<'c> {
    /// The DNS names in the certificate that its client showed.
    pub names: &'c [String],
    /// The SHA-256 of that certificate.
    pub certificate: Option<[u8; 32]>,
    /// Whether nobody outside this machine can have made it.
    pub loopback: bool,
}

/// What came to be known of a client by its assertion.
#[derive(Debug)]
pub struct Shown {
    /// The client's id.
    pub client: String,
    scopes: Scopes,
    used: UsedAssertion,
}

/// A token that was given. The text is shown once and not kept.
pub struct Given {
    /// The token.
    pub token: Zeroizing<String>,
    /// What it is for.
    pub scopes: Scopes,
}

/// Why nothing is done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not known who asks. Why is not told to whoever it is.
    #[error("the client is not known, or its assertion does not hold")]
    Client,
    /// What is asked for is nothing that is granted.
    #[error(transparent)]
    Scope(#[from] NotScopes),
    /// None of what is asked for may be granted to this client.
    #[error("none of these scopes may be granted to this client")]
    NotIts,
    /// It could not be found out.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See the module's documentation.
pub struct Authority {
    store: Arc<dyn Store>,
    registry: Arc<ArcSwap<Registry>>,
    jwks: Jwks,
    described: Described,
    token_url: String,
    /// Whether tokens of the configuration count by themselves wherever they are shown.
    everywhere: bool,
    lookups: Semaphore,
    /// Assertions of nobody, and those of clients that do not hold.
    nobodys: Noise,
    refused: Noise,
}

/// A key whose other half nobody has: what is shown in the name of a client that is not known is checked as well, so that how long that takes
/// does not tell who is known.
static NOBODYS: LazyLock<KeySet> = LazyLock::new(|| {
    // odd, and as long as it must be
    let modulus = [0xa5; 256];
    // the generator of P-384 is a point like any other (SEC 2, 2.5.1)
    let x = "qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3";
    let y = "NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f";
    let set = json!({"keys": [
        {"kty": "RSA", "kid": "nobody", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"},
        {"kty": "EC", "crv": "P-384", "kid": "nobody", "x": x, "y": y},
    ]});
    KeySet::read(set.to_string().as_bytes()).unwrap_or_default()
});

// === impl Authority ===

impl Authority {
    /// An authority for the clients of this registry, whose token endpoint is reached at this URL.
    pub fn new(
        store: Arc<dyn Store>,
        registry: Arc<ArcSwap<Registry>>,
        client: FhirClient,
        token_url: String,
        everywhere: bool,
    ) -> Self {
        let lookups = Semaphore::new(LOOKUPS_MAX);
        let (jwks, described) = (Jwks::new(client.clone()), Described::new(client));
        let (nobodys, refused) = (Noise::default(), Noise::default());
        Self { store, registry, jwks, described, token_url, everywhere, lookups, nobodys, refused }
    }

    /// Who asks that shows this token, or none, over this connection.
    ///
    /// # Errors
    /// [`StoreError`] where it could not be found out.
    pub async fn who(&self, token: Option<&str>, connection: Connection<'_>) -> Result<Caller, StoreError> {
        let registry = self.registry.load_full();
        let count = self.everywhere || connection.loopback;
        let clients = registry.client_of(token, connection.names, count);
        let known_by = match (token, clients.len()) {
            (None, 0) => KnownBy::Nothing,
            (None, 1) => KnownBy::Certificate,
            (None, _) => return Ok(Caller { known_by: KnownBy::SharedCertificate, ..Caller::default() }),
            (Some(_), 1..) => KnownBy::Token,
            (Some(token), 0) => return self.holder(&registry, token, connection).await,
        };
        let scopes = match &clients[..] {
            [client] => registry.client(&client.to_string()).filter(|one| one.keys.bounds_all),
            _ => None,
        };
        let granted = scopes.map_or(Granted::All, |one| Granted::Only(one.keys.scopes.clone()));
        Ok(Caller { clients, granted, known_by })
    }

    /// Whose an access token is.
    async fn holder(&self, registry: &Registry, token: &str, connection: Connection<'_>) -> Result<Caller, StoreError> {
        let (bound_to, registered, scopes) = match (hash_of(token), &registry.issuer) {
            (Some(hash), _) => {
                let found = {
                    // it is never closed
                    let _place = self.lookups.acquire().await;
                    self.store.access_token(hash).await?
                };
                let Some(found) = found else { return Ok(stranger()) };
                (found.certificate, registry.client(&found.client), found.scopes.parse().unwrap_or_default())
            }
            (None, Some(issuer)) => {
                let said = self.described.said(issuer, &self.jwks, token, self.store.now()).await;
                let Some(said) = said else { return Ok(stranger()) };
                (said.certificate, registry.issued_as(&said.client), said.scopes)
            }
            (None, None) => return Ok(stranger()),
        };
        let Some(registered) = registered.filter(|one| is_beside(bound_to, one, connection)) else {
            return Ok(stranger());
        };
        // what is no longer its to have is gone with the configuration that gave it
        let granted = Granted::Only(Scopes::and(&scopes, &registered.keys.scopes));
        Ok(Caller { clients: vec![registered.client], granted, known_by: KnownBy::AccessToken })
    }

    /// Who has signed this assertion, if it holds. It is not used up yet.
    ///
    /// # Errors
    /// [`Refused::Client`]
    pub async fn shown(
        &self,
        text: &str,
        client_id: Option<&str>,
        connection: Connection<'_>,
    ) -> Result<Shown, Refused> {
        let Some(jwt) = Jwt::read(text, &ASSERTION_ALGORITHMS) else {
            return Err(self.nobodys("it is none that is signed by RS384 or ES384 with a named key"));
        };
        let registry = self.registry.load_full();
        // only what could be a client's id is looked for, and only its own key is asked
        let registered = jwt.text("iss").and_then(|id| registry.client(id));
        let keys = match registered.as_ref().and_then(|one| one.keys.source.as_ref()) {
            Some(KeySource::Set(keys)) => Some(Arc::clone(keys)),
            Some(KeySource::Url(url)) => self.jwks.keys(url, &jwt.kid).await,
            None => None,
        };
        let key = keys.as_ref().and_then(|keys| keys.find(&jwt.kid, jwt.algorithm));
        let nobodys = NOBODYS.find("nobody", jwt.algorithm);
        let is_signed = key.or(nobodys).is_some_and(|key: &PublicKey| jwt.is_signed_by(key));
        let (Some(registered), Some(_), true) = (registered, key, is_signed) else {
            return Err(self.nobodys("no client of that id has a key of that name that signed it"));
        };
        let client = registered.client.to_string();
        let used = match assertion::holds(&jwt, &client, &self.token_url, self.store.now()) {
            Ok(used) => used,
            Err(why) => {
                return Err(self.refused(&client, &why));
            }
        };
        if client_id.is_some_and(|named| named != client) || !registered.is_beside(connection.names) {
            return Err(self.refused(&client, &"another client is named, or it came without its certificate"));
        }
        Ok(Shown { client, scopes: registered.keys.scopes.clone(), used })
    }

    /// A token for who has shown an assertion, which is used up.
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn give(&self, shown: Shown, asked: &str, connection: Connection<'_>) -> Result<Given, Refused> {
        // what is granted of a type that nobody knows would be a right to nothing that others believe in
        let scopes = asked.parse::<Scopes>()?.of_known(|kind| resource_named(kind).is_some()).and(&shown.scopes);
        if scopes.is_empty() {
            return Err(Refused::NotIts);
        }
        let mut random = Zeroizing::new([0; TOKEN_BYTES]);
        rand::fill(random.as_mut_slice()).map_err(|_| StoreError::Unavailable("no random bytes".to_owned()))?;
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
        let at = self.store.now();
        let kept = AccessToken {
            hash: sha256(token.as_bytes()),
            client: shown.client.clone(),
            scopes: scopes.to_string(),
            at,
            until: at.saturating_add(SignedDuration::from_secs(TOKEN_S)).unwrap_or(Timestamp::MAX),
            certificate: connection.certificate,
        };
        self.use_up(shown.used, &shown.client, Some(kept)).await?;
        let bound = connection.certificate.is_some();
        tracing::info!(client = shown.client, %scopes, bound, "an access token was given");
        Ok(Given { token, scopes })
    }

    /// Takes a token of whoever has shown an assertion out of use. That there is none is as good (RFC 7009, 2.2).
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn revoke(&self, shown: Shown, token: &str) -> Result<(), Refused> {
        self.use_up(shown.used, &shown.client, None).await?;
        if let Some(hash) = hash_of(token)
            && self.store.revoke_token(hash, &shown.client).await?
        {
            tracing::info!(client = shown.client, "an access token was revoked");
        }
        Ok(())
    }

    /// How it is with a token of whoever has shown an assertion; none where it holds for nothing, or is another's (RFC 7662, 2.2).
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn told(&self, shown: Shown, token: &str) -> Result<Option<AccessToken>, Refused> {
        self.use_up(shown.used, &shown.client, None).await?;
        let Some(hash) = hash_of(token) else { return Ok(None) };
        let found = self.store.access_token(hash).await?.filter(|token| token.client == shown.client);
        let told = found.map(|token| {
            let granted = token.scopes.parse::<Scopes>().unwrap_or_default().and(&shown.scopes);
            AccessToken { scopes: granted.to_string(), ..token }
        });
        Ok(told.filter(|token| !token.scopes.is_empty()))
    }

    /// Whoever can reach the port can have this said: so it is said once in a while, and how often it was.
    fn nobodys(&self, why: &str) -> Refused {
        metrics::counter!("onward_assertions_refused_total", "by" => "nobody").increment(1);
        if let Some(times) = self.nobodys.once_more(self.store.now()) {
            tracing::info!(times, "assertions of nobody are refused; of the last one: {why}");
        }
        Refused::Client
    }

    /// What a client has signed can be shown again by whoever saw it.
    fn refused(&self, client: &str, why: &dyn std::fmt::Display) -> Refused {
        metrics::counter!("onward_assertions_refused_total", "by" => "client").increment(1);
        if let Some(times) = self.refused.once_more(self.store.now()) {
            tracing::warn!(
                client,
                times,
                "assertions of clients are refused; of the last one, which this client signed: {why}"
            );
        }
        Refused::Client
    }

    async fn use_up(&self, used: UsedAssertion, client: &str, gives: Option<AccessToken>) -> Result<(), Refused> {
        if self.store.use_assertion(used, gives).await? {
            return Ok(());
        }
        Err(self.refused(client, &"it was used before"))
    }
}

/// Somebody whose token stands for nobody.
fn stranger() -> Caller {
    Caller { known_by: KnownBy::UnknownToken, ..Caller::default() }
}

/// Whether a token that was given beside a certificate is shown beside it again (RFC 8705, 3), and beside one that is its client's.
fn is_beside(bound_to: Option<[u8; 32]>, registered: &Registered<'_>, connection: Connection<'_>) -> bool {
    let same = |bound: [u8; 32]| connection.certificate.is_some_and(|shown| is_same_secret(&bound, &shown));
    bound_to.is_none_or(same) && registered.is_beside(connection.names)
}

/// The SHA-256 of what could be a token of ours.
fn hash_of(token: &str) -> Option<[u8; 32]> {
    let is_ours =
        token.len() == TOKEN_CHARS && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    is_ours.then(|| sha256(token.as_bytes()))
}

/// The SHA-256 of a certificate as a confirmation names it (RFC 8705, 3.1).
pub fn thumbprint(certificate: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(certificate)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;

    use super::*;

    #[test]
    fn there_is_a_key_to_check_what_nobody_signed_by() {
        for algorithm in ASSERTION_ALGORITHMS {
            assert!(NOBODYS.find("nobody", algorithm).is_some(), "{algorithm:?}");
        }
        assert!(NOBODYS.find("nobody", Algorithm::HS256).is_none());
    }

    #[test]
    fn only_what_could_be_a_token_is_looked_up() {
        assert!(hash_of(&"a".repeat(TOKEN_CHARS)).is_some());
        for other in ["", "a", &"a".repeat(TOKEN_CHARS + 1), &"%".repeat(TOKEN_CHARS), &"é".repeat(21)] {
            assert!(hash_of(other).is_none(), "{other}");
        }
        assert_eq!(URL_SAFE_NO_PAD.encode([0; TOKEN_BYTES]).len(), TOKEN_CHARS);
    }
}
