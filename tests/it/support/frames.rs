//! HTTP/2 frame by frame (RFC 9113, 4.1 and 6), as no client would write it.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{PATIENCE, hub::Hub};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
/// On HEADERS: nothing follows, neither headers nor a body.
pub const WHOLE: u8 = 0x5;

/// A connection of HTTP/2, frame by frame.
pub struct Raw {
    pub from: OwnedReadHalf,
    pub to: OwnedWriteHalf,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a `GET` (RFC 7541, 6.1 and 6.2.2).
pub fn get(path: &str) -> Vec<u8> {
    let text = |index: u8, text: &str| [&[index, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0x82, 0x86], text(0x04, path), text(0x01, "onward")].concat()
}

impl Raw {
    /// With a window for answers of so many bytes.
    pub async fn open(hub: &Hub, window: u32) -> Self {
        Self::open_at(hub.base_url.strip_prefix("http://").unwrap(), window).await
    }

    /// The same to this address.
    pub async fn open_at(at: &str, window: u32) -> Self {
        let stream = TcpStream::connect(at).await.unwrap();
        let (from, to) = stream.into_split();
        let mut raw = Self { from, to };
        raw.to.write_all(PREFACE).await.unwrap();
        raw.send(SETTINGS, 0, 0, &[&[0, 4], &window.to_be_bytes()[..]].concat()).await;
        raw
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        // one that was closed meanwhile is seen by whoever reads
        let _ = self.to.write_all(&frame(kind, flags, stream, payload)).await;
    }

    /// The next frame: its kind, flags, stream and payload; none at the end of the connection.
    pub async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let read = async {
            let mut head = [0; 9];
            self.from.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.from.read_exact(&mut payload).await.ok()?;
            Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("nothing comes, and no end")
    }

    /// The kinds of all frames until the end, while it says all the time that it is there, or asks again and again.
    pub async fn until_its_end(mut self, asks: bool) -> (Vec<u8>, Duration) {
        let begun = Instant::now();
        let mut kinds = Vec::new();
        let mut stream = 3;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    if asks {
                        self.send(HEADERS, WHOLE, stream, &get("/health/live")).await;
                        stream += 2;
                    } else {
                        self.send(PING, 0, 0, &[7; 8]).await;
                    }
                }
                // a frame of ours is read whole once it begins: they come in one piece
                readable = self.from.readable() => {
                    readable.unwrap();
                    match self.next().await {
                        Some((kind, ..)) => kinds.push(kind),
                        None => return (kinds, begun.elapsed()),
                    }
                }
            }
            assert!(begun.elapsed() < PATIENCE, "it is kept open: {kinds:?}");
        }
    }
}
