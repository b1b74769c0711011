//! `onward directory export`

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigFile, Ended, Finding, open, parts, print_json};
use crate::directory::{
    import::All,
    open_referral::{Records, Table, sources},
};

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum Export {
    /// As Open Referral UK 3.0.
    OpenReferral(OpenReferral),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct OpenReferral {
    /// A folder that is not there yet or is empty: it gets a folder for each source, with one file for each record; or “-”: one document
    /// on standard output.
    to: PathBuf,
    /// Only what comes from this source, without a folder around it.
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) async fn run(asked: &Export) -> Ended {
    let Export::OpenReferral(asked) = asked;
    let (_, directory) = open(&asked.file).await?;
    let all = All::of(&directory).await;
    directory.store.close().await;
    let all = all?;
    let (entries, here) = (all.entries(), &directory.base);
    let told = sources(&entries, here);
    if let Some(source) = asked.source.as_ref().filter(|source| !told.contains(*source)) {
        let known: Vec<_> = told.iter().map(String::as_str).collect();
        let why =
            format!("nothing in the directory comes from {source}; what there is comes from: {}", known.join(", "));
        return Err(Finding(why).into());
    }
    let asked_for = told.iter().filter(|source| asked.source.as_ref().is_none_or(|wanted| wanted == *source));
    let records = asked_for.map(|source| (source.as_str(), Records::of_source(source, here, &entries)));
    if asked.to.as_os_str() == "-" {
        let mut documents = records.map(|(source, records)| {
            let mut document = json!({ parts::NAME: source });
            document.as_object_mut().into_iter().for_each(|document| document.extend(records.whole()));
            document.sort_all_objects();
            document
        });
        match asked.source {
            Some(_) => print_json(&documents.next().unwrap_or_default()),
            None => print_json(&json!({ parts::ALL: documents.collect::<Vec<_>>() })),
        }
        return Ok(());
    }
    let cannot = || format!("cannot write {}", asked.to.display());
    fs::create_dir_all(&asked.to).with_context(cannot)?;
    let is_empty = fs::read_dir(&asked.to).with_context(cannot)?.next().is_none();
    ensure!(is_empty, "{} is not empty: name a folder that is not there yet", asked.to.display());
    let mut written = 0;
    for (source, records) in records {
        let folder = match asked.source {
            Some(_) => asked.to.clone(),
            None => asked.to.join(parts::folder_of(source)),
        };
        written += write(source, &records, &folder).with_context(|| format!("cannot write {}", folder.display()))?;
    }
    say!("{written} records in {}", asked.to.display());
    Ok(())
}

/// Writes what comes from one source; how many records that are.
fn write(source: &str, records: &Records, to: &Path) -> anyhow::Result<usize> {
    fs::create_dir_all(to)?;
    put(&to.join(parts::FILE), json!({ parts::NAME: source }))?;
    let mut written = 0;
    let mut all = |table: &str, documents: Vec<(String, Value)>| -> anyhow::Result<()> {
        let folder = to.join(table);
        fs::create_dir(&folder)?;
        for (id, document) in documents {
            put(&folder.join(format!("{id}.json")), document)?;
            written += 1;
        }
        Ok(())
    };
    let of = |table, one: &dyn Fn(&str) -> Option<Value>| -> Vec<(String, Value)> {
        records.ids(table).filter_map(|id| Some((id.to_owned(), one(id)?))).collect()
    };
    all("services", of(Table::Service, &|id| records.service(id)))?;
    all("organizations", of(Table::Organization, &|id| records.organization(id)))?;
    let places =
        records.at_locations().filter_map(|(id, service)| Some((id.to_owned(), records.at_location(service, id)?)));
    all("service_at_locations", places.collect())?;
    let loose = of(Table::Location, &|id| records.loose_location(id));
    if !loose.is_empty() {
        all("locations", loose)?;
    }
    let named = |all: std::collections::BTreeMap<String, serde_json::Map<String, Value>>| {
        all.into_iter().map(|(id, one)| (id, Value::Object(one))).collect()
    };
    all("taxonomies", named(records.taxonomies()))?;
    all("taxonomy_terms", named(records.terms()))?;
    Ok(written)
}

/// Writes a document with its fields in the order of the alphabet, so that the same is the same, byte by byte, wherever it came from.
fn put(to: &Path, mut document: Value) -> anyhow::Result<()> {
    document.sort_all_objects();
    Ok(fs::write(to, format!("{document:#}\n"))?)
}
