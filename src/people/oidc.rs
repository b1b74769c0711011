//! Log-in by OpenID Connect (Core 1.0): the code flow with PKCE. What is kept of a log-in between its two ends lies in the store under a
//! token that only the browser has that began it, and is taken once: neither state nor code is of use to another, or twice.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use openidconnect::{
    AsyncHttpClient, AuthType, AuthenticationContextClass, AuthenticationFlow, AuthorizationCode,
    ClaimsVerificationError, Client, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl, LogoutRequest, Nonce,
    NonceVerifier as _, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl,
    ProviderMetadataWithLogout, RedirectUrl, Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse as _,
    UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreResponseType, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::{sync::Mutex, time::Instant};
use zeroize::Zeroizing;

use super::{People, PeopleError, Token, after, secret::wiped};
use crate::{
    auth::jwt::LEEWAY_S,
    client::{AnswerMax, CallError, FhirClient},
    config::{
        is_same_secret,
        people::{Oidc, Proof},
    },
    store::StoreError,
};

mod assertion;
mod claims;
mod logout;

pub use assertion::can_sign;
pub use logout::NotOut;

use claims::{Claims, positions, text_of};

/// One request to the issuer.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// A larger answer of the issuer is not read.
const ANSWER_MAX_BYTES: usize = 256 * 1024;
/// From the first to the last step of a log-in.
const LOG_IN_WITHIN: Duration = Duration::from_secs(10 * 60);
/// What the issuer says of itself, and its keys, are read anew after so long …
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// … or after this, where a key is not among them.
const KEYS_KNOWN_FOR: Duration = Duration::from_secs(60);
/// No name for people is longer.
const NAME_CHARS_MAX: usize = 200;
/// No subject is longer (Core 1.0, 2).
const SUBJECT_CHARS_MAX: usize = 255;
/// What an assertion of ours is (RFC 7523, 2.2).
const SIGNED: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What an ID token may be signed by: never by a secret that both sides have, and never not at all.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 8] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
];

type Fields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
type Registered = Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// An issuer, and what it said of itself last. Cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    people: People,
    config: Oidc,
    way: Way,
    /// Where Onward is reached.
    base_url: String,
    known: Arc<Mutex<Option<Known>>>,
}

struct Known {
    metadata: Arc<ProviderMetadataWithLogout>,
    at: Instant,
}

/// How the issuer is reached: by our own client, under its bounds and its guard, and no redirect is followed.
#[derive(Clone)]
struct Way(FhirClient);

/// What is kept of a log-in that was begun.
#[derive(Serialize, Deserialize)]
struct Begun {
    #[serde(with = "wiped")]
    state: Zeroizing<String>,
    #[serde(with = "wiped")]
    nonce: Zeroizing<String>,
    #[serde(with = "wiped")]
    verifier: Zeroizing<String>,
    return_to: String,
}

/// Somebody is in.
#[derive(Debug)]
pub struct Came {
    /// Her session.
    pub token: Token,
    /// Where she wanted to go.
    pub return_to: String,
}

/// Why nobody is in.
#[derive(Debug, thiserror::Error)]
pub enum NotIn {
    /// The issuer is away, or says what cannot be read.
    #[error("the issuer cannot be asked: {0}")]
    Away(String),
    /// It is another browser's log-in, took too long, or was ended already.
    #[error("this log-in was not begun here, took too long, or has been ended already")]
    Over,
    /// The issuer says no.
    #[error("the issuer did not let her in: {0}")]
    Denied(String),
    /// What the issuer says cannot be believed.
    #[error("the issuer's token is not taken: {0}")]
    Token(String),
    /// She was recognised less surely than is asked for.
    #[error("she was recognised less surely than [people.oidc] acr-values asks for")]
    TooWeak,
    /// Nobody could be asked.
    #[error(transparent)]
    People(#[from] PeopleError),
}

impl From<StoreError> for NotIn {
    fn from(error: StoreError) -> Self {
        Self::People(error.into())
    }
}

// === impl Way ===

impl<'c> AsyncHttpClient<'c> for Way {
    type Error = CallError;
    type Future = futures_util::future::BoxFuture<'c, Result<HttpResponse, CallError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let mut request = request.map(|body| Full::new(Bytes::from(body)));
            request.extensions_mut().insert(AnswerMax(ANSWER_MAX_BYTES));
            let answer = self.0.exchange(request, REQUEST_WITHIN).await?;
            Ok(answer.map(|body| body.to_vec()))
        })
    }
}

