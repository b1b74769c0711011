//! Chaos: replicas, RabbitMQ nodes, PostgreSQL and receivers are killed, stopped and frozen, and the lines between them are cut,
//! slow or lead one way only, under load. Whatever was acknowledged is at its provider once, and its record was told everything
//! once and in order.
//!
//! `ONWARD_CHAOS_SEED` gives the same schedule again, `ONWARD_CHAOS_FAULTS` sets how much goes wrong, `ONWARD_CHAOS_NODES` over
//! how many RabbitMQ nodes (1 or 3).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinSet,
    time::Instant,
};

use crate::support::{
    checker::differences,
    flow::{Load, settle},
    onward::Onward,
    referrals, until_within,
};

mod cast;
mod schedule;

use cast::Cast;
use schedule::{Group, Strike, round_length, schedule};

/// So much goes wrong at once.
const AT_ONCE: usize = 4;
const SENDERS: usize = 4;
/// Of each sender, after each referral.
const PAUSE: Duration = Duration::from_millis(150);
/// How long everything may take to arrive once all is well again: a provider's copy whose reader could not reach the store is
/// nobody else's to read for 150 seconds, and a queue that RabbitMQ has lost the leader of is made anew within a minute.
const LIMIT: Duration = Duration::from_secs(260);

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_stopped_or_cut_off_nothing_is_lost_doubled_out_of_order_or_at_the_wrong_one() {
    let test = "chaos::whatever_is_killed_stopped_or_cut_off_nothing_is_lost_doubled_out_of_order_or_at_the_wrong_one";
    let seed = given("ONWARD_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("ONWARD_CHAOS_SEED={seed}");
    let nodes = given("ONWARD_CHAOS_NODES").map_or(1, |n| n as usize);
    let length = given("ONWARD_CHAOS_FAULTS").map_or(round_length(), |n| n as usize);
    let began = Instant::now();
    let Some(cast) = Cast::start(test, nodes, seed).await else { return };
    let cast = Arc::new(cast);
    println!("all are ready after {:?}", began.elapsed());

    let mut staff = cast.staff();
    let fronts: Vec<Onward> = cast.fronts().iter().map(|base| Onward::at(base)).collect();
    let load = Load::of(&fronts, (0..SENDERS).map(|sender| referrals::mixed(&format!("chaos{sender}-"))), PAUSE);

    let struck = Instant::now();
    run(&cast, schedule(seed, cast.size(), length)).await;
    println!("{length} faults in {:?}, all healed", struck.elapsed());
    let sent = tokio::time::timeout(LIMIT, load.end()).await.expect("a sender is not answered, though all is well");
    let acknowledged: usize = sent.referrals.iter().map(|referral| referral.tasks.len()).sum();
    println!("{acknowledged} acknowledged, the slowest in {:?}, {} sent again", sent.slowest, sent.refused);
    assert!(sent.refused > 0 && cast.lines_struck() > 0, "nothing went wrong");

    let healed = Instant::now();
    let all_told = settle(&sent.referrals, &cast.servers(), LIMIT).await;
    assert_none(&all_told, &cast, seed);
    println!("all told {:?} after the last fault", healed.elapsed());
    // what would come twice comes while there is something left to send
    until_within(LIMIT, "nothing is left to send", || async {
        cast.sql("SELECT id FROM outbox WHERE state < 3").is_empty().then_some(())
    })
    .await;
    assert_eq!(cast.sql("SELECT task, side, seq, why FROM outbox"), "", "dead letters; ONWARD_CHAOS_SEED={seed}");
    cast.stop().await;
    staff.abort_all();
    assert_none(&differences(&sent.referrals, &cast.servers().look()), &cast, seed);
    println!("at the end {:?} after the beginning", began.elapsed());
}

/// Strikes and heals, each group one at a time; returns when all is healed.
async fn run(cast: &Arc<Cast>, strikes: Vec<Strike>) {
    let began = Instant::now();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let groups: BTreeMap<Group, Arc<Mutex<()>>> = Group::ALL.map(|group| (group, Arc::default())).into();
    let mut under_way = JoinSet::new();
    for (n, strike) in strikes.into_iter().enumerate() {
        let group = Arc::clone(&groups[&strike.whom.group()]).lock_owned().await;
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (cast, pause) = (Arc::clone(cast), strike.pause);
        under_way.spawn(async move {
            println!("{:7.1?} {n} {strike}", began.elapsed());
            cast.strike(&strike).await;
            tokio::time::sleep(strike.lasts).await; // the schedule
            cast.heal(&strike).await;
            println!("{:7.1?} {n} healed", began.elapsed());
            drop((group, place));
        });
        while let Some(ended) = under_way.try_join_next() {
            ended.unwrap();
        }
        tokio::time::sleep(pause).await; // the schedule
    }
    under_way.join_all().await;
}

/// Fails where something differs, with what the store knows of it.
fn assert_none(differ: &[String], cast: &Cast, seed: u64) {
    if differ.is_empty() {
        return;
    }
    println!("what the store knows of the first of them:");
    let ids = differ.iter().filter_map(|line| line.split("Task ").nth(1)?.split([' ', ',', ':']).next());
    for id in ids.filter(|id| id.parse::<uuid::Uuid>().is_ok()).take(5) {
        for table in ["journal", "attempt", "outbox"] {
            println!("{table} of {id}:\n{}", cast.sql(&format!("SELECT * FROM {table} WHERE task = '{id}'")));
        }
    }
    panic!("ONWARD_CHAOS_SEED={seed}: {} differences:\n{}", differ.len(), differ.join("\n"));
}
