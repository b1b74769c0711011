//! What was said of a referral stands out in the worklist until somebody has looked at it.

use super::*;

fn news(list: &Page) -> &str {
    list.text.split_once("</b>New messages").unwrap().0.rsplit_once("<b>").unwrap().1
}

#[tokio::test]
async fn a_message_is_new_until_its_referral_is_opened_by_whoever_works_there() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let other = scene.refers("06-interpreter-arabic.json", "R-2").await;
    assert_eq!(news(&luke.get("/inbox").await), "0");
    scene.writes(task, "The second floor").await;
    let list = luke.get("/inbox").await;
    assert_eq!((news(&list), list.text.matches(">New message</strong>").count()), ("1", 1), "{}", list.text);
    let only = luke.get("/inbox?view=news").await;
    assert!(only.text.contains(&task.to_string()) && !only.text.contains(&other.to_string()), "{}", only.text);
    // to give it to somebody is not to look at it, nor is what changes of another
    let made_for = list.made_for().to_owned();
    let id = task.to_string();
    luke.post("/inbox/assign", &[("made-for", &made_for), ("to", "local:luke"), ("task", &id)]).await;
    luke.get(&format!("/inbox/{other}")).await;
    assert_eq!(news(&luke.get("/inbox").await), "1");
    let key = scene.enrolled("nora", "provider-worker:link-workers").await;
    let mut nora = scene.logged_in("nora", &key).await;
    assert!(nora.get(&format!("/inbox/{task}")).await.text.contains("The second floor"));
    for browser in [&mut nora, &mut luke] {
        assert_eq!(news(&browser.get("/inbox").await), "0", "it was looked at");
    }
    scene.writes(task, "The bell is broken").await;
    assert_eq!(news(&luke.get("/inbox").await), "1", "and what comes next is new again");
}

#[tokio::test]
async fn what_the_referrer_changes_is_named_and_new_until_somebody_looks() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    scene.changes(task, |request| request["priority"] = "stat".into()).await;
    let list = luke.get("/inbox").await;
    assert_eq!(
        (news(&list), list.text.matches(">Changed by the referrer</strong>").count()),
        ("1", 1),
        "{}",
        list.text
    );
    let at = format!("/inbox/{task}");
    let told = "RiO changed the referral: how urgent it is";
    let marked = format!("{told} <strong class=\"nhsuk-tag nhsuk-tag--blue\">New</strong>");
    assert!(luke.get(&at).await.text.contains(&marked), "whoever looks first sees what is new");
    let again = luke.get(&at).await;
    assert!(again.text.contains(told) && !again.text.contains(&marked), "{}", again.text);
    assert_eq!(news(&luke.get("/inbox").await), "0");
}

#[tokio::test]
async fn who_is_asked_to_be_cancelled_is_counted_and_stays_so_when_it_is_given_to_somebody() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let page = luke.get(&format!("/inbox/{task}")).await;
    let fields = [("made-for", page.made_for().to_owned()), ("version", page.version().to_owned())];
    let fields = fields.each_ref().map(|(name, text)| (*name, text.as_str()));
    luke.post(&format!("/inbox/{task}/accepted"), &fields).await;
    scene.changes(task, |request| request["status"] = "revoked".into()).await;
    let asked = luke.get("/inbox?view=cancel").await;
    assert!(asked.text.contains("<b>1</b>Asked to cancel") && asked.text.contains("Declan Rimmer"), "{}", asked.text);
    let id = task.to_string();
    let give = [("made-for", asked.made_for()), ("to", "local:luke"), ("task", id.as_str())];
    luke.post("/inbox/assign", &give).await;
    assert!(luke.get("/inbox").await.text.contains("<b>1</b>Asked to cancel"), "nobody has said that it goes on");
}
