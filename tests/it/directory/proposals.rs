//! What providers propose, looked at from the side of those who would have more than is theirs.

use super::*;
use hub::{HOUSING, LIFE_ROOMS, LINK_WORKERS};
use onward::{directory::entry::PRACTICE_STORY, domain::EntryKind};

on_both_stores!(
    what_a_provider_writes_becomes_an_entry_when_a_steward_says_so,
    what_was_made_on_an_older_version_is_proposed_again,
    what_a_proposal_refers_to_is_looked_for_again_when_it_is_approved,
    a_story_is_told_only_with_the_stewards_word,
    a_story_stands_in_one_place_and_an_inbox_is_named_by_reference_alone,
    what_was_taken_out_of_an_imported_entry_is_not_given_out_by_its_record,
);

const PROPOSALS: &str = "/directory/proposals";

/// Writes as a provider; where the proposal is.
async fn proposes(actor: &Actor, method: Method, url: &str, body: &Value) -> String {
    let answer =
        if method == Method::PUT { put(actor, url, None, body).await } else { actor.method(method, url, body).await };
    assert_eq!(answer.status, 202, "{}", answer.describe());
    assert_eq!(answer.json()["issue"][0]["severity"], "information");
    answer.header("location").unwrap().to_owned()
}

async fn act(actor: &Actor, proposal: &str, deed: &str, body: &Value) -> Answered {
    let call = actor.call_to(Method::POST, &format!("{proposal}/{deed}"));
    actor.call(call.json("application/json", body)).await
}

async fn approve(actor: &Actor, proposal: &str) -> Answered {
    act(actor, proposal, "approve", &json!({})).await
}

async fn read(actor: &Actor, proposal: &str) -> Value {
    let answer = actor.get(proposal).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, Some("application/json")),
        "{}",
        answer.describe()
    );
    answer.json()
}

