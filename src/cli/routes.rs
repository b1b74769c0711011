//! `onward routes`: a file a command.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use clap::Subcommand;

use super::{ConfigFile, Ended, Finding, operator, print_json, reason};
use crate::{
    config::{
        Config, Env, Fault,
        routes::{Source, remarks},
    },
    domain::{Alert, AlertKind, alert},
    route_sets::read_stored,
    routing::RouteSet,
    service,
    store::{ActivateError, Activation, RoutesVersion, Signed, Store},
};

mod apply;
mod check;
mod diff;
mod explain;
mod history;
mod rehearse;
mod rollback;
mod show;
mod shown;

#[derive(Subcommand, Debug)]
pub(super) enum Routes {
    /// Says where a referral would go, and for every rule why it does or does not match.
    Explain(explain::Explain),
    /// Says everything that is wrong with a route set, its own tests included. Changes nothing.
    Check(check::Check),
    /// Tries the tests of a route set, and says of each what came of it.
    Test(check::Test),
    /// Says what a route set says otherwise than the one in force.
    Diff(diff::Diff),
    /// Checks a route set, stores it as the next version and makes it the active one on every process.
    Apply(apply::Apply),
    /// Lists which version was made the active one when, by whom and why, the newest first.
    History(history::History),
    /// Makes an older version the active one again.
    Rollback(rollback::Rollback),
    /// Prints a version as it was written.
    Show(show::Show),
    /// Tries a route set on the referrals that came lately, and shows which would go elsewhere. Changes nothing.
    Rehearse(rehearse::Rehearse),
}

pub(super) async fn run(routes: &Routes) -> Ended {
    match routes {
        Routes::Explain(asked) => explain::run(asked).await,
        Routes::Check(asked) => check::check(asked),
        Routes::Test(asked) => check::test(asked),
        Routes::Diff(asked) => diff::run(asked).await,
        Routes::Apply(asked) => apply::run(asked).await,
        Routes::History(asked) => history::run(asked).await,
        Routes::Rollback(asked) => rollback::run(asked).await,
        Routes::Show(asked) => show::run(asked).await,
        Routes::Rehearse(asked) => rehearse::run(asked).await,
    }
}

/// Who changes what is in force, and why.
#[derive(clap::Args, Debug)]
struct Signature {
    /// Why, in a line. It stays in the history.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    comment: String,
    /// Who does it; the operating-system user, if not said.
    #[arg(long, value_name = "NAME", value_parser = reason)]
    author: Option<String>,
}

impl Signature {
    fn signed(&self) -> Signed {
        Signed { author: self.author.clone().unwrap_or_else(operator), comment: self.comment.clone() }
    }
}

/// Whether it is waited for the processes.
#[derive(clap::Args, Debug)]
struct Wait {
    /// Does not wait the two seconds in which every process takes it up, or says that it cannot.
    #[arg(long)]
    no_wait: bool,
}

impl Wait {
    /// Waits as long as a process may take, and tells which said that they keep the one before.
    async fn taken_up(&self, store: &dyn Store) -> Ended {
        if self.no_wait {
            return Ok(());
        }
        tokio::time::sleep(service::TAKEN_UP_WITHIN).await;
        let open = store.open_alerts(usize::MAX).await?;
        // those about one before ended with the activation
        let is_one = |alert: &&Alert| {
            alert.kind == AlertKind::ConfigurationRefused && alert.subject.starts_with(alert::ROUTE_SET)
        };
        let refused: Vec<_> = open.iter().filter(is_one).collect();
        for alert in &refused {
            say!("BAD:  {}: {}", alert.subject, alert.text);
        }
        match refused.len() {
            0 => Ok(()),
            n => Err(Finding(format!("it is active, and {n} of the running processes cannot take it up")).into()),
        }
    }
}

/// The configuration and the store, where that has the routes; otherwise says what to do instead.
async fn kept(file: &ConfigFile) -> anyhow::Result<(Config, Arc<dyn Store>)> {
    let config = file.load(&Env::of_process())?;
    if config.routes.source == Source::File {
        let instead = match &config.routes.file {
            Some(path) => format!(
                "the routes come from {}: change that file, and a running service takes it up by itself",
                path.display()
            ),
            None => "the routes come from a file, and [routes] names none".to_owned(),
        };
        let told = format!("{instead}. To keep them in the store, in versions, set [registry] source = \"store\"");
        return Err(Finding(told).into());
    }
    let made = "the store is made by `onward serve`, once: start that first";
    let store = service::open_beside(&config.store.url).await.context(made)?;
    Ok((config, store))
}

/// The route set that decides by this configuration: that of the file, or the active one of the store.
pub(super) async fn in_force(config: &Config) -> anyhow::Result<RouteSet> {
    if config.routes.source == Source::File {
        return Ok(config.registry.routes.clone());
    }
    let opened = service::open_beside(&config.store.url).await;
    let store = opened.context("the routes are in the store")?;
    let active = store.active_routes().await?;
    let active = active.ok_or_else(|| Finding("no route set is active; `onward routes apply` makes one so".into()))?;
    let version = stored(&*store, active.number).await?;
    let read = read_stored(&version, &config.registry).map(|(routes, _)| routes);
    read.map_err(|faults| {
        let told = format!("version {} of the route set is active and cannot be read here", version.number);
        all_of(&faults, told).into()
    })
}

async fn stored(store: &dyn Store, number: u64) -> anyhow::Result<RoutesVersion> {
    let version = store.routes_version(number).await?;
    let unknown = || format!("there is no version {number} of the route set; `onward routes history` lists them");
    Ok(version.ok_or_else(|| Finding(unknown()))?)
}

/// Prints every fault; what they come to.
fn all_of(faults: &[Fault], told: String) -> Finding {
    for fault in faults {
        eprintln!("{fault}");
    }
    let s = if faults.len() == 1 { "" } else { "s" };
    Finding(format!("{told}: {} fault{s}", faults.len()))
}

/// What is told of one that was made the active one.
fn activated(active: &Activation, routes: &RouteSet) {
    let said = super::check::said_of(routes);
    say!("version {} is active: {said}", active.number);
}

/// Why it was not, with what to do.
fn not_activated(error: ActivateError) -> anyhow::Error {
    match error {
        ActivateError::Moved => {
            let told = "somebody else made another version the active one in between: see `onward routes history`, then do \
                        this again if it is still right";
            Finding(told.into()).into()
        }
        ActivateError::Store(error) => anyhow::Error::from(error)
            .context("it is not known whether it was done: see `onward routes history` before doing it again"),
        other => Finding(other.to_string()).into(),
    }
}

/// What is legal and may still not be meant.
fn warn(warnings: &[Fault], of: &str, routes: &RouteSet, config: &Config) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    for remark in remarks(routes, config.registry.inboxes.keys()) {
        eprintln!("warning: {of}: {remark}");
    }
}

/// The files of a version, with how large they are.
fn sizes(files: &BTreeMap<String, String>) -> BTreeMap<&str, usize> {
    files.iter().map(|(name, text)| (name.as_str(), text.len())).collect()
}
