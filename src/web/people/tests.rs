use axum::http::{StatusCode, header};

use super::*;
use crate::{
    domain::AlertKind,
    people::{Visitor, account::OF_ORGANISATION_MAX},
    store::{ACCOUNTS_MAX, AccountDeed},
    web::tests::{Browser, Scene, scene},
};

const ADMIN: &str = "provider-admin:local";

async fn browser_of(scene: &Scene, name: &str, role: &str) -> Browser {
    let key = scene.enrolled(name, role).await;
    scene.logged_in(name, &key).await
}

/// An account that nobody has enrolled, with whatever roles, also of organisations that are not there.
async fn account_with(scene: &Scene, name: &str, roles: &str) {
    let account = Account {
        name: name.into(),
        full_name: format!("Full {name}"),
        positions: roles.split(' ').map(|role| role.parse().unwrap()).collect(),
        disabled: false,
        enrolment: None,
        credentials: None,
        created: scene.store.now(),
        version: 1,
    };
    assert!(scene.store.add_account(account, None).await.unwrap());
}

async fn held(scene: &Scene, name: &str) -> Account {
    scene.store.account(name).await.unwrap().unwrap()
}

/// Ended without more ado.
async fn set_disabled(scene: &Scene, name: &str) {
    let account = Account { disabled: true, ..held(scene, name).await };
    assert!(scene.store.set_account(account, None, None).await.unwrap());
}

/// What stands for an account in URLs.
async fn named(scene: &Scene, name: &str) -> String {
    scene.people.names().await.unwrap().of(name)
}

/// Sends a form of a page of hers.
async fn sends(browser: &mut Browser, path: &str, fields: &[(&str, &str)]) -> crate::web::tests::Page {
    let made_for = browser.get("/account").await.made_for().to_owned();
    let mut all = vec![("made-for", made_for.as_str())];
    all.extend_from_slice(fields);
    browser.post(path, &all).await
}

