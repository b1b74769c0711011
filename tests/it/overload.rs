//! Ten times more comes than can be taken: what is accepted stays fast and is not lost, the rest is refused at once, and those who
//! answer, or send little, do not notice.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use onward::{
    demo::{
        caller::{Answered, Call, Caller},
        double::Double,
    },
    service::Service,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::interval,
};

use crate::support::{
    PATIENCE, fixtures,
    hub::{GP, Hub, LINK_WORKERS, RIO},
    onward::Onward,
    plan::{Plan, token},
    proxy::{Mode, Proxy},
    referrals,
    server::{Server, address_of, free_port},
    until,
};

/// What one referral costs the slowed store.
const COST: Duration = Duration::from_millis(30);
const FACTOR: u32 = 10;
const LASTING: Duration = Duration::from_secs(4);
/// Below the limit of what is in at once, at most two groups of commits are waited for: each as many as `admission` lets in where
/// the store is slow, for which this is ample. Without a limit it would be hundreds.
const TIMES_UNLOADED: u32 = 40;
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(1);

/// Makes the store take its time over every referral: each costs it a long count. Nothing else of it changes.
fn slow_down(hub: &Hub) {
    let store = rusqlite::Connection::open(hub.store_path()).unwrap();
    let count = |n: u64| {
        format!("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT {n}) SELECT count(*) FROM c")
    };
    let probe = 50_000;
    let begun = Instant::now();
    store.query_row(&count(probe), [], |row| row.get::<_, i64>(0)).unwrap();
    let needed = (probe as f64 * COST.as_secs_f64() / begun.elapsed().as_secs_f64()) as u64;
    let trigger = format!("CREATE TRIGGER slowed AFTER INSERT ON referral BEGIN SELECT ({}); END", count(needed));
    store.execute_batch(&trigger).unwrap();
}

fn percentile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_ten_times_the_load_what_is_accepted_stays_fast_and_the_rest_is_refused_at_once() {
    let hub = Arc::new(Hub::build().limits("store-latency = \"50ms\"").start().await);
    let (rio, gp, workers) = (hub.sender(RIO), hub.sender(GP), hub.provider(LINK_WORKERS));
    let task = gp.refers(&fixtures::to_link_workers("answered")).await;
    slow_down(&hub);
    let mut unloaded = Vec::new();
    for n in 0..10 {
        let begun = Instant::now();
        rio.refers(&fixtures::to_life_rooms(&format!("unloaded-{n}"))).await;
        unloaded.push(begun.elapsed());
    }
    unloaded.sort();
    let unloaded = percentile(&unloaded, 0.5);

    // the flood: it comes whatever becomes of it
    let mut flood = JoinSet::new();
    let mut tick = interval(COST / FACTOR);
    let begun = Instant::now();
    let mut sent = 0;
    // beside it: one who sends one at a time, and one who answers
    let beside = tokio::spawn({
        let (gp, workers) = (gp.clone(), workers.clone());
        async move {
            let (mut referred, mut answered) = (Vec::new(), Vec::new());
            for n in 0.. {
                if begun.elapsed() > LASTING {
                    break;
                }
                let at = Instant::now();
                let answer = gp.refer(&fixtures::to_link_workers(&format!("beside-{n}"))).await;
                assert_eq!(answer.status, 201, "one who sends little is not refused: {}", answer.describe());
                referred.push(at.elapsed());
                let at = Instant::now();
                let status = if n % 2 == 0 { "on-hold" } else { "in-progress" };
                let etag = workers.get(&task).await.header("etag").unwrap().to_owned();
                let patch = serde_json::json!([
                    {"op": "replace", "path": "/status", "value": if n == 0 { "accepted" } else { status }},
                    {"op": "add", "path": "/statusReason", "value": {"text": "for the test"}},
                ]);
                let answer = workers.patch(&task, &etag, &patch).await;
                assert!(answer.status.is_success() || answer.status == 422, "answers go on: {}", answer.describe());
                answered.push(at.elapsed());
            }
            (referred, answered)
        }
    });
    while begun.elapsed() < LASTING {
        tick.tick().await;
        sent += 1;
        let (rio, referral) = (rio.clone(), fixtures::to_life_rooms(&format!("flood-{sent}")));
        flood.spawn(async move {
            let at = Instant::now();
            let answer = rio.refer(&referral).await;
            (answer, at.elapsed())
        });
    }
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for (answer, took) in flood.join_all().await {
        match answer.status.as_u16() {
            201 => accepted.push(took),
            429 | 503 => {
                assert!(answer.retry_after().is_some_and(|after| !after.is_zero()), "{}", answer.describe());
                refused.push(took);
            }
            _ => panic!("{}", answer.describe()),
        }
    }
    let (mut referred, mut answered) = beside.await.unwrap();
    let (taken, rest) = (accepted.len() + referred.len() + 11, refused.len());
    for times in [&mut accepted, &mut refused, &mut referred, &mut answered] {
        times.sort();
    }
    let [accepted, refused, referred, answered] =
        [accepted, refused, referred, answered].map(|times| (percentile(&times, 0.5), percentile(&times, 0.99)));
    println!(
        "unloaded {unloaded:?}; flood of {sent}: {taken} taken, {rest} refused; median and p99: accepted {accepted:?}, refused \
         {refused:?}, beside it {referred:?}, answers {answered:?}"
    );
    let bound = unloaded * TIMES_UNLOADED + SLACK;
    assert!(rest > sent / 3, "{rest} of {sent} refused: then there was no flood");
    assert!(accepted.1 <= bound, "accepted: p99 {:?} > {bound:?}", accepted.1);
    assert!(referred.1 <= bound, "beside it: p99 {:?} > {bound:?}", referred.1);
    assert!(answered.1 <= bound, "answers: p99 {:?} > {bound:?}", answered.1);
    // refused without waiting for anything
    assert!(refused.0 <= accepted.0, "refused {:?}, accepted {:?}", refused.0, accepted.0);
    // nothing that was accepted is lost, and nothing that was refused is there
    assert_eq!(hub.rows()["task"], taken as i64);
    until("all that was for the Life Rooms is there", || async {
        (hub.life_rooms.counts().get("Task").copied().unwrap_or_default() as i64
            == taken as i64 - 1 - hub_tasks_of_gp(&hub))
        .then_some(())
    })
    .await;
    Arc::into_inner(hub).unwrap().stop().await;
}

