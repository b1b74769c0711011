//! What was noted in error is marked as that, by whoever works there alone, and both sides see it.

use super::*;

#[tokio::test]
async fn what_was_noted_in_error_is_put_right_and_kept() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let page = luke.get(&at).await;
    luke.post(&format!("{at}/accepted"), &[("made-for", page.made_for()), ("version", page.version())]).await;
    let sends = async |luke: &mut Browser, action: &str, typed: &[(&str, &str)]| {
        let page = luke.get(&format!("{at}/{action}")).await;
        let once = Uuid::now_v7().to_string();
        let mut fields = vec![("made-for", page.made_for()), ("version", page.version()), ("once", &*once)];
        fields.extend(typed);
        luke.post(&format!("{at}/{action}"), &fields).await
    };
    let contact = [("way", "Phone call"), ("result", "No answer"), ("day", "1/4/2026"), ("note", "Rang twice")];
    assert_eq!(sends(&mut luke, "contact", &contact).await.status, StatusCode::SEE_OTHER);
    let done = sends(&mut luke, "progress", &[("activities", "Choir"), ("note", "Sings")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    // messages of the referrer are not hers to take back
    scene.writes(task, "The second floor").await;
    let form = luke.get(&format!("{at}/put-right")).await;
    for (told, there) in [
        ("Activity attended: Choir", true),
        ("Rang twice", true),
        ("Note: Sings (Anna Ärzte, ", true),
        ("The second floor", false),
    ] {
        assert_eq!(form.text.contains(told), there, "{told}: {}", form.text);
    }
    let missing = sends(&mut luke, "put-right", &[("reason", " ")]).await;
    for told in ["<title>Error: ", "Choose what was noted in error", "Say what is wrong with it"] {
        assert!(missing.text.contains(told), "{told}: {}", missing.text);
    }
    let journal = scene.store.journal(task).await.unwrap();
    let said = |line: &crate::store::JournalLine| match line.event {
        Event::Message { communication, .. } => Some(communication),
        _ => None,
    };
    let messages: Vec<Uuid> = journal.iter().filter_map(said).collect();
    let theirs = format!("message-{}", messages[1]);
    for (item, reason) in [(&*theirs, "x"), ("output-9", "x"), ("status-0", "x"), ("message-x", "x")] {
        let refused = sends(&mut luke, "put-right", &[("item", item), ("reason", reason)]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{item}: {}", refused.text);
    }
    assert_eq!(scene.store.journal(task).await.unwrap().len(), journal.len(), "nothing is done by that");

    // a colleague of the same organisation takes it back: whose it was is said to her before, and to the referrer then
    let key = scene.enrolled("nora", "provider-worker:link-workers").await;
    let ours = format!("message-{}", messages[0]);
    assert!(form.text.contains("Anna Ärzte, 1 April 2026"), "{}", form.text);
    let mut nora = scene.logged_in("nora", &key).await;
    let done = sends(&mut nora, "put-right", &[("item", &ours), ("reason", "Another person")]).await;
    assert_eq!(done.to(), format!("{at}?done=put-right"), "{}", done.text);
    let versions = scene.store.versions("Communication", messages[0]).await.unwrap();
    let bodies: Vec<Value> = versions.iter().map(|stored| serde_json::from_str(&stored.body).unwrap()).collect();
    assert_eq!(
        (bodies[0]["status"].as_str(), bodies[1]["status"].as_str()),
        (Some("completed"), Some("entered-in-error"))
    );
    assert_eq!(bodies[1]["statusReason"]["text"], "Another person");
    let last = scene.store.journal(task).await.unwrap().iter().filter_map(said).next_back().unwrap();
    let (correction, _) = scene.store.resource("Communication", last, None).await.unwrap().unwrap();
    let correction: Value = serde_json::from_str(&correction.body).unwrap();
    let meant = format!("Communication/{}", messages[0]);
    assert_eq!(correction["inResponseTo"][0]["reference"], meant, "the referrer hears which is meant");
    let text = correction["payload"][0]["contentString"].as_str().unwrap();
    assert!(
        text.starts_with("What was written by Anna Ärzte, 1 April 2026") && text.ends_with("Another person"),
        "{text}"
    );
    let again = sends(&mut luke, "put-right", &[("item", &ours), ("reason", "Once more")]).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", again.text);

    let done = sends(&mut luke, "put-right", &[("item", "output-0"), ("reason", "Another person")]).await;
    assert_eq!(done.to(), format!("{at}?done=put-right"), "{}", done.text);
    assert!(scene.body(task).await.get("output").is_none());
    let page = luke.get(&format!("{at}?done=put-right")).await;
    for told in [
        "It is marked as noted in error",
        "Noted in error: Another person",
        "Rang twice",
        "Noted in error, and taken out: Activity attended: Choir",
        "marked something as noted in error",
        "noted a contact with the person",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    // of a page that is old nothing is taken out: what stood in its place may be something else
    let made_for = page.made_for().to_owned();
    let stale = [("made-for", &*made_for), ("version", "3"), ("item", "note-0"), ("reason", "x")];
    assert_eq!(luke.post(&format!("{at}/put-right"), &stale).await.status, StatusCode::CONFLICT);
    let key = scene.enrolled("bert", "provider-worker:mind").await;
    let mut bert = scene.logged_in("bert", &key).await;
    assert_eq!(bert.get(&format!("{at}/put-right")).await.status, StatusCode::NOT_FOUND);
    let made_for = bert.get("/account").await.made_for().to_owned();
    let theirs = [("made-for", &*made_for), ("version", "3"), ("item", "note-0"), ("reason", "x")];
    assert_eq!(bert.post(&format!("{at}/put-right"), &theirs).await.status, StatusCode::NOT_FOUND);
}

/// Whoever has ended a referral by mistake can say so, and why; nothing else leaves an end.
#[tokio::test]
async fn an_end_that_was_wrong_is_marked_as_that_with_the_reason() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let mut acts = async |action: &str, fields: &[(&str, &str)]| {
        let page = luke.get(&at).await;
        let version = scene.store.task(task).await.unwrap().unwrap().version.to_string();
        let own = [("made-for", page.made_for()), ("version", version.as_str())];
        luke.post(&format!("{at}/{action}"), &[own.as_slice(), fields].concat()).await
    };
    assert_eq!(acts("entered-in-error", &[("reason", "x")]).await.status, StatusCode::CONFLICT, "it has not ended");
    acts("accepted", &[]).await;
    acts("completed", &[("outcome", "Joined the choir")]).await;
    assert_eq!(scene.status(task).await, TaskStatus::Completed);
    assert_eq!(acts("entered-in-error", &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY, "why?");
    let done = acts("entered-in-error", &[("reason", "This was about somebody else")]).await;
    assert_eq!(done.to(), format!("{at}?done=entered-in-error"));
    assert_eq!(scene.status(task).await, TaskStatus::EnteredInError);
    let body = scene.body(task).await;
    assert_eq!(body["statusReason"]["text"], "This was about somebody else");
    assert_eq!(acts("entered-in-error", &[("reason", "x")]).await.status, StatusCode::CONFLICT, "once");
    let page = luke.get(&at).await.text;
    for told in ["Ended in error", "marked it as ended in error", "This was about somebody else", "Joined the choir"] {
        assert!(page.contains(told), "{told}: {page}");
    }
}