// === impl Issuer ===

impl Issuer {
    /// The issuer of a configuration. It is asked with the first log-in.
    pub fn new(people: People, config: Oidc, client: FhirClient, base_url: String) -> Self {
        Self { people, config, way: Way(client), base_url, known: Arc::default() }
    }

    /// Begins a log-in: what its browser keeps, and where it goes.
    ///
    /// # Errors
    /// [`NotIn`]
    pub async fn begin(&self, return_to: &str) -> Result<(Token, String), NotIn> {
        let client = self.registered(&*self.metadata(KNOWN_FOR).await?)?;
        let (state, nonce) = (mint()?, mint()?);
        let verifier = mint()?;
        // what is handed to the library it holds as it does
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.to_string()));
        let (state_sent, nonce_sent) = (CsrfToken::new(state.to_string()), Nonce::new(nonce.to_string()));
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let mut request =
            client.authorize_url(flow, move || state_sent, move || nonce_sent).set_pkce_challenge(challenge);
        for scope in &self.config.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        for value in &self.config.acr_values {
            request = request.add_auth_context_value(AuthenticationContextClass::new(value.clone()));
        }
        let (url, ..) = request.url();
        let begun = Begun { state, nonce, verifier, return_to: return_to.to_owned() };
        let kept = serde_json::to_string(&begun).map(Zeroizing::new);
        let kept = kept.map_err(|error| NotIn::Away(error.to_string()))?;
        let (token, now) = (Token::mint().map_err(PeopleError::from)?, self.people.store.now());
        self.people.store.begin_login(token.digest(), kept, after(now, LOG_IN_WITHIN)).await?;
        Ok((token, url.into()))
    }

    /// Ends a log-in with what the issuer sent the browser back with.
    ///
    /// # Errors
    /// [`NotIn`]
    pub async fn end(&self, shown: Option<&Token>, sent: &[(String, String)]) -> Result<Came, NotIn> {
        let ended = self.ended(shown, sent).await;
        let outcome = if ended.is_ok() { "in" } else { "refused" };
        metrics::counter!("onward_logins_total", "by" => "oidc", "outcome" => outcome).increment(1);
        ended
    }

    async fn ended(&self, shown: Option<&Token>, sent: &[(String, String)]) -> Result<Came, NotIn> {
        let shown = shown.ok_or(NotIn::Over)?;
        // taken before anything else is looked at: whatever is wrong, it is not tried again
        let kept = self.people.store.take_login(shown.digest()).await?;
        let begun: Begun = kept.and_then(|kept| serde_json::from_str(&kept).ok()).ok_or(NotIn::Over)?;
        let of = |name: &str| sent.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        if !is_same(of("state").unwrap_or_default(), &begun.state) {
            return Err(NotIn::Over);
        }
        // RFC 9207: an answer of another issuer is none of this log-in
        if of("iss").is_some_and(|iss| iss != self.config.issuer) {
            return Err(NotIn::Token("it comes from another issuer".to_owned()));
        }
        if let Some(error) = of("error") {
            return Err(NotIn::Denied(error.chars().filter(char::is_ascii_graphic).take(60).collect()));
        }
        let code = of("code").ok_or_else(|| NotIn::Denied("no code".to_owned()))?;
        let metadata = self.metadata(KNOWN_FOR).await?;
        let client = self.registered(&metadata)?;
        let exchange = client.exchange_code(AuthorizationCode::new(code.to_owned())).map_err(away)?;
        let mut exchange = exchange.set_pkce_verifier(PkceCodeVerifier::new(begun.verifier.to_string()));
        if let Some(signed) = self.signed(&metadata).await? {
            exchange =
                exchange.add_extra_param("client_assertion_type", SIGNED).add_extra_param("client_assertion", signed);
        }
        let tokens = exchange.request_async(&self.way).await.map_err(refused)?;
        let nonce = Nonce::new(begun.nonce.to_string());
        let said = match self.believed(&client, &tokens, &nonce) {
            // the issuer may have changed its keys
            Err(Unbelieved::Keys(_)) => {
                let metadata = self.metadata(KEYS_KNOWN_FOR).await?;
                self.believed(&self.registered(&metadata)?, &tokens, &nonce)
            }
            said => said,
        };
        let mut said = said.map_err(|why| match why {
            Unbelieved::Keys(why) | Unbelieved::Other(why) => NotIn::Token(why),
            Unbelieved::TooWeak => NotIn::TooWeak,
        })?;
        let subject = said.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        if subject.is_empty() || subject.chars().count() > SUBJECT_CHARS_MAX || subject.chars().any(char::is_control) {
            return Err(NotIn::Token("its subject cannot be used".to_owned()));
        }
        self.ask_more(&client, &tokens, &mut said).await?;
        let name = text_of(&said, &self.config.name_claim).unwrap_or_else(|| subject.clone());
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        let positions = positions(&said, &self.config.roles);
        let person = format!("oidc:{subject}");
        tracing::info!(person, roles = positions.len(), "logged in");
        let issued = said.get("sid").and_then(Value::as_str).and_then(logout::issued);
        let since = said.get("iat").and_then(Value::as_i64).unwrap_or(i64::MIN);
        // before it: who is in is known to those who work with her
        self.people.keep_colleague(&person, &name, &positions).await?;
        let token = self.people.begin_session(person.clone(), name, positions, issued).await?;
        // after it: an end that was told before the session was there found none to end
        if self.is_over(&person, issued, since).await? {
            if let Some(session) = self.people.store.session(token.digest()).await? {
                self.people.store.end_sessions(&person, Some(session.id)).await?;
            }
            return Err(NotIn::Over);
        }
        Ok(Came { token, return_to: begun.return_to })
    }

    /// Where a browser goes to be logged out at the issuer as well, where that offers it (RP-Initiated Logout 1.0); none where the
    /// issuer cannot be asked: she is logged out here all the same.
    pub async fn logs_out_at(&self) -> Option<String> {
        let metadata = self.metadata(KNOWN_FOR).await.ok()?;
        let at = metadata.additional_metadata().end_session_endpoint.clone()?;
        let back = PostLogoutRedirectUrl::new(format!("{}/login", self.base_url)).ok()?;
        let request = LogoutRequest::from(at).set_client_id(ClientId::new(self.config.client_id.clone()));
        Some(request.set_post_logout_redirect_uri(back).http_get_url().into())
    }

    /// The claims of an ID token: signed by the issuer by a method that is allowed, for us alone, not over, of this log-in, and by
    /// somebody who was recognised surely enough.
    fn believed(&self, client: &Registered, tokens: &Tokens, nonce: &Nonce) -> Result<Map<String, Value>, Unbelieved> {
        let other = |why: &str| Unbelieved::Other(why.to_owned());
        let token = tokens.id_token().ok_or_else(|| other("there is none"))?;
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
        let verified = token.claims(&verifier, |found: Option<&Nonce>| nonce.verify(found));
        let claims = verified.map_err(|error| match error {
            ClaimsVerificationError::SignatureVerification(error) => Unbelieved::Keys(error.to_string()),
            error => Unbelieved::Other(error.to_string()),
        })?;
        if claims.authorized_party().is_some_and(|party| party.as_str() != self.config.client_id) {
            return Err(other("it was issued to another (azp)"));
        }
        if claims.issue_time().timestamp() > jiff::Timestamp::now().as_second() + LEEWAY_S {
            return Err(other("it is not issued yet (iat): the two clocks differ"));
        }
        let acr = claims.auth_context_ref().map(|acr| acr.as_str());
        let wanted = &self.config.acr_values;
        if !wanted.is_empty() && !acr.is_some_and(|acr| wanted.iter().any(|wanted| wanted == acr)) {
            return Err(Unbelieved::TooWeak);
        }
        match serde_json::to_value(claims) {
            Ok(Value::Object(claims)) => Ok(claims),
            _ => Err(other("its claims cannot be read")),
        }
    }

    /// What the issuer says beside the token, where a rule asks for a claim that the token has not.
    async fn ask_more(&self, client: &Registered, tokens: &Tokens, said: &mut Map<String, Value>) -> Result<(), NotIn> {
        let wanted = self.config.roles.iter().map(|rule| &rule.claim).chain([&self.config.name_claim]);
        let mut missing = wanted.filter(|claim| claims::found(said, claim).is_empty());
        if missing.next().is_none() || client.user_info_url().is_none() {
            return Ok(());
        }
        let subject =
            said.get("sub").and_then(Value::as_str).map(|sub| openidconnect::SubjectIdentifier::new(sub.to_owned()));
        // Core 1.0, 5.3.4: of another subject nothing is taken
        let request = client.user_info(tokens.access_token().clone(), subject).map_err(away)?;
        let more: UserInfoClaims<Claims, CoreGenderClaim> = request.request_async(&self.way).await.map_err(away)?;
        if let Ok(Value::Object(more)) = serde_json::to_value(&more) {
            for (claim, value) in more {
                // what is signed counts before what is not
                said.entry(claim).or_insert(value);
            }
        }
        Ok(())
    }

    /// What Onward signs for the token endpoint, where it has a key there.
    async fn signed(&self, metadata: &ProviderMetadataWithLogout) -> Result<Option<String>, NotIn> {
        let Proof::Key(key) = &self.config.proof else { return Ok(None) };
        let endpoint = metadata.token_endpoint().map(|url| url.as_str().to_owned()).unwrap_or_default();
        let (id, key, now) = (self.config.client_id.clone(), key.clone(), self.people.store.now());
        let sign = move || assertion::assertion(&id, &key, &endpoint, now);
        let signed = tokio::task::spawn_blocking(sign).await.map_err(away)?;
        signed.map(Some).map_err(NotIn::Away)
    }

    fn registered(&self, metadata: &ProviderMetadataWithLogout) -> Result<Registered, NotIn> {
        let id = self.config.client_id.clone();
        let secret = match &self.config.proof {
            Proof::Secret(secret) => Some(ClientSecret::new(secret.reveal().to_owned())),
            Proof::Key(_) => None,
        };
        let redirect = RedirectUrl::new(format!("{}/login/callback", self.base_url)).map_err(away)?;
        let methods = metadata.token_endpoint_auth_methods_supported();
        let only_post = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        // without a secret its id goes into the body, beside what is signed
        let auth = if only_post || secret.is_none() { AuthType::RequestBody } else { AuthType::BasicAuth };
        let client: Registered = Client::from_provider_metadata(metadata.clone(), ClientId::new(id), secret);
        Ok(client.set_redirect_uri(redirect).set_auth_type(auth))
    }

    /// What the issuer says of itself, and its keys, not older than this. Where it cannot be asked, what it said before.
    async fn metadata(&self, known_for: Duration) -> Result<Arc<ProviderMetadataWithLogout>, NotIn> {
        // held while it is asked: one asks, the others wait for the same
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.at.elapsed() < known_for) {
            return Ok(Arc::clone(&known.metadata));
        }
        let issuer = IssuerUrl::new(self.config.issuer.clone()).map_err(away)?;
        match ProviderMetadataWithLogout::discover_async(issuer, &self.way).await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *known = Some(Known { metadata: Arc::clone(&metadata), at: Instant::now() });
                Ok(metadata)
            }
            Err(error) => match known.as_ref() {
                Some(known) => Ok(Arc::clone(&known.metadata)),
                None => Err(away(error)),
            },
        }
    }
}

