//! What is typed is not lost: not where somebody else was quicker, and not where one has been logged out meanwhile.

use super::*;

/// Fields of a form as its page has them, and what is typed.
fn with<'f>(page: &'f Page, typed: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let mut fields = vec![("made-for", page.made_for()), ("version", page.version())];
    fields.push(("once", page.between("name=\"once\" value=\"", "\"")));
    fields.extend(typed);
    fields
}

async fn accepted() -> (Scene, Browser, Browser, String, TaskId) {
    let (scene, mut luke) = scene().await;
    let key = scene.enrolled("nora", "provider-worker:link-workers").await;
    let nora = scene.logged_in("nora", &key).await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let page = luke.get(&at).await;
    let fields = [("made-for", page.made_for()), ("version", page.version())];
    assert_eq!(luke.post(&format!("{at}/accepted"), &fields).await.status, StatusCode::SEE_OTHER);
    (scene, luke, nora, at, task)
}

#[tokio::test]
async fn of_two_who_write_at_once_the_second_keeps_her_words_and_hears_what_happened() {
    let (scene, mut luke, mut nora, at, task) = accepted().await;
    let hers = nora.get(&format!("{at}/progress")).await;
    let his = luke.get(&format!("{at}/on-hold")).await;
    luke.post(&format!("{at}/on-hold"), &with(&his, &[("reason", "In hospital")])).await;
    let typed = [("activities", "Choir"), ("note", "Sings every day"), ("before-happy", "4")];
    let again = nora.post(&format!("{at}/progress"), &with(&hers, &typed)).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    for told in [
        "has changed while you were writing",
        "Anna Ärzte put it on hold",
        ">Choir</textarea>",
        ">Sings every day</textarea>",
        "name=\"before-happy\" type=\"text\" value=\"4\"",
    ] {
        assert!(again.text.contains(told), "{told}: {}", again.text);
    }
    assert!(!scene.body(task).await.to_string().contains("Sings every day"), "nothing is done by that");
    let fields = with(&again, &typed);
    assert_eq!(nora.post(&format!("{at}/progress"), &fields).await.to(), format!("{at}?done=progress"));
    let body = scene.body(task).await;
    assert_eq!((body["status"].as_str(), body["note"][0]["text"].as_str()), (Some("on-hold"), Some("Sings every day")));
}

#[tokio::test]
async fn what_can_be_sent_no_more_is_shown_to_be_copied() {
    let (scene, mut luke, mut nora, at, task) = accepted().await;
    let (hers, contact) = (nora.get(&format!("{at}/progress")).await, nora.get(&format!("{at}/contact")).await);
    let message = nora.get(&at).await;
    let his = luke.get(&format!("{at}/rejected")).await;
    luke.post(&format!("{at}/rejected"), &with(&his, &[("reason", "No room")])).await;
    let journal = scene.store.journal(task).await.unwrap().len();
    for (path, page, typed) in [
        ("progress", &hers, &[("note", "Sings every day")][..]),
        (
            "contact",
            &contact,
            &[("way", "Letter"), ("result", "Sent"), ("day", "1/4/2026"), ("note", "Sings every day")],
        ),
        ("message", &message, &[("message", "Sings every day")]),
    ] {
        let late = nora.post(&format!("{at}/{path}"), &with(page, typed)).await;
        assert!(late.text.contains("onward-text") && late.text.contains("Sings every day"), "{path}: {}", late.text);
        assert!(late.text.contains("It is saved nowhere."), "{path}: {}", late.text);
    }
    let late = nora.post(&format!("{at}/progress"), &with(&hers, &[("note", "x")])).await;
    assert!(late.status == StatusCode::CONFLICT && late.text.contains("Anna Ärzte declined it"), "{}", late.text);
    assert_eq!(scene.store.journal(task).await.unwrap().len(), journal);
}

