//! People: sessions, log-ins, accounts, what was tried in vain, and glasses.

use std::collections::BTreeSet;

use onward::{
    domain::Position,
    store::{
        ACCOUNTS_MAX, Account, AccountAt, AccountDeed, AccountName, AccountNote, Credentials, Enrolment, Glass,
        LOGINS_MAX, SESSIONS_MAX, Session,
    },
};

use super::*;

fn positions() -> Vec<Position> {
    vec!["provider-worker:mind".parse().unwrap(), "auditor".parse().unwrap()]
}

fn session(b: &Bench, secret: &str, person: &str) -> Session {
    let now = b.store.now();
    Session {
        id: Uuid::now_v7(),
        secret: digest(secret),
        person: person.into(),
        name: "Anna Ärzte".into(),
        positions: positions(),
        created: now,
        last_used: now,
        until: now + secs(3600),
        issued: None,
    }
}

pub fn account(b: &Bench, name: &str) -> Account {
    let now = b.store.now();
    Account {
        name: name.into(),
        full_name: "Anna".into(),
        positions: positions(),
        disabled: false,
        enrolment: Some(Enrolment { code: digest("code"), until: now + secs(60) }),
        credentials: None,
        created: now,
        version: 1,
    }
}

async fn held(b: &Bench, person: &str) -> BTreeSet<[u8; 32]> {
    b.store.sessions_of(person).await.unwrap().into_iter().map(|one| one.secret).collect()
}

pub async fn a_session_is_found_by_its_secret_until_it_is_ended(b: Bench) {
    let one = session(&b, "a", "local:anna");
    b.store.add_session(one.clone()).await.unwrap();
    b.clock.advance(1);
    let (two, other) = (session(&b, "b", "local:anna"), session(&b, "c", "local:ann"));
    for new in [&two, &other] {
        b.store.add_session(new.clone()).await.unwrap();
        assert_eq!(b.store.session(new.secret).await.unwrap().as_ref(), Some(new));
    }
    assert!(b.store.session(digest("d")).await.unwrap().is_none());
    assert_eq!(b.store.sessions_of("local:anna").await.unwrap(), [two.clone(), one.clone()]);

    b.clock.advance(60);
    assert!(b.store.use_session(one.secret).await.unwrap());
    let used = b.store.session(one.secret).await.unwrap().unwrap();
    assert_eq!(used, Session { last_used: b.store.now(), ..one.clone() });

    assert_eq!(b.store.end_sessions("local:ann", Some(one.id)).await.unwrap(), 0, "it is another's");
    assert_eq!(b.store.end_sessions("local:anna", Some(one.id)).await.unwrap(), 1);
    assert!(b.store.session(one.secret).await.unwrap().is_none());
    assert!(!b.store.use_session(one.secret).await.unwrap(), "what has ended is not brought back by use");
    assert!(b.store.session(one.secret).await.unwrap().is_none());
    b.store.add_session(one).await.unwrap();
    assert_eq!(b.store.end_sessions("local:anna", None).await.unwrap(), 2);
    assert_eq!(held(&b, "local:anna").await, BTreeSet::new());
    assert_eq!(held(&b, "local:ann").await, [other.secret].into());
}

pub async fn an_issuer_ends_what_it_has_let_in(b: Bench) {
    let of = |secret: &str, person: &str, sid: Option<&str>| Session {
        issued: sid.map(digest),
        ..session(&b, secret, person)
    };
    let all = [
        of("a", "oidc:anna", Some("1")),
        of("b", "oidc:anna", Some("2")),
        of("c", "oidc:anna", None),
        of("d", "oidc:bert", Some("3")),
        of("e", "local:anna", None),
    ];
    for new in &all {
        b.store.add_session(new.clone()).await.unwrap();
        assert_eq!(b.store.session(new.secret).await.unwrap().as_ref(), Some(new), "as it was kept");
    }
    for (person, sid, ended) in [
        (None, None, 0),
        (Some("oidc:anna"), Some("3"), 0),
        (None, Some("4"), 0),
        (Some("oidc:carl"), None, 0),
        (Some("oidc:anna"), Some("1"), 1),
        (None, Some("3"), 1),
        (Some("oidc:anna"), None, 2),
    ] {
        assert_eq!(b.store.end_issued(person, sid.map(digest)).await.unwrap(), ended, "{person:?} {sid:?}");
    }
    assert_eq!(held(&b, "local:anna").await, [digest("e")].into(), "whom it has not let in");
}

