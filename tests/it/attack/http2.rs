//! HTTP/2 as no client speaks it: frames that never end, that are too many, that say what HTTP/1.1 would read otherwise. The connection ends,
//! or the stream does, and nobody else notices.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use super::raw::address;
use crate::{
    support::{
        PATIENCE,
        bridge::Bridge,
        frames::{DATA, GOAWAY, HEADERS, PING, RST_STREAM, Raw, SETTINGS, frame, get},
        hub::{GP, Hub, token_of},
    },
    tls::{NAME, secured},
};

const CONTINUATION: u8 = 9;
const PRIORITY: u8 = 2;
const WINDOW_UPDATE: u8 = 8;
/// On HEADERS: what they are of ends with them; they end themselves.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A header that stands in no table (RFC 7541, 6.2.2).
fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

async fn answers(hub: &Hub, after: &str) {
    let begun = Instant::now();
    assert_eq!(hub.sender(GP).get("/fhir/Task?_count=1").await.status, 200, "after {after}");
    assert!(begun.elapsed() < Duration::from_secs(1), "after {after}: {:?}", begun.elapsed());
}

/// How a connection ends over which this is written: by which error, if it says so.
async fn end_of(at: &str, bytes: Vec<u8>) -> Option<u32> {
    let Raw { from, mut to } = Raw::open_at(at, 65_535).await;
    // who is cut off does not get rid of the rest
    let writing = tokio::spawn(async move {
        let _ = to.write_all(&bytes).await;
        to
    });
    let mut raw = Reading { from };
    let ended = tokio::time::timeout(PATIENCE, raw.end()).await.expect("it is kept open");
    writing.abort();
    ended
}

struct Reading {
    from: tokio::net::tcp::OwnedReadHalf,
}

