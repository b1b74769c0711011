//! Route sets are made the active ones under load: no referral is routed by a mixture, none is lost, and every process takes each up
//! in time. One that cannot keeps the one before, and says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Output},
    time::Duration,
};

use jiff::Timestamp;
use onward::demo::caller::{Call, Caller};
use serde_json::Value;

use super::empty_store;
use crate::support::{
    flow::Load, onward::Onward, plan::Plan, process::Process, rabbitmq, referrals, server::Server, until, until_within,
};

/// Every process has it after so long.
const TAKEN_UP: Duration = Duration::from_secs(2);
const ALL: &str = "api, delivery, writeback, scheduler";
const BOXES: u64 = 3;

/// Where version `n` sends what comes from whom: by a route, and what no route takes.
struct Says {
    text: String,
    routed: (String, String),
    triage: String,
}

fn says(n: u64) -> Says {
    let (name, to, triage) = (format!("rule of {n}"), format!("box-{}", n % BOXES), format!("box-{}", (n + 1) % BOXES));
    let text = format!(
        "[[route]]\nname = \"{name}\"\nwhen = {{ system = [\"merseycare-rio\", \"ward-epr\"] }}\nto = \"{to}\"\n\
         [triage]\nto = \"{triage}\"\n"
    );
    Says { text, routed: (name, to), triage }
}

/// A plan whose processes know so many boxes.
fn plan(vhost: &rabbitmq::Vhost<'_>, record: &str, boxes: u64) -> Plan {
    let mut plan = Plan::new()
        .section("[server]\nbase-url = \"http://127.0.0.1:8787\"")
        .section("[registry]\nsource = \"store\"")
        .broker(&vhost.url, "")
        .record_token("merseycare-rio");
    for (id, ods) in [("merseycare-rio", "RW4"), ("brownlow-gp", "N82999"), ("ward-epr", "REM")] {
        plan = plan.system(id, ods, record, "");
    }
    for n in 0..boxes {
        plan = plan.worklist(&format!("team-{n}"), &format!("U9999{n}"), &format!("box-{n}"));
    }
    plan
}

/// Runs `onward routes …` beside them.
fn routes(plan: &Plan, store: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
    command.arg("routes").args(args).arg("--config").arg(plan.write()).envs(plan.env());
    command.env("ONWARD__STORE__URL", store).output().unwrap()
}

