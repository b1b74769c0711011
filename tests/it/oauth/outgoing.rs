//! Onward as the client: it signs for tokens of others, uses each for as long as it holds, and gets another when it is refused.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use onward::{
    client::{CallError, FhirClient},
    config::{Access, Grant, Outbound, registry::Endpoint},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::Signer;
use crate::support::{
    fixtures,
    hub::{Hub, RIO},
    until,
};

/// A server that gives tokens for what is rightly signed, and answers who shows one that holds.
struct Server {
    at: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often a token was asked for.
    asked: usize,
    /// The tokens that hold.
    hold: BTreeSet<String>,
    /// Names of assertions that were seen.
    names: BTreeSet<String>,
    /// How often a token that holds was shown.
    shown: usize,
    refuses: bool,
    /// Whether what it gives is worth nothing.
    worthless: bool,
}

impl Server {
    async fn start(signer: &Signer, lifetime: Value) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = Arc::new(Self { at, state: Mutex::default() });
        let key = match signer.algorithm {
            Algorithm::ES384 => DecodingKey::from_ec_pem(signer.public_pem.as_bytes()),
            _ => DecodingKey::from_rsa_pem(signer.public_pem.as_bytes()),
        };
        let (key, algorithm, it) = (Arc::new(key.unwrap()), signer.algorithm, Arc::clone(&server));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (it, key, lifetime) = (Arc::clone(&it), Arc::clone(&key), lifetime.clone());
                tokio::spawn(async move { it.answer(stream, &key, algorithm, &lifetime).await });
            }
        });
        server
    }

    async fn answer(&self, mut stream: TcpStream, key: &DecodingKey, algorithm: Algorithm, lifetime: &Value) {
        let mut asked = Vec::new();
        let text = loop {
            let mut part = [0; 4096];
            let n = stream.read(&mut part).await.unwrap_or(0);
            asked.extend_from_slice(&part[..n]);
            let text = String::from_utf8_lossy(&asked).into_owned();
            let head = text.split_once("\r\n\r\n");
            let length = |head: &str| {
                head.to_ascii_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|l| l.split("\r\n").next()?.parse().ok())
            };
            if n == 0 || head.is_some_and(|(head, body)| body.len() >= length(head).unwrap_or(0)) {
                break text;
            }
        };
        let (status, body) = if text.starts_with("POST /token") {
            self.give(text.split_once("\r\n\r\n").unwrap().1, key, algorithm, lifetime)
        } else {
            let shown = text
                .to_ascii_lowercase()
                .split("authorization: bearer ")
                .nth(1)
                .map(|t| t.split("\r\n").next().unwrap().to_owned());
            let holds = shown.is_some_and(|shown| self.state.lock().unwrap().hold.contains(&shown));
            self.state.lock().unwrap().shown += usize::from(holds);
            let code = if holds { 200 } else { 401 };
            (code, json!({"resourceType": "OperationOutcome"}))
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all((head + &body).as_bytes()).await;
    }

    /// As RFC 7523 has it, by another's reader of tokens.
    fn give(&self, form: &str, key: &DecodingKey, algorithm: Algorithm, lifetime: &Value) -> (u16, Value) {
        let value = |name: &str| {
            let found = form.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
            Some(percent_encoding::percent_decode_str(found).decode_utf8_lossy().into_owned())
        };
        let mut state = self.state.lock().unwrap();
        state.asked += 1;
        if state.refuses {
            return (400, json!({"error": "invalid_scope"}));
        }
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&[self.url()]);
        rules.set_issuer(&["onward-at-them"]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        let read = jsonwebtoken::decode::<Value>(value("client_assertion").unwrap(), key, &rules).unwrap();
        assert_eq!((read.header.kid.as_deref(), read.header.typ.as_deref()), (Some("ours"), Some("JWT")));
        assert_eq!(read.claims["sub"], "onward-at-them");
        assert!(read.claims["exp"].as_i64().unwrap() - read.claims["iat"].as_i64().unwrap() <= 300);
        assert!(state.names.insert(read.claims["jti"].as_str().unwrap().to_owned()), "each has a name of its own");
        assert_eq!(value("grant_type").as_deref(), Some("client_credentials"));
        assert_eq!(value("scope").as_deref(), Some("system/Task.cu system/ServiceRequest.r"));
        let token = format!("token-{}", state.asked);
        if !state.worthless {
            state.hold.insert(token.clone());
        }
        (200, json!({"access_token": token, "token_type": "Bearer", "expires_in": lifetime}))
    }

    fn url(&self) -> String {
        format!("http://{}/token", self.at)
    }

    fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }
}

