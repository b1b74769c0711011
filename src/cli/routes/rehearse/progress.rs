//! How far it has come: a bar where somebody looks, otherwise a line now and then. On standard error, beside what it is about.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

/// How often a line is written where nobody looks.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { of: Option<u64>, last: Instant },
}

impl Progress {
    /// Nothing yet, of so many, if that is known.
    pub(super) fn new(of: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { of, last: Instant::now() };
        }
        let bar = ProgressBar::with_draw_target(of, ProgressDrawTarget::stderr());
        let text = match of {
            Some(_) => "{bar:40} {pos}/{len} referrals, {per_sec}, {eta} to go",
            None => "{spinner} {pos} referrals, {per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(text) {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// So many are done.
    pub(super) fn at(&mut self, done: u64) {
        match self {
            Self::Bar(bar) => bar.set_position(done),
            Self::Lines { last, .. } if last.elapsed() < LINE_EVERY => {}
            Self::Lines { of, last } => {
                let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
                eprintln!("{done}{of} referrals tried");
                *last = Instant::now();
            }
        }
    }

    /// All are done: what comes next is the outcome.
    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
