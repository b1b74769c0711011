//! Access tokens of a server that the trust has already.

use std::sync::{Arc, Mutex};

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{Signer, signer::set};
use crate::support::hub::Hub;

const AUDIENCE: &str = "https://onward.example/fhir";

/// Its description and its keys, and how often they were asked for.
async fn issuer(keys: Value) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/realm", listener.local_addr().unwrap());
    let (asked, own) = (Arc::new(Mutex::new(Vec::new())), url.clone());
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = [0; 4096];
            let n = stream.read(&mut text).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&text[..n]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = match path.as_str() {
                "/realm/.well-known/openid-configuration" => json!({"issuer": own, "jwks_uri": format!("{own}/keys")}),
                "/realm/keys" => keys.clone(),
                _ => Value::Null,
            };
            noted.lock().unwrap().push(path);
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 200 X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_tokens_stand_for_the_client_that_is_registered_under_its_name() {
    let (rsa, ec) = (Signer::new("r", Algorithm::RS256), Signer::new("e", Algorithm::ES256));
    let evil = Signer::new("r", Algorithm::RS256);
    // a set of a server that says of its keys what they are for
    let (url, asked) = issuer(set(&[&rsa, &ec])).await;
    let sections = format!("[issuer]\nurl = \"{url}\"\naudience = \"{AUDIENCE}\"\n");
    let hub =
        Hub::build().rio("client-id = [\"rio-prod\"]\nscopes = [\"system/*.rs\"]").sections(&sections).start().await;
    let now = jiff::Timestamp::now().as_second();
    let claims = |change: Value| {
        let mut claims = json!({"iss": url, "aud": AUDIENCE, "azp": "rio-prod", "sub": "x", "iat": now, "exp": now + 300,
            "scope": "openid system/Task.cruds"});
        for (name, value) in change.as_object().unwrap() {
            claims[name.as_str()] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    };
    let good = || claims(json!({}));
    let status = async |token: &str, path: &str| hub.actor(Some(token)).get(path).await.status.as_u16();
    for (what, token) in [
        ("another issuer", rsa.sign(&json!({}), &claims(json!({"iss": "http://127.0.0.1:9/realm"})))),
        ("alg none", {
            let header = json!({"alg": "none", "kid": "r"});
            format!("{}.", super::signer::unsigned(&header, &good()))
        }),
    ] {
        assert_eq!(status(&token, "/fhir/Task").await, 401, "{what}");
    }
    assert!(asked.lock().unwrap().is_empty(), "nothing is fetched for what is not its");
    for signer in [&rsa, &ec] {
        let token = signer.sign(&json!({"typ": "at+jwt"}), &good());
        assert_eq!(status(&token, "/fhir/Task").await, 200, "{}", signer.kid);
        // no more than the client may, and no more than it was granted there
        assert_eq!(status(&token, "/fhir/Patient?_id=1").await, 403);
        let (actor, task) = (hub.actor(Some(&token)), json!({"resourceType": "Task"}));
        assert_eq!(actor.method(hyper::Method::PUT, "/fhir/Task/1", &task).await.status, 403);
    }
    for (what, token) in [
        ("another's key of the same name", evil.sign(&json!({}), &good())),
        ("an unknown key", rsa.sign(&json!({"kid": "x"}), &good())),
        ("another algorithm than the key's", rsa.sign(&json!({"kid": "e"}), &good())),
        ("for somebody else", rsa.sign(&json!({}), &claims(json!({"aud": "https://other.example"})))),
        ("expired", rsa.sign(&json!({}), &claims(json!({"exp": now - 60})))),
        ("without an end", rsa.sign(&json!({}), &claims(json!({"exp": null})))),
        ("not yet", rsa.sign(&json!({}), &claims(json!({"nbf": now + 60})))),
        ("a client that is not registered", rsa.sign(&json!({}), &claims(json!({"azp": "other"})))),
        ("of a client's own id here", rsa.sign(&json!({}), &claims(json!({"azp": "system/merseycare-rio"})))),
        ("without scopes", rsa.sign(&json!({}), &claims(json!({"scope": "openid"})))),
        ("who somebody is", rsa.sign(&json!({}), &claims(json!({"nonce": "n"})))),
        ("bound to a certificate", rsa.sign(&json!({}), &claims(json!({"cnf": {"x5t#S256": "A".repeat(43)}})))),
    ] {
        assert_eq!(status(&token, "/fhir/Task").await, 401, "{what}");
    }
    assert_eq!(asked.lock().unwrap().len(), 2, "its description once, its keys once");
    hub.stop().await;
}
