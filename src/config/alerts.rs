//! Reads `[alerts]`: who is told when something waits for a person.

use std::time::Duration;

use jiff::SignedDuration;

use super::{
    Access, endpoint,
    registry::Endpoint,
    secret::Secrets,
    url::{base_url, is_open_to_listeners},
};
use crate::toml_reader::Table;

/// `[alerts]`: who is told. Without both, alerts are lines of the IT worklist and figures only.
#[derive(Debug, Clone)]
pub struct Alerts {
    /// Where each alert is posted as JSON.
    pub hook: Option<Endpoint>,
    /// What is run for each alert, which it reads as JSON from its standard input: the program and its arguments.
    pub command: Vec<String>,
    /// An alert older than this that could not be told is not told any more. Default 3 days.
    pub give_up_after: SignedDuration,
    /// A broker that is away, or a store that cannot be written to, for so long is an alert. Default one minute.
    pub away_after: Duration,
}

const ARGUMENTS_MAX: usize = 50;
const ARGUMENT_CHARS_MAX: usize = 1_000;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Alerts {
    fn default() -> Self {
        Self {
            hook: None,
            command: Vec::new(),
            give_up_after: SignedDuration::from_hours(3 * 24),
            away_after: Duration::from_secs(60),
        }
    }
}

impl Alerts {
    pub(super) fn read(mut table: Table<'_>, secrets: &Secrets<'_>) -> Self {
        let default = Self::default();
        let hook = table.get("hook").and_then(|node| {
            let mut hook = node.table("a table with url and token")?;
            let node = hook.need("url", "\"https://HOST/PATH\"");
            let url = node.as_ref().and_then(base_url);
            let token = hook.get("token").and_then(|node| secrets.token(&node));
            let timeout = endpoint::timeout(&mut hook);
            if let (Some(node), Some(url)) = (&node, &url)
                && is_open_to_listeners(url)
            {
                node.warn("http:// to another machine: the token travels unencrypted; use https://");
            }
            hook.finish();
            Some(Endpoint { base_url: url?, access: Access::by_token(token), timeout })
        });
        let command = table.get("command").map(|node| {
            let allowed = "a list of texts: the program and its arguments";
            let items = node.items(allowed);
            if node.is_list() && !(1..=ARGUMENTS_MAX).contains(&items.len()) {
                node.fault(&format!("{} texts", items.len()), format!("1 to {ARGUMENTS_MAX}"));
            }
            items.iter().filter_map(|item| item.line(ARGUMENT_CHARS_MAX)).collect::<Vec<_>>()
        });
        let give_up_after = table.get("give-up-after").and_then(|node| node.duration(SECOND, 30 * DAY));
        let away_after = table.get("away-after").and_then(|node| node.duration(SECOND, DAY));
        table.finish();
        Self {
            hook,
            command: command.unwrap_or_default(),
            give_up_after: give_up_after.and_then(|d| d.try_into().ok()).unwrap_or(default.give_up_after),
            away_after: away_after.unwrap_or(default.away_after),
        }
    }
}
