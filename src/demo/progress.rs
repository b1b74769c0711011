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

/// Shows how far it has come.
pub(super) struct Progress {
    ledger: Arc<Ledger>,
    told: usize,
    /// Goes before every text: takes the changing line away.
    clear: &'static str,
}

impl Progress {
    pub(super) fn of(ledger: Arc<Ledger>) -> Self {
        let clear = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
        Self { ledger, told: 0, clear }
    }

    /// Shows until its future is dropped.
    pub(super) async fn show(&mut self) {
        let mut ticks = 0_u32;
        loop {
            tokio::time::sleep(TICK).await;
            ticks = ticks.wrapping_add(1);
            self.stories();
            if !self.clear.is_empty() {
                say(&format!("{}{}", self.clear, line(&self.ledger)));
            } else if ticks.is_multiple_of(TICKS_A_LINE) {
                say(&format!("{}\n", line(&self.ledger)));
            }
        }
    }

    /// What is left to tell, and the last line, which stays.
    pub(super) fn end(&mut self) {
        self.stories();
        say(&format!("{}{}\n", self.clear, line(&self.ledger)));
    }

    fn stories(&mut self) {
        for (case, sent) in self.ledger.closed_since(self.told, TOLD_MAX - self.told) {
            say(&format!("{}{}\n", self.clear, story(&case, sent.as_ref())));
            self.told += 1;
        }
    }
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
