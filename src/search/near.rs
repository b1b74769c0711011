//! What is near: R4's special parameter `near` of Location, the same asked of what a HealthcareService's locations are, and
//! `near-postcode` for those who have a postcode and no coordinates.

use super::read::{Refused, Taken, split, unescaped, unknown, wrong};
use crate::domain::Point;

/// Farther than this nothing is looked for: half of the way round the earth.
const METRES_MAX: f64 = 20_037_508.0;
/// How far where nothing is said (R4 leaves it to the server).
const METRES_DEFAULT: f64 = 10_000.0;

/// Where something must be, and how far from there it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// The middle.
    pub around: Around,
    /// So many metres, as the crow flies.
    pub metres: f64,
}

/// The middle of what is near.
#[derive(Debug, Clone, PartialEq)]
pub enum Around {
    /// A point.
    Point(Point),
    /// A postcode or an outward code, as it was written: where it lies is for the caller to find out.
    Postcode(String),
}

/// A parameter that asks for what is near.
#[derive(Debug)]
pub struct NearParameter {
    /// The type that it finds.
    pub of: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What defines it.
    pub url: &'static str,
    /// What it finds, in words.
    pub told: &'static str,
}

/// All of them; each stands by itself, without modifiers, once in a search.
pub const NEAR: &[NearParameter] = &[
    NearParameter {
        of: "Location",
        name: "near",
        url: "http://hl7.org/fhir/SearchParameter/Location-near",
        told: "[latitude]|[longitude]|[distance]|[units]: the nearest first. Without a distance 10 km; units (UCUM) km, m, [mi_i] or [mi_us], km where none is said.",
    },
    NearParameter {
        of: "Location",
        name: "near-postcode",
        url: "https://onward.example/fhir/SearchParameter/Location-near-postcode",
        told: "[postcode or outward code]|[distance]|[units]: the same around where that lies.",
    },
    NearParameter {
        of: "HealthcareService",
        name: "near",
        url: "https://onward.example/fhir/SearchParameter/HealthcareService-near",
        told: "As of Location, for any of its locations; location.near is the same.",
    },
    NearParameter {
        of: "HealthcareService",
        name: "near-postcode",
        url: "https://onward.example/fhir/SearchParameter/HealthcareService-near-postcode",
        told: "As of Location, for any of its locations; location.near-postcode is the same.",
    },
];

/// What a search of this type asks to be near; none where the parameter asks for something else.
pub(super) fn read(of: &str, name: &str, value: &str) -> Option<Taken<Near>> {
    let own = match of {
        "HealthcareService" => {
            let chained = name.strip_prefix("location.").or_else(|| name.strip_prefix("location:Location."));
            chained.unwrap_or(name)
        }
        "Location" => name,
        _ => return None,
    };
    let (code, modifier) = own.split_once(':').map_or((own, None), |(code, modifier)| (code, Some(modifier)));
    let by_postcode = match code {
        "near" => false,
        "near-postcode" => true,
        _ => return None,
    };
    if modifier.is_some() {
        return Some(Err(unknown(name, "what is near has no modifiers")));
    }
    Some(if by_postcode { around_postcode(name, value) } else { around_point(name, value) })
}

fn around_point(name: &str, value: &str) -> Taken<Near> {
    let told = "use [latitude]|[longitude]|[distance]|[units], in degrees of WGS 84, such as 53.4|-2.98|5|km; units are km, m, [mi_i] \
                or [mi_us]";
    let mut parts = split(value, '|').map(str::trim);
    let mut degrees = || parts.next().and_then(|text| text.parse::<f64>().ok());
    let point = match (degrees(), degrees()) {
        (Some(latitude), Some(longitude)) => Point::of_degrees(latitude, longitude),
        _ => None,
    };
    let around = Around::Point(point.ok_or_else(|| wrong(name, told))?);
    Ok(Near { around, metres: metres(parts).ok_or_else(|| wrong(name, told))? })
}

fn around_postcode(name: &str, value: &str) -> Taken<Near> {
    let told = "use [postcode or outward code]|[distance]|[units], such as L8|5|km; units are km, m, [mi_i] or [mi_us]";
    let mut parts = split(value, '|').map(str::trim);
    let postcode = parts.next().map(unescaped).unwrap_or_default();
    let is_one = (2..=8).contains(&postcode.len()) && postcode.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ');
    if !is_one {
        return Err(wrong(name, told));
    }
    Ok(Near { around: Around::Postcode(postcode), metres: metres(parts).ok_or_else(|| wrong(name, told))? })
}

