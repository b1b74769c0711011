//! The journal as a browser looks through it.

use super::*;
use crate::store::{NewRoutes, Signed};

impl Scene {
    async fn in_force(&self, over: u64, author: &str, comment: &str) {
        let signed = Signed { author: author.into(), comment: comment.into() };
        let new = NewRoutes { hash: over.to_string(), text: "x".into(), files: Default::default(), signed };
        self.store.add_routes(over, new).await.unwrap();
    }
}

/// Where a form of the journal leads.
async fn looks(browser: &mut Browser, fields: &[(&str, &str)]) -> crate::web::tests::Page {
    let made_for = browser.get("/console/journal").await.made_for().to_owned();
    browser.post("/console/journal", &[&[("made-for", made_for.as_str())], fields].concat()).await
}

/// What somebody did is found by her name, and no URL on the way says it.
#[tokio::test]
async fn who_is_looked_for_in_the_journal_stands_in_no_url() {
    let scene = scene();
    let role = "provider-worker:life-rooms".parse().unwrap();
    scene.people.add("command:test", "luke", "Luke Byrne", vec![role]).await.unwrap();
    let task = scene.referral("one").await;
    let closed = || NewEvent { event: Event::RequestClosed, actor: Actor::Onward, body: None, lanes: vec![] };
    let events = (0..60).map(|_| closed()).collect();
    let asked_by = crate::store::AskedBy { request: "r".into(), correlation: None, person: Some("local:luke".into()) };
    let step = Append { events, asked_by: Some(asked_by), ..Append::to(&task) };
    scene.store.append(step).await.unwrap();

    let mut olga = scene.browser_of("operator").await;
    let mut led = std::collections::BTreeSet::new();
    for who in ["luke", "LUKE byrne", "local:luke"] {
        let to = looks(&mut olga, &[("actor", who), ("event", "request-closed")]).await.to().to_owned();
        assert!(to.starts_with("/console/journal?") && !to.to_lowercase().contains("luke"), "{to}");
        let page = olga.get(&to).await;
        assert!(page.status == StatusCode::OK && page.text.contains(&task.id.to_string()), "{who}: {}", page.text);
        assert!(page.text.contains(&format!("value=\"{who}\"")), "{who}: {}", page.text);
        let older =
            page.between("<a href=\"/console/journal?", "\" rel=\"next\"").replace("&#38;", "&").replace("&amp;", "&");
        assert!(!older.to_lowercase().contains("luke"), "{older}");
        let older = olga.get(&format!("/console/journal?{older}")).await;
        assert!(older.status == StatusCode::OK && older.text.contains(&task.id.to_string()), "{}", older.text);
        led.insert(to);
    }
    assert_eq!(led.len(), 3, "the same twice is not seen to be the same");
    // of use to nobody else, and for no longer than one is logged in
    let mut adam = scene.browser_of("auditor").await;
    for to in &led {
        let page = adam.get(to).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.text.contains("Write again who did it") && !page.text.contains("Luke"), "{}", page.text);
    }
    // nor does a URL that names her find anything
    for url in ["actor=luke", "actor=Luke%20Byrne", "actor=local%3Aluke", "actor=operator%3Alocal%3Aolga"] {
        let page = olga.get(&format!("/console/journal?{url}")).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        assert!(!page.text.contains(&task.id.to_string()), "{url}");
    }
}

