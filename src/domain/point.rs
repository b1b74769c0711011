//! A place on the earth: how far it is to another, whether it lies inside corners.

use std::fmt;

use serde::Serialize;

/// A place on the earth, in millionths of a degree (WGS 84, as R4's geolocation extension has it): exact, so that it compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Point {
    /// North of the equator.
    pub latitude: i32,
    /// East of Greenwich.
    pub longitude: i32,
}

const MILLIONTHS: f64 = 1_000_000.0;

// === impl Point ===

impl Point {
    /// The mean radius of the earth, which is taken for a sphere.
    pub const EARTH_METRES: f64 = 6_371_008.8;

    /// From degrees; none where that is no place.
    pub fn of_degrees(latitude: f64, longitude: f64) -> Option<Self> {
        let millionths = |degrees: f64, most: f64| {
            // within the bounds it fits
            (degrees.is_finite() && degrees.abs() <= most).then(|| (degrees * MILLIONTHS).round() as i32)
        };
        Some(Self { latitude: millionths(latitude, 90.0)?, longitude: millionths(longitude, 180.0)? })
    }

    /// Latitude and longitude in radians.
    pub fn radians(self) -> (f64, f64) {
        let radians = |millionths: i32| (f64::from(millionths) / MILLIONTHS).to_radians();
        (radians(self.latitude), radians(self.longitude))
    }

    /// How far it is to another along the surface, in metres (haversine).
    pub fn metres_to(self, other: Self) -> f64 {
        let ((a, from), (b, to)) = (self.radians(), other.radians());
        let h = ((b - a) / 2.0).sin().powi(2) + a.cos() * b.cos() * ((to - from) / 2.0).sin().powi(2);
        2.0 * Self::EARTH_METRES * h.sqrt().min(1.0).asin()
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

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let degrees = |millionths: i32| f64::from(millionths) / MILLIONTHS;
        write!(f, "{}, {}", degrees(self.latitude), degrees(self.longitude))
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
    }

    #[test]
    fn what_is_no_place() {
        for (latitude, longitude) in [(90.1, 0.0), (0.0, -180.1), (f64::NAN, 0.0)] {
            assert_eq!(Point::of_degrees(latitude, longitude), None);
        }
    }
}
