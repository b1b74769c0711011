//! `onward routes`: a file a command.

use clap::Subcommand;

use super::{ConfigFile, Ended, Finding, print_json};

mod explain;

#[derive(Subcommand, Debug)]
pub(super) enum Routes {
    /// Says where a referral would go, and for every rule why it does or does not match.
    Explain(explain::Explain),
}

pub(super) async fn run(routes: &Routes) -> Ended {
    match routes {
        Routes::Explain(asked) => explain::run(asked).await,
    }
}
