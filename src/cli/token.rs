//! `onward token`

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use zeroize::Zeroizing;

use super::Ended;
use crate::config::TokenHash;

/// So many random bytes nobody guesses.
const BYTES: usize = 32;

#[derive(Args, Debug)]
pub(super) struct Options {}

/// Makes a token, shows it once, and says what of it belongs into the configuration.
pub(super) fn run(_: &Options) -> Ended {
    let mut random = Zeroizing::new([0; BYTES]);
    rand::fill(random.as_mut_slice()).map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
    say!("{}", token.as_str());
    // beside the token, so that it alone can be handed on by a pipe
    eprintln!("It is shown this once: hand it to its client alone. In the configuration of its client stands only:");
    eprintln!("tokens = [{{ sha256 = \"{}\" }}]", TokenHash::of(&token).hex());
    Ok(())
}
