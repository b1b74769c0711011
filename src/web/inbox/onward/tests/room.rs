//! Room: what services say of it, and that those without it come last.

use super::*;
use crate::directory::entry::CAPACITY;

impl Scene {
    /// A service says that it takes nobody at present.
    async fn has_no_room(&self, id: Uuid) {
        let kind = EntryKind::HealthcareService;
        let stored = self.store.directory_entries(vec![(kind, id)]).await.unwrap();
        let mut body: Value = serde_json::from_str(&stored[0].body).unwrap();
        body["extension"] = json!([{"url": CAPACITY, "valueCode": "no-capacity"}]);
        let by = "steward anna".to_owned();
        let write = DirectoryWrite { kind, id, over: 1, source: None, body: body.to_string(), by };
        self.store.write_directory(vec![write]).await.unwrap();
    }
}

/// Of all pages, and not of each.
#[tokio::test]
async fn a_service_without_room_comes_last_of_all() {
    let (scene, mut luke, task, choir) = begun().await;
    let mut ids = vec![choir];
    for n in 0..24 {
        ids.push(scene.service(&format!("Singing {n}"), "mind").await);
    }
    // what comes first by its id would be on the first page
    ids.sort_unstable();
    for id in &ids[..2] {
        scene.has_no_room(*id).await;
    }
    let at = format!("/inbox/{task}/onward");
    let page = luke.get(&at).await;
    let own = [("made-for", page.made_for()), ("once", page.once())];
    let mut shown = Vec::new();
    for step in [[("step", "find"), ("from", "")], [("step", "more"), ("from", "0")]] {
        let text = luke.post(&at, &[own.as_slice(), &step].concat()).await.text;
        let found = text.split("name=\"service\" type=\"radio\" value=\"").skip(1);
        shown.extend(found.map(|rest| rest.split_once('"').unwrap().0.parse::<Uuid>().unwrap()));
    }
    let expected: Vec<Uuid> = ids[2..].iter().chain(&ids[..2]).copied().collect();
    assert_eq!(shown, expected, "there they are all the same");
}

/// What a provider says of its room holds at once, signed; what else is proposed waits on over it; who works there reads it, and who refers on
/// sees it.
#[tokio::test]
async fn what_is_said_of_room_holds_at_once_and_is_signed() {
    let (scene, mut luke, task, choir) = begun().await;
    let own = scene.service("Singing at home", "link-workers").await;
    let key = scene.enrolled("adam", "provider-admin:link-workers").await;
    let mut adam = scene.logged_in("adam", &key).await;
    let entry = async || {
        let stored = scene.store.directory_entries(vec![(EntryKind::HealthcareService, own)]).await.unwrap();
        (stored[0].version, stored[0].by.clone(), serde_json::from_str::<Value>(&stored[0].body).unwrap())
    };
    // something else of it waits for a steward
    let mut renamed = entry().await.2;
    renamed["name"] = "Singing together".into();
    let new = NewProposal {
        id: Uuid::now_v7(),
        provider: "link-workers".parse().unwrap(),
        kind: EntryKind::HealthcareService,
        entry: own,
        over: 1,
        source: None,
        body: renamed.to_string(),
    };
    scene.store.add_proposal(new).await.unwrap();
    for (room, weeks) in [("waitlist", "6"), ("no-capacity", "")] {
        let page = adam.get("/services").await;
        assert!(page.text.contains("Singing at home") && !page.text.contains("Choir"), "{}", page.text);
        let fields = [("made-for", page.made_for()), ("version", page.version()), ("room", room), ("weeks", weeks)];
        let told = adam.post(&format!("/services/{own}"), &fields).await;
        assert_eq!(told.to(), "/services?done=told", "{}", told.text);
    }
    let (version, by, body) = entry().await;
    assert_eq!((version, by.as_str()), (3, "provider link-workers, told by local:adam"));
    assert!(body.to_string().contains("no-capacity") && body["name"] == "Singing at home", "{body}");
    let of = ProposalQuery { status: Some(ProposalStatus::Pending), count: 9, ..ProposalQuery::default() };
    let pending = scene.store.proposals(of).await.unwrap();
    assert_eq!((pending.len(), pending[0].new.over), (1, 3), "it can be approved over what holds now: {pending:?}");
    let proposed: Value = serde_json::from_str(&pending[0].new.body).unwrap();
    assert!(proposed["name"] == "Singing together" && proposed.to_string().contains("no-capacity"), "{proposed}");
    let page = adam.get("/services").await;
    for told in ["Another change waits", "value=\"no-capacity\" selected", "has no room and takes nobody at present"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    // who was slower keeps what she chose, and sees what holds
    let fields = [("made-for", page.made_for()), ("version", "1"), ("room", "capacity"), ("weeks", "2")];
    let late = adam.post(&format!("/services/{own}"), &fields).await;
    assert!(
        late.text.contains("changed meanwhile") && late.text.contains("value=\"capacity\" selected"),
        "{}",
        late.text
    );
    let read = luke.get("/services").await;
    assert!(read.text.contains("Singing at home") && !read.text.contains("<select"), "{}", read.text);
    let fields = [("made-for", read.made_for()), ("version", "1"), ("room", "capacity")];
    assert_eq!(luke.post(&format!("/services/{own}"), &fields).await.status, StatusCode::NOT_FOUND);
    // what holds is told where one refers on
    scene.has_no_room(choir).await;
    let at = format!("/inbox/{task}/onward");
    let page = luke.get(&at).await;
    let find = [("made-for", page.made_for()), ("once", page.once()), ("step", "find"), ("need", "sing")];
    let found = luke.post(&at, &find).await;
    assert!(found.text.contains("Mind, has no room and takes nobody at present"), "{}", found.text);
}
