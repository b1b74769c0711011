//! `onward directory export`

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigFile, Ended, open, print_json};
use crate::{
    directory::{
        body_of, day, entry,
        open_referral::{Entry, Records, Table, referred_to},
    },
    domain::EntryKind,
    fhir::tree,
};

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum Export {
    /// As Open Referral UK 3.0.
    OpenReferral(OpenReferral),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct OpenReferral {
    /// A folder that is not there yet or is empty: it gets one file for each record; or “-”: one document on standard output.
    to: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) async fn run(asked: &Export) -> Ended {
    let Export::OpenReferral(asked) = asked;
    let (config, directory) = open(&asked.file).await?;
    let entries = directory.all().await?;
    let today = day(directory.store.now());
    let made = entry::all_of_registry(&config.registry, EntryKind::Organization, &directory.base, today);
    directory.store.close().await;
    let bodies: Vec<Value> = entries.iter().map(body_of).collect::<Result<_, _>>()?;
    let ids: Vec<String> = entries.iter().map(|entry| entry.id.to_string()).collect();
    let kept = entries.iter().zip(&ids).zip(&bodies);
    let kept = kept.map(|((entry, id), body)| Entry { kind: entry.kind, id, last_updated: entry.last_updated, body });
    let named = referred_to(&bodies);
    let of_registry = made.iter().filter_map(|body| {
        let id = tree::text(body, "id").filter(|id| named.contains(&format!("Organization/{id}")))?;
        Some(Entry { kind: EntryKind::Organization, id, last_updated: jiff::Timestamp::UNIX_EPOCH, body })
    });
    let records = Records::of(&kept.chain(of_registry).collect::<Vec<_>>());
    if asked.to.as_os_str() == "-" {
        print_json(&whole(&records));
        return Ok(());
    }
    let written = write(&records, &asked.to)?;
    say!("{written} records in {}", asked.to.display());
    Ok(())
}

/// Every record once, in one document that can be imported again.
fn whole(records: &Records) -> Value {
    let services: Vec<_> = records.ids(Table::Service).filter_map(|id| records.service(id)).collect();
    let organizations = records.ids(Table::Organization).filter_map(|id| records.organization(id));
    let organizations: Vec<_> = organizations
        .map(|mut organization| {
            if let Value::Object(organization) = &mut organization {
                organization.shift_remove("services");
            }
            organization
        })
        .collect();
    json!({
        "services": services,
        "organizations": organizations,
        "taxonomies": records.taxonomies().into_values().collect::<Vec<_>>(),
        "taxonomy_terms": records.terms().into_values().collect::<Vec<_>>(),
    })
}

fn write(records: &Records, to: &Path) -> anyhow::Result<usize> {
    let cannot = || format!("cannot write {}", to.display());
    fs::create_dir_all(to).with_context(cannot)?;
    let is_empty = fs::read_dir(to).with_context(cannot)?.next().is_none();
    ensure!(is_empty, "{} is not empty: name a folder that is not there yet", to.display());
    let mut written = 0;
    let mut all = |table: &str, documents: Vec<(String, Value)>| -> anyhow::Result<()> {
        let folder = to.join(table);
        fs::create_dir(&folder).with_context(cannot)?;
        for (id, document) in documents {
            fs::write(folder.join(format!("{id}.json")), format!("{document:#}\n")).with_context(cannot)?;
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
    let named = |all: std::collections::BTreeMap<String, serde_json::Map<String, Value>>| {
        all.into_iter().map(|(id, one)| (id, Value::Object(one))).collect()
    };
    all("taxonomies", named(records.taxonomies()))?;
    all("taxonomy_terms", named(records.terms()))?;
    Ok(written)
}
