//! `onward endpoints`

use clap::Subcommand;
use serde_json::{Value, json};

use super::{ConfigFile, Ended, Finding, operator, print_json};
use crate::{
    domain::{
        Destination,
        breaker::{Breaker, Phase},
        clock::instant,
    },
    store::Backlog,
};

#[derive(Subcommand, Debug)]
pub(super) enum Endpoints {
    /// Lists them: how the breaker of each stands, since when, after how many failures, and how much waits.
    List {
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says that one is back: the running service speaks to it again at once, and what has waited goes at its drain rate.
    Close {
        /// `inbox.ID` or `writeback.ID`, as listed.
        endpoint: Destination,
        #[command(flatten)]
        file: ConfigFile,
    },
}

pub(super) async fn run(endpoints: &Endpoints) -> Ended {
    match endpoints {
        Endpoints::List { file, json } => list(file, *json).await,
        Endpoints::Close { endpoint, file } => close(file, endpoint).await,
    }
}

/// One line of the list.
struct Line {
    of: Destination,
    base_url: String,
    breaker: Option<Breaker>,
    waiting: u64,
}

async fn list(file: &ConfigFile, as_json: bool) -> Ended {
    let (config, store) = file.open().await?;
    let (breakers, backlog) = (store.breakers().await?, store.backlog().await?);
    let terms = config.registry.terms();
    let mut lines: Vec<Line> = terms
        .into_iter()
        .map(|(of, terms)| {
            // what is known of another address says nothing of this one
            let here = |b: &&crate::store::StoredBreaker| b.of == of && b.breaker.base_url == terms.base_url;
            let breaker = breakers.iter().find(here).map(|b| b.breaker.clone());
            let is_its = |b: &&Backlog| b.side == of.side && b.to == of.to;
            let waiting = backlog.iter().find(is_its).map_or(0, |b| b.waiting);
            Line { of, base_url: terms.base_url, breaker, waiting }
        })
        .collect();
    lines.sort_by(|a, b| a.of.cmp(&b.of));
    if as_json {
        print_json(&lines.iter().map(Line::json).collect());
        return Ok(());
    }
    for line in &lines {
        say!("{}", line.text());
    }
    let away = lines.iter().filter(|line| !line.is_closed()).count();
    say!("{} endpoint{}, {away} not as always", lines.len(), if lines.len() == 1 { "" } else { "s" });
    Ok(())
}

async fn close(file: &ConfigFile, of: &Destination) -> Ended {
    let store = file.open_store().await?;
    let by = operator();
    // another may change it at the same moment
    for _ in 0..10 {
        let stored = store.breakers().await?.into_iter().find(|stored| stored.of == *of);
        let why = format!("closed by {by}");
        let next = stored.as_ref().and_then(|s| s.breaker.let_go(&s.breaker.base_url, &why, store.now()));
        let (Some(stored), Some(next)) = (stored, next) else {
            return Err(Finding(format!("{of} is not left alone at present")).into());
        };
        if store.set_breaker(of, stored.version, next).await? {
            store.close().await;
            say!("{of}: spoken to again; what has waited goes at its drain rate");
            return Ok(());
        }
    }
    Err(Finding(format!("{of} changes too fast just now; try again")).into())
}

// === impl Line ===

impl Line {
    fn is_closed(&self) -> bool {
        self.breaker.as_ref().is_none_or(|breaker| breaker.phase == Phase::Closed)
    }

    fn json(&self) -> Value {
        let breaker = self.breaker.as_ref();
        json!({
            "endpoint": self.of.to_string(),
            "base-url": self.base_url,
            "breaker": breaker.map_or("closed", Breaker::word),
            "since": breaker.map(|b| instant(b.since)),
            "outage": breaker.filter(|_| !self.is_closed()).map(|b| instant(b.outage)),
            "failures": breaker.map_or(0, |b| b.failures),
            "why": breaker.and_then(|b| b.why.clone()),
            "waiting": self.waiting,
        })
    }

    fn text(&self) -> String {
        let at = if self.base_url.is_empty() { "worklist" } else { &self.base_url };
        let mut text = format!("{}  {at}  {} waiting", self.of, self.waiting);
        match &self.breaker {
            Some(breaker) if !self.is_closed() => {
                let why = breaker.why.as_deref().unwrap_or_default();
                let (word, since, failures) = (breaker.word(), instant(breaker.since), breaker.failures);
                text += &format!("  {word} since {since}  {failures} failures  {why}");
            }
            _ => text += "  closed",
        }
        text
    }
}