pub async fn of_too_many_sessions_the_one_left_longest_ends(b: Bench) {
    let all: Vec<_> = (0..SESSIONS_MAX).map(|n| n.to_string()).collect();
    for secret in &all {
        b.clock.advance(1);
        b.store.add_session(session(&b, secret, "local:anna")).await.unwrap();
    }
    b.store.add_session(session(&b, "other", "local:ann")).await.unwrap();
    b.clock.advance(1);
    b.store.use_session(digest("0")).await.unwrap();
    b.store.add_session(session(&b, "new", "local:anna")).await.unwrap();
    let left: BTreeSet<_> = all.iter().filter(|n| *n != "1").map(|n| digest(n)).chain([digest("new")]).collect();
    assert_eq!(held(&b, "local:anna").await, left, "the first one was used since");
    assert_eq!(held(&b, "local:ann").await.len(), 1);
}

pub async fn a_login_is_taken_once_and_in_time(b: Bench) {
    let until = b.store.now() + secs(600);
    for key in ["a", "b"] {
        b.store.begin_login(digest(key), format!("kept for {key}").into(), until).await.unwrap();
    }
    assert_eq!(b.store.take_login(digest("c")).await.unwrap(), None);
    assert_eq!(b.store.take_login(digest("a")).await.unwrap().as_deref().map(String::as_str), Some("kept for a"));
    assert_eq!(b.store.take_login(digest("a")).await.unwrap(), None);
    b.clock.advance(600);
    assert_eq!(b.store.take_login(digest("b")).await.unwrap(), None, "it took too long");

    // two who show the same at once
    b.store.begin_login(digest("d"), "once".to_owned().into(), b.store.now() + secs(1)).await.unwrap();
    let takes = (0..8).map(|_| b.store.take_login(digest("d")));
    let taken = futures_util::future::join_all(takes).await;
    assert_eq!(taken.into_iter().filter(|taken| taken.as_ref().unwrap().is_some()).count(), 1);

    // more than may be: the oldest is forgotten
    let now = b.store.now();
    let begin = |n: usize| b.store.begin_login(digest(&n.to_string()), Default::default(), now + secs(1 + n as i64));
    for from in (0..=LOGINS_MAX).step_by(500) {
        let some = (from..(from + 500).min(LOGINS_MAX + 1)).map(begin);
        futures_util::future::join_all(some).await.into_iter().for_each(Result::unwrap);
    }
    assert_eq!(b.store.take_login(digest("0")).await.unwrap(), None);
    assert!(b.store.take_login(digest("1000")).await.unwrap().is_some());
}

pub async fn an_account_is_there_once_and_written_over_its_version(b: Bench) {
    let new = account(&b, "anna");
    assert!(b.store.add_account(new.clone(), None).await.unwrap());
    assert!(!b.store.add_account(Account { full_name: "Other".into(), ..new.clone() }, None).await.unwrap());
    assert_eq!(b.store.account("anna").await.unwrap(), Some(new.clone()));
    assert_eq!(b.store.account("ann").await.unwrap(), None);

    let credentials = Some(Credentials { password: "$argon2id$…".into(), totp: vec![0, 1, 255].into(), step: 7 });
    let enrolled = Account { enrolment: None, credentials, disabled: true, positions: vec![], ..new.clone() };
    assert!(b.store.set_account(enrolled.clone(), None, None).await.unwrap());
    let written = Account { version: 2, ..enrolled };
    assert_eq!(b.store.account("anna").await.unwrap(), Some(written.clone()));
    assert!(!b.store.set_account(new, None, None).await.unwrap(), "over an old version");
    assert!(!b.store.set_account(account(&b, "nobody"), None, None).await.unwrap());
    assert_eq!(b.store.account("anna").await.unwrap(), Some(written.clone()));

    for name in ["zoe", "Bert", "b_c"] {
        assert!(b.store.add_account(account(&b, name), None).await.unwrap());
    }
    let names: Vec<_> = b.store.accounts().await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["Bert", "anna", "b_c", "zoe"]);
}

