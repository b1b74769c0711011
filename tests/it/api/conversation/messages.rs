//! What either side writes to the other: questions and answers, the same again, and what cannot be handed on.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_asks_for_more_and_is_answered() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "more").await;
    let mut question = message(&sent, "Does she use a stick?");
    question["category"] = json!([{"coding": [{"system": MORE, "code": "information-requested"}]}]);
    let asked = says(&provider, &question).await;
    assert_eq!(asked.status, 201, "{}", asked.describe());
    assert!(asked.header("onward-not-repeatable").is_some());
    let url = asked.header("location").unwrap().split_once("/_history").unwrap().0.to_owned();
    let task = gp.get(&sent.task).await.json();
    assert!(codes(&task).contains(&(MORE.to_owned(), "information-requested".to_owned())), "{task}");
    assert_eq!(gp.get(&url).await.json()["payload"][0]["contentString"], "Does she use a stick?");

    // what the provider says beside it answers nothing; what the referrer says does, though it names no question
    assert_eq!(says(&provider, &message(&sent, "By the way")).await.status, 201);
    assert!(codes(&gp.get(&sent.task).await.json()).iter().any(|(_, c)| c == "information-requested"));
    let answered = says(&gp, &message(&sent, "She does.")).await;
    assert_eq!(answered.status, 201, "{}", answered.describe());
    assert!(!codes(&gp.get(&sent.task).await.json()).iter().any(|(_, c)| c == "information-requested"));

    // both read all of it, in order, by either name; and it is in the package
    let request = sent.request.split_once("/fhir/").unwrap().1;
    let task = sent.task.split_once("/fhir/").unwrap().1;
    for actor in [&*gp, &*provider] {
        for search in [format!("based-on={request}"), format!("about={task}"), format!("about={request}")] {
            let found = actor.get(&format!("/fhir/Communication?{search}")).await.json();
            let words: Vec<_> = resources(&found).iter().map(|r| r["payload"][0]["contentString"].clone()).collect();
            assert_eq!(words, ["Does she use a stick?", "By the way", "She does."], "{search}");
        }
        let package = actor.get(&format!("{}/$package", sent.task)).await.json();
        assert_eq!(resources(&package).iter().filter(|r| r["resourceType"] == "Communication").count(), 3);
    }
    let found = gp.get(&format!("/fhir/Communication?_id={}", url.rsplit('/').next().unwrap())).await.json();
    assert_eq!(ids(&found).len(), 1);
    for (actor, what) in
        [(hub.actor(Some(&hub::token_of(WARD))), "a system"), (hub.actor(Some(&hub::token_of(HOUSING))), "a provider")]
    {
        assert_eq!(actor.get(&url).await.status, 404, "{what}");
        let found = actor.get(&format!("/fhir/Communication?based-on={request}")).await.json();
        assert!(resources(&found).is_empty(), "{what}");
    }
    // the provider may say so on its Task as well
    let read = provider.get(&sent.task).await;
    let mut wanted = read.json();
    wanted["businessStatus"] = json!({"coding": [{"system": MORE, "code": "information-requested"}]});
    let put = provider.put(&sent.task, read.header("etag").unwrap(), &wanted).await;
    assert_eq!(put.status, 200, "{}", put.describe());
    assert!(codes(&gp.get(&sent.task).await.json()).iter().any(|(_, c)| c == "information-requested"));
    // and giving it back as it is, or without our code, is no answer
    assert_eq!(provider.set(&sent.task, "accepted").await.status, 200);
    let read = provider.get(&sent.task).await;
    let mut wanted = read.json();
    wanted.as_object_mut().unwrap().remove("businessStatus");
    provider.put(&sent.task, read.header("etag").unwrap(), &wanted).await;
    assert!(codes(&gp.get(&sent.task).await.json()).iter().any(|(_, c)| c == "information-requested"));
    hub.stop().await;
}

