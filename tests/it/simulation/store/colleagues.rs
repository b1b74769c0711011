//! The part of the port that knows who works referrals by the word of an issuer, reached the same way.

use std::sync::Arc;

use async_trait::async_trait;
use onward::{
    domain::ProviderId,
    store::{Colleague, ColleagueStore, StoreError},
};

use super::Reached;

#[async_trait]
impl ColleagueStore for Reached {
    async fn keep_colleague(&self, person: &str, name: &str, providers: Vec<ProviderId>) -> Result<(), StoreError> {
        let (person, name) = (person.to_owned(), name.to_owned());
        reach!(self, keep_colleague(&person, &name, providers))
    }

    async fn colleagues(&self, provider: &ProviderId) -> Result<Vec<Colleague>, StoreError> {
        let provider = provider.clone();
        reach!(self, colleagues(&provider))
    }

    async fn colleague_names(
        &self,
        providers: Vec<ProviderId>,
        most: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        reach!(self, colleague_names(providers, most))
    }
}
