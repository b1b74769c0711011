//! The conversation after sending, the whole way over RabbitMQ: a pushed, a polled and a worklist provider at once are told of new
//! versions, cancellations, retractions and messages, and answer, while the broker's connections are cut again and again. The
//! polled one and a record are `sekmet`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hyper::{Method, StatusCode};
use onward::{
    demo::double::{Double, Fault, Rule, When},
    service::Service,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    onward::{Onward, our_id, told, with},
    plan::{FIXTURE_ROUTES, Plan},
    rabbitmq, referrals,
    referrals::Referral,
    server::{Sekmet, Server},
    until,
};

const MORE: &str = "https://onward.example/fhir/CodeSystem/business-status";

/// How a provider works.
#[derive(Clone)]
enum Works {
    /// At Onward.
    Here,
    /// On its own server.
    There(Arc<Sekmet>),
}

/// One pair of sides.
#[derive(Clone)]
struct Pair {
    onward: Onward,
    service: Arc<Service>,
    system: &'static str,
    provider: &'static str,
    works: Works,
    record: Server,
    /// What the provider has, where it has a server.
    at_provider: Option<Server>,
}

impl Pair {
    async fn refer(&self, referral: &Referral) -> String {
        let id = self.onward.refer(referral).await;
        if let Some(server) = &self.at_provider {
            until("it is delivered", || async { copy(server, &id).await }).await;
        }
        // the delivery is noted
        until("it is told", || async { self.in_record(&id).await }).await;
        id
    }

    async fn in_record(&self, id: &str) -> Option<Value> {
        copy(&self.record, id).await
    }

    async fn events(&self, id: &str, name: &str) -> usize {
        let journal = self.service.store().journal(id.parse().unwrap()).await.unwrap();
        journal.iter().filter(|line| line.event.name() == name).count()
    }

    async fn passed_on(&self, id: &str, times: usize) {
        until("it is passed on", || async { (self.events(id, "passed-on").await == times).then_some(()) }).await;
    }

    async fn answer(&self, id: &str, status: &str) {
        match &self.works {
            Works::Here => loop {
                let answer = self.onward.answer(self.provider, id, status, &json!({})).await.unwrap();
                if answer.status.is_success() {
                    break;
                }
                assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{}", answer.describe());
            },
            Works::There(server) => {
                until("its copy is changed", || async {
                    let mut task = copy(&Server::Sekmet(Arc::clone(server)), id).await?;
                    let version = task["meta"]["versionId"].clone();
                    task = with(&task, status, &json!({}));
                    task["meta"] = json!({ "versionId": version });
                    server.put(&task).await.then_some(())
                })
                .await;
            }
        }
    }

    async fn writes(&self, id: &str, words: &str, asks: bool) {
        let reason = json!([{"coding": [{"system": MORE, "code": "information-requested"}]}]);
        let more = if asks { json!({ "reasonCode": reason }) } else { json!({}) };
        match &self.works {
            Works::Here => self.onward.must_say(self.provider, id, words, more).await,
            Works::There(server) => {
                let task = copy(&Server::Sekmet(Arc::clone(server)), id).await.unwrap();
                let mut message = json!({"resourceType": "Communication", "id": format!("own-{}", uuid::Uuid::now_v7().simple()),
                    "status": "completed", "basedOn": [task["focus"]], "payload": [{"contentString": words}]});
                if asks {
                    message["reasonCode"] = reason;
                }
                assert!(server.put(&message).await, "{message}");
            }
        }
    }

    async fn record_says(&self, id: &str, status: &str, code: Option<&str>) -> Value {
        until(&format!("the record says {status} {code:?}"), || async {
            self.in_record(id).await.filter(|task| {
                let asked: Vec<_> = codes(task).into_iter().filter(|c| c != "handed-over").collect();
                task["status"] == status && asked == code.into_iter().map(str::to_owned).collect::<Vec<_>>()
            })
        })
        .await
    }