/// What is no person has a URL that anybody may keep.
#[tokio::test]
async fn a_search_for_what_is_no_person_can_be_kept() {
    let scene = scene();
    let task = scene.referral("one").await;
    let (mut olga, mut adam) = (scene.browser_of("operator").await, scene.browser_of("auditor").await);
    for who in ["Mersey Care", "merseycare-rio", ""] {
        let to = looks(&mut olga, &[("actor", who), ("event", "submitted")]).await.to().to_owned();
        assert!(to.contains("event=submitted") && !to.contains("by="), "{to}");
        for browser in [&mut olga, &mut adam] {
            let page = browser.get(&to).await;
            assert!(page.text.contains(&task.id.to_string()), "{who}: {}", page.text);
        }
    }
    // what is wrong is told where it was written, and leads nowhere
    let page = looks(&mut olga, &[("actor", "nobody"), ("task", "7")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("Write the id of a Task") && page.text.contains("value=\"nobody\""), "{}", page.text);
}

/// Whose account is forgotten is found by the name that she had.
#[tokio::test]
async fn what_was_done_is_found_by_the_name_of_an_account_that_is_forgotten() {
    let scene = scene();
    let role = "provider-worker:life-rooms".parse().unwrap();
    scene.people.add("command:test", "luke", "Luke Byrne", vec![role]).await.unwrap();
    scene.people.disable("command:test", "luke", true).await.unwrap();
    scene.people.forget_account("command:test", "luke").await.unwrap();
    let mut olga = scene.browser_of("operator").await;
    for who in ["luke", "luke byrne"] {
        let page = looks(&mut olga, &[("actor", who)]).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{who}: {}", page.text);
    }
    assert_eq!(looks(&mut olga, &[("actor", "luke bell")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// Rows, by what they lead to.
fn led_to(page: &str) -> Vec<String> {
    let rows = page.split("<span><a href=\"").skip(1);
    rows.map(|row| row.split_once('"').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn when_other_routes_came_into_force_stands_among_what_happened() {
    let scene = scene();
    scene.enrolled("rita", "route-editor").await;
    let mut olive = scene.browser_of("operator").await;
    let of = |task: &TaskRecord| format!("/console/trace/{}", task.id);
    let version = |number: u64| format!("/console/routes/versions/{number}");
    let first = scene.referral("one").await;
    scene.clock.advance(60);
    scene.in_force(0, "local:rita", "people walk in").await;
    scene.clock.advance(60);
    let second = scene.referral("two").await;
    scene.clock.advance(60);
    scene.in_force(1, "anna", "as it was").await;
    let page = olive.get("/console/journal").await.text;
    assert_eq!(led_to(&page), [version(2), of(&second), version(1), of(&first)]);
    assert!(page.contains("Version 1 of the routes is in force: people walk in"), "{page}");
    assert!(
        page.contains(&format!(">The way of this referral</a><br><span class=\"onward-id\">{}", first.id)),
        "{page}"
    );
    // by whatever is asked for
    for (query, found) in [
        ("event=route-set-activated", vec![version(2), version(1)]),
        ("event=submitted", vec![of(&second), of(&first)]),
        ("actor=mersey", vec![of(&second), of(&first)]),
        ("inbox=life-rooms", vec![of(&second), of(&first)]),
        (&format!("task={}", first.id), vec![of(&first)]),
    ] {
        let page = olive.get(&format!("/console/journal?{query}")).await.text;
        assert_eq!(led_to(&page), found, "{query}: {page}");
    }
    let to = looks(&mut olive, &[("actor", "rit")]).await.to().to_owned();
    assert_eq!(led_to(&olive.get(&to).await.text), [version(1)], "by the beginning of a name");
}

/// However many lines there are, each page has what came into force while they were written, and none has it twice.
#[tokio::test]
async fn what_came_into_force_is_on_one_page_of_many() {
    let scene = scene();
    let mut olive = scene.browser_of("operator").await;
    for n in 0..70 {
        scene.clock.advance(1);
        scene.referral(&format!("R-{n}")).await;
        if n % 30 == 9 {
            scene.in_force(n / 30, "local:rita", "another").await;
        }
    }
    let (mut pages, mut url) = (vec![], "/console/journal".to_owned());
    loop {
        let page = olive.get(&url).await.text;
        pages.push(led_to(&page));
        match page.split_once("\" rel=\"next\"") {
            Some((before, _)) => {
                url = before.rsplit_once("href=\"").unwrap().1.replace("&#38;", "&").replace("&amp;", "&")
            }
            None => break,
        }
    }
    let versions = |page: &Vec<String>| page.iter().filter(|to| to.contains("/versions/")).cloned().collect::<Vec<_>>();
    let number = |n: u64| format!("/console/routes/versions/{n}");
    assert_eq!(pages.iter().map(versions).collect::<Vec<_>>(), [vec![number(3), number(2)], vec![number(1)]]);
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [52, 21]);
}
