//! Two processes on one store: what is given, used up or taken back at one is so at the other.

use futures_util::future::join_all;

use super::{Signer, ask, post, refused, rio, with_keys};
use crate::{store::postgres::Place, support::hub::Hub};

/// As what both are reached, by way of whatever stands before them.
const BASE: &str = "http://127.0.0.1:8787";
const SCOPE: &str = "system/Task.rs";

/// One of them, by its own address.
async fn replica(place: &Place, lines: &str) -> Hub {
    let build = Hub::build().store_at(&place.url).rio(lines).server(&format!("base-url = \"{BASE}\""));
    let mut hub = build.start().await;
    hub.base_url = format!("http://{}", hub.service().addresses()[0]);
    hub
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_gave_or_took_the_other_knows() {
    let Some(place) = Place::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let lines = with_keys(folder.path(), &[&signer], &[]);
    let hubs = [replica(&place, &lines).await, replica(&place, &lines).await];
    let assertion = || signer.assertion(&rio(), &format!("{BASE}/oauth/token"));

    // an assertion is worth one token, wherever and however often it is shown at once
    for _ in 0..5 {
        let shown = assertion();
        let answers = join_all((0..8).map(|n| ask(&hubs[n % 2], &shown, SCOPE))).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            refused(answer, 401, "invalid_client");
        }
    }
    // shown at the first, it is used up at the second
    let shown = assertion();
    let given = ask(&hubs[0], &shown, SCOPE).await;
    assert_eq!(given.status, 200, "{}", given.describe());
    refused(&ask(&hubs[1], &shown, SCOPE).await, 401, "invalid_client");

    // a token of the first holds at the second, and is over at the first as soon as the second has taken it back
    let token = given.json()["access_token"].as_str().unwrap().to_owned();
    let status = async |hub: &Hub| hub.actor(Some(&token)).get("/fhir/Task").await.status.as_u16();
    assert_eq!((status(&hubs[0]).await, status(&hubs[1]).await), (200, 200));
    let shown = assertion();
    let form = [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", shown.as_str()),
        ("token", token.as_str()),
    ];
    assert_eq!(post(&hubs[1], "/oauth/revoke", &form).await.status, 200);
    assert_eq!((status(&hubs[0]).await, status(&hubs[1]).await), (401, 401));
    for hub in hubs {
        hub.stop().await;
    }
}