    /// The statuses that the record showed, in its order.
    async fn statuses(&self, id: &str) -> Vec<String> {
        let task = self.in_record(id).await.unwrap();
        let history = told(&self.record.history("Task", task["id"].as_str().unwrap()).await);
        assert!(history.is_sorted_by(|a, b| a.0 < b.0), "{history:?}");
        let mut statuses: Vec<String> = history.into_iter().map(|(_, status)| status).collect();
        statuses.dedup();
        statuses
    }

    /// What the messages about a Task say that lie in the record, or at the provider.
    async fn words(&self, server: &Server, id: &str) -> Vec<String> {
        let Some(task) = copy(server, id).await else { return vec![] };
        let names = ["Task/", "ServiceRequest/"].map(|kind| match kind {
            "Task/" => format!("Task/{}", task["id"].as_str().unwrap()),
            _ => task["focus"]["reference"].as_str().unwrap_or("none").to_owned(),
        });
        let about = |message: &Value| {
            let all = ["basedOn", "about"].iter().flat_map(|e| message[*e].as_array().cloned().unwrap_or_default());
            all.into_iter().any(|r| names.iter().any(|n| r["reference"] == **n))
        };
        let mut all: Vec<String> = server.all("Communication").await.iter().filter(|m| about(m)).map(words).collect();
        all.sort();
        all
    }
}

fn words(message: &Value) -> String {
    message["payload"][0]["contentString"].as_str().unwrap_or_default().to_owned()
}

fn codes(task: &Value) -> Vec<String> {
    let codings = task["businessStatus"]["coding"].as_array().cloned().unwrap_or_default();
    codings.iter().map(|c| c["code"].as_str().unwrap().to_owned()).collect()
}

async fn copy(server: &Server, id: &str) -> Option<Value> {
    server.all("Task").await.into_iter().find(|task| our_id(task).as_deref() == Some(id))
}

/// New versions, a question and its answer, messages of both, and the end: everything in order, once.
async fn talks(pair: Pair, referral: Referral) {
    let id = pair.refer(&referral).await;
    pair.answer(&id, "accepted").await;
    pair.record_says(&id, "accepted", None).await;
    pair.onward.must_change(pair.system, &id, |r| r["note"] = json!([{"text": "one"}])).await;
    pair.onward.must_say(pair.system, &id, "she has moved in with her son", json!({})).await;
    pair.onward.must_change(pair.system, &id, |r| r["note"] = json!([{"text": "two"}])).await;
    pair.passed_on(&id, 3).await;
    pair.writes(&id, "which number can we ring?", true).await;
    pair.record_says(&id, "accepted", Some("information-requested")).await;
    let found = pair.onward.get(pair.system, &format!("Communication?about=Task/{id}")).await.unwrap().json();
    let question = found["entry"].as_array().unwrap().iter().find(|e| words(&e["resource"]).ends_with('?')).unwrap();
    let question = format!("Communication/{}", question["resource"]["id"].as_str().unwrap());
    pair.onward.must_say(pair.system, &id, "the son's", json!({"inResponseTo": [{"reference": question}]})).await;
    pair.passed_on(&id, 4).await;
    pair.record_says(&id, "accepted", None).await;
    pair.answer(&id, "in-progress").await;
    pair.record_says(&id, "in-progress", None).await;
    pair.writes(&id, "she comes on Tuesdays", false).await;
    until("it is heard", || async { (pair.events(&id, "message").await == 4).then_some(()) }).await;
    pair.answer(&id, "completed").await;
    pair.record_says(&id, "completed", None).await;
    assert!(pair.statuses(&id).await.ends_with(&["accepted".into(), "in-progress".into(), "completed".into()]));
    assert_eq!(pair.words(&pair.record, &id).await, ["she comes on Tuesdays", "which number can we ring?"]);
    if let Some(server) = &pair.at_provider {
        let mut expected = vec!["she has moved in with her son", "the son's"];
        if matches!(pair.works, Works::There(_)) {
            expected.extend(["she comes on Tuesdays", "which number can we ring?"]);
            expected.sort_unstable();
        }
        assert_eq!(pair.words(server, &id).await, expected);
        let task = copy(server, &id).await.unwrap();
        let versions = server.history("Task", task["id"].as_str().unwrap()).await;
        let seqs: Vec<_> = versions.iter().filter_map(onward::fhir::task::seq_of).collect();
        assert!(seqs.is_sorted() && seqs.iter().collect::<BTreeSet<_>>().len() == 4, "{seqs:?}");
        let request = task["focus"]["reference"].as_str().unwrap().split_once('/').unwrap().1.to_owned();
        let versions = server.history("ServiceRequest", &request).await;
        let notes: Vec<_> = versions.iter().map(|v| v["note"][0]["text"].as_str().unwrap_or_default()).collect();
        assert_eq!(notes[notes.len() - 2..], ["one", "two"], "{notes:?}");
    }
}

