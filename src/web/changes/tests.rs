use axum::http::{StatusCode, header};

use super::*;
use crate::web::tests::{Browser, scene};

fn roles(text: &str) -> Vec<Position> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn note(deed: AccountDeed, before: &str, after: &str) -> AccountNote {
    let at = "2026-03-02T09:00:00Z".parse().unwrap();
    let (before, positions) = (roles(before), roles(after));
    AccountNote { id: Uuid::now_v7(), at, by: "local:ada".into(), account: "bert".into(), deed, before, positions }
}

#[test]
fn a_change_concerns_where_its_person_was_and_where_she_is() {
    let moved = note(AccountDeed::Positions, "provider-worker:choir", "provider-admin:mind referrer:epr");
    for (of, expected) in [
        ("", true),
        ("provider:choir", true),
        ("provider:mind", true),
        ("system:epr", true),
        ("system:mind", false),
        ("provider:epr", false),
    ] {
        assert_eq!(concerns(&moved, of), expected, "{of}");
    }
    // organisations that are there no more are called as they were configured
    let registry = Registry::default();
    let row = row(moved, &registry, &Called::default());
    assert_eq!(row.before, "works the referrals of choir");
    assert_eq!(row.after, "looks after the people and services of mind; refers people from epr");
    let same = super::row(note(AccountDeed::Reset, "operator", "operator"), &registry, &Called::default());
    assert_eq!(
        (same.before.as_str(), same.after.as_str()),
        ("", "keeps Onward running"),
        "what did not change is said once"
    );
}

/// A table that does not hold all of them says so, and where the others are.
#[test]
fn a_table_that_ends_early_says_so() {
    let last = note(AccountDeed::Reset, "operator", "operator");
    let of = |before| Found { notes: vec![last.clone()], before, goes_on: false };
    let text = |found| String::from_utf8(super::table(found, "provider:mind").unwrap()).unwrap();
    let all = text(of(None));
    assert_eq!(all.lines().count(), 2, "{all}");
    let cut = text(of(Some(last.id)));
    let told = cut.lines().nth(2).unwrap();
    let there = format!("/changes.csv?of=provider%3Amind&before={}", last.id);
    assert!(told.starts_with(",,,those before are not in this file") && told.contains(&there), "{cut}");
}

async fn table(browser: &mut Browser, path: &str) -> String {
    let (status, headers, bytes) = browser.bytes(path).await;
    assert_eq!((status, &headers[header::CONTENT_TYPE]), (StatusCode::OK, &"text/csv; charset=utf-8".parse().unwrap()));
    assert!(bytes.starts_with(b"\xef\xbb\xbf"), "a spreadsheet reads every name");
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn an_auditor_sees_who_gave_whom_what_and_nobody_else_does() {
    let scene = scene();
    let key = scene.enrolled("audrey", "auditor").await;
    let mut auditor = scene.logged_in("audrey", &key).await;
    for n in 0..60 {
        let worker = roles("provider-worker:local");
        scene.people.add("local:ada", &format!("worker-{n}"), "Wanda", worker).await.unwrap();
    }
    scene.people.add("command:olive", "otto", "Otto", roles("operator")).await.unwrap();
    scene.people.set_positions("local:ada", "worker-0", roles("operator")).await.unwrap_err();
    scene.people.set_positions("command:olive", "worker-0", roles("operator")).await.unwrap();

    let page = auditor.get("/changes").await;
    for told in [
        "</span>olive</td>",
        "worker-0",
        "works the referrals of",
        "keeps Onward running",
        "Given other roles",
        "otto",
        "Made",
        "</span>ada</td>",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    assert!(page.text.find("Given other roles") < page.text.find("otto"), "the last one first");
    assert!(auditor.get("/console").await.text.contains("href=\"/changes\""), "it is where she may go");
    // all of it, page by page, each once
    let mut seen = Vec::new();
    let mut path = "/changes?of=provider%3Alocal".to_owned();
    loop {
        let page = auditor.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        seen.extend(page.text.split("worker-").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()));
        assert!(!page.text.contains("otto"), "he has never been there");
        match page.text.split_once("rel=\"next\"") {
            Some((before, _)) => {
                path = before.rsplit_once("href=\"").unwrap().1.split('"').next().unwrap().replace("&#38;", "&")
            }
            None => break,
        }
    }
    let mut expected: Vec<String> = (0..60).rev().map(|n| n.to_string()).collect();
    expected.insert(0, "0".to_owned());
    assert_eq!(seen, expected);
    let all = table(&mut auditor, "/changes.csv").await;
    assert_eq!(all.lines().count(), 1 + 1 + 60 + 2, "{all}");
    assert!(all.contains("given other roles,provider-worker:local,operator"), "{all}");
    assert_eq!(table(&mut auditor, "/changes.csv?of=provider:local").await.lines().count(), 1 + 61);
    // and from one on those before it
    let notes = scene.store.latest_account_notes(None, 1).await.unwrap();
    let before = table(&mut auditor, &format!("/changes.csv?of=&before={}", notes[0].id)).await;
    assert_eq!(before.lines().count(), all.lines().count() - 1, "{before}");
    assert_eq!(auditor.get("/changes?of=provider:nowhere").await.status, StatusCode::NOT_FOUND);

    for role in ["operator", "route-editor", "provider-worker:local", "provider-admin:local"] {
        let name = role.split(':').next().unwrap();
        let key = scene.enrolled(name, role).await;
        let mut other = scene.logged_in(name, &key).await;
        for path in ["/changes", "/changes.csv"] {
            assert_eq!(other.get(path).await.status, StatusCode::NOT_FOUND, "{role} {path}");
        }
    }
}
