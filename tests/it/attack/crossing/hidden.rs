//! What is hidden costs nothing: a page takes as many reads of the store whether much of it is another's or nothing is. That is counted and
//! not timed, so that it says the same on every machine; and where the store is asked the same, there is nothing that could be timed.

use std::collections::BTreeMap;

use super::{batch, encoded, parameters};
use crate::{
    attack::scene::{SECTIONS, Scene},
    support::{
        fixtures,
        hub::{Actor, GP, Hub, LIFE_ROOMS, LINK_WORKERS, RIO, TRIAGE},
    },
};

/// What goes on beside it can only add to what is counted, so the least of so many is what a page takes.
const TIMES: usize = 25;
/// So many of another's come before, between and behind one's own.
const HIDDEN: usize = 20;
/// So many searches are counted together.
const BATCH: usize = 50;
/// So often, at the first look.
const TIMES_FIRST: usize = 3;

async fn reads(hub: &Hub) -> u64 {
    let figures = String::from_utf8(hub.actor(None).get("/metrics").await.body.to_vec()).unwrap();
    let found = figures.lines().find_map(|line| line.strip_prefix("onward_store_reads_total "));
    found.unwrap_or("0").parse().unwrap()
}

/// How many reads each of these takes, by what it says; a page goes on to the next until there is none.
async fn taken(hub: &Hub, actor: &Actor, asked: &[&str]) -> BTreeMap<String, Vec<u64>> {
    let mut all = BTreeMap::new();
    for first in asked {
        let mut path = Some(format!("/fhir/{first}"));
        let mut pages = Vec::new();
        while let Some(page) = path {
            let (mut least, mut next) = (u64::MAX, None);
            for _ in 0..TIMES {
                let before = reads(hub).await;
                let answer = actor.get(&page).await;
                least = least.min(reads(hub).await - before);
                assert_eq!(answer.status, 200, "{page}: {}", answer.describe());
                let links = answer.json()["link"].as_array().cloned().unwrap_or_default();
                let found = links.iter().find(|link| link["relation"] == "next");
                next = found.map(|link| link["url"].as_str().unwrap().strip_prefix(&hub.base_url).unwrap().to_owned());
            }
            pages.push(least);
            // the first page tells the total, and is not gone on from
            path = next.filter(|_| !first.contains("_total"));
            assert!(pages.len() < 20, "{first} has no end");
        }
        all.insert((*first).to_owned(), pages);
    }
    all
}

/// What is one's own comes to both, among what is another's to one of them.
async fn referred(alone: &Hub, among: &Hub) {
    for hub in [alone, among] {
        for n in 0..3 {
            if std::ptr::eq(hub, among) {
                // the same person, from another practice to another provider
                for other in 0..HIDDEN {
                    hub.sender(GP).refers(&fixtures::to_link_workers(&format!("hidden-{n}-{other}"))).await;
                }
            }
            hub.sender(RIO).refers(&fixtures::to_life_rooms(&format!("of-rio-{n}"))).await;
        }
        // nothing is under way any more
        crate::support::until("all of them have arrived", || async {
            let tasks = hub.sender(RIO).get("/fhir/Task?status=received").await.json();
            (tasks["entry"].as_array().is_some_and(|entries| entries.len() == 3)).then_some(())
        })
        .await;
    }
}

/// Those who have something of their own in it, or might.
fn everybody(hub: &Hub) -> Vec<(&'static str, Actor)> {
    let (rio, life_rooms): (Actor, Actor) = ((*hub.sender(RIO)).clone(), (*hub.provider(LIFE_ROOMS)).clone());
    vec![(RIO, rio), (LIFE_ROOMS, life_rooms), (TRIAGE, (*hub.provider(TRIAGE)).clone())]
}

/// How many reads these searches take together; no further looks where it is as many as `expected`.
async fn taken_together(
    (hub, actor): (&Hub, &Actor),
    searches: &[String],
    (times, expected): (usize, Option<u64>),
) -> u64 {
    let (asked, mut least) = (batch(searches), u64::MAX);
    for _ in 0..times {
        let before = reads(hub).await;
        let answer = asked.by(actor).await;
        least = least.min(reads(hub).await - before);
        assert_eq!(answer.status, 200, "{}", answer.describe());
        if expected == Some(least) {
            break;
        }
    }
    least
}

