//! Where people live, as a rule may ask: postcodes, census areas (LSOA), polygons and circles, and named sets of these.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Serialize, Serializer};

use super::Area;

/// A place on the earth, in millionths of a degree (WGS 84, as R4's geolocation extension has it): exact, so that it compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Point {
    /// North of the equator.
    pub latitude: i32,
    /// East of Greenwich.
    pub longitude: i32,
}

/// The mean radius of the earth in metres.
const EARTH_METRES: f64 = 6_371_008.8;
const MILLIONTHS: f64 = 1_000_000.0;

/// A piece of an area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// A postcode area or an outward code.
    Postcode(Area),
    /// All census areas (ONS LSOA codes) that begin so, in capitals.
    Lsoa(String),
    /// Inside these corners; the last is joined to the first.
    Polygon(Vec<Point>),
    /// Not farther from a centre than so many metres.
    Circle(Point, u32),
}

/// An area that a route set gives a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedArea {
    /// Its name.
    pub name: String,
    /// A person lives there who lives in any of them. Never empty.
    pub pieces: Vec<Piece>,
}

/// Where a rule wants a person to live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AreaWanted {
    /// There.
    Piece(Piece),
    /// In an area of this set.
    Named(Arc<NamedArea>),
}

/// Where a person lives, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Homes {
    /// Outward codes, in capitals.
    pub outward_codes: BTreeSet<String>,
    /// LSOA codes, in capitals.
    pub lsoas: BTreeSet<String>,
    /// Points.
    pub points: BTreeSet<Point>,
}

/// The beginning of an LSOA code: a letter of the nation (E, W, S, N, or 9 for Northern Ireland's data zones is none), then digits.
pub(super) fn lsoa(text: &str) -> Option<String> {
    let tidy = text.trim().to_ascii_uppercase();
    let (nation, digits) = tidy.split_at_checked(1)?;
    let fits = matches!(nation, "E" | "W" | "S" | "N") && digits.len() <= 8 && digits.len() >= 2;
    (fits && digits.bytes().all(|b| b.is_ascii_digit())).then_some(tidy)
}

// === impl Point ===

impl Point {
    /// From degrees; none where that is no place.
    pub fn of_degrees(latitude: f64, longitude: f64) -> Option<Self> {
        let millionths = |degrees: f64, most: f64| {
            // within the bounds it fits
            (degrees.is_finite() && degrees.abs() <= most).then(|| (degrees * MILLIONTHS).round() as i32)
        };
        Some(Self { latitude: millionths(latitude, 90.0)?, longitude: millionths(longitude, 180.0)? })
    }

    /// How far it is to another along the surface, in metres (haversine).
    pub fn metres_to(self, other: Self) -> f64 {
        let radians = |millionths: i32| (f64::from(millionths) / MILLIONTHS).to_radians();
        let (a, b) = (radians(self.latitude), radians(other.latitude));
        let north = (b - a) / 2.0;
        let east = (radians(other.longitude) - radians(self.longitude)) / 2.0;
        let h = north.sin().powi(2) + a.cos() * b.cos() * east.sin().powi(2);
        2.0 * EARTH_METRES * h.sqrt().min(1.0).asin()
    }

    /// Whether it lies inside these corners or on their line. Even-odd rule, in whole numbers, so that nothing is rounded.
    pub fn is_inside(self, corners: &[Self]) -> bool {
        let edges = corners.iter().zip(corners.iter().cycle().skip(1));
        let mut inside = false;
        for (a, b) in edges {
            let (ax, ay) = (i64::from(a.longitude), i64::from(a.latitude));
            let (bx, by) = (i64::from(b.longitude), i64::from(b.latitude));
            let (x, y) = (i64::from(self.longitude), i64::from(self.latitude));
            let turn = (bx - ax) * (y - ay) - (by - ay) * (x - ax);
            let between = x >= ax.min(bx) && x <= ax.max(bx) && y >= ay.min(by) && y <= ay.max(by);
            if turn == 0 && between {
                return true;
            }
            if (ay > y) != (by > y) && ((turn > 0) == (by > ay)) {
                inside = !inside;
            }
        }
        inside
    }
}

// === impl Piece ===

