//! When one shape certainly lies in another, and when two certainly have a place in common.

use crate::{domain::Point, routing::Piece};

/// What rounding may make of a distance on the earth, and more.
const DOUBT_METRES: f64 = 0.01;

/// Whether everybody who lives in the one certainly lives in the other. Where that is not certain, no.
pub(super) fn lies_in(inner: &Piece, outer: &Piece) -> bool {
    match (inner, outer) {
        _ if inner == outer => true,
        (Piece::Circle(a, near), Piece::Circle(b, far)) if a == b => near <= far,
        (Piece::Circle(a, near), Piece::Circle(b, far)) => {
            a.metres_to(*b) + f64::from(*near) + DOUBT_METRES <= f64::from(*far)
        }
        _ => false,
    }
}

/// Whether there is certainly a place in both. Shapes that only touch have none.
pub(super) fn meet(a: &Piece, b: &Piece) -> bool {
    match (a, b) {
        _ if a == b => true,
        (Piece::Circle(one, near), Piece::Circle(other, far)) => {
            one.metres_to(*other) + DOUBT_METRES < f64::from(*near) + f64::from(*far)
        }
        (Piece::Circle(centre, metres), Piece::Polygon(corners))
        | (Piece::Polygon(corners), Piece::Circle(centre, metres)) => {
            centre.is_inside(corners)
                || edges(corners)
                    .any(|(a, b)| nearest(*centre, a, b).metres_to(*centre) + DOUBT_METRES < f64::from(*metres))
        }
        (Piece::Polygon(one), Piece::Polygon(other)) => polygons_meet(one, other),
        _ => false,
    }
}

fn edges(corners: &[Point]) -> impl Iterator<Item = (Point, Point)> + Clone + '_ {
    corners.iter().copied().zip(corners.iter().copied().cycle().skip(1))
}

fn polygons_meet(one: &[Point], other: &[Point]) -> bool {
    let inside = |points: &[Point], of: &[Point]| {
        let middles = edges(points).map(|(a, b)| Point {
            latitude: middle(a.latitude, b.latitude),
            longitude: middle(a.longitude, b.longitude),
        });
        points.iter().copied().chain(middles).any(|point| is_well_inside(point, of))
    };
    inside(one, other) || inside(other, one) || edges(one).any(|(a, b)| edges(other).any(|(c, d)| cross(a, b, c, d)))
}

/// Inside, with all that lies around: neighbours share their border, and that is no place of both.
fn is_well_inside(point: Point, corners: &[Point]) -> bool {
    // some eleven metres
    const STEP: i32 = 100;
    [(0, 0), (STEP, 0), (-STEP, 0), (0, STEP), (0, -STEP)].iter().all(|(north, east)| {
        let moved = Point { latitude: point.latitude + north, longitude: point.longitude + east };
        moved.is_inside(corners)
    })
}

/// Whether two lines cross, each having an end on either side of the other.
fn cross(a: Point, b: Point, c: Point, d: Point) -> bool {
    let opposite = |one: i64, other: i64| (one > 0 && other < 0) || (one < 0 && other > 0);
    opposite(turn(a, b, c), turn(a, b, d)) && opposite(turn(c, d, a), turn(c, d, b))
}

fn turn(a: Point, b: Point, of: Point) -> i64 {
    let (ax, ay) = (i64::from(a.longitude), i64::from(a.latitude));
    let (bx, by) = (i64::from(b.longitude), i64::from(b.latitude));
    (bx - ax) * (i64::from(of.latitude) - ay) - (by - ay) * (i64::from(of.longitude) - ax)
}

fn middle(a: i32, b: i32) -> i32 {
    a + (b - a) / 2
}

/// The place on a line that is nearest to a point, as on a map that is true there.
fn nearest(to: Point, a: Point, b: Point) -> Point {
    let narrow = (f64::from(to.latitude) / 1_000_000.0).to_radians().cos();
    let flat =
        |point: Point| (f64::from(point.longitude - to.longitude) * narrow, f64::from(point.latitude - to.latitude));
    let ((ax, ay), (bx, by)) = (flat(a), flat(b));
    let (x, y) = (bx - ax, by - ay);
    let length = x * x + y * y;
    let along = if length == 0.0 { 0.0 } else { (-(ax * x + ay * y) / length).clamp(0.0, 1.0) };
    let between = |from: i32, until: i32| from + (f64::from(until - from) * along).round() as i32;
    Point { latitude: between(a.latitude, b.latitude), longitude: between(a.longitude, b.longitude) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Point {
        Point::of_degrees(latitude, longitude).unwrap()
    }

    fn square(south: f64, west: f64, side: f64) -> Piece {
        let corners = [(0.0, 0.0), (0.0, side), (side, side), (side, 0.0)];
        Piece::Polygon(corners.map(|(north, east)| at(south + north, west + east)).to_vec())
    }

    fn circle(latitude: f64, longitude: f64, metres: u32) -> Piece {
        Piece::Circle(at(latitude, longitude), metres)
    }

    #[test]
    fn a_shape_lies_in_another_where_that_is_certain() {
        let town = circle(53.4, -3.0, 5_000);
        assert!(lies_in(&town, &town) && lies_in(&circle(53.4, -3.0, 4_999), &town));
        assert!(!lies_in(&circle(53.4, -3.0, 5_001), &town));
        // a hundredth of a degree north are 1,112 metres
        assert!(lies_in(&circle(53.41, -3.0, 3_880), &town) && !lies_in(&circle(53.41, -3.0, 3_890), &town));
        let field = square(53.0, -3.0, 1.0);
        assert!(lies_in(&field, &field) && !lies_in(&square(53.1, -2.9, 0.1), &field));
    }

    #[test]
    fn neighbours_that_share_a_border_do_not_meet() {
        let field = square(53.0, -3.0, 0.1);
        for (other, expected) in [
            (square(53.0, -2.9, 0.1), false),
            (square(53.05, -2.9, 0.1), false),
            (square(53.1, -3.0, 0.1), false),
            (square(54.0, -3.0, 0.1), false),
            (square(53.05, -2.95, 0.1), true),
            (square(53.02, -2.98, 0.01), true),
            (square(52.9, -3.1, 1.0), true),
            (square(53.0, -3.0, 0.1), true),
            (circle(53.05, -2.95, 10), true),
            (circle(53.05, -2.89, 500), false),
            (circle(53.05, -2.89, 700), true),
            (circle(54.0, -2.95, 700), false),
        ] {
            assert_eq!((meet(&field, &other), meet(&other, &field)), (expected, expected), "{other:?}");
        }
        // a cross of two bars: no corner of one lies in the other
        let bar = |south: f64, west: f64, north: f64, east: f64| {
            Piece::Polygon(vec![at(south, west), at(south, east), at(north, east), at(north, west)])
        };
        assert!(meet(&bar(53.04, -3.1, 53.06, -2.6), &bar(52.9, -2.96, 53.4, -2.94)));
        assert!(meet(&circle(53.4, -3.0, 600), &circle(53.41, -3.0, 600)));
        assert!(!meet(&circle(53.4, -3.0, 500), &circle(53.41, -3.0, 600)));
    }
}
