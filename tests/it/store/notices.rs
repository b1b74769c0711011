//! How far the notices of inboxes are: kept over the version that was decided on.

use onward::domain::{
    InboxId,
    notice::{KeptNotices, News, Notices},
};

use super::*;

fn inbox(id: &str) -> InboxId {
    id.parse().unwrap()
}

pub async fn notices_are_kept_over_their_version_only(b: Bench) {
    assert_eq!(b.store.notices().await.unwrap(), []);
    let mut notices = Notices::begun(start());
    assert!(b.store.set_notices(&inbox("choir"), 0, notices.clone()).await.unwrap());
    assert!(!b.store.set_notices(&inbox("choir"), 0, notices.clone()).await.unwrap(), "there are some already");
    assert!(!b.store.set_notices(&inbox("garden"), 1, notices.clone()).await.unwrap(), "none of that name");
    notices.news = News { new: 3, urgent: 1, said: 0, overdue: 2 };
    notices.make(vec!["team@charity.example".to_owned()], 9, start() + secs(60));
    notices.news.said = 4;
    notices.held_until = Some(start() + secs(90));
    assert!(b.store.set_notices(&inbox("choir"), 1, notices.clone()).await.unwrap());
    assert!(!b.store.set_notices(&inbox("choir"), 1, Notices::begun(start())).await.unwrap(), "an older version");
    assert!(b.store.set_notices(&inbox("garden"), 0, Notices::begun(start())).await.unwrap());
    let kept = b.store.notices().await.unwrap();
    let garden = KeptNotices { version: 1, notices: Notices::begun(start()) };
    assert_eq!(kept, [(inbox("choir"), KeptNotices { version: 2, notices }), (inbox("garden"), garden)]);
}

pub async fn of_many_who_keep_notices_at_once_one_does(b: Bench) {
    let keeping = (0..20).map(|number| {
        let (store, mut notices) = (Arc::clone(&b.store), Notices::begun(start()));
        notices.news.new = number;
        async move { store.set_notices(&inbox("choir"), 0, notices).await.unwrap() }
    });
    let kept = futures_util::future::join_all(keeping).await;
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 1);
}
