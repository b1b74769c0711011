//! Links to further pages, made for one client, in the hands of another.

use std::collections::BTreeSet;

use hyper::Method;

use super::{FORM, Twin, is_as_if_not_there};
use crate::{
    attack::{
        MARK, OWN,
        scene::{Ask, Scene},
    },
    support::{
        fixtures,
        hub::{GP, RIO},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_anothers_is_ones_own_or_none() {
    let scene = Scene::set(None).await;
    let (twin, ids) = (Twin::of(&scene), scene.ids());
    let gp = scene.hub.sender(GP);
    for n in 0..3 {
        gp.refers(&fixtures::to_link_workers(&format!("{MARK}-{n}"))).await;
        scene.hub.sender(RIO).refers(&fixtures::to_life_rooms(&format!("{OWN}-{n}"))).await;
    }
    let task = scene.theirs["Task"][0]["id"].as_str().unwrap();
    let request = scene.theirs["ServiceRequest"][0]["id"].as_str().unwrap();
    let firsts = [
        "Task?_count=1".to_owned(),
        "Task?_count=1&_sort=-_lastUpdated".to_owned(),
        "Task?_count=1&_sort=_lastUpdated&status=requested,received,accepted".to_owned(),
        "ServiceRequest?_count=1".to_owned(),
        "ServiceRequest?_count=1&_sort=-_lastUpdated&_include=ServiceRequest:*".to_owned(),
        format!("Communication?_count=1&about=Task/{task}"),
        format!("Provenance?_count=1&target=Task/{task}"),
        "Task?_count=1&patient.identifier=9990606900".to_owned(),
        "Patient?_count=1".to_owned(),
        "Task/_history?_count=1".to_owned(),
        "ServiceRequest/_history?_count=1".to_owned(),
        format!("Task/{task}/_history?_count=1"),
        format!("ServiceRequest/{request}/_history?_count=1"),
        "HealthcareService?_count=1".to_owned(),
        "Organization?_count=1".to_owned(),
    ];
    let mut kinds = BTreeSet::new();
    for first in firsts {
        let page = gp.get(&format!("/fhir/{first}")).await;
        assert_eq!(page.status, 200, "{first}: {}", page.describe());
        let next = page.json()["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").cloned();
        let Some(next) = next else { continue };
        let url = next["url"].as_str().unwrap().strip_prefix(&scene.hub.base_url).unwrap().to_owned();
        // one that says who somebody is is sealed
        kinds.extend(url.split("_after=").nth(1).map(|after| after[..1].to_owned()));
        for (who, actor) in scene.others() {
            is_as_if_not_there((&twin, &ids), (who, &actor), &Ask::get(url.clone())).await;
        }
    }
    // what was asked in a body: the link is of no use to another
    let asked = Ask::of(Method::POST, "/fhir/Task/_search").body(FORM, "patient.identifier=9990606900&_count=1");
    let page = asked.by(&gp).await.json();
    let next = page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").unwrap();
    let url = next["url"].as_str().unwrap().strip_prefix(&scene.hub.base_url).unwrap();
    assert_eq!(Ask::get(url).by(&gp).await.status, 200, "{url}");
    for (who, actor) in scene.others() {
        let status = is_as_if_not_there((&twin, &ids), (who, &actor), &Ask::get(url)).await;
        assert!(matches!(status, 400 | 401), "{who}: {status}");
    }
    println!("cursors: {kinds:?}");
    assert!(kinds.len() >= 4, "{kinds:?}");
    scene.hub.stop().await;
}
