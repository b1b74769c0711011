//! Writes beyond one resource by its id: FHIRPath Patch, batches, and what a search names.

use hyper::Method;
use onward::demo::caller::Answered;
use serde_json::{Value, json};

use super::{fixtures, hub, issues, query, refused};
use hub::{Actor, GP, Hub, LINK_WORKERS, RIO};

const FHIR_JSON: &str = "application/fhir+json";
const FHIR_XML: &str = "application/fhir+xml";

/// The system of the GP's numbers, and a number with it.
fn number(of: &Value) -> String {
    let identifier = &of["identifier"][0];
    format!("{}|{}", identifier["system"].as_str().unwrap(), identifier["value"].as_str().unwrap())
}

/// A FHIRPath Patch of one operation.
fn operation(kind: &str, path: &str, more: &[Value]) -> Value {
    let first = [json!({"name": "type", "valueCode": kind}), json!({"name": "path", "valueString": path})];
    let parts: Vec<&Value> = first.iter().chain(more).collect();
    json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]})
}

fn status(to: &str) -> Value {
    operation("replace", "Task.status", &[json!({"name": "value", "valueCode": to})])
}

async fn with(actor: &Actor, method: Method, url: &str, headers: &[(&'static str, &str)], body: &Value) -> Answered {
    let call = headers.iter().fold(actor.call_to(method, url), |call, (name, value)| call.header(name, *value));
    actor.call(call.json(FHIR_JSON, body)).await
}

/// One of the link workers' worklist.
async fn listed(hub: &Hub, number: &str) -> (String, Value) {
    let task = hub.sender(GP).refers(&fixtures::to_link_workers(number)).await;
    hub.task_when(&hub.provider(LINK_WORKERS), &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    (task.clone(), hub.provider(LINK_WORKERS).get(&task).await.json())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fhirpath_patch_answers_a_task_in_json_and_xml() {
    let hub = Hub::start().await;
    let provider = hub.provider(LINK_WORKERS);
    let (task, _) = listed(&hub, "fhirpath").await;
    let accepted = with(&provider, Method::PATCH, &task, &[("if-match", "W/\"2\"")], &status("accepted")).await;
    assert_eq!((accepted.status.as_u16(), &accepted.json()["status"]), (200, &json!("accepted")));
    let xml = r#"<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>
        <part><name value="type"/><valueCode value="add"/></part><part><name value="path"/><valueString value="Task"/></part>
        <part><name value="name"/><valueString value="note"/></part>
        <part><name value="value"/><valueAnnotation><text value="We ring tomorrow."/></valueAnnotation></part>
        </parameter></Parameters>"#;
    let call = provider.call_to(Method::PATCH, &task).header("if-match", accepted.header("etag").unwrap());
    let noted = provider.call(call.header("prefer", "return=minimal").bytes(FHIR_XML, xml.into())).await;
    assert_eq!((noted.status.as_u16(), noted.body.len()), (200, 0), "{}", noted.describe());
    assert_eq!(provider.get(&task).await.json()["note"], json!([{"text": "We ring tomorrow."}]));
    // it is bound by what binds every answer
    let etag = noted.header("etag").unwrap();
    let before = hub.rows();
    for (patch, code, name, place) in [
        (status("requested"), 422, "business-rule", "Task.status"),
        (status("done"), 400, "code-invalid", "Task.status"),
        (operation("delete", "Task.focus", &[]), 200, "", ""),
        (
            operation("replace", "Task.intent", &[json!({"name": "value", "valueCode": "plan"})]),
            422,
            "business-rule",
            "Task.intent",
        ),
        (
            operation("replace", "Task.output", &[json!({"name": "value", "valueCode": "x"})]),
            422,
            "processing",
            "Parameters.parameter[0]",
        ),
        (operation("erase", "Task.note", &[]), 400, "structure", "Parameters.parameter[0]"),
    ] {
        let answer = with(&provider, Method::PATCH, &task, &[("if-match", etag)], &patch).await;
        match code {
            200 => assert_eq!(
                answer.json()["focus"]["reference"].as_str().map(|r| &r[..15]),
                Some("ServiceRequest/"),
                "it stays"
            ),
            _ => drop(refused(&answer, code, name, place)),
        }
    }
    assert_eq!(hub.rows(), before);
    let without = with(&provider, Method::PATCH, &task, &[], &status("completed")).await;
    refused(&without, 428, "required", "http.If-Match");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fhirpath_patch_changes_a_referral() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let request = gp.refer(&fixtures::to_link_workers("fhirpath-request")).await;
    let url = request.header("location").unwrap().split_once("/_history").unwrap().0.to_owned();
    let note = json!({"name": "value", "valueAnnotation": {"text": "Second floor."}});
    let add = operation("add", "ServiceRequest", &[json!({"name": "name", "valueString": "note"}), note]);
    let changed = with(&gp, Method::PATCH, &url, &[("if-match", "W/\"1\"")], &add).await;
    assert_eq!(changed.status, 200, "{}", changed.describe());
    assert_eq!(changed.json()["note"].as_array().unwrap().last(), Some(&json!({"text": "Second floor."})));
    let subject = operation("delete", "ServiceRequest.subject", &[]);
    let refused = with(&gp, Method::PATCH, &url, &[("if-match", "W/\"2\"")], &subject).await;
    assert_eq!(issues(&refused, 400)[0]["code"], "required");
    hub.stop().await;
}

/// How much there is of what a referral makes; what its delivery makes comes meanwhile.
fn made(hub: &Hub) -> Vec<i64> {
    ["referral", "submission", "task", "name"].map(|table| hub.rows()[table]).to_vec()
}

fn entry(method: &str, url: &str) -> Value {
    json!({"request": {"method": method, "url": url}})
}

fn carrying(method: &str, url: &str, resource: Value) -> Value {
    json!({"request": {"method": method, "url": url}, "resource": resource})
}

fn batch(entries: &[Value]) -> Value {
    json!({"resourceType": "Bundle", "type": "batch", "entry": entries})
}

/// The statuses of a batch's answers.
fn statuses(answer: &Answered) -> Vec<u16> {
    assert_eq!(answer.status, 200, "{}", answer.describe());
    let body = answer.json();
    assert_eq!((&body["resourceType"], &body["type"]), (&json!("Bundle"), &json!("batch-response")));
    let status = |entry: &Value| entry["response"]["status"].as_str().unwrap()[..3].parse().unwrap();
    body["entry"].as_array().unwrap().iter().map(status).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_entry_of_a_batch_is_done_by_itself() {
    let hub = Hub::start().await;
    let provider = hub.provider(LINK_WORKERS);
    let (one, task) = listed(&hub, "batch-1").await;
    let (two, _) = listed(&hub, "batch-2").await;
    let local = |url: &str| url.split_once("/fhir/").unwrap().1.to_owned();
    let (one, two) = (local(&one), local(&two));
    let if_match = |mut entry: Value, tag: &str| {
        entry["request"]["ifMatch"] = tag.into();
        entry
    };
    let mut accepted = task.clone();
    accepted["status"] = "accepted".into();
    let json_patch = json!([{"op": "replace", "path": "/status", "value": "accepted"}]).to_string();
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(json_patch);
    let binary = json!({"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data});
    let mut known = entry("GET", &one);
    known["request"]["ifNoneMatch"] = "W/\"2\"".into();
    let entries = [
        known,
        if_match(carrying("PUT", &one, accepted), "W/\"2\""),
        if_match(carrying("PATCH", &two, binary), "W/\"1\""),
        carrying("PATCH", &two, status("completed")),
        if_match(carrying("PATCH", &two, status("on-hold")), "W/\"99\""),
        entry("GET", &one),
        entry("HEAD", &one),
        entry("GET", "Task?status=accepted"),
        entry("POST", "Task/_search?status=accepted"),
        entry("GET", "metadata"),
        entry("GET", "Task/not-there"),
        entry("DELETE", &one),
        carrying("POST", "", batch(&[entry("GET", &one)])),
        entry("GET", "../health/live"),
        entry("GET", "https://elsewhere.example/fhir/Task/1"),
        entry("UPSET", &one),
        json!({}),
        carrying("POST", "Patient", json!({"resourceType": "Patient"})),
    ];
    let answer = with(&provider, Method::POST, "/fhir", &[], &batch(&entries)).await;
    let body = answer.json();
    assert_eq!(
        statuses(&answer),
        [304, 200, 200, 428, 412, 200, 200, 200, 200, 200, 404, 405, 404, 404, 400, 400, 400, 405],
        "{body:#}"
    );
    let of = |n: usize| &body["entry"][n];
    assert_eq!(of(1)["resource"]["status"], "accepted");
    assert_eq!(of(5)["resource"]["status"], "accepted", "what came before it was done");
    assert_eq!(of(5)["response"]["etag"], of(1)["response"]["etag"]);
    assert_eq!(of(5)["response"]["lastModified"], of(5)["resource"]["meta"]["lastUpdated"]);
    for n in [0, 6] {
        assert!(of(n).get("resource").is_none(), "{n}");
        assert!(of(n)["response"]["etag"].is_string(), "{n}");
    }
    assert_eq!(of(7)["resource"]["type"], "searchset");
    assert_eq!(of(7)["resource"]["entry"].as_array().map(Vec::len), Some(2));
    for n in [3, 4, 10, 11, 12, 13, 14, 15, 16, 17] {
        assert_eq!(of(n)["response"]["outcome"]["resourceType"], "OperationOutcome", "{n}");
        assert!(of(n).get("resource").is_none(), "{n}");
    }
    assert_eq!(provider.get(&format!("/fhir/{two}")).await.json()["status"], "accepted");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_refers_and_says_where_to_follow() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let broken = json!({"resourceType": "ServiceRequest", "status": "active"});
    let mut conditional = carrying("POST", "ServiceRequest", fixtures::to_link_workers("batch-a"));
    conditional["request"]["ifNoneExist"] =
        format!("identifier={}", number(&fixtures::to_link_workers("batch-a"))).into();
    let entries = [
        carrying("POST", "ServiceRequest", broken),
        carrying("POST", "ServiceRequest", fixtures::to_link_workers("batch-a")),
        conditional,
        carrying("POST", "ServiceRequest", fixtures::to_link_workers("batch-b")),
    ];
    let answer = with(&gp, Method::POST, "/fhir", &[], &batch(&entries)).await;
    assert_eq!(statuses(&answer), [400, 201, 200, 201]);
    let body = answer.json();
    assert_eq!(body["entry"][1]["response"]["location"], body["entry"][2]["response"]["location"]);
    let followed = body["entry"][1]["link"][0].clone();
    assert_eq!(followed["relation"], "monitor");
    assert_eq!(gp.get(followed["url"].as_str().unwrap()).await.status, 200);
    // what is preferred is preferred of each
    let preferring = |preference: &'static str| {
        let entries = [carrying("POST", "ServiceRequest", fixtures::to_link_workers(preference))];
        let gp = &gp;
        async move {
            let answer = with(gp, Method::POST, "/fhir", &[("prefer", preference)], &batch(&entries)).await;
            assert_eq!(statuses(&answer), [201]);
            answer.json()["entry"][0].clone()
        }
    };
    assert!(preferring("return=minimal").await.get("resource").is_none());
    let told = preferring("return=OperationOutcome").await;
    assert_eq!(
        (told.get("resource"), &told["response"]["outcome"]["issue"][0]["severity"]),
        (None, &json!("information"))
    );
    // a provider does not refer, and what is another's is not there
    let provider = hub.provider(LINK_WORKERS);
    let entries = [carrying("POST", "ServiceRequest", fixtures::to_link_workers("batch-c")), entry("GET", "Task/1")];
    assert_eq!(statuses(&with(&provider, Method::POST, "/fhir", &[], &batch(&entries)).await), [403, 404]);
    assert_eq!(
        statuses(
            &with(
                &hub.sender(RIO),
                Method::POST,
                "/fhir",
                &[],
                &batch(&[entry("GET", followed["url"].as_str().unwrap())])
            )
            .await
        ),
        [404]
    );
    // one of none, and one of too many
    let none = with(&gp, Method::POST, "/fhir", &[], &json!({"resourceType": "Bundle", "type": "batch"})).await;
    assert_eq!((none.status.as_u16(), none.json().get("entry")), (200, None));
    let many = with(&gp, Method::POST, "/fhir", &[], &batch(&vec![entry("GET", "metadata"); 501])).await;
    refused(&many, 413, "too-costly", "Bundle.entry");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answers_of_a_batch_have_a_bound() {
    let hub = Hub::start().await;
    let entries = vec![entry("GET", "metadata"); 500];
    let answer = with(&hub.sender(GP), Method::POST, "/fhir", &[], &batch(&entries)).await;
    let statuses = statuses(&answer);
    assert_eq!((statuses.first(), statuses.last()), (Some(&200), Some(&413)));
    assert!(answer.body.len() < 20 * 1024 * 1024, "{}", answer.body.len());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_names_what_is_updated() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let mut referral = fixtures::to_link_workers("found");
    referral.as_object_mut().unwrap().shift_remove("id");
    let by_number = format!("/fhir/ServiceRequest{}", query(&[("identifier", &number(&referral))]));
    // none: it is a create
    let stale = with(&gp, Method::PUT, &by_number, &[("if-match", "W/\"1\"")], &referral).await;
    refused(&stale, 412, "conflict", "http.If-Match");
    let mut named = referral.clone();
    named["id"] = "mine".into();
    let refusal = with(&gp, Method::PUT, &by_number, &[], &named).await;
    refused(&refusal, 405, "not-supported", "ServiceRequest.id");
    let created = with(&gp, Method::PUT, &by_number, &[], &referral).await;
    assert_eq!(created.status, 201, "{}", created.describe());
    let url = created.header("location").unwrap().split_once("/_history").unwrap().0.to_owned();
    let task = created.links("monitor").remove(0);
    // one: it is an update, by its version
    let mut changed = created.json();
    changed["note"] = json!([{"text": "Second floor."}]);
    changed.as_object_mut().unwrap().shift_remove("id");
    let without = with(&gp, Method::PUT, &by_number, &[], &changed).await;
    refused(&without, 428, "required", "http.If-Match");
    refused(
        &with(&gp, Method::PUT, &by_number, &[("if-match", "W/\"1\"")], &named).await,
        400,
        "value",
        "ServiceRequest.id",
    );
    let there = with(&gp, Method::PUT, &by_number, &[("if-match", "W/\"1\""), ("if-none-match", "*")], &changed).await;
    refused(&there, 412, "conflict", "http.If-None-Match");
    let updated = with(&gp, Method::PUT, &by_number, &[("if-match", "W/\"1\"")], &changed).await;
    assert_eq!(updated.status, 200, "{}", updated.describe());
    assert_eq!(updated.json()["note"], json!([{"text": "Second floor."}]));
    assert_eq!(gp.get(&url).await.json(), updated.json());
    let delete = operation("delete", "ServiceRequest.note", &[]);
    let patched = with(&gp, Method::PATCH, &by_number, &[("if-match", "W/\"2\"")], &delete).await;
    assert_eq!((patched.status.as_u16(), patched.json().get("note")), (200, None), "{}", patched.describe());
    // several: nothing is done
    gp.refers(&fixtures::to_link_workers("found-too")).await;
    let before = made(&hub);
    let many = "/fhir/ServiceRequest?status=active";
    for method in [Method::PUT, Method::PATCH] {
        let answer = with(&gp, method, many, &[("if-match", "W/\"2\"")], &delete).await;
        refused(&answer, 412, "multiple-matches", "%resource");
    }
    for (asked, code, place) in [("", "required", "http"), ("?colour=red", "not-supported", "http.colour")] {
        let answer = with(
            &gp,
            Method::PUT,
            &format!("/fhir/ServiceRequest{asked}"),
            &[("prefer", "handling=lenient")],
            &changed,
        )
        .await;
        refused(&answer, 400, code, place);
    }
    // what another sent is not found
    let other = with(&hub.sender(RIO), Method::PATCH, &by_number, &[("if-match", "W/\"3\"")], &delete).await;
    assert_eq!(other.status, 404);
    assert_eq!(made(&hub), before);
    // a Task is not made by anyone
    let provider = hub.provider(LINK_WORKERS);
    hub.task_when(&provider, &task, "listed", |t| t["businessStatus"].is_object() || t["meta"]["versionId"] != "1")
        .await;
    let read = provider.get(&task).await;
    let mut accepted = read.json();
    accepted["status"] = "accepted".into();
    let by_request = |id: &str| format!("/fhir/Task{}", query(&[("focus", &format!("ServiceRequest/{id}"))]));
    let none = with(&provider, Method::PUT, &by_request(&uuid::Uuid::now_v7().to_string()), &[], &accepted).await;
    assert!(refused(&none, 404, "not-found", "%resource").contains("referring"));
    let by_request = by_request(url.rsplit('/').next().unwrap());
    let answered =
        with(&provider, Method::PUT, &by_request, &[("if-match", read.header("etag").unwrap())], &accepted).await;
    assert_eq!(
        (answered.status.as_u16(), &answered.json()["status"]),
        (200, &json!("accepted")),
        "{}",
        answered.describe()
    );
    let etag = answered.header("etag").unwrap();
    let answered = with(&provider, Method::PATCH, &by_request, &[("if-match", etag)], &status("in-progress")).await;
    assert_eq!(
        (answered.status.as_u16(), &answered.json()["status"]),
        (200, &json!("in-progress")),
        "{}",
        answered.describe()
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_search_finds_is_not_made_again() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let referral = fixtures::to_link_workers("there");
    let first = gp.refer(&referral).await;
    let mut other = referral.clone();
    other["priority"] = "urgent".into();
    let before = made(&hub);
    for condition in
        [format!("identifier={}", number(&referral)), format!("ServiceRequest?identifier={}", number(&referral))]
    {
        let again = gp.refer_with(&other, &[("if-none-exist", &condition)]).await;
        assert_eq!(again.status, 200, "{}", again.describe());
        for name in ["location", "etag", "last-modified"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
        assert_eq!(again.links("monitor"), first.links("monitor"));
        assert_eq!(again.json(), first.json(), "what is there stays as it is");
        let minimal = gp.refer_with(&other, &[("if-none-exist", &condition), ("prefer", "return=minimal")]).await;
        assert_eq!((minimal.status.as_u16(), minimal.body.len()), (200, 0));
    }
    let unknown = gp.refer_with(&other, &[("if-none-exist", "colour=red")]).await;
    refused(&unknown, 400, "not-supported", "http.colour");
    assert_eq!(made(&hub), before);
    gp.refers(&fixtures::to_link_workers("there-too")).await;
    let several = gp.refer_with(&fixtures::to_link_workers("third"), &[("if-none-exist", "status=active")]).await;
    refused(&several, 412, "multiple-matches", "%resource");
    let new =
        gp.refer_with(&fixtures::to_link_workers("third"), &[("if-none-exist", "identifier=urn:x|not-there")]).await;
    assert_eq!(new.status, 201);
    // a message is looked for among those about its referral
    let request = first.json()["id"].as_str().unwrap().to_owned();
    let mut message = json!({"resourceType": "Communication", "status": "completed", "payload": [{"contentString": "It is me."}],
        "identifier": [{"system": "urn:messages", "value": "1"}], "basedOn": [{"reference": format!("ServiceRequest/{request}")}]});
    let said = with(&gp, Method::POST, "/fhir/Communication", &[], &message).await;
    assert_eq!(said.status, 201, "{}", said.describe());
    message["payload"][0]["contentString"] = "It is still me.".into();
    message.as_object_mut().unwrap().shift_remove("identifier");
    let again =
        with(&gp, Method::POST, "/fhir/Communication", &[("if-none-exist", "identifier=urn:messages|1")], &message)
            .await;
    assert_eq!((again.status.as_u16(), again.json()), (200, said.json()), "{}", again.describe());
    assert_eq!(again.header("location"), said.header("location"));
    let other =
        with(&gp, Method::POST, "/fhir/Communication", &[("if-none-exist", "identifier=urn:messages|2")], &message)
            .await;
    assert_eq!(other.status, 201, "{}", other.describe());
    hub.stop().await;
}
