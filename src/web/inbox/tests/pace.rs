//! How long each page of every role takes the server, and what it weighs, over many referrals: `tests/long pages` has it at full size.

use std::time::Duration;

use axum::http::StatusCode;
use uuid::Uuid;

use super::{
    CONFIG, WHOLE,
    list::{kib, referrals, stored, timed},
    scene_of_config,
};
use crate::{
    config::routes::Source,
    domain::{Actor, Event, Side, TaskId, TaskStatus},
    store::{NewEvent, NewReferral, NewRoutes, Signed, Submit, made},
    web::tests::{Browser, Scene},
};

const ROUTES: &str = "[triage]\nto = \"triage\"\n";
/// A provider that referrals are sent to, beside those of the scene, which have worklists.
const SENT_TO: &str = r#"
[[provider]]
id = "life-rooms"
name = "The Life Rooms"
ods-code = "RW499"
inbox = { kind = "fhir-rest", base-url = "http://127.0.0.1:9/fhir" }
"#;
/// The referrals came on so many days, which are those of a report that nobody has chosen the days of.
const DAYS: u32 = 28;

/// Who looks at which page; what a path names in capitals is what the test makes.
const PAGES: [(&str, &[&str]); 5] = [
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
            "/console/dead/LETTER",
            "/console/dead/LETTER/replay",
            "/console/dead/runs",
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
    (
        "route-editor",
        &[
            "/console/routes",
            "/console/routes/edit",
            "/console/routes/versions/1",
            "/console/routes/rehearsals/REHEARSAL",
            "/console/routes/rehearsals/REHEARSAL/now",
        ],
    ),
    ("auditor", &["/glasses", "/changes"]),
    ("provider-admin:link-workers", &["/people", "/people/add", "/people/PERSON", "/services"]),
    (
        "provider-worker:link-workers",
        &[
            "/inbox/TASK",
            "/inbox/TASK/contact",
            "/inbox/TASK/rejected",
            "/inbox/TASK/letter",
            "/inbox/ACCEPTED",
            "/inbox/ACCEPTED/onward",
            "/account",
        ],
    ),
];

async fn measured(scene: &Scene, browser: &mut Browser, path: &str, times: usize) {
    let mut took = Vec::new();
    let mut content = Vec::new();
    for _ in 0..times {
        // what is shown to all who look for two seconds is made anew each time
        scene.clock.advance(3);
        let begun = tokio::time::Instant::now();
        let (status, _, page) = browser.bytes(path).await;
        took.push(begun.elapsed());
        assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&page));
        content = page;
    }
    timed(path, took, kib(&content));
    if path == "/console/reports" {
        let content = numbers(browser, path).await;
        // it is of all that came, and not of the days before
        let of_mind = referrals() - referrals().div_ceil(20);
        assert!(content.contains(&format!("Referrals </span>{of_mind}</td>")), "{of_mind}: {content}");
    }
}

