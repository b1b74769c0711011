//! `onward directory proposals`, `show`, `approve` and `decline`.

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::{ConfigFile, Ended, Finding, open, print_json, reason, signature};
use crate::{
    directory::{WriteError, told},
    domain::{ProposalStatus, ProviderId, clock::instant},
    fhir::Issue,
    store::{DirectoryError, Proposal, ProposalQuery, StoreError},
};

/// So many are read at once.
const CHUNK: usize = 200;

#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    /// In which status; `all` for every one.
    #[arg(long, default_value = "pending", value_parser = status)]
    status: Wanted,
    /// Of this provider alone.
    #[arg(long, value_name = "ID")]
    provider: Option<ProviderId>,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Show {
    /// The proposal.
    id: Uuid,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Approve {
    /// The proposal.
    id: Uuid,
    /// Somebody has seen to it that nobody can be recognised in its practice stories.
    #[arg(long)]
    story_checked: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Decline {
    /// The proposal.
    id: Uuid,
    /// Why, in a line: its provider reads it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// A status, or all of them.
#[derive(Debug, Clone)]
struct Wanted(Option<ProposalStatus>);

fn status(text: &str) -> Result<Wanted, String> {
    match text {
        "all" => Ok(Wanted(None)),
        _ => text.parse().map(|status| Wanted(Some(status))).map_err(|error| format!("{error}, all")),
    }
}

pub(in crate::cli) async fn list(asked: &List) -> Ended {
    let store = asked.file.open_store().await?;
    let mut all: Vec<Proposal> = Vec::new();
    loop {
        let after = all.last().map(|last| last.new.id);
        let query = ProposalQuery {
            provider: asked.provider.clone(),
            status: asked.status.0,
            after,
            count: CHUNK,
            ..ProposalQuery::default()
        };
        let page = store.proposals(query).await?;
        let is_last = page.len() < CHUNK;
        all.extend(page);
        if is_last {
            break;
        }
    }
    if asked.json {
        print_json(&all.iter().map(|one| told::in_short(one, &str::to_owned)).collect());
        return Ok(());
    }
    for Proposal { new, at, status, .. } in &all {
        let what = if new.over == 0 { "new" } else { "change" };
        say!("{}  {}  {status}  {what} of {}/{} by {}", new.id, instant(*at), new.kind, new.entry, new.provider);
    }
    if all.is_empty() {
        say!("there is none");
    }
    Ok(())
}

pub(in crate::cli) async fn show(asked: &Show) -> Ended {
    let (_, directory) = open(&asked.file).await?;
    let proposed = directory.proposed(asked.id).await.map_err(ended)?;
    let told = told::whole(&proposed, &str::to_owned);
    if asked.json {
        print_json(&told);
        return Ok(());
    }
    let new = &proposed.proposal.new;
    say!("{} of {}/{} by provider {}", proposed.proposal.status, new.kind, new.entry, new.provider);
    if let Some(decided) = &proposed.proposal.decided {
        let why = decided.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        say!("decided {} by {}{why}", instant(decided.at), decided.by);
    }
    for change in told["changes"].as_array().into_iter().flatten() {
        let text = |name: &str| change.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        say!("  {} {}", text("op"), text("path"));
        for (name, mark) in [("was", "-"), ("value", "+")] {
            if let Some(value) = change.get(name) {
                say!("    {mark} {value}");
            }
        }
    }
    if told["is-stale"] == true {
        say!("the entry was changed since: it cannot be approved, its provider proposes it again");
    }
    if told["tells-story"] == true {
        say!("it tells a practice story: see that nobody can be recognised in it, and approve with --story-checked");
    }
    Ok(())
}

pub(in crate::cli) async fn approve(asked: &Approve) -> Ended {
    let (_, directory) = open(&asked.file).await?;
    let done = directory.approve(asked.id, &signature(), asked.story_checked).await;
    directory.store.close().await;
    let (_, entry) = done.map_err(ended)?;
    say!("approved: {}/{} has version {}", entry.kind, entry.id, entry.version);
    Ok(())
}

pub(in crate::cli) async fn decline(asked: &Decline) -> Ended {
    let (_, directory) = open(&asked.file).await?;
    let why = Some(asked.reason.clone());
    let done = directory.close(asked.id, ProposalStatus::Declined, &signature(), why).await;
    directory.store.close().await;
    done.map_err(ended)?;
    say!("declined");
    Ok(())
}

/// Why it was not done, with what to do.
pub(super) fn ended(error: WriteError) -> anyhow::Error {
    let all = |issues: &[Issue]| {
        let lines = issues.iter().map(|issue| format!("{}: {}", issue.expression.join(", "), issue.diagnostics));
        lines.collect::<Vec<_>>().join("\n")
    };
    match &error {
        WriteError::Invalid(issues) | WriteError::Rule(issues) => {
            Finding(format!("nothing was changed:\n{}", all(issues))).into()
        }
        WriteError::NotFound | WriteError::Directory(DirectoryError::NoProposal) => {
            Finding("there is no such proposal; `onward directory proposals --status all` lists them".into()).into()
        }
        WriteError::Directory(DirectoryError::Moved { .. }) => {
            let told = "the entry was changed after this was proposed: decline it, so that its provider proposes again";
            Finding(told.into()).into()
        }
        WriteError::Directory(DirectoryError::Store(StoreError::Unavailable(_))) => {
            anyhow::Error::from(error).context("it is not known whether it was done: see `onward directory show`")
        }
        _ => Finding(error.to_string()).into(),
    }
}
