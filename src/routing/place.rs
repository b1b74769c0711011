//! Where people live, as a rule may ask: postcodes, census areas (LSOA), polygons and circles, and named sets of these.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Serialize, Serializer};

use crate::{domain::Point, places::Area};

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
    fn a_circle_holds_what_is_not_farther_than_it_says() {
        let circle = Piece::Circle(at(53.4, -2.99), 1_000);
        let homes = |point| Homes { points: [point].into(), ..Homes::default() };
        assert!(circle.holds(&homes(at(53.408_9, -2.99))) && !circle.holds(&homes(at(53.409_1, -2.99))));
        assert!(!circle.holds(&Homes::default()));
    }

    #[test]
    fn an_lsoa_holds_what_begins_like_it() {
        let homes = Homes { lsoas: ["E01006512".to_owned()].into(), ..Homes::default() };
        for (begins, holds) in [("E01006512", true), ("E010065", true), ("E01006513", false), ("W01", false)] {
            assert_eq!(Piece::Lsoa(begins.to_owned()).holds(&homes), holds, "{begins}");
        }
    }
}
