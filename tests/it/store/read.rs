//! Reading what is stored.

use onward::store::{AskedBy, NewVersion, Parties, TaskQuery};

use super::*;

pub async fn versions_and_parties(b: Bench) {
    let new = referral_for("a", &["life-rooms", "citizens-advice"]);
    let (submitted, _) = stored(b.store.submit(submission(vec![new.clone()])).await.unwrap());
    one_task(&b, "another").await;
    let id = submitted[0].tasks[0];
    b.clock.advance(5);
    let events = vec![event(None, &[]), event(Some(r#"{"n":3}"#), &[]), event(Some(r#"{"n":4}"#), &[])];
    b.store.append(Append { events, ..step(&task(&b, id).await) }).await.unwrap();

    let versions = b.store.versions("Task", id.0).await.unwrap();
    let seen: Vec<_> = versions.iter().map(|v| (v.version, v.body.as_str(), v.last_updated)).collect();
    let (then, now) = (start(), start() + secs(5));
    assert_eq!(seen, [(1, r#"{"status":"requested"}"#, then), (3, r#"{"n":3}"#, now), (4, r#"{"n":4}"#, now)]);
    assert!(versions.iter().all(|v| v.referral == new.id && v.kind == "Task" && v.id == id.0));

    let (current, parties) = b.store.resource("Task", id.0, None).await.unwrap().unwrap();
    assert_eq!((current.version, current.body.as_str()), (4, r#"{"n":4}"#));
    let providers = ["citizens-advice", "life-rooms"].map(|p| p.parse().unwrap()).to_vec();
    assert_eq!(parties, Parties { system: "mersey-epr".parse().unwrap(), providers });
    for version in &versions {
        let (one, _) = b.store.resource("Task", id.0, Some(version.version)).await.unwrap().unwrap();
        assert_eq!(one.body, version.body);
    }
    for (kind, id, version) in [("Task", id.0, Some(2)), ("Patient", id.0, None), ("Task", new.request, None)] {
        assert!(b.store.resource(kind, id, version).await.unwrap().is_none());
    }
    assert!(b.store.versions("Patient", id.0).await.unwrap().is_empty());
}

pub async fn a_referral_with_all_that_travels_with_it(b: Bench) {
    let exact = "{\"valueDecimal\":1.50,\n  \"text\":\"Zoë – “ok”\\u0000\"}";
    let mut new = referral("a");
    new.resources.push(resource("Observation", Uuid::now_v7(), exact));
    // the same logical id under another type is another resource
    new.resources.push(resource("Group", new.request, "{}"));
    let (submitted, _) = stored(b.store.submit(submission(vec![new.clone()])).await.unwrap());
    one_task(&b, "another").await;
    add(&b, submitted[0].tasks[0], &[]).await;

    let mut found: Vec<_> =
        b.store.resources_of(new.id).await.unwrap().into_iter().map(|r| (r.kind, r.id, r.body, r.version)).collect();
    let mut sent: Vec<_> = new.resources.iter().map(|r| (r.kind.clone(), r.id, r.body.clone(), 1)).collect();
    found.sort();
    sent.sort();
    assert_eq!(found, sent, "to the byte, and without the Task");
    assert_eq!(b.store.decision_of(new.id).await.unwrap(), Some(new.decision));
    assert_eq!(b.store.decision_of(ReferralId::mint()).await.unwrap(), None);
    assert!(b.store.resources_of(ReferralId::mint()).await.unwrap().is_empty());
}

pub async fn resources_by_type_and_id(b: Bench) {
    let mut one = referral("a");
    // the same logical id under another type is another resource
    one.resources.push(resource("Group", one.request, "{}"));
    let other = referral("b");
    let (submitted, _) = stored(b.store.submit(submission(vec![one.clone(), other.clone()])).await.unwrap());
    let anew = NewVersion {
        resource: resource("ServiceRequest", one.request, r#"{"n":2}"#),
        version: 2,
        task: None,
        key: None,
    };
    let before = task(&b, submitted[0].tasks[0]).await;
    b.store.append(Append { resources: vec![anew], ..step(&before) }).await.unwrap();
    let name = |kind: &str, id: Uuid| (kind.to_owned(), id);
    let of_one = name("ServiceRequest", one.request);
    let names = vec![
        of_one.clone(),
        name("ServiceRequest", other.request),
        of_one,
        name("Group", other.request),
        name("Service\0Request", other.request),
        name("ServiceRequest", Uuid::now_v7()),
    ];
    let found = b.store.named(names).await.unwrap();
    let mut found: Vec<_> = found.into_iter().map(|r| (r.referral, r.kind, r.id, r.version)).collect();
    found.sort();
    let mut expected = vec![
        (one.id, "ServiceRequest".to_owned(), one.request, 2),
        (other.id, "ServiceRequest".to_owned(), other.request, 1),
    ];
    expected.sort();
    assert_eq!(found, expected);
    assert!(b.store.named(vec![]).await.unwrap().is_empty());
}

pub async fn what_a_list_says_of_referrals(b: Bench) {
    let (mut one, mut other) = (referral("a"), referral("b"));
    let flag = Uuid::now_v7();
    one.resources.extend([resource("Flag", flag, "{}"), resource("Binary", flag, "{}")]);
    // an order that was made for one Task alone is not all of the referral's
    other.tasks[0].resources.push(resource("ServiceRequest", Uuid::now_v7(), "{}"));
    let (submitted, _) = stored(b.store.submit(submission(vec![one.clone(), other.clone()])).await.unwrap());
    let anew = NewVersion {
        resource: resource("ServiceRequest", one.request, r#"{"n":2}"#),
        version: 2,
        task: None,
        key: None,
    };
    let before = task(&b, submitted[0].tasks[0]).await;
    b.store.append(Append { resources: vec![anew], ..step(&before) }).await.unwrap();
    let gist = |referrals: Vec<ReferralId>| async {
        let found = b.store.gist_of(referrals).await.unwrap();
        let mut found: Vec<_> = found.into_iter().map(|r| (r.referral, r.kind, r.id, r.version)).collect();
        found.sort();
        found
    };
    let own = |of: &NewReferral| {
        let listed = of.resources.iter().filter(|new| new.kind != "Binary");
        let version = |new: &NewResource| if new.id == one.request { 2 } else { 1 };
        listed.map(|new| (of.id, new.kind.clone(), new.id, version(new))).collect::<Vec<_>>()
    };
    let mut expected = [own(&one), own(&other)].concat();
    expected.sort();
    assert_eq!(
        gist(vec![one.id, other.id, ReferralId::mint()]).await,
        expected,
        "the newest of each, and nothing else"
    );
    assert!(gist(vec![]).await.is_empty());
}

pub async fn tasks_by_what_one_has_in_hand(b: Bench) {
    let a = referral_for("a", &["life-rooms", "citizens-advice"]);
    stored(b.store.submit(submission(vec![a.clone(), referral("b")])).await.unwrap());
    // placer identifiers are the originating system's: another may use the same
    let other = Submission { system: "gp-north".parse().unwrap(), ..submission(vec![referral("a")]) };
    let other = stored(b.store.submit(other).await.unwrap()).0[0].tasks[0];
    let both: Vec<_> = a.tasks.iter().map(|t| t.id).collect();

    let found = |key: String| {
        let store = b.store.clone();
        async move { store.find_tasks(&key).await.unwrap().iter().map(|t| t.id).collect::<Vec<_>>() }
    };
    assert_eq!(found(both[1].to_string()).await, [both[1]]);
    assert_eq!(found(a.request.to_string()).await, both);
    assert_eq!(found(a.identifier.unwrap()).await, [both[0], both[1], other]);
    assert_eq!(found(a.id.to_string()).await, both, "as an alert names a referral");
    for nothing in [Uuid::now_v7().to_string(), "a".into(), "%".into(), String::new()] {
        assert!(found(nothing).await.is_empty());
    }
}

pub async fn tasks_by_the_request_that_something_came_of(b: Bench) {
    let asked = |request: &str| Some(AskedBy { request: request.into(), correlation: Some("c".into()), person: None });
    let mut made = Vec::new();
    for (key, request) in [("a", "r-1"), ("b", "r-2"), ("c", "r-1")] {
        let one = Submission { asked_by: asked(request), ..submission(vec![referral(key)]) };
        made.push(stored(b.store.submit(one).await.unwrap()).0[0].tasks[0]);
    }
    let found = |request: &'static str, count| {
        let store = b.store.clone();
        async move { store.tasks_asked_by(request, count).await.unwrap().iter().map(|t| t.id).collect::<Vec<_>>() }
    };
    assert_eq!(found("r-1", 9).await, [made[0], made[2]]);
    assert_eq!(found("r-1", 1).await, [made[0]]);
    assert_eq!(found("r-2", 9).await, [made[1]]);
    for nothing in ["r", "R-1", "%", "", "c", "a\0b"] {
        assert!(found(nothing, 9).await.is_empty(), "{nothing}");
    }
    // of a later step as well
    let store = b.store.clone();
    let task = task(&b, made[1]).await;
    let step = async { store.append(Append { events: vec![event(None, &[])], ..step(&task) }).await };
    asked("r-3").unwrap().within(step).await.unwrap();
    assert_eq!(found("r-3", 9).await, [made[1]]);
}

pub async fn requests_by_identifier_and_id(b: Bench) {
    let all = vec![
        referral_for("a", &["life-rooms", "citizens-advice"]),
        referral("b"),
        referral_for("c", &["citizens-advice"]),
    ];
    let (a, c) = (&all[0], &all[2]);
    stored(b.store.submit(submission(all.clone())).await.unwrap());
    let found = |query: TaskQuery, identifiers: Option<Vec<String>>| {
        let store = b.store.clone();
        async move { store.find_requests(query, identifiers).await.unwrap().iter().map(|r| r.id).collect::<Vec<_>>() }
    };
    let sent = TaskQuery { systems: vec!["mersey-epr".parse().unwrap()], count: 10, ..TaskQuery::default() };
    let received = TaskQuery { providers: vec!["citizens-advice".parse().unwrap()], count: 10, ..TaskQuery::default() };
    let stranger = TaskQuery { systems: vec!["gp-north".parse().unwrap()], count: 10, ..TaskQuery::default() };
    let ids: Vec<_> = all.iter().map(|r| r.request).collect();

    assert_eq!(found(sent.clone(), None).await, ids, "each once, in the order of ids");
    assert_eq!(found(received.clone(), None).await, [a.request, c.request]);
    assert_eq!(found(sent.clone(), a.identifier.clone().map(|i| vec![i])).await, [a.request]);
    let of_b = all[1].identifier.clone().map(|i| vec![i]);
    assert!(found(received.clone(), of_b.clone()).await.is_empty());
    assert!(found(stranger, of_b.clone()).await.is_empty());
    assert!(found(TaskQuery { count: 10, ..TaskQuery::default() }, of_b).await.is_empty());
    assert!(found(sent.clone(), Some(vec![])).await.is_empty());
    let by_id = TaskQuery { ids: Some(vec![c.request, Uuid::now_v7()]), ..sent.clone() };
    assert_eq!(found(by_id, None).await, [c.request]);
    let first = found(TaskQuery { count: 2, ..sent.clone() }, None).await;
    assert_eq!(first, ids[..2]);
    assert_eq!(found(TaskQuery { after: Some(TaskId(first[1])), ..sent }, None).await, ids[2..]);
}

pub async fn referrals_by_what_is_beside_them_and_by_their_names(b: Bench) {
    let named = |key: &str, names: &[&str]| {
        let mut new = referral(key);
        new.resources[0].names = names.iter().map(|name| (*name).to_owned()).collect();
        new
    };
    let all = vec![named("a", &["R-1", "9000000009"]), named("b", &["R-2", "9000000009"]), named("c", &["it's 100%"])];
    let ids: Vec<_> = all.iter().map(|r| r.id).collect();
    let (resource, task) = (all[0].resources[0].id, all[1].tasks[0].id);
    stored(b.store.submit(submission(all)).await.unwrap());
    let found = |beside: &[Uuid], names: &[&str], count| {
        let (store, beside) = (b.store.clone(), beside.to_vec());
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let systems = vec!["mersey-epr".parse().unwrap()];
        let query = TaskQuery { systems, count, ..TaskQuery::default() };
        async move { store.referrals_of(query, beside, names).await.unwrap() }
    };
    assert_eq!(found(&[], &["9000000009"], 10).await, ids[..2]);
    assert_eq!(found(&[], &["R-2", "it's 100%", "nobody"], 10).await, ids[1..]);
    assert_eq!(found(&[resource, task.0], &[], 10).await, ids[..2]);
    assert_eq!(found(&[resource], &["it's 100%"], 10).await, [ids[0], ids[2]]);
    assert_eq!(found(&[], &["9000000009"], 1).await.len(), 1);
    assert!(found(&[Uuid::now_v7()], &["", "r-1", "it", "a\0"], 10).await.is_empty());

    // those of others are not found, and do not count
    for (seen_by, expected) in [
        (TaskQuery { providers: vec!["life-rooms".parse().unwrap()], count: 10, ..TaskQuery::default() }, 2),
        (TaskQuery { systems: vec!["gp-north".parse().unwrap()], count: 10, ..TaskQuery::default() }, 0),
        (TaskQuery { providers: vec!["mind".parse().unwrap()], count: 10, ..TaskQuery::default() }, 0),
        (TaskQuery { count: 10, ..TaskQuery::default() }, 0),
    ] {
        let found = b.store.referrals_of(seen_by, vec![task.0], vec!["9000000009".into()]).await.unwrap();
        assert_eq!(found.len(), expected);
    }

    // what comes later is a name as well
    let now = super::task(&b, task).await;
    let mut again = super::resource("ServiceRequest", now.request, "{}");
    again.names = vec!["R-3".into(), "R-2".into()];
    let later = onward::store::NewVersion { resource: again, version: 2, task: None, key: None };
    let step = Append { resources: vec![later], events: vec![event(None, &[])], ..step(&now) };
    b.store.append(step).await.unwrap();
    assert_eq!(found(&[], &["R-3"], 10).await, ids[1..2]);
}

pub async fn it_is_ready_until_it_is_closed(b: Bench) {
    b.store.ready().await.unwrap();
    let begun: Vec<_> = (0..20)
        .map(|n| {
            let store = b.store.clone();
            tokio::spawn(async move { store.submit(submission(vec![referral(&format!("k{n}"))])).await })
        })
        .collect();
    b.store.ready().await.unwrap();
    b.store.close().await;
    assert!(b.store.ready().await.is_err());
    assert!(b.store.submit(submission(vec![referral("late")])).await.is_err());
    for one in begun {
        // finished or refused, never hanging; and what was answered is there
        if let Ok(submit) = one.await.unwrap() {
            task(&b, stored(submit).0[0].tasks[0]).await;
        }
    }
    b.store.close().await;
}

pub async fn one_that_beats_keeps_what_it_holds(b: Bench) {
    assert!(b.store.may_send());
    let id = one_task(&b, "a").await.id;
    let held = lease(&b, id, Side::Delivery).await;
    for _ in 0..10 {
        b.clock.advance(2);
        b.store.beat().await.unwrap();
        assert_eq!(b.store.end_leases_of_the_dead().await.unwrap(), 0);
        assert!(b.store.may_send());
    }
    assert!(matches!(b.store.lease_lane(id, Side::Delivery, MINUTE).await.unwrap(), LaneState::Busy));
    b.store.append(held.settle(Side::Delivery, done())).await.unwrap();
}
