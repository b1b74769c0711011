//! What only the store on a server promises: replicas beside each other, a server that goes away, schemas of several versions.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::SystemTime,
};

use onward::store::{
    AccessToken, AppendError, Poll, Shares, UsedAssertion,
    postgres::{OpenError, PostgresStore},
};
use tokio::runtime::Runtime;

mod away;
mod plans;
mod tls;

use super::*;
use crate::support::skipped;

/// The store's own tasks live here, whatever runtime a test has.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// A place of one test on the private server.
pub struct Place {
    pub url: String,
    pub clock: Arc<ManualClock>,
}

impl Place {
    /// An empty one. `None` where there is no server, which is noted.
    pub fn new() -> Option<Self> {
        let Ok(server) = std::env::var("ONWARD_TEST_POSTGRES_URL") else {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            skipped(&test, "no PostgreSQL (ONWARD_TEST_POSTGRES_URL)");
            return None;
        };
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
        let schema = format!("t{}_{since}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        block_on(async move {
            raw(&server).await.batch_execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
            let url = format!("{server}?options=-c%20search_path%3D{schema}");
            Some(Self { url, clock: Arc::new(ManualClock::at(start())) })
        })
    }

    /// Opens the store there, as one more replica.
    pub fn open(&self) -> Result<Arc<dyn Store>, OpenError> {
        let (url, clock) = (self.url.clone(), self.clock.clone());
        let opened = block_on(async move { PostgresStore::open(&url, Some(clock)).await })?;
        Ok(Arc::new(opened))
    }

    pub fn bench(&self) -> Bench {
        Bench::new(self.open().unwrap(), self.clock.clone(), again, ())
    }

    /// Runs SQL there.
    pub fn sql(&self, sql: &str) -> Vec<tokio_postgres::Row> {
        let (url, sql) = (self.url.clone(), sql.to_owned());
        block_on(async move { raw(&url).await.query(&sql, &[]).await.unwrap() })
    }
}

async fn raw(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Runs something on the store's runtime, from wherever.
fn block_on<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    std::thread::spawn(move || RUNTIME.block_on(work)).join().unwrap()
}

/// For `behaviours!`.
pub fn bench() -> Option<Bench> {
    Some(Place::new()?.bench())
}

/// One place a process, emptied each time: to make one takes much longer than most tests.
fn again() -> Bench {
    static PLACE: LazyLock<Place> = LazyLock::new(|| {
        let place = Place::new().unwrap();
        drop(place.bench());
        place
    });
    for table in [
        "submission",
        "referral",
        "task",
        "resource",
        "resource_key",
        "journal",
        "outbox",
        "attempt",
        "breaker",
        "alert",
        "answer",
        "access_token",
        "assertion_used",
        "notices",
        "routes_activation",
        "routes",
    ] {
        PLACE.sql(&format!("DELETE FROM {table}"));
    }
    PLACE.sql("UPDATE routes_head SET activation = 0, newest = 0");
    let clock = Arc::new(ManualClock::at(start()));
    let place = Place { url: PLACE.url.clone(), clock };
    place.bench()
}

/// Two replicas beside each other on one empty place.
fn two() -> Option<(Place, Bench, Bench)> {
    let place = Place::new()?;
    let (one, other) = (place.bench(), place.bench());
    Some((place, one, other))
}

