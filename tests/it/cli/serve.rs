//! `serve`: on embedded defaults, and twice on one store.

use std::{os::unix::fs::PermissionsExt as _, process::Stdio};

use onward::demo::caller::{Call, Caller, FHIR_JSON};

use super::{SOON, Served, hub::Hub, onward};
use crate::support::fixtures;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_configuration_it_runs_on_defaults_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let start = async || {
        let mut command = onward(folder.path(), &["serve"]);
        command.env("ONWARD__SERVER__LISTEN", "127.0.0.1:0");
        Served::start(command, log.path()).await
    };
    let served = start().await;
    let data = folder.path().join("onward-data");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("token"))), (0o700, 0o600));
    let token = std::fs::read_to_string(data.join("token")).unwrap().trim().to_owned();
    assert!(token.len() >= 32, "{} characters", token.len());
    let said = served.said();
    assert!(said.contains("onward-data/token"), "{said}");
    assert!(!said.contains(&token), "it says its token");
    assert!(served.base_url.starts_with("http://127.0.0.1:"), "{}", served.base_url);

    let caller = Caller::new();
    let post = Call::new(hyper::Method::POST, format!("{}/fhir/ServiceRequest", served.base_url));
    let post = post.json(FHIR_JSON, &fixtures::to_link_workers("local"));
    let stranger = caller.call(post.clone().token("0123456789abcdef")).await.unwrap();
    assert_eq!(stranger.status, 401);
    let sent = caller.call(post.clone().token(&token)).await.unwrap();
    assert_eq!(sent.status, 201, "{}", sent.describe());
    let task = caller.call(Call::get(&sent.links("monitor")[0]).token(&token)).await.unwrap().json();
    assert_eq!(task["owner"]["reference"], "Organization/local");
    assert_eq!(served.end().await, Some(0));

    // and again with the same token and the same store
    let served = start().await;
    assert_eq!(std::fs::read_to_string(data.join("token")).unwrap().trim(), token);
    let post = Call { url: format!("{}/fhir/ServiceRequest", served.base_url), ..post };
    assert_eq!(caller.call(post.token(&token)).await.unwrap().status, 200);
    assert_eq!(served.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_work_alone_over_sqlite_does_not_start() {
    let hub = Hub::build().without_service().start().await;
    let ran = super::run(hub.folder(), &["serve", "--roles", "api"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("command line --roles") && ran.err.contains("serves one process only"), "{ran:?}");
    assert!(!hub.store_path().exists(), "it had begun already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_one_on_the_same_store_does_not_start() {
    let hub = Hub::build().without_service().start().await;
    let served = Served::start(onward(hub.folder(), &["serve"]), &hub.folder().join("log")).await;
    let mut second = onward(hub.folder(), &["serve"]);
    let mut second = second.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = std::time::Instant::now();
    let code = crate::support::until("the second to end", || {
        assert!(begun.elapsed() < SOON, "a second service runs on the same store");
        let ended = second.try_wait().unwrap();
        async move { ended }
    })
    .await
    .code();
    let said = std::io::read_to_string(second.stderr.take().unwrap()).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in use"), "{said}");
    assert_eq!(served.end().await, Some(0));
}
