//! `onward dead`

use clap::{Args, Subcommand};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ConfigFile, Ended, Finding, operator, print_json, reason};
use crate::{
    domain::{Side, clock::instant},
    lanes::dead::discard,
    store::{DeadLetter, DeadQuery, Store},
};

mod preview;
mod replay;

#[derive(Subcommand, Debug)]
pub(super) enum Dead {
    /// Lists them, oldest first.
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Shows one with every try.
    Show {
        /// Message id, Task id, ServiceRequest id, or `system|value`.
        id: String,
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Of the tries, the newest so many.
        #[arg(long, default_value_t = 1000)]
        tries: usize,
    },
    /// Shows what would be sent now, and where, and sends nothing.
    Preview {
        /// Message id, Task id, ServiceRequest id, or `system|value`.
        id: String,
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// With the clinical content; without it, types and ids only.
        #[arg(long)]
        content: bool,
    },
    /// Has them tried again by the running service, each lane in its order.
    Replay {
        /// Message ids, Task ids, ServiceRequest ids, or `system|value`.
        #[arg(required_unless_present_any = ["all", "to", "lane", "since", "why"], conflicts_with_all = ["all", "to", "lane", "since", "why"])]
        ids: Vec<String>,
        /// All that are as wished below, or simply all.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        which: Which,
        /// So many a second.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        rate: u32,
        #[command(flatten)]
        file: ConfigFile,
        /// A line of JSON for each, and one at the end.
        #[arg(long)]
        json: bool,
    },
    /// Puts one away: it is never sent and no more listed. The record keeps “undeliverable”.
    Discard {
        /// Message id, Task id, ServiceRequest id, or `system|value`.
        id: String,
        /// Why. It goes into the journal and is shown with the referral.
        #[arg(long, value_parser = reason)]
        reason: String,
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which dead letters.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// For this inbox or originating system.
    #[arg(long)]
    to: Option<String>,
    /// `delivery`, or `write-back` to the originating record.
    #[arg(long)]
    lane: Option<Side>,
    /// Not older than this: a day such as 2026-03-02, or a moment such as 2026-03-02T09:00:00Z.
    #[arg(long, value_parser = moment)]
    since: Option<Timestamp>,
    /// Whose reason holds these words.
    #[arg(long)]
    why: Option<String>,
}

impl Which {
    fn query(&self, count: usize) -> DeadQuery {
        let Self { to, lane, since, why } = self;
        DeadQuery { to: to.clone(), side: *lane, since: *since, why: why.clone(), count, ..DeadQuery::default() }
    }
}

/// Of one referral, at most so many are looked at.
const OF_ONE_MAX: usize = 10_000;

fn moment(text: &str) -> Result<Timestamp, String> {
    let wrong = || "a day such as 2026-03-02, or a moment such as 2026-03-02T09:00:00Z".to_owned();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let day = text.parse::<Date>().map_err(|_| wrong())?;
    TimeZone::UTC.to_ambiguous_timestamp(day.into()).compatible().map_err(|_| wrong())
}

pub(super) async fn run(dead: &Dead) -> Ended {
    match dead {
        Dead::List { which, file, json, limit } => list(file, which.query(*limit), *json).await,
        Dead::Show { id, file, json, tries } => show(file, id, *json, *tries).await,
        Dead::Preview { id, file, json, content } => {
            let (config, store) = file.open().await?;
            let letter = one(&*store, id).await?;
            preview::show(config, store, &letter, *content, *json).await
        }
        Dead::Replay { ids, which, rate, file, json, .. } => replay_some(file, ids, which, *rate, *json).await,
        Dead::Discard { id, reason, file, json } => put_away(file, id, reason, *json).await,
    }
}

async fn list(file: &ConfigFile, query: DeadQuery, as_json: bool) -> Ended {
    let letters = file.open_store().await?.find_dead(query).await?;
    if as_json {
        print_json(&letters.iter().map(line).collect());
        return Ok(());
    }
    for letter in &letters {
        say!("{}", text(letter));
    }
    say!("{} dead letter{}", letters.len(), if letters.len() == 1 { "" } else { "s" });
    Ok(())
}

async fn show(file: &ConfigFile, id: &str, as_json: bool, tries_max: usize) -> Ended {
    let store = file.open_store().await?;
    let mut shown = Vec::new();
    for letter in letters(&*store, id).await? {
        let attempts = store.attempts(letter.task).await?;
        let tries: Vec<_> = attempts.iter().filter(|a| a.side == letter.side && a.of == letter.seq).collect();
        let left_out = tries.len().saturating_sub(tries_max);
        let tries = &tries[left_out..];
        if as_json {
            let mut shown_one = line(&letter);
            shown_one["tries"] = tries.iter().map(|a| super::referral::attempt_json(a)).collect();
            shown_one["tries_left_out"] = left_out.into();
            shown.push(shown_one);
            continue;
        }
        say!("{}", text(&letter));
        if left_out > 0 {
            say!("    {left_out} earlier tries");
        }
        for attempt in tries {
            say!("    {}", super::referral::attempt_text(attempt));
        }
    }
    if as_json {
        print_json(&shown.into());
    }
    Ok(())
}

async fn replay_some(file: &ConfigFile, ids: &[String], which: &Which, rate: u32, as_json: bool) -> Ended {
    let store = file.open_store().await?;
    let mut queries = Vec::new();
    let mut all = None;
    for id in ids {
        for letter in letters(&*store, id).await? {
            queries.push(DeadQuery { message: Some(letter.message), ..which.query(1) });
        }
    }
    if ids.is_empty() {
        queries.push(which.query(0));
        if which.since.is_none() && which.why.is_none() {
            let meant = |side: Side, to: &str| {
                which.lane.is_none_or(|lane| lane == side) && which.to.as_deref().is_none_or(|wanted| wanted == to)
            };
            let backlog = store.backlog().await?;
            all = Some(backlog.iter().filter(|b| meant(b.side, &b.to)).map(|b| b.dead).sum());
        }
    } else {
        all = u64::try_from(queries.len()).ok();
    }
    let ended = replay::run(&*store, queries, all, rate, as_json).await;
    store.close().await;
    ended
}

async fn put_away(file: &ConfigFile, id: &str, reason: &str, as_json: bool) -> Ended {
    let store = file.open_store().await?;
    let letter = one(&*store, id).await?;
    let discarded = discard(&*store, &letter, &operator(), reason).await;
    store.close().await;
    discarded?;
    if as_json {
        print_json(&json!({"message": letter.message.to_string(), "result": "put away"}));
    } else {
        say!("{}: put away", letter.message);
    }
    Ok(())
}

/// The dead letters a person means.
async fn letters(store: &dyn Store, id: &str) -> anyhow::Result<Vec<DeadLetter>> {
    if let Ok(message) = id.parse::<Uuid>()
        && let Some(letter) = store.dead_letter(message).await?
    {
        return Ok(vec![letter]);
    }
    let mut meant = Vec::new();
    for task in store.find_tasks(id).await? {
        meant.extend(
            store.find_dead(DeadQuery { task: Some(task.id), count: OF_ONE_MAX, ..DeadQuery::default() }).await?,
        );
    }
    if meant.is_empty() {
        return Err(Finding(format!("no dead letter belongs to “{id}”")).into());
    }
    Ok(meant)
}

/// The one dead letter a person means.
async fn one(store: &dyn Store, id: &str) -> anyhow::Result<DeadLetter> {
    let mut meant = letters(store, id).await?;
    if meant.len() > 1 {
        let ids: Vec<_> = meant.iter().map(|letter| letter.message.to_string()).collect();
        return Err(Finding(format!("“{id}” has several; name one by its message id: {}", ids.join(", "))).into());
    }
    meant.pop().ok_or_else(|| Finding(format!("no dead letter belongs to “{id}”")).into())
}

fn line(letter: &DeadLetter) -> Value {
    json!({
        "message": letter.message.to_string(),
        "task": letter.task.to_string(),
        "lane": letter.side.code(),
        "seq": letter.seq,
        "to": letter.to,
        "attempts": letter.attempts,
        "since": instant(letter.since),
        "why": letter.why,
    })
}

fn text(letter: &DeadLetter) -> String {
    format!(
        "{}  {}  {} to {}  Task {}  seq {}  {} tries  {}",
        letter.message,
        instant(letter.since),
        letter.side,
        letter.to,
        letter.task,
        letter.seq,
        letter.attempts,
        letter.why
    )
}
