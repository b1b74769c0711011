//! `onward directory measured`

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::super::{ConfigFile, Ended, Finding, print_json};
use crate::{
    directory::measured::{Found, Measured},
    domain::{
        InboxId,
        clock::instant,
        measured::{Roughly, Waiting},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Asked {
    /// The inbox; without it, all of them.
    inbox: Option<InboxId>,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(asked: &Asked) -> Ended {
    let (config, store) = asked.file.open().await?;
    let registry = &config.registry;
    let inboxes: Vec<InboxId> = match &asked.inbox {
        Some(inbox) if !registry.inboxes.contains_key(inbox) => {
            return Err(Finding(format!("the configuration has no inbox {inbox}")).into());
        }
        Some(inbox) => vec![inbox.clone()],
        None => registry.inboxes.keys().cloned().collect(),
    };
    let measured = Measured::new(Arc::clone(&store));
    measured.renew(inboxes.clone(), registry.directory.minimum_count).await?;
    store.close().await;
    let found: Vec<(InboxId, Found)> =
        inboxes.into_iter().filter_map(|inbox| measured.of(&inbox).map(|found| (inbox, found))).collect();
    if asked.json {
        print_json(&found.iter().map(|(inbox, found)| as_json(inbox, found)).collect());
        return Ok(());
    }
    for (inbox, found) in &found {
        say!("{}", as_text(inbox, found, registry.directory.minimum_count));
    }
    Ok(())
}

fn as_json(inbox: &InboxId, found: &Found) -> Value {
    let facts = found.facts.map(|facts| {
        let (value, unit) = match facts.median {
            Roughly::Hours(hours) => (hours, "h"),
            Roughly::Days(days) => (days, "d"),
        };
        json!({
            "first-day": facts.first.date().to_string(),
            "last-day": facts.last.date().to_string(),
            "answers": facts.answers,
            "median-time-to-first-answer": { "value": value, "unit": unit },
            "acceptance-rate": facts.accepted_percent,
        })
    });
    let waiting = match found.waiting {
        Waiting::FewerThan(most) => json!({ "fewer-than": most }),
        Waiting::About(count) => json!({ "about": count }),
    };
    json!({ "inbox": inbox.as_str(), "facts": facts, "waiting": waiting, "as-of": instant(found.as_of) })
}

fn as_text(inbox: &InboxId, found: &Found, minimum: u32) -> String {
    let waiting = match found.waiting {
        Waiting::FewerThan(most) => format!("fewer than {most} wait"),
        Waiting::About(count) => format!("{count} or a few more wait"),
    };
    let Some(facts) = found.facts else {
        return format!("{inbox}  fewer than {minimum} answers yet; {waiting}");
    };
    let median = match facts.median {
        Roughly::Hours(1) => "1 hour".to_owned(),
        Roughly::Hours(hours) => format!("{hours} hours"),
        Roughly::Days(days) => format!("{days} days"),
    };
    let (first, last) = (facts.first.date(), facts.last.date());
    format!(
        "{inbox}  {first} to {last}: {} or a few more answers, half of them within {median}, {} % accepted; {waiting}",
        facts.answers, facts.accepted_percent
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::measured::{Day, Facts};

    #[test]
    fn it_reads_as_a_sentence() {
        let facts = Facts {
            first: Day(20_000),
            last: Day(20_013),
            answers: 15,
            median: Roughly::Days(3),
            accepted_percent: 80,
        };
        let as_of = "2026-03-05T10:00:00Z".parse().unwrap();
        let found = Found { facts: Some(facts), waiting: Waiting::About(20), as_of };
        let inbox = "life-rooms".parse().unwrap();
        assert_eq!(
            as_text(&inbox, &found, 10),
            "life-rooms  2024-10-04 to 2024-10-17: 15 or a few more answers, half of them within 3 days, 80 % accepted; 20 or a \
             few more wait"
        );
        let none = Found { facts: None, waiting: Waiting::FewerThan(10), as_of };
        assert_eq!(as_text(&inbox, &none, 10), "life-rooms  fewer than 10 answers yet; fewer than 10 wait");
        assert_eq!(as_json(&inbox, &none)["facts"], Value::Null);
    }
}
