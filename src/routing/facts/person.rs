//! What a referral says of the person: where they live, what they speak, what they have said to being referred.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{list, text};
use crate::{
    domain::Point,
    fhir::{
        consent::{self, Said},
        datetime::is_current,
    },
    places::{Places, lsoa, outward_of},
    routing::{person::Consented, place::Homes},
};

/// R4's own extensions of an address: the point, and the census tract, which in England is the LSOA.
const GEOLOCATION: &str = "http://hl7.org/fhir/StructureDefinition/geolocation";
const CENSUS_TRACT: &str = "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-censusTract";

/// Where the person lives: home addresses, else those without a use, else temporary ones. Old ones do not count, nor
/// those that had ended, or not begun, when the referral was written; without that day, an end means ended.
pub(super) fn homes(patient: &Value, written_on: Option<&str>, places: &Places) -> Homes {
    let current: Vec<&Value> =
        list(&patient["address"]).iter().filter(|one| is_current(&one["period"], written_on)).collect();
    for wanted in [Some("home"), None, Some("temp")] {
        let mut homes = Homes::default();
        current.iter().filter(|address| text(&address["use"]) == wanted).for_each(|one| add(&mut homes, one, places));
        if !homes.is_empty() {
            return homes;
        }
    }
    Homes::default()
}

fn add(homes: &mut Homes, address: &Value, places: &Places) {
    let postcode = text(&address["postalCode"]);
    homes.outward_codes.extend(postcode.and_then(outward_of));
    let known = postcode.and_then(|postcode| places.find(postcode));
    let said = extension(address, CENSUS_TRACT).and_then(|tract| lsoa(text(&tract["valueString"])?));
    homes
        .lsoas
        .extend(said.filter(|code| code.len() == 9).or_else(|| known.as_ref().and_then(|place| place.lsoa.clone())));
    let point = extension(address, GEOLOCATION).and_then(|point| {
        let degrees = |of: &str| extension(point, of)?["valueDecimal"].as_f64();
        Point::of_degrees(degrees("latitude")?, degrees("longitude")?)
    });
    homes.points.extend(point.or_else(|| known.and_then(|place| place.point)));
}

fn extension<'a>(of: &'a Value, url: &str) -> Option<&'a Value> {
    list(&of["extension"]).iter().find(|one| text(&one["url"]) == Some(url))
}

/// The languages that the person speaks; only those that are preferred, where any is.
pub(super) fn languages(patient: &Value) -> BTreeSet<String> {
    let spoken = list(&patient["communication"]);
    let preferred = |one: &&Value| one["preferred"].as_bool() == Some(true);
    let any_preferred = spoken.iter().any(|one| preferred(&one));
    let counted = spoken.iter().filter(|one| !any_preferred || preferred(one));
    let codings = counted.flat_map(|one| list(&one["language"]["coding"]));
    codings.filter_map(|coding| text(&coding["code"])).map(str::to_owned).collect()
}

/// What these Consents say together on a day. One that is not in force says nothing, but for one that the person rejected.
pub(super) fn consented(consents: &[&Value], today: &str) -> Consented {
    let said = consents.iter().filter_map(|consent| match consent::said(consent, today) {
        Said::Refused => Some(Consented::Refused),
        Said::Given => Some(Consented::Given),
        Said::OutOfForce | Said::NotYet | Said::Unclear => None,
    });
    // whoever says no once is not overruled by another paper
    said.max().unwrap_or(Consented::Absent)
}
