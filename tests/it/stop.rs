//! An end that loses nothing: readiness turns first, what is in hand is finished or let go of in time, a second signal ends at once.

use std::{
    os::unix::net::UnixDatagram,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use onward::demo::caller::{Call, Caller};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    cli,
    support::{
        PATIENCE,
        hub::Hub,
        onward::{Onward, our_id},
        plan::Plan,
        proxy::{Mode, Proxy},
        referrals,
        server::{Server, address_of},
        until,
    },
};

const SYSTEM: &str = "merseycare-rio";
const PROVIDER: &str = "life-rooms";
/// What an end may take beyond its limit: the closing of broker and store, and a busy machine.
const SLACK: Duration = Duration::from_secs(12);

async fn get(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: onward\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let n = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..n]).to_ascii_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_turns_first_and_what_was_begun_is_finished() {
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let line = Proxy::start(address_of(&record), 1).await;
    let plan = Plan::new()
        .port(0)
        .pause("3s")
        .section("[limits]\ndrain = \"60s\"")
        .timeout("300s")
        .system(SYSTEM, "RW4", &format!("http://{}/fhir", line.address()), "")
        .provider(PROVIDER, "RW4", "kind = \"worklist\"")
        .all_to(PROVIDER);
    let service = plan.start().await;
    let (onward, base) = (Onward::at(service.base_url()), service.base_url().to_owned());
    let at = base.strip_prefix("http://").unwrap().to_owned();
    let mut kept = TcpStream::connect(&at).await.unwrap();
    let before = get(&mut kept, "/health/ready").await;
    assert!(before.starts_with("http/1.1 200") && !before.contains("connection: close"), "{before}");
    let mut deck = referrals::singles("ready");
    // one request that is still being worked on when the pause is over
    let mut held = deck.next().unwrap();
    let mut body = held.json();
    body["supportingInfo"] = serde_json::json!([{"reference": "Observation/slow"}]);
    held.body = body.to_string();
    line.set(Mode::Hold);
    let holding = tokio::spawn({
        let onward = onward.clone();
        async move { onward.send(&held).await.unwrap() }
    });
    until("it is being worked on", || async { (line.held() > 0).then_some(()) }).await;

    let stopping = tokio::spawn(service.stop());
    let told = until("it says that it stops", || async {
        let told = Caller::new().call(Call::get(format!("{base}/health/ready"))).await.unwrap();
        (told.status == 503).then_some(told)
    })
    .await;
    assert_eq!(told.json()["status"], "stopping");
    // and for the pause it serves as ever
    let meanwhile = deck.next().unwrap();
    assert_eq!(onward.send(&meanwhile).await.unwrap().status, 201);
    until("no new connections are taken", || async { TcpStream::connect(&at).await.is_err().then_some(()) }).await;
    // the connection that was kept has ended
    let ended = tokio::time::timeout(PATIENCE, kept.read(&mut [0; 64])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "a kept connection goes on");
    assert!(!holding.is_finished());
    line.set(Mode::Through);
    let answer = holding.await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.describe());
    assert_eq!(answer.header("connection"), Some("close"));
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load_with_a_receiver_that_hangs_it_ends_in_time_and_loses_nothing() {
    const DRAIN: Duration = Duration::from_secs(2);
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let provider = Server::double(&format!("server-of-{PROVIDER}")).await;
    let inbox =
        format!("kind = \"fhir-rest\", base-url = \"{}\", timeout = \"300s\", concurrency = 64", provider.base_url());
    let plan = Plan::new()
        .port(0)
        .section("[limits]\ndrain = \"2s\"\n[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
        .system(SYSTEM, "RW4", record.base_url(), "")
        .provider(PROVIDER, "RW4", &inbox)
        .all_to(PROVIDER);
    let service = plan.start().await;
    provider.slow(Duration::from_secs(3600));
    let ended = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for sender in 0..3 {
        let (onward, ended) = (Onward::at(service.base_url()), Arc::clone(&ended));
        senders.spawn(async move {
            let mut tasks = Vec::new();
            for referral in referrals::singles(&format!("stop{sender}-")) {
                match onward.send(&referral).await {
                    Ok(answer) if answer.status.is_success() => {
                        tasks.push(answer.links("monitor")[0].rsplit('/').next().unwrap().to_owned());
                    }
                    // refused, or no longer there: it was not acknowledged
                    _ if ended.load(Ordering::Relaxed) => return tasks,
                    _ => {}
                }
            }
            tasks
        });
    }
    let store = rusqlite::Connection::open(plan.store_path()).unwrap();
    let leased = || {
        let count = "SELECT count(*) FROM lane WHERE lease_until IS NOT NULL";
        store.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    until("lanes are in hand", || async { (leased() > 20).then_some(()) }).await;
    let begun = Instant::now();
    ended.store(true, Ordering::Relaxed);
    service.stop().await;
    let took = begun.elapsed();
    assert!(took < DRAIN + SLACK, "{took:?}");
    let acknowledged: Vec<String> = senders.join_all().await.concat();
    println!("{} acknowledged; ended after {took:?}", acknowledged.len());
    assert!(acknowledged.len() > 20);
    // what was in hand was let go of: whoever comes next need not wait for a lease
    assert_eq!(leased(), 0);
    drop(store);

    provider.heal();
    let service = plan.start().await;
    let mut wanted = acknowledged;
    wanted.sort();
    until("all that was acknowledged is there", || async {
        let there: Vec<_> = provider.resources("Task").iter().filter_map(|task| our_id(task)).collect();
        wanted.iter().all(|id| there.contains(id)).then_some(())
    })
    .await;
    let tasks = provider.resources("Task");
    let mut ids: Vec<_> = tasks.iter().filter_map(|task| our_id(task)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), tasks.len(), "one was delivered twice");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_twice_it_ends_at_once() {
    let hub = Hub::build().limits("stop-pause = \"1h\"").without_service().start().await;
    let served = cli::Served::start(cli::onward(hub.folder(), &["serve"]), &hub.folder().join("log")).await;
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill").args([name, &served.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    signal("-TERM");
    until("it is ending", || async { served.said().contains("onward: ending").then_some(()) }).await;
    signal("-INT");
    assert_eq!(served.ended().await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told() {
    let hub = Hub::build().without_service().start().await;
    let path = hub.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let heard = |what: &'static str| {
        let socket = &socket;
        until(what, move || async move {
            let mut text = [0; 64];
            let n = socket.recv(&mut text).ok()?;
            (&text[..n] == what.as_bytes()).then_some(())
        })
    };
    let mut command = cli::onward(hub.folder(), &["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").stdout(Stdio::null());
    let served = cli::Served::start(command, &hub.folder().join("log")).await;
    heard("READY=1").await;
    heard("WATCHDOG=1").await;
    heard("WATCHDOG=1").await;
    let ending = tokio::spawn(served.end());
    heard("STOPPING=1").await;
    assert_eq!(ending.await.unwrap(), Some(0));
}
