//! What Onward stands on fails: each case is told in `/health/ready` with what to do, loses nothing, and heals by itself.

use std::{
    fs::File,
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use onward::{
    broker::{Broker as _, RabbitMq, rabbitmq as amqp},
    client::{CallError, FhirClient},
    config::{Outbound, registry::Endpoint},
    demo::{
        caller::{Answered, Call, Caller},
        double::{self, Double},
    },
    resolve::{Lookup, Resolver},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

use crate::support::{
    PATIENCE,
    hub::Hub,
    onward::{Onward, our_id},
    plan::Plan,
    proxy::{Mode, Proxy},
    rabbitmq, referrals,
    server::{Server, address_of},
    skipped, until, until_within,
};

mod postgres;

const SYSTEM: &str = "merseycare-rio";
const PROVIDER: &str = "life-rooms";

/// What `/health/ready` says.
async fn ready(base_url: &str) -> Answered {
    Caller::new().call(Call::get(format!("{base_url}/health/ready"))).await.unwrap()
}

/// Waits until a part is in this state; what is said of it.
async fn part_is(base_url: &str, part: &str, state: &str) -> Value {
    until(&format!("the {part} is {state}"), || async {
        let told = ready(base_url).await.json();
        (told["parts"][part]["state"] == state).then(|| told["parts"][part].clone())
    })
    .await
}

/// A small file system in memory; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// One of so many bytes. `None` where it may not be mounted, which is noted.
    fn mount(test: &str, at: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut command = Command::new("mount");
        let options = format!("size={bytes},mode=700");
        let mounted = command.args(["-t", "tmpfs", "-o", &options, "onward-test"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        skipped(test, "no file system of its own may be mounted here (root with CAP_SYS_ADMIN)");
        None
    }

    /// Fills it up, but for so many bytes.
    fn fill(&self, leave: u64) {
        let mut file = File::options().create(true).append(true).open(self.filling()).unwrap();
        let free = || {
            let disk = rustix::fs::statvfs(&self.0).unwrap();
            disk.f_bavail * disk.f_frsize
        };
        while free() > leave {
            if file.write_all(&vec![0; 4096.min(free() - leave) as usize]).is_err() {
                break;
            }
        }
    }

    fn filling(&self) -> PathBuf {
        self.0.join("filling")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_stops_referrals_first_and_heals_by_itself() {
    let test = "surroundings::a_disk_that_fills_up_stops_referrals_first_and_heals_by_itself";
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(test, &folder.path().join("disk"), 32 << 20) else { return };
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let provider = Server::double(&format!("server-of-{PROVIDER}")).await;
    let plan = Plan::new()
        .store_at(&disk.0.join("onward.db"))
        .port(0)
        .section("[limits]\nfree-disk = \"6MiB\"\n[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
        .system(SYSTEM, "RW4", record.base_url(), "")
        .provider(PROVIDER, "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", provider.base_url()))
        .all_to(PROVIDER);
    let service = plan.start().await;
    let (onward, base) = (Onward::at(service.base_url()), service.base_url().to_owned());
    let mut deck = referrals::singles("disk");
    let mut sent = vec![onward.refer(&deck.next().unwrap()).await];
    assert_eq!(ready(&base).await.json()["status"], "ready");

    // little room: no more referrals, but what was accepted goes on
    disk.fill(4 << 20);
    let told = part_is(&base, "disk", "unavailable").await;
    assert!(told["advice"].as_str().unwrap().contains("make room"), "{told}");
    assert_eq!(ready(&base).await.status, 503);
    let refused = deck.next().unwrap();
    let answer = onward.send(&refused).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.retry_after().is_some()), (503, true), "{}", answer.describe());
    until("it was delivered", || async { (provider.resources("Task").len() == 1).then_some(()) }).await;
    onward.must_answer(PROVIDER, &sent[0], "accepted", json!({})).await;
    until("its record is told", || async {
        record.resources("Task").iter().any(|task| task["status"] == "accepted").then_some(())
    })
    .await;

    // no room at all: nothing can be written, and that is told and not half done
    disk.fill(0);
    let told = until_within(Duration::from_secs(60), "the store takes no writes", || async {
        disk.fill(0);
        let told = ready(&base).await.json();
        (told["parts"]["store"]["state"] == "unavailable").then(|| told["parts"]["store"].clone())
    })
    .await;
    assert!(told["detail"].as_str().unwrap().contains("the disk of the store is full"), "{told}");
    let answer = onward.answer(PROVIDER, &sent[0], "in-progress", &json!({})).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.retry_after().is_some()), (503, true), "{}", answer.describe());
    assert_eq!(onward.task(PROVIDER, &sent[0]).await["status"], "accepted");

    // room again: all goes on without anybody's doing
    std::fs::remove_file(disk.filling()).unwrap();
    part_is(&base, "store", "ready").await;
    part_is(&base, "intake", "ready").await;
    sent.push(onward.refer(&refused).await);
    onward.must_answer(PROVIDER, &sent[0], "in-progress", json!({})).await;
    until("both are there, and the answer in the record", || async {
        let there: Vec<_> = provider.resources("Task").iter().filter_map(|task| our_id(task)).collect();
        let told = record.resources("Task").iter().any(|task| task["status"] == "in-progress");
        (sent.iter().all(|id| there.contains(id)) && told).then_some(())
    })
    .await;
    assert_eq!(provider.resources("Task").len(), 2);
    service.stop().await;
}

/// Sets the broker's memory limit back, however the test ends.
struct Alarm<'n>(&'n rabbitmq::Node);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_with_a_memory_alarm_is_degraded_and_intake_goes_on() {
    let test = "surroundings::a_broker_with_a_memory_alarm_is_degraded_and_intake_goes_on";
    let Some(node) = rabbitmq::alone(test) else { return };
    let vhost = node.vhost();
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let provider = Server::double(&format!("server-of-{PROVIDER}")).await;
    let plan = Plan::new()
        .port(0)
        .broker(&vhost.url, "republish-after = \"5s\"")
        .section("[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
        .system(SYSTEM, "RW4", record.base_url(), "")
        .provider(PROVIDER, "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", provider.base_url()))
        .all_to(PROVIDER);
    let service = plan.start().await;
    let (onward, base) = (Onward::at(service.base_url()), service.base_url().to_owned());
    part_is(&base, "broker", "ready").await;
    let mut deck = referrals::singles("alarm");
    let mut sent = vec![onward.refer(&deck.next().unwrap()).await];
    until("it was delivered", || async { (provider.resources("Task").len() == 1).then_some(()) }).await;
    let alarm = Alarm(&node);
    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    // RabbitMQ tells a connection only when it publishes
    for _ in 0..5 {
        sent.push(onward.refer(&deck.next().unwrap()).await);
    }
    let told = part_is(&base, "broker", "degraded").await;
    assert!(told["advice"].as_str().unwrap().contains("memory"), "{told}");
    let whole = ready(&base).await;
    assert_eq!((whole.status.as_u16(), &whole.json()["status"]), (200, &"degraded".into()));
    sent.push(onward.refer(&deck.next().unwrap()).await);
    drop(alarm);
    part_is(&base, "broker", "ready").await;
    until("all are there", || async {
        let there: Vec<_> = provider.resources("Task").iter().filter_map(|task| our_id(task)).collect();
        sent.iter().all(|id| there.contains(id)).then_some(())
    })
    .await;
    assert_eq!(provider.resources("Task").len(), sent.len(), "one was delivered twice");
    service.stop().await;
}

