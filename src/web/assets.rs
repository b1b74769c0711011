//! What a browser fetches beside a page: style, script and pictures, packed by `profiles/build/pages.rs` under names that hold the hash
//! of their content. So each is kept for ever by who has it, and a new program has new names.

use std::{
    io::Write as _,
    sync::{LazyLock, OnceLock},
};

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use super::stay;

mod packed {
    use super::Asset;
    use crate::definitions::Package;

    include!(concat!(env!("OUT_DIR"), "/assets.rs"));
}

pub use packed::{ICON, PACKAGE, SCRIPT, STYLE, TYPEFACE};

/// Where all of them lie.
pub(super) const FOLDER: &str = "/assets/";
/// A year: longer than that nothing is kept (RFC 9111 leaves more to the browser).
const KEPT: &str = "public, max-age=31536000, immutable";

/// One of them.
struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

/// Each compressed as well as gzip can, once it is asked for.
static COMPRESSED: LazyLock<Vec<OnceLock<Option<Bytes>>>> =
    LazyLock::new(|| packed::ASSETS.iter().map(|_| OnceLock::new()).collect());

/// `GET /assets/{name}`.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    if let Some(sheet) = stay::sheet(&name) {
        let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, KEPT)];
        return (kind, sheet).into_response();
    }
    let named = |asset: &Asset| asset.path.strip_prefix(FOLDER) == Some(name.as_str());
    let Some((at, asset)) = packed::ASSETS.iter().enumerate().find(|(_, asset)| named(asset)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = match takes_gzip(&headers).then(|| compressed(at, asset)).flatten() {
        Some(compressed) => ([(header::CONTENT_ENCODING, "gzip")], compressed).into_response(),
        None => asset.content.into_response(),
    };
    let own = response.headers_mut();
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static(KEPT));
    own.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

fn compressed(at: usize, asset: &Asset) -> Option<Bytes> {
    let once = COMPRESSED.get(at)?;
    let made = once.get_or_init(|| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(asset.content.as_bytes()).ok()?;
        gzip.finish().ok().map(Bytes::from)
    });
    made.clone()
}

/// What the first page brings with it, as it travels.
#[cfg(test)]
pub(super) fn packed_len() -> usize {
    let all = packed::ASSETS.iter().enumerate();
    all.filter_map(|(at, asset)| compressed(at, asset)).map(|packed| packed.len()).sum()
}

/// Whether gzip is among the codings that are taken; every browser says so in these words.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for asset in &packed::ASSETS {
            let named =
                asset.content.split("://").skip(1).map(|rest| rest.split(['"', '\'', '/', ' ', ')']).next().unwrap());
            // names of XML vocabularies are names and are not fetched; what a comment or a message tells is not fetched either
            let hosts: Vec<&str> = named.filter(|host| *host != "www.w3.org").collect();
            assert!(asset.kind.starts_with("text/javascript") || hosts.is_empty(), "{}: {hosts:?}", asset.path);
            assert!(!asset.content.contains("Frutiger") && !asset.content.contains("eval("), "{}", asset.path);
        }
    }

    #[tokio::test]
    async fn each_is_kept_for_ever_and_small() {
        let mut sum = 0;
        for asset in &packed::ASSETS {
            let name = Path(asset.path.strip_prefix(FOLDER).unwrap().to_owned());
            let asked = [(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br"))];
            let answer = super::asset(name, asked.into_iter().collect()).await;
            assert_eq!(answer.headers()[header::CACHE_CONTROL], KEPT);
            assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            let mut plain = String::new();
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut plain).unwrap();
            assert_eq!(plain, asset.content);
            sum += bytes.len();
        }
        assert!(sum < 60_000, "{sum} bytes are fetched with the first page");
        let absent = super::asset(Path("pages.css".into()), HeaderMap::new()).await;
        assert_eq!(absent.status(), StatusCode::NOT_FOUND, "without its hash it is not there");
    }
}
