//! Who works a provider's referrals by the word of an issuer.

use onward::domain::ProviderId;

use super::*;

async fn told(b: &Bench, provider: &str) -> Vec<(String, String, i64, i64, bool)> {
    let all = b.store.colleagues(&provider.parse().unwrap()).await.unwrap();
    let after = |at: jiff::Timestamp| at.duration_since(start()).as_secs();
    all.into_iter().map(|one| (one.person, one.name, after(one.since), after(one.seen), one.works)).collect()
}

pub async fn who_logs_in_is_known_by_each_of_her_names(b: Bench) {
    let rooms = || "life-rooms".parse().unwrap();
    let of = |person: &str, name: &str, since, seen, works| (person.to_owned(), name.to_owned(), since, seen, works);
    b.store.keep_colleague("oidc:1", "Ann Able", vec![rooms(), "choir".parse().unwrap()]).await.unwrap();
    b.clock.advance(10);
    b.store.keep_colleague("oidc:2", "Bo Baker", vec![rooms()]).await.unwrap();
    b.clock.advance(10);
    b.store.keep_colleague("oidc:1", "Ann Able", vec![rooms()]).await.unwrap();
    assert_eq!(
        told(&b, "life-rooms").await,
        [of("oidc:1", "Ann Able", 0, 20, true), of("oidc:2", "Bo Baker", 10, 10, true)]
    );
    assert_eq!(told(&b, "choir").await, [of("oidc:1", "Ann Able", 0, 0, false)], "there she works no more");
    b.clock.advance(10);
    b.store.keep_colleague("oidc:1", "Ann Carter", vec![rooms()]).await.unwrap();
    b.store.keep_colleague("oidc:2", "Bo Baker", vec![]).await.unwrap();
    assert_eq!(
        told(&b, "life-rooms").await,
        [
            of("oidc:1", "Ann Carter", 30, 30, true),
            of("oidc:1", "Ann Able", 0, 20, false),
            of("oidc:2", "Bo Baker", 10, 10, false),
        ],
        "what she was called is still known"
    );
    assert_eq!(told(&b, "mind").await, []);
}

pub async fn the_names_of_several_providers_are_told_once_the_one_seen_last_first(b: Bench) {
    let id = |text: &str| -> ProviderId { text.parse().unwrap() };
    for (person, name, providers) in [
        ("oidc:1", "Ann Able", &["life-rooms", "choir"][..]),
        ("oidc:2", "Bo Baker", &["life-rooms"]),
        ("oidc:9", "Nobody of these", &["mind"]),
        ("oidc:1", "Ann Carter", &["life-rooms"]),
        ("oidc:1", "Ann Able", &["choir"]),
    ] {
        b.store.keep_colleague(person, name, providers.iter().map(|one| id(one)).collect()).await.unwrap();
        b.clock.advance(10);
    }
    // of one moment
    for person in ["oidc:4", "oidc:3"] {
        b.store.keep_colleague(person, "é", vec![id("choir")]).await.unwrap();
        b.store.keep_colleague(person, "Z", vec![id("choir")]).await.unwrap();
    }
    let names = async |of: &[&str], most| {
        let of = of.iter().map(|one| id(one)).collect();
        let names = b.store.colleague_names(of, most).await.unwrap();
        names.into_iter().map(|(person, name)| format!("{person} {name}")).collect::<Vec<_>>()
    };
    let all =
        ["oidc:3 Z", "oidc:3 é", "oidc:4 Z", "oidc:4 é", "oidc:1 Ann Able", "oidc:1 Ann Carter", "oidc:2 Bo Baker"];
    assert_eq!(names(&["life-rooms", "choir", "choir", "gone"], 99).await, all);
    assert_eq!(names(&["life-rooms", "choir"], 6).await, all[..6]);
    assert_eq!(names(&["life-rooms"], 99).await, ["oidc:1 Ann Carter", "oidc:2 Bo Baker", "oidc:1 Ann Able"]);
    assert_eq!((names(&[], 99).await, names(&["choir"], 0).await), (vec![], vec![]));
}

pub async fn who_was_seen_longest_ago_is_forgotten_with_the_next(b: Bench) {
    let rooms: ProviderId = "life-rooms".parse().unwrap();
    let keep = async |n: usize| {
        b.store.keep_colleague(&format!("oidc:{n:05}"), "Somebody", vec![rooms.clone()]).await.unwrap();
    };
    for n in 0..2 {
        keep(n).await;
        b.clock.advance(1);
    }
    futures_util::future::join_all((2..COLLEAGUES_MAX).map(keep)).await;
    b.clock.advance(1);
    // who is known takes nobody's place
    keep(COLLEAGUES_MAX - 1).await;
    assert_eq!(b.store.colleagues(&rooms).await.unwrap().len(), COLLEAGUES_MAX);
    b.clock.advance(1);
    b.store.keep_colleague("oidc:new", "Somebody", vec![rooms.clone()]).await.unwrap();
    let all = b.store.colleagues(&rooms).await.unwrap();
    assert_eq!((all.len(), all[0].person.as_str()), (COLLEAGUES_MAX, "oidc:new"));
    assert!(all.iter().all(|one| one.person != "oidc:00000") && all.iter().any(|one| one.person == "oidc:00001"));
}
