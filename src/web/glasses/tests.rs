use axum::http::{StatusCode, header};

use super::*;
use crate::{
    domain::ReferralId,
    web::tests::{Browser, Scene, scene},
};

const REASON: &str = "=cmd|' safeguarding: she must be reached today, and nobody there answers";

async fn browser_of(scene: &Scene, role: &str) -> Browser {
    let name = role.split(':').next().unwrap();
    let key = scene.enrolled(name, role).await;
    scene.logged_in(name, &key).await
}

async fn broken(scene: &Scene, person: &str, referral: ReferralId) -> Glass {
    let now = scene.store.now();
    let glass = Glass {
        id: Uuid::now_v7(),
        person: person.into(),
        name: "Olga Ops".into(),
        positions: vec!["operator".parse().unwrap()],
        referral,
        reason: REASON.into(),
        at: now,
        until: now,
    };
    scene.store.add_glass(glass.clone()).await.unwrap();
    glass
}

#[tokio::test]
async fn an_auditor_sees_who_broke_which_glass_and_why_and_nobody_else_does() {
    let scene = scene();
    let task = scene.referral("g-1").await;
    broken(&scene, "local:olga", task.referral).await;
    let gone = broken(&scene, "local:otto", ReferralId::mint()).await;
    let mut auditor = browser_of(&scene, "auditor").await;
    let page = auditor.get("/glasses").await;
    let at = format!("/console/trace/{}", task.id);
    for told in [
        "local:olga",
        "Olga Ops",
        "keeps Onward running",
        "nobody there answers",
        &at,
        "It is kept no longer",
        "local:otto",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    assert!(page.text.find("local:otto") < page.text.find("local:olga"), "the last one first");
    assert_eq!(auditor.get(&at).await.status, StatusCode::OK, "where it leads is hers to see");
    let earlier = auditor.get(&format!("/glasses?before={}", gone.id)).await;
    assert!(earlier.text.contains("local:olga") && !earlier.text.contains("local:otto"));

    let (status, headers, bytes) = auditor.bytes("/glasses.csv").await;
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!((status, &headers[header::CONTENT_TYPE]), (StatusCode::OK, &"text/csv; charset=utf-8".parse().unwrap()));
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains(&task.id.to_string()) && text.contains(",\"'=cmd|"), "no cell is a formula: {text}");

    for role in ["operator", "route-editor", "provider-worker:local", "provider-admin:local"] {
        let mut other = browser_of(&scene, role).await;
        for path in ["/glasses", "/glasses.csv"] {
            assert_eq!(other.get(path).await.status, StatusCode::NOT_FOUND, "{role} {path}");
        }
        assert!(!other.get("/account").await.text.contains("/glasses"), "{role}");
    }
}

#[tokio::test]
async fn many_are_turned_page_by_page() {
    let scene = scene();
    for n in 0..(ON_PAGE + 3) {
        broken(&scene, &format!("local:p{n}"), ReferralId::mint()).await;
    }
    let mut auditor = browser_of(&scene, "auditor").await;
    let page = auditor.get("/glasses").await;
    assert_eq!(page.text.matches("Reason given").count(), ON_PAGE);
    let older = page.between("<a href=\"/glasses?before=", "\"").to_owned();
    let page = auditor.get(&format!("/glasses?before={older}")).await;
    assert_eq!((page.text.matches("Reason given").count(), page.text.contains("Those before")), (3, false));
    let (_, _, bytes) = auditor.bytes("/glasses.csv").await;
    assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), ON_PAGE + 4);
    // and from one on those before it, as the last line of a table says that does not hold all
    let there = goes_on(older.parse().unwrap())[7].rsplit_once(' ').unwrap().1.to_owned();
    let (_, _, bytes) = auditor.bytes(&there).await;
    assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 4, "{there}");
    // one that holds all of them says nothing of more
    let all = ON_PAGE + 3;
    for (most, told) in [(all, false), (all - 1, true)] {
        let table = String::from_utf8(table(&*scene.store, None, most).await.unwrap().unwrap()).unwrap();
        assert_eq!((table.lines().count(), table.contains("not in this file")), (1 + most + usize::from(told), told));
    }
}
