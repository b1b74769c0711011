//! Searching as R4 has it: whatever is asked, it is what a naive filter over everything finds; pages neither repeat nor skip while things
//! change; what goes with the matches comes along; what would cost too much is refused.

use std::collections::BTreeSet;

use hyper::Method;
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use super::{fixtures, hub, ids, query, refused, resources};
use hub::{Actor, GP, Hub, LIFE_ROOMS, LINK_WORKERS, RIO, Sender};

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

// --- the naive filter ---

/// A condition as a query has it, and what it means by the plainest reading.
type Meaning = (&'static str, &'static str, fn(&Value) -> bool);

fn code(resource: &Value, pointer: &str, wanted: &str) -> bool {
    let concepts = match resource.pointer(pointer) {
        Some(Value::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
        None => vec![],
    };
    concepts.iter().any(|c| c["coding"].as_array().is_some_and(|all| all.iter().any(|c| c["code"] == wanted)))
}

fn day(resource: &Value, element: &str) -> String {
    resource[element].as_str().map(|t| t[..10].to_owned()).unwrap_or_default()
}

const OF_REQUESTS: &[Meaning] = &[
    ("status", "active", |r| r["status"] == "active"),
    ("status:not", "active", |r| r["status"] != "active"),
    ("intent", "order", |r| r["intent"] == "order"),
    ("intent", "plan,proposal", |r| r["intent"] == "plan" || r["intent"] == "proposal"),
    ("priority", "urgent", |r| r["priority"] == "urgent"),
    ("priority", "urgent,routine", |r| r["priority"] == "urgent" || r["priority"] == "routine"),
    ("priority:not", "urgent", |r| r["priority"] != "urgent"),
    ("priority:missing", "true", |r| r.get("priority").is_none()),
    ("priority", "http://hl7.org/fhir/request-priority|asap", |r| r["priority"] == "asap"),
    ("code", "871731000000106", |r| code(r, "/code", "871731000000106")),
    ("code", "http://snomed.info/sct|1", |_| false),
    ("category:missing", "false", |r| r.get("category").is_some()),
    ("authored", "ge2026-03-03", |r| day(r, "authoredOn").as_str() >= "2026-03-03"),
    ("authored", "lt2026-03-02", |r| day(r, "authoredOn").as_str() < "2026-03-02"),
    ("authored", "2026-03-02", |r| day(r, "authoredOn") == "2026-03-02"),
    ("authored", "ne2026-03-02", |r| day(r, "authoredOn") != "2026-03-02"),
    ("authored", "2026-03", |r| day(r, "authoredOn").starts_with("2026-03")),
    ("requisition", "urn:group|G-2", |r| r["requisition"]["value"] == "G-2"),
    ("requisition:missing", "true", |r| r.get("requisition").is_none()),
    ("identifier", "various-1", |r| r["identifier"][0]["value"] == "various-1"),
    ("identifier", "various-1,various-2,nobody", |r| {
        r["identifier"][0]["value"] == "various-1" || r["identifier"][0]["value"] == "various-2"
    }),
    ("subject:missing", "false", |r| r.get("subject").is_some()),
    ("encounter:missing", "true", |r| r.get("encounter").is_none()),
];

const OF_TASKS: &[Meaning] = &[
    ("status", "requested", |t| t["status"] == "requested"),
    ("status", "accepted,rejected", |t| t["status"] == "accepted" || t["status"] == "rejected"),
    ("status:not", "rejected", |t| t["status"] != "rejected"),
    ("code", "fulfill", |t| code(t, "/code", "fulfill")),
    ("code", "http://hl7.org/fhir/CodeSystem/task-code|approve", |_| false),
    ("intent", "order", |t| t["intent"] == "order"),
    ("priority", "urgent", |t| t["priority"] == "urgent"),
    ("priority:missing", "true", |t| t.get("priority").is_none()),
    ("owner", "Organization/link-workers", |_| true),
    ("owner", "Organization/life-rooms", |_| false),
    ("owner:identifier", "https://fhir.nhs.uk/Id/ods-organization-code|U99999", |_| true),
    ("group-identifier", "G-0", |t| t["groupIdentifier"]["value"] == "G-0"),
    ("business-status:missing", "true", |t| t.get("businessStatus").is_none()),
    ("part-of:missing", "true", |t| t.get("partOf").is_none()),
    ("authored-on", "gt2020-01-01", |t| day(t, "authoredOn").as_str() > "2020-01-01"),
    ("modified", "lt2020-01-01", |t| day(t, "lastModified").as_str() < "2020-01-01"),
    ("_lastUpdated", "gt2020-01-01", |_| true),
    ("_lastUpdated", "lt2020-01-01", |_| false),
    ("requester:missing", "false", |t| t.get("requester").is_some()),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_a_naive_filter_finds_the_same() {
    let hub = Hub::start().await;
    referrals(&hub, 14).await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let all_of = async |kind: &str| {
        let bundle = gp.get(&format!("/fhir/{kind}?_count=100")).await.json();
        resources(&bundle).into_iter().cloned().collect::<Vec<_>>()
    };
    let (requests, tasks) = (all_of("ServiceRequest").await, all_of("Task").await);
    assert_eq!((requests.len(), tasks.len()), (14, 14));
    let handle = tokio::runtime::Handle::current();
    let checked = tokio::task::spawn_blocking(move || {
        let config = Config { cases: 120, failure_persistence: None, ..Config::default() };
        let pick = |of: &'static [Meaning]| prop::collection::vec(select(of), 1..4);
        let order = select(&["", "_id", "-_id"][..]);
        let strategy = (any::<bool>(), pick(OF_REQUESTS), pick(OF_TASKS), 1..7usize, order, any::<bool>());
        TestRunner::new(config).run(&strategy, |(of_tasks, requested, tasked, count, order, by_provider)| {
            let (kind, meanings, all) =
                if of_tasks { ("Task", tasked, &tasks) } else { ("ServiceRequest", requested, &requests) };
            let mut expected: Vec<String> = all
                .iter()
                .filter(|resource| meanings.iter().all(|(_, _, holds)| holds(resource)))
                .map(|resource| resource["id"].as_str().unwrap().to_owned())
                .collect();
            let mut pairs: Vec<(&str, &str)> = meanings.iter().map(|(name, value, _)| (*name, *value)).collect();
            let count = count.to_string();
            pairs.push(("_count", &count));
            if !order.is_empty() {
                pairs.push(("_sort", order));
            }
            let actor: &Actor = if by_provider { &provider } else { &gp };
            let found = handle.block_on(pages(actor, &format!("/fhir/{kind}{}", query(&pairs))));
            let found = found.concat();
            let distinct: BTreeSet<&String> = found.iter().collect();
            prop_assert_eq!(distinct.len(), found.len(), "a page repeats: {:?}", pairs);
            if order.is_empty() {
                let mut sorted = found.clone();
                sorted.sort();
                expected.sort();
                prop_assert_eq!(sorted, expected, "{:?}", pairs);
            } else {
                expected.sort();
                if order == "-_id" {
                    expected.reverse();
                }
                prop_assert_eq!(found, expected, "{:?}", pairs);
            }
            Ok(())
        })
    });
    checked.await.unwrap().unwrap();
    hub.stop().await;
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
async fn a_search_may_stand_in_a_body() {
    let hub = Hub::start().await;
    referrals(&hub, 3).await;
    let gp = hub.sender(GP);
    const FORM: &str = "application/x-www-form-urlencoded";
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
    const FORM: &str = "application/x-www-form-urlencoded";
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

// --- the history of a type ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_a_type_tells_every_version_once_newest_first() {
    let hub = Hub::start().await;
    let tasks = referrals(&hub, 5).await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let mut expected = Vec::new();
    for task in &tasks {
        let history = gp.get(&format!("{task}/_history")).await.json();
        for version in resources(&history) {
            let of = |name: &str| version["meta"][name].as_str().unwrap().to_owned();
            expected.push((of("lastUpdated"), version["id"].as_str().unwrap().to_owned(), of("versionId")));
        }
    }
    for actor in [&*gp as &Actor, &provider] {
        let (mut url, mut found) = ("/fhir/Task/_history?_count=3".to_owned(), Vec::new());
        loop {
            let bundle = actor.get(&url).await.json();
            assert_eq!(bundle["type"], "history", "{bundle}");
            for entry in bundle["entry"].as_array().unwrap() {
                let meta = &entry["resource"]["meta"];
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                found.push((text(&meta["lastUpdated"]), text(&entry["resource"]["id"]), text(&meta["versionId"])));
                assert_eq!(entry["response"]["etag"], format!("W/\"{}\"", text(&meta["versionId"])));
            }
            match next(&bundle) {
                Some(next) => url = next,
                None => break,
            }
        }
        let moments: Vec<&String> = found.iter().map(|(at, ..)| at).collect();
        assert!(moments.is_sorted_by(|a, b| a >= b), "{moments:?}");
        let mut sorted = found.clone();
        sorted.sort();
        expected.sort();
        assert_eq!(sorted, expected);
    }
    let last = expected.last().unwrap().0.clone();
    let since = gp.get(&format!("/fhir/Task/_history{}", query(&[("_since", &last)]))).await.json();
    assert!(!ids(&since).is_empty() && ids(&since).len() < expected.len());
    assert_eq!(ids(&gp.get("/fhir/ServiceRequest/_history").await.json()).len(), 5);
    refused(&gp.get("/fhir/Task/_history?status=x").await, 400, "not-supported", "http.status");
    // and that of one of them, whole or page by page
    let whole = gp.get(&format!("{}/_history", tasks[1])).await.json();
    let (mut url, mut found) = (format!("{}/_history?_count=2", tasks[1]), Vec::new());
    loop {
        let bundle = gp.get(&url).await.json();
        assert_eq!(bundle["total"], whole["total"]);
        found.extend(resources(&bundle).into_iter().map(|r| r["meta"]["versionId"].clone()));
        match next(&bundle) {
            Some(next) => url = next,
            None => break,
        }
    }
    assert_eq!(found, resources(&whole).iter().map(|r| r["meta"]["versionId"].clone()).collect::<Vec<_>>());
    assert!(found.len() >= 3);
    hub.stop().await;
}
