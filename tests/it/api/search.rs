//! Searching as R4 has it: whatever is asked, it is what a naive filter over everything finds; pages neither repeat nor skip while things
//! change; what goes with the matches comes along; what would cost too much is refused.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use super::{fixtures, hub, ids, query, refused, resources};
use hub::{Actor, GP, Hub, LIFE_ROOMS, LINK_WORKERS, RIO, Sender};

mod body;
mod history;
mod naive;

const NHS: &str = "https://fhir.nhs.uk/Id/nhs-number";

/// A referral of the practice to the link workers, with what can be searched by.
fn various(n: usize) -> Value {
    let mut referral = fixtures::to_link_workers(&format!("various-{n}"));
    referral["priority"] = ["routine", "urgent", "asap"][n % 3].into();
    referral["authoredOn"] = format!("2026-03-{:02}T10:00:00Z", 1 + n % 4).into();
    if n.is_multiple_of(2) {
        referral["requisition"] = json!({"system": "urn:group", "value": format!("G-{}", n % 4)});
    }
    if n.is_multiple_of(5) {
        referral.as_object_mut().unwrap().shift_remove("priority");
    }
    referral
}

/// So many referrals, some of which are accepted, in progress or rejected; their Tasks' URLs.
async fn referrals(hub: &Hub, count: usize) -> Vec<String> {
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let mut tasks = Vec::new();
    for n in 0..count {
        let task = gp.refers(&various(n)).await;
        hub.task_when(&provider, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
        let reject = json!([{"op": "replace", "path": "/status", "value": "rejected"},
                            {"op": "add", "path": "/statusReason", "value": {"text": "full"}}]);
        let answered = match n % 4 {
            1 => Some(provider.set(&task, "accepted").await),
            2 => Some(provider.patch(&task, "W/\"2\"", &reject).await),
            _ => None,
        };
        assert!(answered.is_none_or(|a| a.status == 200));
        tasks.push(task);
    }
    tasks
}

/// All pages of a search: ids, page by page.
async fn pages(actor: &Actor, search: &str) -> Vec<Vec<String>> {
    let (mut url, mut all) = (search.to_owned(), Vec::new());
    loop {
        let answer = actor.get(&url).await;
        assert_eq!(answer.status, 200, "{url} {}", answer.describe());
        let bundle = answer.json();
        all.push(ids(&bundle));
        assert!(all.len() < 200, "pages without end: {search}");
        match next(&bundle) {
            Some(next) => url = next,
            None => return all,
        }
    }
}

fn next(bundle: &Value) -> Option<String> {
    let links = bundle["link"].as_array().unwrap();
    links.iter().find(|l| l["relation"] == "next").map(|l| l["url"].as_str().unwrap().to_owned())
}

// --- paging ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_neither_repeat_nor_skip_while_things_change() {
    let hub = Hub::start().await;
    let tasks = referrals(&hub, 9).await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let all: BTreeSet<String> = tasks.iter().map(|t| t.rsplit('/').next().unwrap().to_owned()).collect();
    let note = json!([{"op": "add", "path": "/note", "value": [{"text": "changed between two pages"}]}]);
    let open: Vec<&String> = tasks.iter().enumerate().filter(|(n, _)| n % 4 != 2).map(|(_, t)| t).collect();
    let nhs = format!("{NHS}|{}", person(&gp).await);
    for search in [
        "_sort=_lastUpdated".to_owned(),
        "_sort=-_lastUpdated".to_owned(),
        "_lastUpdated=gt2020-01-01".to_owned(),
        "_sort=-_id".to_owned(),
        "_sort=authored-on".to_owned(),
        format!("patient.identifier={nhs}"),
        format!("patient.identifier={nhs}&_sort=-_lastUpdated"),
        format!("patient:identifier={nhs}&_sort=priority,-modified"),
    ] {
        let (mut url, mut found) = (format!("/fhir/Task?{search}&_count=2"), Vec::new());
        let mut changed = open.iter().cycle().skip(found.len());
        loop {
            let bundle = gp.get(&url).await.json();
            assert_eq!(bundle["type"], "searchset", "{bundle}");
            found.extend(ids(&bundle));
            // the first, the last, and one in the middle are changed before the next page is turned
            for task in [changed.next().unwrap(), open[open.len() - 1]] {
                let etag = provider.get(task).await.header("etag").unwrap().to_owned();
                assert_eq!(provider.patch(task, &etag, &note).await.status, 200);
            }
            match next(&bundle) {
                Some(next) => url = next,
                None => break,
            }
        }
        assert_eq!(found.len(), all.len(), "{search}: {found:?}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all, "{search}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_paged_by_their_changes_as_well() {
    let hub = Hub::start().await;
    referrals(&hub, 7).await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let all = ids(&gp.get("/fhir/ServiceRequest?_count=50").await.json());
    // rejected ones stay as they are
    let open: Vec<&String> = all.iter().enumerate().filter(|(n, _)| n % 4 != 2).map(|(_, id)| id).collect();
    for search in ["_sort=_lastUpdated", "_sort=-_lastUpdated", "_lastUpdated=gt2020-01-01"] {
        let (mut url, mut found) = (format!("/fhir/ServiceRequest?{search}&_count=2"), Vec::new());
        let mut changed = open.iter().cycle();
        loop {
            let bundle = gp.get(&url).await.json();
            assert_eq!(bundle["type"], "searchset", "{bundle}");
            found.extend(ids(&bundle));
            for id in [changed.next().unwrap(), open[open.len() - 1]] {
                let url = format!("/fhir/ServiceRequest/{id}");
                let etag = gp.get(&url).await.header("etag").unwrap().to_owned();
                let note = json!([{"op": "add", "path": "/note", "value": [{"text": format!("since {etag}")}]}]);
                let answer = gp.patch(&url, &etag, &note).await;
                assert_eq!(answer.status, 200, "{}", answer.describe());
            }
            match next(&bundle) {
                Some(next) => url = next,
                None => break,
            }
        }
        found.sort();
        assert_eq!(found, all, "{search}");
    }
    let newest = gp.get("/fhir/ServiceRequest?_sort=-_lastUpdated").await.json();
    let moments: Vec<&str> = resources(&newest).iter().map(|r| r["meta"]["lastUpdated"].as_str().unwrap()).collect();
    assert!(moments.is_sorted_by(|a, b| a >= b) && moments[0] != moments[6], "{moments:?}");
    // what changed lately, for either side
    let since = query(&[("_lastUpdated", &format!("ge{}", moments[0]))]);
    for actor in [&*gp as &Actor, &provider] {
        let lately = ids(&actor.get(&format!("/fhir/ServiceRequest{since}")).await.json());
        assert_eq!(lately, [resources(&newest)[0]["id"].as_str().unwrap()]);
    }
    let told = refused(&provider.get("/fhir/ServiceRequest?_sort=_lastUpdated").await, 400, "too-costly", "http._sort");
    assert!(told.contains("_id"), "{told}");
    hub.stop().await;
}

/// The NHS number of whom the practice's referrals are about.
async fn person(gp: &Sender) -> String {
    let found = gp.get("/fhir/ServiceRequest?_count=1").await.json();
    resources(&found)[0]["subject"]["identifier"]["value"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_stand_in_the_order_that_is_asked() {
    let hub = Hub::start().await;
    referrals(&hub, 6).await;
    let gp = hub.sender(GP);
    let nhs = person(&gp).await;
    let moments = async |search: &str, pointer: &str| {
        let bundle = gp.get(&format!("/fhir/Task?{search}")).await.json();
        resources(&bundle)
            .iter()
            .map(|t| t.pointer(pointer).cloned().unwrap_or_default().to_string())
            .collect::<Vec<_>>()
    };
    for (search, pointer, descending) in [
        ("_sort=_lastUpdated", "/meta/lastUpdated", false),
        ("_sort=-_lastUpdated", "/meta/lastUpdated", true),
        ("_sort=-authored-on", "/authoredOn", true),
        ("_sort=authored-on", "/authoredOn", false),
        (&format!("patient.identifier={nhs}&_sort=-modified"), "/lastModified", true),
        (&format!("patient.identifier={nhs}&_sort=status"), "/status", false),
    ] {
        let found = moments(search, pointer).await;
        assert_eq!(found.len(), 6, "{search}");
        let mut sorted = found.clone();
        sorted.sort();
        if descending {
            sorted.reverse();
        }
        assert_eq!(found, sorted, "{search}");
    }
    // what has no such value stands last, whatever the direction
    for direction in ["", "-"] {
        let found = moments(&format!("patient.identifier={nhs}&_sort={direction}priority"), "/priority").await;
        assert_eq!(found.iter().position(|p| p == "null"), Some(4), "{found:?}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_travels_with_referrals_is_listed_page_by_page() {
    let hub = Hub::start().await;
    let rio = hub.sender(RIO);
    let mut expected = BTreeSet::new();
    for n in 0..3 {
        let mut bundle = fixtures::json("referrals/03-full-bundle.json");
        for entry in bundle["entry"].as_array_mut().unwrap() {
            if entry["resource"]["resourceType"] == "ServiceRequest" {
                entry["resource"]["identifier"][0]["value"] = format!("listed-{n}").into();
            }
        }
        let sent = rio.refer(&bundle).await;
        let package = rio.get(&format!("{}/$package", sent.links("monitor")[0])).await.json();
        let patients = resources(&package).into_iter().filter(|r| r["resourceType"] == "Patient");
        expected.extend(patients.map(|p| p["id"].as_str().unwrap().to_owned()));
    }
    assert!(expected.len() >= 3);
    for count in [1, 2, 50] {
        let found = pages(&rio, &format!("/fhir/Patient?_count={count}")).await.concat();
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    assert_eq!(pages(&rio, "/fhir/Goal").await.concat().len(), 0);
    assert!(pages(&hub.sender(GP), "/fhir/Patient").await.concat().is_empty(), "another's");
    hub.stop().await;
}

// --- what comes along ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_with_a_match_comes_along() {
    let hub = Hub::start().await;
    let (rio, rooms) = (hub.sender(RIO), hub.provider(LIFE_ROOMS));
    let sent = rio.refer(&fixtures::json("referrals/03-full-bundle.json")).await;
    assert_eq!(sent.status, 200, "{}", sent.describe());
    let task = sent.links("monitor").remove(0);
    let id = task.rsplit('/').next().unwrap();
    hub.task_when(&rooms, &task, "received", |t| t["status"] == "received").await;
    let request = rio.get(&task).await.json()["focus"]["reference"].as_str().unwrap().to_owned();
    let message = json!({"resourceType": "Communication", "status": "completed", "basedOn": [{"reference": request}],
                         "payload": [{"contentString": "hello"}]});
    assert_eq!(rio.method(Method::POST, "/fhir/Communication", &message).await.status, 201);

    let kinds = async |url: String| {
        let bundle = rio.get(&url).await.json();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        let all: Vec<String> = entries
            .iter()
            .map(|e| {
                format!("{} {}", e["search"]["mode"].as_str().unwrap(), e["resource"]["resourceType"].as_str().unwrap())
            })
            .collect();
        let urls: BTreeSet<&str> = entries.iter().map(|e| e["fullUrl"].as_str().unwrap()).collect();
        assert_eq!(urls.len(), entries.len(), "something comes twice: {url}");
        all
    };
    let with = |more: &str| format!("/fhir/Task?_id={id}&{more}");
    assert_eq!(kinds(with("_include=Task:focus")).await, ["match Task", "include ServiceRequest"]);
    assert_eq!(kinds(with("_include=Task:patient")).await, ["match Task", "include Patient"]);
    assert_eq!(kinds(with("_include=Task:owner")).await, ["match Task", "include Organization"]);
    assert_eq!(kinds(with("_include=Task:focus:Patient")).await, ["match Task"]);
    let both = kinds(with("_include=Task:focus&_include:iterate=ServiceRequest:requester")).await;
    assert_eq!(both[..2], ["match Task", "include ServiceRequest"]);
    assert!(both.len() > 2, "{both:?}");
    let changes = kinds(with("_revinclude=Provenance:target")).await;
    assert!(changes.len() >= 3 && changes[1..].iter().all(|c| c == "include Provenance"), "{changes:?}");
    let of_request = |more: &str| format!("/fhir/ServiceRequest?_id={}&{more}", request.rsplit('/').next().unwrap());
    let back = kinds(of_request("_revinclude=Task:focus&_revinclude=Communication:based-on")).await;
    assert_eq!(back.iter().map(String::as_str).collect::<BTreeSet<_>>().len(), 3, "{back:?}");
    let far = kinds(of_request("_revinclude=Task:focus&_revinclude:iterate=Provenance:target")).await;
    assert!(far.contains(&"include Provenance".to_owned()), "{far:?}");

    // and by itself, by what leads to it
    let patient = rio.get(&task).await.json()["for"]["reference"].as_str().unwrap().to_owned();
    for search in [
        format!("Patient?_id={}", patient.rsplit('/').next().unwrap()),
        format!("Consent?patient={patient}"),
        format!("Communication?based-on={request}"),
        format!("Communication?about=Task/{id}"),
        format!("Provenance?target=Task/{id}"),
        format!("Organization?identifier={}", "U88888"),
    ] {
        let answer = rio.get(&format!("/fhir/{search}")).await;
        assert_eq!(answer.status, 200, "{search} {}", answer.describe());
        if !search.starts_with("Organization") {
            assert!(!ids(&answer.json()).is_empty(), "{search}");
        }
    }
    // of another's referral there is nothing
    let gp = hub.sender(GP);
    for search in
        [format!("Consent?patient={patient}"), format!("Provenance?target=Task/{id}"), format!("Task?_id={id}")]
    {
        assert!(ids(&gp.get(&format!("/fhir/{search}")).await.json()).is_empty(), "{search}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_a_task_has_its_provenance() {
    let hub = Hub::start().await;
    let tasks = referrals(&hub, 2).await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let task = &tasks[1];
    let versions: u64 = gp.get(task).await.json()["meta"]["versionId"].as_str().unwrap().parse().unwrap();
    let found = gp.get(&format!("/fhir/Provenance?target=Task/{}", task.rsplit('/').next().unwrap())).await.json();
    let mut targets = Vec::new();
    for provenance in resources(&found) {
        let target = provenance["target"][0]["reference"].as_str().unwrap();
        assert_eq!(gp.get(&format!("/fhir/{target}")).await.status, 200, "{target}");
        targets.push(target.rsplit('/').next().unwrap().parse::<u64>().unwrap());
        let url = format!("/fhir/Provenance/{}", provenance["id"].as_str().unwrap());
        for (actor, url) in [(&*gp as &Actor, url.clone()), (&*provider, format!("{url}/_history/1"))] {
            assert_eq!(actor.get(&url).await.json(), *provenance);
        }
        assert_eq!(ids(&gp.get(&format!("{url}/_history")).await.json()).len(), 1);
        assert_eq!(hub.sender(RIO).get(&url).await.status, 404, "another's");
    }
    targets.sort_unstable();
    assert_eq!(targets, (1..=versions).collect::<Vec<_>>());
    let answered = resources(&found).into_iter().find(|p| p["activity"]["text"] == "answered").unwrap();
    assert_eq!(answered["agent"][0]["who"]["reference"], "Organization/link-workers");
    hub.stop().await;
}

// --- how it is answered ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_much_is_given_and_counted_as_is_asked() {
    let hub = Hub::start().await;
    referrals(&hub, 5).await;
    let gp = hub.sender(GP);
    let get = async |search: &str| gp.get(&format!("/fhir/Task?{search}")).await.json();
    let counted = get("_summary=count").await;
    assert_eq!((&counted["total"], counted.get("entry")), (&json!(5), None));
    assert_eq!(get("status=requested&_total=accurate&_count=1").await["total"], 3);
    let none = get("status=requested&_count=0").await;
    assert_eq!((&none["total"], none.get("entry")), (&json!(3), None));
    assert_eq!(get("_count=1").await.get("total"), None, "what nobody asked is not counted");
    let summary = get("_summary=true").await;
    let task = resources(&summary)[0].clone();
    assert_eq!(task["meta"]["tag"][0]["code"], "SUBSETTED");
    assert!(task.get("status").is_some() && task.get("identifier").is_none() && task.get("focus").is_some());
    // a read may be cut likewise, and says what it does not know
    let url = format!("/fhir/Task/{}", task["id"].as_str().unwrap());
    let read = gp.get(&format!("{url}?_elements=owner")).await.json();
    assert!(read.get("owner").is_some() && read.get("focus").is_none());
    refused(&gp.get(&format!("{url}?colour=red")).await, 400, "not-supported", "http.colour");
    refused(&gp.get(&format!("{url}?_summary=short")).await, 400, "value", "http._summary");
    assert_eq!(gp.get(&format!("{url}/_history/01")).await.status, 404);
    let named = get("_elements=owner").await;
    let keys: Vec<&String> = resources(&named)[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["resourceType", "id", "meta", "status", "intent", "owner"]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_is_refused_or_left_out_as_the_client_wishes() {
    let hub = Hub::start().await;
    referrals(&hub, 2).await;
    let gp = hub.sender(GP);
    let url = "/fhir/Task?status=requested&colour=red&_sort=colour";
    let strict = gp.get(url).await;
    refused(&strict, 400, "not-supported", "http.colour");
    refused(&strict, 400, "not-supported", "http._sort");
    let lenient = gp.call(gp.call_to(Method::GET, url).header("prefer", "handling=lenient")).await;
    assert_eq!(lenient.status, 200, "{}", lenient.describe());
    let bundle = lenient.json();
    assert_eq!(bundle["link"][0]["url"], format!("{}/fhir/Task?status=requested", hub.base_url));
    let last = bundle["entry"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["search"]["mode"], &last["resource"]["resourceType"]),
        (&json!("outcome"), &json!("OperationOutcome"))
    );
    assert_eq!(last["resource"]["issue"].as_array().unwrap().len(), 2);
    // what is known and cannot be read is refused all the same
    let wrong = gp.call(gp.call_to(Method::GET, "/fhir/Task?status=done").header("prefer", "handling=lenient")).await;
    refused(&wrong, 400, "value", "http.status");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_look_at_everything_is_refused_with_what_to_do() {
    let hub = Hub::start().await;
    let gp = hub.sender(GP);
    for (search, place) in [
        ("Task?_sort=priority", "http._sort"),
        ("ServiceRequest?_sort=-authored", "http._sort"),
        ("Task?patient.name=Ann", "http.patient.name"),
        ("ServiceRequest?patient:identifier=urn:x|", "http.patient:identifier"),
        ("Consent?status=active", "http"),
        ("Practitioner?identifier=urn:x|1", "http"),
        ("Provenance?recorded=gt2020", "http"),
    ] {
        let told = refused(&gp.get(&format!("/fhir/{search}")).await, 400, "too-costly", place);
        assert!(told.contains("_id") || told.contains("identifier"), "{search}: {told}");
    }
    hub.stop().await;
}
