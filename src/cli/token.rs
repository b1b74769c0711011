//! `onward token`

use clap::Args;

use super::Ended;
use crate::config::new_token;

#[derive(Args, Debug)]
pub(super) struct Options {}

/// Makes a token, shows it once, and says what of it belongs into the configuration.
pub(super) fn run(_: &Options) -> Ended {
    let (token, hash) = new_token().ok_or_else(|| anyhow::anyhow!("the system gives no random bytes"))?;
    say!("{}", token.reveal());
    // beside the token, so that it alone can be handed on by a pipe
    eprintln!("It is shown this once: hand it to its client alone. In the configuration of its client stands only:");
    eprintln!("tokens = [{{ sha256 = \"{}\" }}]", hash.hex());
    Ok(())
}
