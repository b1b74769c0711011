//! The same for a store on a server.

use onward::service::Service;

use super::*;
use crate::support::{postgres::PostgresServer, referrals::Referral};

/// A service may take so long to say that it cannot, whatever its store does.
const ANSWERED: Duration = Duration::from_secs(25);

/// A service over a store on a server, between a record and a provider.
struct Scene {
    record: Arc<Double>,
    provider: Arc<Double>,
    service: Service,
    onward: Onward,
    base: String,
    /// The ids of what it has accepted.
    sent: Vec<String>,
}

impl Scene {
    async fn over(store: &str) -> Self {
        let record = Server::double(&format!("record-of-{SYSTEM}")).await;
        let provider = Server::double(&format!("server-of-{PROVIDER}")).await;
        let plan = Plan::new()
            .port(0)
            .section("[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
            .system(SYSTEM, "RW4", record.base_url(), "")
            .provider(PROVIDER, "RW4", &format!("kind = \"fhir-rest\", base-url = \"{}\"", provider.base_url()))
            .all_to(PROVIDER)
            .store_url(store);
        let service = plan.start().await;
        let (onward, base) = (Onward::at(service.base_url()), service.base_url().to_owned());
        Self { record, provider, service, onward, base, sent: Vec::new() }
    }

    /// Sends it, and it must be accepted.
    async fn accepts(&mut self, referral: &Referral) {
        self.sent.push(self.onward.refer(referral).await);
    }

    /// Sends it as a sender does that was told to come again, until it is accepted.
    async fn accepts_again(&mut self, referral: &Referral) {
        let answer = until("it is accepted", || async {
            let answer = self.onward.send(referral).await.unwrap();
            let again = answer.status == 503 && answer.retry_after().is_some();
            assert!(again || answer.status.is_success(), "{}", answer.describe());
            answer.status.is_success().then_some(answer)
        })
        .await;
        self.sent.push(answer.links("monitor")[0].rsplit('/').next().unwrap().to_owned());
    }

    /// Sends it, and it must be refused for now, in time.
    async fn refuses(&self, referral: &Referral) {
        let answer =
            tokio::time::timeout(ANSWERED, self.onward.send(referral)).await.expect("an answer in time").unwrap();
        assert_eq!((answer.status.as_u16(), answer.retry_after().is_some()), (503, true), "{}", answer.describe());
    }

    /// Waits until the store is told to take no writes; what is said of it.
    async fn store_is_away(&self) -> String {
        let told = part_is(&self.base, "store", "unavailable").await;
        assert!(told["advice"].as_str().unwrap().contains("goes on by itself"), "{told}");
        part_is(&self.base, "intake", "unavailable").await;
        assert_eq!(ready(&self.base).await.status, 503);
        told["detail"].as_str().unwrap().to_owned()
    }

    /// Waits until referrals are accepted again.
    async fn store_is_back(&self) {
        part_is(&self.base, "store", "ready").await;
        part_is(&self.base, "intake", "ready").await;
    }

    /// Waits until all that was accepted is with the provider, each once.
    async fn delivers(&self) {
        let there = || self.provider.resources("Task").iter().filter_map(|task| our_id(task)).collect::<Vec<_>>();
        until("all are there", || async {
            let there = there();
            self.sent.iter().all(|id| there.contains(id)).then_some(())
        })
        .await;
        assert_eq!(there().len(), self.sent.len(), "one was delivered twice, or without being accepted");
    }

    /// Waits until all is delivered, one is answered, and the record told; then ends.
    async fn ends_whole(self) {
        self.delivers().await;
        let last = self.sent.last().unwrap();
        self.onward.must_answer(PROVIDER, last, "accepted", json!({})).await;
        until("the record is told", || async {
            self.record.resources("Task").iter().any(|task| task["status"] == "accepted").then_some(())
        })
        .await;
        self.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_only_be_read_is_told_and_written_to_when_it_may_be() {
    let Some(server) = PostgresServer::start("only-read") else { return };
    let mut scene = Scene::over(&server.url).await;
    let mut deck = referrals::singles("only-read");
    scene.accepts(&deck.next().unwrap()).await;
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    server.sql("SELECT pg_reload_conf()");
    let told = scene.store_is_away().await;
    assert!(told.contains("can only be read"), "{told}");
    let refused = deck.next().unwrap();
    scene.refuses(&refused).await;
    assert_eq!(scene.onward.task(SYSTEM, &scene.sent[0]).await["resourceType"], "Task", "what is stored is read");
    server.sql("ALTER SYSTEM RESET default_transaction_read_only");
    server.sql("SELECT pg_reload_conf()");
    scene.store_is_back().await;
    scene.accepts(&refused).await;
    scene.ends_whole().await;
}

/// The other end of every connection to the store vanishes without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_vanishes_without_a_word_is_told_and_nothing_is_lost() {
    let Some(server) = PostgresServer::start("vanished") else { return };
    let (user, rest) = server.url.split_once('@').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    let line = Proxy::start(address.parse().unwrap(), 7).await;
    let mut scene = Scene::over(&format!("{user}@{}/{database}", line.address())).await;
    let mut deck = referrals::singles("vanished");
    for _ in 0..5 {
        scene.accepts(&deck.next().unwrap()).await;
    }
    // what is in hand when the server vanishes waits for its lease, which takes longer than a test may
    scene.delivers().await;
    assert_eq!(scene.onward.metric("onward_backlog_known", "").await, 1.0);
    line.set(Mode::Swallow);
    // one is under way when nothing comes back any more, the other finds the door shut
    let refused = [deck.next().unwrap(), deck.next().unwrap()];
    let known = scene.onward.metric("onward_backlog_known", "");
    let ((), told, known) = tokio::join!(scene.refuses(&refused[0]), scene.store_is_away(), known);
    assert_eq!(known, 0.0, "what waits and what died is not known, which is not none");
    assert!(told.contains("answer") || told.contains("did not take a write"), "{told}");
    let begun = Instant::now();
    scene.refuses(&refused[1]).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    line.set(Mode::Through);
    scene.store_is_back().await;
    // which is asked by one connection: another may yet find out that what it waits for never comes
    for referral in &refused {
        scene.accepts_again(referral).await;
    }
    scene.delivers().await;
    scene.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_disk_is_full_is_told_loses_nothing_and_goes_on_when_there_is_room() {
    let test = "disk-full";
    let mounted = PostgresServer::start_on(test, |data| SmallDisk::mount(test, data, 128 << 20));
    let Some((disk, server)) = mounted else { return };
    let mut scene = Scene::over(&server.url).await;
    let mut deck = referrals::singles(test);
    scene.accepts(&deck.next().unwrap()).await;
    disk.fill(64 << 10);
    // accepted until there is no room at all, then refused
    let fill_up = async {
        loop {
            let referral = deck.next().unwrap();
            let answer = scene.onward.send(&referral).await.unwrap();
            if !answer.status.is_success() {
                assert_eq!(
                    (answer.status.as_u16(), answer.retry_after().is_some()),
                    (503, true),
                    "{}",
                    answer.describe()
                );
                return referral;
            }
            scene.sent.push(answer.links("monitor")[0].rsplit('/').next().unwrap().to_owned());
        }
    };
    let refused = tokio::time::timeout(PATIENCE, fill_up).await.expect("one is refused");
    let told = scene.store_is_away().await;
    assert!(told.contains("the disk of the store is full"), "{told}");
    scene.refuses(&refused).await;
    std::fs::remove_file(disk.filling()).unwrap();
    scene.store_is_back().await;
    scene.accepts(&refused).await;
    scene.ends_whole().await;
}
