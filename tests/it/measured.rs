//! What was measured of an inbox, from the attacker's side: whoever asks, however, how often, beside whatever other service, is told
//! of the minimum of answers or more, of whole blocks of them, and never learns of one.
//!
//! Days pass by dating back what was noted.

use std::collections::BTreeSet;

use hyper::Method;
use onward::{
    demo::caller::FHIR_JSON,
    directory::entry::MEASURED,
    domain::{
        EntryKind, InboxId,
        measured::{Day, FirstAnswer},
    },
};
use serde_json::{Value, json};

use crate::{
    store::postgres::Place,
    support::{
        hub::{Actor, GP, HOUSING, Hub, LIFE_ROOMS, LINK_WORKERS},
        referrals::one,
    },
};

/// What the configuration says where it says nothing.
const MINIMUM: usize = 10;

/// One Onward, an inbox, and services behind it: one of its own provider, one of another organisation.
struct Scene {
    hub: Hub,
    /// Where the store is, if not in a file.
    place: Option<Place>,
    own: String,
    others: String,
    /// One that stands behind no inbox.
    apart: String,
    organization: String,
    sent: usize,
}

impl Scene {
    async fn set(place: Option<Place>) -> Self {
        let hub = match &place {
            Some(place) => Hub::build().store_at(&place.url).start().await,
            None => Hub::start().await,
        };
        let steward = hub.steward();
        let organization =
            made(&steward, &json!({"resourceType": "Organization", "active": true, "name": "Others"})).await;
        let hall = json!({"resourceType": "Location", "status": "active", "name": "Hall",
            "position": {"latitude": 53.4, "longitude": -2.98}});
        let hall = made(&steward, &hall).await;
        let service = |name: &str, of: &str, endpoint: Option<&str>| {
            let mut body = json!({"resourceType": "HealthcareService", "active": true, "name": name,
                "type": [{"coding": [{"system": "https://needs.example", "code": "company"}]}],
                "providedBy": {"reference": of}, "location": [{"reference": hall}]});
            if let Some(endpoint) = endpoint {
                body["endpoint"] = json!([{ "reference": endpoint }]);
            }
            body
        };
        let inbox = format!("Endpoint/{LINK_WORKERS}");
        let provider = format!("Organization/{LINK_WORKERS}");
        let own = made(&steward, &service("Own", &provider, Some(&inbox))).await;
        let others = made(&steward, &service("Other", &organization, Some(&inbox))).await;
        let apart = made(&steward, &service("Apart", &organization, None)).await;
        Self { hub, place, own, others, apart, organization, sent: 0 }
    }

    /// Another referral, which stays without an answer; the URL of its Task.
    async fn refer(&mut self) -> String {
        self.sent += 1;
        let referral = one("02-nhs-number-only", &format!("m{}", self.sent));
        self.hub.sender(GP).refers(&referral.json()).await
    }

    /// Another that is answered, some days before the day that is over.
    async fn answer(&mut self, status: &str) {
        let task = self.refer().await;
        let provider = self.hub.provider(LINK_WORKERS);
        let etag = provider.get(&task).await.header("etag").unwrap().to_owned();
        let patch = json!([{"op": "replace", "path": "/status", "value": status},
            {"op": "add", "path": "/statusReason", "value": {"text": "for the test"}}]);
        let answer = provider.patch(&task, &etag, &patch).await;
        assert_eq!(answer.status, 200, "{}", answer.describe());
        self.days_pass(2);
    }

    fn days_pass(&self, days: i32) {
        let sql = format!("UPDATE answer SET day = day - {days}");
        match &self.place {
            Some(place) => drop(place.sql(&sql)),
            None => drop(rusqlite::Connection::open(self.hub.store_path()).unwrap().execute(&sql, []).unwrap()),
        }
    }

    /// Measures anew, from the first answer on: what was dated back lies in other blocks than before.
    async fn measure(&self) {
        let inboxes: Vec<InboxId> = self.hub.load().0.registry.inboxes.keys().cloned().collect();
        let minimum = u32::try_from(MINIMUM).unwrap();
        for minimum in [minimum + 1, minimum] {
            self.hub.service().measured().renew(inboxes.clone(), minimum).await.unwrap();
        }
    }

