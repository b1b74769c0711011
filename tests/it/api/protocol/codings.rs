//! gzip and zstd, both ways.

use std::io::{Read as _, Write as _};

use hyper::Method;
use onward::demo::caller::{Answered, FHIR_JSON};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    super::{fixtures, issues, refused},
    hub::{GP, Hub, RIO, Sender, token_of},
    with,
};
use crate::support::until;

const LIMIT: usize = 64 * 1024;
const CODINGS: [&str; 2] = ["gzip", "zstd"];

fn coded(coding: &str, plain: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(plain, 3).unwrap(),
    }
}

fn decoded(answer: &Answered) -> Vec<u8> {
    let mut plain = Vec::new();
    match answer.header("content-encoding") {
        Some("gzip") => drop(flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut plain).unwrap()),
        Some("zstd") => plain = zstd::decode_all(&answer.body[..]).unwrap(),
        None => plain = answer.body.to_vec(),
        Some(other) => panic!("{other}"),
    }
    plain
}

/// Whether a cache is told that the answer goes by what coding was asked for.
fn varies(answer: &Answered) -> bool {
    answer.headers.get_all("vary").iter().any(|name| name == "accept-encoding")
}

/// A referral of so many bytes.
fn of_size(name: &str, bytes: usize) -> Vec<u8> {
    let mut body = fixtures::to_link_workers(name).to_string().into_bytes();
    assert!(body.len() <= bytes);
    body.resize(bytes, b' ');
    body
}

async fn send(sender: &Sender, coding: &'static str, body: Vec<u8>) -> Answered {
    let call = sender.call_to(Method::POST, "/fhir/ServiceRequest").header("content-encoding", coding);
    sender.call(call.bytes(FHIR_JSON, body.into())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_is_read_within_the_bound_of_a_plain_one() {
    let hub = Hub::build().limits("body = \"64KiB\"").start().await;
    let gp = hub.sender(GP);
    for coding in CODINGS {
        let answer = send(&gp, coding, coded(coding, &of_size(coding, LIMIT))).await;
        assert_eq!(answer.status, 201, "{coding}: {}", answer.describe());
        let again = gp.refer(&fixtures::to_link_workers(coding)).await;
        assert_eq!(again.status, 200, "{coding}: the same as if it had come plain");
        let stored = hub.rows()["referral"];
        let over = send(&gp, coding, coded(coding, &of_size("over", LIMIT + 1))).await;
        refused(&over, 413, "too-long", "%resource");
        // far more than it seems
        let bomb = coded(coding, &vec![b' '; 64 << 20]);
        assert!(bomb.len() < LIMIT + 1024, "{coding}: {}", bomb.len());
        refused(&send(&gp, coding, bomb).await, 413, "too-long", "%resource");
        // what is nothing when it is plain has a bound as well
        let nothing = coded(coding, b"").repeat(10_000);
        let told = send(&gp, coding, nothing).await;
        assert!(matches!(told.status.as_u16(), 400 | 413), "{coding}: {}", told.describe());
        let half = coded(coding, &of_size("half", 8000));
        for broken in [half[..half.len() / 2].to_vec(), b"{\"resourceType\":\"Task\"}".to_vec(), Vec::new()] {
            refused(&send(&gp, coding, broken).await, 400, "structure", "http.Content-Encoding");
        }
        assert_eq!(hub.rows()["referral"], stored, "{coding}");
    }
    for unknown in ["br", "deflate", "gzip, zstd"] {
        let answer = send(&gp, unknown, of_size("unknown", 8000)).await;
        refused(&answer, 415, "not-supported", "http.Content-Encoding");
        assert_eq!(answer.header("accept-encoding"), Some("gzip, zstd"));
    }
    assert_eq!(send(&gp, "identity", of_size("plain", 8000)).await.status, 201);
    hub.stop().await;
}

/// How much will come of it is not announced: it counts as the largest there may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_takes_its_place_by_what_may_come_of_it() {
    let hub = Hub::build().limits("body = \"1MiB\"\nbodies = \"1MiB\"").start().await;
    let mut stream = TcpStream::connect(hub.base_url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /fhir/ServiceRequest HTTP/1.1\r\nHost: onward\r\nAuthorization: Bearer {}\r\nContent-Type: {FHIR_JSON}\r\n\
         Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n",
        token_of(RIO)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let gp = hub.sender(GP);
    until("the memory is taken", || async {
        let answer = gp.refer(&fixtures::to_link_workers("beside")).await;
        (answer.status == 503 && issues(&answer, 503)[0]["code"] == "transient").then_some(())
    })
    .await;
    drop(stream);
    until("it is given back", || async {
        gp.refer(&fixtures::to_link_workers("beside")).await.status.is_success().then_some(())
    })
    .await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_compressed_where_that_is_wished_and_worth_it() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    for path in ["/fhir/metadata", "/metrics"] {
        let plain = with(&gp, path, &[]).await;
        assert_eq!((plain.header("content-encoding"), varies(&plain)), (None, true), "{path}");
        for (accepted, expected) in [
            ("gzip", Some("gzip")),
            ("zstd", Some("zstd")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip;q=1, zstd;q=0.1", Some("gzip")),
            ("br, deflate", None),
            ("identity", None),
            ("gzip;q=0", None),
        ] {
            let answer = with(&gp, path, &[("accept-encoding", accepted)]).await;
            assert_eq!(answer.header("content-encoding"), expected, "{path} {accepted}");
            assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()), "{path} {accepted}");
            assert!(varies(&answer), "{path} {accepted}");
            let text = decoded(&answer);
            if path == "/fhir/metadata" {
                assert_eq!(text, plain.body, "{accepted}");
            }
            assert!(expected.is_none() || answer.body.len() < text.len() / 2, "{path} {accepted}");
        }
    }
    // a fault of a few words stays as it is
    let small = with(&gp, "/fhir/Nonsense", &[("accept-encoding", "gzip, zstd")]).await;
    assert_eq!(small.header("content-encoding"), None);
    assert_eq!(issues(&small, 404).len(), 1);
    // and so does what is larger than one piece
    let mut large = fixtures::to_link_workers("large");
    large["note"] = serde_json::json!([{"text": "needs company ".repeat(20_000)}]);
    let sent = gp.refer_with(&large, &[("accept-encoding", "zstd")]).await;
    assert_eq!((sent.status.as_u16(), sent.header("content-encoding")), (201, Some("zstd")));
    let body: serde_json::Value = serde_json::from_slice(&decoded(&sent)).unwrap();
    assert_eq!(body["note"], large["note"]);
    hub.stop().await;
}
