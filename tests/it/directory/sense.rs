//! What makes no sense is refused with what would; what is the same changes nothing; entries are written in every way that referrals are.

use super::*;
use hub::LIFE_ROOMS;
use onward::demo::caller::JSON_PATCH;

on_both_stores!(
    an_entry_is_patched_and_written_by_a_search_and_its_kind_has_a_history,
    an_organisation_of_an_import_is_adopted_and_its_provider_proposes_then,
);

async fn post(actor: &Actor, body: &Value) -> Answered {
    actor.method(Method::POST, &format!("/fhir/{}", body["resourceType"].as_str().unwrap()), body).await
}

/// What `$validate` says of it.
async fn ask(actor: &Actor, mode: &str, body: &Value) -> Answered {
    let kind = body["resourceType"].as_str().unwrap();
    actor.method(Method::POST, &format!("/fhir/{kind}/$validate?mode={mode}"), body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_with_what_is_allowed() {
    let hub = Hub::start().await;
    let anna = hub.steward();
    let before = hub.rows();
    let extension = |name: &str, part: Value| json!([{"url": format!("https://onward.example/fhir/StructureDefinition/{name}"), "extension": [part]}]);
    let place = |latitude: f64| {
        entry("Location", json!({"status": "active", "name": "x", "position": {"latitude": latitude, "longitude": 0}}))
    };
    let mut nobodys = service("x", json!({}));
    nobodys.as_object_mut().unwrap().remove("providedBy");
    let record = json!([{"url": onward::directory::entry::OPEN_REFERRAL, "valueString": "{}"}]);
    for (body, at) in [
        (service("\u{a0}", json!({})), "HealthcareService.name"),
        (nobodys, "HealthcareService.providedBy"),
        (
            service(
                "x",
                json!({"extension": extension("cost", json!({"url": "amount", "valueMoney": {"value": -1, "currency": "GBP"}}))}),
            ),
            "HealthcareService.extension",
        ),
        (
            service("x", json!({"extension": extension("assured", json!({"url": "date", "valueDate": "2999-01-01"}))})),
            "HealthcareService.extension",
        ),
        (
            service("x", json!({"telecom": [{"system": "url", "value": "javascript:alert(1)"}]})),
            "HealthcareService.telecom[0].value",
        ),
        (service("x", json!({"extension": record})), "HealthcareService.extension"),
    ] {
        refused(&post(&anna, &body).await, 422, "business-rule", at);
        // who asks first is told the same, and nothing is written
        refused(&ask(&anna, "create", &body).await, 200, "business-rule", at);
    }
    refused(&post(&anna, &place(90.5)).await, 422, "invariant", "Location.position");
    refused(&ask(&anna, "create", &place(90.5)).await, 200, "invariant", "Location.position");
    let nothing = |answer: &Answered| answer.json()["issue"][0]["code"] == "informational";
    for good in [organization("A"), place(53.4), service("x", json!({}))] {
        assert!(nothing(&ask(&anna, "create", &good).await), "{good}");
    }
    assert_eq!(hub.rows(), before);
    let (a, b) = (made(&anna, &organization("A")).await, made(&anna, &organization("B")).await);
    let mut body = anna.get(&format!("/fhir/{a}")).await.json();
    body["partOf"] = refers(&b);
    assert_eq!(put(&anna, &format!("/fhir/{a}"), None, &body).await.status, 200);
    let mut body = anna.get(&format!("/fhir/{b}")).await.json();
    body["partOf"] = refers(&a);
    refused(&ask(&anna, "update", &body).await, 200, "business-rule", "Organization.partOf");
    refused(&put(&anna, &format!("/fhir/{b}"), None, &body).await, 422, "business-rule", "Organization.partOf");
    body["partOf"] = refers("Organization/0198c0de-0000-7000-8000-000000000000");
    refused(&ask(&anna, "update", &body).await, 200, "not-found", "Organization.partOf.reference");
    body.as_object_mut().unwrap().remove("partOf");
    body["name"] = "C".into();
    assert!(nothing(&ask(&anna, "update", &body).await));
    assert_eq!(anna.get(&format!("/fhir/{b}")).await.json()["name"], "B");
    body["id"] = "0198c0de-0000-7000-8000-000000000000".into();
    refused(&ask(&anna, "update", &body).await, 200, "not-found", "Organization.id");
    body["id"] = LIFE_ROOMS.into();
    refused(&ask(&anna, "update", &body).await, 200, "forbidden", "Organization.id");
    body.as_object_mut().unwrap().remove("id");
    refused(&ask(&anna, "update", &body).await, 200, "required", "Organization.id");
    refused(&ask(&anna, "delete", &body).await, 200, "not-supported", "Organization");

    for search in [
        "HealthcareService?capacity=no-capcity",
        "HealthcareService?accepts-referrals=yes",
        "HealthcareService?active=ture",
        "Organization?active=1",
    ] {
        let answer = anna.get(&format!("/fhir/{search}")).await;
        assert_eq!(answer.status, 400, "{search}");
        assert!(answer.json()["issue"][0]["diagnostics"].as_str().unwrap().starts_with("use one of "), "{search}");
    }
    for search in [
        "HealthcareService?capacity=waitlist,capacity",
        "HealthcareService?accepts-referrals=true",
        "Organization?active=false",
    ] {
        found(&anna, search).await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_again_makes_no_version_and_no_proposal() {
    let hub = Hub::start().await;
    let (anna, rooms) = (hub.steward(), hub.provider(LIFE_ROOMS));
    let place = made(&anna, &service("Choir", json!({"providedBy": of(LIFE_ROOMS), "endpoint": [refers("Endpoint/life-rooms"), refers("Endpoint/life-rooms")]}))).await;
    let url = format!("/fhir/{place}");
    let body = anna.get(&url).await.json();
    let before = hub.rows();
    for actor in [&anna, &*rooms] {
        let same = put(actor, &url, Some("W/\"1\""), &body).await;
        assert_eq!((same.status.as_u16(), same.header("etag")), (200, Some("W/\"1\"")), "{}", same.describe());
    }
    assert_eq!(hub.rows(), before);
    let measured = |body: &Value| {
        let all = body["extension"].as_array().cloned().unwrap_or_default();
        all.iter().filter(|one| one["url"] == onward::directory::entry::MEASURED).count()
    };
    assert_eq!(measured(&body), 1, "an inbox that is named twice is told of once");
    hub.stop().await;
}

async fn an_entry_is_patched_and_written_by_a_search_and_its_kind_has_a_history(hub: Hub) {
    let (anna, rooms) = (hub.steward(), hub.provider(LIFE_ROOMS));
    let identified = |name: &str| {
        service(
            name,
            json!({"identifier": [{"system": "https://own.example", "value": "choir"}], "providedBy": of(LIFE_ROOMS)}),
        )
    };
    let by_search = "/fhir/HealthcareService?identifier=https://own.example|choir";
    let made = anna.method(Method::PUT, by_search, &identified("Choir")).await;
    assert_eq!(made.status, 201, "{}", made.describe());
    let url = format!("/fhir/HealthcareService/{}", made.json()["id"].as_str().unwrap());
    let call = |method: Method, to: &str, etag: &str| anna.call_to(method, to).header("if-match", etag);
    let written = anna.call(call(Method::PUT, by_search, "W/\"1\"").json(FHIR_JSON, &identified("Big choir"))).await;
    assert_eq!((written.status.as_u16(), written.header("etag")), (200, Some("W/\"2\"")), "{}", written.describe());
    let patch = json!([{"op": "replace", "path": "/name", "value": "Grand choir"}]);
    for (to, etag) in [(url.as_str(), "W/\"2\""), (by_search, "W/\"3\"")] {
        let patched = anna.call(call(Method::PATCH, to, etag).json(JSON_PATCH, &patch)).await;
        assert_eq!((patched.status.as_u16(), patched.header("etag")), (200, Some("W/\"3\"")), "{}", patched.describe());
        assert_eq!(patched.json()["name"], "Grand choir");
    }
    assert_eq!(anna.call(call(Method::PATCH, &url, "W/\"1\"").json(JSON_PATCH, &patch)).await.status, 412);
    let put_patch = anna.call(call(Method::PUT, &url, "W/\"3\"").json(JSON_PATCH, &patch)).await;
    refused(&put_patch, 415, "not-supported", "http.Content-Type");
    let proposed = rooms.call_to(Method::PATCH, &url).header("if-match", "W/\"3\"");
    let proposed =
        rooms.call(proposed.json(JSON_PATCH, &json!([{"op": "add", "path": "/comment", "value": "x"}]))).await;
    assert_eq!(proposed.status, 202, "{}", proposed.describe());
    let absent = "/fhir/HealthcareService?identifier=https://own.example|none";
    assert_eq!(anna.call(call(Method::PATCH, absent, "W/\"1\"").json(JSON_PATCH, &patch)).await.status, 404);
    assert_eq!(anna.call(call(Method::PUT, absent, "W/\"1\"").json(FHIR_JSON, &identified("x"))).await.status, 412);

    let other = self::made(&anna, &service("Band", json!({}))).await;
    self::made(&anna, &organization("Not of this kind")).await;
    let mut next = Some("/fhir/HealthcareService/_history?_count=3".to_owned());
    let mut seen = Vec::new();
    while let Some(page) = next {
        let page = rooms.get(page.strip_prefix(&hub.base_url).unwrap_or(&page)).await.json();
        assert_eq!(page["type"], "history");
        seen.extend(resources(&page).iter().map(|one| {
            (one["id"].as_str().unwrap().to_owned(), one["meta"]["versionId"].as_str().unwrap().to_owned())
        }));
        let links = page["link"].as_array().unwrap();
        next =
            links.iter().find(|link| link["relation"] == "next").map(|link| link["url"].as_str().unwrap().to_owned());
    }
    let id = url.rsplit('/').next().unwrap();
    let expected = [(other.rsplit('/').next().unwrap(), "1"), (id, "3"), (id, "2"), (id, "1")];
    assert_eq!(seen, expected.map(|(id, version)| (id.to_owned(), version.to_owned())));
    let statement = anna.get("/fhir/metadata").await.json();
    let told = statement["rest"][0]["resource"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["type"] == "HealthcareService")
        .unwrap();
    assert_eq!(told["supportedProfile"], json!(["https://onward.example/fhir/StructureDefinition/directory-service"]));
    assert_eq!(told["conditionalUpdate"], true);
    hub.stop().await;
}

async fn an_organisation_of_an_import_is_adopted_and_its_provider_proposes_then(hub: Hub) {
    let (anna, rooms) = (hub.steward(), hub.provider(LIFE_ROOMS));
    let onward = |args: &[&str]| crate::cli::run(hub.folder(), &[&["directory"], args].concat());
    let sheet = hub.folder().join("sheet.csv");
    std::fs::write(&sheet, "Id,Name,Organisation\ng,Garden,Green Hands\n").unwrap();
    let source = "https://team.example/s";
    let import = ["import", "csv", "sheet.csv", "--source", source];
    assert_eq!(onward(&import).code, 0);
    let one = |found: Value| resources(&found)[0].clone();
    let service = one(found(&anna, "HealthcareService?name=Garden").await);
    let url = format!("/fhir/HealthcareService/{}", service["id"].as_str().unwrap());
    let mut body = service.clone();
    body["comment"] = "Open on Sundays".into();
    assert_eq!(put(&rooms, &url, None, &body).await.status, 403);
    let organization = one(found(&anna, "Organization?name=Green%20Hands").await);
    let called = organization["identifier"][0]["value"].as_str().unwrap();
    assert!(onward(&["adopt", &format!("{source}|{called}"), "nobody"]).err.contains("it has: "));
    assert!(onward(&["adopt", &format!("{source}|none"), LIFE_ROOMS]).err.contains("there is no organisation"));
    let adopted = onward(&["adopt", &format!("{source}|{called}"), LIFE_ROOMS]);
    assert_eq!(adopted.code, 0, "{adopted:?}");
    assert!(onward(&["adopt", organization["id"].as_str().unwrap(), LIFE_ROOMS]).out.contains("already"));
    assert!(onward(&["adopt", organization["id"].as_str().unwrap(), "triage-team"]).err.contains("life-rooms"));
    let proposed = put(&rooms, &url, None, &body).await;
    assert_eq!(proposed.status, 202, "{}", proposed.describe());
    let again =
        crate::cli::run(hub.folder(), &["directory", "import", "csv", "sheet.csv", "--source", source, "--json"])
            .json();
    assert_eq!(again["unchanged"], 2, "an import leaves that as it is: {again:#}");
    // and whoever imports may say so at once
    std::fs::write(&sheet, "Id,Name\nw,Walk\n").unwrap();
    let report = onward(&[&import[..], &["--provider", LIFE_ROOMS]].concat());
    assert_eq!(report.code, 0, "{report:?}");
    let walk = one(found(&anna, "HealthcareService?name=Walk").await);
    assert_eq!(walk["providedBy"]["reference"], format!("Organization/{LIFE_ROOMS}"));
    // what a source calls its own no provider can be called
    let squat = self::service(
        "Mine",
        json!({"providedBy": of(LIFE_ROOMS), "identifier": [{"system": source, "value": "new"}]}),
    );
    refused(&post(&rooms, &squat).await, 422, "business-rule", "HealthcareService.identifier[0]");
    let squat = self::service(
        "Mine",
        json!({"providedBy": of(LIFE_ROOMS),
        "identifier": [{"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "ZZ123"}]}),
    );
    refused(&post(&rooms, &squat).await, 422, "business-rule", "HealthcareService.identifier[0]");
    hub.stop().await;
}
