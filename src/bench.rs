//! `onward bench`: the closed loop under load, measured beside what the same machine does without us.
//!
//! Onward, the receivers and the load are processes of their own. What a loop takes is counted by Onward and checked by the
//! receivers; nothing is assumed. The limits are measured in the same run, on the same store and broker.

use std::{path::PathBuf, rc::Rc, time::Duration};

use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

pub mod directory;
pub mod figures;
mod installation;
mod latency;
mod limits;
pub mod load;
mod looking;
pub mod machine;
pub mod outcome;
pub mod peer;
pub mod plan;
pub mod referral;
pub mod scenario;
pub mod seed;

use crate::{
    config::{BrokerUrl, Config, Env, Fault, StoreUrl},
    demo::caller::{Call, Caller},
};
use figures::{Figures, round};
use installation::{Process, Receivers, Started, start_onward, start_receivers};

use load::{Load, Pace, Shape, To};
use looking::Looks;
use machine::{Cpu, Group};
use outcome::{Backlog, Checked, Life, Memory, Outcome};
use peer::book::{Seen, Wrongs, now_us};
use plan::{Folder, Plan};
use scenario::Scenario;

/// What is under way when the load ends must be done by then.
const DRAIN: Duration = Duration::from_secs(120);
/// What an idle service needs is looked at after this.
const IDLE_AFTER: Duration = Duration::from_secs(1);
/// Memory is looked at so often while it is measured.
const SAMPLES: u32 = 20;
const MODES: [(Shape, &str); 4] =
    [(Shape::Accept, "accept"), (Shape::Deliver, "deliver"), (Shape::Loop, "loop"), (Shape::Life, "life")];

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is sent.
    pub shape: Shape,
    /// How fast.
    pub pace: Pace,
    /// How long is measured.
    pub duration: Duration,
    /// How long the same goes on before.
    pub warm_up: Duration,
    /// Base URLs of an installation that runs already, without `/fhir`; empty: one is started.
    pub against: Vec<String>,
    /// Where configuration and tokens lie, and stay; a temporary one otherwise.
    pub folder: Option<PathBuf>,
    /// Record systems.
    pub systems: usize,
    /// Providers, each with an inbox.
    pub inboxes: usize,
    /// More tables for the configuration that is made.
    pub tables: String,
    /// More keys for each inbox in it.
    pub inbox_keys: String,
    /// How long a provider thinks before it answers.
    pub think: Duration,
    /// So many a second look at a Task or a worklist meanwhile.
    pub looks: Option<f64>,
    /// What happens to the providers, instead of a load that is measured while all is well.
    pub scenario: Option<Scenario>,
    /// How long each limit is measured; none: they are not.
    pub limits: Option<Duration>,
    /// Whether full life cycles are measured beside loops.
    pub life: bool,
    /// Whether to say on standard error how it goes.
    pub progress: bool,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file, port or process cannot be had.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The configuration is wrong, most likely because of a variable `ONWARD__…`.
    #[error("the configuration is wrong: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<Fault>),
    /// Onward or the receivers do not answer.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// One part of a run: a load from its begin until everything that it sent is done.
struct Part {
    /// The time measured, in microseconds since 1970.
    window: std::ops::Range<i64>,
    acknowledged: u64,
    cpu: Cpu,
    at_start: u64,
    at_end: u64,
    before: Figures,
    after: Figures,
    /// Numbers of the referrals that it sent.
    numbers: std::ops::Range<usize>,
    /// Memory of the service over the time measured.
    samples: Vec<u64>,
    /// Reads and searches meanwhile.
    looks: Option<looking::Told>,
}

/// Everything a run works with.
struct Bench {
    options: Options,
    onward: Vec<String>,
    load: Rc<Load>,
    receivers: Process,
    receivers_base: String,
    groups: Vec<Group>,
}

/// Writes configuration and tokens into a folder, for an installation that is started from it by hand.
///
/// # Errors
/// Where it cannot be written.
pub fn prepare(options: &Options, folder: &Folder) -> std::io::Result<Plan> {
    if Plan::is_in(folder) {
        return Plan::read(folder);
    }
    let plan = Plan::new(options.systems, options.inboxes, options.tables.clone(), options.inbox_keys.clone())?;
    plan.write(folder)?;
    Ok(plan)
}

