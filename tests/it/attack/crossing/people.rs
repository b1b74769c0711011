//! People to whom nothing of it is: every role, on every page, with ids of theirs. What a person may not see is as if it were not there, and
//! a session opens no interface of systems.
#![cfg(feature = "pages")]

use std::{collections::BTreeMap, sync::Arc, sync::LazyLock};

use arc_swap::ArcSwap;
use hyper::Method;
use onward::people::{People, totp};
use regex::Regex;

use super::{FORM, Twin};
use crate::{
    attack::{
        MARK, same,
        scene::{Ask, Scene},
        text, without_ids_and_times,
    },
    support::hub::{Actor, LIFE_ROOMS, LINK_WORKERS, RIO, TRIAGE},
};

/// What a page bears that is another on every page.
static MADE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("name=\"(made-for|once|version)\" value=\"[^\"]*\"").unwrap());

/// Somebody who has logged in.
struct Person {
    actor: Actor,
    cookie: String,
    made_for: String,
}

impl Person {
    async fn logged_in(scene: &Scene, keeper: &People, name: &str, role: &str) -> Self {
        let ready = keeper.add_ready(name, "Sam", vec![role.parse().unwrap()]).await.unwrap();
        let (actor, now) = (scene.hub.actor(None), scene.hub.service().store().now());
        let form = format!("name={name}&password={}&code={}", ready.password.reveal(), totp::code(&ready.key, now));
        let asked = Ask::of(Method::POST, "/login").header("origin", scene.hub.base_url.clone()).body(FORM, form);
        let answer = asked.by(&actor).await;
        assert_eq!(answer.status, 303, "{name}: {}", answer.describe());
        let set: Vec<&str> = answer.headers.get_all("set-cookie").iter().filter_map(|one| one.to_str().ok()).collect();
        let cookie = set.iter().map(|one| one.split(';').next().unwrap()).collect::<Vec<_>>().join("; ");
        let mut person = Self { actor, cookie, made_for: String::new() };
        let account = text(&person.by(scene, &Ask::get("/account")).await.1.into_bytes());
        person.made_for =
            account.split_once("name=\"made-for\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        person
    }

    /// Status and body; a form bears what her pages bear.
    async fn by(&self, scene: &Scene, ask: &Ask) -> (u16, String) {
        let mut ask = ask.clone().header("cookie", self.cookie.clone()).header("origin", scene.hub.base_url.clone());
        if let Some((_, body)) = ask.body.as_mut().filter(|(kind, _)| *kind == FORM) {
            body.push_str(&format!("&made-for={}", self.made_for));
        }
        let answer = ask.by(&self.actor).await;
        let to = answer.header("location").unwrap_or_default();
        (answer.status.as_u16(), format!("{to}\n{}", text(&answer.body)))
    }
}

/// Everything that a page can be asked about theirs.
fn asks(scene: &Scene) -> Vec<Ask> {
    let task = scene.theirs["Task"][0]["id"].as_str().unwrap();
    let (mut asks, at) = (Vec::new(), format!("/inbox/{task}"));
    let forms = ["completed", "rejected", "failed", "on-hold", "schedule", "contact", "cancelled", "keep"];
    asks.push(Ask::get(at.clone()));
    asks.extend(forms.map(|form| Ask::get(format!("{at}/{form}"))));
    let posted = forms.into_iter().chain(["accepted", "in-progress", "received", "message", "give"]);
    let told =
        "version=3&reason=x&reason-code=x&text=hello&payload=hello&to=none&once=0198b6a0-7c1e-7bd0-a5d1-000000000001";
    asks.extend(posted.map(|form| Ask::of(Method::POST, format!("{at}/{form}")).body(FORM, told)));
    for (kind, all) in scene.theirs.iter().filter(|(kind, _)| ["DocumentReference", "Binary"].contains(&kind.as_str()))
    {
        let id = all[0]["id"].as_str().unwrap();
        asks.extend((0..2).map(|number| Ask::get(format!("{at}/documents/{id}/{number}"))));
        assert!(!kind.is_empty());
    }
    asks.push(Ask::of(Method::POST, "/inbox/assign").body(FORM, format!("task={task}&to=none")));
    asks.push(Ask::of(Method::POST, "/inbox/search").body(FORM, format!("sought={MARK}")));
    asks.push(Ask::get(format!("/inbox?sought={MARK}")));
    for id in scene.ids() {
        asks.push(Ask::get(format!("/console/trace/{id}")));
        asks.push(Ask::get(format!("/console/dead/{id}")));
        asks.push(Ask::get(format!("/console/trials/{id}")));
        asks.push(Ask::of(Method::POST, format!("/services/{id}")).body(FORM, "accepts=true&capacity=open&weeks=1"));
        asks.push(Ask::of(Method::POST, format!("/account/sessions/{id}/end")).body(FORM, ""));
    }
    asks.push(Ask::of(Method::POST, "/console/trace").body(FORM, format!("sought={MARK}")));
    asks.push(Ask::get(format!("/console/trace/{task}/referral")));
    asks.push(Ask::of(Method::POST, format!("/console/trace/{task}/referral")).body(FORM, "reason=short"));
    asks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_persons_is_as_if_it_were_not_there_on_every_page() {
    let scene = Scene::set(None).await;
    let (twin, before) = (Twin::of(&scene), scene.state().await);
    let (config, _) = scene.hub.load();
    let keeper =
        People::new(scene.hub.service().store(), Arc::new(ArcSwap::from_pointee(config.registry)), config.people);
    let asks = asks(&scene);
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    let roles = [
        format!("referrer:{RIO}"),
        format!("provider-worker:{TRIAGE}"),
        format!("provider-worker:{LIFE_ROOMS}"),
        format!("provider-admin:{LIFE_ROOMS}"),
        // she looks after the provider whose it is, and works no referrals
        format!("provider-admin:{LINK_WORKERS}"),
        "route-editor".to_owned(),
        "operator".to_owned(),
        "auditor".to_owned(),
    ];
    for (n, role) in roles.iter().enumerate() {
        let person = Person::logged_in(&scene, &keeper, &format!("person-{n}"), role).await;
        // who may see how far a referral is learns that there is one, and nothing of what is in it
        let sees_traces = ["operator", "auditor"].contains(&role.as_str());
        for ask in &asks {
            let (status, told) = person.by(&scene, ask).await;
            let about = format!("{role}: {} {}", ask.method, ask.path);
            *seen.entry(status).or_default() += 1;
            assert!(status < 500, "{about}: {told}");
            // what was looked for is shown again to who looks for it
            let repeats = ask.text().contains(MARK);
            // the sender's own name for it is no word about anybody: by it those who keep Onward running are asked what became of it
            let reference = format!("referral-id|{MARK}");
            let plainly = if sees_traces { told.replace(&reference, "") } else { told.clone() };
            assert!(repeats || !plainly.contains(MARK), "{about}: {told}");
            if repeats || (sees_traces && ask.path.starts_with("/console/")) {
                continue;
            }
            let (status_of_nothing, of_nothing) = person.by(&scene, &ask.with(|text| twin.changed(text))).await;
            assert_eq!(status, status_of_nothing, "{about}");
            let plain = |told: &str| without_ids_and_times(&MADE.replace_all(&twin.told(told), ""));
            same(&plain(&told), &plain(&of_nothing), &about);
        }
        for path in ["/fhir/Task", "/fhir/Patient", "/directory/proposals", "/fhir"] {
            for method in [Method::GET, Method::POST] {
                let asked = Ask::of(method.clone(), path).body("application/fhir+json", "{}");
                let (status, told) = person.by(&scene, &asked).await;
                assert!(matches!(status, 401 | 404 | 405), "{role}: {method} {path} {status} {told}");
            }
        }
    }
    println!("{} requests for each role: {seen:?}", asks.len());
    for status in [200, 303, 404] {
        assert!(seen.contains_key(&status), "nothing gave {status}: {seen:?}");
    }
    same(&scene.state().await, &before, "theirs is as it was");
    // the control: whoever works it sees it, by the same paths
    let worker = Person::logged_in(&scene, &keeper, "worker", &format!("provider-worker:{LINK_WORKERS}")).await;
    let mut opened = 0;
    for ask in asks.iter().filter(|ask| ask.method == Method::GET) {
        let (status, told) = worker.by(&scene, ask).await;
        opened += usize::from(status == 200 && told.contains(MARK));
    }
    assert!(opened >= 2, "hardly anything is shown to who may see it: {opened}");
    scene.hub.stop().await;
}