    /// Every way to see one of the services, for every kind of client.
    async fn every_way(&self) -> BTreeSet<String> {
        let actors: [Actor; 4] = [
            self.hub.steward(),
            (*self.hub.sender(GP)).clone(),
            (*self.hub.provider(LINK_WORKERS)).clone(),
            (*self.hub.provider(LIFE_ROOMS)).clone(),
        ];
        let id = self.own.split_once('/').unwrap().1;
        let ways = [
            self.own.clone(),
            self.others.clone(),
            format!("HealthcareService?_id={id}"),
            format!("HealthcareService?organization=Organization/{LINK_WORKERS}"),
            format!("HealthcareService?organization={}", self.organization),
            format!("HealthcareService?endpoint=Endpoint/{LINK_WORKERS}"),
            "HealthcareService?name=Own".to_owned(),
            "HealthcareService?active=true&service-type=https://needs.example%7Ccompany".to_owned(),
            "HealthcareService?location.near=53.4%7C-2.98%7C5%7Ckm&_count=1".to_owned(),
            "HealthcareService?name=Own&_elements=extension".to_owned(),
            "HealthcareService?name=Own&_include=HealthcareService:endpoint&_include=HealthcareService:location"
                .to_owned(),
            "Location?_revinclude=HealthcareService:location".to_owned(),
            format!("{}/_history", self.own),
            format!("{}/_history/1", self.own),
        ];
        let mut told = BTreeSet::new();
        for actor in &actors {
            for way in &ways {
                let answer = actor.get(&format!("/fhir/{way}")).await;
                assert_eq!(answer.status, 200, "{way}: {}", answer.describe());
                collect(&answer.json(), &mut told);
            }
            let call = actor.call_to(Method::POST, "/fhir/HealthcareService/_search");
            let form = "active=true&_sort=name".as_bytes().to_vec().into();
            let answer = actor.call(call.bytes("application/x-www-form-urlencoded", form)).await;
            assert_eq!(answer.status, 200, "{}", answer.describe());
            collect(&answer.json(), &mut told);
        }
        told
    }

    /// The one thing that everybody is told, whichever way they ask, without when it was measured.
    async fn told(&self) -> Value {
        self.measure().await;
        let told = self.every_way().await;
        assert_eq!(told.len(), 1, "all ways tell the same: {told:?}");
        serde_json::from_str(told.first().unwrap()).unwrap()
    }

    /// The answers on the days that a period names.
    async fn answers_of(&self, period: &Value) -> Vec<FirstAnswer> {
        let day = |name: &str| {
            let start = format!("{}T00:00:00Z", period[name].as_str().unwrap());
            Day::of(start.parse().unwrap())
        };
        let inbox: InboxId = LINK_WORKERS.parse().unwrap();
        self.hub.service().store().first_answers(&inbox, day("start"), day("end"), 1_000).await.unwrap()
    }
}

async fn made(steward: &Actor, body: &Value) -> String {
    let kind = body["resourceType"].as_str().unwrap();
    let answer = steward.method(Method::POST, &format!("/fhir/{kind}"), body).await;
    assert_eq!(answer.status, 201, "{}", answer.describe());
    format!("{kind}/{}", answer.json()["id"].as_str().unwrap())
}

/// All that was measured in an answer, wherever it stands in it.
fn collect(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(object) => {
            if object.get("url").is_some_and(|url| url == MEASURED) {
                into.insert(value.to_string());
            }
            object.values().for_each(|value| collect(value, into));
        }
        _ => {}
    }
}

fn part(told: &Value, url: &str) -> Option<Value> {
    let parts = told["extension"].as_array().unwrap();
    let found = parts.iter().find(|part| part["url"] == url)?.as_object().unwrap();
    found.iter().find(|(name, _)| name.starts_with("value")).map(|(_, value)| value.clone())
}

/// What is told of answers, without their days, which move as these are dated back.
fn facts(told: &Value) -> Option<[Value; 3]> {
    Some([part(told, "answers")?, part(told, "acceptance-rate")?, part(told, "median-time-to-first-answer")?])
}