/// A distance and its unit (UCUM), where they are said.
fn metres<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<f64> {
    let Some(distance) = parts.next().filter(|text| !text.is_empty()) else {
        return parts.all(str::is_empty).then_some(METRES_DEFAULT);
    };
    let unit = match parts.next().unwrap_or_default() {
        "" | "km" => 1_000.0,
        "m" => 1.0,
        "[mi_i]" => 1_609.344,
        // 5,280 feet of 1200/3937 m
        "[mi_us]" => 5_280.0 * 1_200.0 / 3_937.0,
        _ => return None,
    };
    let metres = distance.parse::<f64>().ok()? * unit;
    (parts.next().is_none() && metres >= 0.0 && metres.is_finite()).then(|| metres.min(METRES_MAX))
}

/// Where several are asked for, the second is refused: a place is near one or the other, and which is meant cannot be told.
pub(super) fn twice(name: &str) -> Refused {
    wrong(name, "ask for what is near one place")
}

#[cfg(test)]
mod tests {
    use super::{super::Search, *};

    fn asked(of: &str, name: &str, value: &str) -> Option<Near> {
        let read = Search::read(of, &[(name.to_owned(), value.to_owned())], "https://onward.example/fhir", false);
        read.ok().and_then(|search| search.near)
    }

    #[test]
    fn near_is_read_as_r4_writes_it() {
        let at = |latitude, longitude, metres| {
            Some(Near { around: Around::Point(Point::of_degrees(latitude, longitude).unwrap()), metres })
        };
        for (value, expected) in [
            ("53.4|-2.98|5|km", at(53.4, -2.98, 5_000.0)),
            ("53.4|-2.98|5", at(53.4, -2.98, 5_000.0)),
            ("53.4|-2.98", at(53.4, -2.98, METRES_DEFAULT)),
            ("53.4|-2.98||", at(53.4, -2.98, METRES_DEFAULT)),
            ("-83.694810|42.256500|11.20|m", at(-83.694_81, 42.256_5, 11.2)),
            ("53.4|-2.98|2|[mi_i]", at(53.4, -2.98, 3_218.688)),
            ("53.4|-2.98|3937|[mi_us]", at(53.4, -2.98, 6_336_000.0)),
            ("53.4|-2.98|1e9|km", at(53.4, -2.98, METRES_MAX)),
            ("53.4|-2.98|0|km", at(53.4, -2.98, 0.0)),
        ] {
            assert_eq!(asked("Location", "near", value), expected, "{value}");
            assert_eq!(asked("HealthcareService", "near", value), expected, "{value}");
            assert_eq!(asked("HealthcareService", "location.near", value), expected, "{value}");
        }
        for wrong in [
            "",
            "53.4",
            "91|0",
            "0|181",
            "a|b",
            "53|-3|-1|km",
            "53|-3|x|km",
            "53|-3|5|miles",
            "53|-3|5|mi",
            "53|-3|5|KM",
            "53|-3|5|km|x",
            "NaN|0",
            "53|-3|inf|km",
            "53|-3||km",
        ] {
            assert_eq!(asked("Location", "near", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn near_a_postcode_is_read_whole_or_outward() {
        let around = |written: &str, metres| Some(Near { around: Around::Postcode(written.to_owned()), metres });
        for (value, expected) in [
            ("L8|5|km", around("L8", 5_000.0)),
            ("L8 9ZZ", around("L8 9ZZ", METRES_DEFAULT)),
            ("ch417zz|800|m", around("ch417zz", 800.0)),
            ("L", None),
            ("L8-9ZZ", None),
            ("L8 9ZZ L8 9ZZ", None),
            ("|5|km", None),
        ] {
            assert_eq!(asked("Location", "near-postcode", value), expected, "{value}");
            assert_eq!(asked("HealthcareService", "location:Location.near-postcode", value), expected, "{value}");
        }
    }

    #[test]
    fn near_stands_once_without_modifiers_and_where_places_are() {
        let read = |of: &str, pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            Search::read(of, &pairs, "https://onward.example/fhir", false).map(|search| search.near.is_some())
        };
        let near = ("near", "53|-3");
        assert_eq!(read("Location", &[near, ("name", "hub")]).ok(), Some(true));
        assert_eq!(read("Location", &[("name", "hub")]).ok(), Some(false));
        for refused in [
            read("Location", &[near, near]),
            read("Location", &[near, ("near-postcode", "L8")]),
            read("Location", &[("near:missing", "true")]),
            read("Organization", &[near]),
            read("Organization", &[("location.near", "53|-3")]),
        ] {
            assert!(refused.is_err());
        }
        for parameter in NEAR {
            let value = if parameter.name == "near" { "53|-3" } else { "L8" };
            assert!(asked(parameter.of, parameter.name, value).is_some(), "{}", parameter.name);
        }
    }
}
