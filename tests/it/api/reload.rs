//! Changed files are taken up as a whole or not at all, and one store serves one process.

use onward::service::{Service, StartError};
use serde_json::json;

use super::{fixtures, hub};
use crate::support::until;
use hub::{GP, Hub, LINK_WORKERS, RIO, TRIAGE};

const TO_TRIAGE: &str = "[[route]]\nname = \"all\"\nwhen = { system = [\"brownlow-gp\"] }\nto = \"triage\"\n";

async fn owner(hub: &Hub, number: &str) -> String {
    let gp = hub.sender(GP);
    let task = gp.refers(&fixtures::to_link_workers(number)).await;
    gp.get(&task).await.json()["owner"]["reference"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_route_file_is_taken_up_and_a_faulty_one_is_not() {
    let hub = Hub::build().watched().start().await;
    assert_eq!(owner(&hub, "before").await, format!("Organization/{LINK_WORKERS}"));
    let first = fixtures::text("routes.toml");
    std::fs::write(hub.routes_path(), TO_TRIAGE).unwrap();
    let mut n = 0;
    until("the new routes", || {
        n += 1;
        let (hub, number) = (&hub, format!("after-{n}"));
        async move { (owner(hub, &number).await == format!("Organization/{TRIAGE}")).then_some(()) }
    })
    .await;
    // one good rule and one that leads nowhere: neither counts
    let figure = || async {
        let text = String::from_utf8(hub.actor(None).get("/metrics").await.body.to_vec()).unwrap();
        let line = text.lines().find(|l| l.starts_with("onward_alerts_total") && l.contains("configuration-refused"));
        line.and_then(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let refused = figure().await;
    let faulty = "[[route]]\nname = \"good\"\nwhen = { system = [\"brownlow-gp\"] }\nto = \"link-workers\"\n\
                  [[route]]\nname = \"bad\"\nwhen = { system = [\"nobody\"] }\nto = \"nowhere\"\n";
    std::fs::write(hub.routes_path(), faulty).unwrap();
    until("the refusal", || async { (figure().await > refused).then_some(()) }).await;
    assert_eq!(owner(&hub, "still").await, format!("Organization/{TRIAGE}"));
    // mended, it counts again
    std::fs::write(hub.routes_path(), first).unwrap();
    until("the first routes", || {
        n += 1;
        let (hub, number) = (&hub, format!("mended-{n}"));
        async move { (owner(hub, &number).await == format!("Organization/{LINK_WORKERS}")).then_some(()) }
    })
    .await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_while_it_started_is_taken_up() {
    let hub = Hub::start().await;
    std::fs::write(hub.routes_path(), TO_TRIAGE).unwrap();
    let env = hub::environment().into_iter().collect();
    let watching = hub.service().watch(Some(hub.config_path()), env, hub.load().0.files);
    let mut n = 0;
    let taken_up = until("the new routes", || {
        n += 1;
        let (hub, number) = (&hub, format!("meanwhile-{n}"));
        async move { (owner(hub, &number).await == format!("Organization/{TRIAGE}")).then_some(()) }
    });
    tokio::select! {
        () = watching => {}
        () = taken_up => {}
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_not_refused_when_it_comes_again_under_stricter_rules() {
    let hub = Hub::build().rio("rules = { nhs-number = \"warning\" }").watched().start().await;
    let rio = hub.sender(RIO);
    let with_wrong_number = |number: &str| {
        let mut referral = fixtures::to_life_rooms(number);
        referral["contained"][0]["identifier"] =
            json!([{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000019"}]);
        referral
    };
    let first = with_wrong_number("lenient");
    let answer = rio.refer_with(&first, &[("prefer", "return=OperationOutcome")]).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    let issue = &answer.json()["issue"][0];
    assert_eq!((&issue["severity"], &issue["code"]), (&json!("warning"), &json!("value")), "the sender is told");
    let strict = std::fs::read_to_string(hub.config_path()).unwrap().replace("\"warning\"", "\"error\"");
    std::fs::write(hub.config_path(), strict).unwrap();
    let mut n = 0;
    until("the stricter rule", || {
        n += 1;
        let (rio, referral) = (&rio, with_wrong_number(&format!("strict-{n}")));
        async move { (rio.refer(&referral).await.status == 422).then_some(()) }
    })
    .await;
    let again = rio.refer(&first).await;
    assert_eq!(again.status, 200, "{}", again.describe());
    assert_eq!(again.header("location"), answer.header("location"));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_one_store_is_refused() {
    let hub = Hub::start().await;
    let second = Service::start(hub.load().0).await;
    assert!(matches!(second, Err(StartError::Store(_))), "a second service started");
    let said = second.err().unwrap().to_string();
    assert!(said.contains("in use"), "{said}");
    assert_eq!(hub.sender(GP).refer(&fixtures::to_link_workers("unharmed")).await.status, 201);
    // once the first has ended another may, and finds what was there
    let config = hub.load().0;
    let folder = hub.folder().to_owned();
    let keep = hub.stop_keeping().await;
    let service = Service::start(config).await.unwrap();
    let call = onward::demo::caller::Call::get(format!("{}/fhir/ServiceRequest", service.base_url()));
    let found = onward::demo::caller::Caller::new().call(call.token(hub::token_of(GP))).await.unwrap();
    assert_eq!(found.json()["entry"][0]["resource"]["identifier"][0]["value"], json!("unharmed"));
    assert!(folder.exists());
    service.stop().await;
    drop(keep);
}
