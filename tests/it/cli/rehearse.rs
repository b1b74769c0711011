//! `routes rehearse`: a route set is tried on what is stored.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use super::{
    Ran,
    hub::{Hub, RIO},
    run,
};
use crate::support::fixtures;

/// Every fixture is referred, and one whose person is read from the record; how many went by which route.
async fn referred(hub: &Hub) -> BTreeMap<(String, String), u64> {
    let mut went = BTreeMap::new();
    for fixture in fixtures::all().await {
        let answer =
            hub.sender(&fixture.system).post(fixture.path(), fixture.content_type, fixture.bytes.clone()).await;
        assert!(answer.status.is_success(), "{}: {}", fixture.file, answer.describe());
        for one in fixture.expected {
            *went.entry((one.inbox, one.route.unwrap_or_default())).or_default() += 1;
        }
    }
    hub.record.put_resource(json!({"resourceType": "Patient", "id": "p1", "name": [{"family": "Tarleton"}],
        "identifier": [{"system": "https://rio.merseycare.example/mrn", "value": "M-77"}],
        "address": [{"use": "home", "postalCode": "L4 0TH"}]}));
    let mut referral = fixtures::to_life_rooms("read");
    referral.as_object_mut().unwrap().remove("contained");
    referral["subject"] = json!({"reference": "Patient/p1"});
    let answer = hub.sender(RIO).refer(&referral).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    *went.entry(("life-rooms".into(), "mersey-care-social-prescribing".into())).or_default() += 1;
    went
}

/// What is told on standard error beside warnings of the configuration.
fn faults(ran: &Ran) -> &str {
    ran.err.lines().find(|line| !line.starts_with("warning: onward.toml")).unwrap_or_default()
}

/// The lines of one kind.
fn of_kind<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_set_that_routed_them_sends_all_where_they_went() {
    let hub = Hub::build().with_record().start().await;
    let went = referred(&hub).await;
    let ran = run(hub.folder(), &["routes", "rehearse", "routes.toml", "--json", "--fail-on-change"]);
    assert_eq!((ran.code, faults(&ran)), (0, ""), "{ran:?}");
    let all = went.values().sum::<u64>();
    let lines = lines(&ran.out);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let totals = &lines[0];
    assert_eq!((&totals["referrals"], &totals["same"]), (&json!(all), &json!(all)), "{totals}");
    assert_eq!(totals["same-by-another-route"], 0);
    // another name, the same way
    let renamed = fixtures::text("routes.toml").replace("\"cheshire-and-wirral\"", "\"over-the-border\"");
    fs::write(hub.folder().join("renamed.toml"), renamed).unwrap();
    let ran = run(hub.folder(), &["routes", "rehearse", "renamed.toml", "--fail-on-change"]);
    let over = went[&("link-workers".into(), "cheshire-and-wirral".into())];
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(&format!("{all}  go where they went, {over} of them by another route")), "{ran:?}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_go_elsewhere_is_counted_by_its_way_with_examples_and_no_word_of_the_person() {
    let hub = Hub::build().with_record().start().await;
    let went = referred(&hub).await;
    let routes = fixtures::text("routes.toml");
    // the Life Rooms' own route sends to the link workers, one route is gone and its referrals come to triage, and the housing support
    // insists on what no referral says
    let (before, life_rooms) = routes.split_once("name = \"mersey-care-social-prescribing\"").unwrap();
    let life_rooms = life_rooms.replacen("to = \"life-rooms\"", "to = \"link-workers\"", 1);
    let candidate = format!("{before}name = \"mersey-care-social-prescribing\"{life_rooms}")
        .replace("category = [\"wellbeing-course\"]", "category = [\"no-such-course\"]")
        + "[[needs]]\nto = \"housing-support\"\nfhirpath = \"asNeeded.exists()\"\nmessage = \"say whether as needed\"\n";
    fs::write(hub.folder().join("next.toml"), candidate).unwrap();
    let ran = run(hub.folder(), &["routes", "rehearse", "next.toml", "--json", "--examples", "1"]);
    assert_eq!((ran.code, faults(&ran)), (0, ""), "{ran:?}");
    let found = lines(&ran.out);
    let of = |inbox: &str, route: &str| went.get(&(inbox.to_owned(), route.to_owned())).copied().unwrap_or_default();
    let elsewhere = of("life-rooms", "mersey-care-social-prescribing");
    let triage = of("life-rooms", "wellbeing-courses");
    let refused: u64 = went.iter().filter(|((inbox, _), _)| inbox == "housing-support").map(|(_, count)| count).sum();
    assert!(elsewhere > 1 && triage > 0 && refused > 0, "{went:?}");
    let totals = of_kind(&found, "totals")[0];
    assert_eq!(totals["elsewhere"], elsewhere, "{totals}");
    assert_eq!(totals["triage"], triage, "{totals}");
    assert_eq!(totals["refused"], refused, "{totals}");
    assert_eq!(totals["same"], went.values().sum::<u64>() - elsewhere - triage - refused);
    let changes = of_kind(&found, "change");
    let moved = changes.iter().find(|line| line["change"] == "elsewhere").unwrap();
    assert_eq!(moved["from"], json!({"inboxes": ["life-rooms"], "route": "mersey-care-social-prescribing"}));
    assert_eq!(moved["to"], json!({"inboxes": ["link-workers"], "route": "mersey-care-social-prescribing"}));
    assert_eq!((&moved["count"], moved["examples"].as_array().unwrap().len()), (&json!(elsewhere), 1));
    assert_eq!(u64::try_from(of_kind(&found, "referral").len()).unwrap(), elsewhere + triage + refused);
    // an example is found again
    let example = moved["examples"][0].as_str().unwrap();
    assert!(run(hub.folder(), &["referral", "show", example]).out.contains("to inbox life-rooms by route"));

    let told = run(hub.folder(), &["routes", "rehearse", "next.toml", "--fail-on-change", "--days", "1"]);
    assert_eq!(told.code, 1, "{told:?}");
    let line = format!(
        "life-rooms → link-workers (mersey-care-social-prescribing → mersey-care-social-prescribing): {elsewhere}\n  ServiceRequest/"
    );
    assert!(told.out.contains(&line), "{}", told.out);
    assert!(told.out.contains("life-rooms → triage (wellbeing-courses → triage)"), "{}", told.out);
    assert!(told.out.contains("→ refused, as “housing-support” insists on asNeeded.exists()"), "{}", told.out);
    assert!(told.err.contains("would not go where they went"), "{told:?}");
    for of_the_person in ["9990471134", "Tarleton", "L4", "M-77", "RIO-2026"] {
        assert!(!told.out.contains(of_the_person) && !ran.out.contains(of_the_person), "{of_the_person}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_with_faults_is_not_tried() {
    let hub = Hub::start().await;
    fs::write(hub.folder().join("bad.toml"), "[[route]]\nname = \"r\"\nwhen = { code = [\"x\"] }\nto = \"nowhere\"\n")
        .unwrap();
    let ran = run(hub.folder(), &["routes", "rehearse", "bad.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("bad.toml:4") && ran.err.contains("nowhere"), "{ran:?}");
    assert!(ran.err.contains("nothing was tried; the route file has 1 fault"), "{ran:?}");
    // nothing stored: nothing to tell, and no fault
    let empty = run(hub.folder(), &["routes", "rehearse", "routes.toml"]);
    assert_eq!(empty.code, 0, "{empty:?}");
    assert!(empty.out.contains("on 0 referrals"), "{empty:?}");
    hub.stop().await;
}
