//! How somebody gets in, stays in and gets out.

use super::*;

#[tokio::test]
async fn somebody_enrols_logs_in_sees_who_she_is_and_logs_out() {
    let scene = scene();
    let key = scene.enrolled("anna", "provider-worker:local").await;
    let mut browser = scene.browser();
    assert_eq!(browser.get("/account?a=b").await.to(), "/login?return-to=%2Faccount%3Fa%3Db");
    assert!(browser.get("/login?return-to=%2Faccount%3Fa%3Db").await.text.contains("value=\"/account?a=b\""));
    let code = scene.code(&key);
    let fields = [("name", "anna"), ("password", PASSWORD), ("code", &code), ("return-to", "/account?a=b")];
    let page = browser.post("/login", &fields).await;
    assert_eq!(page.to(), "/account?a=b");
    let cookie = page.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-onward="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");

    let page = browser.get("/account").await;
    for told in ["Anna Ärzte", ">anna<", "You work the referrals of", "2 March 2026, 9am (here)"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; ")
            && policy.contains("; script-src https://onward.example/assets/;")
            && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(page.headers[header::STRICT_TRANSPORT_SECURITY], "max-age=31536000");
    // one script, of a file of ours; nothing in the page itself
    let script = format!("<script type=\"module\" src=\"{}\"></script>", assets::SCRIPT);
    assert_eq!(page.text.matches("<script").count(), page.text.matches(&script).count());
    for inline in ["style=", "<style", " onclick", " onload", "javascript:"] {
        assert!(!page.text.contains(inline), "{inline}: {}", page.text);
    }
    let script = browser.get(assets::SCRIPT).await;
    assert_eq!((script.status, script.text.contains("initAll();")), (StatusCode::OK, true));
    assert!(
        script.text.to_lowercase().contains(form::MADE_FOR_HEADER),
        "what asks by itself says for whom its page is"
    );
    assert_eq!(script.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");

    let page = browser.post("/logout", &[("made-for", page.made_for())]).await;
    assert_eq!(page.to(), "/login");
    let left: Vec<&String> = browser.cookies.keys().collect();
    assert_eq!(left, ["__Host-onward-device"], "by which the browser is known as hers, and which opens nothing");
    assert!(!browser.is_in().await);
}

#[tokio::test]
async fn a_session_that_was_ended_is_of_no_use_to_whoever_kept_its_cookie() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let (mut one, mut other) = (scene.logged_in("anna", &key).await, scene.logged_in("anna", &key).await);
    let mut stolen = scene.browser();
    stolen.cookies = one.cookies.clone();
    assert!(stolen.is_in().await);
    // of the two, the other one's page ends the first
    let page = other.get("/account").await;
    let first = page.text.rsplit_once("/account/sessions/").unwrap().0;
    let id = first.rsplit_once("/account/sessions/").unwrap().1.split_once('/').unwrap().0;
    let made_for = page.made_for().to_owned();
    let path = format!("/account/sessions/{id}/end");
    assert_eq!(other.post(&path, &[("made-for", &made_for)]).await.to(), "/account");
    assert!(!one.is_in().await && !stolen.is_in().await);
    assert!(other.is_in().await);
    assert_eq!(other.post(&path, &[("made-for", &made_for)]).await.status, StatusCode::NOT_FOUND);

    // and all at once
    let mut third = scene.logged_in("anna", &key).await;
    other.post("/account/sessions/end", &[("made-for", &made_for)]).await;
    assert!(!other.is_in().await && !third.is_in().await);
}

#[tokio::test]
async fn nobody_is_sent_elsewhere_after_a_log_in() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    for to in ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", ""] {
        let code = scene.code(&key);
        let fields = [("name", "anna"), ("password", PASSWORD), ("code", &code), ("return-to", to)];
        let mut browser = scene.browser();
        assert_eq!(browser.post("/login", &fields).await.to(), "/", "{to}");
        let encoded = percent_encoding::utf8_percent_encode(to, percent_encoding::NON_ALPHANUMERIC);
        assert_eq!(browser.get(&format!("/login?return-to={encoded}")).await.to(), "/", "{to}");
        scene.clock.advance(30);
    }
    let page = scene.browser().get("/login?return-to=%2F%22%3E%3Cscript%3E").await;
    assert!(!page.text.contains("<script>"), "{}", page.text);
}

#[tokio::test]
async fn a_session_that_is_left_alone_or_too_old_ends() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let mut browser = scene.logged_in("anna", &key).await;
    scene.clock.advance(14 * 60);
    assert!(browser.is_in().await);
    scene.clock.advance(14 * 60);
    assert!(browser.is_in().await, "it was used since");
    scene.clock.advance(15 * 60);
    assert!(!browser.is_in().await, "left alone for a quarter of an hour");

    let mut browser = scene.logged_in("anna", &key).await;
    for _ in 0..(12 * 6) {
        assert!(browser.is_in().await);
        scene.clock.advance(10 * 60);
    }
    assert!(!browser.is_in().await, "twelve hours are the longest");
}