/// A resolver that answers only for some names, and counts.
#[derive(Default)]
struct Hanging {
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Lookup for Hanging {
    async fn look_up(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        if name == "fast.example" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

fn endpoint(base_url: String) -> Endpoint {
    Endpoint { base_url, access: Default::default(), timeout: Duration::from_secs(5) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolver_that_hangs_holds_up_its_own_endpoint_only() {
    let double = Double::start(double::Options::default()).await.unwrap();
    let hanging = Arc::new(Hanging::default());
    let client =
        FhirClient::with_resolver(Resolver::over(Arc::clone(&hanging) as Arc<dyn Lookup>), &Outbound::anywhere())
            .unwrap();
    let slow = endpoint("http://slow.example/fhir".to_owned());
    let fast = endpoint(double.base_url().replace("127.0.0.1", "fast.example"));
    let begun = Instant::now();
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let (client, slow) = (client.clone(), slow.clone());
        waiting.spawn(async move { client.get(&slow, "metadata", &[]).await });
    }
    until("a look-up hangs", || async { (hanging.asked.load(Ordering::SeqCst) > 0).then_some(()) }).await;
    for _ in 0..20 {
        let answer = client.get(&fast, "metadata", &[]).await.unwrap();
        assert!(answer.status.is_success());
    }
    // nothing was sent to where no address is known, and everybody was told in time
    for answer in waiting.join_all().await {
        assert!(matches!(answer, Err(CallError::Connect(_))));
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(hanging.asked.load(Ordering::SeqCst), 1, "one look-up at a time for a name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brokers_name_that_hangs_is_told_and_asked_for_once_at_a_time() {
    let hanging = Arc::new(Hanging::default());
    let resolver = Resolver::over(Arc::clone(&hanging) as Arc<dyn Lookup>);
    let options = amqp::Options { resolver, connect_timeout: Duration::from_secs(1), ..Default::default() };
    let broker = RabbitMq::connect("amqp://guest:guest@slow.example:5672/%2f", options).unwrap();
    let told = until("it has tried", || async {
        Some(broker.health()).filter(|health| !health.connected && health.detail.contains("no answer"))
    })
    .await;
    assert!(told.detail.contains("slow.example"), "{}", told.detail);
    // both connections have gone on trying meanwhile
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hanging.asked.load(Ordering::SeqCst), 1);
    broker.close().await;
}

/// The other end of every connection to the provider vanishes without a word, the idle ones in the pool as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_vanishes_without_a_word_is_reached_when_it_is_back() {
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let provider = Server::double(&format!("server-of-{PROVIDER}")).await;
    let line = Proxy::start(address_of(&provider), 7).await;
    let inbox = format!("kind = \"fhir-rest\", base-url = \"http://{}/fhir\", timeout = \"1s\"", line.address());
    let plan = Plan::new()
        .port(0)
        .section("[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
        .system(SYSTEM, "RW4", record.base_url(), "")
        .provider(PROVIDER, "RW4", &inbox)
        .all_to(PROVIDER);
    let service = plan.start().await;
    let onward = Onward::at(service.base_url());
    let mut deck = referrals::singles("half-open");
    let mut sent = Vec::new();
    for _ in 0..10 {
        sent.push(onward.refer(&deck.next().unwrap()).await);
    }
    let there = || provider.resources("Task").iter().filter_map(|task| our_id(task)).collect::<Vec<_>>();
    until("the pool has connections", || async { (there().len() == sent.len()).then_some(()) }).await;
    line.set(Mode::Swallow);
    let before = line.held();
    for _ in 0..5 {
        sent.push(onward.refer(&deck.next().unwrap()).await);
    }
    until("they have been tried in vain", || async { (line.held() > before + 5).then_some(()) }).await;
    line.set(Mode::Through);
    until("all are there", || async {
        let there = there();
        sent.iter().all(|id| there.contains(id)).then_some(())
    })
    .await;
    assert_eq!(there().len(), sent.len(), "one was delivered twice");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_vanishes_without_a_word_is_told_and_nothing_is_lost() {
    let test = "surroundings::a_broker_that_vanishes_without_a_word_is_told_and_nothing_is_lost";
    let Some(node) = rabbitmq::shared(test) else { return };
    let vhost = node.vhost();
    let rest = vhost.url.split_once('@').unwrap();
    let (address, path) = rest.1.split_once('/').unwrap();
    let line = Proxy::start(tokio::net::lookup_host(address).await.unwrap().next().unwrap(), 7).await;
    let url = format!("{}@{}/{path}?heartbeat=1", rest.0, line.address());
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let provider = Server::double(&format!("server-of-{PROVIDER}")).await;
    let plan = Plan::new()
        .port(0)
        .broker(&url, "republish-after = \"2s\"")
        .system(SYSTEM, "RW4", record.base_url(), "")
        .provider(PROVIDER, "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", provider.base_url()))
        .all_to(PROVIDER);
    let service = plan.start().await;
    let (onward, base) = (Onward::at(service.base_url()), service.base_url().to_owned());
    part_is(&base, "broker", "ready").await;
    let mut deck = referrals::singles("vanished");
    let mut sent = vec![onward.refer(&deck.next().unwrap()).await];
    line.set(Mode::Swallow);
    for _ in 0..5 {
        sent.push(onward.refer(&deck.next().unwrap()).await);
    }
    let told = part_is(&base, "broker", "unavailable").await;
    assert!(told["advice"].as_str().unwrap().contains("referrals are accepted"), "{told}");
    let whole = ready(&base).await;
    assert_eq!((whole.status.as_u16(), &whole.json()["status"]), (200, &"degraded".into()));
    sent.push(onward.refer(&deck.next().unwrap()).await);
    line.set(Mode::Through);
    part_is(&base, "broker", "ready").await;
    until_within(Duration::from_secs(60), "all are there", || async {
        let there: Vec<_> = provider.resources("Task").iter().filter_map(|task| our_id(task)).collect();
        sent.iter().all(|id| there.contains(id)).then_some(())
    })
    .await;
    assert_eq!(provider.resources("Task").len(), sent.len(), "one was delivered twice");
    service.stop().await;
}

/// A client that asks and asks and never reads an answer does not keep its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_its_answers_is_let_go() {
    let hub = Hub::build().limits("request-timeout = \"1s\"").start().await;
    let at = hub.base_url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(at).await.unwrap();
    let many = "GET /fhir/metadata HTTP/1.1\r\nHost: onward\r\n\r\n".repeat(500);
    let flood = async {
        // until nothing more is taken on either side, and then until the connection is gone
        while stream.write_all(many.as_bytes()).await.is_ok() {}
    };
    let let_go = tokio::time::timeout(PATIENCE, flood).await;
    assert!(let_go.is_ok(), "the connection was kept");
    assert_eq!(hub.actor(None).get("/fhir/metadata").await.status, 200);
    hub.stop().await;
}
