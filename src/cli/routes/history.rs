//! `onward routes history`

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigFile, Ended, print_json};
use crate::{
    config::{Env, routes::Source},
    domain::clock::instant,
    service,
    store::Activation,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct History {
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub(in crate::cli) async fn run(asked: &History) -> Ended {
    let config = asked.file.load(&Env::of_process())?;
    let store = service::open_beside(&config.store.url).await?;
    let history = store.routes_history(asked.limit).await?;
    let is_followed = config.routes.source == Source::Store;
    if !is_followed {
        eprintln!("note: by this configuration the routes come from a file, not from the store");
    }
    if asked.json {
        print_json(&history.iter().enumerate().map(|(n, one)| as_json(one, is_followed && n == 0)).collect());
        return Ok(());
    }
    for (n, one) in history.iter().enumerate() {
        let active = if is_followed && n == 0 { "  active" } else { "" };
        let what = if one.is_new { "" } else { "  again" };
        let (number, hash, at) = (one.number, &one.hash, instant(one.at));
        say!("{at}  version {number} ({hash}){what}{active}  {}: {}", one.signed.author, one.signed.comment);
    }
    if history.is_empty() {
        say!("no version was stored yet; `onward routes apply FILE --comment TEXT` stores one");
    }
    Ok(())
}

fn as_json(one: &Activation, is_active: bool) -> Value {
    json!({
        "activation": one.seq,
        "number": one.number,
        "version": one.hash,
        "new": one.is_new,
        "active": is_active,
        "at": instant(one.at),
        "author": one.signed.author,
        "comment": one.signed.comment,
    })
}
