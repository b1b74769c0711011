//! The built binary is killed again and again under load, while answers are cut off: what was acknowledged arrives, once, and
//! every status gets back in order. Over RabbitMQ and SQLite, between two `sekmet`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use onward::demo::caller::{Call, Caller};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    onward::{Onward, our_id, told},
    plan::Plan,
    proxy::{Mode, Proxy},
    rabbitmq,
    referrals::{self, nhs_numbers},
    scripts::{self, Fates},
    server::{Sekmet, Server, free_port},
    until,
};

const KILLS: usize = 10;
/// At most so many are sent; the last ones after the last kill.
const COUNT: usize = 120;
const CUT: f64 = 0.05;
/// Between being ready and being killed.
const LIFE_MS: std::ops::Range<u64> = 100..1_300;
const LIMIT: Duration = Duration::from_secs(60);

/// The built binary, as often as it is started.
struct Binary {
    file: PathBuf,
    env: BTreeMap<String, String>,
    base: String,
    caller: Caller,
    child: Option<Child>,
}

impl Binary {
    async fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
        command.args(["serve", "--config"]).arg(&self.file).envs(&self.env).stdin(Stdio::null());
        if std::env::var_os("ONWARD_TEST_SHOW").is_none() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        self.child = Some(command.spawn().unwrap());
        until("it is ready", || async {
            let answer = self.caller.call(Call::get(format!("{}/health/ready", self.base))).await;
            answer.is_ok_and(|a| a.status.is_success()).then_some(())
        })
        .await;
    }

    /// `kill -9`
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends until all are acknowledged; the ids of their Tasks.
async fn send(onward: Onward, left: Arc<Mutex<Vec<referrals::Referral>>>, pause: Arc<AtomicBool>) -> Vec<String> {
    let mut tasks = Vec::new();
    loop {
        let Some(referral) = left.lock().unwrap().pop() else { return tasks };
        loop {
            match onward.send(&referral).await {
                Ok(answer) if answer.status.is_success() => {
                    tasks.push(answer.links("monitor")[0].rsplit('/').next().unwrap().to_owned());
                    break;
                }
                Ok(answer) => panic!("{}", answer.describe()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        // spread over all the lives: what is sent next comes before, during and after the next kill
        if pause.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_ten_times_it_loses_nothing_and_sends_nothing_twice() {
    let test = "crash::killed_ten_times_it_loses_nothing_and_sends_nothing_twice";
    let Some(node) = rabbitmq::shared(test) else { return };
    let (record, provider) =
        tokio::join!(Sekmet::start(test, "record-of-merseycare-rio"), Sekmet::start(test, "server-of-life-rooms"));
    let (Some(record), Some(provider)) = (record, provider) else { return };
    let vhost = node.vhost();
    let seed = std::env::var("ONWARD_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("ONWARD_TEST_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let to_record = Proxy::start(record.address(), seed).await;
    let to_provider = Proxy::start(provider.address(), seed + 1).await;
    let port = free_port();
    let inbox = format!(
        "kind = \"fhir-rest\", base-url = \"http://{}/fhir\", answers = \"poll\", poll-every = \"1s\"",
        to_provider.address()
    );
    let plan = Plan::new()
        .port(port)
        .broker(&vhost.url, "republish-after = \"5s\"")
        .section("[retry]\nfirst = \"100ms\"\ncap = \"500ms\"")
        .system("merseycare-rio", "RW4", &format!("http://{}/fhir", to_record.address()), "")
        .provider("life-rooms", "RW4", &inbox)
        .all_to("life-rooms");
    let base = format!("http://127.0.0.1:{port}");
    let mut binary =
        Binary { file: plan.write(), env: plan.env().clone(), base: base.clone(), caller: Caller::new(), child: None };
    binary.start().await;
    to_record.set(Mode::CutAnswers(CUT));
    to_provider.set(Mode::CutAnswers(CUT));

    let fates = Fates::default();
    let staff = tokio::spawn(scripts::polled(Server::Sekmet(Arc::clone(&provider)), fates.clone()));
    let deck: Vec<_> = referrals::singles("crash").take(COUNT).collect();
    let (left, pause) = (Arc::new(Mutex::new(deck.clone())), Arc::new(AtomicBool::new(true)));
    let mut senders = JoinSet::new();
    for _ in 0..2 {
        senders.spawn(send(Onward::at(&base), Arc::clone(&left), Arc::clone(&pause)));
    }
    let began = Instant::now();
    let under_load = AtomicUsize::new(0);
    let trouble = |dice: &mut fastrand::Rng| match dice.u32(0..8) {
        0 => Mode::Refuse,
        1 | 2 => Mode::Delay(Duration::from_millis(100)),
        _ => Mode::CutAnswers(CUT),
    };
    for _ in 0..KILLS {
        to_record.set(trouble(&mut dice));
        to_provider.set(trouble(&mut dice));
        tokio::time::sleep(Duration::from_millis(dice.u64(LIFE_MS))).await;
        under_load.fetch_add(usize::from(!left.lock().unwrap().is_empty()), Ordering::Relaxed);
        binary.kill();
        binary.start().await;
    }
    pause.store(false, Ordering::Relaxed);
    to_record.set(Mode::CutAnswers(CUT));
    to_provider.set(Mode::CutAnswers(CUT));
    let killed = began.elapsed();
    let tasks: BTreeSet<String> = senders.join_all().await.concat().into_iter().collect();
    assert_eq!(tasks.len(), COUNT);

    let records = Server::Sekmet(Arc::clone(&record));
    loop {
        let told = records.all("Task").await;
        let status = |id: &String| told.iter().find(|t| our_id(t).as_ref() == Some(id)).map(|t| t["status"].clone());
        let fates = fates.all();
        let wrong: Vec<_> = tasks
            .iter()
            .filter(|id| fates.get(*id).is_none_or(|fate| status(id).is_none_or(|s| s != fate[fate.len() - 1])))
            .map(|id| (id, fates.get(id), status(id)))
            .collect();
        if wrong.is_empty() {
            break;
        }
        assert!(began.elapsed() < killed + LIMIT, "{} not told: {wrong:?}", wrong.len());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    println!(
        "{KILLS} kills in {killed:?}, {} of them under load; all told after {:?}; answers cut off: {} of the record, {} of the provider",
        under_load.into_inner(),
        began.elapsed(),
        to_record.cut(),
        to_provider.cut()
    );
    staff.abort();
    assert!(to_record.cut() > 0 && to_provider.cut() > 0);

    // once, counted at the provider
    let at_provider = provider.all("Task").await;
    assert_eq!(at_provider.iter().map(|t| our_id(t).unwrap()).collect::<BTreeSet<_>>(), tasks);
    assert_eq!(at_provider.len(), COUNT, "Tasks");
    let requests = provider.all("ServiceRequest").await;
    let people: BTreeSet<_> = requests.iter().flat_map(|r| nhs_numbers(&r["contained"].to_string())).collect();
    assert_eq!((requests.len(), people.len()), (COUNT, COUNT), "ServiceRequests");
    // and in the record: every status, in order
    let in_record = records.all("Task").await;
    assert_eq!(in_record.len(), COUNT, "Tasks in the record");
    let fates = fates.all();
    for task in in_record {
        let history = told(&records.history("Task", task["id"].as_str().unwrap()).await);
        assert!(history.is_sorted_by(|a, b| a.0 < b.0), "{history:?}");
        let statuses: Vec<_> = history.iter().map(|(_, status)| status.as_str()).collect();
        assert_eq!(statuses, fates[&our_id(&task).unwrap()], "{history:?}");
    }
}
