//! `onward routes diff`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{ConfigFile, Ended, check::read_set, in_force, print_json};
use crate::{
    config::Env,
    route_sets::diff::{changes, line},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Diff {
    /// The route file that would come.
    candidate: PathBuf,
    /// What it is held against; what is in force, if not said.
    before: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(asked: &Diff) -> Ended {
    let (_, after) = read_set(&asked.file, &asked.candidate)?;
    let before = match &asked.before {
        Some(path) => read_set(&asked.file, path)?.1,
        None => in_force(&asked.file.load(&Env::of_process())?).await?,
    };
    let changes = changes(&before, &after);
    if asked.json {
        print_json(&json!({"from": before.version(), "to": after.version(), "changes": changes}));
        return Ok(());
    }
    if changes.is_empty() {
        say!("the rules are the same (version {})", after.version());
        return Ok(());
    }
    say!("from version {} to {}", before.version(), after.version());
    for change in &changes {
        say!("{}", line(change));
    }
    say!("what this does to referrals, `onward routes rehearse {}` shows", asked.candidate.display());
    Ok(())
}
