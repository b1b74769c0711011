//! Another open referral of the same person to the same service: who is told, who is not, and what is none.

use std::collections::BTreeMap;

use onward::demo::caller::Answered;
use serde_json::{Value, json};

use super::{fixtures, hub};
use hub::{Actor, GP, Hub, LIFE_ROOMS, LINK_WORKERS, RIO, Sender};

const OUTCOME: [(&str, &str); 1] = [("prefer", "return=OperationOutcome")];
const CODE: &str = "another-referral-open";

/// Mersey Care's referral to the link workers, of the person of the practice's.
fn from_rio(number: &str) -> Value {
    let mut referral = fixtures::to_link_workers(number);
    referral["identifier"][0]["system"] = "https://rio.merseycare.example/referral-id".into();
    referral["requester"]["identifier"]["value"] = "RW4".into();
    referral["performer"] =
        json!([{"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "U99999"}}]);
    referral
}

/// What a sender is told of duplicates.
fn told(answer: &Answered) -> Vec<String> {
    let body = answer.json();
    let issues = body["issue"].as_array().cloned().unwrap_or_default();
    let of = issues.into_iter().filter(|issue| issue["code"] == "duplicate");
    of.map(|issue| issue["diagnostics"].as_str().unwrap().to_owned()).collect()
}

fn request_of(answer: &Answered) -> String {
    let location = answer.header("location").unwrap();
    location.split("/fhir/").nth(1).unwrap().split("/_history").next().unwrap().to_owned()
}

/// The Tasks that a Task's tag points to, as this client reads it.
async fn pointed(client: &Actor, task: &str) -> Vec<String> {
    let body = client.get(task).await.json();
    let tags = body["meta"]["tag"].as_array().cloned().unwrap_or_default();
    let ours = tags.into_iter().filter(|tag| tag["code"] == CODE);
    let pointer = |tag: Value| tag["display"].as_str().unwrap().rsplit_once(": ").unwrap().1.to_owned();
    ours.map(pointer).collect()
}

fn task_of(answer: &Answered) -> String {
    answer.links("monitor").remove(0)
}

async fn refers(sender: &Sender, referral: &Value) -> Answered {
    let answer = sender.refer_with(referral, &OUTCOME).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_own_duplicate_is_told_to_a_sender_with_a_pointer_and_to_the_provider_with_another() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let first = refers(&gp, &fixtures::to_link_workers("D1")).await;
    assert_eq!(told(&first), [""; 0]);
    let second = refers(&gp, &fixtures::to_link_workers("D2")).await;
    let pointer = format!("another referral of this person to the same service is open: {}", request_of(&first));
    assert_eq!(told(&second), [pointer]);
    let (one, two) = (task_of(&first), task_of(&second));
    let id = one.rsplit_once('/').unwrap().1;
    assert_eq!(pointed(&provider, &two).await, [format!("Task/{id}")]);
    assert_eq!(pointed(&provider, &one).await, [""; 0], "what was there first points nowhere");
    // the same again is no duplicate, of itself or of what came after it
    for (number, stored) in [("D1", &first), ("D2", &second)] {
        let again = gp.refer_with(&fixtures::to_link_workers(number), &OUTCOME).await;
        assert_eq!((again.status.as_u16(), request_of(&again)), (200, request_of(stored)));
        assert_eq!(told(&again), [""; 0]);
    }
    // another person, another service
    let mut other = fixtures::to_link_workers("D3");
    other["subject"]["identifier"]["value"] = "9990471134".into();
    assert_eq!(told(&refers(&gp, &other).await), [""; 0]);
    // in the worklist, in a history and in a version it is the provider's to see, and an answer changes nothing of it
    let found = provider.get("/fhir/Task?owner=Organization/link-workers").await.json().to_string();
    assert_eq!(found.matches(CODE).count(), 1, "{found}");
    assert!(provider.get(&format!("{two}/_history")).await.json().to_string().contains(CODE));
    assert!(provider.get(&format!("{two}/_history/1")).await.json().to_string().contains(CODE));
    let read = provider.get(&two).await;
    let mut wanted = read.json();
    wanted["status"] = "accepted".into();
    let answered = provider.put(&two, read.header("etag").unwrap(), &wanted).await;
    assert_eq!(answered.status, 200, "{}", answered.describe());
    assert_eq!(answered.json()["meta"]["tag"].as_array().unwrap().len(), 1, "{}", answered.json());
    // a referral that has ended is no duplicate any more
    for task in [&one, &two] {
        provider.set(task, "accepted").await;
        for status in ["in-progress", "completed"] {
            let answer = provider.set(task, status).await;
            assert_eq!(answer.status, 200, "{}", answer.describe());
        }
    }
    let after = refers(&gp, &fixtures::to_link_workers("D4")).await;
    assert_eq!(told(&after), [""; 0]);
    assert_eq!(pointed(&provider, &task_of(&after)).await, [""; 0]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_refused_the_sender_is_told_why_and_the_same_again_is_not() {
    let hub = Hub::build().sections("[duplicates]\nsame-person = \"refuse\"\n").start().await;
    let gp = hub.sender(GP);
    let first = refers(&gp, &fixtures::to_link_workers("R1")).await;
    hub.task_when(&gp, &task_of(&first), "listed", |t| t["meta"]["versionId"] == "2").await;
    let rows = hub.rows();
    let refused = gp.refer(&fixtures::to_link_workers("R2")).await;
    assert_eq!(refused.status, 422, "{}", refused.describe());
    let issue = &refused.json()["issue"][0];
    assert_eq!((&issue["severity"], &issue["code"]), (&json!("error"), &json!("duplicate")), "{issue}");
    assert_eq!(issue["expression"], json!(["ServiceRequest.subject"]));
    assert!(issue["diagnostics"].as_str().unwrap().ends_with(&request_of(&first)), "{issue}");
    assert_eq!(hub.rows(), rows, "nothing of it is stored");
    assert_eq!(gp.refer(&fixtures::to_link_workers("R1")).await.status, 200);
    // under its own identifier, other content is no other referral
    let mut changed = fixtures::to_link_workers("R1");
    changed["reasonCode"][0]["text"] = "Debt worries.".into();
    assert_eq!(gp.refer(&changed).await.status, 409);
    // of what another organisation sent nothing may be told: it is accepted, and the provider sees both
    let other = refers(&hub.sender(RIO), &from_rio("R3")).await;
    assert_eq!(told(&other), [""; 0]);
    assert_eq!(pointed(&hub.provider(LINK_WORKERS), &task_of(&other)).await.len(), 1);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_nothing_is_looked_for() {
    let hub = Hub::build().sections("[duplicates]\nsame-person = \"off\"\n").start().await;
    let gp = hub.sender(GP);
    refers(&gp, &fixtures::to_link_workers("O1")).await;
    let second = refers(&gp, &fixtures::to_link_workers("O2")).await;
    assert_eq!(told(&second), [""; 0]);
    assert_eq!(pointed(&hub.provider(LINK_WORKERS), &task_of(&second)).await, [""; 0]);
    hub.stop().await;
}

/// What differs between any two referrals: ids in the order in which they first appear, times and the port.
fn masked(text: &str, port: &str) -> String {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let uuid = rest.get(..36).filter(|id| uuid::Uuid::parse_str(id).is_ok());
        let time = rest.get(..24).filter(|at| at.parse::<jiff::Timestamp>().is_ok());
        let taken = match (uuid, time) {
            (Some(id), _) => {
                let count = seen.len();
                out += &format!("<{}>", seen.entry(id.to_owned()).or_insert(count));
                36
            }
            (None, Some(_)) => {
                out += "<time>";
                24
            }
            (None, None) => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out.replace(port, "<port>")
}

/// All that the practice can see of its referral, with or without another organisation's of the same person.
async fn seen_by_the_practice(with: bool) -> Vec<String> {
    let hub = Hub::start().await;
    if with {
        assert_eq!(hub.sender(RIO).refer(&from_rio("S0")).await.status, 201);
    }
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let mut seen = Vec::new();
    let port = hub.base_url.rsplit_once(':').unwrap().1.to_owned();
    let mut see = |answer: Answered| {
        let mut headers: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| !["date", "last-modified"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        seen.push(masked(&format!("{} {headers:#?}\n{body}", answer.status), &port));
    };
    let answer = refers(&gp, &fixtures::to_link_workers("S1")).await;
    let task = task_of(&answer);
    let request = request_of(&answer);
    hub.task_when(&gp, &task, "listed", |t| t["meta"]["versionId"] == "2").await;
    assert_eq!(pointed(&provider, &task).await.len(), usize::from(with));
    // the provider writes what it read
    let read = provider.get(&task).await;
    let mut wanted = read.json();
    wanted["status"] = "accepted".into();
    wanted["note"] = json!([{"text": "we have them on our books"}]);
    let answered = provider.put(&task, read.header("etag").unwrap(), &wanted).await;
    assert_eq!(answered.status, 200, "{}", answered.describe());
    see(answer);
    for path in [
        task.clone(),
        format!("{task}/_history"),
        format!("{task}/_history/1"),
        format!("{task}/$package"),
        format!("/fhir/{request}"),
        "/fhir/Task".to_owned(),
        "/fhir/Task?_include=Task:focus&_revinclude=Provenance:target".to_owned(),
        "/fhir/ServiceRequest?_revinclude=Task:focus".to_owned(),
    ] {
        let answer = gp.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.describe());
        see(answer);
    }
    hub.stop().await;
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_another_organisations_referral_its_sender_learns_nothing_byte_for_byte() {
    let (without, with) = (seen_by_the_practice(false).await, seen_by_the_practice(true).await);
    assert_eq!(without.len(), with.len());
    for (without, with) in without.iter().zip(&with) {
        assert_eq!(without, with);
        assert!(!with.contains(CODE));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_pushed_to_is_pointed_there_and_its_answers_bring_nothing_back() {
    let hub = Hub::start().await;
    let rio = hub.sender(RIO);
    let first = rio.refer(&fixtures::to_life_rooms("P1")).await;
    let second = rio.refer(&fixtures::to_life_rooms("P2")).await;
    let task = task_of(&second);
    hub.task_when(&rio, &task, "received", |t| t["status"] == "received").await;
    let pushed = hub.life_rooms.resources("Task").into_iter().find(|pushed| pushed.to_string().contains(CODE));
    let pushed = pushed.expect("its copy bears the tag");
    let id = task_of(&first).rsplit_once('/').unwrap().1.to_owned();
    assert!(pushed["meta"]["tag"][0]["display"].as_str().unwrap().ends_with(&format!("Task/{id}")), "{pushed}");
    assert!(pushed["identifier"].to_string().contains(task.rsplit_once('/').unwrap().1));
    let life_rooms = hub.provider(LIFE_ROOMS);
    assert_eq!(life_rooms.set(&task, "accepted").await.status, 200);
    for path in [task.clone(), format!("{task}/_history")] {
        assert!(!rio.get(&path).await.json().to_string().contains(CODE));
    }
    hub.stop().await;
}
