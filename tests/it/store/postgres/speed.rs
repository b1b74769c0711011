//! What the store alone does in a second, and what that costs the server: not run by default.
//!
//! `ONWARD_TEST_POSTGRES_URL=… cargo nextest run --release --run-ignored only -E 'test(speed)' --no-capture`; how many loops
//! at once: `ONWARD_TEST_LOOPS` (64).

use std::time::Instant;

use super::*;

/// CPU seconds of all PostgreSQL processes so far.
fn server_cpu() -> f64 {
    let ticks = |pid: &str| -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // own and awaited children's, user and system
        name.ends_with("(postgres").then(|| fields[11..15].iter().filter_map(|f| f.parse::<f64>().ok()).sum())
    };
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok());
    pids.filter_map(|pid| ticks(&pid)).sum::<f64>() / 100.0
}

fn own_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// A referral whose Bundle has 8 KB.
fn eight_kilobytes(key: &str) -> Submission {
    let mut new = referral(key);
    let words = ["referral", "housing", "advice", "anxiety", "support", "carer", "debt", "isolation"];
    let text = |bytes: usize| -> String {
        let mut text = String::new();
        while text.len() < bytes {
            text.push_str(words[fastrand::usize(..words.len())]);
            text.push_str(&format!(" {:x} ", fastrand::u16(..)));
        }
        text
    };
    for resource in &mut new.resources {
        resource.body = format!(r#"{{"text":"{}"}}"#, text(2_500));
    }
    for kind in ["Observation", "Practitioner"] {
        let body = format!(r#"{{"text":"{}"}}"#, text(1_200));
        new.resources.push(NewResource { kind: kind.into(), id: Uuid::now_v7(), origin: None, body });
    }
    for task in &mut new.tasks {
        task.events[0].body = Some(format!(r#"{{"text":"{}"}}"#, text(900)));
    }
    Submission { original: text(8_000).into(), ..submission(vec![new]) }
}

async fn settle(b: &Bench, task: TaskId, side: Side, more: Vec<NewEvent>) {
    let held = lease(b, task, side).await;
    let attempt = Some(attempt(side, held.head.seq, "delivered", b.store.now()));
    b.store.append(Append { events: more, attempt, ..held.settle(side, done()) }).await.unwrap();
}

/// A loop: accepted, delivered, that written back, one answer, that written back.
async fn one_loop(b: &Bench, key: &str) {
    let body = Some(format!(r#"{{"text":"{}"}}"#, "x".repeat(900)));
    let with_body = |lanes: &[Side]| vec![NewEvent { body: body.clone(), ..event(Some(""), lanes) }];
    let task = stored(b.store.submit(eight_kilobytes(key)).await.unwrap()).0[0].tasks[0];
    settle(b, task, Side::Delivery, with_body(&[Side::WriteBack])).await;
    settle(b, task, Side::WriteBack, vec![event(None, &[])]).await;
    let now = super::super::task(b, task).await;
    let answer = Append { events: with_body(&[Side::WriteBack]), state: state(TaskStatus::Accepted), ..step(&now) };
    b.store.append(Append { answers: true, ..answer }).await.unwrap();
    settle(b, task, Side::WriteBack, vec![event(None, &[])]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn loops_of_the_store_alone() {
    let Some(place) = Place::new() else { return };
    let b = Arc::new(Bench::new(place.open().unwrap(), place.clock.clone(), again, ()));
    let at_once: usize = std::env::var("ONWARD_TEST_LOOPS").map_or(64, |n| n.parse().unwrap());
    let span = Duration::from_secs(10);
    let run = async |name: &str,
                     span: Duration,
                     one: fn(Arc<Bench>, String) -> futures_util::future::BoxFuture<'static, ()>| {
        let (began, before) = (Instant::now(), (server_cpu(), own_cpu()));
        let racing: Vec<_> = (0..at_once)
            .map(|n| {
                let (b, name) = (b.clone(), name.to_owned());
                tokio::spawn(async move {
                    let (mut count, mut times) = (0u32, Vec::new());
                    while began.elapsed() < span {
                        let from = Instant::now();
                        one(b.clone(), format!("{name}-{n}-{count}")).await;
                        times.push(from.elapsed());
                        count += 1;
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for one in racing {
            times.extend(one.await.unwrap());
        }
        times.sort();
        let (count, seconds) = (times.len() as f64, began.elapsed().as_secs_f64());
        println!(
            "{name}: {at_once} at once, {:.0}/s; p50 {:?}, p99 {:?}; the server {:.0} us, this process {:.0} us CPU each",
            count / seconds,
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            (server_cpu() - before.0) / count * 1e6,
            (own_cpu() - before.1) / count * 1e6,
        );
    };
    run("warm-up", Duration::from_secs(3), |b, key| Box::pin(async move { one_loop(&b, &key).await })).await;
    run("submit", span, |b, key| {
        Box::pin(async move {
            b.store.submit(eight_kilobytes(&key)).await.unwrap();
        })
    })
    .await;
    run("loop (8 writes, 1 read)", span, |b, key| Box::pin(async move { one_loop(&b, &key).await })).await;
}
