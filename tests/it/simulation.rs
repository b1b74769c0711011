//! The core in a world where everything goes wrong: many schedules, each with its own crashes, stops, lost, late and doubled
//! messages between any two steps, and each the same every time it is run. What runs is the product; store, broker, network and
//! time are simulated.
//!
//! `ONWARD_SIMULATION_SEED` reproduces a run, `ONWARD_SIMULATION_SCHEDULES` sets how many schedules each test runs. A schedule
//! that fails is made as small as it can be, printed, and run once more with every step shown.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use onward::{
    config::Config,
    domain::{Clock, TaskStatus},
    lanes::dead,
    store::{LaneStore, Store},
};
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use crate::support::{
    memory::{Memory, Row},
    plan::Plan,
};

mod actors;
mod broker;
mod check;
mod hearts;
mod net;
mod process;
mod schedule;
mod store;
mod world;

use actors::{Replicas, Seen};
use net::Servers;
use process::{Ground, Process, REPUBLISH_AFTER};
use schedule::{ANSWERS, Inbox, Referral, Said, Schedule, Strike, Trouble};
use world::{Ended, Step, World};

/// Each of the four tests of random schedules runs so many.
const SCHEDULES: u32 = 1_300;
/// When nothing has been done for so long, time goes on to the next moment at which something is to be done.
const QUIET: Duration = Duration::from_secs(1);
/// The simulation looks so often how things stand.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// In this time everything must have come to rest: leases, pauses and the longest waits many times over.
const REST_WITHIN: Duration = Duration::from_secs(3 * 3600);

/// And within so many steps: a hundred times what a run takes.
const STEPS_MAX: usize = 10_000;

fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    let make = || {
        let route = |to: &str| {
            format!(
                "[[route]]\nname = \"{to}\"\nwhen = {{ code = [\"https://epr.example/service|{to}\"] }}\nto = \"{to}\"\n"
            )
        };
        let server = |port| format!("kind = \"fhir-rest\", base-url = \"{}\", timeout = \"1s\"", net::base_url(port));
        Plan::new()
            .section("[retry]\nfirst = \"2s\"\ncap = \"60s\"")
            .system("epr", "RW4", &net::base_url(net::RECORD), ", close-request = true")
            .provider("pushed", "A1A", &format!("{}, ids = \"server\"", server(net::PUSHED)))
            .provider(
                "polled",
                "B2B",
                &format!("{}, ids = \"client\", answers = \"poll\", poll-every = \"2s\"", server(net::POLLED)),
            )
            .provider("listed", "C3C", "kind = \"worklist\"")
            .routes(&format!(
                "{}[[route]]\nname = \"both\"\nwhen = {{ code = [\"https://epr.example/service|both\"] }}\n\
                 to = [\"pushed\", \"listed\"]\nshare = \"split\"\n",
                ["pushed", "polled", "listed"].map(route).concat()
            ))
            .config()
    };
    CONFIG.get_or_init(make)
}

/// What a run came to.
#[derive(Debug, PartialEq)]
struct Run {
    steps: Vec<Step>,
    struck: usize,
    lasted: Duration,
    faults: Vec<String>,
}

