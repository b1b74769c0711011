//! Bad neighbours: servers that hang, trickle, answer nonsense or fail do not slow the others.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use onward::{demo::double::Double, domain::Event, store::JournalLine};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::support::{onward::with, plan::Plan, referrals::one, server::Server};

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

fn routes(providers: &[&str]) -> String {
    let rule = |name: &&str| {
        let code = format!("https://test.example/service|{name}");
        format!("[[route]]\nname = \"to-{name}\"\npriority = 10\nwhen = {{ code = [\"{code}\"] }}\nto = \"{name}\"\n\n")
    };
    providers.iter().map(rule).collect::<String>()
}

/// What a journal must show of how long something took.
type Took = fn(&[JournalLine]) -> Option<Duration>;

fn delivered(journal: &[JournalLine]) -> Option<Duration> {
    let delivered = journal.iter().find(|line| matches!(line.event, Event::Delivered { .. }))?;
    Some(delivered.at.duration_since(journal[0].at).unsigned_abs())
}

fn written_back(journal: &[JournalLine]) -> Option<Duration> {
    journal.iter().find_map(|line| {
        let Event::WrittenBack { of, .. } = line.event else { return None };
        let told = journal.iter().find(|line| line.seq == of)?;
        Some(line.at.duration_since(told.at).unsigned_abs())
    })
}

/// How long each took; the median and the slowest tenth.
async fn measured(store: &dyn Store, good: &[String], what: Took) -> (Duration, Duration) {
    let mut took = Vec::new();
    for id in good {
        let one = || async { what(&store.journal(task_id(id)).await.unwrap()) };
        took.push(until("it is there", one).await);
    }
    in_order(took)
}

fn in_order(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort();
    (took[took.len() / 2], took[took.len() * 9 / 10])
}

/// A tenth more, and a floor: below that, a shared machine's own pace is all that is seen.
fn assert_not_slower(what: &str, quiet: (Duration, Duration), beside: (Duration, Duration)) {
    println!("{what}: median and slowest tenth {quiet:?}; beside four bad ones {beside:?}");
    let bound = |alone: Duration, floor: u64| alone + alone / 10 + Duration::from_millis(floor);
    assert!(beside.0 <= bound(quiet.0, 20), "{what}: {:?} alone, {:?} beside", quiet.0, beside.0);
    assert!(beside.1 <= bound(quiet.1, 200), "{what}: {:?} alone, {:?} beside", quiet.1, beside.1);
}

/// Sends at the fixed rate, to or from the good ones and to or from these others as well; the ids of the former.
async fn load(onward: &Onward, round: usize, others: [&str; 4], referral: fn(&str, usize) -> Referral) -> Vec<String> {
    let mut ids = Vec::new();
    let mut next = Instant::now();
    for n in 0..MEASURED {
        tokio::time::sleep_until(next).await;
        next += Duration::from_secs(1) / RATE;
        for name in GOOD {
            ids.push(onward.refer(&referral(name, round * 1000 + n)).await);
        }
        for name in others {
            onward.refer(&referral(name, round * 1000 + n)).await;
        }
    }
    ids
}