async fn what_a_provider_writes_becomes_an_entry_when_a_steward_says_so(hub: Hub) {
    let (rooms, anna) = (hub.provider(LIFE_ROOMS), hub.steward());
    let new = service("Choir", json!({"providedBy": of(LIFE_ROOMS)}));
    let proposal = proposes(&rooms, Method::POST, "/fhir/HealthcareService", &new).await;
    assert_eq!(resources(&found(&anna, "HealthcareService?name=Choir").await).len(), 0, "nothing is written yet");
    let told = read(&rooms, &proposal).await;
    assert_eq!((&told["status"], &told["provider"], &told["over"]), (&"pending".into(), &LIFE_ROOMS.into(), &0.into()));
    assert_eq!(
        (&told["resource"]["name"], &told["is-stale"], &told["tells-story"]),
        (&"Choir".into(), &false.into(), &false.into())
    );
    let approved = approve(&anna, &proposal).await;
    assert_eq!(approved.status, 200, "{}", approved.describe());
    let approved = approved.json();
    // who decided is named to stewards alone, as in a Provenance
    for told in [read(&rooms, &proposal).await, rooms.get("/directory/proposals").await.json()["proposals"][0].clone()]
    {
        assert_eq!(told["decided"]["by"], "Those who keep the directory", "{told:#}");
        assert!(!told.to_string().contains("anna"), "{told:#}");
    }
    assert_eq!(read(&anna, &proposal).await["decided"]["by"], "steward anna");
    assert_eq!((&approved["status"], &approved["decided"]["by"]), (&"approved".into(), &"steward anna".into()));
    let at = approved["location"].as_str().unwrap();
    let made = rooms.get(at).await.json();
    assert_eq!((&made["name"], &made["meta"]["versionId"]), (&"Choir".into(), &"1".into()));
    let url = format!("/fhir/{}", approved["entry"].as_str().unwrap());
    assert_eq!(rooms.get(&url).await.json(), made);

    // a change of it
    let mut body = made;
    body["name"] = "Choir of Walton".into();
    body["comment"] = "On Tuesdays".into();
    let answer = put(&rooms, &url, Some("W/\"1\""), &body).await;
    assert_eq!(answer.status, 202, "{}", answer.describe());
    let change = answer.header("location").unwrap().to_owned();
    let told = read(&anna, &change).await;
    let changes = told["changes"].as_array().unwrap();
    assert!(
        changes.contains(&json!({"op": "replace", "path": "/name", "value": "Choir of Walton", "was": "Choir"})),
        "{changes:?}"
    );
    assert_eq!((changes.len(), &told["over"]), (2, &1.into()));
    assert_eq!(approve(&anna, &change).await.status, 200);
    assert_eq!(rooms.get(&url).await.json()["comment"], "On Tuesdays");

    let listed = anna.get(&format!("{PROPOSALS}?status=approved")).await.json();
    assert_eq!(listed["proposals"].as_array().unwrap().len(), 2);
    let first = anna.get(&format!("{PROPOSALS}?count=1")).await.json();
    let next = anna.get(&format!("{PROPOSALS}?count=1&after={}", first["next"].as_str().unwrap())).await.json();
    assert!(next.get("next").is_none() && next["proposals"][0]["id"] != first["proposals"][0]["id"]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_proposes_for_another() {
    let hub = Hub::start().await;
    let (rooms, workers, anna) = (hub.provider(LIFE_ROOMS), hub.provider(LINK_WORKERS), hub.steward());
    let theirs = made(&anna, &service("Theirs", json!({"providedBy": of(LINK_WORKERS)}))).await;
    let own = made(&anna, &service("Own", json!({"providedBy": of(LIFE_ROOMS)}))).await;
    let nobodys = made(&anna, &organization("Nobody's")).await;
    let before = hub.rows();
    let as_is = |place: &str| {
        let (anna, url) = (anna.clone(), format!("/fhir/{place}"));
        async move { anna.get(&url).await.json() }
    };
    // another's, or nobody's, as it is or taken over
    for place in [&theirs, &nobodys] {
        let mut body = as_is(place).await;
        refused(&put(&rooms, &format!("/fhir/{place}"), None, &body).await, 403, "forbidden", "http.Authorization");
        body[if place == &theirs { "providedBy" } else { "partOf" }] = of(LIFE_ROOMS);
        refused(&put(&rooms, &format!("/fhir/{place}"), None, &body).await, 403, "forbidden", "http.Authorization");
    }
    // one's own, given away; a new one of another's; one behind another's inbox
    let mut body = as_is(&own).await;
    body["providedBy"] = of(LINK_WORKERS);
    refused(&put(&rooms, &format!("/fhir/{own}"), None, &body).await, 422, "business-rule", "HealthcareService");
    for (elements, at) in [
        (json!({"providedBy": of(LINK_WORKERS)}), "HealthcareService"),
        (json!({"providedBy": refers(&nobodys)}), "HealthcareService"),
        (json!({}), "HealthcareService"),
        (
            json!({"providedBy": of(LIFE_ROOMS), "endpoint": [refers(&format!("Endpoint/{LINK_WORKERS}"))]}),
            "HealthcareService.endpoint",
        ),
    ] {
        let answer = rooms.method(Method::POST, "/fhir/HealthcareService", &service("x", elements)).await;
        refused(&answer, 422, "business-rule", at);
    }
    // an organisation of its own is its own, and what that one offers
    assert_eq!(hub.rows(), before, "nothing of it was kept");
    let mut part = organization("Choirs");
    part["partOf"] = of(LIFE_ROOMS);
    let proposal = proposes(&rooms, Method::POST, "/fhir/Organization", &part).await;
    let approved = approve(&anna, &proposal).await.json();
    let offered = service("Singing", json!({"providedBy": refers(approved["entry"].as_str().unwrap())}));
    let offered = proposes(&rooms, Method::POST, "/fhir/HealthcareService", &offered).await;

    // and nobody else sees or decides it
    refused(&workers.get(&offered).await, 404, "not-found", "%resource");
    for deed in ["approve", "decline", "withdraw"] {
        let answer = act(&workers, &offered, deed, &json!({"reason": "x"})).await;
        refused(&answer, 404, "not-found", "%resource");
    }
    assert_eq!(workers.get(PROPOSALS).await.json()["proposals"], json!([]));
    refused(&approve(&rooms, &offered).await, 403, "forbidden", "http.Authorization");
    refused(&act(&rooms, &offered, "decline", &json!({"reason": "x"})).await, 403, "forbidden", "http.Authorization");
    refused(&act(&anna, &offered, "withdraw", &json!({})).await, 403, "forbidden", "http.Authorization");
    let system = hub.sender(hub::GP);
    refused(&system.get(PROPOSALS).await, 403, "forbidden", "http.Authorization");
    refused(&system.get(&offered).await, 404, "not-found", "%resource");
    refused(&approve(&system, &offered).await, 404, "not-found", "%resource");
    assert_eq!(hub.actor(None).get(&offered).await.status, 401);
    assert_eq!(read(&rooms, &offered).await["status"], "pending");
    hub.stop().await;
}

async fn what_was_made_on_an_older_version_is_proposed_again(hub: Hub) {
    let (rooms, anna) = (hub.provider(LIFE_ROOMS), hub.steward());
    let place = made(&anna, &service("Choir", json!({"providedBy": of(LIFE_ROOMS)}))).await;
    let url = format!("/fhir/{place}");
    let mut body = anna.get(&url).await.json();
    body["comment"] = "proposed".into();
    let proposal = proposes(&rooms, Method::PUT, &url, &body).await;
    body["comment"] = "by the steward".into();
    assert_eq!(put(&anna, &url, None, &body).await.status, 200);
    assert_eq!(read(&rooms, &proposal).await["is-stale"], true);
    let told = refused(&approve(&anna, &proposal).await, 409, "conflict", "HealthcareService.meta.versionId");
    assert!(told.contains("proposes again"), "{told}");
    assert_eq!(anna.get(&url).await.json()["comment"], "by the steward");
    refused(&put(&rooms, &url, Some("W/\"1\""), &body).await, 412, "conflict", "HealthcareService.meta.versionId");

    // a decision needs a reason where it refuses, and is made once
    refused(&act(&anna, &proposal, "decline", &json!({})).await, 400, "required", "reason");
    let declined = act(&anna, &proposal, "decline", &json!({"reason": "It was changed since."})).await;
    assert!(!read(&rooms, &proposal).await.to_string().contains("anna"));
    assert_eq!(declined.json()["decided"]["reason"], "It was changed since.", "{}", declined.describe());
    for deed in ["approve", "decline"] {
        refused(&act(&anna, &proposal, deed, &json!({"reason": "x"})).await, 409, "conflict", "%resource");
    }
    refused(&act(&rooms, &proposal, "withdraw", &json!({})).await, 409, "conflict", "%resource");
    body["comment"] = "proposed again".into();
    let second = proposes(&rooms, Method::PUT, &url, &body).await;
    let withdrawn = act(&rooms, &second, "withdraw", &json!({})).await.json();
    assert_eq!(
        (&withdrawn["status"], read(&anna, &second).await["decided"]["by"].as_str()),
        (&"withdrawn".into(), Some(&*format!("provider {LIFE_ROOMS}")))
    );
    refused(&approve(&anna, &second).await, 409, "conflict", "%resource");
    hub.stop().await;
}

async fn what_a_proposal_refers_to_is_looked_for_again_when_it_is_approved(hub: Hub) {
    let (housing, anna) = (hub.provider(HOUSING), hub.steward());
    let mut part = organization("Part");
    part["partOf"] = of(HOUSING);
    let place = made(&anna, &part).await;
    let offered = service("Keys", json!({"providedBy": refers(&place)}));
    let proposal = proposes(&housing, Method::POST, "/fhir/HealthcareService", &offered).await;
    // meanwhile the organisation is no part of the provider any more: it is the steward who decides, and sees whose it is
    let mut apart = anna.get(&format!("/fhir/{place}")).await.json();
    apart.as_object_mut().unwrap().remove("partOf");
    assert_eq!(put(&anna, &format!("/fhir/{place}"), None, &apart).await.status, 200);
    let answer = approve(&anna, &proposal).await;
    refused(&answer, 422, "business-rule", "HealthcareService");
    assert_eq!(read(&housing, &proposal).await["status"], "pending");
    hub.stop().await;
}

async fn a_story_is_told_only_with_the_stewards_word(hub: Hub) {
    let (rooms, anna) = (hub.provider(LIFE_ROOMS), hub.steward());
    let part = |url: &str| json!({"url": url, "valueMarkdown": "x"});
    let story = json!({"url": PRACTICE_STORY, "extension": [part("problem"), part("done"), part("result")]});
    let body = service("Choir", json!({"providedBy": of(LIFE_ROOMS), "extension": [story]}));
    let at = "HealthcareService.extension[0]";
    refused(&anna.method(Method::POST, "/fhir/HealthcareService", &body).await, 422, "business-rule", at);
    let with = |call: onward::demo::caller::Call| call.header("story-checked", "true");
    let direct = anna.call(with(anna.call_to(Method::POST, "/fhir/HealthcareService")).json(FHIR_JSON, &body)).await;
    assert_eq!(direct.status, 201, "{}", direct.describe());

    // a provider's own word is not the steward's
    let call = with(rooms.call_to(Method::POST, "/fhir/HealthcareService")).json(FHIR_JSON, &body);
    let answer = rooms.call(call).await;
    assert_eq!(answer.status, 202, "{}", answer.describe());
    let proposal = answer.header("location").unwrap().to_owned();
    assert_eq!(read(&anna, &proposal).await["tells-story"], true);
    refused(&approve(&anna, &proposal).await, 422, "business-rule", at);
    let call = with(anna.call_to(Method::POST, &format!("{proposal}/approve"))).json("application/json", &json!({}));
    assert_eq!(anna.call(call).await.status, 200);
    hub.stop().await;
}

async fn a_story_stands_in_one_place_and_an_inbox_is_named_by_reference_alone(hub: Hub) {
    let (anna, rooms) = (hub.steward(), hub.provider(LIFE_ROOMS));
    let own = json!({"reference": format!("Organization/{LIFE_ROOMS}")});
    let story = json!({"url": PRACTICE_STORY, "extension": [
        {"url": "problem", "valueMarkdown": "Somebody who can be known"}, {"url": "done", "valueMarkdown": "a"},
        {"url": "result", "valueMarkdown": "b"}]});
    let of_type = json!([{"text": "choir", "extension": [story.clone()]}]);
    let inbox = json!({"system": "https://onward.example/fhir/NamingSystem/inbox", "value": LINK_WORKERS});
    for more in [
        json!({"modifierExtension": [story.clone()]}),
        json!({"type": of_type}),
        json!({"_name": {"extension": [story.clone()]}}),
        json!({"identifier": [inbox.clone()]}),
        json!({"endpoint": [{"identifier": inbox.clone()}]}),
    ] {
        let mut body = service("Choir", more.clone());
        body["providedBy"] = own.clone();
        for actor in [&anna, &rooms] {
            let answer = actor.method(Method::POST, "/fhir/HealthcareService", &body).await;
            assert!(matches!(answer.status.as_u16(), 400 | 422), "{more}: {}", answer.describe());
        }
    }
    // a record is written by imports alone, and none is given out
    let record = json!({"url": "https://onward.example/fhir/StructureDefinition/open-referral",
        "valueString": "{\"id\":\"q\",\"name\":\"x\",\"story\":\"Somebody who can be known\"}"});
    for actor in [&anna, &rooms] {
        let mut body = service("Choir", json!({"extension": [record]}));
        body["providedBy"] = own.clone();
        let answer = actor.method(Method::POST, "/fhir/HealthcareService", &body).await;
        refused(&answer, 422, "business-rule", "HealthcareService.extension");
    }
    hub.stop().await;
}

async fn what_was_taken_out_of_an_imported_entry_is_not_given_out_by_its_record(hub: Hub) {
    let anna = hub.steward();
    let record = json!({"url": "https://onward.example/fhir/StructureDefinition/open-referral", "valueString": "{\"id\":\"q\",\"name\":\"Choir\",\"email\":\"old@choir.example\"}"});
    let body = service("Choir", json!({"extension": [record]}));
    let write = onward::store::DirectoryWrite {
        kind: EntryKind::HealthcareService,
        id: uuid::Uuid::now_v7(),
        over: 0,
        source: None,
        body: body.to_string(),
        by: "an import".to_owned(),
    };
    let store = hub.service().store();
    let written = store.write_directory(vec![write]).await.unwrap();
    let url = format!("/fhir/HealthcareService/{}", written[0].id);
    let mut read = anna.get(&url).await.json();
    assert!(!read.to_string().contains("old@choir"), "{read}");
    read["comment"] = "Sings".into();
    assert_eq!(put(&anna, &url, None, &read).await.status, 200);
    let now = store.directory_entry(EntryKind::HealthcareService, written[0].id, None).await.unwrap().unwrap();
    assert!(now.version == 2 && now.body.contains("old@choir"), "the next import still knows it: {}", now.body);
    for url in [format!("{url}/_history"), format!("{url}/_history/1"), "/fhir/HealthcareService?name=choir".to_owned()]
    {
        let told = anna.get(&url).await.json();
        assert!(!told.to_string().contains("old@choir"), "{told}");
    }
    hub.stop().await;
}
