//! `onward demo`

use clap::Args;

use super::{Ended, Finding, serve::asked_to_end};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Ends when every loop is closed, non-zero if anything was lost.
    #[arg(long)]
    once: bool,
    /// How many referrals are sent; each fixture once, if not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    referrals: Option<u32>,
    /// Ends with one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Options) -> Ended {
    let _ = (options.once, options.referrals, options.json, asked_to_end());
    Err(Finding("not wired".into()).into())
}
