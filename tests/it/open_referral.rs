//! The directory as open data: what Open Referral UK 3.0 describes, read by anybody, where the configuration wants that.

use std::path::Path;

use boon::{Compiler, Schemas};
use serde_json::Value;

use crate::{cli::run, support::hub::Hub};

const OPEN: &str = "[directory]\nopen = true\n";

async fn filled(sections: &str) -> Hub {
    let hub = Hub::build().sections(sections).start().await;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/directory");
    let sheet = fixtures.join("services.csv");
    let source = ["--source", "https://team.example/services", "--story-checked"];
    let ran = run(hub.folder(), &[&["directory", "import", "csv", sheet.to_str().unwrap()], &source[..]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    hub
}

/// What somebody gets who shows no token.
async fn get(hub: &Hub, path: &str) -> (u16, Value) {
    let answer = hub.actor(None).get(path).await;
    (answer.status.as_u16(), answer.json())
}

async fn names(hub: &Hub, path: &str) -> Vec<String> {
    let (status, page) = get(hub, path).await;
    assert_eq!(status, 200, "{path}: {page}");
    let name = |one: &Value| one.get("name").unwrap_or(&one["service"]["name"]).as_str().unwrap().to_owned();
    page["contents"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_configurations_word_there_is_nothing() {
    let hub = filled("").await;
    for path in ["", "/", "/services", "/services/0d5e0000-0000-4000-8000-000000000001", "/taxonomies"] {
        let (status, _) = get(&hub, &format!("/open-referral{path}")).await;
        assert_eq!(status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_reads_what_is_active_and_finds_it_by_words_by_need_by_age_by_day_and_by_place() {
    let hub = filled(OPEN).await;
    let (status, about) = get(&hub, "/open-referral/").await;
    assert_eq!((status, &about["version"]), (200, &Value::from("3.0")));
    let (_, first) = get(&hub, "/open-referral/services?per_page=10").await;
    assert_eq!((&first["total_items"], &first["size"], &first["last_page"]), (&80.into(), &10.into(), &false.into()));
    // the one that has ended is not there
    assert_eq!(names(&hub, "/open-referral/services?search=thursday+lunch").await, [""; 0]);
    assert_eq!(names(&hub, "/open-referral/services?search=walled+garden").await, ["Walled garden group"]);
    let (_, terms) = get(&hub, "/open-referral/taxonomy_terms?per_page=500").await;
    let term = terms["contents"].as_array().unwrap().iter().find(|term| term["name"] == "walking football").unwrap();
    let by_term =
        names(&hub, &format!("/open-referral/services?taxonomy_term_id={}", term["id"].as_str().unwrap())).await;
    assert_eq!(by_term.len(), 4, "{by_term:?}");
    let old = names(&hub, "/open-referral/services?minimum_age=60&per_page=500").await;
    assert!(old.contains(&"Strong and steady".to_owned()) && old.len() < 10, "{old:?}");
    let sunday = names(&hub, "/open-referral/services?day=SU&start_time=13:00&per_page=500").await;
    assert_eq!(sunday, ["Autistic adults' social"]);
    let near = names(&hub, "/open-referral/service_at_locations?postcode=CH60+9ZZ&proximity=5000").await;
    assert_eq!(near, ["Dee side shed"]);
    let (status, fault) = get(&hub, "/open-referral/services?near=here").await;
    assert_eq!(status, 400);
    assert!(fault["message"].as_str().unwrap().contains("taxonomy_term_id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_as_the_schemas_want_it_and_pages_of_any_origin_may_read_it() {
    let hub = filled(OPEN).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/open-referral-uk/schema");
    if !folder.exists() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    for (list, full, listed) in [
        ("services", "service.json", Some("service_list.json")),
        ("organizations", "organization.json", None),
        ("service_at_locations", "service_at_location.json", None),
    ] {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler.enable_format_assertions();
        let mut read = |name: &str| compiler.compile(folder.join(name).to_str().unwrap(), &mut schemas).unwrap();
        let (of_one, of_listed) = (read(full), listed.map(&mut read));
        let (_, page) = get(&hub, &format!("/open-referral/{list}?per_page=500")).await;
        let contents = page["contents"].as_array().unwrap();
        assert!(!contents.is_empty());
        for item in contents {
            if let Some(of_listed) = of_listed {
                schemas.validate(item, of_listed).unwrap_or_else(|error| panic!("{error:#}\n{item:#}"));
            }
            let (status, one) = get(&hub, &format!("/open-referral/{list}/{}", item["id"].as_str().unwrap())).await;
            assert_eq!(status, 200);
            schemas.validate(&one, of_one).unwrap_or_else(|error| panic!("{error:#}\n{one:#}"));
        }
    }
    let answer = hub.actor(None).get("/open-referral/services").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let (status, _) = get(&hub, "/open-referral/services/0d5e0000-0000-4000-8000-000000000001").await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_of_no_use_there_and_no_referral_is_to_be_seen() {
    let hub = filled(OPEN).await;
    let referred = hub.sender(crate::support::hub::RIO).refer(&crate::support::fixtures::to_life_rooms("open")).await;
    assert!(referred.status.is_success(), "{}", referred.describe());
    for list in ["services", "service_at_locations", "organizations", "taxonomies", "taxonomy_terms"] {
        let (_, page) = get(&hub, &format!("/open-referral/{list}?per_page=500")).await;
        let text = page.to_string();
        assert!(!text.contains("ServiceRequest") && !text.contains("Patient/"), "{list}");
    }
}
