//! `/login` and `/logout`.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};

use super::{
    Shared, Web,
    form::{Form, RETURN_TO, Signed, return_to, visitor},
    frame::{self, Frame},
    page::{self, Fault},
};
use crate::{
    http::call::pairs,
    people::{LogIn, PeopleError, Token, oidc::NotIn},
};

/// Where one is after a log-in that was not on the way to somewhere.
const HOME: &str = "/";

/// The page with the ways to log in.
#[derive(Template)]
#[template(path = "login.html")]
struct LogInPage<'t> {
    frame: Frame,
    /// What went wrong.
    faults: Vec<Fault>,
    /// What went well.
    done: Option<&'t str>,
    /// Whether there are accounts of Onward's own.
    local: bool,
    /// Whether somebody else may say who one is.
    issuer: bool,
    /// Where to go then.
    return_to: &'t str,
    /// What was typed.
    name: &'t str,
}

/// The page that goes on to the issuer's own end of a log-in. By a link: a form that leads elsewhere in the end is one that the policy of
/// a page refuses.
#[derive(Template)]
#[template(path = "logged-out.html")]
struct LoggedOut<'t> {
    frame: Frame,
    at_issuer: &'t str,
}

/// What the page with the ways to log in has to tell.
pub(super) enum Told<'t> {
    /// Nothing yet.
    Nothing,
    /// This went well.
    Done(&'t str),
    /// This did not.
    Fault(&'t str),
}

/// `GET /`: to the first place that is one's own.
pub(super) async fn begin_page(State(web): State<Shared>, headers: HeaderMap) -> Response {
    match visitor(&web, &headers).await {
        Ok(Some((visitor, _))) => page::to(frame::home(&visitor.positions)),
        Ok(None) => page::to("/login"),
        Err(response) => response,
    }
}

/// `GET /login`.
pub(super) async fn page(State(web): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = pairs(&query.unwrap_or_default());
    let wanted = query.iter().find(|(name, _)| name == RETURN_TO).map_or("", |(_, path)| path.as_str());
    let wanted = return_to(wanted).unwrap_or(HOME);
    match visitor(&web, &headers).await {
        Ok(Some(_)) => page::to(wanted),
        Ok(None) => ways(&web, StatusCode::OK, Told::Nothing, wanted, ""),
        Err(response) => response,
    }
}

/// The ways to log in, after something went wrong or before anything was tried.
pub(super) fn ways(web: &Web, status: StatusCode, told: Told<'_>, return_to: &str, name: &str) -> Response {
    let config = web.people.config();
    let (faults, done) = match told {
        Told::Nothing => (vec![], None),
        Told::Done(text) => (vec![], Some(text)),
        Told::Fault(text) => (vec![Fault::of_all(text)], None),
    };
    let (local, issuer) = (config.local, config.oidc.is_some());
    page::shown(status, &LogInPage { frame: Frame::outside(), faults, done, local, issuer, return_to, name })
}

/// `POST /login`: with a local account.
pub(super) async fn log_in(State(web): State<Shared>, form: Form) -> Response {
    let wanted = return_to(form.text(RETURN_TO)).unwrap_or(HOME);
    let name = form.text("name").trim();
    let device = web.cookies().device(&form.headers).unwrap_or_default();
    let ended = web.people.log_in(name, form.secret("password"), form.text("code"), (form.from, &device)).await;
    match ended {
        Ok(LogIn::In(token, device)) => {
            let response = begun(&web, &form.headers, &token, wanted).await;
            page::with_cookie(response, web.cookies().set_device(&device))
        }
        Ok(LogIn::Refused) => {
            let told = "Name, password or code is not right. Each code can be used once: wait for the next one.";
            ways(&web, StatusCode::UNAUTHORIZED, Told::Fault(told), wanted, name)
        }
        Ok(LogIn::Later(wait)) => {
            let told = format!("This was tried too often. Try again in {}.", in_words(wait));
            let mut response = ways(&web, StatusCode::TOO_MANY_REQUESTS, Told::Fault(&told), wanted, name);
            if let Ok(seconds) = wait.as_secs().max(1).to_string().parse() {
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            response
        }
        Err(error) => away(&error),
    }
}

/// `GET /login/oidc`: off to the issuer.
pub(super) async fn begin(State(web): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let Some(issuer) = &web.issuer else { return page::unavailable() };
    let query = pairs(&query.unwrap_or_default());
    let wanted = query.iter().find(|(name, _)| name == RETURN_TO).and_then(|(_, path)| return_to(path)).unwrap_or(HOME);
    match issuer.begin(wanted).await {
        Ok((token, url)) => page::with_cookie(page::to(&url), web.cookies().set_login(token.reveal())),
        Err(error) => not_in(&web, &error),
    }
}

/// `GET /login/callback`: back from the issuer.
pub(super) async fn came_back(State(web): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let Some(issuer) = &web.issuer else { return page::unavailable() };
    let shown = web.cookies().login(&headers).and_then(|text| Token::read(&text));
    let response = match issuer.end(shown.as_ref(), &pairs(&query.unwrap_or_default())).await {
        Ok(came) => begun(&web, &headers, &came.token, &came.return_to).await,
        Err(error) => not_in(&web, &error),
    };
    page::with_cookie(response, web.cookies().set_login(""))
}

/// Why she is not in, for her; the rest is for the log.
fn not_in(web: &Web, error: &NotIn) -> Response {
    // whoever can reach the port can have this said
    if let Some(times) = web.refused.log_ins.once_more(web.store.now()) {
        tracing::warn!(%error, times, "log-ins at the issuer were refused; the error is that of the last one");
    }
    let (status, told) = match error {
        NotIn::Away(_) => {
            (StatusCode::BAD_GATEWAY, "Your organisation's log-in cannot be reached just now. Try again shortly.")
        }
        NotIn::Over => {
            (StatusCode::BAD_REQUEST, "That log-in took too long, or was not begun in this browser. Begin again.")
        }
        NotIn::Denied(_) => (StatusCode::FORBIDDEN, "Your organisation did not let you in."),
        NotIn::Token(_) => {
            (StatusCode::FORBIDDEN, "What your organisation says of you cannot be taken. Tell your IT team.")
        }
        NotIn::TooWeak => (StatusCode::FORBIDDEN, "You must log in there in a surer way, such as with your smartcard."),
        NotIn::People(error) => return away(error),
    };
    ways(web, status, Told::Fault(told), HOME, "")
}

/// Somebody is in: with a new session, the one before ended.
pub(super) async fn begun(web: &Web, headers: &HeaderMap, token: &Token, to: &str) -> Response {
    match visitor(web, headers).await {
        Ok(Some((before, _))) => {
            if let Err(error) = web.people.end_sessions(&before, Some(before.session)).await {
                tracing::warn!(%error, "a session that another has taken the place of could not be ended");
            }
        }
        Ok(None) => {}
        Err(response) => return response,
    }
    page::with_cookie(page::to(to), web.cookies().set_session(token.reveal()))
}

/// `POST /logout`.
pub(super) async fn log_out(State(web): State<Shared>, signed: Signed) -> Response {
    let Signed { visitor, .. } = signed;
    if let Err(error) = web.people.end_sessions(&visitor, Some(visitor.session)).await {
        tracing::warn!(%error, "a session could not be ended");
        return page::unavailable();
    }
    let by_issuer = visitor.person.starts_with("oidc:");
    let at_issuer = match &web.issuer {
        Some(issuer) if by_issuer => issuer.logs_out_at().await,
        _ => None,
    };
    let gone = match at_issuer.as_deref() {
        None => page::to("/login"),
        Some(at_issuer) => {
            let mut response = page::shown(StatusCode::OK, &LoggedOut { frame: Frame::outside(), at_issuer });
            if let Ok(there) = format!("0; url={at_issuer}").parse() {
                response.headers_mut().insert(header::REFRESH, there);
            }
            response
        }
    };
    page::with_cookie(gone, web.cookies().set_session(""))
}

/// Nobody could be asked.
pub(super) fn away(error: &PeopleError) -> Response {
    tracing::warn!(%error, "nobody can log in at present");
    page::unavailable()
}

/// A wait, for people.
pub(super) fn in_words(wait: std::time::Duration) -> String {
    match wait.as_secs() {
        0 | 1 => "a second".to_owned(),
        seconds @ 2..=90 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}