async fn freed(b: &Bench) -> u64 {
    b.store.end_leases_of_the_dead().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_replica_held_goes_on_elsewhere() {
    let Some((_place, dies, lives)) = two() else { return };
    let (sent, watched) = (one_task(&dies, "a").await.id, one_task(&dies, "b").await.id);
    let held = lease(&dies, sent, Side::Delivery).await;
    dies.store.plan_poll(watched, Poll { memory: Some("etag".into()), at: Some(start()) }).await.unwrap();
    assert_eq!(dies.store.claim_polls(Shares::even(10, 10), HOUR).await.unwrap().len(), 1);
    lives.store.beat().await.unwrap();
    assert_eq!(freed(&lives).await, 0, "it is alive");

    lives.clock.advance(2);
    lives.store.beat().await.unwrap();
    assert_eq!(freed(&lives).await, 0, "it may only be slow");
    let life = dies.store.life();
    assert!(life.is_some());
    lives.clock.advance(1);
    assert!(!dies.store.may_send(), "it stops before others go on");
    lives.clock.advance(1);
    lives.store.beat().await.unwrap();
    assert!(freed(&lives).await > 0);

    // the lane, the messages it was about to publish, and the copy it was reading are due at once
    assert_eq!(heads(&claim(&lives).await.wake_ups), heads(&[wake(sent), wake(watched)]));
    let taken = lease(&lives, sent, Side::Delivery).await;
    assert_eq!((taken.head.message, taken.lease > held.lease), (held.head.message, true));
    assert_eq!(lives.store.claim_polls(Shares::even(10, 10), HOUR).await.unwrap().len(), 1);

    // it was only asleep: what it held is not its any more, and it goes on as a new one
    dies.store.give_back_poll(watched, start()).await.unwrap();
    assert!(lives.store.claim_polls(Shares::even(10, 10), HOUR).await.unwrap().is_empty(), "another's claim");
    let late = dies.store.append(held.settle(Side::Delivery, done())).await;
    assert!(matches!(late, Err(AppendError::LeaseLost)), "{late:?}");
    dies.store.beat().await.unwrap();
    assert!(dies.store.may_send() && dies.store.life() != life, "what it had begun to send is not its to send");
    lives.store.append(taken.settle(Side::Delivery, done())).await.unwrap();
    let other = lease(&dies, watched, Side::Delivery).await;
    assert_eq!(freed(&lives).await, 0, "what it took as a new one is its own");
    dies.store.append(other.settle(Side::Delivery, done())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_that_is_shown_to_two_replicas_is_worth_one_token() {
    let Some((_place, one, other)) = two() else { return };
    for round in 0..20 {
        let used = UsedAssertion { id: [round; 32], until: start() + SignedDuration::from_secs(300) };
        let shown = [&one, &other].map(|b| b.store.use_assertion(used.clone(), None));
        let let_in = futures_util::future::join_all(shown).await.into_iter().map(Result::unwrap);
        assert_eq!(let_in.filter(|used| *used).count(), 1);
    }
    // what one gives and another takes back is gone for both
    let hash = [9; 32];
    let (at, until) = (start(), start() + SignedDuration::from_secs(300));
    let (client, scopes) = ("system/epr".to_owned(), "system/Task.rs".to_owned());
    let token = AccessToken { hash, client, scopes, at, until, certificate: None };
    let used = UsedAssertion { id: [99; 32], until };
    assert!(one.store.use_assertion(used, Some(token.clone())).await.unwrap());
    assert_eq!(other.store.access_token(hash).await.unwrap(), Some(token));
    assert!(other.store.revoke_token(hash, "system/epr").await.unwrap());
    assert_eq!(one.store.access_token(hash).await.unwrap(), None);
}

fn wake(task: TaskId) -> WakeUp {
    let (side, to, message) = (Side::Delivery, String::new(), Uuid::nil());
    WakeUp { task, side, seq: 1, to, message, route_set: String::new(), traceparent: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_closed_replica_held_is_free_at_once() {
    let Some((_place, closes, stays)) = two() else { return };
    let id = one_task(&closes, "a").await.id;
    lease(&closes, id, Side::Delivery).await;
    let unpublished = one_task(&closes, "b").await.id;
    closes.store.close().await;
    assert_eq!(heads(&claim(&stays).await.wake_ups), heads(&[wake(id), wake(unpublished)]));
    lease(&stays, id, Side::Delivery).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_do_not_get_in_each_others_way() {
    let Some((_place, one, other)) = two() else { return };
    // the same keys in the opposite order, from both at once: each is stored once
    let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    let mut racing = Vec::new();
    for (b, keys) in [(&one, keys.clone()), (&other, keys.iter().rev().cloned().collect())] {
        for chunk in keys.chunks(4) {
            let (store, all) = (b.store.clone(), submission(chunk.iter().map(|k| referral(k)).collect()));
            racing.push(tokio::spawn(async move { stored(store.submit(all).await.unwrap()).0 }));
        }
    }
    let mut new = Vec::new();
    for one in racing {
        new.extend(one.await.unwrap().into_iter().filter(|s| s.new).map(|s| s.tasks[0]));
    }
    assert_eq!(new.len(), 40);

    // steps of the same Tasks from both: none is lost and none is stored twice
    let racing: Vec<_> = (0..4)
        .flat_map(|round| new.iter().map(move |id| (round, *id)))
        .map(|(round, id)| {
            let store = if round % 2 == 0 { one.store.clone() } else { other.store.clone() };
            tokio::spawn(async move {
                loop {
                    let now = store.task(id).await.unwrap().unwrap();
                    let events = vec![event(Some("{}"), &[Side::WriteBack])];
                    match store.append(Append { events, ..step(&now) }).await {
                        Ok(_) => break,
                        Err(AppendError::Moved) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for one in racing {
        one.await.unwrap();
    }
    for id in &new {
        let seqs: Vec<_> = one.store.journal(*id).await.unwrap().iter().map(|l| l.seq).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5]);
    }

    // one of many gets each lane, and each due message goes to one of them
    one.clock.advance(31);
    let (a, b) = tokio::join!(claim(&one), claim(&other));
    let mut messages: Vec<_> = a.wake_ups.iter().chain(&b.wake_ups).map(|w| w.message).collect();
    let all = messages.len();
    messages.sort();
    messages.dedup();
    assert_eq!((all, messages.len()), (80, 80));
    for id in &new {
        let (a, b) = tokio::join!(
            one.store.lease_lane(*id, Side::Delivery, MINUTE),
            other.store.lease_lane(*id, Side::Delivery, MINUTE)
        );
        let leased = [a.unwrap(), b.unwrap()].iter().filter(|l| matches!(l, LaneState::Leased { .. })).count();
        assert_eq!(leased, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_be_stored_does_not_harm_its_neighbours() {
    let Some(b) = bench() else { return };
    let racing: Vec<_> = (0..60)
        .map(|n| {
            // PostgreSQL's text knows no NUL
            let key = if n % 7 == 3 { format!("k\0{n}") } else { format!("k{n}") };
            let (store, new) = (b.store.clone(), submission(vec![referral(&key)]));
            (n, tokio::spawn(async move { store.submit(new).await }))
        })
        .collect();
    for (n, one) in racing {
        assert_eq!(one.await.unwrap().is_ok(), n % 7 != 3, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_of_several_versions() {
    let Some(place) = Place::new() else { return };
    let url = place.url.clone();
    let beside = move || {
        let url = url.clone();
        block_on(async move { PostgresStore::open_beside(&url, None).await.map(drop) })
    };
    assert!(matches!(beside(), Err(OpenError::Older { found: 0, .. })), "a command makes no store");
    // two that start at once do not both make it
    std::thread::scope(|s| {
        for opened in [s.spawn(|| place.open().is_ok()), s.spawn(|| place.open().is_ok())] {
            assert!(opened.join().unwrap());
        }
    });
    beside().unwrap();
    let known = place.sql("SELECT max(version) FROM onward_schema")[0].get::<_, i64>(0);

    // a newer replica has expanded it, and says that this version may run on beside it
    place.sql(&format!("INSERT INTO onward_schema VALUES ({}, {known})", known + 1));
    let b = place.bench();
    one_task(&b, "a").await;
    beside().unwrap();

    // and has contracted it
    place.sql(&format!("INSERT INTO onward_schema VALUES ({}, {})", known + 2, known + 1));
    let refused = place.open().map(drop);
    assert!(matches!(refused, Err(OpenError::Newer { found, from, .. }) if found == known + 2 && from == known + 1));
    assert!(matches!(beside(), Err(OpenError::Newer { .. })));

    place.sql("DELETE FROM onward_schema");
    assert!(matches!(beside(), Err(OpenError::Older { found: 0, .. })));
}

/// What the migration makes of the journal is what was noted as it happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_from_before_they_were_noted_are_found_in_the_journal() {
    let Some(place) = Place::new() else { return };
    let b = place.bench();
    let noted = measured::many_answers(&b).await;
    place.sql("DROP TABLE answer");
    place.sql("DROP INDEX task_open_by_inbox");
    place.sql("CREATE INDEX task_open_by_inbox ON task (inbox)");
    let url = place.url.clone();
    let step = include_str!("../../../src/store/postgres/migrations/0011_measured.sql");
    block_on(async move { raw(&url).await.batch_execute(step).await.unwrap() });
    assert_eq!(measured::noted(&b, "life-rooms").await, noted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_and_what_happened_is_kept_byte_for_byte() {
    let Some(place) = Place::new() else { return };
    let b = place.bench();
    let original = Bytes::from_static(b"\xef\xbb\xbf<Bundle/>\r\n\0\xff");
    let (submitted, _) = stored(
        b.store.submit(Submission { original: original.clone(), ..submission(vec![referral("a")]) }).await.unwrap(),
    );
    assert_eq!(place.sql("SELECT original FROM submission")[0].get::<_, &[u8]>(0), original);

    let id = submitted[0].tasks[0];
    for _ in 0..3 {
        b.clock.advance(1);
        add(&b, id, &[Side::WriteBack]).await;
    }
    let lines = place.sql("SELECT * FROM journal ORDER BY seq");
    let sha = |parts: &[&[u8]]| -> Vec<u8> {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        parts.iter().for_each(|p| context.update(p));
        context.finish().as_ref().to_vec()
    };
    let mut before = vec![0; 32];
    for line in &lines {
        let [salt, commitment, hash] = ["salt", "commitment", "hash"].map(|c| line.get::<_, &[u8]>(c));
        assert_eq!(commitment, sha(&[salt, line.get::<_, &str>("detail").as_bytes()]));
        let expected = sha(&[
            id.0.as_bytes(),
            &line.get::<_, i64>("seq").to_be_bytes(),
            &line.get::<_, i64>("at").to_be_bytes(),
            line.get::<_, &str>("event").as_bytes(),
            &[0],
            line.get::<_, &str>("actor").as_bytes(),
            &[0],
            commitment,
            &before,
        ]);
        assert_eq!(hash, expected);
        before = hash.to_vec();
    }
    assert_eq!((lines.len(), place.sql("SELECT head_hash FROM task")[0].get::<_, &[u8]>(0)), (4, &*before));
    assert_eq!(place.sql("SELECT n FROM attempt").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_leaves_the_outbox() {
    let Some(place) = Place::new() else { return };
    let b = place.bench();
    let id = one_task(&b, "a").await.id;
    let held = lease(&b, id, Side::Delivery).await;
    assert_eq!(place.sql("SELECT 1 FROM outbox").len(), 1);
    b.store.append(held.settle(Side::Delivery, done())).await.unwrap();
    assert_eq!(place.sql("SELECT 1 FROM outbox").len(), 0);
}

#[test]
fn a_url_that_cannot_be_used_says_so_without_its_password() {
    for bad in ["postgres://u:sesame@h:port/d", "postgres://u:sesame@h/d?sslmode=prefer", "postgres:sesame"] {
        let told = PostgresStore::check_url(bad).unwrap_err().to_string();
        assert!(!told.contains("sesame"), "{told}");
    }
    PostgresStore::check_url("postgres://u:sesame@127.0.0.1/d").unwrap();
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let url = "postgres://u:sesame@127.0.0.1:1/d";
    let refused = block_on(async move { PostgresStore::open_beside(url, None).await.map(drop) }).unwrap_err();
    let told = refused.to_string();
    assert!(told.contains("127.0.0.1:1/d") && told.contains("refused") && !told.contains("sesame"), "{told}");
}
