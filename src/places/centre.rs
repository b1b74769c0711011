//! About where a postcode lies, and how exactly that is known.

use std::{collections::HashMap, sync::LazyLock};

use super::{Area, postcode::outward_of};
use crate::domain::Point;

/// Outward codes of the North West of England and postcode areas of the whole United Kingdom, with a centre each.
static COARSE: LazyLock<HashMap<&str, Point>> = LazyLock::new(|| {
    let rows = include_str!("outward_codes.csv").lines().skip(1);
    rows.filter_map(|row| {
        let mut fields = row.split(',');
        let code = fields.next()?;
        let mut degrees = || fields.next()?.parse().ok();
        Some((code, Point::of_degrees(degrees()?, degrees()?)?))
    })
    .collect()
});

/// About where something lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Centre {
    /// There, or around there.
    pub point: Point,
    /// How exactly.
    pub precision: Precision,
}

/// How exactly it is known where a postcode lies, the most exact first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// The trust's own table has the postcode.
    Postcode,
    /// It has others of the same outward code: the mean of these.
    OutwardCode,
    /// The table that is compiled in has the outward code: a kilometre or two, more where it is wide.
    CoarseOutwardCode,
    /// It has the postcode area alone: tens of kilometres.
    PostcodeArea,
}

/// The mean of points, as it grows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    latitudes: i64,
    longitudes: i64,
    points: i64,
}

/// What the table that is compiled in says of a postcode, an outward code or a postcode area.
pub(super) fn coarse(postcode: &str) -> Option<Centre> {
    let outward = outward_of(postcode);
    let known = |code: &str, precision| COARSE.get(code).map(|point| Centre { point: *point, precision });
    if let Some(outward) = &outward
        && let Some(centre) = known(outward, Precision::CoarseOutwardCode)
    {
        return Some(centre);
    }
    let area = match &outward {
        Some(outward) => outward.trim_end_matches(|c: char| !c.is_ascii_alphabetic()).to_owned(),
        None => match postcode.parse() {
            Ok(Area::Letters(letters)) => letters,
            _ => return None,
        },
    };
    let letters = area.bytes().take_while(u8::is_ascii_alphabetic).count();
    known(area.get(..letters)?, Precision::PostcodeArea)
}

// === impl Centre ===

impl Centre {
    pub(super) fn exact(point: Point) -> Self {
        Self { point, precision: Precision::Postcode }
    }
}

// === impl Precision ===

impl Precision {
    /// In words for people.
    pub fn told(self) -> &'static str {
        match self {
            Self::Postcode => "the postcode",
            Self::OutwardCode => "the middle of the outward code",
            Self::CoarseOutwardCode => "about the middle of the outward code",
            Self::PostcodeArea => "about the middle of the postcode area",
        }
    }
}

// === impl Mean ===

impl Mean {
    pub(super) fn add(&mut self, point: Point) {
        self.latitudes += i64::from(point.latitude);
        self.longitudes += i64::from(point.longitude);
        self.points += 1;
    }

    pub(super) fn centre(&self) -> Option<Centre> {
        let mean = |sum: i64| i32::try_from(sum.checked_div(self.points)?).ok();
        let point = Point { latitude: mean(self.latitudes)?, longitude: mean(self.longitudes)? };
        Some(Centre { point, precision: Precision::OutwardCode })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Places;

    fn at(latitude: f64, longitude: f64) -> Point {
        Point::of_degrees(latitude, longitude).unwrap()
    }

    fn found(places: &Places, text: &str) -> Option<(Point, Precision)> {
        places.centre(text).map(|centre| (centre.point, centre.precision))
    }

    #[test]
    fn the_trusts_own_table_comes_before_ours() {
        use Precision::{CoarseOutwardCode, OutwardCode, Postcode, PostcodeArea};
        let table = "postcode,lat,long\nL1 9ZZ,53.5,-3.0\nL1 8ZZ,53.6,-3.2\nL15 1ZZ,53.1,-2.1\nL2 9ZZ,99.999999,0\n";
        let own = Places::read(table.as_bytes()).unwrap();
        let none = Places::default();
        assert_eq!(found(&own, "l1 9zz"), Some((at(53.5, -3.0), Postcode)));
        assert_eq!(found(&own, "L1 7ZZ"), Some((at(53.55, -3.1), OutwardCode)), "without L15");
        assert_eq!(found(&own, "L1"), Some((at(53.55, -3.1), OutwardCode)));
        // one of which the table says no place
        assert_eq!(found(&own, "L2 9ZZ"), Some((at(53.41, -2.99), CoarseOutwardCode)));
        assert_eq!(found(&none, "L1 9ZZ"), Some((at(53.40, -2.98), CoarseOutwardCode)));
        assert_eq!(found(&none, "CH41"), Some((at(53.39, -3.03), CoarseOutwardCode)));
        assert_eq!(found(&none, "L99 9ZZ").map(|found| found.1), Some(PostcodeArea));
        assert_eq!(found(&none, "EC1A 1BB"), Some((at(51.5, -0.1), PostcodeArea)));
        assert_eq!(found(&none, "ch"), Some((at(53.28, -3.02), PostcodeArea)));
        for unknown in ["", "Liverpool", "ZZ99 3VZ", "ZZ", "12345", "NFA", "L1 9ZZ 9ZZ"] {
            assert_eq!(found(&none, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_row_of_the_table_is_a_place_in_the_united_kingdom_and_near_its_area() {
        let rows = include_str!("outward_codes.csv").lines().count() - 1;
        assert_eq!(COARSE.len(), rows, "no row is unreadable and no code comes twice");
        assert_eq!(COARSE.keys().filter(|code| code.bytes().all(|b| b.is_ascii_alphabetic())).count(), 124);
        for (code, point) in COARSE.iter() {
            let (latitude, longitude) = (f64::from(point.latitude) / 1e6, f64::from(point.longitude) / 1e6);
            assert!((49.0..61.0).contains(&latitude) && (-8.0..2.0).contains(&longitude), "{code} {point}");
            let letters = code.trim_end_matches(|c: char| c.is_ascii_digit());
            let metres = point.metres_to(COARSE[letters]);
            assert!(metres < 45_000.0, "{code} lies {metres} m from the middle of {letters}");
        }
    }

    #[test]
    fn the_north_west_is_there_by_outward_codes() {
        for (area, first, last) in [
            ("L", 1, 40),
            ("CH", 1, 8),
            ("CH", 41, 49),
            ("CH", 60, 66),
            ("WA", 1, 16),
            ("PR", 1, 9),
            ("WN", 1, 8),
            ("BL", 0, 9),
            ("OL", 1, 16),
            ("SK", 1, 17),
            ("CW", 1, 12),
            ("LA", 1, 23),
            ("BB", 1, 12),
            ("FY", 1, 8),
            ("M", 1, 9),
            ("M", 11, 35),
        ] {
            for n in first..=last {
                assert!(COARSE.contains_key(format!("{area}{n}").as_str()), "{area}{n}");
            }
        }
    }
}
