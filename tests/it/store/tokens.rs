//! Assertions are used once, and tokens hold until they end or are revoked.

use onward::store::{AccessToken, UsedAssertion};

use super::*;

fn used(name: u8, b: &Bench) -> UsedAssertion {
    UsedAssertion { id: [name; 32], until: b.store.now() + secs(300) }
}

fn token(name: u8, b: &Bench) -> AccessToken {
    let at = b.store.now();
    AccessToken {
        hash: [name; 32],
        client: "system/epr".to_owned(),
        scopes: "system/Task.rs".to_owned(),
        at,
        until: at + secs(300),
        certificate: name.is_multiple_of(2).then_some([name + 100; 32]),
    }
}

pub async fn an_assertion_is_used_once(b: Bench) {
    assert!(b.store.use_assertion(used(1, &b), Some(token(1, &b))).await.unwrap());
    assert!(!b.store.use_assertion(used(1, &b), Some(token(2, &b))).await.unwrap());
    assert!(!b.store.use_assertion(used(1, &b), None).await.unwrap());
    assert_eq!(b.store.access_token([1; 32]).await.unwrap(), Some(token(1, &b)));
    assert_eq!(b.store.access_token([2; 32]).await.unwrap(), None, "nothing is given for it again");
    // one that gives nothing is used all the same
    assert!(b.store.use_assertion(used(3, &b), None).await.unwrap());
    assert!(!b.store.use_assertion(used(3, &b), Some(token(3, &b))).await.unwrap());
    assert_eq!(b.store.access_token([3; 32]).await.unwrap(), None);
}

pub async fn of_many_who_show_the_same_assertion_one_is_let_in(b: Bench) {
    let tries = (1..=20).map(|name| b.store.use_assertion(used(99, &b), Some(token(name, &b))));
    let done = futures_util::future::join_all(tries).await;
    assert_eq!(done.iter().filter(|done| *done.as_ref().unwrap()).count(), 1, "{done:?}");
    let mut there = 0;
    for name in 1..=20 {
        there += usize::from(b.store.access_token([name; 32]).await.unwrap().is_some());
    }
    assert_eq!(there, 1);
}

pub async fn a_token_holds_until_it_ends_or_is_revoked(b: Bench) {
    for name in [1, 2] {
        assert!(b.store.use_assertion(used(name, &b), Some(token(name, &b))).await.unwrap());
        assert_eq!(b.store.access_token([name; 32]).await.unwrap(), Some(token(name, &b)), "as it was given");
    }
    assert!(!b.store.revoke_token([1; 32], "system/other").await.unwrap(), "another's");
    assert!(b.store.access_token([1; 32]).await.unwrap().is_some());
    assert!(b.store.revoke_token([1; 32], "system/epr").await.unwrap());
    assert!(!b.store.revoke_token([1; 32], "system/epr").await.unwrap());
    assert_eq!(b.store.access_token([1; 32]).await.unwrap(), None);
    b.clock.advance(299);
    assert!(b.store.access_token([2; 32]).await.unwrap().is_some());
    b.clock.advance(1);
    assert_eq!(b.store.access_token([2; 32]).await.unwrap(), None, "at its end it has ended");
}

pub async fn what_has_run_out_is_forgotten(b: Bench) {
    assert!(b.store.use_assertion(used(1, &b), Some(token(1, &b))).await.unwrap());
    b.clock.advance(301);
    assert!(b.store.use_assertion(used(2, &b), None).await.unwrap());
    assert!(b.store.use_assertion(used(1, &b), None).await.unwrap(), "it is kept no longer than it could be shown");
    assert!(!b.store.revoke_token([1; 32], "system/epr").await.unwrap());
}

pub async fn a_secret_is_the_same_for_all_who_want_it(b: Bench) {
    let offers = (1..=20).map(|n| b.store.shared_secret("one", [n; 32]));
    let given: Vec<[u8; 32]> = futures_util::future::try_join_all(offers).await.unwrap();
    assert!((1..=20).contains(&given[0][0]) && given.iter().all(|one| *one == given[0]), "{given:?}");
    assert_eq!(b.store.shared_secret("one", [99; 32]).await.unwrap(), given[0], "it stays as it is");
    assert_eq!(b.store.shared_secret("two", [98; 32]).await.unwrap(), [98; 32], "each name has its own");
}
