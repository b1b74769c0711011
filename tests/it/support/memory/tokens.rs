//! Assertions that were used, access tokens, and secrets that are shared.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use onward::store::{AccessToken, Store, StoreError, TokenStore, UsedAssertion};

use super::Memory;

/// See the module's documentation.
#[derive(Default)]
pub struct Tokens {
    used: BTreeMap<[u8; 32], Timestamp>,
    given: BTreeMap<[u8; 32], AccessToken>,
    shared: BTreeMap<String, [u8; 32]>,
}

#[async_trait]
impl TokenStore for Memory {
    async fn use_assertion(&self, used: UsedAssertion, gives: Option<AccessToken>) -> Result<bool, StoreError> {
        let now = self.now();
        let mut all = self.open()?;
        all.tokens.used.retain(|_, until| *until >= now);
        all.tokens.given.retain(|_, token| token.until >= now);
        if all.tokens.used.contains_key(&used.id) {
            return Ok(false);
        }
        all.tokens.used.insert(used.id, used.until);
        all.tokens.given.extend(gives.map(|token| (token.hash, token)));
        Ok(true)
    }

    async fn access_token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
        let now = self.now();
        Ok(self.all()?.tokens.given.get(&hash).filter(|token| token.until > now).cloned())
    }

    async fn revoke_token(&self, hash: [u8; 32], client: &str) -> Result<bool, StoreError> {
        let mut all = self.open()?;
        let is_its = all.tokens.given.get(&hash).is_some_and(|token| token.client == client);
        Ok(is_its && all.tokens.given.remove(&hash).is_some())
    }

    async fn shared_secret(&self, name: &str, offered: [u8; 32]) -> Result<[u8; 32], StoreError> {
        Ok(*self.open()?.tokens.shared.entry(name.to_owned()).or_insert(offered))
    }
}
