//! What goes out comes in again without a change: into the directory it came from, and into one that is empty.

use std::collections::BTreeMap;

use hyper::Method;

use super::*;

/// All files below a folder, by their paths there.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut rest = vec![folder.to_owned()];
    while let Some(path) = rest.pop() {
        if path.is_dir() {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            all.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
        }
    }
    all
}

fn exported(hub: &Hub, to: &str) -> BTreeMap<PathBuf, String> {
    let ran = run(hub.folder(), &["directory", "export", "open-referral", to]);
    assert_eq!(ran.code, 0, "{ran:?}");
    files(&hub.folder().join(to))
}

/// Imports what names its sources: of each source what was created, updated, unchanged, skipped.
fn imported(hub: &Hub, from: &Path) -> Vec<(usize, usize, u64, usize)> {
    let report = run(hub.folder(), &["directory", "import", "open-referral", from.to_str().unwrap(), "--json"]).json();
    report["sources"].as_array().unwrap().iter().map(|one| counts(&one["report"])).collect()
}

#[track_caller]
fn nothing(counted: &[(usize, usize, u64, usize)], sources: usize) {
    assert_eq!(counted.len(), sources);
    let nothing = |(created, updated, unchanged, skipped): &(usize, usize, u64, usize)| {
        (*created, *updated, *skipped) == (0, 0, 0) && *unchanged > 0
    };
    assert!(counted.iter().all(nothing), "{counted:?}");
}

/// An entry that somebody writes here; its reference.
async fn written(steward: &hub::Actor, body: Value) -> String {
    let kind = body["resourceType"].as_str().unwrap().to_owned();
    let answer = steward.method(Method::POST, &format!("/fhir/{kind}"), &body).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    format!("{kind}/{}", answer.json()["id"].as_str().unwrap())
}

async fn one(steward: &hub::Actor, search: &str) -> Value {
    let found = steward.get(&format!("/fhir/{search}")).await.json();
    let entries: Vec<_> = found["entry"].as_array().into_iter().flatten().collect();
    assert_eq!(entries.len(), 1, "{search}: {found:#}");
    entries[0]["resource"].clone()
}

