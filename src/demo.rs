//! The demonstration: Onward between simulated record systems and simulated providers, with every loop closed over real HTTP.
//! It looks at Onward only through its API; what it counts, it counts in the records and at the providers.

use std::{
    io::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

pub mod caller;
pub mod cast;
pub mod double;
pub mod ledger;
mod people;
mod progress;
pub mod referrals;
mod routes;
mod services;
pub mod stage;
pub mod tally;

use crate::{
    config::{Config, Env, Fault},
    service::Service,
};
use caller::Caller;
pub use cast::script::Pace;
use cast::{
    providers::{AtWorklist, WithServer, Working},
    records::{RecordSystem, Sending},
};
use ledger::Ledger;
use progress::{Progress, say};
use referrals::{Deck, Referral};
use stage::{PROVIDERS, SYSTEMS, Stage};
pub use tally::Summary;

/// The seed of what the providers decide; with it, the fixtures show everything once.
pub const DEFAULT_SEED: u64 = 1;
/// So many requests are under way at once.
const SENDERS: usize = 8;
/// Every loop must be closed within this and [`TIME_EACH`] for each referral.
const TIME_BASE: Duration = Duration::from_secs(120);
const TIME_EACH: Duration = Duration::from_millis(250);

/// How the demonstration runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many referrals; none: each fixture once.
    pub referrals: Option<usize>,
    /// End when all loops are closed; otherwise it stays up until Ctrl-C.
    pub once: bool,
    /// One JSON object on standard output instead of the table.
    pub json: bool,
    /// Nothing on standard output and standard error at all.
    pub quiet: bool,
    /// What the providers decide.
    pub seed: u64,
    /// How fast the simulated people work.
    pub pace: Pace,
}

/// Why there was no demonstration.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A port or a file cannot be had.
    #[error("the stage cannot be set: {0}")]
    Stage(#[from] io::Error),
    /// The configuration is wrong, most likely because of a variable `ONWARD__…`.
    #[error("the configuration is wrong: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<Fault>),
    /// The service does not start.
    #[error("the service does not start: {0}")]
    Start(String),
    /// The directory cannot be filled.
    #[error("the directory cannot be filled: {0}")]
    Directory(String),
    /// The routes cannot be put into the store.
    #[error("there are no routes: {0}")]
    Routes(String),
    /// Nobody can be made who logs in.
    #[error("there are no accounts: {0}")]
    People(String),
    /// Ctrl-C before the end.
    #[error("interrupted")]
    Interrupted,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { referrals: None, once: false, json: false, quiet: false, seed: DEFAULT_SEED, pace: Pace::default() }
    }
}

/// Runs it, from setting the stage to taking it down.
///
/// # Errors
/// [`DemoError`]. That something was lost is no error here but in the [`Summary`].
pub async fn run(options: Options) -> Result<Summary, DemoError> {
    let env = Env::of_process();
    // whoever looks at it, or gives an account beside it, must know where it is before it runs
    let port = if options.once { 0 } else { stage::free_port()? };
    let stage = Stage::set(options.pace.poll, port).await?;
    let (config, _) = Config::load(Some(&stage.config), &env).map_err(DemoError::Config)?;
    let ledger = Arc::new(Ledger::default());
    // a store that is not our own may know the fixtures from an earlier run
    let run = uuid::Uuid::now_v7().simple().to_string();
    let tag = env.get("ONWARD__STORE__URL").map(|_| format!("{}-", run.get(4..12).unwrap_or_default()));
    let mut deck = Deck::new(options.referrals, tag.as_deref());
    let (total, spare) = (deck.left(), deck.spare());
    let by_hand = deck.by_hand(stage::BY_HAND_CODE, stage::BY_HAND);
    let records = record_systems(&stage, &ledger);
    let accepted: Vec<_> = records.iter().map(|system| (Arc::clone(system), system.accepted())).collect();
    let records = Arc::new(records);
    let providers = providers(&stage);

    let kept = config.clone();
    let service = Box::pin(Service::start(config)).await.map_err(|error| DemoError::Start(error.to_string()))?;
    let base_url = service.base_url().to_owned();
    let fhir_base = format!("{base_url}/fhir");
    routes::put(&service, &kept, &stage.routes).await.map_err(DemoError::Routes)?;
    let listed = services::fill(&kept, &base_url).await.map_err(DemoError::Directory)?;
    let working = Working::new(ledger.clone(), options.pace, options.seed);
    open(&stage, providers, &working, &fhir_base);
    if !options.quiet {
        say(&format!(
            "{}\nOnward listens at {base_url}; {listed} services are in its directory; {total} referrals are sent\n",
            tally::cast_line()
        ));
    }

    let sending = Sending { caller: Caller::new(), fhir_base, ledger: ledger.clone() };
    for (system, accepted) in accepted {
        working.employ(system.talk(sending.clone(), options.seed, accepted));
    }
    let limit = TIME_BASE + TIME_EACH * u32::try_from(total).unwrap_or(u32::MAX);
    let begun = Instant::now();
    let mut progress = Progress::of(ledger.clone());
    let shown = async { if options.quiet { std::future::pending().await } else { progress.show().await } };
    let after = (Arc::clone(&records), sending.clone());
    let played = async {
        send(deck, records, sending).await;
        ledger.all_closed().await;
    };
    let interrupted = tokio::select! {
        _ = tokio::time::timeout(limit, played) => false,
        () = shown => false,
        () = interrupt() => true,
    };
    let took = begun.elapsed();
    let mut service = Some(service);
    if options.once || interrupted {
        // what is still under way comes to its end before anything is counted
        end(service.take(), &working, &stage).await;
    }
    if interrupted {
        return Err(DemoError::Interrupted);
    }
    let summary = Summary::of(&ledger.copy(), &stage, took);
    if !options.quiet {
        progress.end();
        tell(&summary, options.json)?;
    }
    if let Some(running) = &service {
        if let Some(spare) = spare {
            stage.folder.write("referral.json", &spare.body)?;
            say(&how_to(&base_url, &stage, &spare.system));
            let people = people::make(running.store(), &kept, tag.as_deref().unwrap_or_default()).await;
            say(&people.map_err(DemoError::People)?);
            let (records, sending) = after;
            send(by_hand, records, sending).await;
        }
        // whoever changes the configuration sees what comes of it, as of a service
        tokio::select! {
            () = running.watch(Some(stage.config.clone()), env, kept.files.clone()) => {}
            () = interrupt() => {}
        }
        end(service.take(), &working, &stage).await;
    }
    Ok(summary)
}

