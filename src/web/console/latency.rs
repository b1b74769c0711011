//! How long things took in the last hour, and how long certificates hold: read from what the process counts (Prometheus text format). Pure.

use jiff::Timestamp;

use super::words::{Tag, moment};

/// What is timed: the name of its figures, the label that it is told by, and how a page calls it.
const TIMED: [(&str, &str, &str); 3] = [
    ("onward_intake_seconds", "", "A referral is acknowledged"),
    ("onward_lane_seconds", "lane=\"delivery\"", "It arrives at the provider"),
    ("onward_lane_seconds", "lane=\"write-back\"", "An answer arrives in the record"),
];
/// A certificate that ends sooner is told of (days), …
const SOON_DAYS: i64 = 30;
/// … and one that ends sooner than this in red.
const VERY_SOON_DAYS: i64 = 7;

/// How often something took no longer than so many seconds, since the process began, by its upper bounds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Buckets(Vec<(f64, u64)>);

/// All that is timed, in the order of [`TIMED`].
pub(super) type Timed = [Buckets; TIMED.len()];

/// A line of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Took {
    pub what: &'static str,
    pub count: u64,
    pub half: String,
    pub most: String,
}

/// A certificate and until when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Where it is shown, or who is known by it.
    pub what: String,
    /// The second at which it ends.
    pub ends_s: i64,
}

/// A line of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holds {
    pub what: String,
    pub until: String,
    pub left: String,
    pub tag: Tag,
}

/// What was timed so far.
pub(super) fn timed(text: &str) -> Timed {
    TIMED.map(|(name, label, _)| Buckets::read(text, name, label))
}

/// What took how long between two looks.
pub(super) fn took(before: &Timed, after: &Timed) -> Vec<Took> {
    let one = |((_, _, what), (before, after)): ((&str, &str, &'static str), (&Buckets, &Buckets))| {
        let between = after.since(before);
        let told = |of: f64| between.quantile(of).map_or_else(String::new, spoken);
        Took { what, count: between.count(), half: told(0.5), most: told(0.99) }
    };
    TIMED.into_iter().zip(before.iter().zip(after)).map(one).collect()
}

/// Every certificate that is shown, to clients and to endpoints, and of the authorities that others are known by the first that ends.
pub(super) fn certificates(text: &str) -> Vec<Certificate> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("onward_certificate_expires_timestamp_seconds{"));
    let read = |line: &str| {
        let (labels, value) = line.rsplit_once("} ")?;
        let (kind, to) = labels.trim_end_matches(',').split_once("=\"")?;
        let to = to.trim_end_matches('"');
        let what = match kind {
            "listener" => format!("Shown at {to}"),
            "endpoint" => format!("Shown to the {to}"),
            _ => format!("An authority, for {to}"),
        };
        Some(Certificate { what, ends_s: value.parse::<f64>().ok()? as i64 })
    };
    let mut all: Vec<Certificate> = lines.filter_map(read).collect();
    all.sort_by(|a, b| (a.ends_s, &a.what).cmp(&(b.ends_s, &b.what)));
    all
}

/// The same in words, at a moment.
pub(super) fn holds(certificates: &[Certificate], now: Timestamp) -> Vec<Holds> {
    let one = |one: &Certificate| {
        let days = (one.ends_s - now.as_second()).div_euclid(86_400);
        let tag = match days {
            i64::MIN..0 => Tag::of("Has ended", "red"),
            0..VERY_SOON_DAYS => Tag::of("Ends very soon", "red"),
            VERY_SOON_DAYS..SOON_DAYS => Tag::of("Ends soon", "orange"),
            _ => Tag::of("Holds", "green"),
        };
        Holds {
            what: one.what.clone(),
            until: Timestamp::from_second(one.ends_s).map(moment).unwrap_or_default(),
            left: if days < 0 { "none".to_owned() } else { super::words::counted(days.unsigned_abs(), "day") },
            tag,
        }
    };
    certificates.iter().map(one).collect()
}

// === impl Buckets ===

