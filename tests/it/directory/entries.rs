//! Entries are made, read, changed and looked back at.

use super::*;

on_both_stores!(a_steward_writes_and_every_client_reads, a_change_is_made_over_the_version_that_it_was_made_from,);

async fn a_steward_writes_and_every_client_reads(hub: Hub) {
    let anna = hub.steward();
    for (kind, body) in [
        ("Organization", organization("Ness Gardens Trust")),
        (
            "Location",
            entry("Location", json!({"status": "active", "name": "Ness", "address": {"postalCode": "CH64 9ZZ"}})),
        ),
        (
            "Endpoint",
            entry(
                "Endpoint",
                json!({"status": "active", "connectionType": {"code": "hl7-fhir-rest"},
            "payloadType": [{"text": "any"}], "managingOrganization": of("life-rooms"), "address": "https://ness.example/fhir"}),
            ),
        ),
        (
            "HealthcareService",
            service(
                "Gardening",
                json!({"providedBy": of("life-rooms"), "extension": [{"url": "https://unknown.example/x", "valueDecimal": 1.50}]}),
            ),
        ),
    ] {
        let answer = anna.method(Method::POST, &format!("/fhir/{kind}"), &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (201, Some("W/\"1\"")), "{}", answer.describe());
        let location = answer.header("location").unwrap().to_owned();
        let made = answer.json();
        let url = format!("/fhir/{kind}/{}", made["id"].as_str().unwrap());
        assert_eq!(location, format!("{}{url}/_history/1", hub.base_url));
        for (who, actor) in everybody(&hub) {
            let read = actor.get(&url).await;
            assert_eq!(read.status, 200, "{who}");
            let mut read = read.json();
            assert_eq!(read, made, "{who}");
            let given = read.as_object_mut().unwrap();
            given.remove("id");
            given.remove("meta");
            assert_eq!(read, body, "nothing that was written is lost: {who}");
            assert_eq!(actor.get(&location).await.json(), made);
        }
        let xml = anna.get(&format!("{url}?_format=xml")).await;
        assert!(xml.header("content-type").unwrap().starts_with("application/fhir+xml"), "{}", xml.describe());
        let stranger = hub.actor(None);
        assert_eq!(stranger.get(&url).await.status, 401);
        assert_eq!(anna.get(&format!("{url}/_history/2")).await.status, 404);
    }
    hub.stop().await;
}

async fn a_change_is_made_over_the_version_that_it_was_made_from(hub: Hub) {
    let anna = hub.steward();
    let place = made(&anna, &service("Sheds", json!({}))).await;
    let url = format!("/fhir/{place}");
    let mut body = anna.get(&url).await.json();
    body["name"] = "Men's sheds".into();
    let written = put(&anna, &url, Some("W/\"1\""), &body).await;
    assert_eq!((written.status.as_u16(), written.header("etag")), (200, Some("W/\"2\"")), "{}", written.describe());
    assert_eq!(written.json()["name"], "Men's sheds");
    refused(&put(&anna, &url, Some("W/\"1\""), &body).await, 412, "conflict", "HealthcareService.meta.versionId");
    body["active"] = false.into();
    refused(&anna.method(Method::PUT, &url, &body).await, 428, "required", "http.If-Match");
    let third = put(&anna, &url, None, &body).await;
    assert_eq!(third.header("etag"), Some("W/\"3\""), "without a condition it is written over what is there");

    let history = anna.get(&format!("{url}/_history")).await.json();
    let versions: Vec<_> = resources(&history)
        .iter()
        .map(|r| (r["meta"]["versionId"].as_str().unwrap().to_owned(), r["name"].as_str().unwrap().to_owned()))
        .collect();
    let expected =
        [("3", "Men's sheds"), ("2", "Men's sheds"), ("1", "Sheds")].map(|(v, n)| (v.to_owned(), n.to_owned()));
    assert_eq!(versions, expected);
    assert_eq!(anna.get(&format!("{url}/_history/1")).await.json()["name"], "Sheds");

    let absent = format!("/fhir/HealthcareService/{}", uuid::Uuid::now_v7());
    body["id"] = absent.rsplit('/').next().unwrap().into();
    refused(&put(&anna, &absent, None, &body).await, 404, "not-found", "%resource");
    refused(&put(&anna, &url, None, &body).await, 400, "value", "HealthcareService.id");
    assert_eq!(anna.method(Method::DELETE, &url, &json!({})).await.status, 405, "an entry is never deleted");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_with_its_place() {
    let hub = Hub::start().await;
    let anna = hub.steward();
    let before = hub.rows();
    let post = |body: Value| {
        let anna = anna.clone();
        async move { anna.method(Method::POST, "/fhir/HealthcareService", &body).await }
    };
    refused(
        &post(json!({"resourceType": "HealthcareService", "active": true, "type": [{"text": "x"}]})).await,
        422,
        "required",
        "HealthcareService.name",
    );
    refused(
        &post(service("x", json!({"providedBy": of("nobody")}))).await,
        422,
        "not-found",
        "HealthcareService.providedBy.reference",
    );
    refused(&post(service("x", json!({"active": "yes"}))).await, 400, "structure", "HealthcareService.active");
    refused(&post(organization("x")).await, 400, "invalid", "HealthcareService");
    assert_eq!(hub.rows(), before, "nothing of it was stored");
    for registry in ["Organization/life-rooms", "Endpoint/link-workers"] {
        let body = anna.get(&format!("/fhir/{registry}")).await.json();
        let answer = put(&anna, &format!("/fhir/{registry}"), None, &body).await;
        assert!(refused(&answer, 403, "forbidden", "http.Authorization").contains("configuration"));
    }
    let system = hub.sender(hub::GP);
    let answer = system.method(Method::POST, "/fhir/Organization", &organization("x")).await;
    refused(&answer, 403, "forbidden", "http.Authorization");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_already_is_not_made_again() {
    let hub = Hub::start().await;
    let anna = hub.steward();
    let source = "https://source.example";
    let body = |id: &str| {
        entry(
            "Organization",
            json!({"active": true, "name": "Shed", "meta": {"source": source},
            "identifier": [{"use": "secondary", "system": source, "value": id}]}),
        )
    };
    let conditional = |id: &'static str, condition: String| {
        let (anna, body) = (anna.clone(), body(id));
        async move {
            let call = anna.call_to(Method::POST, "/fhir/Organization").json(FHIR_JSON, &body);
            anna.call(call.header("if-none-exist", condition)).await
        }
    };
    let by = |id: &str| query(&[("identifier", &format!("{source}|{id}"))])[1..].to_owned();
    let first = conditional("7", by("7")).await;
    assert_eq!(first.status, 201, "{}", first.describe());
    let again = conditional("7", by("7")).await;
    assert_eq!((again.status.as_u16(), again.json()["id"].clone()), (200, first.json()["id"].clone()));
    // without the condition the source is what tells
    let twin = anna.method(Method::POST, "/fhir/Organization", &body("7")).await;
    let told = refused(&twin, 409, "duplicate", "Organization.identifier");
    assert!(told.contains(first.json()["id"].as_str().unwrap()), "{told}");
    assert_eq!(conditional("8", by("8")).await.status, 201);
    refused(&conditional("9", "name=Shed".into()).await, 412, "multiple-matches", "%resource");
    hub.stop().await;
}
