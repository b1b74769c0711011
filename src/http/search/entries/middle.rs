//! Where it is that something must be near.

use crate::{
    domain::Point,
    fhir::{Issue, IssueCode},
    http::{App, reply::Fault},
    search::{Around, Search},
};

/// From where and how far, in metres; none where nothing must be near anything.
///
/// # Errors
/// 400 where it is a postcode that nobody here knows.
pub(super) fn of(app: &App, search: &Search) -> Result<Option<(Point, f64)>, Fault> {
    let Some(near) = &search.near else { return Ok(None) };
    let point = match &near.around {
        Around::Point(point) => *point,
        Around::Postcode(postcode) => match app.registry.load().places.centre(postcode) {
            Some(centre) => centre.point,
            None => {
                let told = "where this postcode lies is not known here: use its outward code, such as L8, or near";
                let issue = Issue::error(IssueCode::NotFound, "http.near-postcode", told);
                return Err(Fault::invalid(vec![issue]));
            }
        },
    };
    Ok(Some((point, near.metres)))
}