/// How many reads they take where nothing is hidden and where much is: the same where that can be seen.
async fn compared(alone: (&Hub, &Actor), among: (&Hub, &Actor), searches: &[String]) -> (u64, u64) {
    let of_alone = taken_together(alone, searches, (TIMES_FIRST, None)).await;
    let of_among = taken_together(among, searches, (TIMES, Some(of_alone))).await;
    // something may have gone on beside each look
    let of_alone = match of_alone == of_among {
        true => of_alone,
        false => of_alone.min(taken_together(alone, searches, (TIMES, Some(of_among))).await),
    };
    (of_alone, of_among)
}

/// Of every parameter of every search, and every parameter behind a reference, with something of theirs that would be found by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_search_takes_as_many_reads_whether_what_it_would_find_is_hidden_or_not_there() {
    let scene = Scene::set(None).await;
    let among = &scene.hub;
    let alone = Hub::build().hooks(&scene.hook.url).sections(SECTIONS).start().await;
    referred(&alone, among).await;
    let asked = parameters(&scene).into_iter().enumerate().map(|(n, (kind, name, value))| {
        let counted = ["_count=1", "_total=accurate&_count=1", "_summary=count"][n % 3];
        format!("{kind}?{}={}&{counted}", encoded(&name), encoded(&value))
    });
    let asked: Vec<String> = asked.collect();
    assert!(asked.len() > 1_500, "{}", asked.len());
    for ((who, one), (_, other)) in everybody(&alone).into_iter().zip(everybody(among)) {
        let (one, other, mut sum) = ((&alone, &one), (among, &other), 0);
        for some in asked.chunks(BATCH) {
            let (of_alone, of_among) = compared(one, other, some).await;
            sum += of_alone;
            if of_alone == of_among {
                continue;
            }
            for single in some {
                let (of_alone, of_among) = compared(one, other, std::slice::from_ref(single)).await;
                assert_eq!(of_alone, of_among, "{who}: {single} tells what is hidden by how much is read");
            }
            panic!("{who}: {of_alone} reads alone and {of_among} among others, of {some:#?}");
        }
        println!("{who}: {} searches take {sum} reads", asked.len());
        assert!(sum > 1_000, "{who}: hardly anything is read");
    }
    // the control: to whom it is not hidden it is read
    let (one, other) = (alone.provider(LINK_WORKERS), among.provider(LINK_WORKERS));
    let mut is_seen = false;
    for some in asked.chunks(BATCH) {
        let (of_alone, of_among) = compared((&alone, &one), (among, &other), some).await;
        is_seen |= of_alone < of_among;
        if is_seen {
            break;
        }
    }
    assert!(is_seen, "nothing that is one's own costs a read");
    alone.stop().await;
    scene.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_takes_as_many_reads_whether_much_is_hidden_or_nothing() {
    const ASKED: &[&str] = &[
        "Task?_count=1",
        "Task?_count=2&_sort=-_lastUpdated",
        "Task?_count=1&status=requested,received,accepted",
        "Task?patient.identifier=9990606900",
        "Task?_total=accurate&_count=1",
        "ServiceRequest?_count=1&_include=ServiceRequest:*",
        "ServiceRequest?patient.identifier=9990606900&_count=1",
        "Patient?identifier=9990606900",
        "Task/_history?_count=2",
    ];
    let (alone, among) = (Hub::start().await, Hub::start().await);
    referred(&alone, &among).await;
    for ((who, one), (_, other)) in everybody(&alone).into_iter().zip(everybody(&among)) {
        let (of_alone, of_among) = (taken(&alone, &one, ASKED).await, taken(&among, &other, ASKED).await);
        assert_eq!(of_alone, of_among, "{who}: what is hidden is told by how much is read");
        println!("{who}: {of_alone:?}");
    }
    // the control: what is one's own does count
    let of_workers = taken(&among, &among.provider(LINK_WORKERS), &["Task?_total=accurate&_count=0"]).await;
    assert!(of_workers.values().flatten().all(|reads| *reads > 0), "{of_workers:?}");
    alone.stop().await;
    among.stop().await;
}
