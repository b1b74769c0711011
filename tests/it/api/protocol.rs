//! HTTP as FHIR's clients speak it: ids of requests, conditional reads, formats, what is not supported, browsers, codings, HTTP/2.

use std::{fs, process::Command, time::Duration};

use hyper::Method;
use onward::demo::caller::{Answered, Call, Caller, FHIR_JSON};
use serde_json::{Value, json};

use super::{fixtures, hub, issues, refused};
use crate::support::{plan, plan::Plan, referrals, server::free_port, until};
use hub::{Actor, GP, Hub, LINK_WORKERS, RIO, Sender};

mod codings;
mod http2;

const SECOND: Duration = Duration::from_secs(1);

async fn with(actor: &Actor, path: &str, headers: &[(&'static str, &str)]) -> Answered {
    ask(actor, Method::GET, path, headers).await
}

async fn ask(actor: &Actor, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Answered {
    let call = actor.call_to(method, path);
    actor.call(headers.iter().fold(call, |call, (name, value)| call.header(name, *value))).await
}

/// A Task that has come to rest: nothing is done with it unless its provider does something.
async fn settled(sender: &Sender, name: &str) -> String {
    let task = sender.refers(&fixtures::to_link_workers(name)).await;
    until("it is handed over", || async {
        (sender.get(&task).await.json()["businessStatus"]["coding"][0]["code"] == "handed-over").then_some(())
    })
    .await;
    task
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ids_of_a_request_are_given_back_on_every_answer() {
    let hub = Hub::build().limits("body = \"1KiB\"").start().await;
    let gp = hub.sender(GP);
    let ids = [("x-request-id", "r-1"), ("x-correlation-id", "urn:uuid:c/2")];
    for (method, path, status) in [
        (Method::GET, "/fhir/metadata", 200),
        (Method::HEAD, "/fhir/metadata", 200),
        (Method::OPTIONS, "/fhir/metadata", 204),
        (Method::GET, "/fhir/Task/1", 404),
        (Method::GET, "/fhir/Nonsense", 404),
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, "/fhir/Task/1", 405),
        (Method::GET, "/fhir/metadata?_format=ttl", 406),
        (Method::POST, "/fhir/ServiceRequest", 415),
        (Method::GET, "/health/live", 200),
        (Method::GET, "/metrics", 200),
    ] {
        let answer = ask(&gp, method, path, &ids).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.describe());
        assert_eq!(ids.map(|(name, _)| answer.header(name)), [Some("r-1"), Some("urn:uuid:c/2")], "{path}");
    }
    let long = gp.refer_with(&json!({"resourceType": "ServiceRequest", "note": "x".repeat(2000)}), &ids).await;
    assert_eq!((long.status.as_u16(), long.header("x-request-id")), (413, Some("r-1")));
    assert_eq!(with(&hub.actor(None), "/fhir/Task", &ids).await.header("x-request-id"), Some("r-1"));

    // one that is no id is not given back but one of ours, which a request that brings none gets as well
    let (too_long, mut own) = ("x".repeat(129), Vec::new());
    for bad in ["a b", "<script>", &*too_long, ""] {
        let answer = with(&gp, "/fhir/metadata", &[("x-request-id", bad), ("x-correlation-id", bad)]).await;
        own.push(answer.header("x-correlation-id").unwrap().to_owned());
        own.push(answer.header("x-request-id").unwrap().to_owned());
    }
    let answer = with(&gp, "/fhir/metadata", &[]).await;
    assert_eq!(answer.header("x-correlation-id"), None, "nothing is correlated that nobody correlates");
    own.push(answer.header("x-request-id").unwrap().to_owned());
    assert!(own.iter().all(|id| id.parse::<uuid::Uuid>().is_ok()), "{own:?}");
    own.sort();
    own.dedup();
    assert_eq!(own.len(), 9, "each its own");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_logged_of_a_request_bears_its_ids() {
    let port = free_port();
    let plan = Plan::new()
        .port(port)
        .system(RIO, "RW4", "http://127.0.0.1:9/fhir", "")
        .provider(LINK_WORKERS, "U99999", "kind = \"worklist\"")
        .all_to(LINK_WORKERS);
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut service = Command::new(env!("CARGO_BIN_EXE_onward"))
        .args(["serve", "--config"])
        .arg(plan.write())
        .envs(plan.env())
        .env("ONWARD__LOG__FORMAT", "json")
        .stderr(log.reopen().unwrap())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (caller, base) = (Caller::new(), format!("http://127.0.0.1:{port}"));
    until("it is ready", || async {
        let ready = caller.call(Call::get(format!("{base}/health/ready"))).await;
        ready.is_ok_and(|answer| answer.status.is_success()).then_some(())
    })
    .await;
    let referral = referrals::one("01", "logged");
    let call = Call::new(Method::POST, format!("{base}/fhir/ServiceRequest")).token(plan::token(RIO));
    let call = call.header("x-request-id", "request-7").header("x-correlation-id", "correlation-8");
    let answer = caller.call(call.bytes(FHIR_JSON, referral.body.clone().into())).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.describe());
    let line = until("the line that says so", || async {
        let log = fs::read_to_string(log.path()).unwrap();
        log.lines().find(|line| line.contains("a referral was accepted")).map(str::to_owned)
    })
    .await;
    service.kill().unwrap();
    service.wait().unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["span"]["request.id"], "request-7", "{line}");
    assert_eq!(line["span"]["correlation.id"], "correlation-8", "{line}");
    assert!(line["referral.id"].as_str().is_some(), "{line}");
}

/// Each line of the journal tells the request that it came of; what Onward does by itself comes of none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_tells_by_what_a_client_knows_its_request() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let named = |call: Call, id: &str| call.header("x-request-id", id).header("x-correlation-id", "journey-1");
    let referral = fixtures::to_link_workers("journalled").to_string();
    let call = named(gp.call_to(Method::POST, "/fhir/ServiceRequest"), "refers").bytes(FHIR_JSON, referral.into());
    let task = gp.call(call).await.links("monitor").remove(0);
    hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    let request = gp.get(&task).await.json()["focus"]["reference"].as_str().unwrap().to_owned();
    let accept = br#"[{"op": "replace", "path": "/status", "value": "accepted"}]"#;
    let call = named(provider.call_to(Method::PATCH, &task), "answers").header("if-match", "W/\"2\"");
    let answered = provider.call(call.bytes("application/json-patch+json", accept.to_vec().into())).await;
    assert_eq!(answered.status, 200, "{}", answered.describe());
    let message = json!({"resourceType": "Communication", "status": "completed", "basedOn": [{"reference": request}],
                                     "payload": [{"contentString": "hello"}]});
    let call = named(gp.call_to(Method::POST, "/fhir/Communication"), "says");
    assert_eq!(gp.call(call.bytes(FHIR_JSON, message.to_string().into())).await.status, 201);
    let note = br#"[{"op": "add", "path": "/note", "value": [{"text": "a"}]}]"#;
    let call = named(gp.call_to(Method::PATCH, &format!("/fhir/{request}")), "changes").header("if-match", "W/\"1\"");
    let changed = gp.call(call.bytes("application/json-patch+json", note.to_vec().into())).await;
    assert_eq!(changed.status, 200, "{}", changed.describe());

    let history = gp.get(&format!("{task}/_history")).await.json();
    let mut told = std::collections::BTreeMap::new();
    for entry in history["entry"].as_array().unwrap() {
        for event in entry["resource"]["extension"].as_array().unwrap() {
            let parts = event["extension"].as_array().unwrap();
            let part = |url: &str| parts.iter().find(|p| p["url"] == url);
            let text = |url: &str| part(url).and_then(|p| p["valueString"].as_str()).unwrap_or_default().to_owned();
            told.insert(
                part("event").unwrap()["valueCode"].as_str().unwrap().to_owned(),
                (text("request"), text("correlation")),
            );
        }
    }
    let of = |event: &str| told.get(event).map(|(request, correlation)| (request.as_str(), correlation.as_str()));
    for (event, request) in
        [("submitted", "refers"), ("answered", "answers"), ("message", "says"), ("amended", "changes")]
    {
        assert_eq!(of(event), Some((request, "journey-1")), "{event}");
    }
    assert_eq!(of("listed"), Some(("", "")));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_get_without_the_body() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let task = settled(&gp, "head").await;
    let request = gp.get(&task).await.json()["focus"]["reference"].as_str().unwrap().to_owned();
    let request = format!("/fhir/{request}");
    let history = format!("{task}/_history");
    let missing = format!("/fhir/Task/{}", uuid::Uuid::nil());
    for path in ["/fhir/metadata", &task, &request, &history, "/fhir/Task", &missing, "/fhir/Nonsense", "/health/live"]
    {
        for accept in ["application/fhir+json", "application/fhir+xml"] {
            for coding in ["identity", "gzip"] {
                let headers = [("accept", accept), ("accept-encoding", coding), ("x-request-id", "same")];
                let get = ask(&gp, Method::GET, path, &headers).await;
                let head = ask(&gp, Method::HEAD, path, &headers).await;
                assert_eq!(head.status, get.status, "{path}");
                assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
                let without_date = |answer: &Answered| {
                    let mut headers = answer.headers.clone();
                    headers.remove("date");
                    headers
                };
                assert_eq!(without_date(&head), without_date(&get), "{path}");
                assert_eq!(get.header("content-length"), Some(&*get.body.len().to_string()), "{path}");
            }
        }
    }
    let head = ask(&gp, Method::HEAD, &task, &[]).await;
    assert!(["etag", "last-modified", "content-type"].iter().all(|name| head.header(name).is_some()));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_has_already_is_not_sent_again() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let task = settled(&gp, "had").await;
    let first = gp.get(&task).await;
    let (etag, changed) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    let at = httpdate::parse_http_date(changed).unwrap();
    let [before, after] = [at - SECOND, at + SECOND].map(httpdate::fmt_http_date);
    for method in [Method::GET, Method::HEAD] {
        for (headers, expected) in [
            (&[("if-none-match", etag)][..], 304),
            (&[("if-none-match", "*")], 304),
            (&[("if-none-match", "W/\"99\""), ("if-none-match", etag)], 304),
            (&[("if-modified-since", &after)], 304),
            // within that second it may have changed after it was read
            (&[("if-modified-since", changed)], 200),
            (&[("if-modified-since", &before)], 200),
            (&[("if-modified-since", &after), ("if-none-match", "W/\"99\"")], 200),
            (&[("if-modified-since", "not a date")], 200),
        ] {
            let answer = ask(&gp, method.clone(), &task, headers).await;
            assert_eq!(answer.status.as_u16(), expected, "{headers:?}");
            assert_eq!((answer.header("etag"), answer.header("last-modified")), (Some(etag), Some(changed)));
            assert_eq!(answer.body.is_empty(), expected == 304 || method == Method::HEAD, "{headers:?}");
            assert_eq!(answer.header("content-type").is_none(), expected == 304);
        }
    }
    // the only version there is can be told by its date
    let request = format!("/fhir/{}", first.json()["focus"]["reference"].as_str().unwrap());
    let changed_at = gp.get(&request).await.header("last-modified").unwrap().to_owned();
    assert_eq!(with(&gp, &request, &[("if-modified-since", &changed_at)]).await.status, 304);
    // what changed is sent, even within the same second
    assert_eq!(provider.set(&task, "accepted").await.status, 200);
    for header in [("if-modified-since", changed), ("if-none-match", etag)] {
        assert_eq!(with(&gp, &task, &[header]).await.status, 200, "{header:?}");
    }
    // without a version nothing can be had
    assert_eq!(with(&gp, "/fhir/Task", &[("if-none-match", "*"), ("if-modified-since", changed)]).await.status, 200);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_are_negotiated_and_json_may_be_laid_out() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let task = settled(&gp, "formats").await;
    let plain = gp.get(&task).await;
    for (accept, query, expected) in [
        ("application/fhir+json", "", "application/fhir+json; charset=utf-8"),
        ("application/json", "", "application/fhir+json; charset=utf-8"),
        ("application/fhir+xml", "", "application/fhir+xml; charset=utf-8"),
        ("application/fhir+xml", "?_format=json", "application/fhir+json; charset=utf-8"),
        ("text/html", "?_format=xml", "application/fhir+xml; charset=utf-8"),
        ("*/*", "?_format=application/fhir%2Bxml", "application/fhir+xml; charset=utf-8"),
        ("*/*", "?_format=application/fhir+xml", "application/fhir+xml; charset=utf-8"),
    ] {
        let answer = with(&gp, &format!("{task}{query}"), &[("accept", accept)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some(expected)), "{accept} {query}");
        assert!(answer.headers.get_all("vary").iter().any(|name| name == "accept"), "a cache must know");
    }
    for (accept, query) in [("text/html", ""), ("application/fhir+turtle", ""), ("*/*", "?_format=html")] {
        let answer = with(&gp, &format!("{task}{query}"), &[("accept", accept)]).await;
        refused(&answer, 406, "not-supported", "http.Accept");
    }
    for kind in ["text/plain", "application/fhir+turtle", "application/fhir+json; fhirVersion=3.0", ""] {
        let answer = gp.call(gp.call_to(Method::POST, "/fhir/ServiceRequest").bytes(kind, "{}".into())).await;
        refused(&answer, 415, "not-supported", "http.Content-Type");
    }
    let pretty = gp.get(&format!("{task}?_pretty=true")).await;
    let text = String::from_utf8(pretty.body.to_vec()).unwrap();
    assert!(text.starts_with("{\n  \"resourceType\": \"Task\",\n"), "{text}");
    assert_eq!(pretty.json(), plain.json());
    assert_eq!(gp.get(&format!("{task}?_pretty=false")).await.body, plain.body);
    let fault = gp.get(&format!("/fhir/Task/{}?_pretty=true", uuid::Uuid::nil())).await;
    assert!(fault.body.starts_with(b"{\n") && fault.status == 404);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_supported_says_so() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    for (path, code) in [
        ("/fhir/Nonsense", "not-found"),
        ("/fhir/Nonsense/1", "not-found"),
        ("/fhir/Nonsense/1/_history/1", "not-found"),
        ("/fhir/task/1", "not-found"),
        ("/fhir/Resource", "not-found"),
        ("/fhir/Account", "not-supported"),
        ("/fhir/Basic?code=x", "not-supported"),
        ("/fhir/Patient/1/Observation", "not-supported"),
        ("/fhir/$unknown", "not-supported"),
        ("/fhir/Task/$unknown", "not-supported"),
        ("/fhir/Task/1/$unknown", "not-supported"),
        ("/fhir/Patient/1/$everything", "not-supported"),
        ("/fhir/Account/%24lookup", "not-supported"),
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = gp.method(method.clone(), path, &Value::Null).await;
            // where there is a route but not for this method, that is said
            if method == Method::POST && answer.status == 405 {
                assert!(!path.contains('$') && answer.header("allow").is_some(), "{path}");
                continue;
            }
            refused(&answer, 404, code, "%resource");
        }
    }
    assert_eq!(gp.post("/fhir/Account/$validate", FHIR_JSON, "{\"resourceType\":\"Account\"}").await.status, 200);
    let answer = gp.post("/fhir/Acount/$validate", FHIR_JSON, "{}").await;
    refused(&answer, 404, "not-found", "%resource");
    for path in ["/fhir", "/fhir/Task", "/fhir/Task/1", "/fhir/Account", "/fhir/Account/1", "/fhir/metadata"] {
        let answer = ask(&gp, Method::DELETE, path, &[]).await;
        refused(&answer, 405, "not-supported", "%resource");
        assert!(answer.header("allow").is_some(), "{path}");
    }
    // what may be done at a place can be asked
    let asked = ask(&gp, Method::OPTIONS, "/fhir/Task/1", &[]).await;
    assert_eq!((asked.status.as_u16(), asked.body.len()), (204, 0));
    let allowed: Vec<&str> = asked.header("allow").unwrap().split(',').collect();
    assert!(["GET", "HEAD", "PUT", "PATCH"].iter().all(|method| allowed.contains(method)), "{allowed:?}");
    assert!(issues(&gp.get("/elsewhere").await, 404)[0]["code"] == "not-found");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_may_ask_from_the_pages_that_are_named() {
    const PAGE: &str = "https://app.example";
    let none = Hub::start().await;
    let preflight = [
        ("origin", PAGE),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,if-match"),
    ];
    let silent = |answer: &Answered| !answer.headers.keys().any(|name| name.as_str().starts_with("access-control"));
    let nobody = none.actor(None);
    assert!(silent(&with(&nobody, "/fhir/metadata", &[("origin", PAGE)]).await));
    assert!(silent(&ask(&nobody, Method::OPTIONS, "/fhir/Task/1", &preflight).await));
    none.stop().await;

    let hub = Hub::build()
        .sections("[http.cors]\norigins = [\"https://app.example\", \"http://localhost:3000\"]\nmax-age = \"1m\"")
        .start()
        .await;
    let (nobody, gp) = (hub.actor(None), hub.sender(GP));
    // it asks without a token, and no place is needed for that
    let asked = ask(&nobody, Method::OPTIONS, "/fhir/Task/1", &preflight).await;
    assert!(asked.status.is_success(), "{}", asked.status);
    assert_eq!(asked.header("access-control-allow-origin"), Some(PAGE));
    assert_eq!(asked.header("access-control-max-age"), Some("60"));
    assert_eq!(asked.header("access-control-allow-credentials"), None);
    let methods = asked.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("PUT") && methods.contains("DELETE") && !methods.contains("TRACE"), "{methods}");
    let allowed = asked.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    for name in ["authorization", "content-type", "if-match", "prefer", "x-request-id", "if-none-exist"] {
        assert!(allowed.contains(name), "{name}: {allowed}");
    }
    for (path, status) in [("/fhir/metadata", 200), ("/fhir/Task/1", 404), ("/fhir/Nonsense", 404)] {
        let answer = with(&gp, path, &[("origin", PAGE)]).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{path}");
        let shown = answer.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
        for name in ["etag", "location", "last-modified", "x-request-id", "x-correlation-id", "link", "retry-after"] {
            assert!(shown.split(',').any(|one| one.trim() == name), "{name}: {shown}");
        }
        let varies: Vec<_> = answer.headers.get_all("vary").iter().map(|v| v.to_str().unwrap()).collect();
        assert!(varies.join(",").contains("origin"), "{varies:?}");
    }
    for other in ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"] {
        let answer = with(&gp, "/fhir/metadata", &[("origin", other)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{other}");
        let headers = [("origin", other), ("access-control-request-method", "PUT")];
        let asked = ask(&nobody, Method::OPTIONS, "/fhir/Task/1", &headers).await;
        assert_eq!(asked.header("access-control-allow-origin"), None, "{other}");
    }
    hub.stop().await;
}
