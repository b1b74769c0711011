//! What a log, a figure, a dead letter or a refusal says: never who the person is, what was written about them, or a token.

use hyper::Method;
use onward::demo::caller::{Answered, Call, Caller, FHIR_JSON, JSON_PATCH};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    Served,
    hub::{GP, Hub, LIFE_ROOMS, LINK_WORKERS, RIO, environment, token_of},
    onward, run,
};
use crate::support::{fixtures, until};

const MARK: &str = "Zzmarked";
const NUMBER: &str = "9990471134";

/// A server that refuses everything, and says of whom.
async fn chatty() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/fhir", listener.local_addr().unwrap());
    let said = format!("{MARK} {NUMBER} is not welcome");
    let outcome = json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": format!("{MARK}"),
        "diagnostics": said, "expression": [format!("Patient.where(name = '{MARK}')")], "details": {"text": said}}]});
    let body = outcome.to_string();
    let answer = format!(
        "HTTP/1.1 422 {MARK}\r\nContent-Type: application/fhir+json\r\nETag: {MARK}\r\nLocation: {MARK}\r\n\
                          Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut asked = vec![0; 0x20000];
                let mut read = 0;
                // the body has come when the last brace of the Bundle has
                while !asked[..read].ends_with(b"}") {
                    match stream.read(&mut asked[read..]).await {
                        Ok(n) if n > 0 => read += n,
                        _ => break,
                    }
                }
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    base_url
}

struct Marked {
    served: Served,
    caller: Caller,
    bodies: Vec<String>,
}

impl Marked {
    async fn call(&mut self, who: &str, method: Method, path: &str, more: impl Fn(Call) -> Call) -> Answered {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.served.base_url) };
        self.caller.call(more(Call::new(method, url).token(token_of(who)))).await.unwrap()
    }

    /// What must be refused; its body is kept to be looked at.
    async fn refused(&mut self, who: &str, method: Method, path: &str, more: impl Fn(Call) -> Call) {
        let answer = self.call(who, method.clone(), path, more).await;
        assert!(answer.status.is_client_error(), "{method} {path} was not refused: {}", answer.status);
        self.bodies.push(String::from_utf8(answer.body.to_vec()).unwrap());
    }
}

