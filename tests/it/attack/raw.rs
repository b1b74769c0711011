//! HTTP/1.1 as bytes: what no client would send.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::hub::Hub;

/// Longer than this nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a whole answer another one would come within this.
const ANOTHER: Duration = Duration::from_millis(150);

/// What came back: every answer there was, by its head and its body.
#[derive(Debug)]
pub struct Answers(pub Vec<(u16, String, String)>);

impl Answers {
    pub fn statuses(&self) -> Vec<u16> {
        self.0.iter().map(|(status, ..)| *status).collect()
    }
}

pub async fn connect(hub: &Hub) -> TcpStream {
    TcpStream::connect(address(hub)).await.unwrap()
}

/// Where it listens in clear.
pub fn address(hub: &Hub) -> &str {
    hub.base_url.strip_prefix("http://").unwrap()
}

/// Sends these bytes over a connection of their own and reads until it ends or is quiet after whole answers.
pub async fn send(hub: &Hub, bytes: &[u8]) -> Answers {
    send_to(address(hub), bytes).await
}

/// The same to this address.
pub async fn send_to(at: &str, bytes: &[u8]) -> Answers {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // one that is refused early may be closed before all of it was taken
    let _ = stream.write_all(bytes).await;
    read(&mut stream).await
}

/// What comes over a connection until it ends or is quiet after whole answers.
pub async fn read(stream: &mut TcpStream) -> Answers {
    let mut all = Vec::new();
    let mut some = vec![0; 65_536];
    let begun = tokio::time::Instant::now();
    loop {
        let patience = if taken(&all).1.is_empty() && !all.is_empty() { ANOTHER } else { PATIENCE };
        match tokio::time::timeout(patience, stream.read(&mut some)).await {
            Ok(Ok(n @ 1..)) => all.extend_from_slice(&some[..n]),
            _ => break,
        }
        assert!(begun.elapsed() < PATIENCE * 2, "it never ends");
    }
    Answers(taken(&all).0)
}

/// The whole answers in these bytes, and what is left.
fn taken(mut bytes: &[u8]) -> (Vec<(u16, String, String)>, Vec<u8>) {
    let mut answers = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let header = |name: &str| {
            let found = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
            found.map(|line| line[name.len()..].trim().to_owned())
        };
        let rest = &bytes[end + 4..];
        let length = match header("content-length:").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => length,
            None if header("transfer-encoding:").is_some() => {
                match rest.windows(5).position(|five| five == b"0\r\n\r\n") {
                    Some(at) => at + 5,
                    None => break,
                }
            }
            None => 0,
        };
        if rest.len() < length {
            break;
        }
        answers.push((status, head, String::from_utf8_lossy(&rest[..length]).into_owned()));
        bytes = &rest[length..];
    }
    (answers, bytes.to_vec())
}
