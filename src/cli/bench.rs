//! `onward bench`

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use super::{Ended, Finding};
use crate::bench::{
    self,
    load::{Pace, Shape},
    peer,
    plan::Folder,
    scenario::Scenario,
};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    measured: Measured,
}

#[derive(Subcommand, Debug)]
enum Part {
    /// The receivers of a measurement; `onward bench` starts them itself.
    #[command(hide = true)]
    Peer(Peer),
    /// Stores referrals that have gone their way, without anybody being sent anything: for measuring what many of them cost.
    Seed {
        /// Where the configuration lies.
        #[arg(long, value_name = "DIR")]
        folder: PathBuf,
        /// How many.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        count: u32,
    },
    /// Searches of the directory at a fixed rate, over many made services in the embedded store.
    Directory(Directory),
    /// Writes configuration and tokens for an installation that is to be measured, into a folder for --folder.
    Prepare(Measured),
}

#[derive(Args, Debug)]
struct Directory {
    /// So many services.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// From this all of them are made; the same again are the same.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// So many searches a second, whatever happens; latencies count from the moment each was due.
    #[arg(long, value_name = "PER_SECOND", default_value = "100", value_parser = rate)]
    rate: f64,
    /// How long is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    duration: Duration,
    /// How long the same goes on before, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    warm_up: Duration,
    /// Where store, configuration and log lie; they stay there. Otherwise in a temporary folder.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Ends with one JSON object on standard output; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Peer {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    run: String,
    #[arg(long, value_delimiter = ',')]
    onward: Vec<String>,
    #[arg(long, default_value_t = 0)]
    think_ms: u64,
}

#[derive(Args, Debug)]
struct Measured {
    /// What is measured.
    #[arg(long, value_enum, default_value_t = Mode::Loop)]
    mode: Mode,
    /// So many referrals are sent a second, whatever happens; latencies count from the moment each was due.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "concurrency", value_parser = rate)]
    rate: Option<f64>,
    /// So many are under way at a time, each followed by the next when its loop is closed. 128 where no rate is given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: Option<u16>,
    /// How long is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    duration: Duration,
    /// How long the same goes on before, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    warm_up: Duration,
    /// Base URLs of an installation that runs already, comma-separated; it was started from the configuration in --folder.
    #[arg(long, value_name = "URL", value_delimiter = ',', requires = "folder")]
    against: Vec<String>,
    /// Where configuration, tokens and log lie; they stay there. Otherwise in a temporary folder.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Record systems that send.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=500))]
    systems: u16,
    /// Providers, each with an inbox.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=500))]
    inboxes: u16,
    /// Tables of onward.toml for the service that is started, such as a [retry].
    #[arg(long, value_name = "TOML", default_value = "")]
    tables: String,
    /// Keys for each inbox in it beside kind, address and token, comma-separated, such as `rate = 200`.
    #[arg(long, value_name = "TOML", default_value = "")]
    inbox_keys: String,
    /// How long a provider thinks before it answers, in seconds: an answer that comes at once crosses our own note of the
    /// delivery, which those of people do not.
    #[arg(long, value_name = "SECONDS", default_value = "0.02", value_parser = seconds)]
    think: Duration,
    /// So many a second look at a Task or a worklist meanwhile, and their latencies are told.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    looks: Option<f64>,
    /// Instead: all providers answer 503 for so long, while referrals come at the --rate.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "rate")]
    outage: Option<Duration>,
    /// Instead: one provider is away until it has so many referrals to come, while others go on at the --rate.
    #[arg(long, value_name = "N", requires = "rate", conflicts_with = "outage")]
    backlog: Option<u32>,
    /// How long each limit is measured, in seconds; 0 leaves them out.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    limits: Duration,
    /// Leaves the full life cycles out that are measured after loops.
    #[arg(long)]
    no_life: bool,
    /// Ends with one JSON object on standard output; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Mode {
    /// Accepted, delivered, received and accepted written back.
    Loop,
    /// Accepted, delivered, received, accepted, in-progress and completed written back.
    Life,
    /// Accepted and delivered, from systems without a record to write into.
    Deliver,
    /// Durably accepted.
    Accept,
}