/// The same, which must succeed and answer in JSON.
#[track_caller]
fn must(plan: &Plan, store: &str, args: &[&str]) -> Value {
    let ran = routes(plan, store, args);
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// Puts what version `n` says into a file of the plan.
fn file_of(plan: &Plan, n: u64) -> String {
    let file = plan.store_path().with_file_name(format!("routes-{n}.toml"));
    std::fs::write(&file, says(n).text).unwrap();
    file.display().to_string()
}

fn apply(plan: &Plan, store: &str, n: u64) -> Value {
    must(
        plan,
        store,
        &["apply", &file_of(plan, n), "--comment", &format!("version {n}"), "--author", "kim", "--no-wait", "--json"],
    )
}

/// What a process says of its route set.
async fn told(process: &Process) -> Value {
    let answer = Caller::new().call(Call::get(format!("{}/health/ready", process.base))).await;
    answer.map(|answer| answer.json()["parts"]["routes"].clone()).unwrap_or_default()
}

/// Waits until both have this version; how long after its activation that was, by the clock that stamped it.
async fn taken_up(processes: [&Process; 2], number: u64, at: Timestamp) -> Duration {
    let said = format!("version {number} (");
    let mut slowest = Duration::ZERO;
    for process in processes {
        let what = format!("{} takes up version {number}", process.base);
        until_within(4 * TAKEN_UP, &what, || async {
            let detail = told(process).await["detail"].as_str().unwrap_or_default().to_owned();
            detail.starts_with(&said).then_some(())
        })
        .await;
        slowest = slowest.max(Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default());
    }
    slowest
}

fn activated_at(plan: &Plan, store: &str) -> Timestamp {
    must(plan, store, &["history", "--json", "--limit", "1"])[0]["at"].as_str().unwrap().parse().unwrap()
}

/// Two that have no route set yet turn referrals away, until the first is applied to both.
async fn begin(plan: &Plan, store: &str, a: &mut Process, b: &mut Process) {
    for process in [&*a, &*b] {
        until("it says that there is no route set", || async {
            let is = told(process).await;
            let said = is["detail"].as_str().unwrap_or_default().contains("no route set is active");
            (is["state"] == "unavailable" && said).then_some(())
        })
        .await;
        let refused = process.onward().send(&referrals::one("01", "too-soon")).await.unwrap();
        assert_eq!(refused.status, 503, "{}", refused.describe());
        assert!(refused.retry_after().is_some(), "{}", refused.describe());
    }
    apply(plan, store, 1);
    let took = taken_up([a, b], 1, activated_at(plan, store)).await;
    assert!(took < TAKEN_UP, "{took:?}");
    assert!(a.ready().await && b.ready().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_activated_under_load_and_no_referral_is_routed_by_a_mixture() {
    let test = "replicas::versions::versions_are_activated_under_load_and_no_referral_is_routed_by_a_mixture";
    let Some(node) = rabbitmq::shared(test) else { return };
    let Some(store) = empty_store(test).await else { return };
    let vhost = node.vhost();
    let record = Server::double("record-of-merseycare-rio").await;
    let plan = plan(&vhost, record.base_url(), BOXES);
    let (mut a, mut b) = (Process::spawn(&plan, &store, ALL), Process::spawn(&plan, &store, ALL));
    begin(&plan, &store, &mut a, &mut b).await;

    // several systems; some send several referrals in one Bundle, which belong to one version all of them
    let decks = (0..4).map(|n| referrals::mixed(&format!("versions{n}-")));
    let load = Load::of(&[a.onward(), b.onward()], decks, Duration::from_millis(15));
    let mut slowest = Duration::ZERO;
    for turn in 2..=9 {
        let before = load.so_far().len();
        // a new version, and now and then an older one again
        let number = if turn % 4 == 0 {
            let back = (turn / 2).to_string();
            must(&plan, &store, &["rollback", &back, "--comment", "back", "--no-wait", "--json"])["number"].clone()
        } else {
            apply(&plan, &store, turn)["number"].clone()
        };
        let took = taken_up([&a, &b], number.as_u64().unwrap(), activated_at(&plan, &store)).await;
        println!("activation {turn}: version {number}, in force everywhere after {took:?}");
        slowest = slowest.max(took);
        until("referrals go on", || async { (load.so_far().len() > before + 20).then_some(()) }).await;
    }
    let sent = load.end().await;
    assert!(slowest < TAKEN_UP, "the slowest took {slowest:?}");
    assert_eq!(sent.refused, 0, "nobody is sent away by an activation");

    let acknowledged: BTreeSet<String> = sent.referrals.iter().flat_map(|one| one.tasks.clone()).collect();
    let versions = agree(&plan, &store, &acknowledged).await;
    println!("{} Tasks acknowledged, by {} versions", acknowledged.len(), versions.len());
    assert!(versions.len() >= 6, "{versions:?}");
    assert!(a.stop().await.success() && b.stop().await.success());
}

/// That every Task that was acknowledged is there, and that decision, inbox, provider and journal are those of the version that its
/// row names; that what came in one request has one version. Which versions decided how often.
async fn agree(plan: &Plan, store: &str, acknowledged: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let history = must(plan, store, &["history", "--json"]);
    let mut known = BTreeMap::new();
    for one in history.as_array().unwrap() {
        let comment = one["comment"].as_str().unwrap().strip_prefix("version ");
        if let (Some(n), true) = (comment, one["new"] == true) {
            known.insert(one["version"].as_str().unwrap().to_owned(), says(n.parse().unwrap()));
        }
    }
    let (client, connection) = tokio_postgres::connect(store, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql =
        "SELECT t.id, t.route_set AS of_task, r.route_set, r.decision, r.system, r.submission, t.inbox, t.provider,
                      (SELECT detail FROM journal j WHERE j.task = t.id AND j.seq = 1) AS first
               FROM task t JOIN referral r ON r.id = t.referral";
    let (mut found, mut counts, mut requests) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    for row in client.query(sql, &[]).await.unwrap() {
        let text = |column: &str| row.get::<_, String>(column);
        let (id, set): (uuid::Uuid, String) = (row.get("id"), text("route_set"));
        let says = known.get(&set).unwrap_or_else(|| panic!("{id}: no version {set}"));
        let (route, to) = match text("system").as_str() {
            "brownlow-gp" => (None, &says.triage),
            _ => (Some(says.routed.0.as_str()), &says.routed.1),
        };
        let decision: Value = serde_json::from_str(&text("decision")).unwrap();
        assert_eq!(
            (decision["route"].as_str(), decision["inboxes"][0]["to"].as_str()),
            (route, Some(to.as_str())),
            "{id} by {set}"
        );
        assert_eq!(decision["rules"][0]["name"], says.routed.0.as_str(), "{id} by {set}");
        assert_eq!((text("of_task"), text("inbox")), (set.clone(), to.clone()), "{id}");
        assert_eq!(text("provider"), to.replace("box", "team"), "{id}");
        let first: Value = serde_json::from_str(&text("first")).unwrap();
        let first = first.to_string();
        assert!(first.contains(&set) && first.contains(to.as_str()), "{id}: {first}");
        let submission: uuid::Uuid = row.get("submission");
        assert_eq!(requests.entry(submission).or_insert_with(|| set.clone()), &set, "{submission} has two versions");
        *counts.entry(set).or_insert(0) += 1;
        found.insert(id.to_string());
    }
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "{lost:?} are lost");
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_take_a_version_up_keeps_the_one_before_and_says_so() {
    let test = "replicas::versions::one_that_cannot_take_a_version_up_keeps_the_one_before_and_says_so";
    let Some(node) = rabbitmq::shared(test) else { return };
    let Some(store) = empty_store(test).await else { return };
    let vhost = node.vhost();
    let record = Server::double("record-of-merseycare-rio").await;
    let knows = plan(&vhost, record.base_url(), BOXES);
    // the file of the other machine was forgotten: it lacks box-2, which is what version 2 is about
    let lacks = plan(&vhost, record.base_url(), BOXES - 1);
    let (mut a, mut b) = (Process::spawn(&knows, &store, ALL), Process::spawn(&lacks, &store, ALL));
    until("its first commands", || async {
        let is = |process| async move { told(process).await["state"] == "unavailable" };
        (is(&a).await && is(&b).await).then_some(())
    })
    .await;
    // one that sends nothing there fits both
    let none = knows.store_path().with_file_name("routes-0.toml");
    std::fs::write(
        &none,
        "[[route]]\nname = \"r\"\nwhen = { system = [\"ward-epr\"] }\nto = \"box-0\"\n[triage]\nto = \"box-1\"\n",
    )
    .unwrap();
    must(&knows, &store, &["apply", none.to_str().unwrap(), "--comment", "fits both", "--no-wait", "--json"]);
    taken_up([&a, &b], 1, activated_at(&knows, &store)).await;
    assert!(a.ready().await && b.ready().await);

    apply(&knows, &store, 2);
    let is = until("the other says that it cannot", || async {
        let is = told(&b).await;
        (is["state"] == "degraded").then_some(is)
    })
    .await;
    let detail = is["detail"].as_str().unwrap();
    assert!(detail.contains("version 2 is active and is not taken up here"), "{detail}");
    assert!(detail.contains("box-2") && detail.contains("version 1 stays in force"), "{detail}");
    assert!(is["advice"].as_str().unwrap().contains("onward check --connect"), "{is}");
    taken_up([&a, &a], 2, activated_at(&knows, &store)).await;
    assert_eq!(b.onward().metric("onward_route_set_number", "").await, 1.0);
    assert_eq!(b.onward().metric("onward_route_set_refused", "").await, 1.0);
    assert_eq!(b.onward().metric("onward_alerts_total", "configuration-refused").await, 1.0);
    let open = worklist(&knows, &store);
    assert!(open.len() == 1 && open[0].contains("route set at") && open[0].contains("box-2"), "{open:?}");
    // both take referrals, each by what it has
    for (process, inbox) in [(&a, "box-2"), (&b, "box-0")] {
        assert_eq!(inbox_of(&process.onward(), &store, inbox).await, inbox);
    }
    // `onward check` on that machine tells the same
    let check = |plan: &Plan| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
        command.args(["check", "--connect", "--config"]).arg(plan.write()).envs(plan.env());
        let ran = command.env("ONWARD__STORE__URL", &store).output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    assert!(check(&knows).contains("good: routes: 1 routes"), "{}", check(&knows));
    assert!(check(&lacks).contains("BAD:  routes: version 2"), "{}", check(&lacks));

    // another version is another chance, and what was told of this one is over
    must(&knows, &store, &["rollback", "1", "--comment", "back", "--no-wait", "--json"]);
    taken_up([&a, &b], 1, activated_at(&knows, &store)).await;
    assert_eq!(told(&b).await["state"], "ready");
    assert_eq!(worklist(&knows, &store), Vec::<String>::new());
    assert!(a.stop().await.success());

    // one that starts with a version that it cannot take up takes no referrals, until its file is mended
    let ran = routes(&knows, &store, &["rollback", "2", "--comment", "again"]);
    let (out, err) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
    assert_eq!(ran.status.code(), Some(1), "{out}{err}");
    assert!(
        out.contains("version 2 is active") && out.contains("BAD:  route set at") && out.contains("box-2"),
        "{out}"
    );
    assert!(err.contains("1 of the running processes cannot take it up"), "{err}");
    assert!(b.stop().await.success());
    let b = Process::spawn(&lacks, &store, ALL);
    let is = until("it says that it cannot start", || async {
        let is = told(&b).await;
        (is["state"] == "unavailable").then_some(is)
    })
    .await;
    assert!(is["detail"].as_str().unwrap().contains("version 2"), "{is}");
    let refused = b.onward().send(&referrals::one("01", "not-yet")).await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.describe());
    let (mended, file) = (std::fs::read_to_string(knows.write()).unwrap(), lacks.write());
    let secrets = lacks.store_path().with_file_name("team-2");
    std::fs::write(&secrets, crate::support::plan::token("team-2")).unwrap();
    // the environment of a process that runs does not change: a file stands in for it
    std::fs::write(file, mended.replace("{ env = \"TOKEN_TEAM_2\" }", "{ file = \"team-2\" }")).unwrap();
    until("its file is mended", || async { (told(&b).await["state"] == "ready").then_some(()) }).await;
    assert_eq!(inbox_of(&b.onward(), &store, "mended").await, "box-2");
    assert_eq!(worklist(&knows, &store), Vec::<String>::new());
    assert!(b.stop().await.success());
}

/// The open lines of the worklist that are about configurations.
fn worklist(plan: &Plan, store: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
    command.args(["worklist", "--json", "--config"]).arg(plan.write()).envs(plan.env());
    let ran = command.env("ONWARD__STORE__URL", store).output().unwrap();
    let lines: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let about = lines.as_array().unwrap().iter().filter(|line| line["kind"] == "configuration-refused");
    about.map(Value::to_string).collect()
}

/// Where a new referral of `ward-epr` goes from there.
async fn inbox_of(onward: &Onward, store: &str, suffix: &str) -> String {
    let fixtures = referrals::fixtures();
    let file = &fixtures.iter().find(|f| f.system == "ward-epr" && f.parts.len() == 1).unwrap().file;
    let task = onward.refer(&referrals::one(file, suffix)).await;
    let (client, connection) = tokio_postgres::connect(store, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let id: uuid::Uuid = task.parse().unwrap();
    client.query_one("SELECT inbox FROM task WHERE id = $1", &[&id]).await.unwrap().get(0)
}
