//! `onward people`: local accounts. A password is made by its person alone; what a command prints is a code to enrol with, once.

use std::sync::Arc;

use arc_swap::ArcSwap;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigFile, Ended, operator, print_json};
use crate::{
    config::{Env, StoreUrl},
    domain::{Position, clock::instant},
    people::{Code, account},
    service::{self, StartError},
    store::{Account, AccountNote, Glass, Store, postgres::OpenError},
};

/// So many glasses or changes are read at once.
const CHUNK: usize = 500;

#[derive(Subcommand)]
pub(super) enum Commands {
    /// A new account. Prints the code with which its person enrols.
    Add(Add),
    /// All accounts.
    List(List),
    /// Keeps somebody out; her sessions end at once.
    Disable(Named),
    /// Lets somebody in again.
    Enable(Named),
    /// Forgets an account that is disabled, as happens by itself after a time: what was done under it stays told, and its name is given to
    /// nobody else.
    Forget(Named),
    /// What somebody is from now on; her sessions end.
    Roles(SetRoles),
    /// Takes password and device away, and prints a new code to enrol with; her sessions end.
    Reset(Named),
    /// Who has broken the glass of which referral, and why.
    Glasses(List),
    /// Who did what with which account.
    Changes(List),
}

#[derive(Args, Debug)]
pub(super) struct Add {
    /// By which she logs in: 1 to 113 of a-z, 0-9 and . _ @ -
    name: String,
    /// Her name for people.
    #[arg(long, value_name = "TEXT", value_parser = super::reason)]
    full_name: Option<String>,
    /// What she is; several times for several: referrer:SYSTEM, provider-worker:PROVIDER, provider-admin:PROVIDER, route-editor,
    /// operator, auditor.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Position>,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args, Debug)]
pub(super) struct SetRoles {
    /// By which she logs in.
    name: String,
    /// What she is from now on, as with add.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Position>,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args, Debug)]
pub(super) struct Named {
    /// By which she logs in.
    name: String,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: &Commands) -> Ended {
    match command {
        Commands::Add(asked) => {
            let (people, base_url) = open(&asked.file).await?;
            let full_name = asked.full_name.as_deref().unwrap_or(&asked.name);
            let code = people.add(&by(), &asked.name, full_name, asked.roles.clone()).await?;
            handed_over(&asked.name, &code, &base_url);
        }
        Commands::Reset(asked) => {
            let (people, base_url) = open(&asked.file).await?;
            let code = people.reset(&by(), &asked.name).await?;
            handed_over(&asked.name, &code, &base_url);
        }
        Commands::Disable(asked) => {
            open(&asked.file).await?.0.disable(&by(), &asked.name, true).await?;
            say!("{}: cannot log in any more, and is logged in nowhere", asked.name);
        }
        Commands::Enable(asked) => {
            open(&asked.file).await?.0.disable(&by(), &asked.name, false).await?;
            say!("{}: can log in again", asked.name);
        }
        Commands::Forget(asked) => {
            open(&asked.file).await?.0.forget_account(&by(), &asked.name).await?;
            say!("{}: is forgotten; what was done under it stays told", asked.name);
        }
        Commands::Roles(asked) => {
            open(&asked.file).await?.0.set_positions(&by(), &asked.name, asked.roles.clone()).await?;
            say!("{}: is {} from the next log-in on", asked.name, words(&asked.roles));
        }
        Commands::List(asked) => list(asked).await?,
        Commands::Glasses(asked) => glasses(asked).await?,
        Commands::Changes(asked) => changes(asked).await?,
    }
    Ok(())
}

/// The store is made where there is none yet: who runs Onward may be added before its first start.
async fn open(file: &ConfigFile) -> anyhow::Result<(crate::people::People, String)> {
    let config = file.load(&Env::of_process())?;
    let url = &config.store.url;
    let is_there = match url {
        StoreUrl::Sqlite(path) => path.exists(),
        StoreUrl::Postgres(_) => true,
    };
    let store = match is_there {
        true => match service::open_beside(url).await {
            Err(StartError::Postgres(OpenError::Older { found: 0, .. })) => made(url).await?,
            opened => opened?,
        },
        false => made(url).await?,
    };
    if !config.people.local {
        eprintln!("warning: [people] local is not true: nobody can log in with a local account");
    }
    let base_url = config.server.base_url_at(config.server.listen);
    let registry = Arc::new(ArcSwap::from_pointee(config.registry));
    Ok((crate::people::People::new(store, registry, config.people), base_url))
}

/// A new store, beside which a service may start.
async fn made(url: &StoreUrl) -> Result<Arc<dyn Store>, StartError> {
    drop(service::open_store(url).await?);
    eprintln!(
        "note: there was no store yet; it is made, and belongs to whoever runs this command: that must be who runs the service"
    );
    service::open_beside(url).await
}

/// Who does it, as it is noted of an account.
fn by() -> String {
    format!("command:{}", operator())
}

fn handed_over(name: &str, code: &Code, base_url: &str) {
    let hours = account::ENROL_WITHIN.as_secs() / 3600;
    say!("{name}: enrols at {base_url}/enrol within {hours} hours, with this code, which is not shown again:");
    say!("{}", code.reveal());
}

fn words(positions: &[Position]) -> String {
    positions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn list(asked: &List) -> Ended {
    let store = asked.file.open_store().await?;
    let now = store.now();
    let state = |account: &Account| match (account.disabled, &account.credentials, &account.enrolment) {
        (true, ..) => "disabled",
        (false, Some(_), _) => "enrolled",
        (false, None, Some(enrolment)) if now < enrolment.until => "to enrol",
        (false, None, _) => "too late to enrol: reset",
    };
    let accounts = store.accounts().await?;
    if asked.json {
        let line = |account: &Account| {
            let roles: Vec<String> = account.positions.iter().map(ToString::to_string).collect();
            json!({"name": account.name, "fullName": account.full_name, "roles": roles, "state": state(account),
                   "created": instant(account.created)})
        };
        print_json(&Value::Array(accounts.iter().map(line).collect()));
        return Ok(());
    }
    for account in &accounts {
        say!("{}  {}  {}  {}", account.name, state(account), words(&account.positions), account.full_name);
    }
    Ok(())
}

async fn glasses(asked: &List) -> Ended {
    let store = asked.file.open_store().await?;
    let mut after = None;
    loop {
        let page = store.glasses(after, CHUNK).await?;
        for glass in &page {
            say!("{}", line(glass, asked.json));
        }
        after = page.last().map(|glass| glass.id);
        if page.len() < CHUNK {
            return Ok(());
        }
    }
}

async fn changes(asked: &List) -> Ended {
    let store = asked.file.open_store().await?;
    let mut after = None;
    loop {
        let page = store.account_notes(after, CHUNK).await?;
        for note in &page {
            let AccountNote { id, at, by, account, deed, before, positions } = note;
            let (at, roles, had) = (instant(*at), words(positions), words(before));
            if asked.json {
                let line = json!({"change": id.to_string(), "at": at, "by": by, "account": account, "what": deed.code(), "roles-before": had, "roles": roles});
                say!("{line}");
            } else {
                let changed =
                    if before.is_empty() || had == roles { roles.clone() } else { format!("{had} -> {roles}") };
                say!("{at}  {by}  {account}  {deed}  ({changed})");
            }
        }
        after = page.last().map(|note| note.id);
        if page.len() < CHUNK {
            return Ok(());
        }
    }
}

/// A glass in a line; JSON as one object a line.
fn line(glass: &Glass, as_json: bool) -> String {
    let Glass { id, person, name, positions, referral, reason, at, until } = glass;
    let roles = words(positions);
    if as_json {
        return json!({"glass": id.to_string(), "person": person, "name": name, "roles": roles, "referral": referral.to_string(),
                      "at": instant(*at), "until": instant(*until), "reason": reason})
        .to_string();
    }
    // what she wrote stays on its line
    let reason = reason.replace(char::is_control, " ");
    format!("{}  {person} ({roles})  referral {referral}  until {}  “{reason}”", instant(*at), instant(*until))
}
