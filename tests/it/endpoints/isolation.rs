//! Bad neighbours: servers that hang, trickle, answer nonsense or fail do not slow the others.

use std::{net::SocketAddr, sync::Arc};

use onward::{demo::double::Double, domain::Event};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::support::{plan::Plan, referrals::one, server::Server};

/// How a bad server is bad.
#[derive(Clone, Copy)]
enum Bad {
    /// It takes the request and never answers.
    Hangs,
    /// It answers with five bytes a second.
    Trickles,
    /// It answers with what is no HTTP.
    Babbles,
    /// It answers every request with 500.
    Fails,
}

const BAD: [(&str, Bad); 4] =
    [("hangs", Bad::Hangs), ("trickles", Bad::Trickles), ("babbles", Bad::Babbles), ("fails", Bad::Fails)];
const GOOD: [&str; 2] = ["good-a", "good-b"];
/// In whose place the bad ones are: the machine has as much to do without them as with them.
const WELL: [&str; 4] = ["well-a", "well-b", "well-c", "well-d"];
/// Referrals a second, to every provider each.
const RATE: u32 = 8;
const MEASURED: usize = 40;

async fn serve(bad: Bad) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, bad));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, bad: Bad) -> std::io::Result<()> {
    let mut read = [0; 64 * 1024];
    while stream.read(&mut read).await? > 0 {
        match bad {
            Bad::Hangs => std::future::pending::<()>().await,
            Bad::Trickles => {
                let text =
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/fhir+json\r\ncontent-length: 5000\r\n\r\n{     ";
                for bytes in text.chunks(5) {
                    stream.write_all(bytes).await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            Bad::Babbles => {
                stream.write_all(&[0xfe, 0x00, b'H', b'T', 0xff].repeat(2_000)).await?;
                return Ok(());
            }
            Bad::Fails => {
                stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await?;
            }
        }
    }
    Ok(())
}

/// One referral for a provider: the routes go by the service that is asked for.
fn referral_to(provider: &str, n: usize) -> Referral {
    let mut referral = one("01", &format!("{provider}-{n}"));
    let mut body = referral.json();
    body["code"] = json!({"coding": [{"system": "https://test.example/service", "code": provider}]});
    referral.body = body.to_string();
    referral
}

fn routes() -> String {
    let all = GOOD.into_iter().chain(WELL).chain(BAD.map(|(name, _)| name));
    let rule = |name: &str| {
        let code = format!("https://test.example/service|{name}");
        format!("[[route]]\nname = \"to-{name}\"\npriority = 10\nwhen = {{ code = [\"{code}\"] }}\nto = \"{name}\"\n\n")
    };
    all.map(rule).collect::<String>()
}

/// How long each took from accepted to delivered, by the journal; the median and the slowest tenth.
async fn measured(store: &dyn onward::store::Store, good: &[String]) -> (Duration, Duration) {
    let mut took = Vec::new();
    for id in good {
        let took_one = until("it is delivered", || async {
            let journal = store.journal(task_id(id)).await.unwrap();
            let delivered = journal.iter().find(|line| matches!(line.event, Event::Delivered { .. }))?;
            Some(delivered.at.duration_since(journal[0].at).unsigned_abs())
        })
        .await;
        took.push(took_one);
    }
    took.sort();
    (took[took.len() / 2], took[took.len() * 9 / 10])
}

/// Sends to the good ones at the fixed rate, and to these others as well; the ids of the former.
async fn load(onward: &Onward, round: usize, others: [&str; 4]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut next = Instant::now();
    for n in 0..MEASURED {
        tokio::time::sleep_until(next).await;
        next += Duration::from_secs(1) / RATE;
        for provider in GOOD {
            ids.push(onward.refer(&referral_to(provider, round * 1000 + n)).await);
        }
        for provider in others {
            onward.refer(&referral_to(provider, round * 1000 + n)).await;
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_bad_neighbours_do_not_slow_two_good_ones() {
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let mut plan = Plan::new()
        .port(0)
        .section("[retry]\nfirst = \"200ms\"\ncap = \"2s\"\n")
        .system(SYSTEM, "RW4", record.base_url(), "")
        .routes(&routes());
    let mut good: Vec<Arc<Double>> = Vec::new();
    for name in GOOD.into_iter().chain(WELL) {
        let server = Server::double(&format!("server-of-{name}")).await;
        plan = plan.provider(name, "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", server.base_url()));
        good.push(server);
    }
    for (name, bad) in BAD {
        let at = serve(bad).await;
        let inbox = format!("kind = \"fhir-rest\", base-url = \"http://{at}/fhir\", timeout = \"3s\"");
        plan = plan.provider(name, "RW4", &inbox);
    }
    let service = plan.start().await;
    let (onward, store) = (Onward::at(service.base_url()), service.store());
    let names = BAD.map(|(name, _)| name);

    // the first round warms up; what the machine does beside this test is spread over both kinds
    load(&onward, 0, WELL).await;
    let mut quiet = load(&onward, 1, WELL).await;
    let mut beside = load(&onward, 2, names).await;
    quiet.extend(load(&onward, 3, WELL).await);
    beside.extend(load(&onward, 4, names).await);
    let (median, tenth) = measured(&*store, &quiet).await;
    let (median_beside, tenth_beside) = measured(&*store, &beside).await;
    println!(
        "accepted to delivered: median {median:?}, slowest tenth {tenth:?}; beside four bad ones {median_beside:?}, {tenth_beside:?}"
    );
    // a tenth more, and a floor: below that, a shared machine's own pace is all that is seen
    let bound = |alone: Duration, floor: u64| alone + alone / 10 + Duration::from_millis(floor);
    assert!(median_beside <= bound(median, 20), "{median:?} alone, {median_beside:?} beside");
    assert!(tenth_beside <= bound(tenth, 200), "{tenth:?} alone, {tenth_beside:?} beside");
    for (name, _) in BAD {
        breaker_is(service.base_url(), &format!("inbox.{name}"), &["open", "probing"]).await;
    }
    for (server, name) in good.iter().zip(GOOD) {
        assert_eq!(server.resources("Task").len(), 5 * MEASURED, "{name}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_hangs_takes_no_places_from_other_senders() {
    // room for fewer requests than this system has under way, if all of them could wait for its record
    let at = serve(Bad::Hangs).await;
    let well = Server::double("record-of-brownlow-gp").await;
    let target = Server::double(&format!("server-of-{PROVIDER}")).await;
    let plan = Plan::new()
        .port(0)
        .section("[limits]\nconcurrent-requests = 40\n")
        .system(SYSTEM, "RW4", &format!("http://{at}/fhir"), "")
        .system("brownlow-gp", "N82999", well.base_url(), "")
        .provider(PROVIDER, "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", target.base_url()))
        .all_to(PROVIDER);
    let service = plan.start().await;
    let onward = Onward::at(service.base_url());
    let hanging: Vec<_> = (0..60)
        .map(|n| {
            let mut referral = one("01", &format!("hangs-{n}"));
            let mut body = referral.json();
            body.as_object_mut().unwrap().remove("contained");
            body["subject"] = json!({"reference": "Patient/p1"});
            referral.body = body.to_string();
            let onward = onward.clone();
            tokio::spawn(async move { onward.send(&referral).await.map(|answer| answer.status) })
        })
        .collect();
    let mut accepted = 0;
    let mut next = Instant::now();
    for n in 0..12 {
        tokio::time::sleep_until(next).await;
        next += Duration::from_millis(250);
        let referral = Referral { system: "brownlow-gp".into(), ..one("01", &format!("well-{n}")) };
        let answer = onward.send(&referral).await.unwrap();
        accepted += usize::from(answer.status == StatusCode::CREATED);
    }
    // its share leaves places for others from the start, however many come
    assert!(accepted >= 8, "{accepted} of 12");
    for one in hanging {
        // those within its share wait for the record in vain, those beyond it are sent away
        let status = one.await.unwrap().unwrap();
        assert!(matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS), "{status}");
    }
    service.stop().await;
}
