//! The directory of the demonstration: the services of `fixtures/directory`, some of them behind the inboxes that are played.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::json;
use uuid::Uuid;

use super::stage::BY_HAND;
use crate::{
    config::Config,
    directory::{
        Directory, day,
        entry::CAPACITY,
        plan::Import,
        spreadsheet::{Here, Sheet},
    },
    domain::EntryKind,
    service::{self, profiles},
};

/// The spreadsheet.
const SERVICES: &str = include_str!("../../fixtures/directory/services.csv");
/// Where it comes from.
const SOURCE: &str = "https://merseyside.example/services";
/// Which service stands behind which inbox.
const BEHIND: [(&str, &str); 3] =
    [("housing-support", "housing-support"), ("hub-walton", "life-rooms"), ("hub-birkenhead", "link-workers")];

/// Fills the directory; how many services that were. Those of an earlier run are the same again.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn fill(config: &Config, base_url: &str) -> Result<usize, String> {
    let store = service::open_beside(&config.store.url).await.map_err(|error| error.to_string())?;
    let validator = profiles::validator(config).map_err(|error| error.to_string())?;
    let registry = Arc::new(ArcSwap::from_pointee(config.registry.clone()));
    let directory = Directory::new(store, registry, Arc::new(validator), base_url);
    let filled = async {
        let services = fill_from(&directory, &sheet()).await?;
        Ok(services + add_by_hand(&directory).await?)
    };
    let filled = filled.await;
    directory.store.close().await;
    filled
}

/// The service that is worked by hand, which is its provider's own, so that whoever looks after it says what room there is.
async fn add_by_hand(directory: &Directory) -> Result<usize, String> {
    let provider = BY_HAND.parse().map_err(|_| "it has no id".to_owned())?;
    if !directory.services_of(&provider, 1).await.map_err(|error| error.to_string())?.is_empty() {
        return Ok(1);
    }
    let body = json!({
        "resourceType": "HealthcareService", "active": true, "name": "Wavertree Community Hub",
        "type": [{"text": "Social prescribing"}],
        "comment": "A link worker listens first, then finds out with you what would help.",
        "providedBy": {"reference": format!("Organization/{BY_HAND}"), "type": "Organization"},
        "endpoint": [{"reference": format!("Endpoint/{BY_HAND}"), "type": "Endpoint"}],
        "extension": [{"url": CAPACITY, "valueCode": "capacity"}],
    });
    let draft =
        directory.draft(EntryKind::HealthcareService, None, body, true).await.map_err(|error| error.to_string())?;
    let checked = directory.check(vec![draft]).await.map_err(|error| error.to_string())?;
    let checked: Vec<_> = checked.into_iter().collect::<Result<_, _>>().map_err(|error| format!("{error:?}"))?;
    directory.write(checked, "demo").await.map(|written| written.len()).map_err(|error| error.to_string())
}

/// The spreadsheet with one more column.
fn sheet() -> String {
    let mut lines = SERVICES.lines();
    let head = lines.next().unwrap_or_default();
    let with_inbox = lines.map(|line| {
        let id = line.split(',').next().unwrap_or_default();
        let inbox = BEHIND.iter().find(|(service, _)| *service == id).map_or("", |(_, inbox)| inbox);
        format!("{line},{inbox}\n")
    });
    std::iter::once(format!("{head},Inbox\n")).chain(with_inbox).collect()
}

async fn fill_from(directory: &Directory, sheet: &str) -> Result<usize, String> {
    let registry = directory.registry.load_full();
    let has_inbox = |id: &str| registry.inboxes.keys().any(|inbox| inbox.as_str() == id);
    let here = Here { today: day(directory.store.now()), has_inbox: &has_inbox };
    let Sheet { rows, services, faults, .. } = Sheet::read(sheet.as_bytes(), SOURCE, here);
    if let Some(fault) = faults.first() {
        return Err(format!("line {}: {}", fault.line, fault.what));
    }
    let mut source = directory.source(SOURCE).await.map_err(|error| error.to_string())?;
    let known = source.known().map_err(|error| error.to_string())?;
    let beside = source.beside();
    let plan = Import { source: SOURCE, rows, known, beside, whole: true, retire: false };
    let planned = plan.plan(&mut Uuid::now_v7);
    let passed = directory.pass(&planned, &source, SOURCE, true).await.map_err(|error| error.to_string())?;
    if let Some(told) = planned.skipped.iter().chain(&passed.refused).next() {
        return Err(format!("{} {}: {}", told.what, told.id, told.why));
    }
    directory.take(passed, "demo").await.map_err(|error| error.to_string())?;
    Ok(services)
}
