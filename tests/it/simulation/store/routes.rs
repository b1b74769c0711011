//! The part of the port that keeps route sets, reached the same way.

use std::sync::Arc;

use async_trait::async_trait;
use onward::store::{ActivateError, Activation, NewRoutes, RouteStore, RoutesVersion, Signed, StoreError};

use super::Reached;

#[async_trait]
impl RouteStore for Reached {
    async fn add_routes(&self, over: u64, new: NewRoutes) -> Result<Activation, ActivateError> {
        reach!(self, add_routes(over, new))
    }

    async fn activate_routes(&self, over: u64, number: u64, signed: Signed) -> Result<Activation, ActivateError> {
        reach!(self, activate_routes(over, number, signed))
    }

    async fn active_routes(&self) -> Result<Option<Activation>, StoreError> {
        reach!(self, active_routes())
    }

    async fn routes_history(&self, limit: usize) -> Result<Vec<Activation>, StoreError> {
        reach!(self, routes_history(limit))
    }

    async fn routes_version(&self, number: u64) -> Result<Option<RoutesVersion>, StoreError> {
        reach!(self, routes_version(number))
    }
}