/// Measures.
///
/// # Errors
/// [`BenchError`]. That something was lost is no error here but in the [`Outcome`].
pub async fn run(options: Options) -> Result<Outcome, BenchError> {
    LocalSet::new().run_until(Box::pin(measure(options))).await
}

async fn measure(options: Options) -> Result<Outcome, BenchError> {
    let folder = options.folder.as_deref().map_or_else(Folder::temporary, Folder::named)?;
    let plan = prepare(&options, &folder)?;
    let (config, _) = Config::load(Some(&folder.config()), &Env::of_process()).map_err(BenchError::Config)?;
    let own = format!("http://127.0.0.1:{}", plan.onward_port);
    let onward = if options.against.is_empty() { vec![own.clone()] } else { options.against.clone() };
    let run = referral::run_name();
    let Receivers { process, closed, base } = start_receivers(&folder, &run, &onward, options.think, &plan).await?;
    let mut started = None;
    if options.against.is_empty() {
        let env = if options.shape == Shape::Accept { only_accepting(&config) } else { &[] };
        started = Some(start_onward(&folder, &own, env, &Caller::new()).await?);
    }
    let groups = groups(&config, started.as_ref(), &onward, &process);
    let load = Load::new(plan, run, onward.clone(), closed);
    let bench = Bench { options, onward, load, receivers: process, receivers_base: base, groups };

    let mut memory = Memory::default();
    if started.is_some() {
        tokio::time::sleep(IDLE_AFTER).await;
        memory.idle_bytes = bench.memory().map(|(now, _)| now);
    }
    let mut outcome = match bench.options.scenario {
        None => bench.all_parts(&mut memory).await?,
        Some(scenario) => bench.play(scenario, &mut memory).await?,
    };
    outcome.memory = memory;
    outcome.store = if matches!(config.store.url, StoreUrl::Sqlite(_)) { "sqlite" } else { "postgres" }.into();
    outcome.broker = if matches!(config.broker.url, BrokerUrl::Embedded) { "embedded" } else { "rabbitmq" }.into();
    outcome.start_to_ready_ms = started.as_ref().map(|s| round(s.ready_after.as_secs_f64() * 1000.0, 0));
    let limits_for = bench.options.limits;
    bench.receivers.stop().await;
    if let Some(started) = started {
        // what is measured without us is measured without us
        started.process.stop().await;
    }
    if let Some(time) = limits_for {
        let commits = limits::commits(&config.store.url, time).await;
        let messages = limits::messages(&config.broker.url, time).await;
        let (commits, messages) = (told(commits), told(messages));
        outcome.held_against(commits.as_ref().map(|l| l.per_second), messages.as_ref().map(|l| l.per_second));
        outcome.limit_commit_ms = commits.and_then(|limit| limit.alone_ms);
        outcome.limit_message_ms = messages.and_then(|limit| limit.alone_ms);
    }
    Ok(outcome)
}

/// What has a service accept and carry nothing, so that accepting alone is measured: others have those roles, or where there can
/// be no others, the broker is away, which is no reason to turn referrals away.
fn only_accepting(config: &Config) -> &'static [(&'static str, &'static str)] {
    match (&config.store.url, &config.broker.url) {
        (StoreUrl::Postgres(_), BrokerUrl::Amqp(_)) => &[("ONWARD__SERVER__ROLES", "api")],
        _ => &[("ONWARD__BROKER__URL", "amqp://127.0.0.1:1/")],
    }
}

/// A limit, or a word on standard error why there is none.
fn told(limit: Result<limits::Limit, limits::NoLimit>) -> Option<limits::Limit> {
    limit.map_err(|why| eprintln!("onward bench: a limit could not be measured: {why}")).ok()
}

