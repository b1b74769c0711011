//! What changes while somebody looks at it, and what a test shows that fails.

use super::*;
use crate::support::hub::token_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_is_seen_by_whoever_looks() {
    let Some(browser) = browser("live") else { return };
    // nobody listens at port 9: what is written back to Mersey Care's record is refused
    let away = "write-back = { kind = \"fhir-rest\", base-url = \"http://127.0.0.1:9/fhir\" }";
    let hub = Hub::build().sections(PEOPLE).rio(away).start().await;
    hub.life_rooms.fault(Rule::new(Fault::Refuse(StatusCode::UNPROCESSABLE_ENTITY), When::Always).kind(""));
    let worker = format!("provider-worker:{LINK_WORKERS}");
    let people = [("olive", "operator"), ("luke", worker.as_str()), ("mary", worker.as_str())];
    let referrals: Vec<Value> = (0..3).map(|number| whole(&format!("live-{number}"))).collect();
    let more = vec![("ONWARD_TOKEN", token_of(GP)), ("ONWARD_REFERRALS", json!(referrals).to_string())];
    walk("live", browser, &hub, &people, more, 20).await;
    hub.stop().await;
}