/// Cancelled after sending: confirmed, or finished first, or refused and then confirmed.
async fn cancels(pair: Pair, referral: Referral, ends: &'static [&'static str]) {
    let id = pair.refer(&referral).await;
    pair.answer(&id, "accepted").await;
    pair.record_says(&id, "accepted", None).await;
    pair.onward.must_change(pair.system, &id, |r| r["status"] = "revoked".into()).await;
    pair.passed_on(&id, 1).await;
    pair.record_says(&id, "accepted", Some("5.2")).await;
    for status in ends {
        pair.answer(&id, status).await;
        pair.record_says(&id, status, None).await;
    }
    assert_eq!(pair.statuses(&id).await.last().map(String::as_str), ends.last().copied());
    let answer = pair.onward.change(pair.system, &id, |r| r["note"] = json!([{"text": "late"}])).await.unwrap();
    let ended = ["cancelled", "completed"].contains(ends.last().unwrap());
    assert_eq!(answer.status.is_success(), !ended, "{}", answer.describe());
}

/// An outcome that nobody knew of when cancellation was asked for.
async fn crosses(pair: Pair, referral: Referral) {
    let id = pair.refer(&referral).await;
    pair.answer(&id, "accepted").await;
    pair.record_says(&id, "accepted", None).await;
    let revoke = pair.onward.must_change(pair.system, &id, |r| r["status"] = "revoked".into());
    tokio::join!(revoke, pair.answer(&id, "in-progress"));
    pair.answer(&id, "completed").await;
    pair.record_says(&id, "completed", None).await;
    assert_eq!(pair.statuses(&id).await.last().map(String::as_str), Some("completed"));
}

async fn retracts(pair: Pair, referral: Referral) {
    let id = pair.refer(&referral).await;
    pair.answer(&id, "accepted").await;
    pair.record_says(&id, "accepted", None).await;
    pair.onward.must_change(pair.system, &id, |r| r["status"] = "entered-in-error".into()).await;
    pair.record_says(&id, "entered-in-error", None).await;
    if let Some(server) = &pair.at_provider {
        until("its copy says so", || async {
            copy(server, &id).await.filter(|task| task["status"] == "entered-in-error")
        })
        .await;
    }
    assert_eq!(pair.statuses(&id).await.last().map(String::as_str), Some("entered-in-error"));
}

