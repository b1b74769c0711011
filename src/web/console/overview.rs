//! `GET /console`: whether all is well, and what of it changes by itself.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};

use super::{
    Console, Keeper, LINES_MAX, Watcher, away,
    chart::{self, Chart, drawn},
    figures::{Lately, Minute},
    latency::{Holds, Took, holds},
    refusals,
    view::{Known, Overview, overview},
    words::{counted, minute},
};
use crate::{
    store::StoreError,
    web::{
        Shared,
        frame::{Frame, Section},
        page,
    },
};

/// The page.
#[derive(Template)]
#[template(path = "console/overview.html")]
struct OverviewPage {
    frame: Frame,
    /// What changes by itself, made of its own template.
    now: String,
    tag: String,
}

/// What of it changes by itself.
#[derive(Template)]
#[template(path = "console/now.html")]
struct NowPart {
    view: Overview,
    /// None before there is anything to compare.
    charts: Option<Charts>,
    took: Vec<Took>,
    certificates: Vec<Holds>,
}

/// What came, went and waited.
struct Charts {
    since: String,
    flow: Chart,
    waiting: Chart,
    width: u32,
    height: u32,
}

/// `GET /console`.
pub(super) async fn page(State(web): State<Shared>, Keeper(seen): Keeper) -> Response {
    let now = match web.console.now().await {
        Ok(Some(now)) => now,
        Ok(None) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(error) => return away(&error),
    };
    let (frame, tag) = (Frame::of(&seen, Section::Console), page::tag_of(&now));
    page::shown(StatusCode::OK, &OverviewPage { frame, now, tag })
}

/// `GET /console/now`.
pub(super) async fn now(State(web): State<Shared>, headers: HeaderMap, _: Watcher) -> Response {
    match web.console.now().await {
        Ok(Some(now)) => page::part(now, &headers),
        Ok(None) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(error) => away(&error),
    }
}

impl Console {
    /// How it is now, as a page shows it; none where the template fails.
    async fn now(&self) -> Result<Option<String>, StoreError> {
        let picture = self.picture().await?;
        let (parts, endpoints) = (self.health.conditions(), self.endpoints.seen());
        let registry = self.registry.load();
        let now = self.store.now();
        let view = overview(&Known {
            now,
            parts: &parts,
            overall: self.health.overall(),
            stopping: self.health.is_stopping(),
            registry: &registry,
            endpoints: &endpoints,
            backlog: &picture.backlog,
            failing: &picture.failing,
            queues: &self.queues.depths(),
            lately: self.figures.lately(now).map(|lately| lately.last(refusals::MINUTES)).unwrap_or_default(),
            lines: &picture.lines,
            lines_max: LINES_MAX,
        });
        let charts = self.figures.lately(now).map(|lately| Charts::of(&lately));
        let (took, certificates) = (self.figures.took(), holds(&self.figures.certificates(), now));
        let made = NowPart { view, charts, took, certificates }.render();
        Ok(made.inspect_err(|error| tracing::error!(%error, "a page cannot be made")).ok())
    }
}

// === impl Charts ===

impl Charts {
    fn of(lately: &Lately) -> Self {
        let each = |of: fn(&Minute) -> u64| lately.minutes.iter().map(of).collect::<Vec<u64>>();
        let (sum, since) = (lately.sum(), minute(lately.since));
        let said = format!(
            "Since {since}: {} taken, {} brought to providers, {} written back into records.",
            counted(sum.referrals, "referral"),
            counted(sum.delivered, "message"),
            counted(sum.written_back, "message"),
        );
        let flow = drawn(
            said,
            &[
                ("Referrals taken", each(|minute| minute.counted.referrals)),
                ("Messages brought to providers", each(|minute| minute.counted.delivered)),
                ("Messages written back", each(|minute| minute.counted.written_back)),
            ],
        );
        let waiting = each(|minute| minute.waiting);
        let (last, most) = (waiting.last().copied().unwrap_or_default(), waiting.iter().max().copied());
        let said =
            format!("{} waiting now, {} at most since {since}.", counted(last, "message"), most.unwrap_or_default());
        let waiting = drawn(said, &[("Messages waiting", waiting)]);
        Self { since, flow, waiting, width: chart::WIDTH, height: chart::HEIGHT }
    }
}
