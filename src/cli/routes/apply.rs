//! `onward routes apply`

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{ConfigFile, Ended, Finding, Signature, Wait, activated, all_of, kept, not_activated, print_json, warn};
use crate::{
    config::routes::{beside, read_text},
    routing::{FILES_MAX_BYTES, RouteSet, TEXT_MAX_BYTES},
    store::{NewRoutes, ROUTES_FILES_MAX_BYTES, ROUTES_TEXT_MAX_BYTES},
};

// what can be read can be stored
const _: () = assert!(TEXT_MAX_BYTES <= ROUTES_TEXT_MAX_BYTES && FILES_MAX_BYTES <= ROUTES_FILES_MAX_BYTES);

#[derive(Args, Debug)]
pub(in crate::cli) struct Apply {
    /// The route file; the one that [routes] names, if not said.
    routes: Option<PathBuf>,
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

pub(in crate::cli) async fn run(asked: &Apply) -> Ended {
    let (config, store) = kept(&asked.file).await?;
    let none = || Finding("say which route file: `onward routes apply FILE`; [routes] names none".into());
    let path = asked.routes.as_deref().or(config.routes.file.as_deref()).ok_or_else(none)?;
    // before it is read: what somebody else makes active meanwhile is found out
    let before = store.active_routes().await?;
    let name = path.display().to_string();
    let text = read_text(path, TEXT_MAX_BYTES).map_err(|why| Finding(format!("cannot read {name}: {why}")))?;
    let read = RouteSet::read(&text, &name, config.registry.known(&beside(path)));
    let (routes, warnings) =
        read.map_err(|faults| all_of(&faults, "nothing was changed; the route file has".to_owned()))?;
    warn(&warnings, &name, &routes, &config);
    let files: BTreeMap<_, _> = routes.files().iter().map(|(name, text)| (name.clone(), text.to_string())).collect();
    if let Some(before) = &before {
        let active = super::stored(&*store, before.number).await?;
        if active.text == text && active.files == files {
            let told = format!("nothing was changed: version {} is active and is the same", before.number);
            return Err(Finding(told).into());
        }
        if before.hash == routes.version() {
            eprintln!(
                "note: its rules are those of version {}, which was active; only other words differ",
                before.number
            );
        }
    }
    let new = NewRoutes { hash: routes.version().to_owned(), text, files, signed: asked.signature.signed() };
    let over = before.map_or(0, |before| before.seq);
    let active = store.add_routes(over, new).await.map_err(not_activated)?;
    if asked.json {
        print_json(&json!({"number": active.number, "version": active.hash, "activation": active.seq}));
    } else {
        activated(&active, &routes);
    }
    let ended = asked.wait.taken_up(&*store).await;
    store.close().await;
    ended
}
