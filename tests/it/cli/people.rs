//! `onward people`: local accounts, beside a running service.

use serde_json::{Value, json};

use super::{
    hub::{Hub, LINK_WORKERS},
    run,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_made_changed_and_closed_and_no_password_is_anywhere() {
    let hub = Hub::build().sections("[people]\nlocal = true\n").start().await;
    let role = format!("provider-worker:{LINK_WORKERS}");
    let added = run(hub.folder(), &["people", "add", "anna", "--full-name", "Anna Carr", "--role", &role]);
    assert_eq!(added.code, 0, "{added:?}");
    assert!(added.out.contains("/enrol within 72 hours"), "{}", added.out);
    let code = added.out.lines().nth(1).unwrap();
    assert_eq!((code.len(), code.matches('-').count()), (29, 5), "{code}");

    let list = || run(hub.folder(), &["people", "list", "--json"]).json();
    let listed = list();
    assert_eq!(listed[0]["name"], "anna");
    assert_eq!((&listed[0]["fullName"], &listed[0]["state"]), (&json!("Anna Carr"), &json!("to enrol")));
    assert_eq!(listed[0]["roles"], json!([role]));
    let shown = run(hub.folder(), &["people", "list"]);
    assert!(!shown.out.contains(code) && !listed.to_string().contains(code), "it is shown once");

    for (wrong, why) in [
        (&["people", "add", "anna", "--role", "operator"][..], "there is an account of that name already"),
        (&["people", "add", "Anna B", "--role", "operator"], "a name to log in with"),
        (&["people", "add", "bert", "--role", "provider-worker:nowhere"], "there is no such system or provider"),
        (&["people", "roles", "nobody", "--role", "operator"], "there is no account of that name"),
        (&["people", "disable", "nobody"], "there is no account of that name"),
    ] {
        let ran = run(hub.folder(), wrong);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{wrong:?}: {ran:?}");
        assert!(ran.err.contains(why), "{wrong:?}: {ran:?}");
    }
    assert_eq!(run(hub.folder(), &["people", "add", "bert", "--role", "king"]).code, 2, "no such role");
    assert_eq!(run(hub.folder(), &["people", "add", "bert"]).code, 2, "nobody is nothing");

    assert_eq!(run(hub.folder(), &["people", "roles", "anna", "--role", "auditor", "--role", "operator"]).code, 0);
    assert_eq!(list()[0]["roles"], json!(["auditor", "operator"]));
    assert_eq!(run(hub.folder(), &["people", "disable", "anna"]).code, 0);
    assert_eq!(list()[0]["state"], "disabled");
    assert_eq!(run(hub.folder(), &["people", "enable", "anna"]).code, 0);
    let reset = run(hub.folder(), &["people", "reset", "anna"]);
    assert_ne!(reset.out.lines().nth(1).unwrap(), code, "a new code");
    let changes = run(hub.folder(), &["people", "changes", "--json"]);
    let changes: Vec<Value> = changes.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done: Vec<&str> = changes.iter().map(|change| change["what"].as_str().unwrap()).collect();
    assert_eq!(done, ["added", "given other roles", "disabled", "enabled", "reset"]);
    let by = |change: &Value| change["by"].as_str().unwrap().starts_with("command:") && change["account"] == "anna";
    assert!(changes.iter().all(by), "{changes:?}");
    assert_eq!((run(hub.folder(), &["people", "glasses"]).code, list()[0]["state"].clone()), (0, json!("to enrol")));
    // what has ended is forgotten when somebody says so, and is nobody else's
    let open = run(hub.folder(), &["people", "forget", "anna"]);
    assert!(open.code == 1 && open.err.contains("has not ended"), "{open:?}");
    assert_eq!(run(hub.folder(), &["people", "disable", "anna"]).code, 0);
    assert_eq!(run(hub.folder(), &["people", "forget", "anna"]).code, 0);
    assert_eq!(list(), json!([]));
    let again = run(hub.folder(), &["people", "add", "anna", "--role", "operator"]);
    assert!(again.code == 1 && again.err.contains("given to nobody else"), "{again:?}");
    assert!(run(hub.folder(), &["people", "changes"]).out.contains("  anna  forgotten  "));
    hub.stop().await;
}

#[test]
fn who_runs_onward_is_added_before_its_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[store]\nurl = \"sqlite:data/onward.db\"\n[people]\nlocal = true\n";
    std::fs::write(folder.path().join("onward.toml"), text).unwrap();
    let added = run(folder.path(), &["people", "add", "olive", "--role", "operator"]);
    assert_eq!(added.code, 0, "{added:?}");
    assert!(added.err.contains("it is made") && added.out.contains("/enrol"), "{added:?}");
    let again = run(folder.path(), &["people", "add", "bert", "--role", "auditor"]);
    assert!(again.code == 0 && !again.err.contains("it is made"), "{again:?}");
    let listed = run(folder.path(), &["people", "list", "--json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
}
