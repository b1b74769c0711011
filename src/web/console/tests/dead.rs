//! Dead letters as a browser meets them.

use super::*;
use crate::domain::TaskStatus;

#[tokio::test]
async fn a_dead_letter_is_looked_at_and_tried_again_in_the_persons_name() {
    let scene = scene();
    let (task, message) = scene.dead_letter("one").await;
    let mut browser = scene.browser_of("operator").await;
    let list = browser.get("/console/dead?to=inbox.life-rooms").await.text;
    assert!(list.contains(&message.to_string()) && list.contains("HTTP 422"), "{list}");
    let other = browser.get("/console/dead?to=writeback.merseycare-rio").await.text;
    assert!(!other.contains(&message.to_string()) && other.contains("There are none here."), "{other}");
    for bad in ["?to=nowhere", "?after=x"] {
        assert_eq!(browser.get(&format!("/console/dead{bad}")).await.status, StatusCode::NOT_FOUND, "{bad}");
    }
    let shown = browser.get(&format!("/console/dead/{message}")).await.text;
    assert!(shown.contains("What would be sent") && !shown.contains(SECRET), "{shown}");
    let path = format!("/console/dead/{message}/replay");
    let asked = browser.get(&path).await;
    assert!(scene.store.dead_letter(message).await.unwrap().is_some(), "asking does nothing");
    let done = browser.post(&path, &[("made-for", asked.made_for())]).await;
    assert_eq!(done.to(), format!("/console/trace/{}?done=replayed", task.id));
    assert!(browser.get(done.to()).await.text.contains("The message is tried again now"));
    assert!(scene.store.dead_letter(message).await.unwrap().is_none());
    let journal = scene.store.journal(task.id).await.unwrap();
    let last = journal.last().unwrap();
    assert_eq!(last.event, Event::Replayed { side: Side::Delivery, of: 1 });
    assert_eq!(last.actor, Actor::Operator("local:operator".into()));
    assert_eq!(browser.post(&path, &[("made-for", asked.made_for())]).await.status, StatusCode::NOT_FOUND, "once");
}

#[tokio::test]
async fn a_dead_letter_of_a_test_is_marked_as_one() {
    let scene = scene();
    let (_, real) = scene.dead_letter("one").await;
    let mut olive = scene.browser_of("operator").await;
    let path = "/console/providers/life-rooms";
    let made_for = olive.get(path).await.made_for().to_owned();
    let sent = olive.post(&format!("{path}/refer"), &[("made-for", made_for.as_str()), ("system", SYSTEM)]).await;
    let task = sent.to().strip_prefix("/console/trials/").unwrap().parse().unwrap();
    let test = scene.given_up(task, Side::Delivery).await;
    let list = olive.get("/console/dead").await.text;
    assert_eq!(list.matches("nhsuk-tag--purple\">Test<").count(), 1, "{list}");
    for (message, is_test) in [(test, true), (real, false)] {
        let shown = olive.get(&format!("/console/dead/{message}")).await.text;
        assert_eq!(shown.contains("It is of a test referral"), is_test, "{shown}");
    }
}

#[tokio::test]
async fn a_dead_letter_is_put_away_with_a_reason_and_not_without() {
    let scene = scene();
    let (task, message) = scene.dead_letter("one").await;
    let mut browser = scene.browser_of("operator").await;
    let path = format!("/console/dead/{message}/put-away");
    let made_for = browser.get(&path).await.made_for().to_owned();
    let long = "x".repeat(501);
    for reason in ["", " ", "two\nlines", long.as_str()] {
        let page = browser.post(&path, &[("made-for", &made_for), ("reason", reason)]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{reason}");
        assert!(page.text.contains("<title>Error: "), "{}", page.text);
    }
    assert!(scene.store.dead_letter(message).await.unwrap().is_some());
    let page = browser.post(&path, &[("made-for", &made_for), ("reason", "told by telephone")]).await;
    assert_eq!(page.to(), format!("/console/trace/{}?done=put-away", task.id));
    assert!(scene.store.dead_letter(message).await.unwrap().is_none());
    let journal = scene.store.journal(task.id).await.unwrap();
    let event = Event::Discarded { side: Side::Delivery, of: 1, reason: "told by telephone".into() };
    assert_eq!(journal.last().unwrap().event, event);
    let told = browser.get(&format!("/console/trace/{}", task.id)).await.text;
    assert!(
        told.contains("told by telephone") && told.contains("Anna Ärzte (operator), who keeps Onward running"),
        "{told}"
    );
}

#[tokio::test]
async fn all_of_a_destination_are_tried_again_while_the_page_tells_how_far_it_is() {
    let scene = scene();
    let mut messages = vec![];
    for key in ["one", "two", "three"] {
        messages.push(scene.dead_letter(key).await.1);
        scene.clock.advance(1);
    }
    let mut browser = scene.browser_of("operator").await;
    let asked = browser.get("/console/dead/replay?to=inbox.life-rooms").await;
    assert!(asked.text.contains("3 dead letters of The Life Rooms (life-rooms) are tried again"), "{}", asked.text);
    let fields = [("made-for", asked.made_for()), ("to", "inbox.life-rooms")];
    assert_eq!(browser.post("/console/dead/replay", &fields).await.to(), "/console/dead");
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while !browser.get("/console/dead/runs").await.text.contains("3 of 3 dead letters tried again") {
            // as often as somebody may ask
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it is told when they are done");
    for message in messages {
        assert!(scene.store.dead_letter(message).await.unwrap().is_none());
    }
    assert!(browser.get("/console/dead").await.text.contains("There are none here."));
    assert_eq!(browser.post("/console/dead/replay", &fields).await.status, StatusCode::NOT_FOUND, "nothing is left");
}

#[tokio::test]
async fn a_long_list_is_turned_page_by_page() {
    let scene = scene();
    let mut all = std::collections::BTreeSet::new();
    for n in 0..53 {
        all.insert(scene.dead_letter(&format!("k{n}")).await.1.to_string());
    }
    let mut browser = scene.browser_of("auditor").await;
    let first = browser.get("/console/dead").await;
    let next = first.between("<a href=\"/console/dead?to=&#38;after=", "\"").to_owned();
    let second = browser.get(&format!("/console/dead?to=&after={next}")).await;
    let shown = |text: &str| -> Vec<String> {
        all.iter().filter(|id| text.contains(&format!("/console/dead/{id}"))).cloned().collect()
    };
    let (one, two) = (shown(&first.text), shown(&second.text));
    assert_eq!((one.len(), two.len()), (50, 3));
    assert!(one.iter().all(|id| !two.contains(id)), "each once");
}

#[tokio::test]
async fn what_would_be_sent_is_shown_though_whom_it_is_for_cannot_be_asked() {
    let scene = scene();
    let task = scene.referral("one").await;
    let answered = NewEvent {
        event: Event::Answered { from: TaskStatus::Requested, to: TaskStatus::Received, implied: false },
        actor: Actor::Onward,
        body: Some(r#"{"resourceType":"Task","status":"received"}"#.to_owned()),
        lanes: vec![Side::WriteBack],
    };
    scene.store.append(Append { events: vec![answered], ..Append::to(&task) }).await.unwrap();
    let message = scene.given_up(task.id, Side::WriteBack).await;
    let mut browser = scene.browser_of("operator").await;
    // nobody listens at port 9, where the record is looked into before anything is written
    let text = browser.get(&format!("/console/dead/{message}")).await.text;
    for told in [
        "could not be asked what is there already: cannot connect",
        "POST <span",
        "<li>POST <span class=\"onward-id\">Task",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains(SECRET));
}