/// The processes that can be told apart.
fn groups(config: &Config, started: Option<&Started>, onward: &[String], receivers: &Process) -> Vec<Group> {
    let mut groups = vec![
        Group { name: "load", pid: std::process::id(), whole: false },
        Group { name: "receivers", pid: receivers.pid(), whole: true },
    ];
    let port_of = |url: &str| url.rsplit_once(':').and_then(|(_, port)| port.split('/').next()?.parse::<u16>().ok());
    match started {
        Some(started) => groups.push(Group { name: "onward", pid: started.process.pid(), whole: true }),
        None => groups.extend(onward.iter().filter_map(|url| machine::listener(port_of(url)?)).map(|pid| Group {
            name: "onward",
            pid,
            whole: true,
        })),
    }
    let (store, broker) = limits::ports(&config.store.url, &config.broker.url);
    groups.extend(store.and_then(machine::listener).map(|pid| Group { name: "store", pid, whole: true }));
    groups.extend(broker.and_then(machine::listener).map(|pid| Group { name: "broker", pid, whole: true }));
    groups
}

impl Bench {
    /// A scenario, and what is checked after every run.
    async fn play(&self, scenario: Scenario, memory: &mut Memory) -> Result<Outcome, BenchError> {
        let caller = self.load.caller();
        let before = Figures::ask(caller, &self.onward).await.map_err(BenchError::NoAnswer)?;
        let mut outcome = Outcome::default();
        match scenario {
            Scenario::Outage(away) => outcome.outage = Some(self.outage(self.options.pace, away).await?),
            Scenario::Backlog(count) => outcome.drained = Some(self.backlog(self.options.pace, count).await?),
        }
        let after = Figures::when_done(caller, &self.onward, DRAIN).await.map_err(BenchError::NoAnswer)?;
        memory.peak_bytes = self.memory().map(|(_, most)| most);
        let (seen, sent) = (self.book().await?, self.load.sent());
        outcome.checked = self.check(&seen, &sent, &before, &after, Shape::Loop).await?;
        outcome.backlog =
            Backlog { left: after.waiting as u64, turned_away: self.load.turned_away(), ..Backlog::default() };
        outcome.mode = "scenario".into();
        Ok(outcome)
    }

