//! Route sets in versions: what was written stays as it was, and of those who activate at once one does.

use std::collections::BTreeMap;

use onward::{
    domain::{Alert, AlertKind},
    store::{ActivateError, Activation, NewRoutes, ROUTES_FILES_MAX_BYTES, ROUTES_TEXT_MAX_BYTES, Signed},
};

use super::*;

fn signed(comment: &str) -> Signed {
    Signed { author: "kim".into(), comment: comment.into() }
}

/// A set that says this.
fn new(says: &str) -> NewRoutes {
    NewRoutes {
        hash: format!("hash of {says}"),
        text: format!("# {says}\r\n\"é\" = '\u{1f33b}'\n"),
        files: BTreeMap::from([("tests/a.json".to_owned(), format!("{{\"says\":\"{says}\\u0000\"}}\n"))]),
        signed: signed(says),
    }
}

async fn add(b: &Bench, over: u64, says: &str) -> Activation {
    b.store.add_routes(over, new(says)).await.unwrap()
}

async fn numbers(b: &Bench, limit: usize) -> Vec<(u64, u64, bool)> {
    let history = b.store.routes_history(limit).await.unwrap();
    history.iter().map(|one| (one.seq, one.number, one.is_new)).collect()
}

pub async fn versions_are_numbered_and_never_change(b: Bench) {
    assert_eq!(b.store.active_routes().await.unwrap(), None);
    assert_eq!(b.store.routes_version(1).await.unwrap(), None);
    assert!(b.store.routes_history(9).await.unwrap().is_empty());
    for (seq, says) in [(1, "one"), (2, "two"), (3, "two")] {
        b.clock.advance(1);
        let activation = add(&b, seq - 1, says).await;
        let expected = Activation {
            seq,
            number: seq,
            hash: format!("hash of {says}"),
            is_new: true,
            signed: signed(says),
            at: start() + secs(i64::try_from(seq).unwrap()),
        };
        assert_eq!(activation, expected);
        assert_eq!(b.store.active_routes().await.unwrap(), Some(expected));
    }
    for (number, says) in [(1, "one"), (2, "two"), (3, "two")] {
        let stored = b.store.routes_version(number).await.unwrap().unwrap();
        let NewRoutes { hash, text, files, signed } = new(says);
        let at = start() + secs(i64::try_from(number).unwrap());
        assert_eq!((stored.number, stored.hash, stored.at), (number, hash, at));
        assert_eq!((stored.text, stored.files, stored.signed), (text, files, signed), "byte for byte");
    }
    for nobodys in [0, 4, u64::MAX] {
        assert_eq!(b.store.routes_version(nobodys).await.unwrap(), None);
    }
    assert_eq!(numbers(&b, 2).await, [(3, 3, true), (2, 2, true)]);
}

pub async fn the_second_of_two_who_apply_is_told(b: Bench) {
    add(&b, 0, "first").await;
    for over in [0, 2, u64::MAX >> 1] {
        let refused = b.store.add_routes(over, new("second")).await;
        assert!(matches!(refused, Err(ActivateError::Moved)), "{over}: {refused:?}");
        let refused = b.store.activate_routes(over, 1, signed("back")).await;
        assert!(matches!(refused, Err(ActivateError::Moved)), "{over}: {refused:?}");
    }
    assert_eq!(numbers(&b, 9).await, [(1, 1, true)]);
    assert_eq!(b.store.routes_version(2).await.unwrap(), None, "nothing of it was stored");
    assert_eq!(add(&b, 1, "second").await.number, 2, "no number was used up");
}