/// Each of them moves the Task on under the others, which try again: more often than any of them would if it only lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_write_at_once_nobody_is_turned_away() {
    const AT_ONCE: usize = 40;
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "at-once").await;
    let says = async |n: usize| {
        let actor = if n.is_multiple_of(2) { &*gp } else { &*provider };
        says(actor, &message(&sent, &format!("message {n}"))).await
    };
    for said in futures_util::future::join_all((0..AT_ONCE).map(says)).await {
        assert_eq!(said.status, 201, "{}", said.describe());
    }
    let task = sent.task.split_once("/fhir/").unwrap().1;
    let found = gp.get(&format!("/fhir/Communication?about={task}&_count={AT_ONCE}")).await.json();
    assert_eq!(resources(&found).len(), AT_ONCE);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_again_is_not_said_twice() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "again").await;
    let with = |headers: &'static [(&'static str, &'static str)], message: Value| {
        let call = gp.call_to(Method::POST, "/fhir/Communication").json("application/fhir+json", &message);
        let call = headers.iter().fold(call, |call, (name, value)| call.header(name, *value));
        let gp = gp.clone();
        async move { gp.call(call).await }
    };
    let mut known = message(&sent, "known by its identifier");
    known["identifier"] = json!([{"system": "https://gp.example/messages", "value": "m1"}]);
    let cases: [(&[(&str, &str)], Value); 3] = [
        (&[], known.clone()),
        (&[("if-none-exist", "identifier=x|y")], message(&sent, "by a condition")),
        (&[("idempotency-key", "k-1")], message(&sent, "by a key")),
    ];
    for (headers, said) in cases {
        let first = with(headers, said.clone()).await;
        assert_eq!(first.status, 201, "{}", first.describe());
        assert!(first.header("onward-not-repeatable").is_none());
        let rows = rows_said(&hub);
        let again = with(headers, said.clone()).await;
        assert_eq!((again.status.as_u16(), again.header("location")), (200, first.header("location")));
        let mut other = said.clone();
        other["payload"][0]["contentString"] = "other words".into();
        refused(&with(headers, other).await, 409, "duplicate", "Communication.identifier");
        assert_eq!(rows_said(&hub), rows);
    }
    // another's identifiers are its own
    assert_eq!(says(&provider, &known).await.status, 201);
    // eight at once are one
    let mut eight = message(&sent, "at once");
    eight["identifier"] = json!([{"system": "https://gp.example/messages", "value": "m8"}]);
    let racing: Vec<_> = (0..8)
        .map(|_| {
            let (gp, eight) = (gp.clone(), eight.clone());
            tokio::spawn(async move { says(&gp, &eight).await.status.as_u16() })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in racing {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_handed_on_is_refused() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "bad").await;
    let other = listed(&hub, "other").await;
    let before = rows_said(&hub);
    let good = message(&sent, "words");
    let elsewhere = json!([{"reference": format!("ServiceRequest/{}", uuid::Uuid::now_v7())}]);
    let foreign = message(&other, "x")["basedOn"][0].clone();
    let without = |name: &str| {
        let mut message = good.clone();
        message.as_object_mut().unwrap().remove(name);
        message
    };
    let with = |name: &str, value: Value| {
        let mut message = good.clone();
        message[name] = value;
        message
    };
    let person = json!({"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990471134"}});
    let endless = json!([{"system": "https://x.example", "value": "k".repeat(300)}]);
    let cases = [
        (without("basedOn"), 422, "required", "Communication.basedOn"),
        (with("basedOn", elsewhere), 422, "not-found", "Communication.basedOn[0]"),
        (with("about", json!([foreign])), 422, "business-rule", "Communication.basedOn"),
        (without("status"), 400, "required", "Communication.status"),
        (with("status", json!("not-done")), 422, "business-rule", "Communication.status"),
        (without("payload"), 422, "required", "Communication.payload"),
        (with("payload", json!("words")), 400, "structure", "Communication.payload"),
        (with("implicitRules", json!("https://x.example")), 422, "not-supported", "Communication.implicitRules"),
        (with("subject", person), 422, "business-rule", "Communication.subject"),
        (with("identifier", endless), 422, "value", "Communication.identifier[0].value"),
        (
            with("inResponseTo", json!([{"reference": format!("Communication/{}", uuid::Uuid::now_v7())}])),
            422,
            "not-found",
            "Communication.inResponseTo[0]",
        ),
    ];
    for (message, status, code, expression) in cases {
        println!("{message}");
        refused(&says(&gp, &message).await, status, code, expression);
    }
    // what a provider names relatively is on its own server
    let loose = with("sender", json!({"reference": "Practitioner/7"}));
    refused(&says(&provider, &loose).await, 422, "not-found", "Communication.sender");
    assert_eq!(says(&gp, &json!({"resourceType": "Patient"})).await.status, 400);
    refused(&says(&hub.sender(RIO), &good).await, 422, "not-found", "Communication.basedOn[0]");
    assert_eq!(says(&hub.actor(None), &good).await.status, 401);
    for (search, status) in [("", 200), ("?sent=ge2026", 400), ("?based-on=", 400), ("?based-on=nonsense", 200)] {
        assert_eq!(gp.get(&format!("/fhir/Communication{search}")).await.status, status, "{search}");
    }
    assert_eq!(rows_said(&hub), before);
    // after the end nobody would read it
    let reason = json!([{"op": "replace", "path": "/status", "value": "rejected"},
                        {"op": "add", "path": "/statusReason", "value": {"text": "full"}}]);
    let etag = provider.get(&sent.task).await.header("etag").unwrap().to_owned();
    assert_eq!(provider.patch(&sent.task, &etag, &reason).await.status, 200);
    for actor in [&*gp, &*provider] {
        let told = refused(&says(actor, &good).await, 422, "business-rule", "ServiceRequest.status");
        assert!(told.contains("rejected"), "{told}");
    }
    hub.stop().await;
}

/// It may be named by what the sender calls it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_names_its_referral_by_identifier_as_well() {
    let hub = Hub::start().await;
    let (gp, provider) = (hub.sender(GP), hub.provider(LINK_WORKERS));
    let sent = listed(&hub, "by-identifier").await;
    let identifier = gp.get(&sent.request).await.json()["identifier"][0].clone();
    let identifier = json!({"system": identifier["system"], "value": identifier["value"]});
    let own =
        json!({"system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{}", sent.task.rsplit('/').next().unwrap())});
    let said = |element: &str, reference: Value| {
        let mut message = message(&sent, element);
        message.as_object_mut().unwrap().remove("basedOn");
        message[element] = json!([reference]);
        message
    };
    for message in [
        said("basedOn", json!({"type": "ServiceRequest", "identifier": identifier})),
        said("about", json!({"type": "Task", "identifier": own})),
        said("about", json!({"reference": sent.task})),
        said("basedOn", json!({"reference": sent.request})),
    ] {
        for actor in [&*gp, &*provider] {
            let answer = says(actor, &message).await;
            assert_eq!(answer.status, 201, "{message}: {}", answer.describe());
        }
    }
    let found = gp.get(&format!("/fhir/Communication?about={}", sent.task)).await.json();
    assert_eq!(resources(&found).len(), 8);
    hub.stop().await;
}