/// A directory of several sources: a spreadsheet, a feed, what was written here, each with something of another's.
async fn filled(hub: &Hub) {
    import(hub, "csv", &fixture("services.csv"), TEAM, &["--story-checked"]).json();
    import(hub, "open-referral", &fixture("open-referral"), FEED, &[]).json();
    if let Some(examples) = corpus("examples") {
        for name in ["service_full.json", "organization_full.json", "service_at_location_full.json", "taxonomy.json"] {
            import(hub, "open-referral", &examples.join(name), "https://published.example/", &[]).json();
        }
    }
    let steward = hub.steward();
    let own = written(&steward, json!({"resourceType": "Organization", "active": true, "name": "Own"})).await;
    let hall = one(&steward, "Location?name=Moorside%20Camp").await;
    for (name, by) in [("Provided here", own.as_str()), ("Provided by the rooms", "Organization/life-rooms")] {
        let service = json!({"resourceType": "HealthcareService", "active": true, "name": name,
            "type": [{"text": "Gardening"}], "providedBy": {"reference": by},
            "location": [{"reference": format!("Location/{}", hall["id"].as_str().unwrap())}]});
        written(&steward, service).await;
    }
    // an organisation of the feed becomes part of a provider
    let mut moor = one(&steward, "Organization?name=Moorside%20Outdoors").await;
    moor["partOf"] = json!({"reference": "Organization/life-rooms"});
    let url = format!("/fhir/Organization/{}", moor["id"].as_str().unwrap());
    let etag = format!("W/\"{}\"", moor["meta"]["versionId"].as_str().unwrap());
    let call = steward.call_to(Method::PUT, &url).header("if-match", &etag).json("application/fhir+json", &moor);
    let answer = steward.call(call).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_several_sources_fills_another_and_goes_out_of_that_byte_by_byte_the_same() {
    let (hub, fresh) = (Hub::start().await, Hub::start().await);
    filled(&hub).await;
    let out = exported(&hub, "out");
    let sources = out.keys().filter(|path| path.ends_with("source.json")).count();
    assert!(sources >= 3, "{:?}", out.keys());
    let of_configuration = |(path, text): (&PathBuf, &String)| {
        path.parent().is_some_and(|folder| folder.ends_with("organizations")) && text.contains("\"life-rooms\"")
    };
    assert!(!out.iter().any(of_configuration), "what the configuration makes is told by its name, and not exported");

    nothing(&imported(&hub, &hub.folder().join("out")), sources);
    let first = imported(&fresh, &hub.folder().join("out"));
    assert!(
        first.iter().all(|(created, updated, _, skipped)| *created > 0 && (*updated, *skipped) == (0, 0)),
        "{first:?}"
    );
    let again = exported(&fresh, "out");
    assert_eq!(out.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
    for (path, text) in &out {
        assert_eq!(text, &again[path], "{}", path.display());
    }
    nothing(&imported(&fresh, &fresh.folder().join("out")), sources);
    nothing(&imported(&fresh, &hub.folder().join("out")), sources);

    // what it refers to is what it referred to
    let steward = fresh.steward();
    let moor = one(&steward, "Organization?name=Moorside%20Outdoors").await;
    assert_eq!(moor["partOf"]["reference"], "Organization/life-rooms");
    let service = one(&steward, "HealthcareService?name=Provided%20by%20the%20rooms").await;
    assert_eq!(service["providedBy"]["reference"], "Organization/life-rooms");
    let hall = one(&steward, "Location?name=Moorside%20Camp").await;
    assert_eq!(service["location"][0]["reference"], format!("Location/{}", hall["id"].as_str().unwrap()));
    assert_eq!(hall["meta"]["source"], FEED);

    // and as one document
    let whole = |hub: &Hub| run(hub.folder(), &["directory", "export", "open-referral", "-"]).out;
    assert_eq!(whole(&hub), whole(&fresh));
    fs::write(fresh.folder().join("whole.json"), whole(&fresh)).unwrap();
    nothing(&imported(&fresh, &fresh.folder().join("whole.json")), sources);
    for hub in [hub, fresh] {
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spreadsheet_and_the_export_of_it_are_the_same_entries_and_what_only_the_sheet_knows_stays() {
    let hub = Hub::start().await;
    import(&hub, "csv", &fixture("services.csv"), TEAM, &["--story-checked"]).json();
    let ran = run(hub.folder(), &["directory", "export", "open-referral", "-", "--source", TEAM]);
    let mut document: Value = serde_json::from_str(&ran.out).unwrap();
    let service =
        document["services"].as_array_mut().unwrap().iter_mut().find(|one| one["name"] == "Walton wellbeing hub");
    service.unwrap()["name"] = "Walton wellbeing place".into();
    fs::write(hub.folder().join("changed.json"), document.to_string()).unwrap();
    let before = one(&hub.steward(), "HealthcareService?identifier=hub-walton").await;
    let report = import(&hub, "open-referral", &hub.folder().join("changed.json"), TEAM, &[]).json();
    assert_eq!((counts(&report).0, counts(&report).1, counts(&report).3), (0, 1, 0), "{report:#}");
    let after = one(&hub.steward(), "HealthcareService?identifier=hub-walton").await;
    assert_eq!((&after["id"], &after["name"]), (&before["id"], &"Walton wellbeing place".into()));
    assert_eq!(after["extension"], before["extension"]);
    // and the sheet is known again, too
    let sheet = import(&hub, "csv", &fixture("services.csv"), TEAM, &["--story-checked"]).json();
    assert_eq!((counts(&sheet).0, counts(&sheet).1), (0, 1), "{sheet:#}");
    hub.stop().await;
}
