//! A server that is killed, stopped, read-only, or silent.

use std::{sync::Mutex, time::Instant};

use futures_util::future::join_all;
use onward::{
    domain::AlertKind,
    store::{StoreError, TaskQuery},
};

use super::*;
use crate::support::{
    postgres::PostgresServer,
    proxy::{Mode, Proxy},
    until,
};

/// No call may take longer, whatever the server does.
const BOUND: Duration = Duration::from_secs(25);

/// The store of a service on this server, by the server's clock.
fn service(url: &str) -> Arc<dyn Store> {
    let url = url.to_owned();
    Arc::new(block_on(async move { PostgresStore::open(&url, None).await }).unwrap())
}

/// The same on the private server, over a line that may come to grief.
async fn behind_a_proxy() -> Option<(Place, Proxy, Arc<dyn Store>)> {
    let place = Place::new()?;
    let (before, after) = place.url.split_once("@127.0.0.1:").unwrap();
    let (port, rest) = after.split_once('/').unwrap();
    let proxy = Proxy::start(([127, 0, 0, 1], port.parse().unwrap()).into(), 1).await;
    let store = service(&format!("{before}@{}/{rest}", proxy.address()));
    Some((place, proxy, store))
}

/// Something over each of the connections that a store has, but for the one by which it finds out whether it is ready.
async fn everywhere(store: &dyn Store) -> Vec<Result<(), StoreError>> {
    let id = |n: u128| TaskId(Uuid::from_u128(n));
    let reads = join_all((0..4).map(|n| store.task(id(n))));
    let steps = join_all((0..8).map(|n| store.lease_lane(id(n), Side::Delivery, MINUTE)));
    let systems = vec!["mersey-epr".parse().unwrap()];
    let searches = store.search_tasks(TaskQuery { systems, count: 1, ..TaskQuery::default() });
    let submits = store.submit(submission(vec![referral("everywhere")]));
    let (reads, steps, searched, submitted) = bounded(async { tokio::join!(reads, steps, searches, submits) }).await;
    let steps = steps.into_iter().map(|one| one.map(drop));
    let others = [searched.map(drop), submitted.map(drop)];
    reads.into_iter().map(|one| one.map(drop)).chain(steps).chain(others).collect()
}

