//! The CapabilityStatement is true: what it claims works, and what it does not claim is refused.

use hyper::Method;
use serde_json::{Value, json};

use super::{fixtures, hub, ids, query, resources};
use hub::{Actor, GP, Hub, LINK_WORKERS};

fn codes(of: &Value) -> Vec<String> {
    of.as_array().unwrap().iter().map(|c| c["code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_claims_works() {
    let hub = Hub::start().await;
    let statement = hub.actor(None).get("/fhir/metadata").await;
    assert_eq!(statement.header("content-type"), Some("application/fhir+json; charset=utf-8"));
    let statement = statement.json();
    assert_eq!(
        (&statement["resourceType"], &statement["fhirVersion"]),
        (&"CapabilityStatement".into(), &"4.0.1".into())
    );
    assert_eq!(statement["implementation"]["url"], format!("{}/fhir", hub.base_url));
    assert_eq!(
        statement["patchFormat"],
        json!(["application/fhir+json", "application/fhir+xml", "application/json-patch+json"])
    );
    let rest = &statement["rest"][0];
    assert_eq!(codes(&rest["interaction"]), ["transaction", "batch"]);

    let gp = hub.sender(GP);
    let bundle = gp.refer(&fixtures::json("referrals/05-two-referrals.json")).await;
    assert_eq!(bundle.status, 200);
    let request = bundle.json()["entry"][4]["resource"].clone();
    let task = bundle.links("monitor").remove(0);
    let provider = hub.provider(LINK_WORKERS);
    hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    let package = gp.get(&format!("{task}/$package")).await.json();
    let mut tried = 0;
    for claimed in rest["resource"].as_array().unwrap() {
        let kind = claimed["type"].as_str().unwrap();
        let one = package["entry"].as_array().unwrap().iter().find(|e| e["resource"]["resourceType"] == kind);
        let Some(one) = one else { continue };
        tried += 1;
        let url = one["fullUrl"].as_str().unwrap();
        let version = one["resource"]["meta"]["versionId"].as_str().unwrap();
        for interaction in codes(&claimed["interaction"]) {
            if is_of_directory(kind) && ["create", "update", "patch"].contains(&&*interaction) {
                continue; // tried in `directory`, by those who may
            }
            interacts(&gp, &provider, kind, url, version, &interaction).await;
        }
        searches(&gp, claimed, &one["resource"]).await;
        assert_eq!(claimed["conditionalRead"], "full-support");
        let by_search = kind != "Subscription";
        let written = codes(&claimed["interaction"]).contains(&"update".to_owned()) && by_search;
        assert_eq!(claimed["conditionalUpdate"].as_bool().unwrap_or_default(), written, "{kind}");
        let again = gp.call(gp.call_to(Method::GET, url).header("if-none-match", format!("W/\"{version}\""))).await;
        assert!(again.status == 304 || ["Task", "ServiceRequest"].contains(&kind), "{kind}");
        for format in statement["format"].as_array().unwrap() {
            let call = gp.call_to(Method::GET, url).header("accept", format.as_str().unwrap());
            let read = gp.call(call).await;
            assert!(read.header("content-type").unwrap().starts_with(format.as_str().unwrap()), "{kind}");
        }
    }
    assert!(tried >= 6, "only {tried} types were tried");
    let of = |kind: &str| rest["resource"].as_array().unwrap().iter().find(|r| r["type"] == kind).unwrap().clone();
    let own = format!("ServiceRequest/{}", request["id"].as_str().unwrap());
    let message = json!({"resourceType": "Communication", "status": "completed", "basedOn": [{"reference": own}],
        "about": [{"reference": task}], "payload": [{"contentString": "as claimed"}]});
    let said = gp.method(Method::POST, "/fhir/Communication", &message).await;
    assert_eq!(said.status, 201, "{}", said.describe());
    assert_eq!(of("Communication")["conditionalCreate"], true);
    for interaction in codes(&of("Communication")["interaction"]) {
        let url = said.header("location").unwrap().split_once("/_history").unwrap().0.to_owned();
        let answer = match &*interaction {
            "create" => said.clone(),
            "read" => gp.get(&url).await,
            "vread" => gp.get(&format!("{url}/_history/1")).await,
            "history-instance" => gp.get(&format!("{url}/_history")).await,
            "search-type" => gp.get(&format!("/fhir/Communication?based-on={own}")).await,
            other => panic!("Communication claims {other}, which nobody tries here"),
        };
        assert!(answer.status.is_success(), "{interaction}: {}", answer.describe());
    }
    searches(&gp, &of("Communication"), &said.json()).await;
    assert_eq!(of("ServiceRequest")["conditionalCreate"], true);
    for operation in of("Task")["operation"].as_array().unwrap() {
        assert_eq!(gp.get(&format!("{task}/${}", operation["name"].as_str().unwrap())).await.status, 200);
    }
    hub.stop().await;
}

async fn interacts(
    gp: &hub::Sender,
    provider: &hub::Provider,
    kind: &str,
    url: &str,
    version: &str,
    interaction: &str,
) {
    let status = match interaction {
        "read" => gp.get(url).await,
        "vread" => gp.get(&format!("{url}/_history/{version}")).await,
        "history-instance" => gp.get(&format!("{url}/_history")).await,
        "history-type" => gp.get(&format!("/fhir/{kind}/_history")).await,
        "search-type" => gp.get(&format!("/fhir/{kind}?_id={}", url.rsplit('/').next().unwrap())).await,
        "create" => gp.refer(&fixtures::to_link_workers("claimed")).await,
        "update" if kind == "ServiceRequest" => {
            let now = gp.get(url).await;
            let mut request = now.json();
            request["note"] = json!([{"text": "as claimed"}]);
            gp.change(url, now.header("etag").unwrap(), &request).await
        }
        "patch" if kind == "ServiceRequest" => {
            let now = gp.get(url).await;
            let patch = json!([{"op": "remove", "path": "/note"}]);
            gp.patch(url, now.header("etag").unwrap(), &patch).await
        }
        "update" => {
            let now = provider.get(url).await;
            let mut task = now.json();
            task["status"] = "accepted".into();
            provider.put(url, now.header("etag").unwrap(), &task).await
        }
        "patch" => provider.set(url, "in-progress").await,
        other => panic!("{kind} claims {other}, which nobody tries here"),
    };
    assert!(status.status.is_success(), "{kind} {interaction}: {}", status.describe());
}

/// Whether resources of this type that travel with a referral are read only: as entries of the directory they are written elsewhere.
fn is_of_directory(kind: &str) -> bool {
    kind.parse::<onward::domain::EntryKind>().is_ok()
}

/// Every parameter is known, and says of this resource either that it has such a value or that it has not; every include is known.
async fn searches(gp: &Actor, claimed: &Value, one: &Value) {
    let (kind, id) = (claimed["type"].as_str().unwrap(), one["id"].as_str().unwrap());
    let find = async |pairs: &[(&str, &str)]| {
        let answer = gp.get(&format!("/fhir/{kind}{}", query(pairs))).await;
        assert_eq!(answer.status, 200, "{kind} {pairs:?} {}", answer.describe());
        ids(&answer.json())
    };
    for parameter in claimed["searchParam"].as_array().unwrap() {
        let name = format!("{}:missing", parameter["name"].as_str().unwrap());
        let with = find(&[("_id", id), (&name, "false")]).await;
        let without = find(&[("_id", id), (&name, "true")]).await;
        assert_eq!([with, without].concat(), [id], "{kind} {name}");
    }
    for (name, list) in [("_include", "searchInclude"), ("_revinclude", "searchRevInclude")] {
        for include in claimed[list].as_array().into_iter().flatten() {
            let found = find(&[("_id", id), (name, include.as_str().unwrap())]).await;
            assert_eq!(found[0], id, "{kind} {include}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_does_not_claim_is_refused() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    let sent = gp.refer(&fixtures::to_link_workers("unclaimed")).await;
    let (location, task) = (sent.header("location").unwrap().to_owned(), sent.links("monitor").remove(0));
    let request = location.split_once("/_history").unwrap().0.to_owned();
    for (method, url) in [
        (Method::DELETE, task.clone()),
        (Method::DELETE, request.clone()),
        (Method::POST, "/fhir/Task".to_owned()),
        (Method::PUT, "/fhir/Task/_search".to_owned()),
        (Method::POST, format!("{task}/$package")),
        (Method::PUT, "/fhir/Patient?_id=x".to_owned()),
        (Method::GET, "/fhir".to_owned()),
    ] {
        let answer = gp.method(method.clone(), &url, &sent.json()).await;
        assert_eq!(answer.status, 405, "{method} {url}: {}", answer.describe());
        assert_eq!(answer.json()["resourceType"], "OperationOutcome");
    }
    for url in
        ["/fhir/Basic", "/fhir/Basic?_id=x", "/fhir/_history", "/fhir/Patient/_history", "/fhir/Patient/$everything"]
    {
        assert_eq!(gp.get(url).await.status, 404, "{url}");
    }
    for url in ["/fhir/Patient?name=x", "/fhir/Patient?_sort=name"] {
        assert_eq!(gp.get(url).await.status, 400, "{url}");
    }
    for kind in ["Patient", "Task", "Nonsense"] {
        let answer = gp.method(Method::POST, &format!("/fhir/{kind}"), &json!({"resourceType": kind})).await;
        assert!(answer.status == 404 || answer.status == 405, "{kind}: {}", answer.status);
    }
    for search in ["_revinclude=Task:status", "_sort=status", "_filter=x", "_text=x", "_has:Task:focus:status=x"] {
        assert_eq!(gp.get(&format!("/fhir/ServiceRequest?{search}")).await.status, 400, "{search}");
    }
    let history = json!({"resourceType": "Bundle", "type": "history", "entry": []});
    assert_eq!(gp.refer(&history).await.status, 400);
    // a search says which is meant
    assert_eq!(gp.method(Method::PUT, "/fhir/Task", &sent.json()).await.status, 400);
    assert_eq!(resources(&gp.get("/fhir/Task").await.json()).len(), 1);
    hub.stop().await;
}

/// It is R4 that others read: the statement, and what it refers to, are held against R4 by our own validator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_valid_and_says_what_is_configured() {
    for (sections, cors) in [("", false), ("[http.cors]\norigins = [\"https://app.example\"]\n", true)] {
        let hub = Hub::build().sections(sections).start().await;
        let gp = hub.sender(GP);
        let statement = gp.get("/fhir/metadata").await.json();
        assert_eq!(statement["rest"][0]["security"]["cors"], cors);
        let artefact = |name: &str| {
            let path = format!("{}/profiles/{name}.json", env!("CARGO_MANIFEST_DIR"));
            serde_json::from_str::<Value>(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        let package = artefact("OperationDefinition-task-package");
        let about = artefact("SearchParameter-Communication-about");
        let of = |kind: &str| {
            statement["rest"][0]["resource"].as_array().unwrap().iter().find(|r| r["type"] == kind).unwrap()
        };
        assert_eq!(of("Task")["operation"][0]["definition"], package["url"]);
        let claimed =
            of("Communication")["searchParam"].as_array().unwrap().iter().find(|p| p["name"] == "about").unwrap();
        assert_eq!((&claimed["definition"], &claimed["type"]), (&about["url"], &about["type"]));
        for resource in [statement.clone(), package, about] {
            let kind = resource["resourceType"].as_str().unwrap().to_owned();
            let said = gp.method(Method::POST, &format!("/fhir/{kind}/$validate"), &resource).await;
            assert_eq!(said.status, 200);
            let said = said.json();
            let wrong = |issue: &&Value| ["error", "fatal", "warning"].contains(&issue["severity"].as_str().unwrap());
            let wrong: Vec<_> = said["issue"].as_array().unwrap().iter().filter(wrong).collect();
            assert!(wrong.is_empty(), "{kind}: {wrong:#?}");
        }
        hub.stop().await;
    }
}
