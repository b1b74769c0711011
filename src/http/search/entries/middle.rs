//! Where it is that something must be near.

use crate::{
    domain::Point,
    fhir::{Issue, IssueCode},
    http::{App, reply::Fault},
    places::Precision,
    search::{Around, Search},
};

/// From where and how far something may be.
#[derive(Debug)]
pub(super) struct Middle {
    pub point: Point,
    pub metres: f64,
    /// What is to be told of the point, where it is not exactly what was asked for.
    pub told: Option<Issue>,
}

/// None where nothing must be near anything.
///
/// # Errors
/// 400 where it is a postcode that nobody here knows.
pub(super) fn of(app: &App, search: &Search) -> Result<Option<Middle>, Fault> {
    let Some(near) = &search.near else { return Ok(None) };
    let (point, told) = match &near.around {
        Around::Point(point) => (*point, None),
        Around::Postcode(postcode) => match app.registry.load().places.centre(postcode) {
            Some(centre) => (centre.point, roughly(centre.precision)),
            None => {
                let told = "where this postcode lies is not known here: use its outward code, such as L8, or near";
                let issue = Issue::error(IssueCode::NotFound, "http.near-postcode", told);
                return Err(Fault::invalid(vec![issue]));
            }
        },
    };
    Ok(Some(Middle { point, metres: near.metres, told }))
}

/// How far off the middle may be: distances are only as exact as that.
fn roughly(precision: Precision) -> Option<Issue> {
    let told = match precision {
        Precision::Postcode => return None,
        Precision::OutwardCode => {
            "distances are from the middle of the outward code: the postcode itself is not known here"
        }
        Precision::CoarseOutwardCode => {
            "distances are from about the middle of the outward code, a kilometre or two off, or more where it is wide"
        }
        Precision::PostcodeArea => {
            "of this postcode only the area is known here: distances may be tens of kilometres off; near asks by coordinates"
        }
    };
    Some(Issue::information(IssueCode::Incomplete, "http.near-postcode", told))
}
