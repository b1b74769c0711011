//! How long somebody has, as files say it.

use jiff::SignedDuration;

use crate::{
    domain::working_days::{WORKING_DAYS_MAX, Within},
    toml_reader::{Node, duration_from, quoted},
};

/// What may stand there.
const WITHIN: &str =
    "working days such as \"2wd\" (1wd to 400wd), a time by the clock such as \"48h\" (1s to 365d), or \"never\"";
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Working days, a time by the clock, or never, which is warned of.
pub(crate) fn within(node: &Node<'_>) -> Option<Within> {
    let text = node.text(WITHIN)?;
    let found = match text.strip_suffix("wd") {
        _ if text == "never" => Some(Within::Never),
        Some(days) => {
            let days = days.parse().ok().filter(|days| (1..=WORKING_DAYS_MAX).contains(days));
            days.map(Within::WorkingDays)
        }
        None => {
            let span = duration_from(text).and_then(|span| SignedDuration::try_from(span).ok());
            span.filter(|span| (SignedDuration::from_secs(1)..=YEAR).contains(span)).map(Within::Span)
        }
    };
    match found {
        Some(Within::Never) => node.warn("never: a referral that nobody looks at is not told of"),
        Some(_) => {}
        None => node.fault(&quoted(text), WITHIN),
    }
    found
}