/// The record systems, whose records are watched from now on.
fn record_systems(stage: &Stage, ledger: &Arc<Ledger>) -> Vec<Arc<RecordSystem>> {
    let with_record = |id: &str| {
        let record = stage.server(id)?.clone();
        let (record_token, token) = (stage.server_token(id), stage.token(id));
        Some(Arc::new(RecordSystem { id: id.to_owned(), record, record_token, token }))
    };
    let systems: Vec<Arc<RecordSystem>> = SYSTEMS.iter().filter_map(|system| with_record(system.id)).collect();
    systems.iter().for_each(|system| system.watch(ledger.clone()));
    systems
}

type Arrivals = tokio::sync::mpsc::UnboundedReceiver<cast::providers::Arrival>;

/// The providers with servers, and what arrives there from now on.
fn providers(stage: &Stage) -> Vec<(WithServer, Arrivals)> {
    let with_server = PROVIDERS.iter().filter(|part| part.has_server());
    let made = with_server.filter_map(|part| {
        let provider = WithServer {
            inbox: part.inbox.to_owned(),
            server: stage.server(part.id)?.clone(),
            server_token: stage.server_token(part.id),
            token: part.answers_at_onward().then(|| stage.token(part.id)),
        };
        let arrivals = provider.arrivals();
        Some((provider, arrivals))
    });
    made.collect()
}

/// All providers begin to work.
fn open(stage: &Stage, with_server: Vec<(WithServer, Arrivals)>, working: &Working, fhir_base: &str) {
    for (provider, arrivals) in with_server {
        provider.open(working, arrivals);
    }
    for part in PROVIDERS.iter().filter(|part| part.is_played() && !part.has_server()) {
        let (id, inbox) = (part.id.to_owned(), part.inbox.to_owned());
        AtWorklist { id, inbox, token: stage.token(part.id), fhir_base: fhir_base.to_owned() }.open(working);
    }
}

/// Sends all referrals, some at a time.
async fn send(
    deck: impl IntoIterator<Item = Referral, IntoIter: Send + 'static>,
    records: Arc<Vec<Arc<RecordSystem>>>,
    with: Sending,
) {
    let deck = Arc::new(Mutex::new(deck.into_iter()));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (deck, records, with) = (deck.clone(), records.clone(), with.clone());
        senders.spawn(async move {
            loop {
                let next = deck.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(referral) = next else { return };
                let Some(system) = records.iter().find(|system| system.id == referral.system) else { continue };
                if let Err(why) = system.refer(&with, &referral).await {
                    with.ledger.trouble(format!("{} was not accepted: {why}", referral.file));
                }
            }
        });
    }
    while senders.join_next().await.is_some() {}
}

/// Takes everything down: the service first, so that what it has begun finds the others still there.
async fn end(service: Option<Service>, working: &Working, stage: &Stage) {
    if let Some(service) = service {
        service.stop().await;
    }
    working.stop().await;
    for server in stage.servers() {
        server.stop().await;
    }
}

/// Ctrl-C, or the signal that ends a service.
async fn interrupt() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

fn tell(summary: &Summary, json: bool) -> io::Result<()> {
    for trouble in summary.troubles.iter().take(20) {
        say(&format!("! {trouble}\n"));
    }
    let text = if json { serde_json::to_string(summary)? + "\n" } else { summary.table() };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn how_to(base_url: &str, stage: &Stage, system: &str) -> String {
    let folder = stage.folder.path().display();
    let token = |id: &str| format!("-H \"Authorization: Bearer $(cat {folder}/tokens/{id})\"");
    let (sender, reader) = (token(system), token("link-workers"));
    format!(
        "
Onward stays up at {base_url} until Ctrl-C. Everything lies in {folder} and goes with it:
onward.toml, which is taken up when you change it; routes.toml, which is in force until somebody makes other routes active; and a token
for each side in tokens/, readable by you alone.

Refer somebody, and see in the Link header the Task to follow:
  curl -si {sender} -H 'Content-Type: application/fhir+json' --data @{folder}/referral.json {base_url}/fhir/ServiceRequest
All that was referred by it, and how far it has come:
  curl -s {sender} {base_url}/fhir/Task
What a provider sees, and the history of one Task:
  curl -s {reader} '{base_url}/fhir/Task?owner=Organization/link-workers&_include=Task:focus'
  curl -s {reader} {base_url}/fhir/Task/ID/_history
What there is for somebody who is lonely, in the directory:
  curl -s {reader} '{base_url}/fhir/HealthcareService?service-type=loneliness'
"
    )
}

#[cfg(test)]
mod tests;
