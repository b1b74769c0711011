//! Reads `[http]`: how clients may speak to Onward.

use std::time::Duration;

use super::url::{is_open_to_listeners, is_origin};
use crate::toml_reader::{Table, quoted};

/// `[http]`: how clients may speak to Onward.
#[derive(Debug, Clone)]
pub struct Http {
    /// Whether HTTP/2 is spoken beside HTTP/1.1. Default true.
    pub http2: bool,
    /// Which pages of others may speak to it from a browser.
    pub cors: Cors,
}

/// `[http.cors]`: which pages of other origins a browser lets speak to Onward (WHATWG Fetch, 3.2).
#[derive(Debug, Clone)]
pub struct Cors {
    /// Their origins, as a browser writes them. Default none, and then no page of another origin may.
    pub origins: Vec<String>,
    /// For so long a browser need not ask again. Default 10 minutes.
    pub max_age: Duration,
}

/// So many origins at the most.
const ORIGINS_MAX: usize = 32;
const ORIGIN: &str = "an origin such as \"https://app.example\": scheme and host in small letters, a port if it is not the usual \
                      one, no path";
const DAY: Duration = Duration::from_secs(24 * 3600);

// === impl Http ===

impl Http {
    pub(super) fn read(mut table: Table<'_>) -> Self {
        let http2 = table.get("http2").and_then(|node| node.bool()).unwrap_or(true);
        let cors = Cors::read(table.section("cors"));
        table.finish();
        Self { http2, cors }
    }
}

// === impl Cors ===

impl Cors {
    fn read(mut table: Table<'_>) -> Self {
        let nodes = table.get("origins").map(|node| node.items("a list of origins")).unwrap_or_default();
        if nodes.len() > ORIGINS_MAX {
            table.fault("origins", format!("found {} origins; allowed: at most {ORIGINS_MAX}", nodes.len()));
        }
        let mut origins = Vec::new();
        for node in nodes.into_iter().take(ORIGINS_MAX) {
            let Some(text) = node.text(ORIGIN) else { continue };
            if !is_origin(text) {
                node.fault(&quoted(text), ORIGIN);
                continue;
            }
            if is_open_to_listeners(text) {
                node.warn("http:// to another machine: whoever stands between can put a page of that origin together");
            }
            origins.push(text.to_owned());
        }
        let max_age = table.get("max-age").and_then(|node| node.duration(Duration::ZERO, DAY));
        table.finish();
        Self { origins, max_age: max_age.unwrap_or(Duration::from_secs(600)) }
    }
}
