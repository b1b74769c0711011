//! Route sets in the store: applied, listed, shown, made active again; one process over SQLite that takes them up while it runs.

use std::{fs, time::Instant};

use serde_json::json;

use super::{Ran, hub::Hub, run};
use crate::support::{
    fixtures,
    hub::{GP, LINK_WORKERS, TRIAGE},
    until,
};

const STORE: &str = "[registry]\nsource = \"store\"\n";
const TO_TRIAGE: &str =
    "# all of one system\r\n[[route]]\nname = \"all\"\nwhen = { system = [\"brownlow-gp\"] }\nto = \"triage\"\n";

/// Runs `onward routes …` in the hub's folder.
fn routes(hub: &Hub, args: &[&str]) -> Ran {
    let waits = matches!(args.first(), Some(&"apply" | &"rollback"));
    let more: &[&str] = if waits { &["--no-wait"] } else { &[] };
    run(hub.folder(), &[&["routes"], args, more].concat())
}

#[track_caller]
fn good(ran: &Ran) -> &str {
    assert_eq!(ran.code, 0, "{ran:?}");
    &ran.out
}

#[track_caller]
fn refused<'r>(ran: &'r Ran, told: &str) -> &'r str {
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains(told), "{told}: {ran:?}");
    &ran.err
}

