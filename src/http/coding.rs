//! Content codings, both ways: gzip (RFC 1952) and zstd (RFC 8878). A body that came in one is made plain within the bound that a
//! plain one has; an answer that is worth it is given in one that the client takes.
//!
//! Both are asked for whole bodies in memory, not as streams: so a sender cannot choose how large a window is kept for it.

use std::io::{self, Read as _, Write as _};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use zstd::zstd_safe;

use super::reply::Fault;
use crate::fhir::{Issue, IssueCode};

/// Answers that are smaller are given as they are.
const ANSWER_MIN_BYTES: u64 = 1024;
/// A gzip file may have members (RFC 1952, 2.2), and each costs something even if there is nothing in it: more than so many are
/// refused.
const MEMBERS_MAX: usize = 64;
/// Between pieces of so many bytes of an answer others have their turn.
const PIECE_BYTES: usize = 64 * 1024;
/// The fastest of either: the last tenth costs more time than it saves.
const ZSTD_LEVEL: i32 = 1;
/// `ZSTD_error_dstSize_tooSmall`, as zstd's functions return it (`zstd_errors.h`, where numbers below 100 never change).
const TOO_SMALL: usize = 70_usize.wrapping_neg();

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

/// Why a body cannot be made plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecoded {
    /// It is larger than it may be.
    TooLong,
    /// It is not what it is said to be.
    Broken,
}

/// What the body of a request came in.
///
/// # Errors
/// 415 for another coding, and for several.
pub(super) fn of_request(headers: &HeaderMap) -> Result<Option<Coding>, Fault> {
    let mut found = None;
    let lines = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
    for name in lines.flat_map(|line| line.split(',')).map(str::trim).filter(|name| !name.is_empty()) {
        let coding = if name.eq_ignore_ascii_case("identity") { continue } else { named(name) };
        if coding.is_none() || found.is_some() {
            let told = "the body must come plain, or as gzip or zstd once";
            let issue = Issue::error(IssueCode::NotSupported, "http.Content-Encoding", told);
            // it says what would be taken (RFC 9110, 15.5.16)
            let fault = Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, issue);
            return Err(fault.header(header::ACCEPT_ENCODING, "gzip, zstd"));
        }
        found = coding;
    }
    Ok(found)
}

fn named(name: &str) -> Option<Coding> {
    // x-gzip is the same (RFC 9110, 8.4.1.3)
    let known = [("gzip", Coding::Gzip), ("x-gzip", Coding::Gzip), ("zstd", Coding::Zstd)];
    known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, coding)| coding)
}

/// How many bytes a body may have in its coding if it may have `limit` plain: what cannot be made smaller gets a little larger.
pub(super) fn coded_max(limit: usize) -> usize {
    limit + limit / 64 + 1024
}

/// The plain body, which has at most `limit` bytes. A body is read whole anyway, and this takes less time than reading its JSON.
///
/// # Errors
/// [`Undecoded`]
pub(super) fn decode(coding: Coding, coded: &[u8], limit: usize) -> Result<Bytes, Undecoded> {
    match coding {
        Coding::Gzip => gunzip(coded, limit),
        Coding::Zstd => unzstd(coded, limit),
    }
    .map(Bytes::from)
}

fn gunzip(mut coded: &[u8], limit: usize) -> Result<Vec<u8>, Undecoded> {
    let mut plain = Vec::new();
    for _ in 0..MEMBERS_MAX {
        let mut member = GzDecoder::new(coded);
        let room = limit - plain.len();
        let read = member.by_ref().take(room as u64 + 1).read_to_end(&mut plain);
        if plain.len() > limit {
            return Err(Undecoded::TooLong);
        }
        read.map_err(|_| Undecoded::Broken)?;
        coded = member.into_inner();
        if coded.is_empty() {
            return Ok(plain);
        }
    }
    Err(Undecoded::Broken)
}