/// Runs a schedule to its end.
fn run(schedule: &Schedule, traced: bool) -> Run {
    // made once, and not with the dice of whoever comes first: its folder has a name by chance
    config();
    // the product's own dice
    fastrand::seed(schedule.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(simulate(schedule, traced))
}

async fn simulate(schedule: &Schedule, traced: bool) -> Run {
    let began = Instant::now();
    let (world, endings) = World::new(schedule, traced);
    let memory = Arc::new(Memory::new(Arc::clone(&world) as Arc<dyn Clock>));
    let ground = Ground {
        world: Arc::clone(&world),
        memory: Arc::clone(&memory),
        hearts: Arc::default(),
        servers: Arc::new(Servers::new()),
        registry: Arc::new(ArcSwap::from_pointee(config().registry.clone())),
        limits: &config().limits,
        has_polled: schedule.referrals.iter().any(|r| r.inbox == Inbox::Polled),
    };
    let live = (0..schedule.replicas).map(|index| Some(Process::start(&ground, index))).collect();
    let replicas = Replicas { ground: ground.clone(), live: Arc::new(Mutex::new(live)) };
    tokio::spawn(replace(replicas.clone(), endings));
    let seen = Arc::new(Seen::default());
    actors::open_for_work(&replicas, &seen, &schedule.referrals);
    let mut outside = JoinSet::new();
    for (n, referral) in schedule.referrals.iter().enumerate() {
        outside.spawn(actors::refer(replicas.clone(), Arc::clone(&seen), n, referral.clone()));
        if referral.inbox.targets().contains(&Inbox::Listed) {
            outside.spawn(actors::fetch(replicas.clone(), Arc::clone(&seen), n, referral.clone()));
        }
        if let Some(said) = referral.said {
            outside.spawn(actors::say(replicas.clone(), Arc::clone(&seen), n, said));
        }
    }
    let mut faults = Vec::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        while let Some(ended) = outside.try_join_next() {
            ended.unwrap();
        }
        if (outside.is_empty() && is_at_rest(&memory, schedule, &seen)) || !seen.wrong.lock().unwrap().is_empty() {
            break;
        }
        if world.is_worn_out() {
            faults.push(format!("no rest after {STEPS_MAX} steps"));
            break;
        }
        if began.elapsed() > REST_WITHIN {
            faults.push(format!("no rest after {REST_WITHIN:?}"));
            break;
        }
        if world.quiet_for() >= QUIET {
            for letter in memory.dead_letters(100).await.unwrap() {
                // a person sees to it; what cannot be replayed is explained by that
                let _ = dead::replay(&*memory, &letter, "jo").await;
            }
            go_on_to_what_is_next(&world, &memory).await;
        }
    }
    // whatever is still on its way may yet come, and lead to something that is told
    let goes_on = || began.elapsed() < REST_WITHIN && !world.is_worn_out() && seen.wrong.lock().unwrap().is_empty();
    let is_restless = || world.next_late().is_some() || !is_at_rest(&memory, schedule, &seen);
    for _ in 0..4 {
        while goes_on() && is_restless() {
            pass_on(&world, &memory).await;
        }
        tokio::time::sleep(QUIET).await;
        go_on_to_what_is_next(&world, &memory).await;
    }
    while goes_on() && is_restless() {
        pass_on(&world, &memory).await;
    }
    let struck = world.struck();
    faults.extend(check::faults(schedule, &struck, &memory, &ground.servers, &seen));
    if !faults.is_empty() && traced {
        memory.rows().iter().for_each(|row| println!("{:#?}\n{:#?}", row.journal, row.outbox));
    }
    Run { steps: world.history(), struck: struck.len(), lasted: began.elapsed(), faults }
}

/// Lets a little time pass, or more where nothing is done meanwhile.
async fn pass_on(world: &World, memory: &Memory) {
    tokio::time::sleep(LOOK_EVERY).await;
    if world.quiet_for() >= QUIET {
        go_on_to_what_is_next(world, memory).await;
    }
}

/// Time passes in one go to the next moment at which something becomes due or somebody goes on.
async fn go_on_to_what_is_next(world: &World, memory: &Memory) {
    let due = memory.next_moment(REPUBLISH_AFTER).map(|at| {
        let wait = at.duration_since(memory.now());
        Instant::now() + Duration::try_from(wait).unwrap_or_default()
    });
    if let Some(next) = due.into_iter().chain(world.next_to_go_on()).chain(world.next_late()).min() {
        tokio::time::advance(next.duration_since(Instant::now()) + Duration::from_millis(1)).await;
    }
}

