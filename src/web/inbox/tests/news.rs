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

const MEANWHILE: &str = "This came while you were writing";

impl Scene {
    /// The referrer puts a risk into the referral itself.
    async fn warns(&self, task: TaskId) {
        let flag = serde_json::json!({
            "resourceType": "Flag", "id": "dog", "status": "active", "code": {"text": "Dog bites visitors"},
            "subject": {"display": "Declan Rimmer"},
        });
        let carry = |request: &mut Value| {
            let mut contained = request["contained"].as_array().cloned().unwrap_or_default();
            contained.push(flag.clone());
            request["contained"] = contained.into();
            // what is contained is referred to (R4 dom-3)
            let mut info = request["supportingInfo"].as_array().cloned().unwrap_or_default();
            info.push(serde_json::json!({"reference": "#dog"}));
            request["supportingInfo"] = info.into();
        };
        self.changes(task, carry).await;
    }

    /// The referrer takes it out again.
    async fn calms(&self, task: TaskId) {
        let without = |request: &mut Value| {
            for (name, path) in [("contained", "id"), ("supportingInfo", "reference")] {
                let mut all = request[name].as_array().cloned().unwrap_or_default();
                all.retain(|one| one[path].as_str().is_none_or(|text| text.trim_start_matches('#') != "dog"));
                request.as_object_mut().unwrap().shift_remove(name);
                if !all.is_empty() {
                    request[name] = all.into();
                }
            }
        };
        self.changes(task, without).await;
    }
}

#[tokio::test]
async fn what_comes_while_somebody_writes_stays_new_and_is_told_by_the_page_that_answers() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    for (action, typed) in [
        ("contact", &[("way", "Phone call"), ("result", "No answer"), ("day", "1/4/2026")][..]),
        ("message", &[("message", "Which floor?")]),
    ] {
        let page = luke.get(&at).await;
        let form = if action == "contact" { luke.get(&format!("{at}/contact")).await } else { page };
        let once = form.between("name=\"once\" value=\"", "\"").to_owned();
        let mut fields = vec![("made-for", form.made_for()), ("version", form.version()), ("once", &*once)];
        scene.warns(task).await;
        // what has to be put right first is told with what came
        let missing = luke.post(&format!("{at}/{action}"), &fields).await;
        assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(missing.text.contains("RiO told of a risk"), "{action}: {}", missing.text);
        scene.writes(task, "Mind the dog").await;
        fields.extend(typed);
        let to = luke.post(&format!("{at}/{action}"), &fields).await.to().to_owned();
        let list = luke.get("/inbox").await;
        assert_eq!(news(&list), "1", "{action}: whoever wrote was not shown it");
        let answer = luke.get(&to).await.text;
        let told = answer.split_once(MEANWHILE).map_or("", |(_, told)| told.split_once("</ol>").unwrap().0);
        assert!(told.contains("RiO wrote a message") && told.contains("RiO told of a risk"), "{action} {to}: {answer}");
        assert_eq!(news(&luke.get("/inbox").await), "0", "the page that answers shows it");
        assert!(!luke.get(&at).await.text.contains(MEANWHILE));
        scene.calms(task).await;
        luke.get(&at).await;
    }
}

#[tokio::test]
async fn an_answer_hears_nothing_that_its_page_did_not_show() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    luke.get(&at).await;
    scene.warns(task).await;
    // the page of a form was made after that, and shows nothing of it
    let form = luke.get(&format!("{at}/rejected")).await;
    let fields = [("made-for", form.made_for()), ("version", form.version()), ("reason", "No room")];
    let to = luke.post(&format!("{at}/rejected"), &fields).await.to().to_owned();
    let answer = luke.get(&to).await.text;
    let told = answer.split_once("This is new since somebody here last looked").map_or("", |(_, told)| told);
    assert!(told.split_once("</ol>").is_some_and(|(told, _)| told.contains("RiO told of a risk")), "{answer}");
}

