//! Log-out by the issuer (OpenID Connect Back-Channel Logout 1.0): it says with a signed token, from server to server, whose sessions are
//! over. From the next request on they are of no use, whatever her browser still shows.

use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::Algorithm::{self, ES256, ES384, PS256, PS384, PS512, RS256, RS384, RS512};
use serde_json::Value;

use super::{Issuer, KEYS_KNOWN_FOR, KNOWN_FOR, NotIn};
use crate::{
    auth::jwt::{Jwt, LEEWAY_S},
    config::KeySet,
    store::{Digest, StoreError, UsedAssertion},
};

/// The event that a logout token tells (2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Those that ID tokens are signed by.
const ALGORITHMS: [Algorithm; 8] = [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384];
/// One that is older is not taken: issuers send it at once, and two minutes are what the standard advises (4).
const AGE_MAX: SignedDuration = SignedDuration::from_mins(2);
/// A log-in that is on its way back while its end is told is over, too: for so long after that it is asked for. None takes as long.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_mins(5);
/// No name of a token, session or person is longer.
const TEXT_MAX_BYTES: usize = 1_024;

/// Why no session was ended.
#[derive(Debug, thiserror::Error)]
pub enum NotOut {
    /// What was sent cannot be believed.
    #[error("the logout token is not taken: {0}")]
    Token(&'static str),
    /// The issuer cannot be asked for its keys.
    #[error(transparent)]
    Away(#[from] NotIn),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a logout token asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// Whose sessions.
    person: Option<String>,
    /// Of which log-in at the issuer.
    issued: Option<Digest>,
    /// When it was made.
    at: Timestamp,
    /// By what it is used once.
    used: UsedAssertion,
}

impl Issuer {
    /// Ends the sessions that a logout token names, and says how many there were. It is taken once, whatever process it reaches.
    ///
    /// # Errors
    /// [`NotOut`]
    pub async fn logged_out(&self, token: &str) -> Result<u64, NotOut> {
        let jwt = Jwt::read(token, &ALGORITHMS).ok_or(NotOut::Token("it is no signed token"))?;
        let store = &self.people.store;
        // nobody is asked for the keys of a token that is none of this issuer's, or old
        let asked = asked(&jwt, &self.config.issuer, &self.config.client_id, store.now()).map_err(NotOut::Token)?;
        if !self.has_signed(&jwt, KNOWN_FOR).await? && !self.has_signed(&jwt, KEYS_KNOWN_FOR).await? {
            return Err(NotOut::Token("the issuer has not signed it"));
        }
        let Asked { person, issued, at, used } = asked;
        if !store.use_assertion(used, None).await? {
            return Err(NotOut::Token("it was used before"));
        }
        // first: a session that begins meanwhile looks for it when it has begun
        let until = store.now().saturating_add(REMEMBERED_FOR).unwrap_or(Timestamp::MAX);
        let said = format!("{} {}", at.as_second(), person.as_deref().unwrap_or_default()).into();
        store.begin_login(over(person.as_deref(), issued), said, until).await?;
        let ended = store.end_issued(person.as_deref(), issued).await?;
        metrics::counter!("onward_logouts_total", "by" => "issuer").increment(ended);
        tracing::info!(person, sessions = ended, "logged out by the issuer");
        Ok(ended)
    }

    /// Whether the issuer has said that a log-in is over which it had answered at `since`, by its own clock: then it came back later than its
    /// end. Where the two are of one second it is over, too.
    pub(super) async fn is_over(&self, person: &str, issued: Option<Digest>, since: i64) -> Result<bool, StoreError> {
        let store = &self.people.store;
        let mut is_over = false;
        for key in [Some(over(Some(person), None)), issued.map(|issued| over(None, Some(issued)))].into_iter().flatten()
        {
            let Some(said) = store.take_login(key).await? else { continue };
            let until = store.now().saturating_add(REMEMBERED_FOR).unwrap_or(Timestamp::MAX);
            // others that come back find it as well
            store.begin_login(key, said.clone(), until).await?;
            let Some((at, whose)) = said.split_once(' ') else { continue };
            is_over |= at.parse::<i64>().is_ok_and(|at| at >= since) && (whose.is_empty() || whose == person);
        }
        Ok(is_over)
    }

    /// Whether it is signed by one of the issuer's keys, as they were no longer ago than this.
    async fn has_signed(&self, jwt: &Jwt<'_>, known_for: std::time::Duration) -> Result<bool, NotIn> {
        let metadata = self.metadata(known_for).await?;
        let keys = serde_json::to_vec(metadata.jwks()).ok().and_then(|keys| KeySet::read(&keys).ok());
        Ok(keys.is_some_and(|keys| keys.find(&jwt.kid, jwt.algorithm).is_some_and(|key| jwt.is_signed_by(key))))
    }
}

/// By which the log-in of this `sid` is kept.
pub(super) fn issued(sid: &str) -> Option<Digest> {
    ((1..=TEXT_MAX_BYTES).contains(&sid.len())).then(|| super::super::secret::digest(sid))
}

/// Under what it is remembered that a log-in, or whatever log-in of a person, is over.
fn over(person: Option<&str>, issued: Option<Digest>) -> Digest {
    let what = match (issued, person) {
        (Some(issued), _) => format!("of {}", issued.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        (None, person) => format!("by {}", person.unwrap_or_default()),
    };
    super::super::secret::digest(&format!("log-in over {what}"))
}

/// What a logout token asks for that says what it must (2.4, 2.6), but for its signature.
fn asked(jwt: &Jwt<'_>, issuer: &str, client: &str, now: Timestamp) -> Result<Asked, &'static str> {
    if !matches!(jwt.kind.as_deref(), None | Some("jwt" | "logout+jwt" | "application/logout+jwt")) {
        return Err("it is a token of another kind");
    }
    if jwt.text("iss") != Some(issuer) {
        return Err("it is another issuer's");
    }
    if !jwt.is_for(&[client]) {
        return Err("it is for another");
    }
    let tells = jwt.claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object);
    if !tells {
        return Err("it tells of something else");
    }
    // or an ID token could be shown as one
    if jwt.claims.contains_key("nonce") {
        return Err("it has a nonce");
    }
    let leeway = SignedDuration::from_secs(LEEWAY_S);
    let moment = |name| jwt.moment(name).map_err(|_| "it says no moment where one belongs");
    let at = moment("iat")?.ok_or("it does not say when it was made")?;
    if at.duration_since(now) > leeway || now.duration_since(at) > AGE_MAX + leeway {
        return Err("it is too old, or not yet made");
    }
    if moment("exp")?.is_some_and(|until| until.duration_since(now) <= -leeway) {
        return Err("it is over");
    }
    let text = |name: &str| jwt.text(name).filter(|text| (1..=TEXT_MAX_BYTES).contains(&text.len()));
    let name = text("jti").ok_or("it has no name of its own (jti)")?;
    let (subject, session) = (text("sub"), text("sid"));
    // one of the two that cannot be read is not left out: it would end more than is asked for
    let unread = ["sub", "sid"].iter().any(|name| jwt.claims.contains_key(*name) && text(name).is_none());
    if unread || (subject.is_none() && session.is_none()) {
        return Err("it does not say whose session is over");
    }
    let mut id = [0; 32];
    let hash = digest::digest(&digest::SHA256, format!("logout {issuer}\n{name}").as_bytes());
    id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    // kept for as long as it could be shown again to whoever's clock is behind
    let until = at.saturating_add(AGE_MAX + leeway + leeway).unwrap_or(Timestamp::MAX);
    Ok(Asked {
        person: subject.map(|subject| format!("oidc:{subject}")),
        issued: session.and_then(issued),
        at,
        used: UsedAssertion { id, until },
    })
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000;
    const ISSUER: &str = "https://issuer.example";

    fn of(change: &Value) -> Result<Asked, &'static str> {
        let mut claims = json!({"iss": ISSUER, "aud": "onward", "iat": NOW, "exp": NOW + 120, "jti": "one", "sub": "anna",
            "sid": "s", "events": {EVENT: {}}});
        let mut header = json!({"alg": "ES256", "kid": "k", "typ": "logout+jwt"});
        for (name, value) in change.as_object().unwrap() {
            let place = if name == "typ" { &mut header } else { &mut claims };
            match value {
                Value::Null => place.as_object_mut().unwrap().remove(name),
                value => place.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}.AA", part(&header), part(&claims));
        asked(&Jwt::read(&text, &ALGORITHMS).unwrap(), ISSUER, "onward", Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn each_claim_is_held_against_what_it_must_be() {
        for wrong in [
            json!({"typ": "at+jwt"}),
            json!({"iss": null}),
            json!({"iss": "https://other.example"}),
            json!({"iss": [ISSUER]}),
            json!({"aud": null}),
            json!({"aud": "other"}),
            json!({"aud": []}),
            json!({"events": null}),
            json!({"events": EVENT}),
            json!({"events": [EVENT]}),
            json!({"events": {EVENT: "yes"}}),
            json!({"events": {"http://schemas.openid.net/event/other": {}}}),
            json!({"nonce": "n"}),
            json!({"nonce": false}),
            json!({"iat": null}),
            json!({"iat": "now"}),
            json!({"iat": NOW + 6}),
            json!({"iat": NOW - 126}),
            json!({"exp": NOW - 5}),
            json!({"exp": "never"}),
            json!({"jti": null}),
            json!({"jti": ""}),
            json!({"jti": 1}),
            json!({"jti": "x".repeat(1025)}),
            json!({"sub": null, "sid": null}),
            json!({"sub": ["anna"]}),
            json!({"sid": ["s"]}),
            json!({"sid": ""}),
            json!({"sid": "x".repeat(1025)}),
        ] {
            assert!(of(&wrong).is_err(), "{wrong}");
        }
        for good in [
            json!({}),
            json!({"typ": null}),
            json!({"typ": "JWT"}),
            json!({"aud": ["other", "onward"]}),
            json!({"exp": null}),
            json!({"iat": NOW - 125}),
            json!({"iat": NOW + 5}),
            json!({"events": {EVENT: {}, "urn:other": {}}}),
        ] {
            assert_eq!(of(&good).unwrap().person.as_deref(), Some("oidc:anna"), "{good}");
        }
        let (both, of_person) = (of(&json!({})).unwrap(), of(&json!({"sid": null})).unwrap());
        assert_eq!((both.issued, of_person.issued), (issued("s"), None));
        assert_eq!(of(&json!({"sub": null})).unwrap().person, None);
        assert_ne!(both.used.id, of(&json!({"jti": "two"})).unwrap().used.id);
    }
}
