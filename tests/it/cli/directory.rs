//! `directory import`, `directory export`, `directory template`: what comes from elsewhere, and what goes there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use super::{Ran, hub, hub::Hub, run};

mod again;

const TEAM: &str = "https://team.example/services";
const FEED: &str = "https://feed.example/oruk";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/directory").join(name)
}

/// What was published for Open Referral UK, where it is.
fn corpus(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/open-referral-uk").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn import(hub: &Hub, kind: &str, from: &Path, source: &str, more: &[&str]) -> Ran {
    let from = from.to_str().unwrap();
    run(hub.folder(), &[&["directory", "import", kind, from, "--source", source, "--json"], more].concat())
}

/// How many entries were created, updated, unchanged, skipped.
fn counts(report: &Value) -> (usize, usize, u64, usize) {
    let count = |name: &str| report[name].as_array().unwrap().len();
    (count("created"), count("updated"), report["unchanged"].as_u64().unwrap(), count("skipped"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_services_of_the_fixtures_come_in_without_a_fault_and_the_same_again_changes_nothing() {
    let hub = Hub::start().await;
    let sheet = fixture("services.csv");
    let dry = import(&hub, "csv", &sheet, TEAM, &["--story-checked", "--dry-run"]).json();
    let (created, ..) = counts(&dry);
    assert_eq!((dry["faults"].as_array().unwrap().len(), counts(&dry).3), (0, 0), "{dry:#}");
    assert!(created >= 70 + 20, "{created}");
    let first = import(&hub, "csv", &sheet, TEAM, &["--story-checked"]).json();
    assert_eq!(first["written"], created);
    let again = import(&hub, "csv", &sheet, TEAM, &[]).json();
    assert_eq!(counts(&again), (0, 0, created as u64, 0));
    let changed = hub.folder().join("changed.csv");
    let text = fs::read_to_string(&sheet).unwrap();
    let other = text.replacen("Walton wellbeing hub", "Walton wellbeing place", 1);
    assert_ne!(text, other);
    fs::write(&changed, other).unwrap();
    let one = import(&hub, "csv", &changed, TEAM, &[]).json();
    assert_eq!(counts(&one), (0, 1, created as u64 - 1, 0));
    assert_eq!(one["updated"][0]["id"], "hub-walton");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_with_faults_is_told_by_line_and_nothing_of_it_is_stored() {
    let hub = Hub::start().await;
    let sheet = hub.folder().join("sheet.csv");
    fs::write(
        &sheet,
        "Name,Postcode,Capacity,Inbox,Last checked\nGarden,L8 9ZZ,yes,,\nShed,nowhere,perhaps,shed,2999-01-01\n",
    )
    .unwrap();
    let ran = import(&hub, "csv", &sheet, TEAM, &[]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let told: Vec<_> = report["faults"].as_array().unwrap().iter().map(|f| (&f["line"], &f["column"])).collect();
    let expected = ["Postcode", "Last checked", "Capacity", "Inbox"].map(|column| (json!(3), json!(column)));
    assert_eq!(told, expected.each_ref().map(|(line, column)| (line, column)));
    let text = run(hub.folder(), &["directory", "import", "csv", "sheet.csv", "--source", TEAM]);
    assert!(
        text.out.starts_with("line 3, column Postcode: “nowhere” cannot be read; right would be a postcode"),
        "{text:?}"
    );
    let partly = import(&hub, "csv", &sheet, TEAM, &["--skip-faulty"]).json();
    assert_eq!(counts(&partly), (2, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_that_nobody_vouched_for_is_refused_and_the_others_come_in() {
    let hub = Hub::start().await;
    let sheet = fixture("services.csv");
    let none = run(hub.folder(), &["directory", "import", "csv", sheet.to_str().unwrap(), "--source", TEAM]);
    assert_eq!(none.code, 1, "{none:?}");
    assert!(none.out.contains("line ") && none.out.contains("practice story"), "{none:?}");
    assert!(none.err.contains("nothing was stored"), "{none:?}");
    let report = import(&hub, "csv", &fixture("services.csv"), TEAM, &["--skip-faulty"]);
    let report = report.json();
    let skipped = report["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 5);
    assert!(skipped.iter().all(|one| one["why"].as_str().unwrap().contains("practice story")), "{skipped:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_source_no_longer_tells_of_becomes_inactive_where_that_is_asked_and_not_all_at_once() {
    let hub = Hub::start().await;
    let sheet = fixture("services.csv");
    import(&hub, "csv", &sheet, TEAM, &["--story-checked"]).json();
    let text = fs::read_to_string(&sheet).unwrap();
    let few = hub.folder().join("few.csv");
    fs::write(&few, text.lines().take(3).collect::<Vec<_>>().join("\n")).unwrap();
    let refused = import(&hub, "csv", &few, TEAM, &["--retire"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("would become inactive"), "{refused:?}");
    let without_one = hub.folder().join("without.csv");
    fs::write(
        &without_one,
        text.lines().filter(|line| !line.starts_with("garden-everton")).collect::<Vec<_>>().join("\n"),
    )
    .unwrap();
    let retired = import(&hub, "csv", &without_one, TEAM, &["--retire"]).json();
    let gone: Vec<_> = retired["retired"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(gone, ["garden-everton", "hilltop-allotments/9-invented-lane/liverpool/l5-9zz"]);
    let back = import(&hub, "csv", &sheet, TEAM, &[]).json();
    assert_eq!(counts(&back).1, 2);
}

/// The schemas of Open Referral UK, with dates, addresses of mail, URIs and ids looked at.
struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn read(name: &str) -> Option<Self> {
        let path = corpus("schema")?.join(name);
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler.enable_format_assertions();
        let index = compiler.compile(path.to_str().unwrap(), &mut schemas).unwrap();
        Some(Self { schemas, index })
    }

    #[track_caller]
    fn assert(&self, document: &Value) {
        self.schemas.validate(document, self.index).unwrap_or_else(|error| panic!("{error:#}\n{document:#}"));
    }
}

fn documents(folder: &Path) -> Vec<Value> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| serde_json::from_slice(&fs::read(file).unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_published_examples_go_out_as_they_came_in_and_come_in_again_without_a_change() {
    let Some(examples) = corpus("examples") else { return };
    let hub = Hub::start().await;
    for name in ["service_full.json", "organization_full.json", "service_at_location_full.json", "taxonomy.json"] {
        import(&hub, "open-referral", &examples.join(name), FEED, &[]).json();
    }
    let out = hub.folder().join("out");
    let ran = run(hub.folder(), &["directory", "export", "open-referral", "out", "--source", FEED]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let published = |name: &str| -> Value { serde_json::from_slice(&fs::read(examples.join(name)).unwrap()).unwrap() };
    for (folder, name) in [
        ("services", "service_full.json"),
        ("organizations", "organization_full.json"),
        ("service_at_locations", "service_at_location_full.json"),
        ("taxonomies", "taxonomy.json"),
        ("taxonomy_terms", "taxonomy_term.json"),
    ] {
        assert_eq!(documents(&out.join(folder)), [published(name)], "{name}");
    }
    let again = import(&hub, "open-referral", &out, FEED, &[]).json();
    // an organisation, a place, a service, a taxonomy, the terms by themselves
    assert_eq!(counts(&again), (0, 0, 5, 0), "{again:#}");
    let refused = run(hub.folder(), &["directory", "export", "open-referral", "out"]);
    assert!(refused.err.contains("is not empty"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_out_is_as_the_schemas_want_it_wherever_it_came_from() {
    let (Some(service), Some(organization), Some(at)) =
        (Schema::read("service.json"), Schema::read("organization.json"), Schema::read("service_at_location.json"))
    else {
        return;
    };
    let hub = Hub::start().await;
    import(&hub, "csv", &fixture("services.csv"), TEAM, &["--story-checked"]).json();
    let report = import(&hub, "open-referral", &fixture("open-referral"), FEED, &[]).json();
    // two organisations, two places, a taxonomy, six services
    assert_eq!(counts(&report), (11, 0, 0, 0), "{report:#}");
    let ran = run(hub.folder(), &["directory", "export", "open-referral", "out"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let folders: Vec<_> = fs::read_dir(hub.folder().join("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 2, "{folders:?}");
    let all = |table: &str| folders.iter().flat_map(|folder| documents(&folder.join(table))).collect::<Vec<_>>();
    let services = all("services");
    assert!(services.len() >= 70, "{}", services.len());
    services.iter().for_each(|document| service.assert(document));
    all("organizations").iter().for_each(|document| organization.assert(document));
    all("service_at_locations").iter().for_each(|document| at.assert(document));
    let told = services.iter().find(|one| one["name"] == "Walled garden group").unwrap();
    assert_eq!(told["schedules"][0]["byday"], "TU,TH");
    assert_eq!(told["organization"]["name"], "Mersey Green Hands");
    assert_eq!(told["service_at_locations"][0]["location"]["latitude"], json!(53.38));
    assert_eq!(told.get("onward"), None);
    // and as one document, that can be taken in elsewhere
    let whole = run(hub.folder(), &["directory", "export", "open-referral", "-"]);
    let file = hub.folder().join("whole.json");
    fs::write(&file, &whole.out).unwrap();
    let refused = import(&hub, "open-referral", &file, "https://elsewhere.example/", &["--dry-run"]);
    assert!(refused.err.contains("names its sources itself"), "{refused:?}");
    let team = run(hub.folder(), &["directory", "export", "open-referral", "-", "--source", TEAM]);
    fs::write(&file, &team.out).unwrap();
    let elsewhere = import(&hub, "open-referral", &file, "https://elsewhere.example/", &["--dry-run"]).json();
    assert_eq!(counts(&elsewhere).3, 0, "{elsewhere:#}");
    assert!(counts(&elsewhere).0 >= 70 + 20, "{elsewhere:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_template_can_be_imported() {
    let hub = Hub::start().await;
    let template = run(hub.folder(), &["directory", "template"]);
    fs::write(hub.folder().join("mine.csv"), &template.out).unwrap();
    let report = import(&hub, "csv", &hub.folder().join("mine.csv"), TEAM, &[]).json();
    assert_eq!(counts(&report), (3, 0, 0, 0));
    let nameless = import(&hub, "csv", &hub.folder().join("mine.csv"), "team", &[]);
    assert_eq!(nameless.code, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_start_it_is_said_what_to_do() {
    let hub = Hub::build().without_service().start().await;
    let ran = run(hub.folder(), &["directory", "export", "open-referral", "-"]);
    assert!(ran.code == 1 && ran.err.contains("onward serve"), "{ran:?}");
    let ran = import(&hub, "csv", &fixture("services.csv"), TEAM, &[]);
    assert!(ran.code == 1 && ran.err.contains("start `onward serve` once"), "{ran:?}");
}
