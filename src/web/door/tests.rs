use axum::body::Body;
use bytes::Bytes;
use tower_service::Service as _;

use super::*;
use crate::{
    people::Token,
    web::tests::{BASE, Browser, Page, scene},
};

/// More than any burst.
const MANY: usize = 3_000;

/// Asks until it is too often, or for long enough.
async fn until_too_often(browser: &mut Browser, path: &str) -> (usize, Page) {
    let mut last = browser.get(path).await;
    for n in 1..MANY {
        if last.status == StatusCode::TOO_MANY_REQUESTS {
            return (n, last);
        }
        last = browser.get(path).await;
    }
    panic!("{path} is never too often: {}", last.status)
}

#[tokio::test]
async fn who_has_not_logged_in_is_an_address_and_who_has_is_herself() {
    let scene = scene();
    let (annas, berts) = (scene.enrolled("anna", "auditor").await, scene.enrolled("bert", "auditor").await);
    let (mut anna, mut bert) = (scene.logged_in("anna", &annas).await, scene.logged_in("bert", &berts).await);
    let from = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
    let (mut stranger, mut elsewhere) = (scene.browser(), scene.browser());
    (stranger.from, elsewhere.from, anna.from, bert.from) = (from(1), from(2), from(1), from(1));

    let (_, page) = until_too_often(&mut stranger, "/login").await;
    assert!(page.text.contains("Too many pages were asked for from where you are"), "{}", page.text);
    let wait: u64 = page.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert!(page.headers.contains_key(header::CONTENT_SECURITY_POLICY));
    assert_eq!(elsewhere.get("/login").await.status, StatusCode::OK, "from elsewhere one gets in");
    assert_eq!(stranger.get(assets::STYLE).await.status, StatusCode::OK, "what is kept for ever is not counted");
    // whoever has logged in behind that address goes on, until she herself asks too often
    assert_eq!(anna.get("/account").await.status, StatusCode::OK);
    let (_, page) = until_too_often(&mut anna, "/account").await;
    assert!(page.text.contains("from your account"), "{}", page.text);
    assert_eq!(bert.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_log_in_at_an_issuer_counts_for_more() {
    let scene = scene();
    let (mut one, mut other) = (scene.browser(), scene.browser());
    (one.from, other.from) = (Some(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 2])));
    let (pages, _) = until_too_often(&mut one, "/login").await;
    let (begun, _) = until_too_often(&mut other, BEGIN).await;
    assert!(begun * 5 < pages, "{begun} are begun where {pages} pages are looked at");
}

/// What is sent by whoever may not send it is answered before it has come.
#[tokio::test]
async fn a_form_that_does_nothing_is_not_read() {
    let scene = scene();
    let endless = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    for (origin, path, expected) in [
        (BASE, "/inbox/assign", StatusCode::SEE_OTHER),
        (BASE, "/console/routes/edit", StatusCode::SEE_OTHER),
        (BASE, "/logout", StatusCode::SEE_OTHER),
        ("https://evil.example", "/login", StatusCode::FORBIDDEN),
        ("https://evil.example", "/inbox/assign", StatusCode::FORBIDDEN),
    ] {
        let request = Request::builder().method(Method::POST).uri(path).header(header::ORIGIN, origin);
        let answered = scene.browser().router.call(request.body(endless()).unwrap());
        let answer = tokio::time::timeout(Duration::from_secs(5), answered).await.expect(path).unwrap();
        assert_eq!(answer.status(), expected, "{origin} {path}");
    }
}

/// Whoever makes sessions up is soon asked to wait, and keeps nobody out who has one.
#[tokio::test]
async fn who_makes_sessions_up_waits_and_keeps_nobody_out() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let mut anna = scene.logged_in("anna", &key).await;
    let from = Some(IpAddr::from([192, 0, 2, 1]));
    let mut stranger = scene.browser();
    stranger.from = Some(IpAddr::from([192, 0, 2, 2]));
    let (pages, _) = until_too_often(&mut stranger, "/login").await;
    let (mut made_up, mut count) = (0, 0);
    while count == 0 && made_up < MANY {
        let mut browser = scene.browser_showing(Token::mint().unwrap().reveal());
        browser.from = from;
        made_up += 1;
        count += usize::from(browser.get("/account").await.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(made_up * 5 < pages, "{made_up} are made up where {pages} pages are looked at");
    anna.from = from;
    assert_eq!(anna.get("/account").await.status, StatusCode::OK);
}

/// A browser whose session is over counts for it once, and not with each page until the next log-in.
#[tokio::test]
async fn who_was_logged_in_counts_for_it_once() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let mut anna = scene.logged_in("anna", &key).await;
    scene.clock.advance(16 * 60);
    let mut stranger = scene.browser();
    (anna.from, stranger.from) = (Some(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 2])));
    let (pages, _) = until_too_often(&mut stranger, "/login").await;
    let (hers, _) = until_too_often(&mut anna, "/login").await;
    assert!(hers * 2 > pages, "{hers} where a stranger has {pages}");
}

/// What is sent with a session that was made up is read only where its address may still ask.
#[tokio::test]
async fn a_form_with_a_session_that_was_made_up_is_counted_before_it_is_read() {
    let scene = scene();
    let from = Some(IpAddr::from([192, 0, 2, 1]));
    let mut stranger = scene.browser();
    stranger.from = from;
    until_too_often(&mut stranger, "/login").await;
    let session = Token::mint().unwrap();
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let request = Request::builder().method(Method::POST).uri("/inbox/7/message").header(header::ORIGIN, BASE);
    let request = request.header(header::COOKIE, format!("__Host-onward={}", session.reveal()));
    let mut request = request.body(endless).unwrap();
    request.extensions_mut().insert(Came { address: from, ..Came::default() });
    let answered = scene.browser().router.call(request);
    let answer = tokio::time::timeout(Duration::from_secs(60), answered).await.expect("it is read").unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn of_an_address_from_which_too_much_comes_one_cookie_at_a_time_is_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let token = crate::config::TokenHash::of("x");
    let config = crate::config::Config::embedded(folder.path(), token, &Default::default()).unwrap().0;
    let door = Door::new(&config.limits);
    let from = |last: u8| Came { address: Some(IpAddr::from([192, 0, 2, last])), ..Came::default() };
    assert!(door.aside(&from(1)).await.is_none(), "nothing came from there");
    while door.asks(None, &from(1), 1).is_ok() {}
    let first = door.aside(&from(1)).await;
    assert!(first.is_some());
    let there = from(1);
    let mut second = Box::pin(door.aside(&there));
    assert!(futures_util::poll!(&mut second).is_pending());
    assert!(door.aside(&from(2)).await.is_none(), "nobody elsewhere waits for that");
    drop(first);
    assert!(second.await.is_some());
}
