//! Tokens of every wrong kind: none gets anything, and none is told why.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{
    Signer, ask, hub_of, post, refused, rio,
    signer::{set, unsigned},
    token, token_url, with_keys,
};
use crate::support::hub::{GP, Hub, RIO};

const SCOPE: &str = "system/Task.rs";

/// By a secret that is no secret.
fn hmac(secret: &[u8], algorithm: Algorithm, kid: &str, claims: &Value) -> String {
    let signed = unsigned(&json!({"alg": format!("{algorithm:?}"), "typ": "JWT", "kid": kid}), claims);
    let key = EncodingKey::from_secret(secret);
    format!("{signed}.{}", jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_an_assertion_that_holds_gets_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let (ec, rsa) = (Signer::es384("ec"), Signer::new("rsa", Algorithm::RS384));
    let (evil, evil_rsa) = (Signer::es384("ec"), Signer::new("rsa", Algorithm::RS384));
    let hub = Hub::build().rio(&with_keys(folder.path(), &[&ec, &rsa], &[])).start().await;
    let url = token_url(&hub);
    let claims = |change: Value| {
        let mut claims = ec.claims(&rio(), &url);
        for (name, value) in change.as_object().unwrap() {
            claims[name.as_str()] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    };
    let now = jiff::Timestamp::now().as_second();
    let good = || claims(json!({}));
    let with_jwk = |signer: &Signer| signer.sign(&json!({"jwk": signer.jwk()}), &good());
    let jku = json!({"jku": "http://127.0.0.1:9/jwks", "x5u": "http://127.0.0.1:9/x5u"});
    let other_url = format!("{}/oauth/revoke", hub.base_url);
    let rs512 = {
        let signed = unsigned(&json!({"alg": "RS512", "kid": "rsa"}), &good());
        let key = EncodingKey::from_rsa_pem(rsa.private_pem.as_bytes()).unwrap();
        format!("{signed}.{}", jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::RS512).unwrap())
    };
    let swapped = {
        // a signature that fits other claims
        let (one, two) = (ec.sign(&json!({}), &good()), ec.sign(&json!({}), &good()));
        format!("{}.{}", one.rsplit_once('.').unwrap().0, two.rsplit_once('.').unwrap().1)
    };
    let mut secrets: Vec<(String, String)> = Vec::new();
    for signer in [&ec, &rsa] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let jwk = signer.jwk().to_string();
            for secret in [signer.public_pem.as_bytes(), signer.public_pem.trim_end().as_bytes(), jwk.as_bytes()] {
                let name = format!("{algorithm:?} by the public key of {}", signer.kid);
                secrets.push((name, hmac(secret, algorithm, &signer.kid, &good())));
            }
        }
    }
    let wrong: Vec<(String, String)> = [
        ("nothing", String::new()),
        ("no token", "a.b.c".to_owned()),
        ("two parts", "e30.e30".to_owned()),
        ("alg none", format!("{}.", unsigned(&json!({"alg": "none", "kid": "ec"}), &good()))),
        ("alg NONE", format!("{}.", unsigned(&json!({"alg": "NONE", "kid": "ec"}), &good()))),
        ("no alg", ec.sign(&json!({"alg": null}), &good())),
        ("no signature", format!("{}.", unsigned(&json!({"alg": "ES384", "kid": "ec"}), &good()))),
        (
            "zeros",
            format!("{}.{}", unsigned(&json!({"alg": "ES384", "kid": "ec"}), &good()), URL_SAFE_NO_PAD.encode([0; 96])),
        ),
        ("another's key of the same name", evil.sign(&json!({}), &good())),
        ("another's RSA key of the same name", evil_rsa.sign(&json!({}), &good())),
        ("a key that it brings along", with_jwk(&evil)),
        ("a key that it says where to get", evil.sign(&jku, &good())),
        ("an RSA name with an EC signature", ec.sign(&json!({"kid": "rsa"}), &good())),
        ("an EC name with an RSA signature", rsa.sign(&json!({"kid": "ec"}), &good())),
        ("RS384 said of an EC signature", ec.sign(&json!({"alg": "RS384", "kid": "rsa"}), &good())),
        ("RS512", rs512),
        ("a signature of other claims", swapped),
        ("an unknown key", ec.sign(&json!({"kid": "gone"}), &good())),
        ("no key's name", ec.sign(&json!({"kid": null}), &good())),
        ("a key's name that is a path", ec.sign(&json!({"kid": "../../rio.jwks"}), &good())),
        ("a key's name with SQL", ec.sign(&json!({"kid": "ec' OR '1'='1"}), &good())),
        ("a key's name that is a list", ec.sign(&json!({"kid": ["ec"]}), &good())),
        ("what must be understood", ec.sign(&json!({"crit": ["exp"]}), &good())),
        ("another kind of token", ec.sign(&json!({"typ": "at+jwt"}), &good())),
        ("iss of another", ec.sign(&json!({}), &claims(json!({"iss": format!("system/{GP}")})))),
        (
            "iss and sub of another",
            ec.sign(&json!({}), &claims(json!({"iss": format!("system/{GP}"), "sub": format!("system/{GP}")}))),
        ),
        ("iss of nobody", ec.sign(&json!({}), &claims(json!({"iss": "system/nobody", "sub": "system/nobody"})))),
        (
            "iss of another kind",
            ec.sign(&json!({}), &claims(json!({"iss": format!("provider/{RIO}"), "sub": format!("provider/{RIO}")}))),
        ),
        ("no iss", ec.sign(&json!({}), &claims(json!({"iss": null})))),
        ("no sub", ec.sign(&json!({}), &claims(json!({"sub": null})))),
        ("aud of another server", ec.sign(&json!({}), &claims(json!({"aud": "https://other.example/oauth/token"})))),
        ("aud of another endpoint", ec.sign(&json!({}), &claims(json!({"aud": other_url})))),
        ("no aud", ec.sign(&json!({}), &claims(json!({"aud": null})))),
        ("expired", ec.sign(&json!({}), &claims(json!({"exp": now - 60})))),
        ("no exp", ec.sign(&json!({}), &claims(json!({"exp": null})))),
        ("too long exp", ec.sign(&json!({}), &claims(json!({"exp": now + 3600})))),
        ("exp for ever", ec.sign(&json!({}), &claims(json!({"exp": 1e300})))),
        ("in the future", ec.sign(&json!({}), &claims(json!({"nbf": now + 120})))),
        ("made in the future", ec.sign(&json!({}), &claims(json!({"iat": now + 120})))),
        ("no jti", ec.sign(&json!({}), &claims(json!({"jti": null})))),
    ]
    .into_iter()
    .map(|(what, text)| (what.to_owned(), text))
    .chain(secrets)
    .collect();
    let mut told: Option<Value> = None;
    for (what, assertion) in &wrong {
        let answer = ask(&hub, assertion, SCOPE).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.describe());
        let refusal = refused(&answer, 401, "invalid_client");
        // what is wrong is told to nobody: not whether the client is known, nor whether the key is
        assert_eq!(*told.get_or_insert_with(|| refusal.clone()), refusal, "{what}");
    }
    let rows = hub.rows();
    assert_eq!((rows["access_token"], rows["assertion_used"]), (0, 0), "nothing of it was kept");
    // the control, by both keys; what stands in the header beside that is not looked at
    for assertion in [ec.sign(&jku, &good()), rsa.sign(&json!({"jwk": evil_rsa.jwk()}), &good())] {
        assert_eq!(ask(&hub, &assertion, SCOPE).await.status, 200);
    }
    // an assertion is no access token, and neither is what is signed for something else
    for text in [ec.sign(&json!({}), &good()), ec.sign(&json!({"typ": "at+jwt"}), &good())] {
        assert_eq!(hub.actor(Some(&text)).get("/fhir/Task").await.status, 401);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_is_worth_one_token() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &[]).await;
    let assertion = signer.assertion(&rio(), &token_url(&hub));
    let all = (0..10).map(|_| ask(&hub, &assertion, SCOPE));
    let statuses: Vec<u16> = futures_util::future::join_all(all).await.iter().map(|a| a.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    // and nothing else either
    let form = [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.as_str()),
        ("token", "whatever"),
    ];
    refused(&post(&hub, "/oauth/introspect", &form).await, 401, "invalid_client");
    assert_eq!(hub.rows()["access_token"], 1);
    // one that was refused for its scope is not used up: its client may ask again, and for less
    let another = signer.assertion(&rio(), &token_url(&hub));
    refused(&ask(&hub, &another, "system/Nonsense").await, 400, "invalid_scope");
    assert_eq!(ask(&hub, &another, SCOPE).await.status, 200);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_must_be_asked_rightly() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let hub = hub_of(Hub::build(), folder.path(), &signer, &["system/Task.rs"]).await;
    let assertion = || signer.assertion(&rio(), &token_url(&hub));
    for (scope, error) in [
        ("", "invalid_scope"),
        ("openid", "invalid_scope"),
        ("system/Task.rs?status=requested", "invalid_scope"),
        ("patient/Task.rs", "invalid_scope"),
        ("system/Invented.rs", "invalid_scope"),
        ("system/ServiceRequest.c", "invalid_scope"),
        ("system/Task.u", "invalid_scope"),
    ] {
        refused(&ask(&hub, &assertion(), scope).await, 400, error);
    }
    // no more is given than may be
    let answer = ask(&hub, &assertion(), "system/*.cruds").await.json();
    assert_eq!(answer["scope"], "system/Task.rs");
    let kind = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let (one, scope) = (assertion(), ("scope", SCOPE));
    let grant = ("grant_type", "client_credentials");
    let shown = ("client_assertion", one.as_str());
    for (form, status, error) in [
        (vec![kind, shown, scope], 400, "invalid_request"),
        (vec![("grant_type", "password"), kind, shown, scope], 400, "unsupported_grant_type"),
        (vec![("grant_type", "authorization_code"), kind, shown, scope], 400, "unsupported_grant_type"),
        (vec![grant, grant, kind, shown, scope], 400, "invalid_request"),
        (vec![grant, shown, scope], 401, "invalid_client"),
        (vec![grant, ("client_assertion_type", "urn:x"), shown, scope], 401, "invalid_client"),
        (vec![grant, ("client_id", RIO), ("client_secret", "x"), scope], 401, "invalid_client"),
        (vec![grant, kind, shown, scope, ("client_id", "system/other")], 401, "invalid_client"),
    ] {
        refused(&post(&hub, "/oauth/token", &form).await, status, error);
    }
    let json = hub.actor(None).post("/oauth/token", "application/json", "{}").await;
    refused(&json, 400, "invalid_request");
    let long = "x".repeat(40_000);
    refused(&post(&hub, "/oauth/token", &[grant, ("scope", &long)]).await, 400, "invalid_request");
    assert_eq!(hub.actor(None).get("/oauth/token").await.status, 405);
    // the control: it was not used up by all that
    assert_eq!(post(&hub, "/oauth/token", &[grant, kind, shown, scope, ("client_id", &rio())]).await.status, 200);
    hub.stop().await;
}

