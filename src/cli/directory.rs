//! `onward directory`

use clap::Subcommand;

use super::Ended;

mod measured;

#[derive(Subcommand, Debug)]
pub(super) enum Commands {
    /// What was measured of inboxes: how soon they answer, how many they accept, how many wait.
    Measured(measured::Asked),
}

pub(super) async fn run(asked: &Commands) -> Ended {
    match asked {
        Commands::Measured(asked) => measured::run(asked).await,
    }
}
