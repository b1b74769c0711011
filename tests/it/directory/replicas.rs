//! Two processes over one server: what one writes the other finds at once.

use std::sync::Arc;

use arc_swap::ArcSwap;
use onward::{
    config::Registry, directory::Directory, domain::EntryKind, profiles::Validator, search::Search, store::Store,
};

use super::*;
use crate::store::postgres::Place;

const BASE: &str = "http://127.0.0.1:1";

fn over(store: Arc<dyn Store>) -> Directory {
    let registry = Arc::new(ArcSwap::from_pointee(Registry::default()));
    Directory::new(store, registry, Arc::new(Validator::new([]).unwrap()), BASE)
}

async fn known(directory: &Directory) -> usize {
    let all = Search::read("Organization", &[], BASE, false).unwrap();
    directory.candidates(EntryKind::Organization, &all, None).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_writes_the_other_finds_at_once() {
    let Some(place) = Place::new() else { return };
    let (one, other) = (over(place.open().unwrap()), over(place.open().unwrap()));
    assert_eq!((known(&one).await, known(&other).await), (0, 0));
    for n in 1..=20 {
        let (writes, reads) = if n % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let draft = writes.draft(EntryKind::Organization, None, organization(&format!("{n}")), false).await.unwrap();
        let checked = writes.check_one(draft).await.unwrap();
        writes.write(vec![checked], "anna").await.unwrap();
        assert_eq!((known(reads).await, known(writes).await), (n, n));
    }
}
