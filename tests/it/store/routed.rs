//! Referrals in the order in which they were stored, and what brought them.

use onward::store::{NewVersion, Routed, RoutedQuery, Sent};

use super::*;

async fn page(b: &Bench, from: i64, before: i64, after: Option<&Routed>, count: usize) -> Vec<Routed> {
    let at = |seconds| start() + secs(seconds);
    let after = after.map(|last| (last.at, last.id));
    b.store.routed(RoutedQuery { from: at(from), before: at(before), after, count }).await.unwrap()
}

fn keys(found: &[Routed]) -> Vec<&str> {
    found.iter().map(|one| one.decision.as_str()).collect()
}

pub async fn they_come_in_the_order_in_which_they_were_stored(b: Bench) {
    // two of one moment, in one request, and one of which the id is older than what was stored before it
    let older = referral("older");
    let first = submission(vec![referral("a"), referral("b")]);
    stored(b.store.submit(first.clone()).await.unwrap());
    b.clock.advance(10);
    stored(b.store.submit(submission(vec![referral("c")])).await.unwrap());
    b.clock.advance(10);
    stored(b.store.submit(submission(vec![older])).await.unwrap());

    let all = page(&b, 0, 100, None, 100).await;
    let decisions = ["a", "b", "c", "older"].map(|key| format!(r#"{{"rule":"{key}"}}"#));
    assert_eq!(keys(&all), decisions);
    let times: Vec<_> = all.iter().map(|one| one.at).collect();
    assert_eq!(times, [start(), start(), start() + secs(10), start() + secs(20)]);
    assert_eq!(all[0].request, first.referrals[0].request);
    assert_eq!((all[0].submission, all[0].bytes), (first.id, u64::try_from(first.original.len()).unwrap()));
    assert_eq!(all[0].system.as_str(), "mersey-epr");

    // a page after another, whatever they hold
    for count in 1..4 {
        let (mut paged, mut last) = (Vec::new(), None);
        loop {
            let found = page(&b, 0, 100, last.as_ref(), count).await;
            assert!(found.len() <= count);
            let Some(end) = found.last().cloned() else { break };
            last = Some(end);
            paged.extend(found);
        }
        assert_eq!(paged, all, "{count} at a time");
    }
    // from is in it, before is not
    assert_eq!(keys(&page(&b, 10, 20, None, 9).await), [&decisions[2]]);
    assert_eq!(page(&b, 21, 100, None, 9).await, []);
    for (from, before, count) in [(0, 100, 4), (0, 10, 2), (10, 20, 1), (10, 21, 2), (30, 40, 0)] {
        let counted = b.store.count_routed(start() + secs(from), start() + secs(before)).await.unwrap();
        assert_eq!(counted, count, "from {from} before {before}");
    }
}

pub async fn what_was_sent_is_given_as_it_came(b: Bench) {
    let mut all = Vec::new();
    for (key, original) in [("a", &b"{ as\0it was }"[..]), ("b", b""), ("c", b"<x/>")] {
        let answer = format!("[\"{key}\"]");
        let one = Submission { original: Bytes::from_static(original), answer, ..submission(vec![referral(key)]) };
        stored(b.store.submit(one.clone()).await.unwrap());
        all.push(one);
    }
    let both = vec![all[2].id, all[0].id, Uuid::now_v7()];
    let mut found = b.store.sent(both).await.unwrap();
    found.sort_by_key(|sent| sent.id);
    let expected = [&all[0], &all[2]].map(|one| Sent {
        id: one.id,
        content_type: one.content_type.clone(),
        original: one.original.clone(),
        answer: one.answer.clone(),
    });
    assert_eq!(found, expected);
}

pub async fn what_its_sender_has_a_name_for_is_given_as_it_was_at_first(b: Bench) {
    let named =
        |kind: &str, id: Uuid, origin: &str| NewResource { origin: Some(origin.into()), ..resource(kind, id, "{}") };
    let mut new = referral("a");
    let person = Uuid::now_v7();
    new.resources.push(named("Patient", person, "Patient/p1"));
    new.resources[0].origin = Some("https://epr.example/ServiceRequest/1".into());
    let mut other = referral("b");
    other.resources.push(named("Patient", Uuid::now_v7(), "Patient/p2"));
    stored(b.store.submit(submission(vec![new.clone(), other.clone(), referral("c")])).await.unwrap());
    // what came later, a new version and something new, was not there when it was routed
    let later = |resource: NewResource, version| NewVersion { resource, version, task: None, key: None };
    let resources = vec![
        later(NewResource { body: r#"{"new":true}"#.into(), ..named("ServiceRequest", new.request, "x") }, 2),
        later(named("Communication", Uuid::now_v7(), "Communication/1"), 1),
    ];
    let task = task(&b, new.tasks[0].id).await;
    b.store.append(Append { resources, ..step(&task) }).await.unwrap();

    let found = b.store.named_at_first(vec![new.id]).await.unwrap();
    let mut origins: Vec<_> = found.iter().map(|one| (one.origin.as_deref().unwrap(), one.body.as_str())).collect();
    origins.sort_unstable();
    let request = new.resources[0].body.as_str();
    assert_eq!(origins, [("Patient/p1", "{}"), ("https://epr.example/ServiceRequest/1", request)]);
    assert!(found.iter().all(|one| one.referral == new.id && one.version == 1));
    let both = b.store.named_at_first(vec![other.id, new.id]).await.unwrap();
    assert_eq!(both.len(), 3);
    assert!(both.is_sorted_by_key(|one| (one.referral, one.id)));
}
