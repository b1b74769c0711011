//! Shows on standard error how far the demonstration has come: a line that changes on a terminal, a line every few seconds
//! elsewhere, and the story of the first few referrals.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use super::{
    ledger::{Case, Ledger, Sent},
    stage::name_of,
};

/// The story of so many referrals is told.
const TOLD_MAX: usize = 6;
const TICK: Duration = Duration::from_millis(200);
/// Where there is no terminal, every so many ticks.
const TICKS_A_LINE: u32 = 15;

/// Shows until it is dropped with its future.
pub(super) async fn show(ledger: Arc<Ledger>) {
    let terminal = std::io::stderr().is_terminal();
    let mut told = 0;
    let mut ticks = 0_u32;
    loop {
        tokio::time::sleep(TICK).await;
        ticks = ticks.wrapping_add(1);
        let clear = if terminal { "\r\x1b[K" } else { "" };
        for (case, sent) in ledger.closed_since(told, TOLD_MAX - told) {
            say(&format!("{clear}{}\n", story(&case, sent.as_ref())));
            told += 1;
        }
        if terminal {
            say(&format!("{clear}{}", line(&ledger)));
        } else if ticks.is_multiple_of(TICKS_A_LINE) {
            say(&format!("{}\n", line(&ledger)));
        }
    }
}

/// The last line, which stays.
pub(super) fn end(ledger: &Ledger) {
    let clear = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
    say(&format!("{clear}{}\n", line(ledger)));
}

/// Writes to standard error; that nobody reads it is no failure.
pub(super) fn say(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

fn line(ledger: &Ledger) -> String {
    let counts = ledger.counts();
    format!(
        "sent {} · delivered {} · accepted {} · completed {} · refused {} · closed in the record {}",
        counts.sent, counts.delivered, counts.accepted, counts.completed, counts.refused, counts.closed
    )
}

/// “Mersey Care referred RIO-2026-000101 → The Life Rooms: received → accepted → completed, written back”
fn story(case: &Case, sent: Option<&Sent>) -> String {
    let from = sent.map(|s| name_of(&s.system)).unwrap_or("Somebody");
    let to = case.delivered.as_ref().map(|(inbox, _)| name_of(inbox)).unwrap_or("nobody");
    let identifier = case.identifier.as_deref().unwrap_or_default().rsplit('|').next().unwrap_or_default();
    let statuses: Vec<&str> = case.record.iter().map(|(status, _)| status.code()).collect();
    format!("{from} referred {identifier} → {to}: {}, written back", statuses.join(" → "))
}
