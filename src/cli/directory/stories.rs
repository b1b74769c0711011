//! `onward directory take-out-story`

use clap::Args;
use uuid::Uuid;

use super::{ConfigFile, Ended, open, proposals::ended, signature};
use crate::directory::{TakenOut, Which};

#[derive(Args, Debug)]
pub(in crate::cli) struct TakeOut {
    /// The HealthcareService.
    id: Uuid,
    /// Of the stories that it tells now only this one, counted from 0. Without it, all.
    #[arg(long, value_name = "NUMBER")]
    story: Option<usize>,
    /// Only stories that it does not tell now.
    #[arg(long, conflicts_with = "story")]
    earlier: bool,
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) async fn take_out(asked: &TakeOut) -> Ended {
    let (_, directory) = open(&asked.file).await?;
    let which = match asked.story {
        Some(at) => Which::At(at),
        None if asked.earlier => Which::Earlier,
        None => Which::All,
    };
    let done = directory.take_out(asked.id, which, &signature()).await;
    directory.store.close().await;
    let TakenOut { entry, versions, proposals } = done.map_err(ended)?;
    say!(
        "taken out: {}/{} has version {}; {versions} earlier versions and {proposals} proposals told it, and tell it no more",
        entry.kind,
        entry.id,
        entry.version
    );
    say!("copies of the store from before, and what others have read, still have it");
    Ok(())
}
