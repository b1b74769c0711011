//! What waits for an inbox that is taken out of the configuration.

use std::time::Duration;

use onward::{
    demo::double::{Fault, Rule, When},
    domain::{Alert, AlertKind},
    service::Service,
};

use super::*;
use crate::support::{onward::Onward, plan::Plan, server::Server, stage::PROVIDER, stage::SYSTEM};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_an_inbox_that_is_configured_no_more_is_told_to_the_hook() {
    let record = Server::double(&format!("record-of-{SYSTEM}")).await;
    let provider = Server::double(&format!("server-of-{PROVIDER}")).await;
    provider.fault(Rule::new(Fault::Unavailable { retry_after_s: None }, When::Always));
    let plan = || {
        Plan::new().port(0).section("[retry]\nfirst = \"100ms\"\ncap = \"200ms\"\n").system(
            SYSTEM,
            "RW4",
            record.base_url(),
            "",
        )
    };
    let inbox = format!("kind = \"fhir-rest\", base-url = \"{}\"", provider.base_url());
    let with = plan().provider(PROVIDER, "RW4", &inbox).all_to(PROVIDER);
    let without = plan().provider("link-workers", "U99999", "kind = \"worklist\"").all_to("link-workers");

    let config = with.config();
    let over = config.store.url.clone();
    let service = Service::start(config).await.unwrap();
    Onward::at(service.base_url()).refer(&one("01", "unconfigured")).await;
    service.stop().await;

    let mut config = without.config();
    config.store.url = over;
    let service = Service::start(config).await.unwrap();
    let store = service.store();
    until("it is told", || async {
        let alerts = store.claim_alerts(9, Duration::ZERO).await.unwrap();
        let is_it =
            |alert: &Alert| alert.kind == AlertKind::NotConfigured && alert.subject == format!("inbox.{PROVIDER}");
        alerts.iter().any(|stored| is_it(&stored.alert)).then_some(())
    })
    .await;
    service.stop().await;
}