/// On one thread, so that a minute can be let pass.
#[tokio::test]
async fn keys_at_a_url_are_fetched_and_changed_there() {
    let (old, new) = (Signer::es384("old"), Signer::es384("new"));
    let served = std::sync::Arc::new(std::sync::Mutex::new(set(&[&old]).to_string()));
    let at = serve(std::sync::Arc::clone(&served)).await;
    let mut hub = Hub::build().rio(&format!("jwks-url = \"http://{at}/jwks\"")).start().await;
    token(&hub, &old, SCOPE).await;
    // a key that is not there is not asked for again at once, by whoever makes names up
    *served.lock().unwrap() = set(&[&old, &new]).to_string();
    let answer = ask(&hub, &new.assertion(&rio(), &token_url(&hub)), SCOPE).await;
    refused(&answer, 401, "invalid_client");
    token(&hub, &old, SCOPE).await;
    // after that the new one is found, beside the old one, …
    a_minute_passes(&mut hub).await;
    token(&hub, &new, SCOPE).await;
    token(&hub, &old, SCOPE).await;
    // … and the old one is worth nothing once it is gone there and the set is read anew: at a name that is not in it, or after five minutes
    let newest = Signer::es384("newest");
    *served.lock().unwrap() = set(&[&new, &newest]).to_string();
    a_minute_passes(&mut hub).await;
    token(&hub, &newest, SCOPE).await;
    refused(&ask(&hub, &old.assertion(&rio(), &token_url(&hub)), SCOPE).await, 401, "invalid_client");
    *served.lock().unwrap() = set(&[&newest]).to_string();
    token(&hub, &new, SCOPE).await;
    for _ in 0..5 {
        a_minute_passes(&mut hub).await;
    }
    refused(&ask(&hub, &new.assertion(&rio(), &token_url(&hub)), SCOPE).await, 401, "invalid_client");
    token(&hub, &newest, SCOPE).await;
    hub.stop().await;
}

/// Connections that do nothing do not last so long.
async fn a_minute_passes(hub: &mut Hub) {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    tokio::time::resume();
    hub.connect_anew();
}

/// Serves this text, whatever is asked, at the address it gives.
async fn serve(text: std::sync::Arc<std::sync::Mutex<String>>) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = text.lock().unwrap().clone();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    at
}