async fn nobody_is_singled_out(mut scene: Scene) {
    let none = scene.told().await;
    assert_eq!((part(&none, "too-few"), facts(&none)), (Some(json!(true)), None));
    let (mut before, mut behind) = (None, 0);
    for n in 1..=2 * MINIMUM + 1 {
        scene.answer(if n % 3 == 0 { "rejected" } else { "accepted" }).await;
        let told = scene.told().await;
        let now = facts(&told);
        match &now {
            None => assert!(n < MINIMUM, "{n}"),
            Some([count, ..]) => {
                let rests_on = scene.answers_of(&part(&told, "period").unwrap()).await.len();
                assert!(rests_on >= MINIMUM && count.as_u64().unwrap() >= MINIMUM as u64, "{n}: {rests_on}");
                // a change tells of the minimum of answers or more
                assert!(now == before || rests_on - behind >= MINIMUM, "{n}: {behind} and then {rests_on}");
                behind = rests_on;
            }
        }
        assert!(now == before || n % MINIMUM == 0, "{n} tells of one answer: {before:?} and then {now:?}");
        before = now;
    }
    assert_eq!(behind, 2 * MINIMUM);

    // how many wait
    for n in 1..=MINIMUM + 5 {
        scene.refer().await;
        scene.measure().await;
        if ![MINIMUM - 1, MINIMUM, MINIMUM + 4, MINIMUM + 5].contains(&n) {
            continue;
        }
        let waiting = part(&scene.told().await, "waiting").unwrap();
        let expected = match n {
            n if n < MINIMUM => json!({"value": MINIMUM, "comparator": "<", "unit": "referrals"}),
            n => json!({"value": n - n % 5, "unit": "referrals"}),
        };
        assert_eq!(waiting, expected, "{n}");
    }

    // who keeps the service running is told the same
    if scene.place.is_none() {
        let told = crate::cli::run(scene.hub.folder(), &["directory", "measured", LINK_WORKERS, "--json"]).json();
        assert_eq!(told[0]["facts"]["answers"], before.as_ref().unwrap()[0]);
        assert_eq!(told[0]["waiting"], json!({"about": MINIMUM + 5}));
        let unknown = crate::cli::run(scene.hub.folder(), &["directory", "measured", "nobodys"]);
        assert!(unknown.code == 1 && unknown.err.contains("no inbox nobodys"), "{unknown:?}");
    }

    // nothing filters or sorts by it, and it is of no inbox but its own
    let sender = scene.hub.sender(GP);
    for search in ["measured=10", "acceptance-rate=ge50", "_sort=measured", "_has:Task:owner:status=accepted"] {
        let answer = sender.get(&format!("/fhir/HealthcareService?{search}")).await;
        assert_eq!(answer.status, 400, "{search}: {}", answer.describe());
    }
    let mut told = BTreeSet::new();
    collect(&sender.get(&format!("/fhir/{}", scene.apart)).await.json(), &mut told);
    assert!(told.is_empty(), "{told:?}");

    // whoever writes back what was read stores nothing of it
    let steward = scene.hub.steward();
    let read = steward.get(&format!("/fhir/{}", scene.own)).await;
    let mut body = read.json();
    body["comment"] = json!("Changed");
    let put = steward.call_to(Method::PUT, &format!("/fhir/{}", scene.own));
    let put = put.header("if-match", read.header("etag").unwrap()).json(FHIR_JSON, &body);
    let answer = steward.call(put).await;
    assert_eq!(answer.status, 200, "{}", answer.describe());
    let id = scene.own.split_once('/').unwrap().1.parse().unwrap();
    let stored = scene.hub.service().store().directory_entry(EntryKind::HealthcareService, id, None).await.unwrap();
    let stored = stored.unwrap();
    assert!(
        stored.version == 2 && stored.body.contains("Changed") && !stored.body.contains(MEASURED),
        "{}",
        stored.body
    );
    scene.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_singled_out_on_sqlite() {
    nobody_is_singled_out(Scene::set(None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_singled_out_on_postgresql() {
    let Some(place) = Place::new() else { return };
    nobody_is_singled_out(Scene::set(Some(place)).await).await;
}

/// An answer is noted whichever way it comes: written, patched, or read from the provider's own copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_answer_is_noted() {
    let hub = Hub::start().await;
    let noted = async |inbox: &str| {
        let inbox: InboxId = inbox.parse().unwrap();
        hub.service().store().first_answers(&inbox, Day(0), Day(i32::MAX), 100).await.unwrap().len()
    };
    // its copy is read
    let referral = one("04-ward-urgent-safeguarding", "w");
    let task = hub.sender(&referral.system).refers(&referral.json()).await;
    let copy =
        crate::support::until("the copy is there", || async { hub.housing.resources("Task").into_iter().next() }).await;
    let mut changed = (*copy).clone();
    changed["status"] = json!("accepted");
    hub.housing.put_resource(changed);
    crate::support::until("the answer is read", || async { (noted(HOUSING).await == 1).then_some(()) }).await;
    // written whole
    let referral = one("01-contained-patient", "w");
    let task_of_rooms = hub.sender(&referral.system).refers(&referral.json()).await;
    let rooms = hub.provider(LIFE_ROOMS);
    let read = rooms.get(&task_of_rooms).await;
    let (etag, mut body) = (read.header("etag").unwrap().to_owned(), read.json());
    body["status"] = json!("accepted");
    assert_eq!(rooms.put(&task_of_rooms, &etag, &body).await.status, 200);
    assert_eq!(noted(LIFE_ROOMS).await, 1);
    // what comes later counts no more
    assert_eq!(rooms.set(&task_of_rooms, "in-progress").await.status, 200);
    assert_eq!((noted(LIFE_ROOMS).await, noted(HOUSING).await), (1, 1));
    drop(task);
    hub.stop().await;
}