pub async fn of_many_who_write_an_account_one_does(b: Bench) {
    let new = account(&b, "anna");
    b.store.add_account(new.clone(), None).await.unwrap();
    let writes = (0..8).map(|n| b.store.set_account(Account { full_name: n.to_string(), ..new.clone() }, None, None));
    let written = futures_util::future::join_all(writes).await;
    assert_eq!(written.into_iter().filter(|written| *written.as_ref().unwrap()).count(), 1);
    assert_eq!(b.store.account("anna").await.unwrap().unwrap().version, 2);
}

/// Whoever acts with an account acts as it was looked at: of two who end each other's at once one stays.
pub async fn who_acts_with_an_account_that_has_changed_changes_nothing(b: Bench) {
    for name in ["anna", "bert", "cara"] {
        assert!(b.store.add_account(account(&b, name), None).await.unwrap());
    }
    let by = |name: &str, version| Some(AccountAt { name: name.into(), version });
    let out = |name: &str, version| Account { disabled: true, version, ..account(&b, name) };
    assert!(!b.store.set_account(out("cara", 1), None, by("anna", 2)).await.unwrap(), "by another version");
    assert!(!b.store.set_account(out("cara", 1), None, by("nobody", 1)).await.unwrap());
    assert!(b.store.set_account(out("cara", 1), None, by("anna", 1)).await.unwrap());
    assert!(!b.store.set_account(out("cara", 1), None, by("anna", 1)).await.unwrap(), "over an old version");
    for version in 1..20 {
        let each = [("anna", "bert"), ("bert", "anna")];
        let ends = each.map(|(one, other)| b.store.set_account(out(one, version), None, by(other, version)));
        let ended = futures_util::future::join_all(ends).await;
        assert_eq!(ended.iter().filter(|ended| *ended.as_ref().unwrap()).count(), 1, "{version}: {ended:?}");
        // both are there again, of the same version
        for name in ["anna", "bert"] {
            let held = b.store.account(name).await.unwrap().unwrap();
            if held.version == version {
                assert!(b.store.set_account(held, None, None).await.unwrap());
            }
        }
    }
}

/// What is left of an account that is forgotten is what its person is called. Its name is given to nobody else, and leaves room for others.
pub async fn an_account_that_ended_is_forgotten_but_for_what_its_person_is_called(b: Bench) {
    let start = b.store.now();
    for (name, full_name) in [("anna", "Anna Ärzte"), ("bert", "Bert"), ("cara", "Cara")] {
        let new = Account { full_name: full_name.into(), ..account(&b, name) };
        assert!(b.store.add_account(new, None).await.unwrap());
    }
    let note = |account: &str| AccountNote {
        id: Uuid::now_v7(),
        at: b.store.now(),
        by: "onward".into(),
        account: account.into(),
        deed: AccountDeed::Forgotten,
        before: positions(),
        positions: positions(),
    };
    let set = async |name: &str, disabled| {
        let held = b.store.account(name).await.unwrap().unwrap();
        assert!(b.store.set_account(Account { disabled, ..held }, None, None).await.unwrap());
    };
    let ended = async |before, count| -> Vec<String> {
        b.store.ended_accounts(before, count).await.unwrap().into_iter().map(|one| one.name).collect()
    };
    for name in ["bert", "anna"] {
        set(name, true).await;
    }
    b.clock.advance(10);
    // who is let in again begins anew; another change of who has ended is no new end
    set("bert", false).await;
    set("bert", true).await;
    set("anna", true).await;
    assert_eq!(ended(start, 9).await, [""; 0], "not before it");
    assert_eq!(ended(start + secs(1), 9).await, ["anna"]);
    assert_eq!(ended(start + secs(11), 9).await, ["anna", "bert"], "the longest first");
    assert_eq!(ended(start + secs(11), 1).await, ["anna"]);

    let at = |name: &str, version| AccountAt { name: name.into(), version };
    assert!(!b.store.forget_account(at("cara", 1), note("cara")).await.unwrap(), "it has not ended");
    assert!(!b.store.forget_account(at("anna", 2), note("anna")).await.unwrap(), "another version");
    assert!(!b.store.forget_account(at("nobody", 1), note("nobody")).await.unwrap());
    let noted = note("anna");
    assert!(b.store.forget_account(at("anna", 3), noted.clone()).await.unwrap());
    assert!(!b.store.forget_account(at("anna", 4), note("anna")).await.unwrap(), "it is forgotten once");
    assert_eq!(b.store.account_notes(None, 9).await.unwrap(), [noted], "with what was done, and not without");

    assert_eq!(b.store.account("anna").await.unwrap(), None);
    let left: Vec<_> = b.store.accounts().await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(left, ["bert", "cara"]);
    assert_eq!(ended(start + secs(11), 9).await, ["bert"]);
    for version in 3..6 {
        let again = Account { version, ..account(&b, "anna") };
        assert!(!b.store.set_account(again.clone(), None, None).await.unwrap(), "{version}");
        let held = b.store.account("cara").await.unwrap().unwrap();
        assert!(
            !b.store.set_account(held, None, Some(at("anna", version))).await.unwrap(),
            "nor does she act: {version}"
        );
        assert!(!b.store.add_account(again, None).await.unwrap(), "nor is it another's");
    }
    let called = |name: &str, full_name: &str| AccountName { name: name.into(), full_name: full_name.into() };
    let mut names = b.store.account_names(vec!["cara".into(), "anna".into(), "nobody".into()]).await.unwrap();
    names.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(names, [called("anna", "Anna Ärzte"), called("cara", "Cara")]);
    assert_eq!(b.store.account_names(vec![]).await.unwrap(), []);
    b.clock.advance(10);
    assert!(b.store.forget_account(at("bert", 4), note("bert")).await.unwrap());
    assert_eq!(b.store.forgotten_accounts(9).await.unwrap(), [called("bert", "Bert"), called("anna", "Anna Ärzte")]);
    assert_eq!(b.store.forgotten_accounts(1).await.unwrap(), [called("bert", "Bert")]);
    // they count no more: as many as may be are there beside them
    let left = b.store.accounts().await.unwrap().len();
    let add = |n: usize| b.store.add_account(account(&b, &format!("new-{n}")), None);
    for from in (left..ACCOUNTS_MAX).step_by(500) {
        let some = (from..(from + 500).min(ACCOUNTS_MAX)).map(add);
        assert!(futures_util::future::join_all(some).await.into_iter().all(Result::unwrap));
    }
    assert!(!add(ACCOUNTS_MAX).await.unwrap(), "one too many");
}