impl Buckets {
    fn read(text: &str, name: &str, label: &str) -> Self {
        let mut all: Vec<(f64, u64)> = Vec::new();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix("_bucket{")) else { continue };
            let Some((labels, value)) = rest.rsplit_once("} ") else { continue };
            if !labels.contains(label) {
                continue;
            }
            let bound = labels.split_once("le=\"").and_then(|(_, rest)| rest.split_once('"'));
            let bound =
                bound.and_then(|(bound, _)| if bound == "+Inf" { Some(f64::INFINITY) } else { bound.parse().ok() });
            let (Some(bound), Ok(count)) = (bound, value.parse::<u64>()) else { continue };
            match all.iter_mut().find(|one| one.0 == bound) {
                Some(one) => one.1 += count,
                None => all.push((bound, count)),
            }
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self(all)
    }

    /// What came since another look.
    fn since(&self, before: &Self) -> Self {
        let was = |bound: f64| before.0.iter().find(|one| one.0 == bound).map_or(0, |one| one.1);
        Self(self.0.iter().map(|(bound, count)| (*bound, count.saturating_sub(was(*bound)))).collect())
    }

    fn count(&self) -> u64 {
        self.0.last().map_or(0, |one| one.1)
    }

    /// How many seconds so large a part of them took at most, as if those of one bucket lay evenly in it; beyond the last bound, that.
    fn quantile(&self, of: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = of * count as f64;
        let (mut below, mut lower) = (0u64, 0.0);
        for (bound, upto) in &self.0 {
            if *upto as f64 >= wanted {
                if bound.is_infinite() {
                    return Some(lower);
                }
                let part = (wanted - below as f64) / (upto - below).max(1) as f64;
                return Some(lower + (bound - lower) * part.clamp(0.0, 1.0));
            }
            (below, lower) = (*upto, *bound);
        }
        Some(lower)
    }
}

/// Seconds in words, as roughly as they are known.
fn spoken(seconds: f64) -> String {
    match seconds {
        s if s < 0.95 => format!("{:.0} ms", (s * 1000.0).max(1.0)),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(n: u64) -> String {
        format!(
            "onward_lane_seconds_bucket{{lane=\"delivery\",le=\"0.1\"}} {}\n\
             onward_lane_seconds_bucket{{lane=\"delivery\",le=\"1\"}} {}\n\
             onward_lane_seconds_bucket{{lane=\"delivery\",le=\"+Inf\"}} {}\n\
             onward_lane_seconds_sum{{lane=\"delivery\"}} 3.5\n\
             onward_lane_seconds_bucket{{lane=\"write-back\",le=\"0.1\"}} 7\n\
             onward_intake_seconds_bucket{{le=\"0.1\"}} 1\nonward_intake_seconds_bucket{{le=\"+Inf\"}} {}\n",
            5 * n,
            9 * n,
            10 * n,
            n
        )
    }

    #[test]
    fn what_took_how_long_between_two_looks() {
        let told = took(&timed(&text(1)), &timed(&text(3)));
        assert_eq!((told[1].count, told[1].half.as_str(), told[1].most.as_str()), (20, "100 ms", "1.0 s"));
        assert_eq!((told[2].count, told[2].half.as_str()), (0, ""), "nothing came since");
        assert_eq!(told[0].count, 2);
        assert!(took(&timed(""), &timed("")).iter().all(|took| took.count == 0));
    }

    #[test]
    fn a_part_is_reckoned_within_its_bucket() {
        let buckets = Buckets(vec![(0.1, 0), (0.2, 10), (1.0, 20), (f64::INFINITY, 20)]);
        assert!((buckets.quantile(0.25).unwrap() - 0.15).abs() < 1e-9);
        assert!((buckets.quantile(0.75).unwrap() - 0.6).abs() < 1e-9);
        assert_eq!(Buckets::default().quantile(0.5), None);
        for (seconds, words) in [(0.0, "1 ms"), (0.5, "500 ms"), (0.99, "1.0 s"), (90.0, "2 min"), (7200.0, "2 h")] {
            assert_eq!(spoken(seconds), words);
        }
    }

    #[test]
    fn certificates_are_told_with_their_days_the_first_to_end_first() {
        let now = Timestamp::from_second(1_780_000_000).unwrap();
        let at = |days: i64| now.as_second() + days * 86_400;
        let text = format!(
            "onward_certificate_expires_timestamp_seconds{{listener=\"0.0.0.0:8443\"}} {}\n\
             onward_certificate_expires_timestamp_seconds{{endpoint=\"inbox mind\"}} {}\n\
             onward_certificate_expires_timestamp_seconds{{endpoint=\"system rio\"}} {}\n\
             onward_certificate_expires_timestamp_seconds{{authorities=\"clients at 0.0.0.0:8443\"}} {}\n",
            at(90),
            at(5),
            at(-1),
            at(30)
        );
        let told = holds(&certificates(&text), now);
        let told: Vec<(&str, &str, &str)> =
            told.iter().map(|one| (one.what.as_str(), one.left.as_str(), one.tag.words)).collect();
        assert_eq!(
            told,
            [
                ("Shown to the system rio", "none", "Has ended"),
                ("Shown to the inbox mind", "5 days", "Ends very soon"),
                ("An authority, for clients at 0.0.0.0:8443", "30 days", "Holds"),
                ("Shown at 0.0.0.0:8443", "90 days", "Holds"),
            ]
        );
    }
}