/// How many referrals the practice has sent since the first.
fn hub_tasks_of_gp(hub: &Hub) -> i64 {
    let store = rusqlite::Connection::open(hub.store_path()).unwrap();
    store.query_row("SELECT count(*) - 1 FROM referral WHERE system = ?", [GP], |row| row.get(0)).unwrap()
}

/// One Onward with a single place for referrals, which is taken: the record that the referral in it refers to is behind a line
/// that holds everything.
struct Taken {
    plan: Plan,
    service: Service,
    onward: Onward,
    line: Proxy,
    holding: JoinHandle<Answered>,
    _servers: [Arc<Double>; 2],
}

impl Taken {
    async fn place() -> Self {
        let record = Server::double(&format!("record-of-{RIO}")).await;
        let other = Server::double(&format!("record-of-{GP}")).await;
        let line = Proxy::start(address_of(&record), 1).await;
        let plan = Plan::new()
            .port(0)
            .section("[limits]\nconcurrent-requests = 1")
            .timeout("300s")
            .system(RIO, "RW4", &format!("http://{}/fhir", line.address()), "")
            .system(GP, "N82999", other.base_url(), "")
            .provider(LINK_WORKERS, "U99999", "kind = \"worklist\"")
            .all_to(LINK_WORKERS);
        let service = plan.start().await;
        let onward = Onward::at(service.base_url());
        let mut held = referrals::one("01", "held");
        let mut body = held.json();
        body["supportingInfo"] = serde_json::json!([{"reference": "Observation/slow"}]);
        held.body = body.to_string();
        line.set(Mode::Hold);
        let holding = tokio::spawn({
            let onward = onward.clone();
            async move { onward.send(&held).await.unwrap() }
        });
        until("the one place is taken", || async { (line.held() > 0).then_some(()) }).await;
        Self { plan, service, onward, line, holding, _servers: [record, other] }
    }