pub async fn what_is_done_with_an_account_is_noted_where_it_was_done(b: Bench) {
    let new = account(&b, "anna");
    let note = |account: &str, deed| AccountNote {
        id: Uuid::now_v7(),
        at: b.store.now(),
        by: "oidc:“Olga”".into(),
        account: account.into(),
        deed,
        before: vec!["auditor".parse().unwrap()],
        positions: positions(),
    };
    let (added, reset) = (note("anna", AccountDeed::Added), note("anna", AccountDeed::Reset));
    assert!(b.store.add_account(new.clone(), Some(added.clone())).await.unwrap());
    assert!(!b.store.add_account(new.clone(), Some(note("anna", AccountDeed::Added))).await.unwrap());
    assert!(b.store.set_account(new.clone(), Some(reset.clone()), None).await.unwrap());
    let late = Some(note("anna", AccountDeed::Disabled));
    assert!(!b.store.set_account(new, late, None).await.unwrap(), "over an old version");
    assert!(!b.store.set_account(account(&b, "bert"), Some(note("bert", AccountDeed::Enabled)), None).await.unwrap());
    assert_eq!(b.store.account_notes(None, 10).await.unwrap(), [added.clone(), reset.clone()]);
    assert_eq!(b.store.account_notes(None, 1).await.unwrap(), std::slice::from_ref(&added));
    assert_eq!(b.store.account_notes(Some(added.id), 10).await.unwrap(), std::slice::from_ref(&reset));
    let latest = |before, count| b.store.latest_account_notes(before, count);
    assert_eq!(latest(None, 10).await.unwrap(), [reset.clone(), added.clone()]);
    assert_eq!(latest(None, 1).await.unwrap(), std::slice::from_ref(&reset));
    assert_eq!(latest(Some(reset.id), 10).await.unwrap(), std::slice::from_ref(&added));
    assert_eq!(latest(Some(added.id), 10).await.unwrap(), []);
    for deed in AccountDeed::ALL {
        b.store.add_account(account(&b, deed.code()), Some(note(deed.code(), *deed))).await.unwrap();
    }
    let noted = b.store.account_notes(None, 100).await.unwrap();
    assert!(
        AccountDeed::ALL.iter().all(|deed| noted.iter().any(|note| note.account == deed.code() && note.deed == *deed))
    );
}

