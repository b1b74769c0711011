//! `onward worklist`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigFile, Ended, Finding, operator, print_json, reason};
use crate::{
    alerts::worklist::{self, Line},
    domain::clock::instant,
};

#[derive(Args, Debug)]
pub(super) struct Worklist {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long, global = true)]
    json: bool,
    /// At most so many, the oldest.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Ticks a line that somebody has seen to; journalled.
    Done {
        /// The line's id.
        id: String,
        /// What was done. It goes into the journal.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

pub(super) async fn run(asked: &Worklist) -> Ended {
    let (config, store) = asked.file.open().await?;
    if let Some(Command::Done { id, reason }) = &asked.command {
        let ticked = worklist::tick(&*store, id, &operator(), reason).await;
        store.close().await;
        ticked.map_err(|error| Finding(error.to_string()))?;
        if asked.json {
            print_json(&json!({"line": id, "result": "done"}));
        } else {
            say!("{id}: done");
        }
        return Ok(());
    }
    let lines = worklist::lines(&*store, &config.registry, asked.limit).await?;
    if asked.json {
        print_json(&lines.iter().map(as_json).collect());
        return Ok(());
    }
    for line in &lines {
        let task = line.task.map(|task| format!("  Task {task}")).unwrap_or_default();
        let about = if line.about.is_empty() { String::new() } else { format!("  {}", line.about) };
        say!("{}  {}  {}{about}{task}  {}", line.id, instant(line.since), line.kind, line.text);
        say!("    {}{}", line.advice, if line.tick { "; then tick it by `onward worklist done`" } else { "" });
    }
    say!("{} open line{}", lines.len(), if lines.len() == 1 { "" } else { "s" });
    Ok(())
}

fn as_json(line: &Line) -> Value {
    json!({
        "id": line.id,
        "kind": line.kind,
        "since": instant(line.since),
        "about": line.about,
        "task": line.task.map(|task| task.to_string()),
        "text": line.text,
        "advice": line.advice,
        "tick": line.tick,
    })
}