impl Reading {
    /// The error of the last GOAWAY before the end.
    async fn end(&mut self) -> Option<u32> {
        use tokio::io::AsyncReadExt as _;
        let mut told = None;
        loop {
            let mut head = [0; 9];
            if self.from.read_exact(&mut head).await.is_err() {
                return told;
            }
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if self.from.read_exact(&mut payload).await.is_err() {
                return told;
            }
            if head[3] == GOAWAY {
                told = Some(u32::from_be_bytes([payload[4], payload[5], payload[6], payload[7]]));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_never_end_or_are_too_many_end_the_connection() {
    let hub = Hub::build().limits("header-timeout = \"2s\"").start().await;
    what_is_too_much_ends(&hub, address(&hub)).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_never_end_or_are_too_many_end_the_connection_over_tls() {
    let it = secured("", "", "header-timeout = \"2s\"").await;
    let bridge = Bridge::start(it.port, NAME, it.servers.file(), "h2").await;
    what_is_too_much_ends(&it.hub, &bridge.at).await;
    it.hub.stop().await;
}

async fn what_is_too_much_ends(hub: &Hub, at: &str) {
    let large = header("x-a", &"a".repeat(120));
    let endless = |kind: u8, payload: &[u8]| -> Vec<u8> {
        let begun = frame(HEADERS, END_STREAM, 1, &get("/fhir/metadata"));
        begun.into_iter().chain(std::iter::repeat_n(frame(kind, 0, 1, payload), 20_000).flatten()).collect()
    };
    let many = |one: Vec<u8>| one.repeat(100_000);
    for (about, bytes) in [
        ("headers that never end (CVE-2024-27316)", endless(CONTINUATION, &large)),
        ("headers that never end and say nothing", endless(CONTINUATION, &[])),
        ("something else between headers", endless(PING, &[0; 8])),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &get("/health/live"))),
        ("a stream of the server's", frame(HEADERS, 5, 2, &get("/health/live"))),
        (
            "a stream before the last",
            [frame(HEADERS, 5, 5, &get("/health/live")), frame(HEADERS, 5, 3, &get("/health/live"))].concat(),
        ),
        ("a body of nothing", frame(DATA, 0, 1, b"a")),
        ("headers that cannot be unpacked", frame(HEADERS, 5, 1, &[0xff; 64])),
        (
            "a window beyond all numbers",
            [frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255])]
                .concat(),
        ),
        ("a frame that is too long", [&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1][..], &[0; 1000]].concat()),
        ("settings that cannot be", frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
    ] {
        let _ = end_of(at, bytes).await;
        answers(hub, about).await;
    }
    // what is answered each time is not answered without end to somebody who takes nothing
    for (about, one) in [
        ("questions whether it is there", frame(PING, 0, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
    ] {
        let mut raw = Raw::open_at(at, 65_535).await;
        let flood = many(one);
        let flooding = tokio::spawn(async move {
            let _ = raw.to.write_all(&flood).await;
            raw
        });
        answers(hub, about).await;
        let raw = tokio::time::timeout(PATIENCE, flooding).await.expect("it neither takes it nor ends").unwrap();
        drop(raw);
        answers(hub, about).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_http_1_would_read_otherwise_is_refused() {
    let hub = Hub::start().await;
    what_is_read_otherwise_is_refused(&hub, address(&hub)).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_http_1_would_read_otherwise_is_refused_over_tls() {
    let it = secured("", "", "").await;
    let bridge = Bridge::start(it.port, NAME, it.servers.file(), "h2").await;
    what_is_read_otherwise_is_refused(&it.hub, &bridge.at).await;
    it.hub.stop().await;
}

async fn what_is_read_otherwise_is_refused(hub: &Hub, at: &str) {
    let plain = |path: &str| [vec![0x82, 0x86], text(0x04, path), text(0x01, "onward")].concat();
    let bearer = header("authorization", &format!("Bearer {}", token_of(GP)));
    let with = |more: Vec<u8>| [plain("/fhir/Task?_count=1"), bearer.clone(), more].concat();
    assert_eq!(status_of(at, with(vec![])).await, Some(200), "the control");
    for (about, block) in [
        (
            "a path with another request in it",
            [plain("/fhir/Task HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics"), bearer.clone()].concat(),
        ),
        ("a path without a slash", [plain("fhir/Task"), bearer.clone()].concat()),
        ("an empty path", [plain(""), bearer.clone()].concat()),
        ("a path with a NUL", [plain("/fhir/\0Task"), bearer.clone()].concat()),
        ("a header with another in it", with(header("x-a", "b\r\nx-c: d"))),
        ("a header with a NUL", with(header("x-a", "b\0"))),
        ("a name in capitals", with(header("X-A", "b"))),
        ("a name with a colon", with(header("x:a", "b"))),
        ("a name with a break", with(header("x\r\na", "b"))),
        ("a coding of HTTP/1.1", with(header("transfer-encoding", "chunked"))),
        ("a connection of HTTP/1.1", with(header("connection", "close"))),
        ("a length of what does not come", with(header("content-length", "100"))),
        ("a host that is another", with(header("host", "elsewhere"))),
        ("two hosts", with([header("host", "onward"), header("host", "onward")].concat())),
        ("a second path", with(text(0x04, "/metrics"))),
        ("a second method", with(vec![0x83])),
        ("a pseudo-header that is none", with(header(":admin", "yes"))),
        ("an answer's", with(header(":status", "200"))),
        ("no method", [vec![0x86], text(0x04, "/fhir/Task"), text(0x01, "onward"), bearer.clone()].concat()),
        ("no path", [vec![0x82, 0x86], text(0x01, "onward"), bearer.clone()].concat()),
    ] {
        let status = status_of(at, block).await;
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{about}: {status:?}");
        answers(hub, about).await;
    }
}

/// A body that is too long is answered, and only then its sender is told to keep the rest (RFC 9113, 8.1): one that is given up before may
/// throw the answer away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_much_is_told_so_before_the_stream_ends() {
    const NO_ERROR: u32 = 0;
    let hub = Hub::build().limits("body = \"256KiB\"").start().await;
    let announced = [header("content-length", "1000000")].concat();
    for (about, more) in [("announced", announced), ("found out", vec![])] {
        let mut raw = Raw::open(&hub, 65_535).await;
        let bearer = header("authorization", &format!("Bearer {}", token_of(GP)));
        let kind = header("content-type", "application/fhir+json");
        let block = [vec![0x83, 0x86], text(0x04, "/fhir/ServiceRequest"), text(0x01, "onward"), bearer, kind, more];
        raw.send(HEADERS, END_HEADERS, 1, &block.concat()).await;
        let (mut room, mut room_of_all, mut sent) = (65_535_i64, 65_535_i64, 0_i64);
        let (mut heads, mut body, mut ended, mut given_up) = (0, Vec::new(), false, None);
        // as a client sends: no more than there is room for, until it is told to stop
        while given_up.is_none() && !(ended && sent >= 1_000_000) {
            while !ended && sent < 1_000_000 && room.min(room_of_all) >= 16_384 {
                raw.send(DATA, 0, 1, &[b' '; 16_384]).await;
                (room, room_of_all, sent) = (room - 16_384, room_of_all - 16_384, sent + 16_384);
            }
            let Some((kind, flags, stream, payload)) = raw.next().await else { break };
            let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match kind {
                SETTINGS if flags & 1 == 0 => {
                    // SETTINGS_INITIAL_WINDOW_SIZE, in the place of the one that holds without it (RFC 9113, 6.9.2)
                    let own = payload.chunks(6).find(|one| one[1] == 4);
                    // before it is agreed to it does not hold
                    raw.send(SETTINGS, 1, 0, &[]).await;
                    room += own.map_or(0, |one| i64::from(u32::from_be_bytes(one[2..6].try_into().unwrap())) - 65_535);
                }
                WINDOW_UPDATE if stream == 0 => room_of_all += i64::from(number(0)),
                WINDOW_UPDATE => room += i64::from(number(0)),
                HEADERS => heads += 1,
                DATA => {
                    body.extend_from_slice(&payload);
                    ended = flags & END_STREAM != 0;
                    // whoever has the whole answer may wait for the end as long as it likes
                    if ended {
                        raw.send(PING, 0, 0, &[7; 8]).await;
                    }
                }
                RST_STREAM => given_up = Some(number(0)),
                PING if ended => break,
                GOAWAY => panic!("{about}: the connection ends"),
                _ => {}
            }
        }
        assert!(heads == 1 && ended, "{about}: the answer is whole: {heads} {ended} {given_up:?}");
        assert!(String::from_utf8_lossy(&body).contains("too-long"), "{about}: {}", String::from_utf8_lossy(&body));
        assert!(given_up.is_none_or(|why| why == NO_ERROR), "{about}: {given_up:?}");
        // and the connection goes on
        raw.send(HEADERS, 5, 3, &get("/health/live")).await;
        loop {
            let (kind, _, stream, payload) = raw.next().await.expect("the connection goes on");
            if kind == HEADERS && stream == 3 {
                assert_eq!(payload[0], 0x88, "200");
                break;
            }
        }
    }
    hub.stop().await;
}

/// A literal with a name of the static table (RFC 7541, 6.2.2).
fn text(index: u8, text: &str) -> Vec<u8> {
    [&[index, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// With what a request of these headers is answered; none where the stream or the connection ends instead.
async fn status_of(at: &str, block: Vec<u8>) -> Option<u16> {
    let mut raw = Raw::open_at(at, 65_535).await;
    raw.send(HEADERS, 5, 1, &block).await;
    loop {
        let (kind, _, stream, payload) = raw.next().await?;
        match kind {
            GOAWAY | RST_STREAM => return None,
            // the status is the first of them: one of the static table, or three digits
            HEADERS if stream == 1 => {
                return Some(match payload[0] {
                    0x88 => 200,
                    0x89 => 204,
                    0x8b => 304,
                    0x8c => 400,
                    0x8d => 404,
                    0x8e => 500,
                    _ => {
                        let length = usize::from(payload[1] & 0x7f);
                        let digits = &payload[2..2 + length];
                        if payload[1] & 0x80 == 0 {
                            String::from_utf8_lossy(digits).parse().unwrap()
                        } else {
                            huffman(digits)
                        }
                    }
                });
            }
            _ => {}
        }
    }
}

/// Three digits as RFC 7541, appendix B, packs them: 0 to 2 in five bits, 3 to 9 in six.
fn huffman(packed: &[u8]) -> u16 {
    let bits: String = packed.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let five = u16::from_str_radix(&bits[at..at + 5], 2).unwrap();
        let (digit, length) =
            if five <= 2 { (five, 5) } else { (u16::from_str_radix(&bits[at..at + 6], 2).unwrap() - 25 + 3, 6) };
        number = number * 10 + digit;
        at += length;
    }
    number
}
