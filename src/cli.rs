//! The command line. Every command reads the same configuration as the service; those that write journal under the
//! operating-system user.
//!
//! Exit: 0 good, 1 a finding, 2 wrong usage.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, DEFAULT_FILE, Env, Loaded, TokenHash},
    service,
    store::Store,
};

/// A line on standard output. Where nobody reads any more (`onward … | head`), the command ends without a word.
macro_rules! say {
    ($($told:tt)*) => {{
        use std::io::Write as _;
        if writeln!(std::io::stdout().lock(), $($told)*).is_err() {
            std::process::exit(0);
        }
    }};
}

mod about;
mod bench;
mod broker;
mod check;
mod dead;
mod demo;
mod directory;
mod endpoints;
mod keys;
mod notify;
mod people;
mod referral;
mod routes;
mod serve;
mod token;
mod worklist;

/// Where a service without a configuration keeps everything.
const DATA_FOLDER: &str = "onward-data";

/// Carries a referral from the record it was written in to the organisation that will help, and every answer back.
#[derive(Parser)]
#[command(name = "onward", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the service.
    Serve(serve::Options),
    /// Shows the whole loop with simulated record systems and providers in this process.
    Demo(demo::Options),
    /// Measures the whole loop under load, beside what the same machine does without us.
    Bench(Box<bench::Options>),
    /// Says everything that is wrong with the configuration. Changes nothing.
    Check(check::Options),
    /// Routes: where a referral would go, and why.
    #[command(subcommand)]
    Routes(routes::Routes),
    /// Referrals: what happened to one.
    #[command(subcommand)]
    Referral(referral::Referral),
    /// RabbitMQ: who may read what.
    #[command(subcommand)]
    Broker(broker::Broker),
    /// Dead letters: what will not be tried again by itself.
    #[command(subcommand)]
    Dead(dead::Dead),
    /// Endpoints: who is spoken to, who is left alone, and what waits for them.
    #[command(subcommand)]
    Endpoints(endpoints::Endpoints),
    /// The directory of services: what is proposed for it, taken in from elsewhere, given out, and what was measured of it.
    #[command(subcommand)]
    Directory(directory::Commands),
    /// People with local accounts, and who broke which glass.
    #[command(subcommand)]
    People(people::Commands),
    /// The IT worklist: everything that waits for somebody, and what to do about it.
    Worklist(worklist::Worklist),
    /// A token for a client, shown once, and its SHA-256 for the configuration.
    Token(token::Options),
    /// Keys of clients that sign: their public half, and an assertion to begin with.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The version, and where what it knows of FHIR comes from.
    About(about::About),
}

/// Which configuration.
#[derive(Args, Debug, Clone)]
struct ConfigFile {
    /// The configuration file. Without it ./onward.toml, and without that embedded defaults under ./onward-data.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

/// How a command ends that has a finding.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Finding(String);

/// What commands give: whether all was good.
type Ended = anyhow::Result<()>;

/// Runs the command that was called.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut builder = match &cli.command {
        // load and receivers share the machine with what they measure: one thread each is enough for them
        Command::Bench(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("onward: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Serve(options) => serve::run(options).await,
            Command::Demo(options) => demo::run(options).await,
            Command::Bench(options) => Box::pin(bench::run(*options)).await,
            Command::Check(options) => check::run(&options).await,
            Command::Routes(routes) => routes::run(&routes).await,
            Command::Referral(referral) => referral::run(&referral).await,
            Command::Broker(command) => broker::run(command).await,
            Command::Dead(dead) => dead::run(&dead).await,
            Command::Endpoints(endpoints) => endpoints::run(&endpoints).await,
            Command::Directory(command) => directory::run(&command).await,
            Command::People(command) => people::run(&command).await,
            Command::Worklist(worklist) => worklist::run(&worklist).await,
            Command::Token(options) => token::run(&options),
            Command::Keys(keys) => keys::run(&keys),
            Command::About(about) => about::run(&about),
        }
    });
    // not waited for: whatever still runs has been told to end, and a blocked read must not keep the process
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            if !text.is_empty() {
                eprintln!("onward: {text}");
            }
            ExitCode::FAILURE
        }
    }
}

impl ConfigFile {
    /// The file that counts, if there is one.
    fn path(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE)))
    }

    /// The configuration; its warnings go to standard error.
    fn load(&self, env: &Env) -> anyhow::Result<Config> {
        let loaded = match self.path() {
            Some(path) => Config::load(Some(&path), env),
            None => Config::embedded(Path::new(DATA_FOLDER), embedded_token()?, env),
        };
        self.told(loaded)
    }

    fn told(&self, loaded: Loaded) -> anyhow::Result<Config> {
        match loaded {
            Ok((config, warnings)) => {
                for warning in warnings {
                    eprintln!("warning: {warning}");
                }
                Ok(config)
            }
            Err(faults) => {
                for fault in &faults {
                    eprintln!("{fault}");
                }
                let s = if faults.len() == 1 { "" } else { "s" };
                Err(Finding(format!("the configuration has {} fault{s}", faults.len())).into())
            }
        }
    }

    /// The configuration apart from its routes, whose faults are no faults of it.
    fn load_apart(&self, env: &Env) -> anyhow::Result<Config> {
        let path = self.path();
        self.told(Config::load_apart(path.as_deref(), env).map(|(config, _)| (config, Vec::new())))
    }

    /// The store that the configuration names, beside a service that may be running.
    async fn open_store(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(self.open().await?.1)
    }

    /// The same, with the configuration.
    async fn open(&self) -> anyhow::Result<(Config, Arc<dyn Store>)> {
        let config = self.load(&Env::of_process())?;
        let store = service::open_beside(&config.store.url).await?;
        Ok((config, store))
    }
}

/// The token of a service without a configuration, as far as it has one.
fn embedded_token() -> anyhow::Result<TokenHash> {
    let text = std::fs::read_to_string(serve::token_path()).unwrap_or_default();
    Ok(TokenHash::of(text.trim()))
}

/// Who acts.
fn operator() -> String {
    whoami::username()
}

/// An operator's reason: one line for the journal.
fn reason(text: &str) -> Result<String, String> {
    crate::lanes::dead::reason(text)
}

/// Prints a value as JSON on standard output.
fn print_json(value: &serde_json::Value) {
    say!("{value:#}");
}
