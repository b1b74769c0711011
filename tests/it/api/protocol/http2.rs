//! HTTP/2 by prior knowledge, and what a client may not do with it. Where a well-behaved client would not, frames are written by hand.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, Version, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    super::fixtures,
    hub::{GP, Hub, LINK_WORKERS, token_of},
};
use crate::support::{
    PATIENCE,
    frames::{DATA, GOAWAY, HEADERS, PREFACE, RST_STREAM, Raw, SETTINGS, WHOLE, frame, get},
    until,
};

type Http2 = Client<HttpConnector, Full<Bytes>>;

fn client() -> Http2 {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

async fn ask(client: &Http2, method: &str, url: String, token: Option<&str>, body: &Value) -> (Response<()>, Value) {
    let mut request = Request::builder().method(method).uri(url).header(header::ACCEPT, "application/fhir+json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token_of(token)));
    }
    let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = request.header(header::CONTENT_TYPE, "application/fhir+json").body(Full::new(bytes)).unwrap();
    // a connection may end in the moment in which it is asked over: then over another, as clients do. That each gives its answer
    // before it ends is seen frame by frame
    let response = match client.request(request.clone()).await {
        Err(error) if !error.is_connect() => client.request(request).await,
        answered => answered,
    };
    let (parts, body) = response.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_spoken_over_http_2_as_well() {
    let hub = Hub::start().await;
    let (client, base) = (client(), format!("{}/fhir", hub.base_url));
    let referral = fixtures::to_link_workers("second");
    let (answer, body) = ask(&client, "POST", format!("{base}/ServiceRequest"), Some(GP), &referral).await;
    assert_eq!((answer.status().as_u16(), answer.version()), (201, Version::HTTP_2), "{body}");
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let mut many = JoinSet::new();
    for n in 0..100 {
        let (client, location, base) = (client.clone(), location.clone(), base.clone());
        many.spawn(async move {
            let url = if n % 2 == 0 { location } else { format!("{base}/metadata") };
            ask(&client, "GET", url, Some(GP), &Value::Null).await.0.status().as_u16()
        });
    }
    let told = many.join_all().await;
    // each has its place or is asked to come again, whatever it came over
    assert!(told.iter().all(|status| matches!(status, 200 | 429 | 503)), "{told:?}");
    assert!(told.iter().filter(|status| **status == 200).count() > 30, "{told:?}");
    let (answer, body) = ask(&client, "DELETE", format!("{base}/Task/1"), Some(GP), &Value::Null).await;
    assert_eq!((answer.status().as_u16(), &body["resourceType"]), (405, &"OperationOutcome".into()));
    let large = "x".repeat(6 << 20);
    let (answer, _) = ask(&client, "POST", format!("{base}/ServiceRequest"), Some(GP), &large.into()).await;
    assert_eq!(answer.status(), 413);
    drop(client);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_can_be_left_out() {
    let hub = Hub::build().sections("[http]\nhttp2 = false").start().await;
    let mut raw = Raw::open(&hub, 65_535).await;
    let mut told = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, raw.from.read_to_end(&mut told)).await.expect("it is kept open");
    assert!(!told.starts_with(&[0, 0]), "a frame of HTTP/2");
    assert_eq!(hub.actor(None).get("/fhir/metadata").await.status, 200);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_requests_is_ended_whatever_else_it_says() {
    let hub = Hub::build().limits("header-timeout = \"1s\"").start().await;
    // one that does not get to the end of the preface
    let mut stream = TcpStream::connect(hub.base_url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(&PREFACE[..10]).await.unwrap();
    let mut told = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut told)).await;
    assert!(ended.is_ok(), "the connection was kept open");
    // one that never asks, and one that asked once
    for requests in [0, 1] {
        let mut raw = Raw::open(&hub, 65_535).await;
        if requests == 1 {
            raw.send(HEADERS, WHOLE, 1, &get("/health/live")).await;
        }
        let (kinds, lasted) = raw.until_its_end(false).await;
        assert!(kinds.contains(&GOAWAY), "{requests}: it is told: {kinds:?}");
        assert_eq!(kinds.contains(&DATA), requests == 1, "{kinds:?}");
        assert!(lasted > Duration::from_millis(900) && lasted < Duration::from_secs(10), "{requests}: {lasted:?}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_take_an_answer_loses_the_connection() {
    let hub = Hub::build().limits("request-timeout = \"1s\"").start().await;
    let mut raw = Raw::open(&hub, 0).await;
    raw.send(HEADERS, WHOLE, 1, &get("/fhir/metadata")).await;
    let (kinds, lasted) = raw.until_its_end(false).await;
    assert!(kinds.contains(&HEADERS) && !kinds.contains(&DATA), "{kinds:?}");
    assert!(lasted > Duration::from_millis(900) && lasted < Duration::from_secs(10), "{lasted:?}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_and_larger_headers_than_may_be_are_refused() {
    let hub = Hub::start().await;
    let mut raw = Raw::open(&hub, 0).await;
    let mut told = [None; 2];
    while told.contains(&None) {
        let (kind, flags, _, payload) = raw.next().await.unwrap();
        if kind != SETTINGS || flags == 1 {
            continue;
        }
        for setting in payload.chunks(6) {
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            // SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113, 6.5.2)
            match setting[1] {
                3 => told[0] = Some(value),
                6 => told[1] = Some(value),
                _ => {}
            }
        }
    }
    assert_eq!(told, [Some(32), Some(16 * 1024)]);
    // none of them ends, because none of its answers is taken
    for stream in 0..33 {
        raw.send(HEADERS, WHOLE, stream * 2 + 1, &get("/fhir/metadata")).await;
    }
    let refused = loop {
        let (kind, _, stream, payload) = raw.next().await.unwrap();
        if kind == RST_STREAM {
            break (stream, payload);
        }
    };
    // REFUSED_STREAM
    assert_eq!(refused, (65, vec![0, 0, 0, 7]));
    drop(raw);
    let mut request = Request::get(format!("{}/fhir/metadata", hub.base_url));
    for n in 0..20 {
        request = request.header(format!("x-large-{n}"), "x".repeat(1000));
    }
    let large = client().request(request.body(Full::default()).unwrap()).await;
    assert!(large.is_err() || large.is_ok_and(|answer| answer.status() == 431));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_that_are_taken_back_ends_the_connection() {
    let hub = Hub::start().await;
    let mut raw = Raw::open(&hub, 65_535).await;
    let mut flood = Vec::new();
    for n in 0..2000 {
        flood.extend(frame(HEADERS, WHOLE, n * 2 + 1, &get("/fhir/metadata")));
        flood.extend(frame(RST_STREAM, 0, n * 2 + 1, &[0, 0, 0, 8]));
    }
    let _ = raw.to.write_all(&flood).await;
    let mut last = None;
    while let Some((kind, _, _, payload)) = raw.next().await {
        last = Some((kind, payload));
        if kind == GOAWAY {
            break;
        }
    }
    let (kind, payload) = last.unwrap();
    // ENHANCE_YOUR_CALM
    assert_eq!((kind, &payload[4..8]), (GOAWAY, &[0, 0, 0, 11][..]));
    assert_eq!(hub.actor(None).get("/fhir/metadata").await.status, 200, "nobody else notices");
    hub.stop().await;
}

/// Over HTTP/2, too, a connection beyond the bound is for one request of those who answer or look after the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spare_connection_serves_one_request_and_ends() {
    let hub = Hub::build().limits("connections = 1").start().await;
    let mut only = TcpStream::connect(hub.base_url.strip_prefix("http://").unwrap()).await.unwrap();
    only.write_all(b"GET /health/live HTTP/1.1\r\nHost: onward\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    assert!(only.read(&mut buffer).await.unwrap() > 0);
    // each over a connection of its own: those before it are ending
    let base = &hub.base_url;
    let live = ask(&client(), "GET", format!("{base}/health/live"), None, &Value::Null).await;
    assert_eq!(live.0.status(), 200);
    let url = format!("{base}/fhir/Task/none");
    let answered = ask(&client(), "PUT", url, Some(LINK_WORKERS), &serde_json::json!({"resourceType": "Task"})).await;
    assert_eq!(answered.0.status(), 404, "{}", answered.1);
    let refused = ask(&client(), "GET", format!("{base}/fhir/Task"), Some(GP), &Value::Null).await;
    assert_eq!(refused.0.status(), 503);
    let mut raw = Raw::open(&hub, 65_535).await;
    raw.send(HEADERS, WHOLE, 1, &get("/health/live")).await;
    let (kinds, lasted) = raw.until_its_end(true).await;
    assert!(kinds.contains(&DATA) && kinds.contains(&GOAWAY), "{kinds:?}");
    assert!(lasted < Duration::from_secs(8), "{lasted:?}");
    drop(only);
    until("a connection", || async {
        let told = ask(&client(), "GET", format!("{base}/fhir/Task"), Some(GP), &Value::Null).await;
        (told.0.status() == 200).then_some(())
    })
    .await;
    hub.stop().await;
}

/// A client that is there and does not agree to the end does not keep a service from stopping.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_does_not_wait_for_who_has_nothing_under_way() {
    let hub = Hub::start().await;
    let mut raw = Raw::open(&hub, 65_535).await;
    raw.send(HEADERS, WHOLE, 1, &get("/health/live")).await;
    while raw.next().await.unwrap().0 != DATA {}
    let begun = Instant::now();
    hub.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    drop(raw);
}