/// Of a session that is over its secret is taken away, once a page is opened; a new one takes its place.
#[tokio::test]
async fn the_cookie_of_a_session_that_is_over_is_taken_away() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let mut browser = scene.logged_in("anna", &key).await;
    let made_for = browser.get("/account").await.made_for().to_owned();
    let secret = browser.cookies["__Host-onward"].clone();
    scene.clock.advance(16 * 60);
    // what a page asks by itself may be answered after a log-in in another tab
    browser.asks_of_page = Some(made_for);
    assert_eq!(browser.get("/console/now").await.to(), "/login");
    assert_eq!(browser.cookies["__Host-onward"], secret);
    browser.asks_of_page = None;
    let page = browser.get("/console").await;
    let taken: Vec<_> = page.headers.get_all(header::SET_COOKIE).iter().map(|set| set.to_str().unwrap()).collect();
    assert_eq!(
        (page.to(), taken),
        ("/login?return-to=%2Fconsole", vec!["__Host-onward=over; Path=/; HttpOnly; SameSite=Lax; Secure"])
    );
    let page = browser.get("/login").await;
    assert!(page.status == StatusCode::OK && !page.headers.contains_key(header::SET_COOKIE), "once");
    // from the page with the way to log in, too
    let mut other = scene.browser_showing(&secret);
    assert_eq!(other.get("/login").await.headers.get_all(header::SET_COOKIE).iter().count(), 1);
    // and who logs in with it has her new one, and no other
    let mut other = scene.browser_showing(&secret);
    let page = other.log_in("anna", PASSWORD, &scene.code(&key)).await;
    let sessions = page
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter(|set| set.to_str().unwrap().starts_with("__Host-onward="));
    assert_eq!(sessions.count(), 1);
    assert!(other.is_in().await);
}

#[tokio::test]
async fn who_is_kept_out_is_out_at_once() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let mut browser = scene.logged_in("anna", &key).await;
    scene.people.disable("command:test", "anna", true).await.unwrap();
    assert!(!browser.is_in().await);
    let refused = scene.browser().log_in("anna", PASSWORD, &scene.code(&key)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    scene.people.disable("command:test", "anna", false).await.unwrap();
    scene.clock.advance(30);
    let mut browser = scene.logged_in("anna", &key).await;

    scene.people.set_positions("command:test", "anna", vec!["operator".parse().unwrap()]).await.unwrap();
    assert!(!browser.is_in().await, "what she was before she is no longer anywhere");
    let mut browser = scene.logged_in("anna", &key).await;
    assert!(browser.get("/account").await.text.contains("You keep Onward running"));

    scene.people.reset("command:test", "anna").await.unwrap();
    assert!(!browser.is_in().await);
    let refused = scene.browser().log_in("anna", PASSWORD, &scene.code(&key)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "password and device are gone");
}

#[tokio::test]
async fn a_code_gets_in_once() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let code = scene.code(&key);
    assert_eq!(scene.browser().log_in("anna", PASSWORD, &code).await.status, StatusCode::SEE_OTHER);
    assert_eq!(scene.browser().log_in("anna", PASSWORD, &code).await.status, StatusCode::UNAUTHORIZED);
    scene.clock.advance(30);
    assert_eq!(
        scene.browser().log_in("anna", PASSWORD, &code).await.status,
        StatusCode::UNAUTHORIZED,
        "late, and used"
    );
    // of several at once, too
    scene.clock.advance(60);
    let code = scene.code(&key);
    let tries = (0..4).map(|_| {
        let (mut browser, code) = (scene.browser(), code.clone());
        async move { browser.log_in("anna", PASSWORD, &code).await.status }
    });
    let ended = futures_util::future::join_all(tries).await;
    assert_eq!(ended.iter().filter(|status| **status == StatusCode::SEE_OTHER).count(), 1, "{ended:?}");
}

/// What is told of a name is the same whether there is one or not: after each try, and how long it takes until the next one.
#[tokio::test]
async fn where_nobody_may_log_in_there_is_nothing() {
    let scene = scene_at(BASE, config::People::default());
    for path in ["/", "/login", "/account", "/enrol", assets::STYLE] {
        assert_eq!(scene.browser().get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_form_that_is_too_long_is_not_read() {
    let scene = scene();
    let page = scene.browser().log_in("anna", &"x".repeat(70_000), "000000").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
}
