//! A referral that carries a mark in every text of every type goes every way there is, to success and to every failure, with the mark in
//! URLs, headers and the names of files as well; then everything is searched that Onward says to others than those who may see it: logs
//! of the finest level, figures, health, alerts by hook and by command, answers to others, what it is run with. No secret is in it either.

#[cfg(feature = "pages")]
mod people;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use hyper::Method;
use onward::demo::caller::{Call, Caller, FHIR_JSON, JSON_PATCH};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{scene::Scene, whole::carrying};
use crate::{
    cli::{Served, onward, run},
    support::{
        fixtures,
        hub::{GP, HOUSING, Hub, LINK_WORKERS, RIO, environment, token_of},
        until,
    },
};

/// In every text of the referrals.
const MARK: &str = "Zzmark-of-a-person";
/// The person's number, which a client may put anywhere.
const NUMBER: &str = "9990471134";
/// A token that nobody has.
const BROKEN: &str = "broken-token-Qqmarked";

/// Somebody else's server, which repeats what it was sent in whatever it says, with the status that is set.
struct Chatty {
    base_url: String,
    status: Arc<AtomicU16>,
    took: Arc<Mutex<Vec<u8>>>,
}

impl Chatty {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/fhir", listener.local_addr().unwrap());
        let (status, took) = (Arc::new(AtomicU16::new(500)), Arc::<Mutex<Vec<u8>>>::default());
        let (says, into) = (Arc::clone(&status), Arc::clone(&took));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (says, into) = (Arc::clone(&says), Arc::clone(&into));
                tokio::spawn(async move {
                    let (mut read, mut some) = (Vec::new(), vec![0; 65_536]);
                    while let Ok(n @ 1..) = stream.read(&mut some).await {
                        read.extend_from_slice(&some[..n]);
                        if read.starts_with(b"GET") || read.ends_with(b"}") {
                            break;
                        }
                    }
                    into.lock().unwrap().extend_from_slice(&read);
                    let status = says.load(Ordering::SeqCst);
                    let said = format!("{MARK} {NUMBER} is not welcome");
                    let outcome = json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": MARK,
                        "diagnostics": said, "expression": [format!("Patient.where(name = '{MARK}')")], "details": {"text": said}}]});
                    // with a status of 0 it breaks off
                    let body = outcome.to_string();
                    let head = format!(
                        "HTTP/1.1 {status} {MARK}\r\nContent-Type: application/fhir+json\r\nETag: \"{MARK}\"\r\nLocation: /{MARK}\r\n\
                         WWW-Authenticate: Bearer realm=\"{MARK}\"\r\nRetry-After: {MARK}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    let answer = if status == 0 { format!("HTTP/1.1 {MARK}\r\n") } else { head + &body };
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { base_url, status, took }
    }

    fn says(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn took(&self) -> String {
        String::from_utf8_lossy(&self.took.lock().unwrap()).into_owned()
    }
}

