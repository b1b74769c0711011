//! The door of the pages: who comes, how often, and whether what they send is read at all. Each person who has logged in is counted by
//! herself, whatever others do behind the same address; whoever has not is counted by the address.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
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
    people::Token,
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

/// Who comes.
pub(super) struct Coming {
    /// The person whose session the browser shows; none where it shows none that is of use.
    person: Option<String>,
    /// Whether it shows one that is nobody's: over, or made up.
    pub is_nobodys: bool,
}

/// What a request shows as its session, and from where it comes. What is kept for ever by browsers is given to whoever asks: there none is looked
/// at.
pub(super) fn shown(web: &Web, request: &Request) -> (Option<Token>, Came) {
    let token = web.session_of(request.headers()).filter(|_| !is_asset(request));
    (token, Came::of(request.extensions()))
}

/// Whose session that is.
///
/// # Errors
/// The page that says that it cannot be looked up.
pub(super) async fn who(web: &Web, (token, came): (Option<Token>, Came)) -> Result<Coming, Response> {
    let Some(token) = token else { return Ok(Coming { person: None, is_nobodys: false }) };
    let _aside = web.door.aside(&came).await;
    let visitor = web.people.glance(&token).await.map_err(|error| login::away(&error.into()))?;
    if visitor.is_some() {
        came.of_known();
    }
    Ok(Coming { is_nobodys: visitor.is_none(), person: visitor.map(|visitor| visitor.person) })
}

fn is_asset(request: &Request) -> bool {
    request.uri().path().starts_with(assets::FOLDER) && *request.method() != Method::POST
}

/// Lets a request in, with all of its body and the place that it has until it is answered. What is kept for ever by browsers needs none.
///
/// # Errors
/// The page that says why not.
pub(super) async fn enter(web: &Web, request: Request, coming: &Coming) -> Result<(Request, Option<Place>), Response> {
    if is_asset(&request) {
        return Ok((request, None));
    }
    let path = request.uri().path();
    let is_form = *request.method() == Method::POST;
    let came = Came::of(request.extensions());
    let person = coming.person.as_deref();
    let counts = match person {
        None if coming.is_nobodys => UNKNOWN_COUNTS,
        _ if path == BEGIN => BEGUN_COUNTS,
        _ => 1,
    };
    web.door.asks(person, &came, counts).map_err(|wait| {
        metrics::counter!("onward_refused_total", "kind" => Kind::Page.name(), "reason" => "rate").increment(1);
        // to come a little too late is better than once more in vain
        too_much(person.is_some(), wait.as_secs().saturating_add(1))
    })?;
    let mut is_over = false;
    if is_form && path != BACKCHANNEL {
        if let Some(page) = form::not_ours(request.headers(), &web.base_url) {
            return Err(page);
        }
        is_over = person.is_none() && !OPEN_FORMS.contains(&path);
        if is_over && !held::may_be(web, &request) {
            return Err(page::to("/login"));
        }
    }
    let max_bytes = form::allowed(&request, person.is_some());
    let Some(person) = person else {
        let who = came.address.map_or_else(|| "somewhere".to_owned(), |address| network(address).to_string());
        // all of it first: who sends slowly holds no place that others want
        let request = form::arrived(request, max_bytes).await?;
        let place = place(web, &who, 0).map_err(refused)?;
        return if is_over { Err(held::over(request).await) } else { Ok((request, Some(place))) };
    };
    // of those who are known what they send is counted among all that is being read, and it may be long
    let place = place(web, person, if is_form { max_bytes } else { 0 }).map_err(refused)?;
    if !is_form {
        return Ok((request, Some(place)));
    }
    place.step_aside();
    let request = form::arrived(request, max_bytes).await?;
    place.step_back();
    Ok((request, Some(place)))
}

/// Whether a browser is to open the page that is asked for, and not a part of one that is open (Fetch Metadata). One that does not say is.
pub(super) fn is_opened(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_none_or(|dest| dest.as_bytes() == b"document")
}

/// Takes the secret of a session away that is nobody's, once a page is opened with it, unless a new one is given. What a page asks by itself
/// takes none: it may be answered after somebody has logged in anew in another tab, whose session that would be.
pub(super) fn without_session(web: &Web, mut response: Response) -> Response {
    let cookies = web.cookies();
    let given = response.headers().get_all(header::SET_COOKIE).iter().any(|set| cookies.is_of_session(set));
    if let Some(ended) = cookies.end_session().filter(|_| !given) {
        response.headers_mut().append(header::SET_COOKIE, ended);
    }
    response
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