/// A report once its numbers are there, as whoever opens it again sees it.
async fn numbers(browser: &mut Browser, path: &str) -> String {
    let opened = async {
        loop {
            let page = browser.get(path).await.text;
            if page.contains("By service") {
                return page;
            }
            assert!(page.contains("being put together"), "{page}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), opened).await.unwrap()
}

/// Referrals that came over the days of a report.
async fn came(scene: &Scene, all: u32) {
    for day in 0..DAYS {
        let of_it: Vec<u32> = (all * day / DAYS..all * (day + 1) / DAYS).collect();
        for some in of_it.chunks(500) {
            let one = |n: &u32| if n.is_multiple_of(20) { stored(*n, "link-workers") } else { ended(*n) };
            let submission = made::submission("rio", some.iter().map(one).collect());
            assert!(matches!(scene.store.submit(submission).await.unwrap(), Submit::Stored(..)));
        }
        scene.clock.advance(24 * 3600);
    }
}

/// A referral as [`stored`], of which its provider has said by now what becomes of it.
fn ended(n: u32) -> NewReferral {
    let mut referral = stored(n, "mind");
    for task in &mut referral.tasks {
        for (from, to) in [(TaskStatus::Requested, TaskStatus::Accepted), (TaskStatus::Accepted, TaskStatus::Completed)]
        {
            let event = Event::Answered { from, to, implied: false };
            let actor = Actor::Provider(task.provider.clone());
            task.events.push(NewEvent { event, actor, body: None, lanes: vec![] });
        }
    }
    referral
}

/// A message that is tried no more.
async fn letter(scene: &Scene, n: u32) -> Uuid {
    let mut referral = stored(n, "life-rooms");
    let task: TaskId = referral.tasks[0].id;
    referral.tasks[0].events[0].lanes = vec![Side::Delivery];
    assert!(matches!(scene.store.submit(made::submission("rio", vec![referral])).await.unwrap(), Submit::Stored(..)));
    scene.given_up(task, Side::Delivery).await
}

/// A route set is tried on the referrals of a day, and that has ended; its number.
async fn rehearsal(rita: &mut Browser) -> String {
    let made_for = rita.get("/console/routes/edit").await.made_for().to_owned();
    let draft = format!("{ROUTES}\n[[route]]\nname = \"walks\"\nwhen = {{ code = [\"2\"] }}\nto = \"mind\"\n");
    let fields = [("made-for", made_for.as_str()), ("draft", &draft), ("over", "1"), ("days", "1"), ("do", "rehearse")];
    let path = rita.post("/console/routes/edit", &fields).await.to().to_owned();
    while rita.get(&path).await.text.contains("Stop it") {
        tokio::task::yield_now().await;
    }
    path.rsplit('/').next().unwrap().to_owned()
}

/// What takes longer to reckon than anybody waits for a page is said to be on its way, and the page that has it is led to.
#[tokio::test]
async fn a_report_that_takes_long_is_there_before_its_numbers() {
    let (scene, _) = scene_of_config(CONFIG, ROUTES, |config| config.limits.address_rate = 100_000).await;
    came(&scene, 100).await;
    let (mut olive, mut luke) = (scene.browser_of("operator").await, scene.browser_of("provider-worker:mind").await);
    // another one is reckoned
    let turn = scene.reckoning.clone().lock_owned().await;
    let page = olive.get("/console/reports").await;
    assert_eq!(page.status, StatusCode::OK);
    let live = page.between("data-live=\"", "\"").replace("&#38;", "&");
    assert!(live.starts_with("/console/reports/now?from=2026-04-01&to=2026-04-28"), "{live}");
    assert!(page.text.contains("Show them</a>") && !page.text.contains("By service"), "{}", page.text);
    let part = olive.get(&live).await;
    assert!(part.status == StatusCode::OK && part.text.contains("being put together"), "{}", part.text);
    assert_eq!(luke.get(&live).await.status, StatusCode::NOT_FOUND, "they are not hers to see");
    drop(turn);
    let led = async {
        loop {
            let part = olive.get(&live).await;
            if part.status == StatusCode::SEE_OTHER {
                return part.to().to_owned();
            }
            assert!(part.status == StatusCode::OK && part.text.contains("being put together"), "{}", part.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let to = tokio::time::timeout(Duration::from_secs(60), led).await.unwrap();
    // what is there is shown whatever else is reckoned
    let _turn = scene.reckoning.clone().lock_owned().await;
    let page = olive.get(&to).await.text;
    assert!(page.contains("By service") && !page.contains("data-live"), "{page}");
}

#[tokio::test]
async fn each_page_of_every_role_is_made_in_time_and_light() {
    let config = format!("{CONFIG}{SENT_TO}");
    let (scene, _) = scene_of_config(&config, ROUTES, |config| {
        config.limits.address_rate = 100_000;
        config.routes.source = Source::Store;
    })
    .await;
    let signed = Signed { author: "it".into(), comment: "the first".into() };
    let first = NewRoutes { hash: "0".into(), text: ROUTES.into(), files: Default::default(), signed };
    scene.store.add_routes(0, first).await.unwrap();
    let all = referrals();
    came(&scene, all).await;
    let task = scene.refers(WHOLE, "R-1").await.to_string();
    let accepted = scene.refers(WHOLE, "R-2").await.to_string();
    let letter = letter(&scene, all).await.to_string();
    scene.clock.advance(60);
    let (mut rehearsal_id, mut person) = (String::new(), String::new());
    for (role, paths) in PAGES {
        let mut browser = scene.browser_of(role).await;
        match role.split(':').next().unwrap() {
            "route-editor" => rehearsal_id = rehearsal(&mut browser).await,
            "provider-admin" => {
                let team = browser.get("/people").await.text;
                let mut others = team.split("href=\"/people/").skip(1).filter_map(|rest| rest.split('"').next());
                person = others.find(|one| *one != "add").unwrap().to_owned();
            }
            "provider-worker" => {
                let page = browser.get(&format!("/inbox/{accepted}")).await;
                let fields = [("made-for", page.made_for()), ("version", page.version())];
                let answer = browser.post(&format!("/inbox/{accepted}/accepted"), &fields).await;
                assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
            }
            _ => {}
        }
        for path in paths {
            let path = path.replace("TASK", &task).replace("PROVIDER", "link-workers").replace("SYSTEM", "rio");
            let path = path.replace("ACCEPTED", &accepted);
            let path = path.replace("LETTER", &letter).replace("REHEARSAL", &rehearsal_id).replace("PERSON", &person);
            measured(&scene, &mut browser, &path, if all > 1_000 { 100 } else { 3 }).await;
        }
    }
}
