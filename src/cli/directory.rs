//! `onward directory`

use std::sync::Arc;

use arc_swap::ArcSwap;
use clap::Subcommand;

use super::{ConfigFile, Ended, Finding, operator, print_json, reason};
use crate::{
    config::{Config, Env, StoreUrl},
    directory::{Directory, spreadsheet},
    service::{self, profiles},
};

mod adopt;
mod export;
mod feed;
mod files;
mod import;
mod measured;
mod parts;
mod proposals;
mod stories;

#[derive(Subcommand, Debug)]
pub(super) enum Commands {
    /// Lists what providers propose, the oldest first.
    Proposals(proposals::List),
    /// Shows a proposal: the entry as it is proposed, and what would change.
    Show(proposals::Show),
    /// Makes a proposal an entry, or a version of one.
    Approve(proposals::Approve),
    /// Refuses a proposal, and says why.
    Decline(proposals::Decline),
    /// Has an organisation of an import, and with it what it offers, belong to a provider, which proposes its changes from then on.
    Adopt(adopt::Adopt),
    /// Takes practice stories out of a service: no version tells them any more, and no proposal.
    TakeOutStory(stories::TakeOut),
    /// Takes services in from elsewhere: the same again changes nothing.
    #[command(subcommand)]
    Import(import::Import),
    /// Gives the whole directory out.
    #[command(subcommand)]
    Export(export::Export),
    /// An empty spreadsheet with every column, and one line that shows how it is filled.
    Template,
    /// What was measured of inboxes: how soon they answer, how many they accept, how many wait.
    Measured(measured::Asked),
}

pub(super) async fn run(asked: &Commands) -> Ended {
    match asked {
        Commands::Import(asked) => import::run(asked).await,
        Commands::Export(asked) => export::run(asked).await,
        Commands::Proposals(asked) => proposals::list(asked).await,
        Commands::Show(asked) => proposals::show(asked).await,
        Commands::Approve(asked) => proposals::approve(asked).await,
        Commands::Decline(asked) => proposals::decline(asked).await,
        Commands::Adopt(asked) => adopt::run(asked).await,
        Commands::TakeOutStory(asked) => stories::take_out(asked).await,
        Commands::Measured(asked) => measured::run(asked).await,
        Commands::Template => {
            say!("{}", spreadsheet::template().trim_end());
            Ok(())
        }
    }
}

/// The directory of the store that the configuration names, beside a service that may be running.
async fn open(file: &ConfigFile) -> anyhow::Result<(Config, Directory)> {
    let config = file.load(&Env::of_process())?;
    if let StoreUrl::Sqlite(path) = &config.store.url
        && !path.exists()
    {
        let why = format!(
            "there is no store at {} yet: start `onward serve` once, which makes it, then do this again",
            path.display()
        );
        return Err(Finding(why).into());
    }
    let store = service::open_beside(&config.store.url).await?;
    let validator = profiles::validator(&config).map_err(|error| Finding(error.to_string()))?;
    let registry = Arc::new(ArcSwap::from_pointee(config.registry.clone()));
    let base = config.server.base_url_at(config.server.listen);
    Ok((config, Directory::new(store, registry, Arc::new(validator), &base)))
}

/// How somebody at this machine signs.
fn signature() -> String {
    format!("operator {}", operator())
}
