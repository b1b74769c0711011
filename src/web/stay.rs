//! How long somebody stays logged in who does nothing: told before it ends, on every page, without script. A notice that is hidden is shown
//! by the style sheet when the time comes (WCAG 2.2, 2.2.1), so that what is being typed stays where it is; whoever wants to stay says so by one
//! press, in a tab of its own.

use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::{
    form::Seen,
    frame::{Frame, Section},
    inbox::words,
    page,
};

/// Where one says that one is still there.
pub(super) const PATH: &str = "/stay";
/// It is told so long before, …
const TOLD_BEFORE: SignedDuration = SignedDuration::from_secs(120);
/// … in steps of so many seconds, so that there are few style sheets.
const STEP_S: i64 = 10;
/// A clock of a browser and one of ours do not tick as one.
const OVER_S: i64 = 5;
/// How the style sheets are named: with the seconds between them.
const SHEET: (&str, &str) = ("stay-", ".css");
/// No session lasts longer than the configuration allows: 12 hours and some.
const SECONDS_MAX: u32 = 48 * 3600;

/// What a page says of the end of its session.
pub(super) struct Stays {
    /// When it ends: `10:15am`.
    pub at: String,
    /// The style sheet by which the notice is shown in time.
    pub sheet: String,
    /// So many seconds after that the session is over.
    pub left_s: i64,
    /// Whether it ends then whatever one does.
    pub at_last: bool,
}

impl Stays {
    /// Of whoever looks at a page.
    pub(super) fn of(seen: &Seen) -> Self {
        let visitor = &seen.visitor;
        let seconds = told_after_s(visitor.looked, visitor.ends);
        let (before, after) = SHEET;
        let sheet = format!("{}{before}{seconds}{after}", super::assets::FOLDER);
        let left = visitor.ends.duration_since(visitor.looked);
        // not to the second: of two who are answered one after the other a page says the same
        let left_s = TOLD_BEFORE.min(left / 2).as_secs() + STEP_S + OVER_S;
        Self { at: words::clock(visitor.ends), sheet, left_s, at_last: visitor.at_last }
    }
}

/// After so many seconds it is told that a session ends: two minutes before, or at half time where it is shorter.
fn told_after_s(looked: Timestamp, ends: Timestamp) -> i64 {
    let left = ends.duration_since(looked).max(SignedDuration::ZERO);
    let after = left.saturating_sub(TOLD_BEFORE.min(left / 2)).as_secs();
    after - after % STEP_S
}

/// The style sheet of this name that shows the notice after some seconds; none where it is named otherwise.
pub(super) fn sheet(name: &str) -> Option<String> {
    let (before, after) = SHEET;
    let seconds: u32 = name.strip_prefix(before)?.strip_suffix(after)?.parse().ok()?;
    // also for whoever wants nothing to move: here nothing does
    (seconds <= SECONDS_MAX)
        .then(|| format!(".onward-soon {{ animation: onward-soon 1ms linear {seconds}s forwards !important; }}\n"))
}

/// `GET /stay`: she is still there.
pub(super) async fn stay(seen: Seen) -> Response {
    let at = words::clock(seen.visitor.ends);
    let told = if seen.visitor.at_last {
        format!("You are logged in until {at}, and no longer: then you must log in again. You can close this tab.")
    } else {
        format!(
            "You are logged in until {at}, and longer with each page that you open. You can close this tab, and go on where you were."
        )
    };
    page::told_in(Frame::of(&seen, Section::None), axum::http::StatusCode::OK, &told, ("/", "Go on to Onward"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_two_minutes_before_and_never_less_than_twenty_seconds() {
        let now: Timestamp = "2026-03-03T14:05:00Z".parse().unwrap();
        let after = |left: i64| told_after_s(now, now + SignedDuration::from_secs(left));
        assert_eq!(after(15 * 60), 13 * 60);
        assert_eq!(after(14 * 60 + 3), 12 * 60, "in steps");
        // the shortest that may be configured is a minute, of which a quarter may have passed
        for left in 45..=60 {
            assert!(left - after(left) >= 20, "{left}");
        }
        assert_eq!((after(0), after(-5)), (0, 0));
    }

    #[test]
    fn a_sheet_is_named_by_its_seconds_and_by_nothing_else() {
        assert!(sheet("stay-780.css").unwrap().contains(" 780s "));
        for bad in ["stay-.css", "stay--1.css", "stay-1s}.css", "stay-999999999.css", "pages.css", "stay-780"] {
            assert_eq!(sheet(bad), None, "{bad}");
        }
    }
}
