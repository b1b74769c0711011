//! Route sets in versions.

use async_trait::async_trait;
use jiff::Timestamp;
use onward::store::{ActivateError, Activation, NewRoutes, RouteStore, RoutesVersion, Signed, Store, StoreError};

use super::Memory;

/// See the module's documentation.
#[derive(Default)]
pub struct Routes {
    versions: Vec<RoutesVersion>,
    activations: Vec<Activation>,
}

impl Routes {
    pub fn add(&mut self, over: u64, new: NewRoutes, at: Timestamp) -> Result<Activation, ActivateError> {
        new.fits()?;
        self.is_last(over)?;
        let number = self.versions.len() as u64 + 1;
        let NewRoutes { hash, text, files, signed } = new;
        self.versions.push(RoutesVersion { number, hash, text, files, signed: signed.clone(), at });
        Ok(self.activated(number, true, signed, at))
    }

    pub fn activate(
        &mut self,
        over: u64,
        number: u64,
        signed: Signed,
        at: Timestamp,
    ) -> Result<Activation, ActivateError> {
        self.version(number).ok_or(ActivateError::Unknown(number))?;
        self.is_last(over)?;
        Ok(self.activated(number, false, signed, at))
    }

    fn is_last(&self, over: u64) -> Result<(), ActivateError> {
        if self.activations.len() as u64 == over { Ok(()) } else { Err(ActivateError::Moved) }
    }

    fn activated(&mut self, number: u64, is_new: bool, signed: Signed, at: Timestamp) -> Activation {
        let hash = self.version(number).unwrap().hash;
        let seq = self.activations.len() as u64 + 1;
        let activation = Activation { seq, number, hash, is_new, signed, at };
        self.activations.push(activation.clone());
        activation
    }

    pub fn active(&self) -> Option<Activation> {
        self.activations.last().cloned()
    }

    pub fn history(&self, limit: usize) -> Vec<Activation> {
        self.activations.iter().rev().take(limit).cloned().collect()
    }

    pub fn version(&self, number: u64) -> Option<RoutesVersion> {
        self.versions.iter().find(|version| version.number == number).cloned()
    }
}

#[async_trait]
impl RouteStore for Memory {
    async fn add_routes(&self, over: u64, new: NewRoutes) -> Result<Activation, ActivateError> {
        let now = self.now();
        let mut all = self.open()?;
        let added = all.routes.add(over, new, now)?;
        all.alerts.end_about_routes();
        Ok(added)
    }

    async fn activate_routes(&self, over: u64, number: u64, signed: Signed) -> Result<Activation, ActivateError> {
        let now = self.now();
        let mut all = self.open()?;
        let activated = all.routes.activate(over, number, signed, now)?;
        all.alerts.end_about_routes();
        Ok(activated)
    }

    async fn active_routes(&self) -> Result<Option<Activation>, StoreError> {
        Ok(self.all()?.routes.active())
    }

    async fn routes_history(&self, limit: usize) -> Result<Vec<Activation>, StoreError> {
        Ok(self.all()?.routes.history(limit))
    }

    async fn routes_version(&self, number: u64) -> Result<Option<RoutesVersion>, StoreError> {
        Ok(self.all()?.routes.version(number))
    }
}