/// The owner of a new referral of the GP, once one is accepted that has it.
async fn goes_to(hub: &Hub, owner: &str, tag: &str) {
    let (gp, owner, mut n) = (hub.sender(GP), format!("Organization/{owner}"), 0);
    until(&format!("{tag}: referrals go to {owner}"), || {
        n += 1;
        let (gp, owner, referral) = (&gp, &owner, fixtures::to_link_workers(&format!("{tag}-{n}")));
        async move {
            let answer = gp.refer(&referral).await;
            let task = answer.status.is_success().then(|| answer.links("monitor")[0].clone())?;
            (gp.get(&task).await.json()["owner"]["reference"] == *owner).then_some(())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_is_applied_changed_and_rolled_back_while_it_runs() {
    let hub = Hub::build().sections(STORE).watched().start().await;
    // nothing says where anything goes: who refers comes again, and whoever looks is told what to do
    let answer = hub.sender(GP).refer(&fixtures::to_link_workers("early")).await;
    assert_eq!(answer.status, 503, "{}", answer.describe());
    assert!(answer.header("retry-after").is_some(), "{}", answer.describe());
    let ready = hub.actor(None).get("/health/ready").await;
    assert_eq!(ready.status, 503);
    let part = ready.json()["parts"]["routes"].clone();
    assert!(part["detail"].as_str().unwrap().contains("no route set is active"), "{part}");
    assert!(part["advice"].as_str().unwrap().contains("onward routes apply"), "{part}");
    assert!(good(&routes(&hub, &["history"])).contains("no version was stored yet"));
    assert_eq!(routes(&hub, &["history", "--json"]).json(), json!([]));
    let referral = fixtures::path("referrals/01-contained-patient.json");
    let explain = || routes(&hub, &["explain", referral.to_str().unwrap(), "--system", "merseycare-rio", "--json"]);
    refused(&explain(), "no route set is active");
    refused(&run(hub.folder(), &["check", "--connect"]), " cannot be reached, or are not what they should be");

    // without a name it is the file under [routes]
    let applied = routes(&hub, &["apply", "--comment", "the first"]);
    assert!(good(&applied).starts_with("version 1 is active: 8 routes (version "), "{applied:?}");
    let began = Instant::now();
    until("it is ready", || async { (hub.actor(None).get("/health/ready").await.status == 200).then_some(()) }).await;
    assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
    goes_to(&hub, LINK_WORKERS, "first").await;
    assert_eq!(explain().json()[0]["explanation"]["rules"].as_array().unwrap().len(), 8);
    let checked = run(hub.folder(), &["check", "--connect"]);
    assert!(good(&checked).contains("4 inboxes, the routes that are active in the store"), "{checked:?}");
    assert!(checked.out.contains("good: routes: 8 routes (version "), "{checked:?}");

    let other = hub.folder().join("other.toml");
    fs::write(&other, TO_TRIAGE).unwrap();
    let args = ["apply", other.to_str().unwrap(), "--comment", "all to triage", "--author", "Kim at night", "--json"];
    let second = routes(&hub, &args).json();
    assert_eq!((&second["number"], &second["activation"]), (&json!(2), &json!(2)));
    goes_to(&hub, TRIAGE, "second").await;
    refused(&routes(&hub, &args), "nothing was changed: version 2 is active and is the same");
    // other words and the same rules are another version that decides alike
    fs::write(&other, format!("{TO_TRIAGE}# and nothing more\n")).unwrap();
    let third = routes(&hub, &args);
    assert_eq!((&third.json()["number"], &third.json()["version"]), (&json!(3), &second["version"]));
    assert!(third.err.contains("only other words differ"), "{third:?}");
    assert!(
        third.err.contains("no [triage]") && third.err.contains("no route leads to the inbox life-rooms"),
        "{third:?}"
    );

    assert!(
        good(&routes(&hub, &["rollback", "1", "--comment", "too much for triage"]))
            .starts_with("version 1 is active: 8")
    );
    goes_to(&hub, LINK_WORKERS, "back").await;
    refused(&routes(&hub, &["rollback", "1", "--comment", "again"]), "version 1 is the active one");
    refused(&routes(&hub, &["rollback", "9", "--comment", "x"]), "there is no version 9");

    let history = routes(&hub, &["history", "--json"]).json();
    let short: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["activation"], one["number"], one["new"], one["active"], one["author"], one["comment"]]))
        .collect();
    let me = whoami::username();
    assert_eq!(
        json!(short),
        json!([
            [4, 1, false, true, me, "too much for triage"],
            [3, 3, true, false, "Kim at night", "all to triage"],
            [2, 2, true, false, "Kim at night", "all to triage"],
            [1, 1, true, false, me, "the first"],
        ])
    );
    let listed = routes(&hub, &["history", "--limit", "1"]);
    assert!(good(&listed).contains("again  active") && listed.out.lines().count() == 1, "{listed:?}");
    assert_eq!(good(&routes(&hub, &["show", "2"])), TO_TRIAGE, "byte for byte");
    let shown = routes(&hub, &["show", "1", "--json"]).json();
    assert_eq!((&shown["text"], &shown["files"]), (&json!(fixtures::text("routes.toml")), &json!({})));
    refused(&routes(&hub, &["show", "7"]), "there is no version 7");
    refused(&routes(&hub, &["show", "1", "--member", "x.json"]), "has no file “x.json”");

    // one that starts anew has the active version before the first referral comes
    let (config, folder) = (hub.load().0, hub.stop_keeping().await);
    let service = onward::service::Service::start(config).await.unwrap();
    let caller = onward::demo::caller::Caller::new();
    let ready = onward::demo::caller::Call::get(format!("{}/health/ready", service.base_url()));
    assert_eq!(caller.call(ready).await.unwrap().status, 200);
    service.stop().await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_and_changes_nothing() {
    let hub = Hub::build().sections(STORE).start().await;
    let file = hub.folder().join("wrong.toml");
    fs::write(&file, "[[route]]\nname = \"r\"\nwhen = { code = [] }\nto = \"nowhere\"\n").unwrap();
    let ran = routes(&hub, &["apply", file.to_str().unwrap(), "--comment", "x"]);
    let told = refused(&ran, "nothing was changed; the route file has: 2 faults");
    assert!(told.contains("wrong.toml:3:") && told.contains("wrong.toml:4:") && told.contains("nowhere"), "{told}");
    refused(&routes(&hub, &["apply", "no-such.toml", "--comment", "x"]), "cannot read no-such.toml");
    fs::write(&file, "#".repeat((4 << 20) + 1)).unwrap();
    refused(&routes(&hub, &["apply", file.to_str().unwrap(), "--comment", "x"]), "it has more than 4194304 bytes");
    for wrong in [
        &["apply", "wrong.toml"][..],
        &["apply", "--comment", ""],
        &["apply", "--comment", "two\nlines"],
        &["apply", "--comment", "x", "--author", " "],
        &["rollback", "--comment", "x"],
        &["rollback", "first", "--comment", "x"],
        &["rollback", "1"],
        &["show"],
    ] {
        let ran = routes(&hub, wrong);
        assert_eq!(ran.code, 2, "{wrong:?}: {ran:?}");
    }
    assert_eq!(routes(&hub, &["history", "--json"]).json(), json!([]));

    // a version that the systems and inboxes of today do not fit any more is not made active again
    good(&routes(&hub, &["apply", "--comment", "one"]));
    fs::write(&file, TO_TRIAGE).unwrap();
    good(&routes(&hub, &["apply", file.to_str().unwrap(), "--comment", "two"]));
    let config = fs::read_to_string(hub.config_path()).unwrap();
    fs::write(hub.config_path(), config.replace("\"housing-support\"\nname", "\"housing-help\"\nname")).unwrap();
    let told = routes(&hub, &["rollback", "1", "--comment", "x"]);
    let told = refused(&told, "nothing was changed; beside the systems and inboxes of today version 1 has");
    assert!(told.contains("route set 1:") && told.contains("housing-support"), "{told}");
    assert_eq!(routes(&hub, &["history", "--json"]).json()[0]["number"], 2);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_set_names_is_stored_with_it_and_needed_nowhere_else() {
    let hub = Hub::build().sections(STORE).start().await;
    // whoever applies it has its files beside it; the service has them not
    let desk = tempfile::tempdir().unwrap();
    fs::create_dir(desk.path().join("tests")).unwrap();
    let referral = fixtures::to_link_workers("in-a-test").to_string();
    fs::write(desk.path().join("tests/one.json"), &referral).unwrap();
    let set = |to: &str| {
        format!(
            "[[route]]\nname = \"all\"\nwhen = {{ system = [\"brownlow-gp\"] }}\nto = \"{to}\"\n[[test]]\nname = \"one\"\n\
             referral = \"tests/one.json\"\nfrom = \"brownlow-gp\"\nat = \"2026-11-26T10:00:00Z\"\n\
             expect = {{ to = \"link-workers\" }}\n"
        )
    };
    let file = desk.path().join("r.toml");
    let apply = ["apply", file.to_str().unwrap(), "--comment", "with its test"];
    fs::write(&file, set("triage")).unwrap();
    let told = routes(&hub, &apply);
    assert!(refused(&told, "1 fault").contains("the test “one” fails"), "{told:?}");
    fs::write(&file, set("link-workers")).unwrap();
    good(&routes(&hub, &apply));
    goes_to(&hub, LINK_WORKERS, "with-files").await;
    refused(&routes(&hub, &apply), "is the same");
    let shown = routes(&hub, &["show", "1", "--json"]).json();
    assert_eq!(shown["files"], json!({"tests/one.json": referral}));
    assert_eq!(good(&routes(&hub, &["show", "1", "--member", "tests/one.json"])), referral);
    assert!(routes(&hub, &["show", "1"]).err.contains("the file tests/one.json belongs to it"));
    // another test alone is another version, and a version keeps its own when the folder has gone
    fs::write(desk.path().join("tests/one.json"), referral.replace("in-a-test", "in-another")).unwrap();
    good(&routes(&hub, &apply));
    drop(desk);
    good(&routes(&hub, &["rollback", "1", "--comment", "its own test is enough"]));
    good(&run(hub.folder(), &["check", "--connect"]));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_routes_come_from_a_file_it_says_what_to_do_instead() {
    let hub = Hub::start().await;
    for args in [&["apply", "--comment", "x"][..], &["rollback", "1", "--comment", "x"]] {
        let ran = routes(&hub, args);
        let told = refused(&ran, "[registry] source = \"store\"");
        assert!(told.contains("routes.toml: change that file"), "{told}");
    }
    let history = routes(&hub, &["history"]);
    assert!(good(&history).contains("no version") && history.err.contains("from a file"), "{history:?}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_does_not_fit_the_set_in_force_waits_for_another_set() {
    let hub = Hub::build().sections(STORE).watched().start().await;
    good(&routes(&hub, &["apply", "--comment", "one"]));
    goes_to(&hub, LINK_WORKERS, "one").await;
    let whole = fs::read_to_string(hub.config_path()).unwrap();
    let without = whole.replace("\"housing-support\"\nname", "\"housing-help\"\nname");
    assert_ne!(whole, without);
    fs::write(hub.config_path(), &without).unwrap();
    let open = || async { hub.service().store().open_alerts(9).await.unwrap() };
    let alert = until("it is refused", || async { open().await.pop() }).await;
    assert_eq!(alert.subject, "configuration");
    assert!(alert.text.contains("version 1 of the route set is in force and does not fit"), "{}", alert.text);
    assert!(alert.text.contains("housing-support"), "{}", alert.text);
    goes_to(&hub, LINK_WORKERS, "still").await;
    // where the store is to have the routes is not changed under way
    fs::write(hub.config_path(), whole.replace("\"store\"", "\"file\"")).unwrap();
    let is_told = || async { open().await.iter().any(|alert| alert.text.contains("source")).then_some(()) };
    // the alert that stands is told once: what it says now is seen in the log alone
    assert!(is_told().await.is_none());
    fs::write(hub.config_path(), &without).unwrap();

    let other = hub.folder().join("other.toml");
    fs::write(&other, TO_TRIAGE).unwrap();
    good(&routes(&hub, &["apply", other.to_str().unwrap(), "--comment", "two"]));
    goes_to(&hub, TRIAGE, "two").await;
    until("the configuration is in force by itself", || async { open().await.is_empty().then_some(()) }).await;
    // and it is: the former set does not fit any more
    refused(&routes(&hub, &["rollback", "1", "--comment", "x"]), "nothing was changed");
    hub.stop().await;
}