/// Why a token is not believed.
enum Unbelieved {
    /// No key that is known fits.
    Keys(String),
    /// She was recognised less surely than is asked for.
    TooWeak,
    /// Something else.
    Other(String),
}

/// The issuer cannot be asked, in words that hold no more than its kind: an answer may hold anything.
fn away(error: impl std::error::Error) -> NotIn {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        told = format!("{told}: {source}");
        next = source.source();
    }
    NotIn::Away(told.chars().take(300).collect())
}

/// The token endpoint did not give what was asked for.
fn refused(error: openidconnect::RequestTokenError<CallError, StandardErrorResponse<CoreErrorResponseType>>) -> NotIn {
    match error {
        openidconnect::RequestTokenError::ServerResponse(said) => NotIn::Denied(said.error().to_string()),
        openidconnect::RequestTokenError::Parse(..) => NotIn::Away("its answer cannot be read".to_owned()),
        other => away(other),
    }
}

fn mint() -> Result<Zeroizing<String>, PeopleError> {
    Ok(Zeroizing::new(Token::mint()?.reveal().to_owned()))
}

/// In constant time.
fn is_same(shown: &str, kept: &str) -> bool {
    is_same_secret(shown.as_bytes(), kept.as_bytes())
}

#[cfg(test)]
mod tests;
