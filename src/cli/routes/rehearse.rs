//! `onward routes rehearse`: a route set is tried on the referrals that came lately.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{ConfigFile, Ended, Finding};
use crate::{
    config::Registry,
    domain::clock::instant,
    fhir::Limits,
    route_sets::{
        rehearse::Rehearsal,
        tally::{Change, Changed, Tally},
    },
    routing::RouteSet,
};

mod progress;

use progress::Progress;

#[derive(Args, Debug)]
pub(in crate::cli) struct Rehearse {
    /// The route file to be tried.
    routes: PathBuf,
    /// The referrals of the last so many days.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// So many referrals are named for each kind of change.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=100))]
    examples: u8,
    /// Exits with 1 where anything would go elsewhere, or could not be compared.
    #[arg(long)]
    fail_on_change: bool,
    #[command(flatten)]
    file: ConfigFile,
    /// As lines of JSON: one for each referral that would go elsewhere, one for each kind of change, and last the totals.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(asked: &Rehearse) -> Ended {
    let (config, store) = asked.file.open().await?;
    let candidate = candidate(&asked.routes, &config.registry)?;
    let until = store.now();
    let from = until.checked_sub(SignedDuration::from_hours(24 * i64::from(asked.days))).unwrap_or_default();
    // how many there are is good to know, and no more than that
    let count = store.count_routed(from, until).await.ok();
    let limits = Limits { bytes: config.limits.body_bytes, depth: config.limits.depth, ..Limits::default() };
    let mut progress = Progress::new(count);
    let rehearsal =
        Rehearsal { store: store.clone(), registry: Arc::new(config.registry), candidate: Arc::new(candidate), limits };
    let mut told = |tally: &Tally, changed: Option<&Changed>| {
        if let Some(Changed { request, change, was, goes }) = changed.filter(|_| asked.json) {
            say!("{}", json!({"kind": "referral", "request": request, "change": change, "from": was, "to": goes}));
        }
        progress.at(tally.total());
    };
    let tally = rehearsal.run((from, until), Tally::new(usize::from(asked.examples)), &mut told).await?;
    progress.end();
    tell(&tally, rehearsal.candidate.version(), (from, until), asked.json);
    store.close().await;
    match tally.unlike() {
        unlike if unlike > 0 && asked.fail_on_change => {
            Err(Finding(format!("{unlike} of {} would not go where they went", tally.total())).into())
        }
        _ => Ok(()),
    }
}

/// Reads the route file; tells everything that is wrong with it.
fn candidate(path: &Path, registry: &Registry) -> anyhow::Result<RouteSet> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let beside = path.parent().unwrap_or(Path::new("")).to_owned();
    let files = |name: &str| std::fs::read_to_string(beside.join(name)).map_err(|error| error.to_string());
    match RouteSet::read(&text, &path.display().to_string(), registry.known(&files)) {
        Ok((routes, warnings)) => {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            Ok(routes)
        }
        Err(faults) => {
            for fault in &faults {
                eprintln!("{fault}");
            }
            let s = if faults.len() == 1 { "" } else { "s" };
            Err(Finding(format!("nothing was tried; the route file has {} fault{s}", faults.len())).into())
        }
    }
}

/// Prints what it came to.
fn tell(tally: &Tally, version: &str, (from, until): (Timestamp, Timestamp), json: bool) {
    let (elsewhere, refused, triage) =
        (tally.of(Change::Elsewhere), tally.of(Change::Refused), tally.of(Change::Triage));
    if json {
        for ((change, was, goes), some) in tally.kinds() {
            let (count, examples) = (some.count, &some.examples);
            say!(
                "{}",
                json!({"kind": "change", "change": change, "from": was, "to": goes, "count": count, "examples": examples})
            );
        }
        say!(
            "{}",
            json!({"kind": "totals", "version": version, "from": instant(from), "until": instant(until),
                "referrals": tally.total(), "same": tally.same, "same-by-another-route": tally.other_route,
                "elsewhere": elsewhere, "refused": refused, "triage": triage, "unknown": tally.unknown,
                "unreadable": tally.unreadable, "of-more-kinds": tally.of_more_kinds})
        );
        return;
    }
    say!("Route set {version} on {} referrals, from {} until {}:", tally.total(), instant(from), instant(until));
    let by_other = match tally.other_route {
        0 => String::new(),
        other => format!(", {other} of them by another route"),
    };
    say!("  {:>9}  go where they went{by_other}", tally.same);
    say!("  {elsewhere:>9}  go elsewhere");
    say!("  {refused:>9}  are refused");
    say!("  {triage:>9}  go to triage");
    if tally.unknown > 0 {
        say!("  {:>9}  went somewhere that was not kept", tally.unknown);
    }
    if tally.unreadable > 0 {
        say!("  {:>9}  cannot be read any more", tally.unreadable);
    }
    for ((_, was, goes), some) in tally.kinds() {
        say!("\n{was} → {goes} ({} → {}): {}", was.route(), goes.route(), some.count);
        for request in &some.examples {
            say!("  ServiceRequest/{request}");
        }
    }
    if tally.of_more_kinds > 0 {
        say!("\n{} more, of other kinds", tally.of_more_kinds);
    }
}
