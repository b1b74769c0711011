//! `onward directory adopt`

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{ConfigFile, Directory, Ended, Finding, open, proposals::ended, signature};
use crate::{
    directory::body_of,
    domain::{EntryKind, ProviderId},
    store::DirectoryEntry,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Adopt {
    /// The organisation: its logical id here, or “source|id”, as it is called where it comes from.
    organisation: String,
    /// The provider of the configuration.
    provider: ProviderId,
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) async fn run(asked: &Adopt) -> Ended {
    let (_, directory) = open(&asked.file).await?;
    let done = adopt(&directory, asked).await;
    directory.store.close().await;
    say!("{}", done?);
    Ok(())
}

async fn adopt(directory: &Directory, asked: &Adopt) -> anyhow::Result<String> {
    let provider = &asked.provider;
    is_known(directory, provider)?;
    let found = find(directory, &asked.organisation).await?;
    let Some(entry) = found else {
        let why =
            format!("there is no organisation {}: a search for Organization?name=… gives its id", asked.organisation);
        return Err(Finding(why).into());
    };
    let id = entry.id.to_string();
    let mut body = body_of(&entry)?;
    let whole = json!({"reference": format!("{}/{provider}", EntryKind::Organization)});
    if body.get("partOf") == Some(&whole) {
        return Ok(format!("Organization/{id} is {provider}'s already"));
    }
    body["partOf"] = whole;
    let draft = directory.draft(EntryKind::Organization, Some(&id), body, false).await.map_err(ended)?;
    let checked = directory.check_one(draft).await.map_err(ended)?;
    if let Some(other) = checked.owner_before.as_ref().filter(|other| *other != provider) {
        let why = format!("Organization/{id} is {other}'s: a steward who wants that changed writes its partOf");
        return Err(Finding(why).into());
    }
    let written = directory.write(vec![checked], &signature()).await.map_err(ended)?;
    let version = written.first().map(|entry| entry.version).unwrap_or_default();
    Ok(format!(
        "Organization/{id} has version {version}: it and what it offers is {provider}'s, which proposes its changes"
    ))
}

async fn find(directory: &Directory, named: &str) -> anyhow::Result<Option<DirectoryEntry>> {
    let kind = EntryKind::Organization;
    if let Ok(id) = named.parse::<Uuid>() {
        return Ok(directory.store.directory_entry(kind, id, None).await?);
    }
    let Some((source, name)) = named.rsplit_once('|') else { return Ok(None) };
    Ok(directory.store.directory_sourced(kind, source, vec![name.to_owned()]).await?.pop())
}

/// That the configuration has this provider.
pub(super) fn is_known(directory: &Directory, provider: &ProviderId) -> Ended {
    let registry = directory.registry.load();
    if registry.providers.contains_key(provider) {
        return Ok(());
    }
    let known: Vec<&str> = registry.providers.keys().map(|id| id.as_str()).collect();
    Err(Finding(format!("the configuration has no provider {provider}; it has: {}", known.join(", "))).into())
}
