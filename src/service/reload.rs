//! A changed configuration: seen, taken up as a whole, or refused and told.

use std::{path::PathBuf, time::Duration};

use super::{Service, profiles, routes::first_of};
use crate::{
    config::{Config, Env, Fault},
    domain::{Alert, AlertKind},
};

/// The subject of alerts about it.
const CONFIGURATION: &str = "configuration";
/// The configuration's files are looked at this often.
const WATCH_EVERY: Duration = Duration::from_secs(2);
impl Service {
    /// Watches the files a configuration was read from, and takes up what changed if all of it is right; otherwise the old one
    /// stays in force and the faults are logged. Never returns.
    pub async fn watch(&self, path: Option<PathBuf>, env: Env, mut files: Vec<PathBuf>) {
        // it started with what lay there then; what was changed while it started is seen at the first look
        self.taken_up().await;
        let mut in_force = self.stamps.clone();
        let mut before = in_force.clone();
        // one that did not fit the route set of this activation is tried again with the next
        let mut unfit_at = None;
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            let now = stamps(&files);
            // a file that is still being written looks different at each look
            let settled = now == before;
            before.clone_from(&now);
            let other_routes = unfit_at.is_some_and(|at| at != self.in_force.activation());
            if !settled || (now == in_force && !other_routes) {
                continue;
            }
            (in_force, unfit_at) = (now, None);
            match Config::load(path.as_deref(), &env) {
                Ok((config, _)) if config.registry.systems.is_empty() || config.registry.inboxes.is_empty() => {
                    tracing::error!(
                        "the changed configuration names no system or no inbox; the one before stays in force"
                    );
                    self.refused("it names no system or no inbox").await;
                }
                Ok((config, warnings)) => {
                    if let Err(unusable) = profiles::all_known(&self.validator, &config.registry) {
                        tracing::error!(%unusable, "the changed configuration stays out of force; folders of profiles are read at the start only");
                        self.refused(&unusable.to_string()).await;
                        continue;
                    }
                    if config.routes.source != self.source {
                        tracing::error!(
                            "the changed configuration stays out of force; [registry] source is read at the start only"
                        );
                        self.refused("[registry] source is another, which needs a restart").await;
                        continue;
                    }
                    log_faults(&warnings, false);
                    if let Err(unfit) = self.take_up(config.registry).await {
                        tracing::error!(%unfit, "the changed configuration stays out of force");
                        self.refused(&unfit.to_string()).await;
                        unfit_at = Some(self.in_force.activation());
                        continue;
                    }
                    files = config.files;
                    in_force = stamps(&files);
                    before.clone_from(&in_force);
                    tracing::info!("a changed configuration is in force");
                    self.taken_up().await;
                }
                Err(faults) => {
                    log_faults(&faults, true);
                    self.refused(&first_of(&faults)).await;
                }
            }
        }
    }

    /// Tells that a changed configuration is not in force.
    async fn refused(&self, why: &str) {
        let kind = AlertKind::ConfigurationRefused;
        metrics::counter!("onward_alerts_total", "alert" => kind.code()).increment(1);
        let alert = Alert::new(kind, CONFIGURATION, self.store.now(), why);
        if let Err(error) = self.store.raise(vec![alert]).await {
            tracing::warn!(%error, "that the configuration was refused could not be kept as an alert");
        }
    }

    /// Ends what [`Service::refused`] told.
    async fn taken_up(&self) {
        if let Err(error) = self.store.end_alert(AlertKind::ConfigurationRefused, CONFIGURATION).await {
            tracing::warn!(%error, "an alert about the configuration could not be ended");
        }
    }
}

/// When each file was changed last, and how large it is.
pub(super) type Stamps = Vec<Option<(std::time::SystemTime, u64)>>;

pub(super) fn stamps(files: &[PathBuf]) -> Stamps {
    let stamp = |file: &PathBuf| {
        let meta = std::fs::metadata(file).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    files.iter().map(stamp).collect()
}

/// Logs what a configuration says wrong.
pub fn log_faults(faults: &[Fault], refused: bool) {
    for fault in faults {
        if refused {
            tracing::error!(%fault, "the changed configuration is not taken up");
        } else {
            tracing::warn!(%fault, "configuration");
        }
    }
}
