//! Searching by a body, so that who is asked after stands in no URL: neither in what is asked nor in the links of what is answered.

use serde_json::{Value, json};

use super::super::{hub, ids, refused};
use super::{NHS, next, pages, referrals};
use hub::{Actor, GP, Hub, RIO};

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_may_stand_in_a_body() {
    let hub = Hub::start().await;
    referrals(&hub, 3).await;
    let gp = hub.sender(GP);
    let found = gp.post("/fhir/Task/_search?_sort=_id", FORM, "status=requested%2Caccepted&_count=1").await;
    assert_eq!(found.status, 200, "{}", found.describe());
    let bundle = found.json();
    assert_eq!(ids(&bundle).len(), 1);
    let all = pages(&gp, &next(&bundle).unwrap()).await;
    assert_eq!(all.concat().len(), 1);
    assert_eq!(gp.post("/fhir/Task/_search", FORM, "").await.status, 200);
    refused(&gp.post("/fhir/Task/_search", "application/json", "{}").await, 415, "not-supported", "http.Content-Type");
    refused(&gp.post("/fhir/Task/_search", FORM, "colour=red").await, 400, "not-supported", "http.colour");
    for long in [format!("code:text={}", "%C3%A9".repeat(5_000)), "_id=1234567&".repeat(6_000)] {
        let answer = gp.post("/fhir/Task/_search", FORM, long).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.len() < 1_000, "what is too long is not repeated");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_in_a_body_stands_in_no_url() {
    let hub = Hub::start().await;
    referrals(&hub, 3).await;
    let (gp, rio) = (hub.sender(GP), hub.sender(RIO));
    let asked = format!("patient.identifier={NHS}%7C9990606900&_count=1&_sort=_id");
    let links = |bundle: &Value| -> Vec<(String, String)> {
        let text = |link: &Value, name: &str| link[name].as_str().unwrap().to_owned();
        bundle["link"].as_array().unwrap().iter().map(|link| (text(link, "relation"), text(link, "url"))).collect()
    };
    let (mut seen, mut page) = (Vec::new(), gp.post("/fhir/Task/_search", FORM, asked.clone()).await.json());
    let first = page.clone();
    loop {
        assert_eq!(ids(&page).len(), 1, "{page:#}");
        seen.extend(ids(&page));
        for (relation, url) in links(&page) {
            assert!(!url.contains("99906") && !url.contains("patient") && url.len() < 500, "{relation}: {url}");
        }
        assert_eq!(links(&page)[0].0, "self");
        assert_eq!(ids(&gp.get(&links(&page)[0].1).await.json()), ids(&page), "it can be read again by its own link");
        let Some(url) = next(&page) else { break };
        page = gp.get(&format!("{url}&_format=json")).await.json();
    }
    let by_url = pages(&gp, &format!("/fhir/Task?{asked}")).await.concat();
    assert_eq!((seen.len(), &seen), (3, &by_url), "the same as by a URL");
    // nor does a URL stand in a link that says who somebody is, nor what an entry of a batch asks; what names nobody does
    let by_get = gp.get(&format!("/fhir/Task?{asked}")).await.json();
    let entries = [format!("Task?{asked}"), "Task?status=received&_count=1".to_owned()]
        .map(|url| json!({"request": {"method": "GET", "url": url}}));
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
    let batch = gp.post("/fhir", "application/fhir+json", batch.to_string()).await.json();
    let of_batch = |at: usize| batch["entry"][at]["resource"].clone();
    for bundle in [&by_get, &of_batch(0), &of_batch(1)] {
        for (relation, url) in links(bundle) {
            assert!(url.contains("_page=") && !url.contains("99906"), "{relation}: {url}");
        }
    }
    assert_eq!(ids(&gp.get(&next(&of_batch(0)).unwrap()).await.json()), [seen[1].clone()], "it is gone on with by GET");
    let plain = gp.get("/fhir/Task?patient=Patient/x&_count=1").await.json();
    assert!(links(&plain)[0].1.contains("patient=Patient%2Fx"), "{plain}");

    let url = next(&first).unwrap();
    let (head, sealed) = url.split_once("_page=").unwrap();
    let changed = if sealed.starts_with('A') { sealed.replacen('A', "B", 1) } else { format!("A{}", &sealed[1..]) };
    for (about, actor, url) in [
        ("another's", &*rio as &Actor, url.clone()),
        ("of another type", &*gp, url.replace("/Task?", "/ServiceRequest?")),
        ("changed", &gp, format!("{head}_page={changed}")),
        ("cut off", &gp, url[..url.len() - 4].to_owned()),
        ("made up", &gp, format!("{head}_page=a.b")),
        ("empty", &gp, format!("{head}_page=")),
        ("with something beside it", &gp, format!("{url}&_count=500")),
    ] {
        let told = refused(&actor.get(&url).await, 400, "value", "http._page");
        assert!(!told.contains("99906"), "{about}: {told}");
    }
    // one that is too long for a URL has its first page, and is told so where there is another
    let mut letters = fastrand::Rng::with_seed(1);
    let others: String =
        (0..99).map(|_| (0..75).map(|_| letters.alphanumeric()).chain([',']).collect::<String>()).collect();
    let asked = |count: usize| format!("patient.identifier={others}{NHS}%7C9990606900&_count={count}");
    refused(&gp.post("/fhir/Task/_search", FORM, asked(1)).await, 400, "too-costly", "http");
    let whole = gp.post("/fhir/Task/_search", FORM, asked(3)).await.json();
    assert_eq!(
        (ids(&whole).len(), links(&whole)),
        (3, vec![("self".into(), hub.base_url.clone() + "/fhir/Task/_search")])
    );
    hub.stop().await;
}