#[tokio::test]
async fn an_admin_looks_after_the_people_of_her_organisation() {
    let scene = scene();
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    assert!(admin.get("/people").await.text.contains("Anna Ärzte"));
    // what is wrong is said at each field
    let page = sends(&mut admin, "/people/add", &[("name", "B B"), ("full-name", "")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for told in ["Error: Add a person", "Enter the person’s name", "Choose what this person does"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    let fields = [("name", "bert"), ("full-name", "Bert Bell"), ("role", "provider-worker:local")];
    let page = sends(&mut admin, "/people/add", &fields).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let code = page.between("<p class=\"onward-key\">", "</p>").to_owned();
    assert_eq!(code.len(), 29, "{code}");
    assert!(page.text.contains("Name to log in with: <b>bert@local</b>"), "{}", page.text);
    let again = sends(&mut admin, "/people/add", &fields).await;
    assert!(
        again.text.contains("that one is used, or was used before") && !again.text.contains("onward-key"),
        "{}",
        again.text
    );
    let page = admin.get("/people").await;
    for told in ["Bert Bell", "works referrals", "Has yet to set up the account"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    // no page says a code again, and none names anybody in its URL
    assert!(!page.text.contains(&code) && !page.text.contains("/people/bert"));

    let key = scene.enrols("bert@local", &code).await;
    let mut bert = scene.logged_in("bert@local", &key).await;
    assert_eq!(bert.get("/account").await.status, StatusCode::OK);
    let of_bert = format!("/people/{}", named(&scene, "bert@local").await);
    assert_eq!(admin.get(&of_bert).await.status, StatusCode::OK);
    // other roles, out, in again, anew: what she had before is over at once
    let roles = format!("{of_bert}/roles");
    let page = sends(&mut admin, &roles, &[("role", "provider-worker:local"), ("role", ADMIN)]).await;
    assert_eq!(page.to(), "/people?done=roles");
    assert!(admin.get("/people?done=roles").await.text.contains("nobody is logged in with the old ones"));
    assert_eq!(bert.get("/account").await.status, StatusCode::SEE_OTHER);
    let mut bert = scene.logged_in("bert@local", &key).await;
    assert_eq!(bert.get("/people").await.status, StatusCode::OK);
    assert_eq!(sends(&mut admin, &format!("{of_bert}/end"), &[]).await.to(), "/people?done=ended");
    assert_eq!(bert.get("/account").await.status, StatusCode::SEE_OTHER);
    assert!(held(&scene, "bert@local").await.disabled);
    assert_eq!(sends(&mut admin, &format!("{of_bert}/again"), &[]).await.to(), "/people?done=again");
    let page = sends(&mut admin, &format!("{of_bert}/reset"), &[]).await;
    assert_ne!(page.between("<p class=\"onward-key\">", "</p>"), code);
    assert_eq!(held(&scene, "bert@local").await.credentials, None);

    // those who answer for Onward hear of each that was let in to referrals, and of nothing else
    account_with(&scene, "cara", ADMIN).await;
    let roles = format!("/people/{}/roles", named(&scene, "cara").await);
    assert_eq!(sends(&mut admin, &roles, &[("role", "provider-worker:local")]).await.status, StatusCode::SEE_OTHER);
    let alerts = scene.store.open_alerts(99).await.unwrap();
    assert!(
        alerts.iter().all(|alert| alert.kind == AlertKind::WorkerLetIn && alert.kind.needs_a_person()),
        "{alerts:?}"
    );
    let mut told: Vec<_> = alerts.iter().map(|alert| alert.text.as_str()).collect();
    told.sort_unstable();
    let bert = "local:ada has let local:bert@local in to the referrals of local";
    assert_eq!(told, [bert, bert, bert, "local:ada has let local:cara in to the referrals of local"]);

    let notes = scene.store.account_notes(None, 100).await.unwrap();
    let of_bert: Vec<_> = notes.iter().filter(|note| note.account == "bert@local").collect();
    let deeds: Vec<_> = of_bert.iter().map(|note| note.deed).collect();
    use AccountDeed::{Added, Disabled, Enabled, Positions, Reset};
    assert_eq!(deeds, [Added, Positions, Disabled, Enabled, Reset]);
    assert!(of_bert.iter().all(|note| note.by == "local:ada"), "{of_bert:?}");
}

/// From the attacker's side: an admin who wants more than is hers.
#[tokio::test]
async fn an_admin_gets_no_further_than_her_organisation() {
    let scene = scene();
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    account_with(&scene, "olga", "operator").await;
    account_with(&scene, "eve", "provider-worker:elsewhere").await;
    account_with(&scene, "mixed", "provider-worker:local operator").await;
    account_with(&scene, "bert", "provider-worker:local").await;
    let before = [held(&scene, "olga").await, held(&scene, "eve").await];

    // others are as if they were not there, on every page and by every deed
    for other in ["olga", "eve", "nobody"] {
        let at = format!("/people/{}", named(&scene, other).await);
        assert_eq!(admin.get(&at).await.status, StatusCode::NOT_FOUND, "{other}");
        for action in ["roles", "reset", "end", "again"] {
            let page = sends(&mut admin, &format!("{at}/{action}"), &[("role", "provider-worker:local")]).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{other} {action}");
        }
    }
    assert!(!admin.get("/people").await.text.contains("olga"));
    assert_eq!([held(&scene, "olga").await, held(&scene, "eve").await], before);

    // no other role is given, to nobody, not beside one that is hers to give either
    for role in [
        "operator",
        "auditor",
        "route-editor",
        "provider-worker:elsewhere",
        "provider-admin:elsewhere",
        "referrer:local",
        "x",
    ] {
        let given = [("role", "provider-worker:local"), ("role", role)];
        let at = format!("/people/{}/roles", named(&scene, "bert").await);
        assert!(matches!(sends(&mut admin, &at, &given).await.status.as_u16(), 404 | 422), "{role}");
        let new = [("name", "new"), ("full-name", "New"), given[0], given[1]];
        assert!(matches!(sends(&mut admin, "/people/add", &new).await.status.as_u16(), 404 | 422), "{role}");
        assert_eq!(scene.store.account("new@local").await.unwrap(), None, "{role}");
    }
    assert_eq!(held(&scene, "bert").await.version, 1);

    // an account that is more than hers is not taken over; what is hers of it she gives and takes, and nothing else
    let mixed = format!("/people/{}", named(&scene, "mixed").await);
    assert!(!admin.get(&mixed).await.text.contains("/reset"), "it is not offered");
    for action in ["reset", "end", "again"] {
        let page = sends(&mut admin, &format!("{mixed}/{action}"), &[]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{action}");
    }
    assert_eq!(sends(&mut admin, &format!("{mixed}/roles"), &[("role", ADMIN)]).await.status, StatusCode::SEE_OTHER);
    let positions: Vec<_> = held(&scene, "mixed").await.positions.iter().map(ToString::to_string).collect();
    assert_eq!(positions, ["operator", ADMIN]);
    assert_eq!(held(&scene, "mixed").await.credentials, None);
    // who leaves her organisation and works elsewhere as well has no role in it any more; who has no other has her account ended
    assert_eq!(sends(&mut admin, &format!("{mixed}/roles"), &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(held(&scene, "mixed").await.positions, ["operator".parse().unwrap()]);
    let of_bert = format!("/people/{}/roles", named(&scene, "bert").await);
    let page = sends(&mut admin, &of_bert, &[]).await;
    assert!(page.status == StatusCode::UNPROCESSABLE_ENTITY && page.text.contains("end the account"), "{}", page.text);

    // she leaves nobody without one who looks after them: her own account is not hers to change
    let own = format!("/people/{}", named(&scene, "ada").await);
    for action in ["roles", "reset", "end"] {
        let page = sends(&mut admin, &format!("{own}/{action}"), &[("role", "provider-worker:local")]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{action}");
        assert!(page.text.contains("This is your own account"), "{}", page.text);
    }
    assert_eq!(held(&scene, "ada").await.positions, ["provider-admin:local".parse().unwrap()]);
}

#[tokio::test]
async fn to_who_looks_after_nobody_there_is_no_such_page_and_forms_from_elsewhere_do_nothing() {
    let scene = scene();
    account_with(&scene, "bert", "provider-worker:local").await;
    let of_bert = format!("/people/{}", named(&scene, "bert").await);
    let fields = [("name", "new"), ("full-name", "New"), ("role", "provider-worker:local")];
    let ways = ["roles", "reset", "end", "again"].map(|action| format!("{of_bert}/{action}"));
    for (n, role) in ["provider-worker:local", "operator", "auditor", "route-editor"].into_iter().enumerate() {
        let mut browser = browser_of(&scene, &format!("person-{n}"), role).await;
        for path in ["/people", "/people/add", &of_bert] {
            assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{role} {path}");
        }
        for path in ways.iter().map(String::as_str).chain(["/people/add"]) {
            assert_eq!(sends(&mut browser, path, &fields).await.status, StatusCode::NOT_FOUND, "{role} {path}");
        }
    }
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    for path in ways.iter().map(String::as_str).chain(["/people/add"]) {
        assert_eq!(admin.post(path, &fields).await.status, StatusCode::FORBIDDEN, "{path}: it bears nothing of hers");
        let mut nobody = scene.browser();
        let page = nobody.post(path, &fields).await;
        assert_eq!(page.headers[header::LOCATION], "/login", "{path}");
    }
    assert_eq!((held(&scene, "bert").await.version, scene.store.account("new@local").await.unwrap()), (1, None));
}

/// Which names others have taken is told to nobody: a name that she gives is one of her own organisation, whatever she writes.
#[tokio::test]
async fn an_admin_learns_of_no_name_of_others() {
    let scene = scene();
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    account_with(&scene, "olga", "operator").await;
    account_with(&scene, "eve@elsewhere", "provider-worker:elsewhere").await;
    let adds = async |admin: &mut Browser, name: &str| {
        let page = sends(admin, "/people/add", &[("name", name), ("full-name", "New"), ("role", ADMIN)]).await;
        (page.status, page.text)
    };
    for (taken, free) in [("olga", "olgb"), ("eve@elsewhere", "evf@elsewhere")] {
        let (taken, free) = (adds(&mut admin, taken).await, adds(&mut admin, free).await);
        assert_eq!(taken.0, free.0);
        assert!(!taken.1.contains("was used before"), "{}", taken.1);
    }
    assert!(held(&scene, "olga@local").await.positions == held(&scene, "olgb@local").await.positions);
    assert_eq!(held(&scene, "olga").await.version, 1);
    assert!(
        adds(&mut admin, "olga@local").await.1.contains("that one is used, or was used before"),
        "of her own she is told"
    );
    assert!(admin.get("/people/add").await.text.contains("It ends with @local"));
}

/// A press on a page of somebody's account does nothing that cannot be undone: first it is said what will happen.
#[tokio::test]
async fn what_keeps_somebody_out_is_asked_once_more() {
    let scene = scene();
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    let mut bert = browser_of(&scene, "bert", "provider-worker:local").await;
    let bert_at = format!("/people/{}", named(&scene, "bert").await);
    let page = admin.get(&bert_at).await;
    for action in ["reset", "end"] {
        let there = format!("{bert_at}/{action}");
        assert!(
            page.text.contains(&format!("href=\"{there}\"")) && !page.text.contains(&format!("action=\"{there}\""))
        );
        let asks = admin.get(&there).await;
        assert_eq!(asks.status, StatusCode::OK, "{}", asks.text);
        assert!(
            asks.text.contains("out at once") && asks.text.contains(&format!("action=\"{there}\"")),
            "{}",
            asks.text
        );
    }
    assert_eq!(bert.get("/inbox").await.status, StatusCode::OK, "to ask does nothing");
    for path in [format!("{bert_at}/roles"), format!("/people/{}/end", named(&scene, "ada").await)] {
        assert!(admin.get(&path).await.to().starts_with("/people/"), "{path}");
    }
    account_with(&scene, "carl", "provider-worker:local operator").await;
    let of_carl = format!("/people/{}", named(&scene, "carl").await);
    assert_eq!(admin.get(&format!("{of_carl}/end")).await.to(), of_carl);
    assert_eq!(bert.get(&format!("{bert_at}/end")).await.status, StatusCode::NOT_FOUND);
    let asks = admin.get(&format!("{bert_at}/end")).await;
    assert_eq!(
        admin.post(&format!("{bert_at}/end"), &[("made-for", asks.made_for())]).await.to(),
        "/people?done=ended"
    );
    assert!(bert.get("/inbox").await.to().starts_with("/login"));
}

/// What stands for an account tells nobody her name who tries all that there may be: it is another with every store.
#[tokio::test]
async fn what_stands_for_an_account_says_no_name_to_who_tries_them_all() {
    let (scene, other) = (scene(), scene());
    let of_bert = named(&scene, "bert").await;
    assert_eq!((of_bert.len(), &of_bert), (32, &named(&scene, "bert").await));
    assert_ne!(of_bert, named(&scene, "berta").await);
    assert_ne!(of_bert, named(&other, "bert").await);
}

/// Two who look after the people of an organisation and end each other's account at once: one of them stays.
#[tokio::test]
async fn of_two_who_end_each_other_at_once_one_stays() {
    let scene = scene();
    for round in 0..8 {
        let names = [format!("ada-{round}"), format!("bea-{round}")];
        let mut browsers = Vec::new();
        for name in &names {
            browsers.push(browser_of(&scene, name, ADMIN).await);
        }
        let (mut bea, mut ada) = (browsers.pop().unwrap(), browsers.pop().unwrap());
        let (end_ada, end_bea) = (named(&scene, &names[0]).await, named(&scene, &names[1]).await);
        let (end_ada, end_bea) = (format!("/people/{end_ada}/end"), format!("/people/{end_bea}/end"));
        let ended = tokio::join!(sends(&mut ada, &end_bea, &[]), sends(&mut bea, &end_ada, &[]));
        let done = [&ended.0, &ended.1].into_iter().filter(|page| page.status == StatusCode::SEE_OTHER).count();
        let out = [held(&scene, &names[0]).await.disabled, held(&scene, &names[1]).await.disabled];
        assert!(out == [true, false] || out == [false, true], "{out:?} {:?} {:?}", ended.0.status, ended.1.status);
        assert!(done >= 1);
        // and she goes on
        let stays = if out[0] { &mut bea } else { &mut ada };
        assert_eq!(stays.get("/people").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_organisation_makes_only_so_many_accounts_and_none_that_is_not_what_it_seems() {
    let scene = scene();
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    for name in [
        "Ann\u{202e}htimS",
        "Ann\u{200b}",
        "Ann\nSmith",
        "\u{feff}",
        "\u{2800}",
        "\u{3164}",
        "Lu\u{34f}ke",
        "",
        &"a".repeat(101),
    ] {
        let fields = [("name", "new"), ("full-name", name), ("role", "provider-worker:local")];
        let page = sends(&mut admin, "/people/add", &fields).await;
        assert!(
            page.status == StatusCode::UNPROCESSABLE_ENTITY && page.text.contains("none that cannot be seen"),
            "{name:?}"
        );
        let told = scene.people.add("command:test", "new", name, vec![ADMIN.parse().unwrap()]).await;
        assert!(matches!(told, Err(AccountError::FullName)), "{name:?}");
    }
    // an account for herself is made by somebody else
    let own = [("name", "ada2"), ("full-name", " anna  ÄRZTE"), ("role", "provider-worker:local")];
    let page = sends(&mut admin, "/people/add", &own).await;
    assert!(page.status == StatusCode::UNPROCESSABLE_ENTITY && page.text.contains("your own name"), "{}", page.text);
    let twice = [("name", "new"), ("full-name", "Zoë O’Neil-Ärzte"), ("role", ADMIN), ("role", ADMIN)];
    let page = sends(&mut admin, "/people/add", &twice).await;
    assert!(
        page.status == StatusCode::UNPROCESSABLE_ENTITY && page.text.contains("Choose each role once"),
        "{}",
        page.text
    );
    for n in 1..OF_ORGANISATION_MAX {
        account_with(&scene, &format!("worker-{n}"), "provider-worker:local").await;
    }
    let fields = [("name", "new"), ("full-name", "Zoë O’Neil-Ärzte"), ("role", "provider-worker:local")];
    let page = sends(&mut admin, "/people/add", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("as many accounts as it may"), "{}", page.text);
    assert_eq!(scene.store.account("new@local").await.unwrap(), None);
    // nor does anybody else come to it, by a role or by being let in again; who has left leaves room, until as many have
    account_with(&scene, "eve", "provider-worker:elsewhere").await;
    let both = ["provider-admin:local", "provider-admin:elsewhere"].map(|role| role.parse().unwrap()).to_vec();
    let now = scene.store.now();
    let (person, name) = ("local:ada".to_owned(), "Ada".to_owned());
    let of_both = Visitor {
        person,
        name,
        positions: both,
        session: uuid::Uuid::now_v7(),
        looked: now,
        ends: now,
        at_last: false,
    };
    let wanted = ["provider-worker:elsewhere", "provider-worker:local"].map(|role| role.parse().unwrap()).to_vec();
    let told = scene.people.manage(&of_both, "eve", Managing::Positions(wanted)).await;
    assert!(matches!(told, Err(AccountError::Many)), "whoever looks after two of them brings nobody over");
    scene.people.disable("command:test", "worker-1", true).await.unwrap();
    account_with(&scene, "worker-0", "provider-worker:local").await;
    let again = format!("/people/{}/again", named(&scene, "worker-1").await);
    let page = sends(&mut admin, &again, &[]).await;
    assert!(page.text.contains("as many accounts as it may"), "{}", page.text);
    assert!(held(&scene, "worker-1").await.disabled);
    for n in [2, 3, 4] {
        set_disabled(&scene, &format!("worker-{n}")).await;
    }
    let page = sends(&mut admin, "/people/add", &fields).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for n in 5..OF_ORGANISATION_MAX {
        set_disabled(&scene, &format!("worker-{n}")).await;
    }
    account_with(&scene, "worker-1000", "provider-worker:local").await;
    set_disabled(&scene, "worker-1000").await;
    let fields = [("name", "newer"), fields[1], fields[2]];
    let page = sends(&mut admin, "/people/add", &fields).await;
    assert!(page.text.contains("have ended as it may have"), "{}", page.text);
    assert_eq!(scene.store.account("newer@local").await.unwrap(), None);
    // until some of them are forgotten
    scene.people.forget_account("command:test", "worker-2").await.unwrap();
    let page = sends(&mut admin, "/people/add", &fields).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    // whom that leaves room for are the others
    scene.people.add("command:test", "olive", "Olive", vec!["operator".parse().unwrap()]).await.unwrap();
}

/// Whom an issuer lets in has no account, and an admin sees all the same that she works there.
#[tokio::test]
async fn whom_an_issuer_lets_in_is_named_to_an_admin() {
    let scene = scene();
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    let works = |provider: &str| vec![provider.parse().unwrap()];
    scene.store.keep_colleague("oidc:1", "Nadia Able", works("local")).await.unwrap();
    scene.store.keep_colleague("oidc:2", "Eve Elsewhere", works("elsewhere")).await.unwrap();
    let page = admin.get("/people").await.text;
    assert!(page.contains("came to work referrals: Nadia Able.") && !page.contains("Eve"), "{page}");
    scene.store.keep_colleague("oidc:1", "Nadia Able", vec![]).await.unwrap();
    assert!(!admin.get("/people").await.text.contains("Nadia"));
}

/// Where there is no room for anybody, no other name is asked for.
#[tokio::test]
async fn that_there_are_too_many_accounts_is_not_told_of_a_name() {
    let scene = scene();
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    for number in scene.store.accounts().await.unwrap().len()..ACCOUNTS_MAX {
        account_with(&scene, &format!("elsewhere-{number}"), "operator").await;
    }
    let adds = [("name", "bert"), ("full-name", "Bert New"), ("role", "provider-worker:local")];
    let page = sends(&mut admin, "/people/add", &adds).await;
    assert!(page.text.contains("as Onward keeps") && !page.text.contains("Choose another name"), "{}", page.text);
}

/// A name to log in with is somebody's for good. To whoever looks after people it is the same answer whether she has it now, has left, is
/// forgotten, or works for another organisation, where it is none of hers.
#[tokio::test]
async fn that_a_name_was_given_tells_of_nobody_elsewhere() {
    let scene = scene();
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    for name in ["here", "ended", "forgotten"] {
        account_with(&scene, &format!("{name}@local"), "provider-worker:local").await;
    }
    account_with(&scene, "elsewhere@local", "provider-worker:elsewhere").await;
    for name in ["ended@local", "forgotten@local"] {
        scene.people.disable("command:test", name, true).await.unwrap();
    }
    scene.people.forget_account("command:test", "forgotten@local").await.unwrap();
    let list = admin.get("/people").await.text;
    assert!(!list.contains("forgotten@local") && !list.contains("elsewhere@local"), "{list}");
    let mut told = std::collections::BTreeSet::new();
    for name in ["here", "ended", "forgotten", "elsewhere"] {
        let fields = [("name", name), ("full-name", "Zoë O’Neil"), ("role", "provider-worker:local")];
        let page = sends(&mut admin, "/people/add", &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        told.insert(page.text.replace(&format!("value=\"{name}\""), "").replace(page.made_for(), ""));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    // nor is it found by what stands for it in URLs
    let at = format!("/people/{}", named(&scene, "forgotten@local").await);
    assert_eq!(admin.get(&at).await.status, StatusCode::NOT_FOUND);
    assert_eq!(sends(&mut admin, &format!("{at}/again"), &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn for_how_long_an_end_can_be_taken_back_is_told_before_it() {
    let scene = scene();
    let mut admin = browser_of(&scene, "ada", ADMIN).await;
    account_with(&scene, "bert", "provider-worker:local").await;
    let page = admin.get(&format!("/people/{}/end", named(&scene, "bert").await)).await;
    assert!(page.text.contains("again within 365 days"), "{}", page.text);
}
