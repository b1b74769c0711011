//! The other servers, and the way to them: requests and answers are lost, come late or twice, or meet a server that is away.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode};
use onward::{
    client::{CallError, NoConnection, Transport},
    demo::double::{Double, Options},
};

use super::{
    schedule::Trouble,
    world::{Place, Replica},
};

/// The servers of all who take part; they are never lost with a replica.
pub struct Servers {
    pub record: Arc<Double>,
    pub pushed: Arc<Double>,
    pub polled: Arc<Double>,
}

pub const RECORD: u16 = 11;
pub const PUSHED: u16 = 12;
pub const POLLED: u16 = 13;

/// The FHIR base of a server.
pub fn base_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/fhir")
}

impl Servers {
    pub fn new() -> Self {
        let server = |port| Arc::new(Double::unconnected(base_url(port), Options::default()));
        Self { record: server(RECORD), pushed: server(PUSHED), polled: server(POLLED) }
    }

    fn at(&self, port: u16) -> &Arc<Double> {
        match port {
            RECORD => &self.record,
            PUSHED => &self.pushed,
            POLLED => &self.polled,
            other => panic!("nobody listens on {other}"),
        }
    }
}

/// The way of one replica to them.
pub struct Way {
    pub servers: Arc<Servers>,
    pub replica: Arc<Replica>,
}

async fn ask(server: &Double, request: &Request<Bytes>) -> Response<Bytes> {
    let (parts, body) = server.ask(request).into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(parts, body)
}

#[async_trait]
impl Transport for Way {
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
        let request = Request::from_parts(parts, body);
        let port = request.uri().port_u16().unwrap();
        let server = self.servers.at(port);
        let (place, world) = (Place::Peer(port), &self.replica.world);
        let what = match *request.method() {
            Method::GET => "GET",
            Method::POST => "POST",
            _ => "PUT",
        };
        let detail = || format!("{} {}", request.uri(), request.headers().get("if-match").is_some());
        let fate = self.replica.step(place, what, detail).await;
        let result = match fate.trouble {
            _ if world.is_away(place) => Err(CallError::Connect(NoConnection::Refused)),
            Some(Trouble::FailBefore) => Err(CallError::Broken),
            Some(Trouble::FailAfter) => {
                ask(server, &request).await;
                Err(CallError::Broken)
            }
            Some(Trouble::Late(seconds)) => {
                let (server, request) = (Arc::clone(server), request.clone());
                world.later(seconds, async move { drop(ask(&server, &request).await) });
                // who asked waits until it is tired of it
                std::future::pending().await
            }
            Some(Trouble::Twice) => {
                ask(server, &request).await;
                Ok(ask(server, &request).await)
            }
            Some(Trouble::Refused) => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
                Ok(response)
            }
            _ => Ok(ask(server, &request).await),
        };
        if world.traced {
            let told = result.as_ref().map(|r| r.status().as_u16());
            world.tell(&self.replica, || format!("      {told:?}"));
        }
        self.replica.done(&fate).await;
        result
    }
}
