//! How much an endpoint is spoken to: at once, a second, after an outage, and while it wants a pause.

use super::*;

/// The most requests that came within any span of this length.
fn most_within(requests: &[Logged], span: Duration) -> usize {
    let span = onward::domain::clock::SignedDuration::try_from(span).unwrap();
    let at: Vec<_> = requests.iter().map(|r| r.at).collect();
    at.iter()
        .map(|from| at.iter().filter(|at| *at >= from && at.duration_since(*from) < span).count())
        .max()
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_at_once_than_it_bears() {
    let more = ", concurrency = 3, answers = \"poll\", poll-every = \"100ms\"";
    let stage = Stage::set(Setting { inbox: Some(more), ..Setting::default() }).await;
    let slow = Duration::from_millis(200);
    stage.provider.slow(slow);
    let ids = refer_at(&stage.onward, singles("many").take(20), 200).await;
    all_arrive(&stage.provider, &ids).await;
    until("copies are read as well", || async {
        stage.provider.requests().iter().any(|r| r.path.starts_with("Task/")).then_some(())
    })
    .await;
    // each is under way for as long as the server is slow, at least: what comes within less than that is there at once
    let requests = stage.provider.requests();
    let most = most_within(&requests, slow - Duration::from_millis(20));
    assert_eq!(most, 3, "messages and looks together, and no place is left empty");
    assert!(stage.onward.metric("onward_endpoint_deferred_total", "by=\"limit\"").await > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_faster_than_its_rate() {
    let stage = Stage::set(Setting { inbox: Some(", rate = 10"), ..Setting::default() }).await;
    let ids = refer_at(&stage.onward, singles("rate").take(25), 200).await;
    all_arrive(&stage.provider, &ids).await;
    let most = most_within(&transactions(&stage.provider), Duration::from_secs(1));
    // a message that was late by the machine's pace may come close to the next
    assert!(most <= 13, "{most} in a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_waited_goes_at_the_drain_rate_and_new_messages_pass_it() {
    let stage = Stage::set(Setting { inbox: Some(", drain-rate = 10"), ..Setting::default() }).await;
    stage.provider.fault(always(DOWN));
    let mut ids = opened(&stage, "first").await;
    ids.extend(refer_at(&stage.onward, singles("waits").take(50), 100).await);
    stage.provider.heal();
    stage.provider.clear_requests();
    breaker_is(stage.service.base_url(), &inbox(), &["draining"]).await;
    let new = stage.onward.refer(&singles("new").next().unwrap()).await;
    until("the new one has arrived", || async { stage.at_provider(&new) }).await;
    assert!(arrived(&stage.provider, &ids) < ids.len(), "it did not wait for all that had waited");
    all_arrive(&stage.provider, &ids).await;
    let drained = transactions(&stage.provider);
    let took = drained.last().unwrap().at.duration_since(drained[0].at).as_secs_f64();
    assert!(took >= 4.0, "{} in {took} s", drained.len());
    // a burst of a quarter of a second, what a look found, and the new one
    let most = most_within(&drained, Duration::from_secs(1));
    assert!(most <= 17, "{most} in a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_are_a_pause_and_no_outage() {
    let stage = Stage::set(Setting::default()).await;
    let rule = Rule::new(Fault::Throttled { retry_after_s: Some(3) }, When::Next(1));
    stage.provider.fault(rule.method(Method::POST).kind(""));
    let first = stage.onward.refer(&singles("first").next().unwrap()).await;
    let shown = breaker_is(stage.service.base_url(), &inbox(), &["paused"]).await;
    assert_eq!((&shown["failures"], &shown["why"]), (&0.into(), &"HTTP 429; throttled".into()), "{shown}");
    let mut ids = refer_at(&stage.onward, singles("others").take(5), 100).await;
    ids.push(first);
    all_arrive(&stage.provider, &ids).await;
    let at: Vec<_> = stage.provider.requests().iter().map(|r| r.at).collect();
    let waited = at[1].duration_since(at[0]);
    assert!(waited.as_millis() >= 2_900, "the others wait as well: {waited}");
    breaker_closes(stage.service.base_url(), &inbox()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_cannot_be_read_counts_and_an_open_breaker_is_not_looked_through() {
    let more = ", answers = \"poll\", poll-every = \"100ms\"";
    let stage = Stage::set(Setting { inbox: Some(more), ..Setting::default() }).await;
    let mut ids = Vec::new();
    for referral in singles("copy").take(4) {
        ids.push(stage.referred(&referral, "received").await);
    }
    stage.provider.fault(always(Fault::Unavailable { retry_after_s: Some(2) }));
    breaker_is(stage.service.base_url(), &inbox(), &["open"]).await;
    until("those under way at that moment have failed", || async {
        let in_flight = stage.onward.metric("onward_endpoint_in_flight", &inbox()).await;
        (in_flight == 0.0).then_some(())
    })
    .await;
    stage.provider.clear_requests();
    let shown = breaker_is(stage.service.base_url(), &inbox(), &["open"]).await;
    let since: onward::domain::clock::Timestamp = shown["since"].as_str().unwrap().parse().unwrap();
    stage.provider.heal();
    // nothing waits that it could be asked with: after the pause it is spoken to again
    until("the copies are looked at again", || async { (!stage.provider.requests().is_empty()).then_some(()) }).await;
    let waited = stage.provider.requests()[0].at.duration_since(since);
    assert!(waited.as_millis() >= 1_900, "{waited}");
    let copy = stage.at_provider(&ids[0]).unwrap();
    stage.provider.put_resource(crate::support::onward::with(&copy, "accepted", &json!({})));
    stage.told_at_last(&ids[0], "accepted").await;
}