/// Straight into the plain body, which is its own window.
fn unzstd(coded: &[u8], limit: usize) -> Result<Vec<u8>, Undecoded> {
    if coded.is_empty() {
        return Err(Undecoded::Broken);
    }
    // most senders say how much it is; that is a claim about the first frame only
    let claimed = match zstd_safe::get_frame_content_size(coded) {
        Ok(Some(claimed)) => usize::try_from(claimed).unwrap_or(usize::MAX),
        Ok(None) | Err(_) => limit,
    };
    for room in [claimed.min(limit), limit] {
        let mut plain = Vec::with_capacity(room);
        match zstd_safe::decompress(&mut plain, coded) {
            Ok(_) => return Ok(plain),
            Err(TOO_SMALL) => {}
            Err(_) => return Err(Undecoded::Broken),
        }
    }
    Err(Undecoded::TooLong)
}

/// Around every answer: in the coding that the client takes, where it is large enough for that.
///
/// To compress a secret together with text that an attacker chose would let its length tell the secret (BREACH). Nothing that we
/// answer has a secret in it: tokens come in headers only, and no answer repeats them.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    let coding = accepted(request.headers());
    let mut response = next.run(request).await;
    let size = response.body().size_hint().exact().unwrap_or_default();
    let is_coded = response.headers().contains_key(header::CONTENT_ENCODING);
    if is_coded || size < ANSWER_MIN_BYTES && response.status() != StatusCode::NOT_MODIFIED {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_name(header::ACCEPT_ENCODING));
    let (Some(coding), true) = (coding, size > 0) else { return response };
    let (mut parts, body) = response.into_parts();
    let Ok(plain) = body.collect().await.map(|whole| whole.to_bytes()) else {
        // ours are whole already and do not fail
        parts.status = StatusCode::INTERNAL_SERVER_ERROR;
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    };
    match encode(coding, &plain).await {
        Ok(coded) => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(coded))
        }
        Err(error) => {
            tracing::warn!(%error, "an answer could not be compressed");
            Response::from_parts(parts, Body::from(plain))
        }
    }
}

/// The coding that is wished for most; zstd where it is the same to the client. None: plain (RFC 9110, 12.5.3).
fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let wishes: Vec<(&str, f32)> = lines.flat_map(|line| line.split(',')).filter_map(wish).collect();
    let of = |is: &dyn Fn(&str) -> bool| wishes.iter().find(|(name, _)| is(name)).map(|(_, quality)| *quality);
    let any = of(&|name| name == "*");
    let quality = |coding| of(&|name| named(name) == Some(coding)).or(any).unwrap_or_default();
    let plain = of(&|name| name.eq_ignore_ascii_case("identity")).unwrap_or_default();
    let (zstd, gzip) = (quality(Coding::Zstd), quality(Coding::Gzip));
    let best = if zstd >= gzip { (Coding::Zstd, zstd) } else { (Coding::Gzip, gzip) };
    (best.1 > 0.0 && best.1 >= plain).then_some(best.0)
}

fn wish(text: &str) -> Option<(&str, f32)> {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let quality = match parameters.trim() {
        "" => 1.0,
        given => given.strip_prefix("q=").or_else(|| given.strip_prefix("Q="))?.trim().parse().ok()?,
    };
    (0.0..=1.0).contains(&quality).then(|| (name.trim(), quality))
}

