//! Bytes that no client would send: requests in which another one hides, headers and lengths that can be read in two ways, bodies that grow
//! when they are read. Each is refused or answered once, nothing that hides in it is done, and after each the service answers within a second.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use hyper::Method;
use onward::demo::caller::FHIR_JSON;

use super::raw::{Answers, address, connect, read, send, send_to};
use crate::{
    support::{
        PATIENCE,
        bridge::Bridge,
        fixtures,
        hub::{GP, Hub, token_of},
    },
    tls::{NAME, secured},
};
use tokio::io::AsyncWriteExt as _;

/// What hides behind another request.
const HIDDEN: &str = "GET /metrics HTTP/1.1\r\nHost: onward\r\nConnection: close\r\n\r\n";
/// So much more memory may be in use after all that, of a process that answers at once.
const GROWTH_MAX_KIB: u64 = 300 * 1024;
/// No bomb keeps anybody waiting so long, in a program that is built without optimisation.
const BOMB_MAX: Duration = Duration::from_secs(15);

/// The service is there, for somebody who asks properly.
async fn answers_at_once(hub: &Hub, after: &str) {
    let begun = Instant::now();
    let answer = hub.sender(GP).get("/fhir/Task?_count=1").await;
    assert_eq!(answer.status, 200, "after {after}");
    assert!(begun.elapsed() < Duration::from_secs(1), "after {after}: {:?}", begun.elapsed());
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Nothing that hides was done: what there is of answers is one, and it refuses.
fn is_refused(about: &str, answers: &Answers) {
    let statuses = answers.statuses();
    let refused = |status: &u16| matches!(status, 400 | 401 | 404 | 405 | 411 | 413 | 414 | 417 | 431 | 501 | 505);
    assert!(statuses.len() <= 1 && statuses.iter().all(refused), "{about}: {statuses:?}");
    assert!(!answers.0.iter().any(|(_, _, body)| body.contains("onward_")), "{about}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_hides_in_another() {
    let hub = Hub::start().await;
    nothing_hides(&hub, address(&hub)).await;
    hub.stop().await;
}

/// TLS changes nothing of that: the same bytes, one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_hides_in_another_over_tls() {
    let it = secured("", "", "").await;
    let bridge = Bridge::start(it.port, NAME, it.servers.file(), "http/1.1").await;
    nothing_hides(&it.hub, &bridge.at).await;
    it.hub.stop().await;
}

async fn nothing_hides(hub: &Hub, at: &str) {
    let token = token_of(GP);
    let post = |lines: &str, body: &str| {
        format!(
            "POST /fhir/Task/_search HTTP/1.1\r\nHost: onward\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{lines}\r\n{body}"
        )
    };
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    let long = HIDDEN.len() + 5;
    // where both are told chunks count, and whoever stands before and sees it otherwise finds the connection closed (RFC 9112, 6.1)
    for both in [
        format!("Content-Length: {long}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {long}\r\n"),
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n".to_owned(),
    ] {
        let answers = send_to(at, post(&both, &chunked).as_bytes()).await;
        assert!(matches!(answers.statuses()[..], [200 | 400]), "{both}: {:?}", answers.statuses());
        assert!(!answers.0[0].2.contains("onward_"), "{both}");
    }
    for (about, lines, body) in [
        ("two lengths", "Content-Length: 0\r\nContent-Length: 67\r\n", HIDDEN),
        ("a list of lengths", "Content-Length: 0, 67\r\n", HIDDEN),
        ("a signed length", "Content-Length: +67\r\n", HIDDEN),
        ("a negative length", "Content-Length: -1\r\n", HIDDEN),
        ("a length in hexadecimal", "Content-Length: 0x0\r\n", HIDDEN),
        ("a length with a space in it", "Content-Length: 0 67\r\n", HIDDEN),
        ("a length that is none", "Content-Length: \r\n", HIDDEN),
        ("a length beyond all numbers", "Content-Length: 99999999999999999999999\r\n", HIDDEN),
        ("a space before the colon", "Content-Length : 0\r\nTransfer-Encoding : chunked\r\n", &chunked),
        ("a coding that is almost chunked", "Transfer-Encoding: xchunked\r\n", &chunked),
        ("chunks that are not the last coding", "Transfer-Encoding: chunked, identity\r\n", &chunked),
        ("no coding", "Transfer-Encoding: identity\r\n", &chunked),
        ("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &chunked),
        ("chunks of chunks", "Transfer-Encoding: chunked, chunked\r\n", &chunked),
        ("a coding beneath the chunks", "Transfer-Encoding: gzip, chunked\r\n", &chunked),
        (
            "a coding beneath the chunks in a line of its own",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            &chunked,
        ),
        ("a coding after a vertical tab", "Transfer-Encoding:\x0bchunked\r\n", &chunked),
        ("a folded header", "X-A: b\r\n Content-Length: 67\r\n", HIDDEN),
        ("a header that begins folded", " Content-Length: 67\r\n", HIDDEN),
        ("a bare CR", "X-A: b\rContent-Length: 67\r\n", HIDDEN),
        ("a NUL in a value", "X-A: b\0\r\n", HIDDEN),
        ("a NUL in a name", "X-\0A: b\r\n", HIDDEN),
        ("a header without a colon", "X-A\r\n", HIDDEN),
        ("a header without a name", ": b\r\n", HIDDEN),
        ("a space in a name", "X A: b\r\n", HIDDEN),
        ("a chunk beyond all numbers", "Transfer-Encoding: chunked\r\n", "FFFFFFFFFFFFFFFFF\r\na\r\n0\r\n\r\n"),
        ("a negative chunk", "Transfer-Encoding: chunked\r\n", "-1\r\na\r\n0\r\n\r\n"),
        ("a chunk of no number", "Transfer-Encoding: chunked\r\n", "g\r\na\r\n0\r\n\r\n"),
        ("a chunk in hexadecimal twice", "Transfer-Encoding: chunked\r\n", "0x1\r\na\r\n0\r\n\r\n"),
        ("a chunk that is longer than it says", "Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n"),
    ] {
        is_refused(about, &send_to(at, post(lines, body).as_bytes()).await);
        answers_at_once(hub, about).await;
    }
    let with = |line: &str, more: &str| {
        format!("{line}\r\nHost: onward\r\nAuthorization: Bearer {token}\r\n{more}\r\n{HIDDEN}")
    };
    for (about, bytes) in [
        ("no host", format!("GET /metrics HTTP/1.1\r\n\r\n{HIDDEN}")),
        ("two hosts", format!("GET /metrics HTTP/1.1\r\nHost: onward\r\nHost: elsewhere\r\n\r\n{HIDDEN}")),
        ("the same host twice", format!("GET /metrics HTTP/1.1\r\nHost: onward\r\nHost: onward\r\n\r\n{HIDDEN}")),
        ("two hosts in one", format!("GET /metrics HTTP/1.1\r\nHost: onward, elsewhere\r\n\r\n{HIDDEN}")),
        ("a host with somebody in it", format!("GET /metrics HTTP/1.1\r\nHost: anna@onward\r\n\r\n{HIDDEN}")),
        ("two hosts of an older version", format!("GET /metrics HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n{HIDDEN}")),
        ("chunks of an older version", with("POST /fhir/Task/_search HTTP/1.0", "Transfer-Encoding: chunked\r\n")),
        ("a version that is none", with("GET /fhir/Task HTTP/3.7", "")),
        ("no version", "GET /fhir/Task\r\n\r\n".to_owned()),
        ("a NUL in the path", with("GET /fhir/Task\0 HTTP/1.1", "")),
        ("a space in the path", with("GET /fhir/Task a HTTP/1.1", "")),
        ("a tab for a space", with("GET\t/fhir/Task\tHTTP/1.1", "")),
        ("no path", with("GET HTTP/1.1", "")),
        ("a method that is none", with("G@T{} /fhir/Task HTTP/1.1", "")),
        ("a tunnel", with("CONNECT 127.0.0.1:22 HTTP/1.1", "Connection: close\r\n")),
        ("an echo", with("TRACE /fhir/Task HTTP/1.1", "Connection: close\r\n")),
        ("a very long path", with(&format!("GET /fhir/{} HTTP/1.1", "a".repeat(200_000)), "Connection: close\r\n")),
        (
            "a very long query",
            with(&format!("GET /fhir/Task?_id={} HTTP/1.1", "a".repeat(500_000)), "Connection: close\r\n"),
        ),
        (
            "a very long header",
            with("GET /fhir/Task HTTP/1.1", &format!("X-A: {}\r\nConnection: close\r\n", "a".repeat(600_000))),
        ),
        ("very many headers", with("GET /fhir/Task HTTP/1.1", &"X-A: b\r\n".repeat(2_000))),
        ("a preface that breaks off", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n".to_owned()),
        ("a client that speaks TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".to_owned()),
        ("nothing that is text", String::from_utf8_lossy(&[0, 159, 146, 150, 255, 254, 13, 10, 13, 10]).into_owned()),
    ] {
        is_refused(about, &send_to(at, bytes.as_bytes()).await);
        answers_at_once(hub, about).await;
    }
    // an upgrade that nobody takes is a request like any other
    for upgrade in [
        "h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "TLS/1.0",
    ] {
        let more = format!("Connection: Upgrade\r\nUpgrade: {upgrade}\r\n");
        let answers = send_to(at, format!("GET /health/live HTTP/1.1\r\nHost: onward\r\n{more}\r\n").as_bytes()).await;
        assert_eq!(answers.statuses(), [200], "{upgrade}");
    }
}

/// What is asked in one go is answered in its order, each by its own token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_one_go_share_nothing() {
    let hub = Hub::start().await;
    let token = token_of(GP);
    let task = hub.sender(GP).refers(&fixtures::to_link_workers("piped")).await;
    let path = task.strip_prefix(&hub.base_url).unwrap().to_owned();
    let ask = |token: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: onward\r\n{token}{more}\r\n");
    let (own, none) = (format!("Authorization: Bearer {token}\r\n"), String::new());
    let all =
        ask(&own, "") + &ask(&none, "") + &ask(&own, "") + &ask("Authorization: Bearer x\r\n", "Connection: close\r\n");
    assert_eq!(send(&hub, all.as_bytes()).await.statuses(), [200, 401, 200, 401]);
    hub.stop().await;
}

fn gzipped(bytes: &[u8], times: usize) -> Vec<u8> {
    (0..times).fold(bytes.to_vec(), |bytes, _| {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        coder.write_all(&bytes).unwrap();
        coder.finish().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_grows_beyond_its_bound_or_keeps_anybody_waiting() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    answers_at_once(&hub, "nothing").await;
    let before = memory_kib();
    let spaces = vec![b' '; 64 << 20];
    let (json, xml) = (FHIR_JSON, "application/fhir+xml");
    let request = |inner: &str| {
        format!("{{\"resourceType\":\"ServiceRequest\",\"status\":\"active\",\"intent\":\"order\",{inner}}}")
    };
    let xml_request = |inner: &str| format!("<ServiceRequest xmlns=\"http://hl7.org/fhir\">{inner}</ServiceRequest>");
    let laughs = (1..20).fold("<!DOCTYPE l [<!ENTITY l0 \"ha\">".to_owned(), |text, n| {
        format!("{text}<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))
    });
    let external =
        |entity: &str| format!("<!DOCTYPE x [{entity}]>{}", xml_request("<note><text value=\"&e;\"/></note>"));
    let plain: Vec<(&str, &'static str, String)> = vec![
        ("a deep list", json, "[".repeat(1_000_000)),
        ("a deep object", json, "{\"a\":".repeat(500_000)),
        ("a deep element", json, request(&format!("\"extension\":{}", "[{\"extension\":".repeat(100_000)))),
        ("a wide list", json, request(&format!("\"note\":[{}{{}}]", "{},".repeat(1_000_000)))),
        (
            "a wide object",
            json,
            format!("{{{}\"z\":1}}", (0..200_000).map(|n| format!("\"a{n}\":1,")).collect::<String>()),
        ),
        ("one name again and again", json, format!("{{{}\"a\":1}}", "\"a\":1,".repeat(500_000))),
        ("a huge exponent", json, request("\"quantityQuantity\":{\"value\":1e999999999}")),
        ("a huge number", json, request(&format!("\"quantityQuantity\":{{\"value\":{}}}", "9".repeat(4_000_000)))),
        ("a small number", json, request(&format!("\"quantityQuantity\":{{\"value\":0.{}1}}", "0".repeat(4_000_000)))),
        ("halves of letters", json, request("\"note\":[{\"text\":\"\\ud800\\udfff\\ud800\"}]")),
        ("a huge text", json, request(&format!("\"note\":[{{\"text\":\"{}\"}}]", "a".repeat(6 << 20)))),
        (
            "laughs",
            xml,
            format!(
                "{laughs}]><ServiceRequest xmlns=\"http://hl7.org/fhir\"><note><text value=\"&l19;\"/></note></ServiceRequest>"
            ),
        ),
        ("an external entity", xml, external("<!ENTITY e SYSTEM \"file:///etc/passwd\">")),
        ("an entity of a network", xml, external("<!ENTITY e SYSTEM \"http://127.0.0.1:9/e\">")),
        ("a parameter entity", xml, external("<!ENTITY % p SYSTEM \"file:///etc/passwd\"><!ENTITY e \"%p;\"> %p;")),
        ("a public entity", xml, external("<!ENTITY e PUBLIC \"a\" \"file:///etc/passwd\">")),
        ("an entity that nobody made", xml, xml_request("<note><text value=\"&e;\"/></note>")),
        (
            "a stylesheet",
            xml,
            format!("<?xml-stylesheet href=\"file:///etc/passwd\"?>{}", xml_request("<note><text/></note>")),
        ),
        (
            "an inclusion",
            xml,
            xml_request("<x:include xmlns:x=\"http://www.w3.org/2001/XInclude\" href=\"file:///etc/passwd\"/>"),
        ),
        ("deep XML", xml, "<a>".repeat(1_000_000)),
        ("a huge attribute", xml, xml_request(&format!("<note><text value=\"{}\"/></note>", "a".repeat(6 << 20)))),
        (
            "very many attributes",
            xml,
            xml_request(&format!("<note {}/>", (0..100_000).map(|n| format!("a{n}=\"\" ")).collect::<String>())),
        ),
        (
            "very many namespaces",
            xml,
            xml_request(&format!("<note {}/>", (0..50_000).map(|n| format!("xmlns:a{n}=\"a\" ")).collect::<String>())),
        ),
    ];
    let coded: Vec<(&str, &'static str, Vec<u8>)> = vec![
        ("a bomb in gzip", "gzip", gzipped(&spaces, 1)),
        ("a bomb in gzip twice", "gzip", gzipped(&spaces, 2)),
        ("a bomb in gzip, told twice", "gzip, gzip", gzipped(&spaces, 2)),
        ("a bomb in zstd", "zstd", zstd::encode_all(&spaces[..], 3).unwrap()),
        ("gzip that breaks off", "gzip", gzipped(b"{}", 1)[..8].to_vec()),
        ("a coding that nobody knows", "x-bomb", b"{}".to_vec()),
        ("very many codings", "gzip, gzip, gzip, gzip, gzip, gzip, gzip, gzip", gzipped(b"{}", 8)),
    ];
    drop(spaces);
    let to = || gp.call_to(Method::POST, "/fhir/ServiceRequest");
    let calls = plain.into_iter().map(|(about, kind, body)| (about, to().bytes(kind, body.into())));
    let calls = calls.chain(
        coded
            .into_iter()
            .map(|(about, coding, body)| (about, to().bytes(json, body.into()).header("content-encoding", coding))),
    );
    for (about, call) in calls {
        let begun = Instant::now();
        // one that is refused by its length may be closed before it was sent
        if let Ok(answer) = onward::demo::caller::Caller::new().call(call).await {
            assert!(matches!(answer.status.as_u16(), 400 | 413 | 415 | 422), "{about}: {}", answer.describe());
            assert!(!super::text(&answer.body).contains("root:"), "{about}");
        }
        assert!(begun.elapsed() < BOMB_MAX, "{about}: {:?}", begun.elapsed());
        answers_at_once(&hub, about).await;
    }
    let grown = memory_kib().saturating_sub(before);
    println!("{} MiB more are in use", grown / 1024);
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB");
    assert_eq!(hub.rows()["referral"], 0);
    hub.stop().await;
}

/// Many who are slow, each in its own way, keep nobody waiting and are let go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slow_are_let_go_and_keep_nobody_waiting() {
    let hub = Hub::build().limits("header-timeout = \"1s\"\nrequest-timeout = \"2s\"").start().await;
    let token = token_of(GP);
    let head = format!(
        "POST /fhir/ServiceRequest HTTP/1.1\r\nHost: onward\r\nAuthorization: Bearer {token}\r\nContent-Type: {FHIR_JSON}\r\n"
    );
    let ways = [
        String::new(),
        "GET /fhir".to_owned(),
        "GET /fhir/Task HTTP/1.1\r\nX-A: ".to_owned(),
        format!("{head}Content-Length: 100000\r\n\r\n{{"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n10000\r\n{{"),
        format!("{head}Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n"),
        format!("{head}Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n"),
    ];
    let mut slow = Vec::new();
    for way in ways.iter().cycle().take(140) {
        let mut stream = connect(&hub).await;
        stream.write_all(way.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    answers_at_once(&hub, "all of them came").await;
    let ended = async {
        for stream in &mut slow {
            for (status, ..) in read(stream).await.0 {
                assert!(matches!(status, 100 | 400 | 408 | 429 | 503), "{status}");
            }
            let mut rest = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(stream, &mut rest).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("some are kept");
    answers_at_once(&hub, "all of them went").await;
    hub.stop().await;
}

/// Forms that come slowly hold no place: whoever wants a page or a token meanwhile gets an answer at once.
#[cfg(feature = "pages")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_that_come_slowly_keep_nobody_from_pages_and_tokens() {
    let people = "[people]\nlocal = true\n";
    let hub = Hub::build().limits("concurrent-reads = 20").sections(people).start().await;
    let form = format!(
        "Host: onward\r\nOrigin: {}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length",
        hub.base_url
    );
    let mut slow = Vec::new();
    // more than there are places
    for path in ["/oauth/token", "/login"] {
        for _ in 0..110 {
            let mut stream = connect(&hub).await;
            stream.write_all(format!("POST {path} HTTP/1.1\r\n{form}: 1000\r\n\r\na").as_bytes()).await.unwrap();
            slow.push(stream);
        }
    }
    let asks = [
        ("GET /login HTTP/1.1\r\nHost: onward\r\nConnection: close\r\n\r\n".to_owned(), 200),
        (format!("POST /oauth/token HTTP/1.1\r\n{form}: 3\r\n\r\na=b"), 400),
    ];
    for (ask, expected) in asks {
        let begun = Instant::now();
        let mut stream = connect(&hub).await;
        stream.write_all(ask.as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream).await.statuses(), [expected], "{ask}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{ask}: {:?}", begun.elapsed());
    }
    drop(slow);
    hub.stop().await;
}

/// One address does not take all connections; and however many it holds of which nobody is known, who is known gets in and stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_a_share_of_the_connections_and_a_known_client_gets_in_there() {
    let hub = Hub::build().limits("connections-per-address = 4").start().await;
    const LIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: onward\r\n\r\n";
    let known = format!("GET /fhir/Task HTTP/1.1\r\nHost: onward\r\nAuthorization: Bearer {}\r\n\r\n", token_of(GP));
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&hub).await;
        stream.write_all(LIVE).await.unwrap();
        assert_eq!(read(&mut stream).await.statuses(), [200]);
        held.push(stream);
    }
    // she finds all places taken by others, and has one
    let mut hers = connect(&hub).await;
    hers.write_all(known.as_bytes()).await.unwrap();
    assert_eq!(read(&mut hers).await.statuses(), [200]);
    // which nobody takes from her, however many come
    for _ in 0..20 {
        let mut stream = connect(&hub).await;
        stream.write_all(LIVE).await.unwrap();
        assert_eq!(read(&mut stream).await.statuses(), [200]);
        held.push(stream);
    }
    hers.write_all(known.as_bytes()).await.unwrap();
    assert_eq!(read(&mut hers).await.statuses(), [200]);
    // of the others there are never more than the address may have
    let mut open = 0;
    for stream in &mut held {
        open += usize::from(stream.write_all(LIVE).await.is_ok() && read(stream).await.statuses() == [200]);
    }
    assert!((1..=3).contains(&open), "{open}");
    // and where all places are those of somebody who is known, who comes next is turned away at once
    let mut all_known = vec![hers];
    for _ in 0..3 {
        let mut stream = connect(&hub).await;
        stream.write_all(known.as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream).await.statuses(), [200]);
        all_known.push(stream);
    }
    let begun = Instant::now();
    let mut stream = connect(&hub).await;
    let _ = stream.write_all(LIVE).await;
    assert_eq!(read(&mut stream).await.statuses(), [0; 0]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    for stream in &mut all_known {
        stream.write_all(known.as_bytes()).await.unwrap();
        assert_eq!(read(stream).await.statuses(), [200], "what was theirs is theirs");
    }
    drop(all_known);
    crate::support::until("a connection", || async {
        let mut stream = connect(&hub).await;
        let _ = stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: onward\r\nConnection: close\r\n\r\n").await;
        (read(&mut stream).await.statuses() == [200]).then_some(())
    })
    .await;
    hub.stop().await;
}

/// A head is held only as far as it may be long, whether its lines are many, long, or never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_long_is_refused_before_it_is_whole() {
    let hub = Hub::start().await;
    let with = |lines: &str| format!("GET /health/live HTTP/1.1\r\nHost: onward\r\n{lines}");
    let long = |bytes: usize| format!("X-A: {}", "a".repeat(bytes));
    let many: String = (0..90).map(|n| format!("X-{n}: {}\r\n", "a".repeat(400))).collect();
    for (about, bytes, expected) in [
        ("long, and not too long", with(&format!("{}\r\nConnection: close\r\n\r\n", long(28_000))), 200),
        ("a long line", with(&format!("{}\r\n\r\n", long(34_000))), 431),
        ("a line that never ends", with(&long(34_000)), 431),
        ("many lines", with(&format!("{many}\r\n")), 431),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: onward\r\n\r\n", "a".repeat(34_000)), 431),
    ] {
        assert_eq!(send(&hub, bytes.as_bytes()).await.statuses(), [expected], "{about}");
        answers_at_once(&hub, about).await;
    }
    hub.stop().await;
}

/// What is said in parameters makes no header of an answer; that it makes no line of a log is shown in `lines`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sent_becomes_a_header() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    for evil in ["a%0d%0aSet-Cookie:%20x=y", "a%0aX-Evil:%201", "%e2%80%ae%1b[31m", "%00", "%c2%85x", "%e2%80%a8x"] {
        for path in [
            format!("/fhir/Task?_count={evil}"),
            format!("/fhir/Task?{evil}=a"),
            format!("/fhir/Task?_id={evil}"),
            format!("/fhir/Task/{evil}"),
            format!("/fhir/Task/_history?_after={evil}"),
            format!("/fhir/Task?_format={evil}"),
            format!("/login?to={evil}"),
            format!("/open-referral/services?search={evil}"),
        ] {
            let answer = gp.get(&path).await;
            assert!(answer.status.as_u16() < 500, "{path}: {}", answer.describe());
            let headers = format!("{:?}", answer.headers).to_ascii_lowercase();
            assert!(!headers.contains("x-evil") && !headers.contains("x=y"), "{path}: {headers}");
            assert!(!answer.headers.values().any(|value| value.as_bytes().iter().any(|b| *b < b' ')), "{path}");
        }
    }
    hub.stop().await;
}