async fn bounded<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, call).await.expect("an answer in time, whatever it is")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_has_all_that_was_acknowledged() {
    let Some(server) = PostgresServer::start("killed") else { return };
    let store = service(&server.url);
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..6)
        .map(|n| {
            let (store, acknowledged, stop) = (store.clone(), acknowledged.clone(), stop.clone());
            tokio::spawn(async move {
                let mut unavailable = 0;
                for m in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = format!("k{n}-{m}");
                    match bounded(store.submit(submission(vec![referral(&key)]))).await {
                        Ok(answer) => {
                            let task = stored(answer).0[0].tasks[0];
                            let now = bounded(store.task(task)).await;
                            if let Ok(Some(now)) = now {
                                let events = vec![event(Some("{}"), &[Side::WriteBack])];
                                let step = bounded(store.append(Append { events, ..step(&now) })).await;
                                acknowledged.lock().unwrap().push((key, task, step.is_ok()));
                            } else {
                                acknowledged.lock().unwrap().push((key, task, false));
                            }
                        }
                        Err(StoreError::Unavailable(_)) => {
                            unavailable += 1;
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
                unavailable
            })
        })
        .collect();
    let done = |at_least: usize| {
        let acknowledged = acknowledged.clone();
        async move { (acknowledged.lock().unwrap().len() >= at_least).then_some(()) }
    };
    until("some load", || done(60)).await;
    for _ in 0..2 {
        server.kill();
        until("it is not ready", || async { bounded(store.ready()).await.err() }).await;
        // what served its connections may outlive a killed server by what it was at
        let told = until("nothing is stored", || async {
            bounded(store.submit(submission(vec![referral("while away")]))).await.err()
        });
        let told = told.await.to_string();
        assert!(told.contains("not available"), "{told}");
        server.start_again();
        until("it is ready again", || async { bounded(store.ready()).await.ok() }).await;
        let before = acknowledged.lock().unwrap().len();
        until("the load goes on", || done(before + 60)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut unavailable = 0;
    for one in load {
        unavailable += one.await.unwrap();
    }
    assert!(unavailable > 0, "it was away");
    let acknowledged = acknowledged.lock().unwrap().clone();
    for (key, task, stepped) in acknowledged {
        let (found, _) = store.submitted(&"mersey-epr".parse().unwrap(), &key).await.unwrap().expect("it was stored");
        assert_eq!(found.tasks, [task]);
        let lines: Vec<_> = store.journal(task).await.unwrap().iter().map(|l| l.seq).collect();
        // a step of unknown outcome is there or is not, but never twice
        assert!(lines == [1, 2] || !stepped && lines == [1], "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_read_only_is_told_and_read() {
    let Some(server) = PostgresServer::start("readonly") else { return };
    let store = service(&server.url);
    let (submitted, _) = stored(store.submit(submission(vec![referral("a")])).await.unwrap());
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'onward'";
    server.sql("ALTER ROLE onward SET default_transaction_read_only = on");
    server.sql(others);
    let told = until("it says so", || async {
        bounded(store.ready()).await.err().filter(|e| e.to_string().contains("read-only"))
    });
    told.await;
    let refused = bounded(store.submit(submission(vec![referral("b")]))).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    assert!(bounded(store.task(submitted[0].tasks[0])).await.unwrap().is_some(), "what is stored is read");
    server.sql("BEGIN READ WRITE; ALTER ROLE onward RESET default_transaction_read_only; COMMIT");
    // nobody tells the store: it finds out by itself
    until("it takes writes again", || async { bounded(store.ready()).await.ok() }).await;
    until("for everything", || async { bounded(store.submit(submission(vec![referral("b")]))).await.ok() }).await;
    assert!(store.may_send() || bounded(store.beat()).await.is_ok());
}

/// A connection that swallows everything, as one does whose other end was cut off from the power.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_keeps_nobody_waiting_for_ever() {
    let Some((_place, proxy, store)) = behind_a_proxy().await else { return };
    let task = stored(store.submit(submission(vec![referral("a")])).await.unwrap()).0[0].tasks[0];
    assert!(store.task(task).await.unwrap().is_some());
    proxy.set(Mode::Delay(Duration::from_secs(3600)));
    let began = Instant::now();
    let submission = submission(vec![referral("b")]);
    let (submitted, read, claimed, ready) = tokio::join!(
        bounded(store.submit(submission)),
        bounded(store.task(task)),
        bounded(store.lease_lane(task, Side::Delivery, MINUTE)),
        bounded(store.ready()),
    );
    assert!(submitted.is_err() && read.is_err() && claimed.is_err() && ready.is_err());
    assert!(!store.may_send(), "it did not beat for {:?}", began.elapsed());
    proxy.set(Mode::Through);
    until("it comes back by itself", || async { bounded(store.ready()).await.ok() }).await;
    until("for everything", || async { bounded(store.lease_lane(task, Side::Delivery, MINUTE)).await.ok() }).await;
    bounded(store.beat()).await.unwrap();
    assert!(store.may_send());
}

/// Each connection has found out by itself that the server is away, and waits longer each time; one finds it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_ready_again_refuses_nobody() {
    let Some((_place, proxy, store)) = behind_a_proxy().await else { return };
    assert!(everywhere(&*store).await.iter().all(Result::is_ok));
    proxy.set(Mode::Refuse);
    proxy.cut_all();
    let (began, long) = (Instant::now(), Duration::from_secs(4));
    until("nobody tries again for long", || async {
        let all = everywhere(&*store).await;
        (all.iter().all(Result::is_err) && began.elapsed() > long).then_some(())
    })
    .await;
    proxy.set(Mode::Through);
    until("it is ready again", || async { bounded(store.ready()).await.ok() }).await;
    let all = everywhere(&*store).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

/// One connection gets no answer: what was made before it found out is not trusted, though nothing was asked over it yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_silence_all_is_asked_over_new_connections() {
    let Some((_place, proxy, store)) = behind_a_proxy().await else { return };
    assert!(everywhere(&*store).await.iter().all(Result::is_ok));
    proxy.set(Mode::Delay(Duration::from_secs(3600)));
    bounded(store.ready()).await.unwrap_err();
    proxy.set(Mode::Through);
    until("it is ready again", || async { bounded(store.ready()).await.ok() }).await;
    let (before, began) = (proxy.made(), Instant::now());
    let all = everywhere(&*store).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let made = proxy.made() - before;
    assert!(made >= 5 && began.elapsed() < Duration::from_secs(3), "{made} in {:?}", began.elapsed());
    assert!(everywhere(&*store).await.iter().all(Result::is_ok));
    assert_eq!(proxy.made(), before + made, "and these are kept");
}

/// What must not run twice is not sent over a connection of which nothing was heard for a while before that has answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_run_twice_is_not_sent_into_a_silence() {
    let Some((_place, proxy, store)) = behind_a_proxy().await else { return };
    assert!(!store.end_alert(AlertKind::GlassBroken, "nobody").await.unwrap());
    let (heard, while_) = (Instant::now(), Duration::from_millis(1_100));
    until("nothing was heard for a while", || async { (heard.elapsed() > while_).then_some(()) }).await;
    proxy.set(Mode::SwallowAnswers);
    let ending = tokio::spawn({
        let store = Arc::clone(&store);
        async move { bounded(store.end_alert(AlertKind::GlassBroken, "nobody")).await }
    });
    until("an answer has vanished", || async { (proxy.held() > 0).then_some(()) }).await;
    proxy.set(Mode::Through);
    assert!(!ending.await.unwrap().unwrap());
}