async fn encode(coding: Coding, plain: &[u8]) -> io::Result<Vec<u8>> {
    let coded = Vec::with_capacity(plain.len() / 4);
    let mut encoder = match coding {
        Coding::Gzip => Encoder::Gzip(GzEncoder::new(coded, Compression::fast())),
        Coding::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(coded, ZSTD_LEVEL)?;
            // its tables are then no larger than the answer needs
            encoder.set_pledged_src_size(Some(plain.len() as u64))?;
            Encoder::Zstd(encoder)
        }
    };
    for piece in plain.chunks(PIECE_BYTES) {
        match &mut encoder {
            Encoder::Gzip(encoder) => encoder.write_all(piece)?,
            Encoder::Zstd(encoder) => encoder.write_all(piece)?,
        }
        if plain.len() > PIECE_BYTES {
            tokio::task::yield_now().await;
        }
    }
    match encoder {
        Encoder::Gzip(encoder) => encoder.finish(),
        Encoder::Zstd(encoder) => encoder.finish(),
    }
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Coding {
    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    const BOTH: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), line.parse().unwrap())).collect()
    }

    /// Bytes that cannot be made smaller.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut dice = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(|| dice.u8(..)).take(bytes).collect()
    }

    #[tokio::test]
    async fn what_is_coded_is_made_plain_again_up_to_the_limit_and_no_further() {
        for coding in BOTH {
            for plain in [vec![b' '; 300_000], noise(300_000), b"{}".to_vec(), Vec::new()] {
                let coded = encode(coding, &plain).await.unwrap();
                let len = plain.len();
                assert!(coded.len() <= coded_max(len), "{coding:?} {len}: {}", coded.len());
                assert_eq!(decode(coding, &coded, len).as_deref(), Ok(&plain[..]), "{coding:?} {len}");
                assert_eq!(decode(coding, &coded, 1 << 20).as_deref(), Ok(&plain[..]), "{coding:?} {len}");
                if len > 0 {
                    assert_eq!(decode(coding, &coded, len - 1), Err(Undecoded::TooLong), "{coding:?} {len}");
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_broken_is_said_to_be() {
        for coding in BOTH {
            let coded = encode(coding, &noise(1000)).await.unwrap();
            let mut turned = coded.clone();
            turned[500] ^= 1;
            let mut longer = coded.clone();
            longer.extend_from_slice(b"more");
            for broken in [&b""[..], b"{\"resourceType\":\"Task\"}", &coded[..coded.len() / 2], &turned, &longer] {
                // zstd has no checksum unless its sender wants one
                if coding == Coding::Zstd && broken == turned {
                    continue;
                }
                assert_eq!(decode(coding, broken, 1 << 20), Err(Undecoded::Broken), "{coding:?} {}", broken.len());
            }
        }
    }

    #[tokio::test]
    async fn parts_behind_each_other_are_one_body_and_nothing_in_many_parts_is_refused() {
        for coding in BOTH {
            let one = encode(coding, &[b'a'; 5000]).await.unwrap();
            let two = [one.clone(), one.clone()].concat();
            assert_eq!(decode(coding, &two, 10_000).as_deref(), Ok(&[b'a'; 10_000][..]), "{coding:?}");
            assert_eq!(decode(coding, &two, 9_999), Err(Undecoded::TooLong), "{coding:?}");
        }
        let nothing = encode(Coding::Gzip, b"").await.unwrap().repeat(MEMBERS_MAX + 1);
        assert_eq!(decode(Coding::Gzip, &nothing, 1 << 20), Err(Undecoded::Broken));
    }

    #[test]
    fn one_coding_that_is_known_is_taken() {
        for (lines, expected) in [
            (&[][..], None),
            (&["identity"], None),
            (&["gzip"], Some(Coding::Gzip)),
            (&["X-GZip"], Some(Coding::Gzip)),
            (&["identity, ZSTD"], Some(Coding::Zstd)),
        ] {
            assert_eq!(of_request(&headers(header::CONTENT_ENCODING, lines)).unwrap(), expected, "{lines:?}");
        }
        for lines in [&["br"][..], &["gzip, zstd"], &["gzip", "gzip"], &["deflate"], &["gzip;q=1"]] {
            assert!(of_request(&headers(header::CONTENT_ENCODING, lines)).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn the_coding_that_is_wished_for_most_is_given() {
        let (gzip, zstd) = (Some(Coding::Gzip), Some(Coding::Zstd));
        for (lines, expected) in [
            (&[][..], None),
            (&["gzip"], gzip),
            (&["gzip, deflate, br, zstd"], zstd),
            (&["gzip", "zstd;q=0.5"], gzip),
            (&["*"], zstd),
            (&["*, zstd;q=0"], gzip),
            (&["gzip;q=0"], None),
            (&["gzip;q=0.2, identity;q=0.9"], None),
            (&["br"], None),
            (&["gzip;q=x"], None),
            (&["gzip; q=1.0"], gzip),
        ] {
            assert_eq!(accepted(&headers(header::ACCEPT_ENCODING, lines)), expected, "{lines:?}");
        }
    }
}
