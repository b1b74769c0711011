//! The door of the pages: who comes, how often, and whether what they send is read at all. Each person who has logged in is counted by
//! herself, whatever others do behind the same address; whoever has not is counted by the address.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Web, assets, form, held, login, page};
use crate::{
    admission::{Kind, Place, Rates, Refusal},
    config::Limits,
    http::{
        Came,
        often::{BURST_S, network},
    },
};

/// A log-in that is begun at an issuer counts for so many pages: each is kept until it is over, and there may be only so many.
const BEGUN_COUNTS: u32 = 10;

/// The forms that are for whoever has not logged in.
pub(super) const OPEN_FORMS: &[&str] = &["/login", "/enrol", "/enrol/device"];
/// What an issuer sends, which has no page of ours.
pub(super) const BACKCHANNEL: &str = "/login/backchannel";
/// Where log-ins at an issuer begin.
pub(super) const BEGIN: &str = "/login/oidc";

/// The cookie of a session that is nobody's counts for so many pages: each is looked up.
const UNKNOWN_COUNTS: u32 = 10;
/// So many of them are looked up at once for addresses from which more comes than may.
const LOOKED_UP_AFTER: usize = 1;

/// How often each may come.
pub struct Door {
    people: Rates<String>,
    addresses: Rates<IpAddr>,
    /// The place of addresses from which too much comes of those who are not known.
    aside: Semaphore,
}

// === impl Door ===

impl Door {
    /// As often as the configuration lets an address of those who are not known: a hand is slower, and so is a page that asks by itself.
    pub fn new(limits: &Limits) -> Self {
        let (burst, every) =
            (limits.address_rate.saturating_mul(BURST_S), Duration::from_secs(1) / limits.address_rate.max(1));
        let aside = Semaphore::new(LOOKED_UP_AFTER);
        Self { people: Rates::new(burst, every), addresses: Rates::new(burst, every), aside }
    }

    /// A place to look up in whose a cookie is, for an address from which too much came that was nobody's; others need none. However many are
    /// made up there, one at a time is looked up, and whoever has logged in behind it gets in all the same.
    async fn aside(&self, came: &Came) -> Option<SemaphorePermit<'_>> {
        self.addresses.wait(&network(came.address?))?;
        // it is never closed
        self.aside.acquire().await.ok()
    }

    /// Counts a request of a person, or of an address.
    fn asks(&self, person: Option<&str>, came: &Came, counts: u32) -> Result<(), Duration> {
        match (person, came.address) {
            (Some(person), _) => self.people.take(person.to_owned(), 1),
            (None, Some(address)) => self.addresses.take(network(address), counts),
            (None, None) => Ok(()),
        }
    }
}

/// Lets a request in, with all of its body and the place that it has until it is answered. What is kept for ever by browsers needs none.
///
/// # Errors
/// The page that says why not.
pub(super) async fn enter(web: &Web, request: Request) -> Result<(Request, Option<Place>), Response> {
    let path = request.uri().path();
    let is_form = *request.method() == Method::POST;
    if path.starts_with(assets::FOLDER) && !is_form {
        return Ok((request, None));
    }
    let came = Came::of(request.extensions());
    let shown = web.session_of(request.headers());
    let visitor = match &shown {
        Some(token) => {
            let _aside = web.door.aside(&came).await;
            web.people.glance(token).await.map_err(|error| login::away(&error.into()))?
        }
        None => None,
    };
    let person = visitor.map(|visitor| visitor.person);
    if person.is_some() {
        came.of_known();
    }
    let counts = match &person {
        None if shown.is_some() => UNKNOWN_COUNTS,
        _ if path == BEGIN => BEGUN_COUNTS,
        _ => 1,
    };
    web.door.asks(person.as_deref(), &came, counts).map_err(|wait| {
        metrics::counter!("onward_refused_total", "kind" => Kind::Page.name(), "reason" => "rate").increment(1);
        // to come a little too late is better than once more in vain
        too_much(person.is_some(), wait.as_secs().saturating_add(1))
    })?;
    if is_form && path != BACKCHANNEL {
        if let Some(page) = form::not_ours(request.headers(), &web.base_url) {
            return Err(page);
        }
        if person.is_none() && !OPEN_FORMS.contains(&path) {
            return Err(held::over(web, request).await);
        }
    }
    let max_bytes = form::allowed(&request, person.is_some());
    let Some(person) = person else {
        let who = came.address.map_or_else(|| "somewhere".to_owned(), |address| network(address).to_string());
        // all of it first: who sends slowly holds no place that others want
        let request = form::arrived(request, max_bytes).await?;
        return Ok((request, Some(place(web, &who, 0).map_err(refused)?)));
    };
    // of those who are known what they send is counted among all that is being read, and it may be long
    let place = place(web, &person, if is_form { max_bytes } else { 0 }).map_err(refused)?;
    if !is_form {
        return Ok((request, Some(place)));
    }
    place.step_aside();
    let request = form::arrived(request, max_bytes).await?;
    place.step_back();
    Ok((request, Some(place)))
}

fn place(web: &Web, who: &str, bytes: usize) -> Result<Place, Refusal> {
    web.admission.enter(Kind::Page, who, Some(bytes))
}

/// A refusal as a page.
fn refused(Refusal { own, retry_after_s, .. }: Refusal) -> Response {
    if own {
        return too_much(true, retry_after_s);
    }
    let told = "Too much is going on just now. Nothing was done. Try again shortly.";
    wait(page::told(StatusCode::SERVICE_UNAVAILABLE, told), retry_after_s)
}

/// That somebody asks too much.
fn too_much(is_known: bool, wait_s: u64) -> Response {
    let whose = if is_known { "your account" } else { "where you are" };
    let told = format!(
        "Too many pages were asked for from {whose} in a short time. Nothing was done. Try again in {}.",
        login::in_words(Duration::from_secs(wait_s))
    );
    wait(page::told(StatusCode::TOO_MANY_REQUESTS, &told), wait_s)
}

fn wait(mut response: Response, wait_s: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
    response
}

#[cfg(test)]
mod tests;
