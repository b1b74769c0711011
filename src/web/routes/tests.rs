//! The routes as a browser meets them.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::{
    config::{Config, Registry},
    domain::EntryKind,
    route_sets::read_draft,
    store::{DirectoryWrite, NewRoutes, Signed},
    web::{
        console::tests::config_with,
        tests::{BASE, Browser, Page, Scene, scene_of},
    },
};

const FIRST: &str = r#"[[route]]
name = "singing"
when = { code = ["1"] }
to = "life-rooms"

[triage]
to = "link-workers"

[[test]]
name = "who asks for singing"
from = "merseycare-rio"
at = "2026-03-02T10:00:00Z"
referral = '''{"resourceType":"ServiceRequest","status":"active","intent":"order","code":{"coding":[{"code":"1"}]},"subject":{"reference":"Patient/1"}}'''
expect = { to = "life-rooms" }
"#;

fn config() -> Config {
    config_with("[registry]\nsource = \"store\"\n")
}

/// What somebody adds at the end changes the rules.
fn second() -> String {
    format!("{FIRST}\n[[route]]\nname = \"walking\"\nwhen = {{ code = [\"2\"] }}\nto = \"link-workers\"\n")
}

async fn scene() -> Scene {
    let scene = scene_of(BASE, config(), tempfile::tempdir().unwrap());
    let signed = Signed { author: "it".into(), comment: "the first".into() };
    let new = NewRoutes { hash: "0".into(), text: FIRST.into(), files: Default::default(), signed };
    scene.store.add_routes(0, new).await.unwrap();
    scene
}

impl Browser {
    /// Sends what is written with one of the buttons.
    async fn writes(&mut self, draft: &str, over: &str, what: &str) -> Page {
        let page = self.get("/console/routes/edit").await;
        let made_for = page.made_for().to_owned();
        let fields = [("made-for", made_for.as_str()), ("draft", draft), ("over", over), ("days", "30"), ("do", what)];
        self.post("/console/routes/edit", &fields).await
    }

    async fn activates(&mut self, draft: &str, over: &str, comment: &str) -> Page {
        let page = self.get("/console/routes/edit").await;
        let made_for = page.made_for().to_owned();
        let fields = [("made-for", made_for.as_str()), ("draft", draft), ("over", over), ("comment", comment)];
        self.post("/console/routes/activate", &fields).await
    }
}

/// A number says little to a reader: where the directory has a service of that kind, what it calls it stands beside.
#[tokio::test]
async fn a_code_is_told_by_what_the_directory_calls_it() {
    let scene = scene().await;
    let (set, _) = read_draft(FIRST, &Default::default(), &scene.intake.registry.load()).unwrap();
    let registry = Registry { routes: set, ..Registry::clone(&scene.intake.registry.load()) };
    scene.intake.registry.store(Arc::new(registry));
    let mut rita = scene.browser_of("route-editor").await;
    assert!(rita.get("/console/routes").await.text.contains("<span class=\"onward-id\">1</span>"));
    let body = json!({
        "resourceType": "HealthcareService", "active": true, "name": "Choir",
        "type": [{"coding": [{"system": "http://snomed.info/sct", "code": "1", "display": "Singing for well-being"}]}],
    });
    let write = DirectoryWrite {
        kind: EntryKind::HealthcareService,
        id: Uuid::now_v7(),
        over: 0,
        source: None,
        body: body.to_string(),
        by: "steward anna".into(),
    };
    scene.store.write_directory(vec![write]).await.unwrap();
    let page = rita.get("/console/routes").await.text;
    assert!(page.contains("<span class=\"onward-id\">1 (Singing for well-being)</span>"), "{page}");
}

#[tokio::test]
async fn a_route_set_is_written_checked_compared_and_made_active() {
    let scene = scene().await;
    let mut rita = scene.browser_of("route-editor").await;
    assert_eq!(rita.get("/").await.to(), "/console/routes");
    let page = rita.get("/console/routes/edit").await;
    assert!(page.text.contains("name = &#34;singing&#34;"), "{}", page.text);

    let wrong = FIRST.replace("to = \"life-rooms\"\n\n", "to = \"nowhere\"\n\n");
    let page = rita.writes(&wrong, "1", "check").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for told in ["Line 4, column 6", "nowhere", "What to do: allowed: "] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    let failing = FIRST.replace("expect = { to = \"life-rooms\" }", "expect = { to = \"link-workers\" }");
    let page = rita.writes(&failing, "1", "activate").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "a set of which a test fails is not even asked about");
    assert!(page.text.contains("who asks for singing"), "{}", page.text);

    let page = rita.writes(&second(), "1", "compare").await;
    assert!(page.text.contains("The route “walking” is new"), "{}", page.text);
    let page = rita.writes(&second(), "1", "activate").await;
    assert!(page.text.contains("Make this route set the active one?"), "{}", page.text);
    let page = rita.activates(&second(), "1", "").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("Say why, in a text of 1 to"), "{}", page.text);
    let page = rita.activates(&second(), "1", "people walk, too").await;
    assert_eq!(page.to(), "/console/routes?done=active-2", "to load it again does nothing a second time");
    assert!(rita.get(page.to()).await.text.contains("Version 2 is active"));
    assert!(!rita.get("/console/routes?done=active-soon").await.text.contains("is active."));
    let active = scene.store.active_routes().await.unwrap().unwrap();
    assert_eq!((active.number, active.signed.author.as_str()), (2, "local:route-editor"));
    assert_eq!(active.signed.comment, "people walk, too");
    assert_eq!(scene.store.routes_version(2).await.unwrap().unwrap().text, second());

    let page = rita.get("/console/routes").await;
    for told in ["people walk, too", "Anna Ärzte (route-editor)", "the first", "this process still decides by"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
}

