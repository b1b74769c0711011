//! `onward routes rollback`

use clap::Args;
use serde_json::json;

use super::{
    ConfigFile, Ended, Finding, Signature, Wait, activated, all_of, kept, not_activated, print_json, stored, warn,
};
use crate::route_sets::read_stored;

#[derive(Args, Debug)]
pub(in crate::cli) struct Rollback {
    /// The version, as `onward routes history` lists it.
    number: u64,
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(asked: &Rollback) -> Ended {
    let (config, store) = kept(&asked.file).await?;
    let before = store.active_routes().await?;
    let version = stored(&*store, asked.number).await?;
    let number = version.number;
    if before.as_ref().is_some_and(|before| before.number == number) {
        return Err(Finding(format!("nothing was changed: version {number} is the active one")).into());
    }
    // systems and inboxes may have gone since it was written
    let (routes, warnings) = read_stored(&version, &config.registry).map_err(|faults| {
        all_of(&faults, format!("nothing was changed; beside the systems and inboxes of today version {number} has"))
    })?;
    warn(&warnings, &format!("version {number}"), &routes, &config);
    let over = before.map_or(0, |before| before.seq);
    let active = store.activate_routes(over, number, asked.signature.signed()).await.map_err(not_activated)?;
    if asked.json {
        print_json(&json!({"number": active.number, "version": active.hash, "activation": active.seq}));
    } else {
        activated(&active, &routes);
    }
    let ended = asked.wait.taken_up(&*store).await;
    store.close().await;
    ended
}
