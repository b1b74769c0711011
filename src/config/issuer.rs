//! Reads `[issuer]`: who else gives access tokens to systems, where the trust has such a server already.

use super::keys::https;
use crate::toml_reader::Table;

const WORD_CHARS_MAX: usize = 500;

/// `[issuer]`: whose access tokens are taken beside Onward's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its URL, which stands in its tokens (`iss`), without a slash at the end. Below it is its description.
    pub url: String,
    /// For whom tokens must be (`aud`).
    pub audience: String,
    /// The claim that says which client it is.
    pub client_claim: String,
}

impl Issuer {
    pub(super) fn read(root: &mut Table<'_>) -> Option<Self> {
        let mut table = root.get("issuer")?.table("a table with url and audience")?;
        let url = table.need("url", "\"https://HOST/PATH\"").and_then(|node| https(&node));
        let audience = table.need("audience", "for whom its tokens for Onward are (aud)");
        let audience = audience.and_then(|node| node.line(WORD_CHARS_MAX));
        let claim = table.get("client-claim").and_then(|node| node.line(WORD_CHARS_MAX));
        table.finish();
        Some(Self { url: url?, audience: audience?, client_claim: claim.unwrap_or_else(|| "client_id".to_owned()) })
    }
}