/// Cancelled before it could be sent: the provider never gets it.
async fn unsent(pair: Pair, referral: Referral, rooms: Arc<Double>) {
    rooms.fault(Rule::new(Fault::Refuse(StatusCode::FORBIDDEN), When::Always).method(Method::POST).kind(""));
    let id = pair.onward.refer(&referral).await;
    // a try that is under way may be over only after the first look: then it is asked for, and found not to be there
    pair.onward.must_change(pair.system, &id, |r| r["status"] = "revoked".into()).await;
    let task = pair.onward.task(pair.system, &id).await;
    if task["status"] == "cancelled" {
        pair.record_says(&id, "cancelled", None).await;
    }
    rooms.heal();
    if task["status"] == "cancelled" {
        assert!(copy(pair.at_provider.as_ref().unwrap(), &id).await.is_none());
        return;
    }
    until("it has arrived", || async { copy(pair.at_provider.as_ref().unwrap(), &id).await }).await;
    pair.answer(&id, "cancelled").await;
    pair.record_says(&id, "cancelled", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_kinds_of_providers_and_everything_that_can_be_said() {
    let test = "conversation::three_kinds_of_providers_and_everything_that_can_be_said";
    let Some(node) = rabbitmq::shared(test) else { return };
    let (record, housing) =
        tokio::join!(Sekmet::start(test, "record-of-merseycare-rio"), Sekmet::start(test, "server-of-housing-support"));
    let (Some(rio), Some(housing)) = (record, housing) else { return };
    let vhost = node.vhost();
    let others = Server::double("record-of-others").await;
    let rooms = Server::double("server-of-life-rooms").await;
    let at = |server: &Sekmet| format!("http://{}/fhir", server.address());
    let polled =
        format!("kind = \"fhir-rest\", base-url = \"{}\", answers = \"poll\", poll-every = \"300ms\"", at(&housing));
    let plan = Plan::new()
        .port(0)
        .broker(&vhost.url, "")
        .section("[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
        .system("merseycare-rio", "RW4", &at(&rio), ", detail = \"full\"")
        .record_token("others")
        .system("brownlow-gp", "N82999", others.base_url(), ", detail = \"full\"")
        .system("ward-epr", "REM", others.base_url(), ", detail = \"full\"")
        .provider("life-rooms", "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", rooms.base_url()))
        .provider("link-workers", "U99999", "kind = \"worklist\"")
        .provider("housing-support", "ZH999", &polled)
        .worklist("triage-team", "RW4", "triage")
        .routes(FIXTURE_ROUTES);
    let service = Arc::new(plan.start().await);
    let onward = Onward::at(service.base_url());
    let pair = |system, provider, works, record, at_provider| Pair {
        onward: onward.clone(),
        service: Arc::clone(&service),
        system,
        provider,
        works,
        record,
        at_provider,
    };
    let pairs = [
        (
            pair("merseycare-rio", "life-rooms", Works::Here, Server::Sekmet(rio), Some(Server::Double(rooms.clone()))),
            "01",
        ),
        (pair("brownlow-gp", "link-workers", Works::Here, Server::Double(others.clone()), None), "02"),
        (
            pair(
                "ward-epr",
                "housing-support",
                Works::There(housing.clone()),
                Server::Double(others),
                Some(Server::Sekmet(housing)),
            ),
            "04",
        ),
    ];

    // the broker's connections are cut all the time
    let stop = CancellationToken::new();
    let cutting = {
        let (stop, name) = (stop.clone(), vhost.name.clone());
        let ctl = std::env::var("ONWARD_TEST_RABBITMQCTL").unwrap();
        tokio::spawn(async move {
            let mut cuts = 0;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return cuts,
                    () = tokio::time::sleep(Duration::from_secs(2)) => {}
                }
                let cut = tokio::process::Command::new(&ctl)
                    .args(["close_all_connections", "--vhost", &name, "cut by a test"])
                    .stdin(std::process::Stdio::null())
                    .output()
                    .await
                    .unwrap();
                cuts += usize::from(cut.status.success());
            }
        })
    };

    for (pair, fixture) in &pairs {
        let referral = |suffix: &str| referrals::one(fixture, suffix);
        tokio::join!(
            talks(pair.clone(), referral("talks")),
            cancels(pair.clone(), referral("confirmed"), &["cancelled"]),
            cancels(pair.clone(), referral("outcome"), &["completed"]),
            cancels(pair.clone(), referral("refused"), &["in-progress"]),
            crosses(pair.clone(), referral("crosses")),
            retracts(pair.clone(), referral("retracts")),
        );
    }
    unsent(pairs[0].0.clone(), referrals::one("01", "unsent"), rooms).await;
    stop.cancel();
    let cuts = cutting.await.unwrap();
    println!("the broker's connections were cut {cuts} times");
    assert!(cuts > 0);
    assert!(service.store().dead_letters(9).await.unwrap().is_empty());
    drop(pairs);
    drop(onward);
    if let Some(service) = Arc::into_inner(service) {
        service.stop().await;
    }
}