    /// It is given back, and what was in it was accepted.
    async fn give_back(self) {
        self.line.set(Mode::Through);
        let answer = self.holding.await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.describe());
        let next = referrals::one("01", "next");
        until("a free place", || async { self.onward.send(&next).await.unwrap().status.is_success().then_some(()) })
            .await;
        self.service.stop().await;
        drop(self.plan);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_too_many_is_asked_to_come_again() {
    let taken = Taken::place().await;
    // one who has its share, and one for whom nothing is left
    let own = taken.onward.send(&referrals::one("01", "own")).await.unwrap();
    assert_eq!((own.status.as_u16(), &own.json()["issue"][0]["code"]), (429, &"throttled".into()));
    let other = taken.onward.send(&referrals::one("02", "other")).await.unwrap();
    assert_eq!((other.status.as_u16(), &other.json()["issue"][0]["code"]), (503, &"transient".into()));
    assert!([own, other].iter().all(|answer| answer.retry_after().is_some_and(|after| !after.is_zero())));
    // nobody who reads, answers or looks after it waits behind it
    assert_eq!(taken.onward.get(RIO, "Task").await.unwrap().status, 200);
    let task = uuid::Uuid::nil();
    let url = format!("{}/fhir/Task/{task}", taken.service.base_url());
    let call = Call::new(hyper::Method::PUT, url).token(token(LINK_WORKERS)).header("if-match", "W/\"1\"");
    let call = call.json("application/fhir+json", &serde_json::json!({"resourceType": "Task"}));
    assert_eq!(Caller::new().call(call).await.unwrap().status, 404);
    for path in ["/health/live", "/health/ready", "/metrics"] {
        let answer = Caller::new().call(Call::get(format!("{}{path}", taken.service.base_url()))).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }
    taken.give_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_is_not_asked_for_the_body() {
    let taken = Taken::place().await;
    for more in
        ["Content-Length: 4000000\r\nExpect: 100-continue", "Content-Length: 4000000", "Transfer-Encoding: chunked"]
    {
        let mut stream = TcpStream::connect(taken.service.addresses()[0]).await.unwrap();
        let head = format!(
            "POST /fhir/ServiceRequest HTTP/1.1\r\nHost: onward\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/fhir+json\r\n{more}\r\n\r\n",
            token(GP)
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // not a byte of the body is sent: the answer cannot wait for it
        let mut told = Vec::new();
        while !told.ends_with(b"}") {
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.expect("no answer").unwrap();
            assert_ne!(read, 0, "{more}: ended");
            told.extend_from_slice(&buffer[..read]);
        }
        let told = String::from_utf8(told).unwrap();
        assert!(told.starts_with("HTTP/1.1 503 "), "{more}: {told}");
        assert!(told.to_ascii_lowercase().contains("\r\nretry-after: "), "{told}");
    }
    taken.give_back().await;
}

/// A full outbox refuses, one that fills slows, and both end when it empties.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_refuses_referrals_until_it_empties() {
    let hub = Hub::build().limits("outbox-messages = 6").start().await;
    let (rio, gp) = (hub.sender(RIO), hub.sender(GP));
    let ready = || async { hub.actor(None).get("/health/ready").await };
    hub.life_rooms.slow(Duration::from_secs(3600));
    let mut sent = 0;
    let refused = until("the outbox is full", || {
        sent += 1;
        let (rio, n) = (rio.clone(), sent);
        async move {
            let answer = rio.refer(&fixtures::to_life_rooms(&format!("full-{n}"))).await;
            (!answer.status.is_success()).then_some(answer)
        }
    })
    .await;
    assert_eq!(refused.status, 503, "{}", refused.describe());
    assert!(refused.retry_after().is_some());
    // each part is looked at in its own time
    let told = until("health says so of both", || async {
        let told = ready().await.json();
        let both = ["outbox", "intake"].iter().all(|part| told["parts"][*part]["state"] == "unavailable");
        both.then_some(told)
    })
    .await;
    assert_eq!(told["status"], "unavailable");
    assert!(told["parts"]["outbox"]["advice"].as_str().unwrap().contains("onward_messages_waiting"));
    // who answers and who reads is not refused
    assert_eq!(gp.get("/fhir/Task").await.status, 200);
    let answer = hub.provider(LINK_WORKERS).patch("/fhir/Task/none", "W/\"1\"", &serde_json::json!([])).await;
    assert_eq!(answer.status, 404);
    hub.life_rooms.heal();
    until("referrals are taken again", || async {
        rio.refer(&fixtures::to_life_rooms("again")).await.status.is_success().then_some(())
    })
    .await;
    until("health says so, too", || async { (ready().await.json()["status"] == "ready").then_some(()) }).await;
    hub.stop().await;
}

/// What is due and cannot be handed to the broker, because there is none, slows referrals and then refuses them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_too_long_for_a_broker_refuses_referrals_in_the_end() {
    let record = Server::double(&format!("record-of-{RIO}")).await;
    // nobody listens there
    let nowhere = format!("amqp://guest:guest@127.0.0.1:{}/%2f", free_port());
    let plan = Plan::new()
        .port(0)
        .broker(&nowhere, "")
        .section("[limits]\noutbox-age = \"2s\"")
        .system(RIO, "RW4", record.base_url(), "")
        .provider(LINK_WORKERS, "U99999", "kind = \"worklist\"")
        .all_to(LINK_WORKERS);
    let service = plan.start().await;
    let onward = Onward::at(service.base_url());
    let mut deck = referrals::singles("late");
    onward.refer(&deck.next().unwrap()).await;
    let refused = until("referrals are refused", || {
        let (onward, referral) = (onward.clone(), deck.next().unwrap());
        async move {
            let answer = onward.send(&referral).await.unwrap();
            (!answer.status.is_success()).then_some(answer)
        }
    })
    .await;
    assert_eq!((refused.status.as_u16(), refused.retry_after().is_some()), (503, true), "{}", refused.describe());
    let url = format!("{}/health/ready", service.base_url());
    let told = Caller::new().call(Call::get(url)).await.unwrap().json();
    assert_eq!(told["parts"]["outbox"]["state"], "unavailable", "{told}");
    service.stop().await;
}
