//! Who sends a request, found out from its head; and the one place where what was granted to them is held against what is asked.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request},
    http::{Extensions, HeaderMap, header, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::MethodRouter,
};

use super::{App, Shared, addresses::Standing, admit::Known, reply::Fault};
use crate::{
    auth::{self, Caller, Connection, Granted, KnownBy},
    domain::Letter,
    tls::Shown,
};

/// What must be granted for something: for which type, which letter.
pub(super) type Needs = Vec<(&'static str, Letter)>;

/// Over what a request came; put there with the connection.
#[derive(Debug, Clone, Default)]
pub struct Came {
    /// From which address.
    pub address: Option<IpAddr>,
    /// Whether to an address that nobody outside this machine reaches.
    pub loopback: bool,
    /// What its client's certificate says.
    pub shown: Option<Arc<Shown>>,
    /// What is known of the connection.
    pub standing: Option<Arc<Standing>>,
}

impl Came {
    /// Over what this request came.
    pub fn of(request: &Extensions) -> Self {
        request.get::<Self>().cloned().unwrap_or_default()
    }

    /// Notes that somebody who is known asks: the connection is not given up for another one any more.
    pub fn of_known(&self) {
        if let Some(standing) = &self.standing {
            standing.known();
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Came {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// The same, as far as it says who asks.
pub(super) fn connection(came: &Came) -> Connection<'_> {
    let shown = came.shown.as_deref();
    Connection {
        names: shown.map(|shown| shown.names.as_slice()).unwrap_or_default(),
        certificate: shown.map(|shown| shown.sha256),
        loopback: came.loopback,
    }
}

/// Who sends a request with these headers over this connection.
///
/// # Errors
/// [`Fault`] where it could not be found out.
pub(super) async fn asks(app: &App, headers: &HeaderMap, request: &Extensions) -> Result<Caller, Fault> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let token = shown.next().and_then(|v| v.to_str().ok()).and_then(auth::bearer);
    if shown.next().is_some() {
        // whoever stands before this may have looked at the other one
        return Ok(Caller { known_by: KnownBy::UnknownToken, ..Caller::default() });
    }
    let came = Came::of(request);
    Ok(app.authority.who(token, connection(&came)).await?)
}

/// The handlers of a route, for those to whom all that is granted. Who is not known is turned away by the handlers themselves.
pub(super) fn granted(handlers: MethodRouter<Shared>, needs: Needs) -> MethodRouter<Shared> {
    if needs.is_empty() {
        return handlers;
    }
    let needs: Arc<[(&'static str, Letter)]> = needs.into();
    handlers.route_layer(from_fn(move |request, next| within(Arc::clone(&needs), request, next)))
}

async fn within(needs: Arc<[(&'static str, Letter)]>, request: Request, next: Next) -> Response {
    let known = request.extensions().get::<Known>().filter(|Known(caller)| !caller.is_stranger());
    match known.map(|Known(caller)| reaches(&caller.granted, &needs)) {
        Some(Err(beyond)) => beyond.into_response(),
        _ => next.run(request).await,
    }
}

/// Whether all of these are granted.
pub(super) fn reaches(granted: &Granted, needs: &[(&str, Letter)]) -> Result<(), Fault> {
    granted.missing(needs).map_or(Ok(()), |(kind, letter)| Err(Fault::beyond_scope(kind, letter)))
}