pub async fn one_of_many_who_apply_at_once_is_stored(b: Bench) {
    add(&b, 0, "first").await;
    let racing: Vec<_> = (0..12)
        .map(|n| {
            let store = b.store.clone();
            tokio::spawn(async move {
                if n % 3 == 0 {
                    store.activate_routes(1, 1, signed("back")).await
                } else {
                    store.add_routes(1, new(&format!("racer {n}"))).await
                }
            })
        })
        .collect();
    let mut done = Vec::new();
    for one in racing {
        match one.await.unwrap() {
            Ok(activation) => done.push(activation),
            Err(ActivateError::Moved) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(done.len(), 1);
    assert_eq!(b.store.active_routes().await.unwrap(), done.pop());
    assert_eq!(numbers(&b, 9).await.len(), 2);
}

pub async fn an_older_version_becomes_active_again(b: Bench) {
    add(&b, 0, "one").await;
    add(&b, 1, "two").await;
    b.clock.advance(5);
    let back = b.store.activate_routes(2, 1, signed("two lost its way")).await.unwrap();
    let expected = Activation {
        seq: 3,
        number: 1,
        hash: "hash of one".into(),
        is_new: false,
        signed: signed("two lost its way"),
        at: start() + secs(5),
    };
    assert_eq!(back, expected);
    assert_eq!(b.store.active_routes().await.unwrap(), Some(expected));
    assert_eq!(b.store.routes_version(1).await.unwrap().unwrap().signed, signed("one"), "it is as it was");
    assert_eq!(numbers(&b, 9).await, [(3, 1, false), (2, 2, true), (1, 1, true)]);
    assert_eq!(add(&b, 3, "three").await.number, 3, "a version has a number of its own");
    for nobodys in [0, 4, u64::MAX] {
        let refused = b.store.activate_routes(4, nobodys, signed("x")).await;
        assert!(matches!(refused, Err(ActivateError::Unknown(number)) if number == nobodys), "{refused:?}");
    }
}

pub async fn what_is_too_large_is_not_stored(b: Bench) {
    let text = NewRoutes { text: "#".repeat(ROUTES_TEXT_MAX_BYTES + 1), ..new("text") };
    let file = BTreeMap::from([(String::new(), " ".repeat(ROUTES_FILES_MAX_BYTES + 1))]);
    for large in [text, NewRoutes { files: file, ..new("files") }] {
        let refused = b.store.add_routes(0, large).await;
        assert!(matches!(refused, Err(ActivateError::TooLarge)), "{refused:?}");
    }
    assert_eq!(b.store.active_routes().await.unwrap(), None);
    let at_most = NewRoutes {
        text: "#".repeat(ROUTES_TEXT_MAX_BYTES),
        files: BTreeMap::from([(String::new(), " ".repeat(ROUTES_FILES_MAX_BYTES))]),
        ..new("all that may be")
    };
    b.store.add_routes(0, at_most.clone()).await.unwrap();
    let stored = b.store.routes_version(1).await.unwrap().unwrap();
    assert!(stored.text == at_most.text && stored.files == at_most.files);
}

pub async fn an_activation_ends_what_was_told_of_the_one_before(b: Bench) {
    add(&b, 0, "one").await;
    let refused = |subject: &str| Alert::new(AlertKind::ConfigurationRefused, subject, b.store.now(), "why");
    let others = [refused("configuration"), Alert::new(AlertKind::BrokerAway, "route set", b.store.now(), "why")];
    let about = || async {
        let open = b.store.open_alerts(9).await.unwrap();
        open.into_iter().map(|alert| (alert.kind, alert.subject)).collect::<Vec<_>>()
    };
    b.store.raise(others.to_vec()).await.unwrap();
    let before = about().await;
    let raise = || async {
        b.store.raise(vec![refused("route set at one"), refused("route set at other")]).await.unwrap();
        assert_eq!(about().await.len(), 4);
    };
    raise().await;
    assert!(b.store.add_routes(0, new("too late")).await.is_err());
    assert_eq!(about().await.len(), 4, "nothing happened");
    add(&b, 1, "two").await;
    assert_eq!(about().await, before, "it may be told anew, and nothing else is over");
    raise().await;
    b.store.activate_routes(2, 1, signed("back")).await.unwrap();
    assert_eq!(about().await, before);
}