pub(super) async fn run(options: Options) -> Ended {
    match options.part {
        Some(Part::Peer(peer)) => {
            let folder = Folder::named(&peer.folder)?;
            let options = peer::Options {
                run: peer.run,
                onward: bases(peer.onward),
                think: Duration::from_millis(peer.think_ms),
            };
            Ok(peer::run(&folder, options).await?)
        }
        Some(Part::Seed { folder, count }) => {
            let stored = bench::seed::run(&Folder::named(&folder)?, count).await?;
            say!("{stored} referrals stored");
            Ok(())
        }
        Some(Part::Directory(wishes)) => search_directory(wishes).await,
        Some(Part::Prepare(measured)) => {
            let options = measured.options();
            let Some(path) = &options.folder else {
                return Err(Finding("prepare needs --folder, where it writes".into()).into());
            };
            let folder = Folder::named(path)?;
            bench::prepare(&options, &folder)?;
            say!("{}", folder.config().display());
            Ok(())
        }
        None => Box::pin(measure(options.measured)).await,
    }
}

async fn search_directory(wishes: Directory) -> Ended {
    let Directory { count, seed, rate, duration, warm_up, folder, json } = wishes;
    let options = bench::directory::Options { count, seed, rate, duration, warm_up, folder };
    let outcome = bench::directory::run(&options).await?;
    if json {
        eprintln!("{}", outcome.table());
        say!("{}", serde_json::to_string(&outcome)?);
    } else {
        say!("{}", outcome.table());
    }
    if outcome.refused == 0 {
        Ok(())
    } else {
        Err(Finding(format!("{} searches were refused", outcome.refused)).into())
    }
}

async fn measure(measured: Measured) -> Ended {
    let json = measured.json;
    let outcome = tokio::select! {
        outcome = bench::run(measured.options()) => outcome?,
        ended = super::serve::asked_to_end() => {
            ended?;
            return Err(Finding("interrupted".into()).into());
        }
    };
    if json {
        eprintln!("{}", outcome.table());
        say!("{}", serde_json::to_string(&outcome)?);
    } else {
        say!("{}", outcome.table());
    }
    let left = outcome.backlog.left;
    if outcome.checked.is_good() && left == 0 {
        Ok(())
    } else {
        Err(Finding("not everything that was acknowledged went its whole way once and in order".into()).into())
    }
}

impl Measured {
    fn options(&self) -> bench::Options {
        let shape = match self.mode {
            Mode::Loop => Shape::Loop,
            Mode::Life => Shape::Life,
            Mode::Deliver => Shape::Deliver,
            Mode::Accept => Shape::Accept,
        };
        let concurrency = usize::from(self.concurrency.unwrap_or(128));
        bench::Options {
            shape,
            pace: self.rate.map_or(Pace::Concurrency(concurrency), Pace::Rate),
            duration: self.duration.max(Duration::from_millis(100)),
            warm_up: self.warm_up,
            against: bases(self.against.clone()),
            folder: self.folder.clone(),
            systems: usize::from(self.systems),
            inboxes: usize::from(self.inboxes),
            tables: self.tables.replace("\\n", "\n"),
            inbox_keys: self.inbox_keys.clone(),
            think: self.think,
            looks: self.looks,
            scenario: self.outage.map(Scenario::Outage).or(self.backlog.map(Scenario::Backlog)),
            limits: Some(self.limits).filter(|time| !time.is_zero() && self.outage.is_none() && self.backlog.is_none()),
            life: !self.no_life,
            progress: true,
        }
    }
}

/// Base URLs without the slash that people put at their end.
fn bases(urls: Vec<String>) -> Vec<String> {
    urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect()
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.trim_end_matches('s').parse::<f64>().map_err(|_| "a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "a number of seconds".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 100_000.0 => Ok(rate),
        _ => Err("a number above 0, at most 100000".to_owned()),
    }
}