#[tokio::test]
async fn whoever_was_logged_out_while_writing_sends_it_after_the_next_log_in() {
    let (scene, _luke) = scene().await;
    let key = scene.enrolled("nora", "provider-worker:link-workers").await;
    let mut nora = scene.logged_in("nora", &key).await;
    let task = scene.refers(WHOLE, "R-1").await;
    let path = format!("/inbox/{task}/message");
    let page = nora.get(&format!("/inbox/{task}")).await;
    assert!(page.text.contains("You will be logged out at "), "{}", page.text);
    scene.clock.advance(16 * 60);
    let typed = [("message", "Which \"floor\"?\nAnd <b>when</b>?"), ("asks", "yes")];
    let over = nora.post(&path, &with(&page, &typed)).await;
    assert_eq!(over.status, StatusCode::UNAUTHORIZED);
    assert!(over.text.contains("You have been logged out") && over.text.contains("href=\"/login?return-to=%2Fstay\""));
    let once = page.between("name=\"once\" value=\"", "\"").to_owned();
    for held in ["Which &#34;floor&#34;?\nAnd &#60;b&#62;when", "name=\"asks\" value=\"yes\"", &once] {
        assert!(over.text.contains(held), "{held}: {}", over.text);
    }
    assert!(!over.text.contains("made-for"), "{}", over.text);
    // nothing of it is lost by sending it once more before she has, nor by a page that she opens
    assert!(nora.get("/inbox").await.to().starts_with("/login?return-to="));
    let again = nora.post(&path, &with(&page, &typed)).await;
    assert!(again.status == StatusCode::UNAUTHORIZED && again.text.contains(&once), "{}", again.text);
    // in another tab she logs in again, and sends it from the first
    assert_eq!(nora.log_in("nora", PASSWORD, &scene.code(&key)).await.status, StatusCode::SEE_OTHER);
    assert!(nora.get("/stay").await.text.contains("You are logged in until "));
    let fields = [("version", page.version()), ("once", &*once), typed[0], typed[1]];
    let look = nora.post(&path, &fields).await;
    assert_eq!(look.status, StatusCode::FORBIDDEN, "what no page of this session made is not taken");
    assert!(look.text.contains("You are logged in as Anna Ärzte."), "{}", look.text);
    let made_for = look.between("name=\"made-for\" value=\"", "\"").to_owned();
    let journal = scene.store.journal(task).await.unwrap().len();
    let mut fields = fields.to_vec();
    fields.push(("made-for", &made_for));
    assert_eq!(nora.post(&path, &fields).await.to(), format!("/inbox/{task}?done=asked"));
    let after = scene.store.journal(task).await.unwrap();
    assert!(matches!(after.last().unwrap().event, Event::Message { asks: true, .. }) && after.len() == journal + 1);
    // what asks for nothing leads back to where it stood
    scene.clock.advance(16 * 60);
    let over = nora.post(&format!("/inbox/{task}/accepted"), &[("made-for", &made_for), ("version", "2")]).await;
    assert_eq!(over.to(), format!("/login?return-to=%2Finbox%2F{}%2Faccepted", task.to_string().replace('-', "%2D")));
}

/// A page elsewhere makes a browser hold nothing and send nothing: not one whose session is over, nor one that is logged in.
#[tokio::test]
async fn what_a_page_elsewhere_sends_is_not_held() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let path = format!("/inbox/{task}/message");
    let once = uuid::Uuid::now_v7().to_string();
    let typed = [("once", &*once), ("version", "2"), ("message", "Written by somebody else")];
    let before = scene.store.journal(task).await.unwrap().len();
    for logged_in in [true, false] {
        if !logged_in {
            scene.clock.advance(16 * 60);
        }
        for origin in [Some("https://evil.example"), Some("null"), None] {
            luke.origin = origin;
            let page = luke.post(&path, &typed).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{logged_in} {origin:?}");
            assert!(
                !page.text.contains("somebody else") && !page.text.contains("<form method=\"post\" action=\"/inbox"),
                "{}",
                page.text
            );
        }
    }
    // and what is held does nothing by itself: of a browser that was logged out it is only shown, and asks for a press once she is in again
    luke.origin = Some(BASE);
    let held = luke.post(&path, &typed).await;
    assert!(held.status == StatusCode::UNAUTHORIZED && held.text.contains("somebody else"), "{}", held.text);
    assert_eq!(scene.store.journal(task).await.unwrap().len(), before, "nothing was said");
}

/// The referrer's next message answers what was asked, whether or not its system can say that it does.
#[tokio::test]
async fn it_waits_for_the_referrer_until_the_referrer_writes() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let page = luke.get(&format!("/inbox/{task}")).await;
    let asks = with(&page, &[("message", "Which floor?"), ("asks", "yes")]);
    luke.post(&format!("/inbox/{task}/message"), &asks).await;
    assert!(luke.get("/inbox?view=waiting").await.text.contains("Declan Rimmer"));
    scene.writes(task, "The second").await;
    assert!(!luke.get("/inbox?view=waiting").await.text.contains("Declan Rimmer"));
}
