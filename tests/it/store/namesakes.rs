//! Open referrals that bear a name.

use onward::store::{NAMESAKES_MAX, NewVersion};

use super::*;

fn of(key: &str, inboxes: &[&str], names: &[&str]) -> NewReferral {
    let mut new = referral_for(key, inboxes);
    new.resources[1].names = names.iter().map(|name| (*name).to_owned()).collect();
    new
}

async fn found(b: &Bench, names: &[&str], inboxes: &[&str], count: usize) -> Vec<TaskId> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let inboxes = inboxes.iter().map(|inbox| inbox.parse().unwrap()).collect();
    b.store.open_by_name(names, inboxes, count).await.unwrap().into_iter().map(|(task, _)| task.id).collect()
}

pub async fn open_ones_are_found_by_name_and_inbox_the_newest_first(b: Bench) {
    let all = [
        of("a", &["life-rooms", "mind"], &["111", "M-1"]),
        of("b", &["life-rooms"], &["111"]),
        of("c", &["life-rooms"], &["222"]),
    ];
    let other = Submission { system: "gp-north".parse().unwrap(), ..submission(vec![all[1].clone()]) };
    stored(b.store.submit(submission(vec![all[0].clone(), all[2].clone()])).await.unwrap());
    stored(b.store.submit(other).await.unwrap());
    let task = |referral: usize, n: usize| all[referral].tasks[n].id;
    assert_eq!(found(&b, &["111"], &["life-rooms"], 9).await, [task(1, 0), task(0, 0)]);
    assert_eq!(found(&b, &["111"], &["life-rooms"], 1).await, [task(1, 0)]);
    assert_eq!(found(&b, &["M-1", "111"], &["mind"], 9).await, [task(0, 1)]);
    let mut three = found(&b, &["111", "222"], &["life-rooms"], 9).await;
    three.sort();
    let mut expected = [task(0, 0), task(1, 0), task(2, 0)];
    expected.sort();
    assert_eq!(three, expected);
    for (names, inboxes) in [
        (&["333"][..], &["life-rooms"][..]),
        (&["111"], &["age-uk"]),
        (&[], &["life-rooms"]),
        (&["111"], &[]),
        (&["1\0"], &["mind"]),
    ] {
        assert_eq!(found(&b, names, inboxes, 9).await, [], "{names:?} {inboxes:?}");
    }
    // what has ended is not open
    for status in TaskStatus::ALL {
        let record = super::task(&b, task(1, 0)).await;
        b.store.append(Append { state: state(*status), ..step(&record) }).await.unwrap();
        let expected = if status.is_terminal() { vec![task(0, 0)] } else { vec![task(1, 0), task(0, 0)] };
        assert_eq!(found(&b, &["111"], &["life-rooms"], 9).await, expected, "{status}");
    }
}

pub async fn each_comes_with_its_request_and_persons_as_they_are_now(b: Bench) {
    let mut new = of("a", &["life-rooms"], &["111"]);
    new.resources.push(resource("Observation", Uuid::now_v7(), "{}"));
    let beside = TaskId::mint();
    new.tasks[0].beside = Some(beside);
    stored(b.store.submit(submission(vec![new.clone()])).await.unwrap());
    let record = task(&b, new.tasks[0].id).await;
    assert_eq!(record.beside, Some(beside), "kept with it");
    let body = r#"{"new":true}"#;
    let version =
        NewVersion { resource: resource("ServiceRequest", new.request, body), version: 2, task: None, key: None };
    b.store.append(Append { resources: vec![version], ..step(&record) }).await.unwrap();
    let found = b.store.open_by_name(vec!["111".into()], vec!["life-rooms".parse().unwrap()], 9).await.unwrap();
    let [(task, resources)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((task.id, task.beside, task.referral), (record.id, Some(beside), new.id));
    let mut kinds: Vec<_> = resources.iter().map(|one| (one.kind.as_str(), one.body.as_str(), one.version)).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [("Patient", r#"{"active":true}"#, 1), ("ServiceRequest", body, 2)]);
}

pub async fn of_a_name_that_everybody_has_only_the_newest_are_looked_at(b: Bench) {
    let oldest = of("oldest", &["mind"], &["x"]);
    stored(b.store.submit(submission(vec![oldest.clone()])).await.unwrap());
    let more: Vec<_> = (1..NAMESAKES_MAX).map(|n| of(&n.to_string(), &["life-rooms"], &["x"])).collect();
    stored(b.store.submit(submission(more)).await.unwrap());
    assert_eq!(found(&b, &["x"], &["mind"], 9).await, [oldest.tasks[0].id]);
    stored(b.store.submit(submission(vec![of("one more", &["life-rooms"], &["x"])])).await.unwrap());
    assert_eq!(found(&b, &["x"], &["mind"], 9).await, []);
    assert_eq!(found(&b, &["x"], &["life-rooms"], 3).await.len(), 3);
}