fn endpoint(server: &Server, signer: &Signer, folder: &std::path::Path) -> Endpoint {
    let key = folder.join("key.pem");
    std::fs::write(&key, &signer.private_pem).unwrap();
    let grant = Grant {
        token_url: server.url(),
        client_id: "onward-at-them".to_owned(),
        key,
        key_id: "ours".to_owned(),
        algorithm: signer.algorithm,
        scopes: Some("system/Task.cu system/ServiceRequest.r".to_owned()),
        audience: server.url(),
    };
    let access = Access { grant: Some(Arc::new(grant)), ..Access::default() };
    Endpoint { base_url: format!("http://{}/fhir", server.at), access, timeout: Duration::from_secs(10) }
}

fn client() -> FhirClient {
    FhirClient::new(&Outbound::anywhere()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_signs_by_each_algorithm_that_others_ask_for() {
    for algorithm in [Algorithm::RS384, Algorithm::ES384, Algorithm::RS512] {
        let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("ours", algorithm));
        let server = Server::start(&signer, json!("599")).await;
        let to = endpoint(&server, &signer, folder.path());
        let answer = client().get(&to, "metadata", &[]).await.unwrap();
        assert_eq!(answer.status, 200, "{algorithm:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_got_once_and_anew_when_it_is_refused() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::es384("ours"));
    let server = Server::start(&signer, json!(300)).await;
    let (to, client) = (endpoint(&server, &signer, folder.path()), client());
    let all = (0..20).map(|_| client.get(&to, "Task/1", &[]));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(server.asked(), 1, "one fetch for all");
    // it is taken back before it ends: one try more, with another
    server.state.lock().unwrap().hold.clear();
    assert_eq!(client.get(&to, "Task/1", &[]).await.unwrap().status, 200);
    assert_eq!(server.asked(), 2);
    // one that is refused though it is new is a refusal
    {
        let mut state = server.state.lock().unwrap();
        state.hold.clear();
        state.worthless = true;
    }
    let answer = client.get(&to, "Task/1", &[]).await.unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(server.asked(), 3, "and is not asked for again and again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_ends_soon_is_not_used_for_long() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::es384("ours"));
    // half of it is as long as it is used
    let server = Server::start(&signer, json!(0)).await;
    let (to, client) = (endpoint(&server, &signer, folder.path()), client());
    for _ in 0..3 {
        assert_eq!(client.get(&to, "Task/1", &[]).await.unwrap().status, 200);
    }
    assert_eq!(server.asked(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_nothing_is_sent_and_it_is_told_why() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::es384("ours"));
    let server = Server::start(&signer, json!(300)).await;
    server.state.lock().unwrap().refuses = true;
    let (to, it) = (endpoint(&server, &signer, folder.path()), client());
    for _ in 0..5 {
        let error = it.get(&to, "Task/1", &[]).await.unwrap_err();
        assert_eq!(error, CallError::NoToken("400, invalid_scope".to_owned()));
        assert!(matches!(error.failure(), onward::client::Failure::Transient { .. }), "it may be mended there");
    }
    assert!(server.asked() < 5, "who refuses is not asked all the time");
    // where it may not be connected to, no token is asked for either
    let guarded = FhirClient::new(&Outbound::default()).unwrap();
    assert_eq!(guarded.get(&to, "Task/1", &[]).await.unwrap_err(), CallError::NotAllowed);
    // a key that is gone
    std::fs::remove_file(folder.path().join("key.pem")).unwrap();
    let error = client().get(&to, "Task/1", &[]).await.unwrap_err();
    assert!(matches!(&error, CallError::NoToken(why) if why.contains("key.pem")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_wants_signed_tokens_is_written_with_one() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("ours", Algorithm::RS512));
    let server = Server::start(&signer, json!(300)).await;
    let key = folder.path().join("key.pem");
    std::fs::write(&key, &signer.private_pem).unwrap();
    let auth = format!(
        "{{ kind = \"backend-services\", token-url = \"{}\", client-id = \"onward-at-them\", key = {:?}, key-id = \"ours\", \
         algorithm = \"RS512\", scopes = [\"system/Task.cu\", \"system/ServiceRequest.r\"] }}",
        server.url(),
        key.to_str().unwrap()
    );
    let lines =
        format!("write-back = {{ kind = \"fhir-rest\", base-url = \"http://{}/fhir\", auth = {auth} }}", server.at);
    let hub = Hub::build().rio(&lines).start().await;
    hub.sender(RIO).refers(&fixtures::to_life_rooms("signed")).await;
    until("the record is spoken to with a token", || async { (server.state.lock().unwrap().shown > 0).then_some(()) })
        .await;
    assert_eq!(server.asked(), 1);
    hub.stop().await;
}
