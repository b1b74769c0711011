//! What is sealed is opened for whom it was sealed, for what, while it holds; by every process of the store, and by no other.

use std::sync::Arc;

use jiff::SignedDuration;
use onward::{
    auth::{Purpose, Seal},
    domain::ManualClock,
    store::Store,
};

use crate::support::memory::Memory;

fn store() -> (Arc<dyn Store>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
    (Arc::new(Memory::new(clock.clone())), clock)
}

#[tokio::test]
async fn what_is_sealed_is_opened_for_its_holder_while_it_holds() {
    let (store, clock) = store();
    let (one, beside) = (Seal::new(Arc::clone(&store)), Seal::new(Arc::clone(&store)));
    let until = store.now() + SignedDuration::from_secs(60);
    let sealed = one.close(Purpose::Search, "Task system/a", b"9990606900", until).await.unwrap();
    assert!(!sealed.contains("99906") && sealed.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    let again = one.close(Purpose::Search, "Task system/a", b"9990606900", until).await.unwrap();
    assert_ne!(sealed, again, "the same twice is not seen to be the same");
    let opened =
        async |seal: &Seal, holder: &str, shown: &str| seal.open(Purpose::Search, holder, shown).await.unwrap();
    assert_eq!(opened(&one, "Task system/a", &sealed).await.as_deref(), Some(&b"9990606900"[..]));
    assert_eq!(opened(&beside, "Task system/a", &sealed).await.as_deref(), Some(&b"9990606900"[..]), "by any process");
    for (holder, shown) in [
        ("Task system/b", sealed.clone()),
        ("Task system/a b", sealed.clone()),
        ("Task system/a", format!("{sealed}AAAA")),
        ("Task system/a", sealed[..sealed.len() - 4].to_owned()),
        ("Task system/a", sealed[4..].to_owned()),
        ("Task system/a", "A".repeat(200)),
        ("Task system/a", String::new()),
        ("Task system/a", "é".to_owned()),
    ] {
        assert_eq!(opened(&one, holder, &shown).await, None, "{holder} {shown}");
    }
    let elsewhere = Seal::new(self::store().0);
    assert_eq!(opened(&elsewhere, "Task system/a", &sealed).await, None);
    clock.advance(59);
    assert!(opened(&one, "Task system/a", &sealed).await.is_some());
    clock.advance(1);
    assert_eq!(opened(&one, "Task system/a", &sealed).await, None, "at its end it has ended");
}