    /// Waits until all that is acknowledged is closed.
    async fn all_closed(&self) {
        let until = tokio::time::Instant::now() + DRAIN;
        while self.load.closed() < self.load.acknowledged()
            && self.load.failed().is_none()
            && tokio::time::Instant::now() < until
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn all_parts(&self, memory: &mut Memory) -> Result<Outcome, BenchError> {
        let Options { shape, pace, duration, warm_up, life, .. } = self.options.clone();
        let main = self.part(shape, pace, warm_up, duration).await?;
        memory.end_bytes = self.memory().map(|(now, _)| now);
        memory.samples_bytes.clone_from(&main.samples);
        let mut life_part = None;
        if life && shape == Shape::Loop {
            let shorter = (duration / 4).max(Duration::from_secs(2));
            // a life has twice the statuses of a loop
            let pace = if let Pace::Rate(rate) = pace { Pace::Rate(rate / 2.0) } else { pace };
            life_part = Some(self.part(Shape::Life, pace, warm_up.min(shorter), shorter).await?);
        }
        memory.peak_bytes = self.memory().map(|(_, most)| most);

        let seen = self.book().await?;
        let sent = self.load.sent();
        let seconds = (main.window.end - main.window.start) as f64 / 1e6;
        let closings = |part: &Part| {
            let closed = part.numbers.clone().filter_map(|n| match shape {
                Shape::Accept => sent.get(n).map(|sent| sent.acknowledged),
                _ => seen.get(n).copied().flatten()?.closed(),
            });
            closed.filter(|at| part.window.contains(at)).count() as u64
        };
        let arrived = seen.iter().flatten().filter(|seen| main.window.contains(&seen.arrived)).count();
        let loops = closings(&main);
        let cost = main.after.cost_since(&main.before, main.numbers.len() as u64);
        let per_loop = |cpu: &Duration| round(cpu.as_secs_f64() * 1e6 / loops.max(1) as f64, 0);
        let (rate, concurrency) = match pace {
            Pace::Rate(rate) => (Some(rate), None),
            Pace::Concurrency(count) => (None, Some(count)),
        };
        let after = life_part.as_ref().map_or(&main.after, |part| &part.after);
        Ok(Outcome {
            loops_per_second: round(loops as f64 / seconds, 1),
            accepts_per_second: round(main.acknowledged as f64 / seconds, 1),
            delivered_per_second: round(arrived as f64 / seconds, 1),
            commits_per_loop: cost.commits,
            messages_per_loop: cost.messages,
            latency_ms: latency::of(&sent, &seen, main.window.clone()),
            mode: MODES.iter().find(|(of, _)| *of == shape).map(|(_, name)| *name).unwrap_or_default().into(),
            rate,
            concurrency,
            seconds: round(seconds, 2),
            cost_per_loop: cost,
            cpu_us_per_loop: main.cpu.iter().map(|(name, cpu)| ((*name).to_owned(), per_loop(cpu))).collect(),
            read_ms: main.looks.as_ref().map(|(reads, _)| *reads),
            search_ms: main.looks.as_ref().map(|(_, searches)| searches.clone()).unwrap_or_default(),
            life_cycle: life_part.as_ref().map(|part| Life {
                life_cycles_per_second: round(
                    closings(part) as f64 / (part.window.end - part.window.start) as f64 * 1e6,
                    1,
                ),
                cost: part.after.cost_since(&part.before, part.numbers.len() as u64),
                latency_ms: latency::of(&sent, &seen, part.window.clone()),
            }),
            backlog: Backlog {
                at_start: main.at_start,
                at_end: main.at_end,
                left: if shape == Shape::Accept { 0 } else { after.waiting as u64 },
                sustained: is_sustained(&main, pace, seconds),
                turned_away: self.load.turned_away(),
            },
            checked: self.check(&seen, &sent, &main.before, after, shape).await?,
            ..Outcome::default()
        })
    }

    /// A load, measured after its warm-up, until everything it sent is done.
    async fn part(&self, shape: Shape, pace: Pace, warm_up: Duration, time: Duration) -> Result<Part, BenchError> {
        let caller = self.load.caller();
        let ask = || async { Figures::ask(caller, &self.onward).await.map_err(BenchError::NoAnswer) };
        let before = ask().await?;
        let first = self.load.sent().len();
        let closed_before = self.load.closed();
        let stop = CancellationToken::new();
        let (load, stopping) = (self.load.clone(), stop.clone());
        let sending = tokio::task::spawn_local(async move { load.send(shape, pace, To::All, stopping).await });
        self.wait("warm-up", warm_up).await;
        let under_way = || {
            let closed = if shape == Shape::Accept { self.load.acknowledged() } else { self.load.closed() };
            self.load.acknowledged().saturating_sub(closed)
        };
        let (start, at_start, cpu, acknowledged) =
            (now_us(), under_way(), machine::cpu(&self.groups), self.load.acknowledged());
        let looks = self.options.looks.zip(Looks::new());
        if let Some((rate, looks)) = &looks {
            tokio::task::spawn_local(looks.clone().go_on(self.load.clone(), *rate, stop.clone()));
        }
        let mut samples = Vec::new();
        for _ in 0..SAMPLES {
            self.wait("measured", time / SAMPLES).await;
            samples.extend(self.memory().map(|(now, _)| now));
        }
        let (end, at_end, cpu_after) = (now_us(), under_way(), machine::cpu(&self.groups));
        let acknowledged = self.load.acknowledged() - acknowledged;
        stop.cancel();
        let _ = sending.await;
        let sent = (self.load.sent().len() - first) as u64;
        let until = tokio::time::Instant::now() + DRAIN;
        while shape != Shape::Accept
            && self.load.closed() - closed_before < sent
            && self.load.failed().is_none()
            && tokio::time::Instant::now() < until
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // the last acknowledgements to the broker come after the receivers' answers
        let after = match shape {
            Shape::Accept => ask().await?,
            _ => Figures::when_done(caller, &self.onward, DRAIN).await.map_err(BenchError::NoAnswer)?,
        };
        let used = cpu_after
            .into_iter()
            .map(|(name, after)| (name, after.saturating_sub(cpu.get(name).copied().unwrap_or_default())));
        Ok(Part {
            window: start..end,
            acknowledged,
            cpu: used.collect(),
            at_start,
            at_end,
            before,
            after,
            numbers: first..self.load.sent().len(),
            samples,
            looks: looks.map(|(_, looks)| looks.told()),
        })
    }

    /// Waits, and says meanwhile how it goes.
    async fn wait(&self, what: &str, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        let mut last = (self.load.acknowledged(), self.load.closed());
        while tokio::time::Instant::now() < until {
            let step = Duration::from_secs(1).min(until - tokio::time::Instant::now());
            tokio::time::sleep(step).await;
            let now = (self.load.acknowledged(), self.load.closed());
            if self.options.progress && step > Duration::from_millis(500) {
                let each = |now: u64, then: u64| (now - then) as f64 / step.as_secs_f64();
                let (accepted, closed) = (each(now.0, last.0), each(now.1, last.1));
                eprintln!(
                    "{what}: accepted {accepted:.0}/s, closed {closed:.0}/s, under way {}",
                    now.0.saturating_sub(now.1)
                );
            }
            last = now;
        }
    }

    /// What the receivers saw, by number.
    async fn book(&self) -> Result<Vec<Option<Seen>>, BenchError> {
        let mut seen = vec![None; self.load.sent().len()];
        let mut next = Some(0);
        while let Some(from) = next.take() {
            let page = self.ask_receivers(&format!("book?from={from}")).await?;
            for (number, line) in page.lines().filter_map(Seen::read) {
                if let Some(slot) = seen.get_mut(number as usize) {
                    *slot = Some(line);
                }
                next = number.checked_add(1);
            }
        }
        Ok(seen)
    }

    async fn ask_receivers(&self, what: &str) -> Result<String, BenchError> {
        let answered = self.load.caller().call(Call::get(format!("{}/{what}", self.receivers_base))).await;
        let answered = answered.map_err(|error| BenchError::NoAnswer(error.to_string()))?;
        Ok(String::from_utf8_lossy(&answered.body).into_owned())
    }

    /// Holds what was acknowledged against what the receivers saw.
    async fn check(
        &self,
        seen: &[Option<Seen>],
        sent: &[load::Sent],
        before: &Figures,
        after: &Figures,
        shape: Shape,
    ) -> Result<Checked, BenchError> {
        let wrongs: Wrongs = serde_json::from_str(&self.ask_receivers("wrongs").await?).unwrap_or_default();
        let acknowledged = sent.iter().filter(|sent| sent.acknowledged > 0).count() as u64;
        let lost = if shape == Shape::Accept {
            // nobody has carried them yet: every one of them must wait in the store, or have arrived
            let there = after.waiting - before.waiting + seen.iter().flatten().count() as f64;
            acknowledged.saturating_sub(there as u64)
        } else {
            let closed = |n: usize| seen.get(n).copied().flatten().and_then(|seen| seen.closed()).is_some();
            sent.iter().enumerate().filter(|(n, sent)| sent.acknowledged > 0 && !closed(*n)).count() as u64
        };
        let dead = (after.dead - before.dead).max(0.0) as u64;
        Ok(Checked { acknowledged, lost, dead, wrongs, refused: self.load.failed() })
    }

    /// Memory of what we started: now, and the most it ever was.
    fn memory(&self) -> Option<(u64, u64)> {
        let all: Vec<_> =
            self.groups.iter().filter(|g| g.name == "onward").filter_map(|g| machine::memory(g.pid)).collect();
        (!all.is_empty()).then(|| all.iter().fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1)))
    }
}

/// Whether as much was under way at the end as at the start, give or take what a moment brings.
fn is_sustained(part: &Part, pace: Pace, seconds: f64) -> bool {
    let moment = match pace {
        Pace::Rate(rate) => (rate * 0.25).max(part.acknowledged as f64 / seconds * 0.05),
        // so many wait for their loops, and no more can be under way
        Pace::Concurrency(count) => count as f64,
    };
    part.at_end as f64 <= part.at_start as f64 * 1.5 + moment
}
