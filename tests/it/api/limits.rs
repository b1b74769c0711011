//! What is too much: too large, too slow, too many. Written by hand on the socket where a well-behaved client would not.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{fixtures, hub, issues, refused};
use crate::support::{PATIENCE, until};
use hub::{GP, Hub, LINK_WORKERS, token_of};

const LARGE_BYTES: usize = 20 * 1024 * 1024;

async fn connect(hub: &Hub) -> TcpStream {
    TcpStream::connect(hub.base_url.strip_prefix("http://").unwrap()).await.unwrap()
}

fn head(more: &str) -> String {
    let token = token_of(GP);
    format!(
        "POST /fhir/ServiceRequest HTTP/1.1\r\nHost: onward\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/fhir+json\r\n{more}\r\n\r\n"
    )
}

/// What comes until the connection ends or is quiet after a whole answer.
async fn answer(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    let read = async {
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(n) => all.extend_from_slice(&buffer[..n]),
            }
            if all.ends_with(b"}") {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("no answer");
    String::from_utf8_lossy(&all).into_owned()
}

#[track_caller]
fn is_413(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let outcome: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(outcome["issue"][0]["code"], "too-long");
    assert_eq!(outcome["issue"][0]["expression"][0], "%resource");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_announces_itself_as_too_large_is_not_read() {
    let hub = Hub::start().await;
    let empty = hub.rows();
    let mut stream = connect(&hub).await;
    // not a byte of it is sent: the answer cannot wait for it
    stream.write_all(head(&format!("Content-Length: {LARGE_BYTES}")).as_bytes()).await.unwrap();
    is_413(&answer(&mut stream).await);
    // and a client that sends it all the same gets its answer, too
    let body = vec![b' '; LARGE_BYTES];
    let call = hub.sender(GP).call_to(hyper::Method::POST, "/fhir/ServiceRequest");
    let call = call.bytes("application/fhir+json", body.into());
    if let Ok(answer) = onward::demo::caller::Caller::new().call(call).await {
        refused(&answer, 413, "too-long", "%resource");
    }
    assert_eq!(hub.rows(), empty);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_grows_too_large_is_cut_off() {
    let hub = Hub::start().await;
    let empty = hub.rows();
    let stream = connect(&hub).await;
    let (mut from, mut to) = stream.into_split();
    to.write_all(head("Transfer-Encoding: chunked").as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move {
        let chunk = vec![b' '; 0x10000];
        let mut sent = 0;
        while sent < LARGE_BYTES {
            let wrote = async {
                to.write_all(b"10000\r\n").await?;
                to.write_all(&chunk).await?;
                to.write_all(b"\r\n").await
            };
            if wrote.await.is_err() {
                break;
            }
            sent += chunk.len();
        }
        (to, sent)
    });
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while !all.ends_with(b"}") {
        match tokio::time::timeout(PATIENCE, from.read(&mut buffer)).await.expect("no answer") {
            Ok(n) if n > 0 => all.extend_from_slice(&buffer[..n]),
            _ => break,
        }
    }
    is_413(&String::from_utf8_lossy(&all));
    drop(from);
    sending.await.unwrap();
    assert_eq!(hub.rows(), empty);
    assert_eq!(hub.sender(GP).refer(&fixtures::to_link_workers("after")).await.status, 201);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_incomplete() {
    let hub = Hub::start().await;
    let empty = hub.rows();
    let mut stream = connect(&hub).await;
    stream.write_all(head("Content-Length: 100").as_bytes()).await.unwrap();
    stream.write_all(b"{\"resourceType\":").await.unwrap();
    stream.shutdown().await.unwrap();
    let _ = answer(&mut stream).await;
    assert_eq!(hub.rows(), empty);
    assert_eq!(hub.sender(GP).refer(&fixtures::to_link_workers("after")).await.status, 201);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_ends_its_headers_is_let_go() {
    let hub = Hub::build().limits("header-timeout = \"1s\"").start().await;
    let mut stream = connect(&hub).await;
    let begun = Instant::now();
    stream.write_all(b"GET /fhir/metadata HTTP/1.1\r\nHost: onward\r\nX-Slow: ").await.unwrap();
    let mut buffer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut buffer)).await;
    assert!(ended.is_ok(), "the connection was kept open");
    assert!(begun.elapsed() >= Duration::from_millis(900), "let go at once");
    assert!(!String::from_utf8_lossy(&buffer).starts_with("HTTP/1.1 200"));
    assert_eq!(hub.actor(None).get("/fhir/metadata").await.status, 200);
    hub.stop().await;
}

/// A client that opens every connection there may be keeps out neither those who look after the service nor answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_connections_taken_health_and_answers_are_served() {
    let hub = Hub::build().limits("connections = 2").start().await;
    let (mut one, mut two) = (connect(&hub).await, connect(&hub).await);
    for stream in [&mut one, &mut two] {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: onward\r\n\r\n").await.unwrap();
        assert!(answer(stream).await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(hub.actor(None).get("/health/ready").await.status, 200);
    let answer = hub.provider(LINK_WORKERS).patch("/fhir/Task/none", "W/\"1\"", &serde_json::json!([])).await;
    assert_eq!(answer.status, 404);
    let refused = hub.sender(GP).refer(&fixtures::to_link_workers("crowded")).await;
    assert_eq!(issues(&refused, 503)[0]["code"], "transient");
    drop((one, two));
    until("a connection", || async {
        (hub.sender(GP).refer(&fixtures::to_link_workers("crowded")).await.status.is_success()).then_some(())
    })
    .await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_comes_does_not_keep_its_place() {
    let hub = Hub::build().limits("concurrent-requests = 1\nrequest-timeout = \"1s\"").start().await;
    let gp = hub.sender(GP);
    let mut stream = connect(&hub).await;
    stream.write_all(head("Content-Length: 100").as_bytes()).await.unwrap();
    stream.write_all(b"{").await.unwrap();
    let told = answer(&mut stream).await;
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    // the client is still there and still says nothing, but it is in nobody's way
    until("a free place", || async {
        (gp.refer(&fixtures::to_link_workers("after")).await.status.is_success()).then_some(())
    })
    .await;
    drop(stream);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_methods_do_not_grow_the_figures() {
    let hub = Hub::start().await;
    let nobody = hub.actor(None);
    for n in 0..5 {
        let method = hyper::Method::from_bytes(format!("INVENTED{n}").as_bytes()).unwrap();
        nobody.method(method, "/fhir/metadata", &serde_json::Value::Null).await;
    }
    let figures = String::from_utf8(nobody.get("/metrics").await.body.to_vec()).unwrap();
    assert!(figures.contains("onward_request_seconds"), "{figures}");
    assert!(!figures.contains("INVENTED"), "a stranger can name figures");
    hub.stop().await;
}

/// A connection that never says anything is let go like one that stops in its headers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_never_speaks_is_closed() {
    let hub = Hub::build().limits("header-timeout = \"1s\"").start().await;
    let mut silent = connect(&hub).await;
    let mut buffer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut buffer)).await;
    assert!(ended.is_ok() && buffer.is_empty(), "the connection was kept open");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_too_often_waits_and_keeps_nobody_else_out() {
    let hub = Hub::build().limits("client-rate = 1\naddress-rate = 1").start().await;
    let (gp, workers) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let mut last = gp.get("/fhir/Task").await;
    for _ in 0..60 {
        if last.status == 429 {
            break;
        }
        assert_eq!(last.status, 200);
        last = gp.get("/fhir/Task").await;
    }
    assert_eq!(issues(&last, 429)[0]["code"], "throttled");
    assert!(last.retry_after().is_some_and(|wait| wait <= Duration::from_secs(2)), "{last:?}");
    // whoever is not known, by a wrong token sooner
    let (nobody, wrong) = (hub.actor(None), hub.actor(Some("a-token-that-nobody-gave-out")));
    assert_eq!(wrong.get("/fhir/Task").await.status, 401);
    assert_eq!(wrong.get("/fhir/Task").await.status, 429);
    until("nobody has asked too often", || async {
        let answer = nobody.get("/fhir/metadata").await;
        (answer.status == 429).then_some(())
    })
    .await;
    // and those who are known, or look after it, get in from the same address
    assert_eq!(workers.get("/fhir/Task").await.status, 200);
    assert_eq!(nobody.get("/health/ready").await.status, 200);
    let figures = String::from_utf8(nobody.get("/metrics").await.body.to_vec()).unwrap();
    assert!(figures.contains("reason=\"rate\""), "{figures}");
    until("the client may ask again", || async { (gp.get("/fhir/Task").await.status == 200).then_some(()) }).await;
    hub.stop().await;
}
