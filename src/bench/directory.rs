//! Searches of the directory at a fixed rate: by need, place, distance and what else people look for, over many made services.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};

use super::{
    BenchError,
    figures::round,
    installation,
    latency::{Percentiles, of_all},
    plan::{Folder, Plan},
};
use crate::{
    config::{Config, Env},
    demo::caller::{Call, Caller},
    service,
    store::DIRECTORY_WRITES_MAX,
};

mod made;

use made::{Made, SERVICES_AN_ORGANIZATION};

/// Wishes for a measurement.
#[derive(Debug, Clone)]
pub struct Options {
    /// So many services.
    pub count: u32,
    /// From this all of them are made; the same again are the same.
    pub seed: u64,
    /// So many searches a second.
    pub rate: f64,
    /// How long is measured.
    pub duration: Duration,
    /// How long the same goes on before.
    pub warm_up: Duration,
    /// Where store, configuration and log lie; none: in a temporary folder.
    pub folder: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// So many services were searched.
    pub services: u32,
    /// And so many entries in all.
    pub entries: u64,
    /// How long it took to store them, in seconds; 0 where they were there.
    pub stored_s: f64,
    /// How long the first search took, for which the index is made, in milliseconds.
    pub first_ms: f64,
    /// What the service held in memory at the end, in MiB.
    pub memory_mib: f64,
    /// From the moment each was due to its answer, by what was looked for. `nothing` asks the same service for its health: what HTTP
    /// takes by itself.
    pub search_ms: BTreeMap<String, Percentiles>,
    /// How many entries a page had on average, with what it brought along.
    pub found: BTreeMap<String, f64>,
    /// Answers other than 200.
    pub refused: u64,
}

/// What is looked for, each in its turn.
const KINDS: [&str; 8] = [
    "need",
    "place",
    "need and place",
    "need and place with locations",
    "postcode",
    "locations near",
    "name",
    "organisation",
];
const NOTHING: &str = "nothing";

#[derive(Default)]
struct Seen {
    took: BTreeMap<&'static str, Vec<Duration>>,
    found: BTreeMap<&'static str, (u64, u64)>,
    refused: u64,
}

/// Measures.
///
/// # Errors
/// [`BenchError`]
pub async fn run(options: &Options) -> Result<Outcome, BenchError> {
    let folder = match &options.folder {
        Some(path) => Folder::named(path)?,
        None => Folder::temporary()?,
    };
    if !Plan::is_in(&folder) {
        Plan::new(1, 1, "[log]\nlevel = \"warn\"\n".to_owned(), String::new())?.write(&folder)?;
    }
    let plan = Plan::read(&folder)?;
    let made = Made::new(options.seed, options.count);
    let (entries, stored) = fill(&folder, &made).await?;

    let caller = Caller::new();
    let base = format!("http://127.0.0.1:{}", plan.onward_port);
    let onward = installation::start_onward(&folder, &base, &[], &caller).await?;
    let token = plan.system_tokens.first().cloned().unwrap_or_default();
    let asked = Arc::new(Asking { caller, base, token, made, seen: Mutex::default() });
    let begun = Instant::now();
    asked.one(0, begun).await;
    let first = begun.elapsed();
    asked.at_rate(options.rate, options.warm_up).await;
    *asked.seen.lock().await = Seen::default();
    asked.at_rate(options.rate, options.duration).await;
    let memory = super::machine::memory(onward.process.pid()).map_or(0, |(now, _)| now);
    let ended = onward.process.stop().await;
    if !ended {
        return Err(BenchError::NoAnswer("the service did not end by itself".to_owned()));
    }

    let seen = asked.seen.lock().await;
    Ok(Outcome {
        services: options.count,
        entries,
        stored_s: round(stored.as_secs_f64(), 2),
        first_ms: round(first.as_secs_f64() * 1000.0, 1),
        memory_mib: round(memory as f64 / 1_048_576.0, 1),
        search_ms: seen.took.iter().map(|(kind, took)| ((*kind).to_owned(), of_all(took))).collect(),
        found: seen
            .found
            .iter()
            .map(|(kind, (n, of))| ((*kind).to_owned(), round(*n as f64 / *of as f64, 1)))
            .collect(),
        refused: seen.refused,
    })
}