/// Whether every Task is where its provider left it, or cancelled, and nothing waits to be sent.
fn is_at_rest(memory: &Memory, schedule: &Schedule, seen: &Seen) -> bool {
    memory.rows().iter().all(|row| {
        let Some(n) = actors::number_of(row) else { return false };
        if row.record.is_parent() {
            return !row.outbox.iter().any(|m| m.is_open());
        }
        let last = schedule.referrals[n].answers.last();
        let told = seen.told.lock().unwrap().iter().filter(|m| **m == n).count();
        let over = |row: &Row| actors::number_of(row) == Some(n) && row.record.state.status == TaskStatus::Cancelled;
        let over = memory.rows().iter().filter(|row| !row.record.is_parent() && over(row)).count();
        let is_told = told + over >= schedule.referrals[n].inbox.targets().len();
        let is_there = last.is_none_or(|last| row.record.state.status.code() == *last);
        let is_answered = is_there && row.record.state.sent && is_told;
        let is_over = row.record.state.status == TaskStatus::Cancelled;
        (is_answered || is_over) && !row.outbox.iter().any(|m| m.is_open())
    })
}

/// Starts a successor for each replica that ended, after a while.
async fn replace(replicas: Replicas, mut endings: mpsc::UnboundedReceiver<Ended>) {
    while let Some(ended) = endings.recv().await {
        let replicas = replicas.clone();
        tokio::spawn(async move {
            let (index, asked) = match ended {
                Ended::Crashed(index) => (index, false),
                Ended::Asked(index) => (index, true),
            };
            let gone = replicas.live.lock().unwrap()[index].take();
            // it may have been replaced already
            let Some(gone) = gone else { return };
            if asked {
                gone.stop().await;
            } else if !gone.replica.is_dead() {
                replicas.live.lock().unwrap()[index] = Some(gone);
                return;
            }
            let world = &replicas.ground.world;
            world.hall.leave(index);
            tokio::time::sleep(Duration::from_millis(world.draw(5_000))).await;
            let next = Process::start(&replicas.ground, index);
            replicas.live.lock().unwrap()[index] = Some(next);
        });
    }
}

