//! Journeys of people through the pages, in Debian's Chromium by `playwright-core`: `tests/clients/browser` holds what each walks, and
//! `browser.mjs` there what is looked at on every page. Pictures of all pages are kept in the target folder, under `screenshots`.

use std::path::{Path, PathBuf};

use arc_swap::ArcSwap;
use onward::people::{People, totp};
use serde_json::{Map, json};

use crate::{
    clients::script::{Script, path},
    support::{hub::Hub, skipped},
};

/// Lines of the configuration that let people log in.
const PEOPLE: &str = "[people]\nlocal = true\n";

/// What a journey runs with: the browser, and its npm packages.
struct Browser {
    modules: PathBuf,
    chromium: PathBuf,
}

/// None where something is missing, which is noted.
fn browser(journey: &str) -> Option<Browser> {
    let found = |name: &str| {
        let found = std::env::var_os(name).map(PathBuf::from);
        if found.is_none() {
            skipped(&format!("pages::{journey}"), &format!("no browser ({name})"));
        }
        found
    };
    Some(Browser { modules: found("ONWARD_TEST_BROWSER")?, chromium: found("ONWARD_TEST_CHROMIUM")? })
}

/// Where pictures are kept.
fn screenshots() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    target.join("screenshots")
}

/// Walks a journey at a hub as these people (name, role); `more` is what its script has to know beside them.
async fn walk(
    journey: &str,
    browser: Browser,
    hub: &Hub,
    people: &[(&str, &str)],
    more: Vec<(&'static str, String)>,
    at_least: usize,
) {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(path("browser")).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    std::os::unix::fs::symlink(browser.modules, folder.path().join("node_modules")).unwrap();
    let (config, _) = hub.load();
    let registry = std::sync::Arc::new(ArcSwap::from_pointee(config.registry));
    let keeper = People::new(hub.service().store(), registry, config.people);
    let mut known = Map::new();
    for (name, role) in people {
        let ready = keeper.add_ready(name, "Sam Worker", vec![role.parse().unwrap()]).await.unwrap();
        let shown = json!({"password": ready.password.reveal(), "key": totp::shown(&ready.key)});
        known.insert((*name).to_owned(), shown);
    }
    let mut environment = vec![
        ("ONWARD_BASE", hub.base_url.clone()),
        ("ONWARD_PEOPLE", serde_json::Value::Object(known).to_string()),
        ("ONWARD_CHROMIUM", browser.chromium.to_str().unwrap().to_owned()),
        ("ONWARD_SCREENSHOTS", screenshots().to_str().unwrap().to_owned()),
    ];
    environment.extend(more);
    let script = folder.path().join(format!("{journey}.mjs"));
    let told = Script { name: journey, program: "node".into(), path: script, environment }.run().await;
    told.judge(at_least);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_logs_in_and_out() {
    let Some(browser) = browser("login") else { return };
    let hub = Hub::build().sections(PEOPLE).start().await;
    let people =
        [("auditor-0", "auditor"), ("auditor-1", "auditor"), ("auditor-2", "auditor"), ("auditor-3", "auditor")];
    walk("login", browser, &hub, &people, vec![], 28).await;
    hub.stop().await;
}
