//! The part of the port that keeps tokens, reached the same way.

use std::sync::Arc;

use async_trait::async_trait;
use onward::store::{AccessToken, StoreError, TokenStore, UsedAssertion};

use super::Reached;

#[async_trait]
impl TokenStore for Reached {
    async fn use_assertion(&self, used: UsedAssertion, gives: Option<AccessToken>) -> Result<bool, StoreError> {
        reach!(self, use_assertion(used, gives))
    }

    async fn access_token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
        reach!(self, access_token(hash))
    }

    async fn revoke_token(&self, hash: [u8; 32], client: &str) -> Result<bool, StoreError> {
        let client = client.to_owned();
        reach!(self, revoke_token(hash, &client))
    }

    async fn shared_secret(&self, name: &str, offered: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let name = name.to_owned();
        reach!(self, shared_secret(&name, offered))
    }
}