#[tokio::test]
async fn of_two_who_write_at_once_the_second_is_told_and_keeps_what_she_wrote() {
    let scene = scene().await;
    let mut rita = scene.browser_of("route-editor").await;
    rita.activates(&second(), "1", "one").await;
    let other = second().replace("walking", "strolling");
    for page in [rita.writes(&other, "1", "activate").await, rita.activates(&other, "1", "two").await] {
        assert_eq!(page.status, StatusCode::CONFLICT, "{}", page.text);
        assert!(page.text.contains("Somebody else made another version") && page.text.contains("strolling"));
        assert!(page.text.contains("name=\"over\" value=\"2\""), "from there on she goes on");
    }
    assert_eq!(scene.store.active_routes().await.unwrap().unwrap().number, 2);
    let page = rita.activates(&second(), "2", "again").await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.text.contains("this is what is active already"), "{}", page.text);
}

#[tokio::test]
async fn an_older_version_is_looked_at_and_made_active_again() {
    let scene = scene().await;
    let mut rita = scene.browser_of("route-editor").await;
    rita.activates(&second(), "1", "one").await;
    let page = rita.get("/console/routes/versions/1").await;
    assert!(page.text.contains("the first") && page.text.contains("name = &#34;singing&#34;"), "{}", page.text);
    // this process decides by neither of them yet
    assert!(page.text.contains("The route “walking” is gone"), "{}", page.text);
    let page = rita.writes(&second(), "2", "compare").await;
    assert!(!page.text.contains("The route “walking” is new"), "{}", page.text);
    let path = "/console/routes/versions/1/activate";
    let page = rita.get(path).await;
    assert!(page.text.contains("Make version 1 the active one again?"), "{}", page.text);
    let made_for = page.made_for().to_owned();
    let fields = |over: &'static str, comment: &'static str| [("over", over), ("comment", comment)];
    for (over, comment, status) in [
        ("2", "", StatusCode::UNPROCESSABLE_ENTITY),
        ("1", "too late", StatusCode::CONFLICT),
        ("2", "it was better", StatusCode::SEE_OTHER),
        ("3", "it is that already", StatusCode::NOT_FOUND),
    ] {
        let mut all = vec![("made-for", made_for.as_str())];
        all.extend(fields(over, comment));
        let page = rita.post(path, &all).await;
        assert_eq!(page.status, status, "{comment}: {}", page.text);
    }
    let active = scene.store.active_routes().await.unwrap().unwrap();
    assert_eq!((active.number, active.is_new, active.signed.comment.as_str()), (1, false, "it was better"));
    assert_eq!(rita.get("/console/routes/versions/9").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_draft_is_tried_on_what_came_before() {
    let scene = scene().await;
    scene.referral("one").await;
    let mut rita = scene.browser_of("route-editor").await;
    let page = rita.writes(&second(), "1", "rehearse").await;
    let path = page.to().to_owned();
    let mut told = String::new();
    for _ in 0..1_000 {
        told = rita.get(&format!("{path}/now")).await.text;
        if !told.contains("<progress") {
            break;
        }
        // as often as somebody may ask
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // what the scene stores is no request that could be read again
    assert!(told.contains("1 of 1 referral would not go where they went, or cannot be compared."), "{told}");
    let page = rita.get(&path).await;
    assert!(page.text.contains("Make it active") && page.text.contains("walking"), "{}", page.text);
    let none = format!("/console/routes/rehearsals/{}", uuid::Uuid::nil());
    assert_eq!(rita.get(&none).await.status, StatusCode::NOT_FOUND);
    let page = rita.get("/console/routes/edit").await;
    let fields = [("made-for", page.made_for()), ("draft", FIRST), ("over", "1"), ("days", "0"), ("do", "rehearse")];
    let page = rita.post("/console/routes/edit", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn what_is_pasted_is_explained_and_stands_in_its_field_alone() {
    const SECRET: &str = "Grey-Smith";
    let scene = scene().await;
    let mut otto = scene.browser_of("operator").await;
    let made_for = otto.get("/console/routes/explain").await.made_for().to_owned();
    let pasted = format!(
        r##"{{"resourceType":"ServiceRequest","status":"active","intent":"order","code":{{"coding":[{{"code":"1"}}]}},
            "subject":{{"reference":"#p"}},"contained":[{{"resourceType":"Patient","id":"p","name":[{{"family":"{SECRET}"}}]}}]}}"##
    );
    for (text, status, told) in [
        ("", StatusCode::UNPROCESSABLE_ENTITY, "Paste a ServiceRequest"),
        ("{\"resourceType\":", StatusCode::UNPROCESSABLE_ENTITY, "This cannot be read"),
        ("{\"resourceType\":\"Patient\"}", StatusCode::OK, "It would be refused before any rule is asked"),
        (&pasted, StatusCode::OK, "It goes nowhere"),
    ] {
        let fields = [("made-for", made_for.as_str()), ("referral", text), ("system", "merseycare-rio")];
        let page = otto.post("/console/routes/explain", &fields).await;
        assert_eq!(page.status, status, "{told}: {}", page.text);
        assert!(page.text.contains(told), "{told}: {}", page.text);
        // she goes on from what she has pasted
        let field = page.between("spellcheck=\"false\"", "</textarea>").to_owned();
        assert_eq!(field.contains(SECRET), text.contains(SECRET), "{field}");
        assert!(!page.text.replace(&field, "").contains(SECRET), "{}", page.text);
    }
    let long = format!("{{{}", " ".repeat(super::explain::PASTED_MAX_BYTES));
    let fields = [("made-for", made_for.as_str()), ("referral", long.as_str()), ("system", "")];
    let page = otto.post("/console/routes/explain", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.len() < 20_000, "what is too long is not sent back: {}", page.text.len());
    let fields = [("made-for", made_for.as_str()), ("referral", "{}"), ("system", "unknown")];
    assert_eq!(otto.post("/console/routes/explain", &fields).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn each_sees_and_does_what_she_may_and_no_more() {
    let scene = scene().await;
    let reads = ["/console/routes", "/console/routes/tests", "/console/routes/explain", "/console/routes/versions/1"];
    for role in ["operator", "auditor"] {
        let mut keeper = scene.browser_of(role).await;
        for path in reads {
            assert_eq!(keeper.get(path).await.status, StatusCode::OK, "{role} {path}");
        }
        let page = keeper.get("/console/routes").await;
        assert!(!page.text.contains("/console/routes/edit"), "{role}");
        let made_for = page.made_for().to_owned();
        for path in ["/console/routes/edit", "/console/routes/versions/1/activate"] {
            assert_eq!(keeper.get(path).await.status, StatusCode::NOT_FOUND, "{role} {path}");
        }
        let draft = second();
        let fields = [("made-for", made_for.as_str()), ("draft", draft.as_str()), ("over", "1"), ("comment", "mine")];
        for path in ["edit", "check", "activate", "versions/1/activate"] {
            let page = keeper.post(&format!("/console/routes/{path}"), &fields).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{role} {path}");
        }
    }
    let mut worker = scene.browser_of("provider-worker:life-rooms").await;
    for path in reads.iter().chain(&["/console/routes/edit"]) {
        assert_eq!(worker.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(scene.store.active_routes().await.unwrap().unwrap().number, 1);
}

#[tokio::test]
async fn where_a_file_has_the_routes_nothing_is_made_active_here() {
    let scene = scene_of(BASE, config_with(""), tempfile::tempdir().unwrap());
    let mut rita = scene.browser_of("route-editor").await;
    let page = rita.writes(FIRST, "0", "check").await;
    assert!(page.text.contains("Nothing is wrong with it") && page.text.contains("come from a file"), "{}", page.text);
    assert_eq!(rita.writes(FIRST, "0", "activate").await.status, StatusCode::NOT_FOUND);
    assert_eq!(rita.activates(FIRST, "0", "why").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_draft_has_a_bound() {
    let scene = scene().await;
    let mut rita = scene.browser_of("route-editor").await;
    let long = "#".repeat(super::DRAFT_MAX_BYTES + 1);
    let page = rita.writes(&long, "1", "check").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("Write no more than"), "{}", &page.text[..2_000]);
    let longer = "#".repeat(2 * crate::web::form::LONG_FORM_MAX_BYTES);
    assert_eq!(rita.writes(&longer, "1", "check").await.status, StatusCode::BAD_REQUEST);
}