/// Runs one and, if it fails, once more with every step shown.
fn must_hold(schedule: &Schedule) -> Run {
    let ran = run(schedule, false);
    if !ran.faults.is_empty() {
        run(schedule, true);
        panic!("{:#?}\n{schedule:#?}", ran.faults);
    }
    ran
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Runs many schedules by chance.
fn many(name: &str, inboxes: &'static [Inbox], steps: usize) {
    many_of(name, inboxes, steps, SCHEDULES);
}

fn many_of(name: &str, inboxes: &'static [Inbox], steps: usize, cases: u32) {
    let seed: u64 = setting("ONWARD_SIMULATION_SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = setting("ONWARD_SIMULATION_SCHEDULES").unwrap_or(cases);
    println!("{name}: {cases} schedules, ONWARD_SIMULATION_SEED={seed}");
    let began = std::time::Instant::now();
    let config = Cases {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        max_shrink_time: 30_000,
        ..Cases::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let totals = Mutex::new((0, 0, Duration::ZERO));
    let result = runner.run(&schedule::schedules(inboxes, steps), |schedule| {
        let ran = run(&schedule, false);
        let mut totals = totals.lock().unwrap();
        *totals = (totals.0 + ran.steps.len(), totals.1 + ran.struck, totals.2 + ran.lasted);
        if ran.faults.is_empty() { Ok(()) } else { Err(TestCaseError::fail(ran.faults.join("; "))) }
    });
    let (steps, struck, lasted) = totals.into_inner().unwrap();
    println!("{steps} steps, {struck} troubles, {lasted:?} simulated in {:?}", began.elapsed());
    if let Err(TestError::Fail(why, schedule)) = result {
        println!("the smallest that fails: {schedule:#?}");
        run(&schedule, true);
        panic!("{why}\nONWARD_SIMULATION_SEED={seed} reproduces it; {schedule:#?}");
    }
    result.unwrap();
}

#[test]
fn whatever_goes_wrong_pushed_referrals_end_right() {
    many("pushed", &[Inbox::Pushed], 110);
}

#[test]
fn whatever_goes_wrong_polled_referrals_end_right() {
    many("polled", &[Inbox::Polled], 110);
}

#[test]
fn whatever_goes_wrong_listed_referrals_end_right() {
    many("listed", &[Inbox::Listed], 80);
}

#[test]
fn whatever_goes_wrong_mixed_referrals_end_right() {
    many("mixed", &[Inbox::Pushed, Inbox::Polled, Inbox::Listed], 160);
}

#[test]
fn whatever_goes_wrong_split_referrals_end_right() {
    // each takes as long as two
    many_of("split", &[Inbox::Both], 160, SCHEDULES / 2);
}

/// A whole life without trouble, for one referral.
fn calm(inbox: Inbox, said: Option<Said>) -> Schedule {
    let referral = Referral { inbox, answers: ANSWERS[0], in_record: true, said };
    Schedule { seed: 7, replicas: 2, latency_ms: 2, referrals: vec![referral], strikes: vec![] }
}

/// Each trouble alone at each step, or of all of these one in so many: each trouble at other steps.
fn each_alone(inbox: Inbox, said: Option<Said>, one_in: usize) {
    let steps = must_hold(&calm(inbox, said)).steps.len();
    for at in 0..steps {
        for trouble in Trouble::EACH.iter().skip(at % one_in).step_by(one_in) {
            must_hold(&Schedule { strikes: vec![Strike { at, trouble: *trouble }], ..calm(inbox, said) });
        }
    }
    println!("{} schedules: each trouble alone at each step", steps * Trouble::EACH.len() / one_in);
}

#[test]
fn no_single_trouble_harms_a_pushed_referral() {
    each_alone(Inbox::Pushed, Some(Said::Cancel), 1);
}

#[test]
fn no_single_trouble_harms_a_polled_referral() {
    each_alone(Inbox::Polled, Some(Said::Message), 1);
}

#[test]
fn no_single_trouble_harms_a_listed_referral() {
    each_alone(Inbox::Listed, None, 1);
}

#[test]
fn no_single_trouble_harms_a_split_referral() {
    each_alone(Inbox::Both, Some(Said::Cancel), 6);
}

/// What was given up may arrive after the referrer has taken it back: then the provider must hear of that.
#[test]
fn what_arrives_late_after_a_refusal_is_not_left_with_the_provider() {
    let referral = Referral { inbox: Inbox::Pushed, answers: &[], in_record: true, said: Some(Said::Cancel) };
    for late in [Trouble::Late(60), Trouble::Late(200)] {
        // the referral goes out at one of these steps, and once more at one of those
        for (at, again) in (5..9).flat_map(|at| (at + 5..at + 13).map(move |again| (at, again))) {
            let strikes = vec![Strike { at, trouble: late }, Strike { at: again, trouble: Trouble::Refused }];
            let referrals = vec![referral.clone()];
            must_hold(&Schedule { seed: 0, replicas: 1, latency_ms: 2, referrals, strikes });
        }
    }
}

#[test]
fn the_same_schedule_runs_the_same() {
    let strikes = [(9, Trouble::CrashAfter), (20, Trouble::Pause(200)), (31, Trouble::Late(60)), (33, Trouble::Stop)];
    let strikes: Vec<_> = strikes.into_iter().map(|(at, trouble)| Strike { at, trouble }).collect();
    let referrals = [Inbox::Pushed, Inbox::Polled, Inbox::Listed]
        .map(|inbox| Referral { inbox, answers: ANSWERS[0], in_record: true, said: None })
        .to_vec();
    for seed in 0..20 {
        let schedule =
            Schedule { seed, replicas: 3, latency_ms: 30, referrals: referrals.clone(), strikes: strikes.clone() };
        let (first, again) = (must_hold(&schedule), must_hold(&schedule));
        let apart = first.steps.iter().zip(&again.steps).position(|(a, b)| a != b);
        if let Some(at) = apart {
            let both = |run: &Run| run.steps[at.saturating_sub(4)..(at + 2).min(run.steps.len())].to_vec();
            panic!("apart at step {at}: {:#?}\n{:#?}\n{schedule:?}", both(&first), both(&again));
        }
        assert_eq!(first, again, "{schedule:?}");
        assert_ne!(first.steps, must_hold(&Schedule { seed: seed + 100, ..schedule }).steps);
    }
}