#[tokio::test]
async fn a_message_after_a_risk_that_was_read_is_a_message() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let marks = |list: &Page| {
        let of = |words: &str| list.text.matches(&format!(">{words}</strong>")).count();
        (of("New risk"), of("New message"), of("Changed by the referrer"))
    };
    scene.warns(task).await;
    assert_eq!(marks(&luke.get("/inbox").await), (1, 0, 0));
    luke.get(&format!("/inbox/{task}")).await;
    assert_eq!(marks(&luke.get("/inbox").await), (0, 0, 0));
    scene.writes(task, "The second floor").await;
    assert_eq!(marks(&luke.get("/inbox").await), (0, 1, 0));
}

#[tokio::test]
async fn a_risk_that_a_message_carries_in_itself_is_a_risk() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let flag = |status: &str, text: &str| {
        let (status, code) = (status.to_owned(), serde_json::json!({"text": text}));
        move |message: &mut Value| {
            let subject = serde_json::json!({"display": "Declan Rimmer"});
            message["contained"] = serde_json::json!([
                {"resourceType": "Flag", "id": "risk", "status": status, "code": code, "subject": subject},
            ]);
            message["about"] = serde_json::json!([{"reference": "#risk"}]);
        }
    };
    scene.writes_changed(task, "The dog is gone", flag("inactive", "Dog bites visitors")).await;
    let list = luke.get("/inbox").await.text;
    assert!(list.contains(">New message</strong>") && !list.contains(">New risk</strong>"), "it is over: {list}");
    scene.writes_changed(task, "Please mind this", flag("active", "Threatens visitors")).await;
    let list = luke.get("/inbox").await;
    assert_eq!((news(&list), list.text.matches(">New risk</strong>").count()), ("1", 1), "{}", list.text);
    let page = luke.get(&format!("/inbox/{task}")).await.text;
    let told = "RiO wrote a message that tells of a risk <strong class=\"nhsuk-tag nhsuk-tag--blue\">New</strong>";
    assert!(page.contains(told) && page.contains("Threatens visitors"), "{page}");
}

#[tokio::test]
async fn what_was_sent_in_error_says_so_wherever_it_stands() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    let at = format!("/inbox/{task}");
    let page = luke.get(&at).await;
    luke.post(&format!("{at}/accepted"), &[("made-for", page.made_for()), ("version", page.version())]).await;
    assert_eq!(luke.get("/inbox").await.text.matches("<b>0</b>Taken back lately").count(), 1);
    scene.changes(task, |request| request["status"] = "entered-in-error".into()).await;
    let (words, closed) = ("Taken back: sent in error", luke.get("/inbox?view=closed").await);
    assert!(closed.text.contains("<b>1</b>Taken back lately") && news(&closed) == "1", "{}", closed.text);
    for list in [closed, luke.get("/inbox?view=taken-back").await, luke.get("/inbox?view=news").await] {
        assert!(list.text.contains(words) && list.text.contains("Newly taken back"), "{}", list.text);
    }
    let csv = luke.get("/inbox/list.csv?view=taken-back").await.text;
    assert!(csv.contains(words) && csv.contains("Newly taken back"), "{csv}");
    let page = luke.get(&at).await.text;
    assert!(page.contains(words), "{page}");
    let (_, head) = page.split_once("The referrer took this referral back").unwrap();
    assert!(head.trim_start_matches("</h2>").trim().starts_with("<p>It was sent in error."), "{head}");
    assert_eq!(news(&luke.get("/inbox").await), "0", "somebody has read it");
    assert!(luke.get("/inbox?view=taken-back").await.text.contains(words), "and it stays what it is");
    // an end that one marks oneself as noted in error is another thing
    let own = scene.refers("06-interpreter-arabic.json", "R-2").await;
    for (action, reason) in [("rejected", "No room"), ("entered-in-error", "Another person")] {
        let form = luke.get(&format!("/inbox/{own}/{action}")).await;
        let fields = [("made-for", form.made_for()), ("version", form.version()), ("reason", reason)];
        luke.post(&format!("/inbox/{own}/{action}"), &fields).await;
    }
    let page = luke.get(&format!("/inbox/{own}")).await.text;
    assert!(page.contains("Ended in error") && !page.contains("took this referral back"), "{page}");
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