impl Piece {
    /// Whether a person who lives so lives in it.
    pub fn holds(&self, homes: &Homes) -> bool {
        match self {
            Self::Postcode(area) => homes.outward_codes.iter().any(|code| area.holds(code)),
            Self::Lsoa(begins) => homes.lsoas.iter().any(|code| code.starts_with(begins.as_str())),
            Self::Polygon(corners) => homes.points.iter().any(|point| point.is_inside(corners)),
            Self::Circle(centre, metres) => {
                homes.points.iter().any(|point| point.metres_to(*centre) <= f64::from(*metres))
            }
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postcode(area) => area.fmt(f),
            Self::Lsoa(begins) => write!(f, "lsoa:{begins}"),
            Self::Polygon(corners) => write!(f, "a polygon of {} corners", corners.len()),
            Self::Circle(centre, metres) => write!(f, "{metres} m around {centre}"),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let degrees = |millionths: i32| f64::from(millionths) / MILLIONTHS;
        write!(f, "{}, {}", degrees(self.latitude), degrees(self.longitude))
    }
}

// === impl AreaWanted ===

impl AreaWanted {
    /// Whether a person who lives so lives there.
    pub fn holds(&self, homes: &Homes) -> bool {
        self.pieces().iter().any(|piece| piece.holds(homes))
    }

    /// What it consists of.
    pub fn pieces(&self) -> &[Piece] {
        match self {
            Self::Piece(piece) => std::slice::from_ref(piece),
            Self::Named(area) => &area.pieces,
        }
    }
}

impl fmt::Display for AreaWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Piece(piece) => piece.fmt(f),
            Self::Named(area) => write!(f, "in:{}", area.name),
        }
    }
}

impl Serialize for AreaWanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl Homes ===

impl Homes {
    /// Whether nothing is known of where the person lives.
    pub fn is_empty(&self) -> bool {
        self.outward_codes.is_empty() && self.lsoas.is_empty() && self.points.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Point {
        Point::of_degrees(latitude, longitude).unwrap()
    }

    #[test]
    fn a_point_is_inside_on_the_line_or_outside() {
        // an L, so that the even-odd rule is asked
        let corners = [(0.0, 0.0), (0.0, 2.0), (1.0, 2.0), (1.0, 1.0), (2.0, 1.0), (2.0, 0.0)].map(|(a, b)| at(a, b));
        for (latitude, longitude, inside) in [
            (0.5, 0.5, true),
            (0.5, 1.5, true),
            (1.5, 0.5, true),
            (1.5, 1.5, false),
            (1.0, 1.5, true),
            (0.0, 0.0, true),
            (2.0, 0.5, true),
            (-0.000_001, 0.5, false),
            (1.0, 2.000_001, false),
            (1.0, 3.0, false),
            (1.0, -1.0, false),
        ] {
            assert_eq!(at(latitude, longitude).is_inside(&corners), inside, "{latitude} {longitude}");
            let mut other_way = corners;
            other_way.reverse();
            assert_eq!(at(latitude, longitude).is_inside(&other_way), inside, "{latitude} {longitude} reversed");
        }
        assert!(!at(0.0, 1.0).is_inside(&[]));
    }

    #[test]
    fn distances_are_those_of_the_earth() {
        // one degree along a meridian
        assert!((at(53.0, -3.0).metres_to(at(54.0, -3.0)) - 111_195.0).abs() < 1.0);
        // a degree of longitude is shorter by the cosine of the latitude
        assert!((at(60.0, 0.0).metres_to(at(60.0, 1.0)) / at(0.0, 0.0).metres_to(at(0.0, 1.0)) - 0.5).abs() < 0.001);
        let circle = Piece::Circle(at(53.4, -2.99), 1_000);
        let homes = |point| Homes { points: [point].into(), ..Homes::default() };
        assert!(circle.holds(&homes(at(53.408_9, -2.99))) && !circle.holds(&homes(at(53.409_1, -2.99))));
        assert!(!circle.holds(&Homes::default()));
    }

    #[test]
    fn what_is_no_place_and_no_lsoa() {
        for (latitude, longitude) in [(90.1, 0.0), (0.0, -180.1), (f64::NAN, 0.0)] {
            assert_eq!(Point::of_degrees(latitude, longitude), None);
        }
        assert_eq!(lsoa(" e01006512 ").as_deref(), Some("E01006512"));
        assert_eq!(lsoa("E01").as_deref(), Some("E01"));
        for bad in ["", "E", "E0", "L01006512", "E010065123", "E01A"] {
            assert_eq!(lsoa(bad), None, "{bad}");
        }
        let homes = Homes { lsoas: ["E01006512".to_owned()].into(), ..Homes::default() };
        for (begins, holds) in [("E01006512", true), ("E010065", true), ("E01006513", false), ("W01", false)] {
            assert_eq!(Piece::Lsoa(begins.to_owned()).holds(&homes), holds, "{begins}");
        }
    }
}
