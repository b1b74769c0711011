//! People to whom nothing of it is: every role, on every page, with ids of theirs. What a person may not see is as if it were not there, and
//! a session opens no interface of systems.
#![cfg(feature = "pages")]

use std::{collections::BTreeMap, sync::Arc, sync::LazyLock};

use arc_swap::ArcSwap;
use hyper::Method;
use onward::{
    people::{People, totp},
    web::{For, Listed},
};
use regex::Regex;

use super::{FORM, Twin};
use crate::{
    attack::{
        MARK, same,
        scene::{Ask, Scene},
        text, without_ids_and_times,
    },
    support::hub::{Actor, GP, LIFE_ROOMS, LINK_WORKERS, RIO, TRIAGE},
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

/// What is said in every form: a field that a page has not is not looked at.
const SAID: &str = "version=3&reason=x&reason-code=x&text=hello&payload=hello&to=none&once=0198b6a0-7c1e-7bd0-a5d1-000000000001\
                    &room=open&weeks=1&name=x&full-name=x&role=operator&step=look&confirm=yes";

/// What stands for a parameter of a route: everything of theirs that may stand there. One that is not known here fails.
fn values(scene: &Scene, route: &str, parameter: &str, key: &str) -> Vec<String> {
    let ids = |kinds: &[&str]| {
        let of = |kind: &&str| scene.theirs[*kind].iter().map(|one| one["id"].as_str().unwrap().to_owned());
        kinds.iter().flat_map(of).collect::<Vec<_>>()
    };
    match parameter {
        "task" | "other" if route.starts_with("/inbox") => ids(&["Task"]).into_iter().take(1).collect(),
        "id" if route.starts_with("/inbox") => ids(&["DocumentReference", "Binary"]),
        "id" if route.starts_with("/console/systems") => vec![GP.to_owned()],
        "id" if route.starts_with("/console/providers") => vec![LINK_WORKERS.to_owned()],
        "task" | "id" | "message" => {
            let mut ids = ids(&["Task", "ServiceRequest", "Patient", "Communication", "Subscription"]);
            ids.push(scene.proposal.clone());
            ids.iter_mut().for_each(|id| id.truncate(36));
            ids
        }
        "number" => vec!["0".to_owned(), "1".to_owned()],
        "key" => vec![key.to_owned()],
        _ => panic!("{route}: what of theirs stands for {parameter}?"),
    }
}

/// The paths of a route, about theirs.
fn paths(scene: &Scene, route: &Listed, key: &str) -> Vec<String> {
    let mut paths = match route.actions.as_slice() {
        [] => vec![route.path.clone()],
        actions => actions.iter().map(|action| route.path.replace("{action}", action)).collect(),
    };
    let parameters = route.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    for parameter in parameters.filter(|parameter| *parameter != "action") {
        let values = values(scene, &route.path, parameter, key);
        let with = |path: &String, value: &String| path.replace(&format!("{{{parameter}}}"), value);
        paths = paths.iter().flat_map(|path| values.iter().map(move |value| with(path, value))).collect();
    }
    paths
}

/// Everything that a page can be asked about theirs: every route of the table that pages are made of, but those that are for everybody
/// and those that end one's own session.
fn asks(scene: &Scene, key: &str) -> Vec<Ask> {
    let task = scene.theirs["Task"][0]["id"].as_str().unwrap();
    let mut asks = Vec::new();
    for route in onward::web::routes_of_pages(true, false) {
        let names_something = route.path.contains('{');
        let ends_her_session = route.who == For::Herself && !names_something && route.method == Method::POST;
        if route.who == For::Everybody || ends_her_session {
            continue;
        }
        for path in paths(scene, &route, key) {
            let looks = route.method == Method::GET;
            asks.push(match looks {
                true => Ask::get(path.clone()),
                false => Ask::of(Method::POST, path.clone()).body(FORM, SAID),
            });
            if !names_something {
                for about in [task, MARK] {
                    let sought = format!("sought={about}&task={about}&before={about}&from={about}&done={about}");
                    asks.push(match looks {
                        true => Ask::get(format!("{path}?{sought}")),
                        false => Ask::of(Method::POST, path.clone()).body(FORM, format!("{SAID}&{sought}")),
                    });
                }
            }
        }
    }
    asks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_persons_is_as_if_it_were_not_there_on_every_page() {
    let scene = Scene::set(None).await;
    let (mut twin, before) = (Twin::of(&scene), scene.state().await);
    let (config, _) = scene.hub.load();
    let keeper =
        People::new(scene.hub.service().store(), Arc::new(ArcSwap::from_pointee(config.registry)), config.people);
    // the address of an account of theirs, as whoever looks after it sees it
    keeper
        .add_ready("of-theirs", MARK, vec![format!("provider-worker:{LINK_WORKERS}").parse().unwrap()])
        .await
        .unwrap();
    let admin = Person::logged_in(&scene, &keeper, "their-admin", &format!("provider-admin:{LINK_WORKERS}")).await;
    let (_, listed) = admin.by(&scene, &Ask::get("/people")).await;
    let at = listed.find(MARK).unwrap();
    let key = listed[..at].rsplit_once("/people/").unwrap().1.split('"').next().unwrap().to_owned();
    twin.ids.push((key.clone(), key.chars().rev().collect()));
    let asks = asks(&scene, &key);
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
            // whose people they are to look after is no stranger
            if role == &format!("provider-admin:{LINK_WORKERS}") && ask.path.starts_with("/people") {
                continue;
            }
            assert_ne!(status, 429, "{about}: nothing is tried by what is not looked at");
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
