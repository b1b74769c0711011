//! `onward demo`

use clap::Args;

use super::{Ended, Finding};

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
    let referrals = options.referrals.map(|n| n as usize);
    let options =
        crate::demo::Options { referrals, once: options.once, json: options.json, ..crate::demo::Options::default() };
    let summary = crate::demo::run(options).await?;
    if summary.is_good() { Ok(()) } else { Err(Finding("not every loop was closed".into()).into()) }
}