/// The same, beside those that are well and beside the bad ones, in turns.
async fn quiet_and_beside(onward: &Onward, referral: fn(&str, usize) -> Referral) -> (Vec<String>, Vec<String>) {
    let names = BAD.map(|(name, _)| name);
    // the first round warms up; what the machine does beside this test is spread over both kinds
    load(onward, 0, WELL, referral).await;
    let mut quiet = load(onward, 1, WELL, referral).await;
    let mut beside = load(onward, 2, names, referral).await;
    quiet.extend(load(onward, 3, WELL, referral).await);
    beside.extend(load(onward, 4, names, referral).await);
    (quiet, beside)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_bad_neighbours_do_not_slow_two_good_ones() {
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let mut plan = Plan::new()
        .port(0)
        .section("[retry]\nfirst = \"200ms\"\ncap = \"2s\"\n")
        .system(SYSTEM, "RW4", record.base_url(), "")
        .routes(&routes(&[GOOD.as_slice(), WELL.as_slice(), BAD.map(|(name, _)| name).as_slice()].concat()));
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

    let (quiet, beside) = quiet_and_beside(&onward, referral_to).await;
    let (quiet, beside) = (measured(&*store, &quiet, delivered).await, measured(&*store, &beside, delivered).await);
    assert_not_slower("accepted to delivered", quiet, beside);
    for (name, _) in BAD {
        breaker_is(service.base_url(), &format!("inbox.{name}"), &["open", "probing"]).await;
    }
    for (server, name) in good.iter().zip(GOOD) {
        assert_eq!(server.resources("Task").len(), 5 * MEASURED, "{name}");
    }
    service.stop().await;
}

fn referral_from(system: &str, n: usize) -> Referral {
    Referral { system: system.to_owned(), ..one("01", &format!("{system}-{n}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_bad_records_do_not_slow_the_write_backs_of_two_good_ones() {
    let provider = Server::double(&format!("server-of-{PROVIDER}")).await;
    let mut plan = Plan::new()
        .port(0)
        .section("[retry]\nfirst = \"200ms\"\ncap = \"2s\"\n")
        .timeout("3s")
        .provider(PROVIDER, "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", provider.base_url()))
        .all_to(PROVIDER);
    let mut good: Vec<Arc<Double>> = Vec::new();
    for name in GOOD.into_iter().chain(WELL) {
        let record = Server::double(&format!("record-of-{name}")).await;
        plan = plan.system(name, "RW4", record.base_url(), "");
        good.push(record);
    }
    for (name, bad) in BAD {
        plan = plan.system(name, "RW4", &format!("http://{}/fhir", serve(bad).await), "");
    }
    let service = plan.start().await;
    let (onward, store) = (Onward::at(service.base_url()), service.store());
    let (quiet, beside) = quiet_and_beside(&onward, referral_from).await;
    let (quiet, beside) =
        (measured(&*store, &quiet, written_back).await, measured(&*store, &beside, written_back).await);
    assert_not_slower("delivered to written back", quiet, beside);
    for (name, _) in BAD {
        breaker_is(service.base_url(), &format!("writeback.{name}"), &["open", "probing"]).await;
    }
    for (record, name) in good.iter().zip(GOOD) {
        assert_eq!(record.resources("Task").len(), 5 * MEASURED, "{name}");
    }
    service.stop().await;
}

/// Each round, every copy at the good providers is changed; how long until that is known here.
async fn changed_and_read(store: &dyn Store, good: &[(Arc<Double>, String)], status: &'static str) {
    let mut changed = Vec::new();
    for (server, id) in good {
        let copies = server.resources("Task");
        let copy = copies.iter().find(|copy| our_id(copy).as_ref() == Some(id)).unwrap();
        changed.push(jiff::Timestamp::now());
        server.put_resource(with(copy, status, &json!({})));
    }
    for ((_, id), changed) in good.iter().zip(changed) {
        let read = || async {
            let journal = store.journal(task_id(id)).await.unwrap();
            let told = |line: &JournalLine| {
                line.at >= changed && matches!(&line.event, Event::Answered { to, .. } if to.code() == status)
            };
            journal.iter().any(told).then_some(())
        };
        until("the change is read", read).await;
    }
}

/// The times between one look at a copy and the next. How long a change waits for the next look is chance; how often one comes is not.
fn between_looks(servers: &[Arc<Double>]) -> Vec<Duration> {
    let mut gaps = Vec::new();
    for server in servers {
        let mut before = BTreeMap::new();
        for look in server.requests().into_iter().filter(|request| request.method == Method::GET) {
            if let Some(last) = before.insert(look.path, look.at) {
                gaps.push(look.at.duration_since(last).unsigned_abs());
            }
        }
    }
    gaps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_bad_servers_do_not_slow_the_reading_of_copies_at_two_good_ones() {
    const COPIES: usize = 12;
    let bad = [Fault::Hang, Fault::Nonsense, Fault::Cut, Fault::Refuse(StatusCode::INTERNAL_SERVER_ERROR)];
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let mut plan = Plan::new()
        .port(0)
        .section("[retry]\nfirst = \"200ms\"\ncap = \"2s\"\n")
        .system(SYSTEM, "RW4", record.base_url(), "")
        .routes(&routes(&[GOOD.as_slice(), WELL.as_slice()].concat()));
    let mut servers: Vec<Arc<Double>> = Vec::new();
    for name in GOOD.into_iter().chain(WELL) {
        let server = Server::double(&format!("server-of-{name}")).await;
        let at = format!("kind = \"fhir-rest\", base-url = \"{}\", timeout = \"3s\"", server.base_url());
        plan = plan.provider(name, "RW4", &format!("{at}, answers = \"poll\", poll-every = \"500ms\""));
        servers.push(server);
    }
    let service = plan.start().await;
    let (onward, store) = (Onward::at(service.base_url()), service.store());
    let mut good = Vec::new();
    let mut all = Vec::new();
    // as many copies are looked at where nothing is wrong as where something is
    for (place, name) in GOOD.into_iter().chain(WELL).enumerate() {
        for n in 0..COPIES {
            let id = onward.refer(&referral_to(name, n)).await;
            if place < GOOD.len() {
                good.push((Arc::clone(&servers[place]), id.clone()));
            }
            all.push(id);
        }
    }
    measured(&*store, &all, delivered).await;
    changed_and_read(&*store, &good, "accepted").await;
    let of_good = &servers[..GOOD.len()];
    of_good.iter().for_each(|server| server.clear_requests());
    for status in ["in-progress", "on-hold", "in-progress", "on-hold"] {
        changed_and_read(&*store, &good, status).await;
    }
    let quiet = between_looks(of_good);
    for (server, fault) in servers[GOOD.len()..].iter().zip(bad) {
        server.fault(always(fault));
    }
    for name in WELL {
        breaker_is(service.base_url(), &format!("inbox.{name}"), &["open", "probing"]).await;
    }
    of_good.iter().for_each(|server| server.clear_requests());
    for status in ["in-progress", "on-hold", "in-progress", "on-hold"] {
        changed_and_read(&*store, &good, status).await;
    }
    let beside = between_looks(of_good);
    assert!(quiet.len() > 2 * COPIES && beside.len() > 2 * COPIES, "{} and {}", quiet.len(), beside.len());
    assert_not_slower("from one look at a copy to the next", in_order(quiet), in_order(beside));
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
