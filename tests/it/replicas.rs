//! Several processes share the work, each doing a part of it.

use onward::demo::caller::{Call, Caller};

use crate::support::{plan::Plan, server::Server};

/// Everything is in one process here, so the roles are set past the configuration, which would refuse a part over SQLite.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_the_api_shows_its_health_and_figures_and_nothing_else() {
    let record = Server::double("record-of-merseycare-rio").await;
    let plan = Plan::new()
        .port(0)
        .system("merseycare-rio", "RW4", record.base_url(), "")
        .provider("link-workers", "U99999", "kind = \"worklist\"")
        .all_to("link-workers");
    let mut config = plan.config();
    config.server.roles = "delivery, scheduler".parse().unwrap();
    let service = onward::service::Service::start(config).await.unwrap();
    let caller = Caller::new();
    let get = async |path: &str| caller.call(Call::get(format!("{}{path}", service.base_url()))).await.unwrap();
    let ready = get("/health/ready").await;
    assert_eq!(ready.status, 200, "{}", ready.describe());
    assert_eq!(ready.json()["roles"], serde_json::json!(["delivery", "scheduler"]));
    assert_eq!(get("/health/live").await.status, 200);
    assert_eq!(get("/metrics").await.status, 200);
    for path in ["/fhir/metadata", "/fhir/Task", "/"] {
        assert_eq!(get(path).await.status, 404, "{path}");
    }
    service.stop().await;
}
