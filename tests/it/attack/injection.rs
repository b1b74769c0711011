//! What would be SQL, a pattern or an expression somewhere else is a text like any other: through every parameter of every
//! search, on both stores, the answer is that to a harmless text of the same shape, in as little time, and nothing is changed.

use std::time::{Duration, Instant};

use onward::demo::caller::FHIR_JSON;
use serde_json::json;

use super::{
    crossing::{SEALED, batch, encoded, parameters},
    same,
    scene::{Ask, Scene},
    text, without_ids_and_times,
};
use crate::{
    store::postgres::Place,
    support::hub::{Actor, GP},
};

/// What is tried. No comma is in it: there another alternative of a search begins.
const TRIED: &[&str] = &[
    "' OR '1'='1",
    "x'; DROP TABLE referral; --",
    "') UNION SELECT body FROM resource --",
    "\" OR \"\"=\"",
    "%",
    "_",
    "\\' OR 1=1 #",
    "x' || pg_sleep(20) || '",
    "$1 ?1 :a @a {0} %s %n",
    "a\u{0}b",
    "${jndi:ldap://127.0.0.1/a} {{7*7}} <%= 7 %>",
    "x'|y' OR 'a'='a",
    "(select 1)",
    "*/ or 1 /*",
    "\u{feff}\u{202e}\r\nSet-Cookie: a=b",
];
/// So many searches in one batch.
const BATCH: usize = 250;
/// No search waits for anything that is in it.
const PATIENCE: Duration = Duration::from_secs(15);

/// A text of the same shape that is nothing anywhere.
fn harmless(text: &str) -> String {
    let letter = |c: char| if matches!(c, ',' | '|') { c } else { '~' };
    // a backslash takes what follows it into the text
    text.replace("\\'", "~").chars().map(letter).collect()
}

/// An answer without what was asked.
fn told(answer: &str, asked: &str) -> String {
    let answer = SEALED.replace_all(answer, "_page=<sealed>");
    without_ids_and_times(&answer.replace(&format!("={}", encoded(asked)), "=<asked>"))
}

/// Asks two batches that differ in this text alone.
async fn both(actor: &Actor, searches: &[(String, String)], tried: &str) {
    let with = |value: &str| -> Vec<String> {
        searches.iter().map(|(before, after)| format!("{before}{}{after}", encoded(value))).collect()
    };
    let plain = harmless(tried);
    let begun = Instant::now();
    let (asked, answer) = (with(tried), batch(&with(tried)).by(actor).await);
    assert!(begun.elapsed() < PATIENCE, "{tried:?} took {:?}", begun.elapsed());
    let beside = batch(&with(&plain)).by(actor).await;
    assert_eq!((answer.status.as_u16(), beside.status.as_u16()), (200, 200), "{tried:?}: {}", answer.describe());
    let (answer, beside) = (answer.json(), beside.json());
    let (answers, besides) = (answer["entry"].as_array().unwrap(), beside["entry"].as_array().unwrap());
    assert_eq!((answers.len(), besides.len()), (searches.len(), searches.len()));
    for ((asked, one), other) in asked.iter().zip(answers).zip(besides) {
        let status = one["response"]["status"].as_str().unwrap();
        assert!(status.starts_with("200") || status.starts_with("400"), "{asked}: {one}");
        same(&told(&one.to_string(), tried), &told(&other.to_string(), &plain), asked);
    }
}

async fn nothing_in_a_search_is_anything_else(place: Option<Place>) {
    let scene = Scene::set(place.as_ref()).await;
    let before = scene.state().await;
    // what is told of changes is noted when it is told
    let rows = || {
        let mut rows = scene.hub.rows();
        rows.remove("subscription_event");
        // what links are sealed with is made when the first is written
        rows.remove("secret");
        rows
    };
    let rows_before = place.is_none().then(rows);
    let gp: Actor = (*scene.hub.sender(GP)).clone();
    let mut searches: Vec<(String, String)> = Vec::new();
    for (n, (kind, name, _)) in parameters(&scene).into_iter().enumerate() {
        let id = scene.theirs[&kind][0]["id"].as_str().unwrap();
        searches.push((format!("{kind}?{}=", encoded(&name)), String::new()));
        // some that lead somewhere: what is there is held against it
        if place.is_none() && n % 10 == 0 {
            searches.push((format!("{kind}?{}=", encoded(&name)), format!("&_id={id}")));
        }
    }
    // all of them are alternatives of one search
    let tried = TRIED.join(",");
    for some in searches.chunks(BATCH) {
        both(&gp, some, &tried).await;
    }
    // as the name of a parameter, as an id, as a version, as a cursor
    for tried in TRIED {
        let name = encoded(tried);
        for path in [
            format!("Task?{name}=a"),
            format!("Task/{name}"),
            format!("Patient/{name}/_history/{name}"),
            format!("Task?_after={name}"),
            format!("HealthcareService?_after=e.{name}"),
            format!("Task?_sort={name}"),
            name.clone(),
            format!("Task/_history?_after={name}"),
        ] {
            let answer = gp.get(&format!("/fhir/{path}")).await;
            assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {}", answer.describe());
        }
        let message = json!({"resourceType": "Communication", "status": "completed", "identifier": [{"system": tried, "value": tried}],
            "about": [{"reference": format!("Task/{tried}")}], "payload": [{"contentString": tried}]});
        let ask = Ask::of(hyper::Method::POST, "/fhir/Communication").body(FHIR_JSON, message.to_string());
        let answer = ask.by(&gp).await;
        assert!(answer.status.is_client_error(), "{tried}: {}", answer.describe());
        assert!(!text(&answer.body).contains("SQL"), "{}", answer.describe());
    }
    same(&scene.state().await, &before, "all is as it was");
    if let Some(before) = rows_before {
        assert_eq!(rows(), before);
    }
    scene.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_a_search_is_anything_else_on_sqlite() {
    nothing_in_a_search_is_anything_else(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_a_search_is_anything_else_on_postgresql() {
    let Some(place) = Place::new() else { return };
    nothing_in_a_search_is_anything_else(Some(place)).await;
}