pub async fn what_was_tried_in_vain_is_counted(b: Bench) {
    let key = digest("account anna");
    assert_eq!(b.store.failures(key).await.unwrap(), None);
    assert!(!b.store.count_failure(key, Some(1)).await.unwrap(), "there were none");
    assert!(b.store.count_failure(key, Some(0)).await.unwrap());
    assert!(!b.store.count_failure(key, Some(0)).await.unwrap());
    b.clock.advance(5);
    assert!(b.store.count_failure(key, None).await.unwrap());
    let found = b.store.failures(key).await.unwrap().unwrap();
    assert_eq!((found.count, found.last), (2, b.store.now()));
    let tries = (0..8).map(|_| b.store.count_failure(key, Some(2)));
    let counted = futures_util::future::join_all(tries).await;
    assert_eq!(counted.into_iter().filter(|counted| *counted.as_ref().unwrap()).count(), 1);
    b.store.count_failure(digest("other"), None).await.unwrap();
    b.store.forget_failures(key).await.unwrap();
    assert_eq!(b.store.failures(key).await.unwrap(), None);
    assert_eq!(b.store.failures(digest("other")).await.unwrap().unwrap().count, 1);
}

pub async fn a_broken_glass_is_open_for_its_time_and_kept(b: Bench) {
    let now = b.store.now();
    let glass = |person: &str, referral| Glass {
        id: Uuid::now_v7(),
        person: person.into(),
        name: "Anna".into(),
        positions: positions(),
        referral,
        reason: "“safeguarding”: her phone number is needed".into(),
        at: now,
        until: now + secs(60),
    };
    let referral = ReferralId::mint();
    let (one, other) = (glass("local:anna", referral), glass("local:ann", ReferralId::mint()));
    for new in [&one, &other] {
        b.store.add_glass(new.clone()).await.unwrap();
    }
    assert_eq!(b.store.open_glass("local:anna", referral).await.unwrap(), Some(one.clone()));
    assert_eq!(b.store.open_glass("local:ann", referral).await.unwrap(), None);
    assert_eq!(b.store.open_glass("local:anna", other.referral).await.unwrap(), None);
    b.clock.advance(60);
    assert_eq!(b.store.open_glass("local:anna", referral).await.unwrap(), None, "its time is over");
    b.store.sweep_people(b.store.now(), b.store.now()).await.unwrap();
    assert_eq!(b.store.glasses(None, 10).await.unwrap(), [one.clone(), other.clone()], "what was seen stays told");
    assert_eq!(b.store.glasses(None, 1).await.unwrap(), std::slice::from_ref(&one));
    assert_eq!(b.store.glasses(Some(one.id), 10).await.unwrap(), std::slice::from_ref(&other));
    assert_eq!(b.store.latest_glasses(None, 10).await.unwrap(), [other.clone(), one.clone()]);
    assert_eq!(b.store.latest_glasses(None, 1).await.unwrap(), std::slice::from_ref(&other));
    assert_eq!(b.store.latest_glasses(Some(other.id), 10).await.unwrap(), [one]);
}

pub async fn what_is_over_is_swept(b: Bench) {
    let start = b.store.now();
    b.store.add_session(session(&b, "idle", "local:anna")).await.unwrap();
    b.store.begin_login(digest("late"), Default::default(), start + secs(10)).await.unwrap();
    b.store.begin_login(digest("in time"), Default::default(), start + secs(100)).await.unwrap();
    b.store.count_failure(digest("long ago"), None).await.unwrap();
    b.clock.advance(20);
    b.store.add_session(session(&b, "used", "local:anna")).await.unwrap();
    b.store.add_session(Session { until: start + secs(30), ..session(&b, "old", "local:anna") }).await.unwrap();
    b.store.count_failure(digest("lately"), None).await.unwrap();
    b.clock.advance(10);
    assert_eq!(b.store.sweep_people(start + secs(20), start + secs(20)).await.unwrap(), 4);
    assert_eq!(held(&b, "local:anna").await, [digest("used")].into());
    assert!(b.store.take_login(digest("in time")).await.unwrap().is_some());
    assert!(b.store.failures(digest("long ago")).await.unwrap().is_none());
    assert!(b.store.failures(digest("lately")).await.unwrap().is_some());
    assert_eq!(b.store.sweep_people(start + secs(20), start + secs(20)).await.unwrap(), 0);
}