/// A referral of this system with everything that can be carried, all of it marked.
fn referral(system: &str, number: &str, kinds: &[&str]) -> Value {
    let told = if system == RIO { fixtures::to_life_rooms(number) } else { fixtures::to_link_workers(number) };
    carrying(MARK, kinds, &told, |one| {
        if one["resourceType"] == "Patient" {
            one["identifier"] = json!([{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": NUMBER}]);
            one["address"] = json!([{"line": [MARK], "city": MARK, "postalCode": "L4 9ZZ"}]);
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_marked_is_where_it_does_not_belong() {
    let (provider, record, hook) = (Chatty::start().await, Chatty::start().await, Chatty::start().await);
    hook.says(200);
    let command_told = tempfile::NamedTempFile::new().unwrap();
    let alerts = format!(
        "[alerts]\nhook = {{ url = \"{}\" }}\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n[http]\ncors = {{ origins = [\"https://{}.example\"] }}\n",
        hook.base_url.replace("/fhir", "/hook"),
        command_told.path().display(),
        "page"
    );
    let token = "env = \"TOKEN_OF_LIFE_ROOMS\"";
    let hub = Hub::build()
        .life_rooms_at(&provider.base_url)
        .rio(&format!(
            "write-back = {{ kind = \"fhir-rest\", base-url = \"{}\", token = {{ {token} }} }}",
            record.base_url
        ))
        .sections(&alerts)
        .limits("client-rate = 100000\nbody = \"256KiB\"")
        .retry("delayed-after = \"1s\"\ngive-up-after = \"20s\"")
        .without_service()
        .start()
        .await;
    let mut serving = onward(hub.folder(), &["serve"]);
    serving.env("ONWARD__LOG__LEVEL", "trace").env("RUST_LOG", "trace");
    let served = Served::start(serving, &hub.folder().join("log")).await;
    let caller = Caller::new();
    let base = served.base_url.clone();
    let ask = async |who: &str, call: Call| {
        let token = if who == BROKEN { BROKEN.to_owned() } else { token_of(who) };
        let call = call
            .token(token)
            .header("user-agent", format!("{MARK}/{NUMBER}"))
            .header("x-request-id", format!("about-{NUMBER}"))
            .header("x-correlation-id", NUMBER)
            .header("referer", format!("https://epr.example/{MARK}"))
            .header("traceparent", format!("00-{MARK}"))
            .header("cookie", format!("patient={MARK}"));
        caller.call(call).await
    };
    let to = |method: Method, path: &str| {
        Call::new(method, if path.starts_with("http") { path.to_owned() } else { format!("{base}{path}") })
    };
    let document = caller.call(Call::get(format!("{base}/openapi.json"))).await.unwrap().json();
    let kinds = Scene::kinds_of(&document);
    let made_here = ["ServiceRequest", "Task", "Communication", "Provenance", "Subscription"];
    let carried: Vec<&str> = kinds.into_iter().filter(|kind| !made_here.contains(kind)).collect();

    // accepted; the provider fails, then refuses: a dead letter, whose status the record refuses, too
    let sent = ask(RIO, to(Method::POST, "/fhir").json(FHIR_JSON, &referral(RIO, "m-1", &carried))).await.unwrap();
    assert_eq!(sent.status, 200, "{}", sent.describe());
    until("the provider was tried", || async { provider.took().contains(MARK).then_some(()) }).await;
    for status in [0, 503, 401, 422] {
        provider.says(status);
        record.says(status);
        let before = provider.took().len();
        until("it is tried again", || async {
            let dead = run(hub.folder(), &["dead", "list", "--json"]).json();
            (provider.took().len() > before || !dead.as_array().unwrap().is_empty()).then_some(())
        })
        .await;
    }
    let dead = until("the dead letter", || async {
        let list = run(hub.folder(), &["dead", "list", "--json"]);
        (!list.json().as_array().unwrap().is_empty()).then_some(list.out)
    })
    .await;

    // answered in words, and talked about
    let sent = ask(GP, to(Method::POST, "/fhir").json(FHIR_JSON, &referral(GP, "m-2", &carried))).await.unwrap();
    assert_eq!(sent.status, 200, "{}", sent.describe());
    let task = sent.links("monitor").remove(0);
    let about = format!("Task/{}", task.rsplit('/').next().unwrap());
    for who in [GP, LINK_WORKERS] {
        let message = json!({"resourceType": "Communication", "status": "completed", "about": [{"reference": about}],
            "note": [{"text": MARK}], "payload": [{"contentString": format!("{MARK} {NUMBER}")}]});
        let said = ask(who, to(Method::POST, "/fhir/Communication").json(FHIR_JSON, &message)).await.unwrap();
        assert_eq!(said.status, 201, "{}", said.describe());
    }
    let etag =
        caller.call(Call::get(&task).token(token_of(LINK_WORKERS))).await.unwrap().header("etag").unwrap().to_owned();
    let patch = json!([{"op": "replace", "path": "/status", "value": "rejected"}, {"op": "add", "path": "/statusReason", "value": {"text": MARK}},
        {"op": "add", "path": "/note", "value": [{"text": format!("{MARK} {NUMBER}")}]}]);
    let answer =
        ask(LINK_WORKERS, to(Method::PATCH, &task).header("if-match", etag).json(JSON_PATCH, &patch)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.describe());

    // what is refused, by everybody, in every way
    let mut told: Vec<(String, String)> = Vec::new();
    let whole = referral(GP, "m-3", &carried).to_string();
    let plain = {
        let mut plain = fixtures::to_link_workers("m-4");
        plain["note"] = json!([{"text": MARK}]);
        plain["subject"]["display"] = MARK.into();
        plain
    };
    let with = |pointer: &str, value: Value| {
        let mut wrong = plain.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        wrong.to_string()
    };
    let request = "/fhir/ServiceRequest";
    let xml = format!("<ServiceRequest xmlns=\"http://hl7.org/fhir\"><note><text value=\"{MARK}\"/></{MARK}>");
    let entity = format!(
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///{MARK}\">]><ServiceRequest xmlns=\"http://hl7.org/fhir\">&e;</ServiceRequest>"
    );
    let bodies: Vec<(&str, &'static str, String)> = vec![
        ("/fhir", FHIR_JSON, whole[..whole.len() / 2].to_owned()),
        ("/fhir", FHIR_JSON, whole.replace("\"intent\":\"order\"", &format!("\"intent\":\"{MARK}\""))),
        (
            "/fhir",
            FHIR_JSON,
            whole.replace("\"reference\":\"urn:uuid:00000000", &format!("\"reference\":\"urn:uuid:{MARK}")),
        ),
        (request, FHIR_JSON, with("/status", MARK.into())),
        (request, FHIR_JSON, with("/authoredOn", MARK.into())),
        (request, FHIR_JSON, with("/subject/identifier/value", json!("9990471135"))),
        (request, FHIR_JSON, with("/subject", json!({"reference": format!("#{MARK}")}))),
        (request, FHIR_JSON, with("/note", json!([{"text": MARK, MARK: MARK}]))),
        (request, FHIR_JSON, with("/note", json!([{"text": MARK.repeat(20_000)}]))),
        (request, FHIR_JSON, format!("{{\"resourceType\":\"ServiceRequest\",\"{MARK}\":1,\"{MARK}\":2}}")),
        (
            request,
            FHIR_JSON,
            format!("{{\"meta\":{{\"profile\":[\"https://{MARK}.example\"]}},\"resourceType\":\"{MARK}\"}}"),
        ),
        (request, "application/fhir+xml", xml),
        (request, "application/fhir+xml", entity),
        (request, "text/csv", format!("{MARK},{NUMBER}")),
        (
            "/fhir/Task/_search",
            "application/x-www-form-urlencoded",
            format!("status={MARK}&patient.name={MARK}&{MARK}={NUMBER}"),
        ),
        (&task, FHIR_JSON, plain.to_string()),
    ];
    for (path, kind, body) in &bodies {
        for who in [GP, RIO, LINK_WORKERS, BROKEN] {
            for method in [Method::POST, Method::PUT, Method::PATCH] {
                let call = to(method, path).bytes(kind, body.clone().into()).header("if-match", format!("\"{MARK}\""));
                // a body that is too large may be refused before all of it was taken
                let Ok(answer) = ask(who, call.header("if-none-exist", format!("identifier={MARK}|{NUMBER}"))).await
                else {
                    continue;
                };
                assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
                told.push((format!("a refusal at {path}"), String::from_utf8_lossy(&answer.body).into_owned()));
            }
        }
    }
    let mut searches: Vec<String> = [
        "_lastUpdated",
        "status",
        "_count",
        "_include",
        "_after",
        "patient.name",
        "_sort",
        MARK,
        "_has:Task:for:status",
    ]
    .iter()
    .map(|name| format!("Task?{name}={MARK}"))
    .collect();
    searches.extend([
        format!("Patient/{MARK}"),
        format!("Patient/{NUMBER}/_history/{MARK}"),
        format!("{MARK}/{NUMBER}"),
        format!("Task/${MARK}"),
    ]);
    for search in &searches {
        for who in [GP, HOUSING, BROKEN] {
            let answer = ask(who, to(Method::GET, &format!("/fhir/{search}"))).await.unwrap();
            assert!(answer.status.is_client_error(), "{search}: {}", answer.status);
            told.push((format!("a refusal of {search}"), String::from_utf8_lossy(&answer.body).into_owned()));
        }
    }
    for search in ["Task?patient.identifier", "Patient?identifier", "ServiceRequest?patient:identifier"] {
        let found = ask(GP, to(Method::GET, &format!("/fhir/{search}={NUMBER}"))).await.unwrap();
        assert_eq!(found.status, 200, "{search}");
        // no link says again who was looked for; to others the same leads to nothing
        for link in found.json()["link"].as_array().unwrap() {
            told.push((format!("a link of {search}"), link.to_string()));
        }
        let found = ask(HOUSING, to(Method::GET, &format!("/fhir/{search}={NUMBER}"))).await.unwrap();
        told.push((search.to_owned(), String::from_utf8_lossy(&found.body).into_owned()));
        // nor where it is asked in a batch, by whoever asks
        let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
            {"request": {"method": "GET", "url": format!("{search}={NUMBER}&_count=1")}},
            {"request": {"method": "GET", "url": format!("Task?_id={MARK},0198b6a0-7c1e-7bd0-a5d1-000000000000")}},
        ]});
        for who in [GP, HOUSING] {
            let call = to(Method::POST, "/fhir").bytes("application/fhir+json", batch.to_string().into());
            let answer = ask(who, call).await.unwrap().json();
            assert_eq!(answer["entry"][0]["response"]["status"], "200 OK", "{answer}");
            for entry in answer["entry"].as_array().unwrap() {
                let links = entry["resource"]["link"].to_string();
                told.push((format!("a link of a batch with {search}"), links));
            }
        }
    }
    for path in [
        format!("/{MARK}/{NUMBER}"),
        format!("/oauth/{MARK}"),
        format!("/login/{MARK}?state={MARK}&code={MARK}"),
        format!("/open-referral/services/{MARK}"),
    ] {
        let answer = ask(GP, to(Method::GET, &path)).await.unwrap();
        told.push((path, String::from_utf8_lossy(&answer.body).into_owned()));
    }
    let assertion = format!(
        "grant_type=client_credentials&scope=system/{MARK}.r&client_assertion={MARK}&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
        let call = to(Method::POST, path).bytes("application/x-www-form-urlencoded", assertion.clone().into());
        told.push((path.to_owned(), String::from_utf8_lossy(&ask(GP, call).await.unwrap().body).into_owned()));
    }
    // commands that are given what is marked, by its name as well
    let file = hub.folder().join(format!("{MARK}-{NUMBER}.json"));
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let explained = run(hub.folder(), &["routes", "explain", file.to_str().unwrap(), "--system", GP]);
    let named =
        explained.err.replace(file.to_str().unwrap(), "").replace(file.file_name().unwrap().to_str().unwrap(), "");
    told.push(("routes explain".to_owned(), explained.out + &named));

    until("the alert was told both ways", || async {
        let by_command = std::fs::read_to_string(command_told.path()).unwrap();
        (hook.took().contains("dead-letter") && by_command.contains("dead-letter")).then_some(())
    })
    .await;
    told.push(("the alert by the hook".to_owned(), hook.took()));
    told.push(("the alert by the command".to_owned(), std::fs::read_to_string(command_told.path()).unwrap()));
    told.push(("dead list".to_owned(), dead));
    for key in ["https://rio.merseycare.example/referral-id|m-1", "https://brownlow-gp.example/referral-id|m-2"] {
        told.push((format!("referral show {key}"), run(hub.folder(), &["referral", "show", key]).out));
        told.push((format!("dead show {key}"), run(hub.folder(), &["dead", "show", key]).out));
    }
    for path in ["/metrics", "/health/ready", "/health/live", "/fhir/metadata", "/openapi.json"] {
        let answer = caller.call(Call::get(format!("{base}{path}"))).await.unwrap();
        told.push((path.to_owned(), String::from_utf8_lossy(&answer.body).into_owned()));
    }
    let arguments = std::fs::read(format!("/proc/{}/cmdline", served.pid())).unwrap();
    told.push(("what it is run with".to_owned(), String::from_utf8_lossy(&arguments).into_owned()));
    // others see nothing of it
    for who in [HOUSING, "ward-epr", "triage-team"] {
        for path in
            ["/fhir/Task", "/fhir/ServiceRequest/_history", "/fhir/Task?_include=Task:*&_revinclude=Provenance:target"]
        {
            let answer = ask(who, to(Method::GET, path)).await.unwrap();
            told.push((format!("{who} at {path}"), String::from_utf8_lossy(&answer.body).into_owned()));
        }
    }
    let log = hub.folder().join("log");
    assert_eq!(served.end().await, Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    for line in ["a referral was accepted", "a dead letter", "DEBUG"] {
        assert!(log.contains(line), "{line} is not in the log: {}", log.chars().take(3000).collect::<String>());
    }
    told.push(("the log".to_owned(), log));

    let mut secrets: BTreeMap<String, &str> = environment().into_iter().map(|(_, token)| (token, "a token")).collect();
    secrets.extend([MARK, NUMBER, "9990471135", BROKEN, "L4 9ZZ"].map(|mark| (mark.to_owned(), "a mark")));
    let mut found = Vec::new();
    for (place, said) in &told {
        // by what name it asked in vain is told to who asked
        let said = said.to_ascii_lowercase().replace(&format!("\"http.{}\"", MARK.to_ascii_lowercase()), "");
        for (secret, what) in &secrets {
            if let Some(at) = said.find(&secret.to_ascii_lowercase()) {
                let around: String =
                    said.chars().skip(said[..at].chars().count().saturating_sub(160)).take(320).collect();
                found.push(format!("{place} says {what}, {secret}: …{around}…"));
            }
        }
    }
    found.sort();
    found.dedup();
    assert!(
        found.is_empty(),
        "{} places:\n{}",
        found.len(),
        found.iter().take(12).cloned().collect::<Vec<_>>().join("\n")
    );
    assert!(provider.took().contains(MARK), "the provider was told, for it may know");
}
