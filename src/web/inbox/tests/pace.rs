//! How long each page of every role takes the server, and what it weighs, over many referrals: `tests/long pages` has it at full size.

use axum::http::StatusCode;

use super::{
    WHOLE,
    list::{kib, referrals, stored, timed},
    scene_without_rates,
};
use crate::{
    store::{Submit, made},
    web::tests::{Browser, Scene},
};

/// Who looks at which page; `TASK` is a referral that is open, `PROVIDER` and `SYSTEM` those of the scene.
const PAGES: [(&str, &[&str]); 4] = [
    (
        "operator",
        &[
            "/console",
            "/console/now",
            "/console/to-do",
            "/console/trace",
            "/console/trace/TASK",
            "/console/trace/TASK/referral",
            "/console/dead",
            "/console/systems",
            "/console/systems/SYSTEM",
            "/console/providers",
            "/console/providers/PROVIDER",
            "/console/add/system",
            "/console/add/provider",
            "/console/journal",
            "/console/reports",
            "/console/routes",
            "/console/routes/tests",
            "/console/routes/explain",
        ],
    ),
    ("auditor", &["/glasses"]),
    ("provider-admin:link-workers", &["/people", "/people/add", "/services"]),
    ("provider-worker:link-workers", &["/inbox/TASK", "/inbox/TASK/contact", "/inbox/TASK/rejected", "/account"]),
];

async fn measured(scene: &Scene, browser: &mut Browser, path: &str, times: usize) {
    let mut took = Vec::new();
    let mut text = String::new();
    for _ in 0..times {
        // what is shown to all who look for two seconds is made anew each time
        scene.clock.advance(3);
        let begun = tokio::time::Instant::now();
        let page = browser.get(path).await;
        took.push(begun.elapsed());
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        text = page.text;
    }
    timed(path, took, kib(&text));
}

#[tokio::test]
async fn each_page_of_every_role_is_made_in_time_and_light() {
    let (scene, _) = scene_without_rates().await;
    let all = referrals();
    for first in (0..all).step_by(500) {
        let referrals = (first..all.min(first + 500)).map(|n| stored(n, n.is_multiple_of(20))).collect();
        assert!(matches!(scene.store.submit(made::submission("rio", referrals)).await.unwrap(), Submit::Stored(..)));
    }
    let task = scene.refers(WHOLE, "R-1").await.to_string();
    scene.clock.advance(60);
    for (role, paths) in PAGES {
        let mut browser = scene.browser_of(role).await;
        for path in paths {
            let path = path.replace("TASK", &task).replace("PROVIDER", "link-workers").replace("SYSTEM", "rio");
            measured(&scene, &mut browser, &path, if all > 1_000 { 100 } else { 3 }).await;
        }
    }
}
