//! Charts that the server draws: lines over the last minutes, as SVG. What stands beside them says the same in words.

use std::fmt::Write as _;

/// The drawing is so wide and high, in its own units; the browser fits it in.
pub(super) const WIDTH: u32 = 600;
/// See [`WIDTH`].
pub(super) const HEIGHT: u32 = 120;
/// Room above the highest point, so that no line is cut.
const MARGIN: f64 = 4.0;

/// A chart.
#[derive(Debug, PartialEq)]
pub(super) struct Chart {
    /// What it shows, in words, for those who do not see it.
    pub says: String,
    /// Its lines.
    pub lines: Vec<Drawn>,
    /// The value of its upper edge.
    pub top: u64,
}

/// One line of it.
#[derive(Debug, PartialEq)]
pub(super) struct Drawn {
    /// What it stands for.
    pub name: &'static str,
    /// How it is drawn: a number of a style, told apart by dashes as well as by colour.
    pub style: usize,
    /// Its points, as SVG has them.
    pub points: String,
}

/// Draws lines of as many values each, from left to right; all by one measure that begins at nothing.
pub(super) fn drawn(says: String, series: &[(&'static str, Vec<u64>)]) -> Chart {
    let highest = series.iter().flat_map(|(_, values)| values).copied().max().unwrap_or_default();
    let top = round(highest);
    let line = |(style, (name, values)): (usize, &(&'static str, Vec<u64>))| Drawn {
        name,
        style,
        points: points(values, top),
    };
    Chart { says, lines: series.iter().enumerate().map(line).collect(), top }
}

/// The next number that is easily read: 1, 2 or 5 with noughts.
fn round(highest: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let top = unit.saturating_mul(step);
            if top >= highest {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

fn points(values: &[u64], top: u64) -> String {
    let (width, height) = (f64::from(WIDTH), f64::from(HEIGHT));
    // one value alone is a line of its own
    let values = if let [one] = values { &[*one, *one] } else { values };
    let apart = width / (values.len().saturating_sub(1).max(1)) as f64;
    let mut text = String::new();
    for (n, value) in values.iter().enumerate() {
        let y = height - MARGIN / 2.0 - (height - MARGIN) * (*value as f64 / top.max(1) as f64);
        let _ = write!(text, "{}{:.1},{y:.1}", if n == 0 { "" } else { " " }, apart * n as f64);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_edge_is_easily_read() {
        for (highest, top) in [(0, 1), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (60, 100), (501, 1000)] {
            assert_eq!(round(highest), top, "{highest}");
        }
        assert_eq!(round(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_line_runs_from_left_to_right_within_its_frame() {
        let chart = drawn("x".into(), &[("a", vec![0, 5, 10]), ("b", vec![10, 0, 0])]);
        assert_eq!(chart.top, 10);
        assert_eq!(chart.lines[0].points, "0.0,118.0 300.0,60.0 600.0,2.0");
        assert_eq!(chart.lines[1].points, "0.0,2.0 300.0,118.0 600.0,118.0");
        assert_eq!(drawn(String::new(), &[("a", vec![3])]).lines[0].points, "0.0,48.4 600.0,48.4");
        assert_eq!(drawn(String::new(), &[("a", vec![])]).lines[0].points, "");
    }
}