/// Stores what is made, unless a directory lies there already. Gives how many entries there are, and how long it took.
async fn fill(folder: &Folder, made: &Made) -> Result<(u64, Duration), BenchError> {
    let no_answer = |error: &dyn std::fmt::Display| BenchError::NoAnswer(error.to_string());
    let (config, _) = Config::load(Some(&folder.config()), &Env::of_process()).map_err(BenchError::Config)?;
    let store = service::open_store(&config.store.url).await.map_err(|error| no_answer(&error))?;
    let begun = Instant::now();
    if store.directory_revision().await.map_err(|error| no_answer(&error))? == 0 {
        let mut all = made.entries().peekable();
        while all.peek().is_some() {
            let some = all.by_ref().take(DIRECTORY_WRITES_MAX).collect();
            store.write_directory(some).await.map_err(|error| no_answer(&error))?;
        }
    }
    let entries = store.directory_revision().await.map_err(|error| no_answer(&error))?;
    store.close().await;
    Ok((entries, begun.elapsed()))
}

struct Asking {
    caller: Caller,
    base: String,
    token: String,
    made: Made,
    seen: Mutex<Seen>,
}

impl Asking {
    /// Asks so often, whatever happens: what is slow does not hold up what comes after it.
    async fn at_rate(self: &Arc<Self>, rate: f64, duration: Duration) {
        let every = Duration::from_secs_f64(1.0 / rate.max(0.1));
        let begun = Instant::now();
        let mut all = tokio::task::JoinSet::new();
        for turn in 0u32.. {
            let due = begun + every * turn;
            if due >= begun + duration {
                break;
            }
            tokio::time::sleep_until(due).await;
            let asking = Arc::clone(self);
            all.spawn(async move { asking.one(turn, due).await });
            while all.try_join_next().is_some() {}
        }
        while all.join_next().await.is_some() {}
    }

    async fn one(&self, turn: u32, due: Instant) {
        let kinds = KINDS.len() as u32 + 1;
        let kind = KINDS.get((turn % kinds) as usize).copied().unwrap_or(NOTHING);
        let url = match self.path(kind, turn / kinds) {
            Some(path) => format!("{}/fhir/{path}", self.base),
            None => format!("{}/health/live", self.base),
        };
        let answered = self.caller.call(Call::get(url).token(self.token.clone())).await;
        let took = due.elapsed();
        let mut seen = self.seen.lock().await;
        match answered {
            Ok(answered) if answered.status.is_success() => {
                seen.took.entry(kind).or_default().push(took);
                if kind != NOTHING {
                    let page = answered.json();
                    let on_it = page.get("entry").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
                    let found = seen.found.entry(kind).or_default();
                    *found = (found.0 + on_it as u64, found.1 + 1);
                }
            }
            _ => seen.refused += 1,
        }
    }

    /// What is asked for; none for nothing.
    fn path(&self, kind: &str, turn: u32) -> Option<String> {
        let mut random = self.made.random(u64::from(turn) ^ 0x5ea7c4);
        let need = self.made.need(&mut random);
        let (latitude, longitude) = self.made.place(&mut random);
        let near = format!("{latitude:.4}%7C{longitude:.4}");
        let services = "HealthcareService?active=true&_count=20";
        Some(match kind {
            "need" => format!("{services}&service-type={need}"),
            "place" => format!("{services}&location.near={near}%7C5%7Ckm"),
            "need and place" => format!("{services}&service-type={need}&location.near={near}%7C20%7Ckm"),
            "need and place with locations" => format!(
                "{services}&service-type={need}&location.near={near}%7C20%7Ckm&_include=HealthcareService:location"
            ),
            "postcode" => format!("{services}&near-postcode={}%7C10%7Ckm", self.made.outward(&mut random)),
            "locations near" => format!("Location?_count=20&near={near}%7C3%7Ckm"),
            "name" => format!("{services}&name={}", self.made.word(&mut random)),
            "organisation" => {
                let organization = random.u32(0..self.made.count().div_ceil(SERVICES_AN_ORGANIZATION));
                format!("{services}&organization=Organization/{}", self.made.organization(organization))
            }
            _ => return None,
        })
    }
}

// === impl Outcome ===

impl Outcome {
    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} services, {} entries; stored in {} s; the first search {} ms; {} MiB\n{:32} {:>7} {:>8} {:>8} {:>8} {:>9}\n",
            self.services,
            self.entries,
            self.stored_s,
            self.first_ms,
            self.memory_mib,
            "ms from when it was due",
            "asked",
            "p50",
            "p99",
            "max",
            "on a page"
        );
        for (kind, took) in &self.search_ms {
            let found = self.found.get(kind).map(ToString::to_string).unwrap_or_default();
            text +=
                &format!("{kind:32} {:>7} {:>8} {:>8} {:>8} {found:>9}\n", took.count, took.p50, took.p99, took.max);
        }
        text + &format!("refused: {}", self.refused)
    }
}