fn marked(mut referral: Value) -> Value {
    referral["reasonCode"] = json!([{"text": format!("{MARK} words about them")}]);
    referral["subject"]["display"] = MARK.into();
    referral["note"] = json!([{"text": format!("{MARK} lives behind the {MARK} bakery")}]);
    if let Some(patient) = referral.pointer_mut("/contained/0") {
        patient["name"] = json!([{"family": MARK, "given": [MARK]}]);
        patient["telecom"] = json!([{"system": "phone", "value": MARK}]);
    }
    referral
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_tells_who_it_is_about() {
    let hub = Hub::build().life_rooms_at(&chatty().await).without_service().start().await;
    let mut command = onward(hub.folder(), &["serve"]);
    command.env("ONWARD__LOG__LEVEL", "trace").env("RUST_LOG", "trace");
    let served = Served::start(command, &hub.folder().join("log")).await;
    let mut m = Marked { served, caller: Caller::new(), bodies: vec![] };
    let post = |body: Value| move |call: Call| call.json(FHIR_JSON, &body);

    // refused by the provider's server, which says of whom: a dead letter
    let sent = m.call(RIO, Method::POST, "/fhir/ServiceRequest", post(marked(fixtures::to_life_rooms("m-1")))).await;
    assert_eq!(sent.status, 201, "{}", sent.describe());
    // answered with words about them
    let referral = marked(fixtures::to_link_workers("m-2"));
    let sent = m.call(GP, Method::POST, "/fhir/ServiceRequest", post(referral.clone())).await;
    assert_eq!(sent.status, 201, "{}", sent.describe());
    let task = sent.links("monitor").remove(0);
    let patch = json!([{"op": "replace", "path": "/status", "value": "rejected"},
                       {"op": "add", "path": "/statusReason", "value": {"text": MARK}},
                       {"op": "add", "path": "/note", "value": [{"text": format!("{MARK} {NUMBER}")}]}]);
    let answer =
        |etag: &'static str, patch: Value| move |call: Call| call.header("if-match", etag).json(JSON_PATCH, &patch);
    let answered = m.call(LINK_WORKERS, Method::PATCH, &task, answer("W/\"1\"", patch.clone())).await;
    assert_eq!(answered.status, 200, "{}", answered.describe());

    // refusals of every kind, with the mark in what is wrong
    m.refused(LINK_WORKERS, Method::PATCH, &task, answer("W/\"1\"", patch.clone())).await;
    m.refused(LINK_WORKERS, Method::PATCH, &task, answer("W/\"9\"", patch)).await;
    let misplaced =
        json!([{"op": "test", "path": "/note/0/text", "value": MARK}, {"op": "remove", "path": "/output/0"}]);
    m.refused(LINK_WORKERS, Method::PATCH, &task, answer("W/\"1\"", misplaced)).await;
    m.refused(LIFE_ROOMS, Method::GET, &task, |call| call).await;
    let mut differs = referral.clone();
    differs["priority"] = "stat".into();
    m.refused(GP, Method::POST, "/fhir/ServiceRequest", post(differs)).await;
    for (pointer, value) in [
        ("/status", json!(MARK)),
        ("/authoredOn", json!(MARK)),
        ("/intent", json!([MARK])),
        ("/subject/identifier/value", json!("9990471135")),
        ("/subject", json!({"reference": format!("#{MARK}")})),
        ("/subject", json!({"reference": format!("urn:uuid:{MARK}")})),
        ("/priority", json!({"text": MARK})),
    ] {
        let mut wrong = marked(fixtures::to_link_workers("m-3"));
        *wrong.pointer_mut(pointer).unwrap() = value;
        m.refused(GP, Method::POST, "/fhir/ServiceRequest", post(wrong)).await;
    }
    for cut in [10, 200, 600] {
        let text = referral.to_string()[..cut].to_owned();
        let cut = move |call: Call| call.bytes(FHIR_JSON, format!("{text}\"{MARK}").into());
        m.refused(GP, Method::POST, "/fhir/ServiceRequest", cut).await;
    }
    let xml =
        format!("<ServiceRequest xmlns=\"http://hl7.org/fhir\"><note><text value=\"{MARK}\"/></nope></ServiceRequest>");
    m.refused(GP, Method::POST, "/fhir/ServiceRequest", |call| call.bytes("application/fhir+xml", xml.clone().into()))
        .await;
    for search in ["_lastUpdated", "status", "_count", "_include", "_after"] {
        m.refused(GP, Method::GET, &format!("/fhir/Task?{search}={MARK}"), |call| call).await;
    }
    m.refused(GP, Method::GET, &format!("/fhir/Task?patient.name={MARK}"), |call| call).await;
    for search in ["Task?patient.identifier", "Patient?identifier", "ServiceRequest?patient:identifier"] {
        let found = m.call(GP, Method::GET, &format!("/fhir/{search}={NUMBER}"), |call| call).await;
        assert_eq!(found.status, 200, "{search}");
    }
    m.refused(GP, Method::GET, &format!("/fhir/Patient/{MARK}"), |call| call).await;
    m.refused(GP, Method::GET, &format!("/{MARK}/{NUMBER}"), |call| call).await;
    let found =
        m.call(GP, Method::GET, &format!("/fhir/ServiceRequest?identifier=urn:nhs%7C{NUMBER}"), |call| call).await;
    assert_eq!(found.status, 200);

    let dead = until("the dead letter", || async {
        let list = run(hub.folder(), &["dead", "list", "--json"]);
        (list.json().as_array().unwrap().len() == 1).then_some(list.out)
    })
    .await;
    let metrics = m.call(GP, Method::GET, "/metrics", |call| call).await;
    let health = m.call(GP, Method::GET, "/health/ready", |call| call).await;
    let text = |answer: Answered| String::from_utf8(answer.body.to_vec()).unwrap();
    let shown = |key: &str| run(hub.folder(), &["referral", "show", key]).out;
    let mut places = vec![
        ("dead list".to_owned(), dead),
        (
            "dead show".to_owned(),
            run(hub.folder(), &["dead", "show", "https://rio.merseycare.example/referral-id|m-1"]).out,
        ),
        ("referral show".to_owned(), shown("https://rio.merseycare.example/referral-id|m-1")),
        ("referral show, answered".to_owned(), shown("https://brownlow-gp.example/referral-id|m-2")),
        ("metrics".to_owned(), text(metrics)),
        ("health".to_owned(), text(health)),
    ];
    places.extend(std::mem::take(&mut m.bodies).into_iter().map(|body| ("a refusal".to_owned(), body)));
    let log = hub.folder().join("log");
    assert_eq!(m.served.end().await, Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("a referral was accepted"), "nothing was logged: {log}");
    places.push(("the log".to_owned(), log));
    let mut secrets: Vec<String> = environment().into_iter().map(|(_, token)| token).collect();
    secrets.extend([MARK, NUMBER, "9990606900", "9990471135"].map(str::to_owned));
    for (place, said) in &places {
        assert!(!said.is_empty(), "{place} is empty");
        for secret in &secrets {
            assert!(
                !said.to_ascii_lowercase().contains(&secret.to_ascii_lowercase()),
                "{place} says {secret}:\n{said}"
            );
        }
    }
}
