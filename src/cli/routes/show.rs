//! `onward routes show`

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::{ConfigFile, Ended, print_json, sizes, stored};
use crate::domain::clock::instant;

#[derive(Args, Debug)]
pub(in crate::cli) struct Show {
    /// The version, as `onward routes history` lists it.
    number: u64,
    /// Prints one of the files that belong to it instead, by the name that its text has for it.
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// All of it as JSON, its files included.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(asked: &Show) -> Ended {
    let store = asked.file.open_store().await?;
    let version = stored(&*store, asked.number).await?;
    if asked.json {
        print_json(&json!({
            "number": version.number,
            "version": version.hash,
            "at": instant(version.at),
            "author": version.signed.author,
            "comment": version.signed.comment,
            "text": version.text,
            "files": version.files,
        }));
        return Ok(());
    }
    let text = match &asked.member {
        None => &version.text,
        Some(name) => version.files.get(name).ok_or_else(|| {
            let known: Vec<_> = version.files.keys().map(String::as_str).collect();
            super::Finding(format!("version {} has no file “{name}”; it has: {}", version.number, known.join(", ")))
        })?,
    };
    // byte for byte, so that it can be put into a file and applied again. Where nobody reads any more, that is no fault
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    if asked.member.is_none() {
        for (name, bytes) in sizes(&version.files) {
            eprintln!("note: the file {name} belongs to it, {bytes} bytes; --member {name} prints it");
        }
    }
    Ok(())
}
