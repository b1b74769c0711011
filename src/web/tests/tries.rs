//! Who tries what is not hers: name after name and code after code, by sessions of others and forms from elsewhere.

use super::*;

#[tokio::test]
async fn who_tries_in_vain_waits_and_learns_nothing() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let mut told = BTreeMap::new();
    for name in ["anna", "nobody"] {
        let mut browser = scene.browser();
        for n in 1..=6 {
            let page = browser.log_in(name, "wrong wrong wrong", "000000").await;
            told.entry(n).or_insert_with(Vec::new).push((page.status, page.text.replace(name, "NAME")));
        }
    }
    for (n, both) in &told {
        assert_eq!(both[0], both[1], "try {n}");
        let expected = if *n <= 5 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(both[0].0, expected, "try {n}");
    }
    // nor does the right one get in meanwhile
    let page = scene.browser().log_in("anna", PASSWORD, &scene.code(&key)).await;
    assert_eq!(
        (page.status, page.headers[header::RETRY_AFTER].to_str().unwrap()),
        (StatusCode::TOO_MANY_REQUESTS, "30")
    );
    scene.clock.advance(30);
    assert_eq!(scene.browser().log_in("anna", "wrong wrong wrong", "000000").await.status, StatusCode::UNAUTHORIZED);
    scene.clock.advance(30);
    assert_eq!(scene.browser().log_in("anna", PASSWORD, &scene.code(&key)).await.status, StatusCode::TOO_MANY_REQUESTS);
    scene.clock.advance(30);
    assert_eq!(scene.browser().log_in("anna", PASSWORD, &scene.code(&key)).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn who_tries_one_name_after_the_other_waits_as_well() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    // an address in IPv6 is one of very many of the same network
    let from = |n: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]));
    let mut browser = scene.browser();
    for n in 0..50 {
        browser.from = from(n);
        let page = browser.log_in(&format!("name-{n}"), "wrong wrong wrong", "000000").await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{n}");
    }
    browser.from = from(99);
    assert_eq!(browser.log_in("anna", PASSWORD, &scene.code(&key)).await.status, StatusCode::TOO_MANY_REQUESTS);
    let mut elsewhere = scene.browser();
    elsewhere.from = Some(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]));
    assert_eq!(elsewhere.log_in("anna", PASSWORD, &scene.code(&key)).await.status, StatusCode::SEE_OTHER);
}

/// Whoever knows a name keeps its owner out nowhere but where the attacker is, and where she has never been.
#[tokio::test]
async fn who_knows_a_name_does_not_keep_its_owner_out_of_where_she_works() {
    let scene = scene();
    let (annas, berts) = (scene.enrolled("anna", "auditor").await, scene.enrolled("bert", "auditor").await);
    let from = |n: u8| Some(IpAddr::from([192, 0, 2, n]));
    // they share the browser of a ward
    let mut ward = scene.browser();
    for (name, key) in [("anna", &annas), ("bert", &berts)] {
        assert_eq!(ward.log_in(name, PASSWORD, &scene.code(key)).await.status, StatusCode::SEE_OTHER);
        scene.clock.advance(30);
    }
    let known = ward.cookies["__Host-onward-device"].clone();
    assert!(!known.contains("anna") && known.split('.').count() == 2, "{known}");
    let mut attacker = scene.browser();
    attacker.from = from(66);
    let mut told = Vec::new();
    for _ in 0..8 {
        told.push(attacker.log_in("anna", "wrong wrong wrong", "000000").await.status);
    }
    assert_eq!(told[4..6], [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS]);
    // she gets in from another address all the same, also in a browser that nobody knows
    let mut home = scene.browser();
    home.from = from(1);
    assert_eq!(home.log_in("anna", PASSWORD, &scene.code(&annas)).await.status, StatusCode::SEE_OTHER);
    scene.clock.advance(30);
    // somebody with very many addresses keeps her out of new browsers, and not of those that know her, even at the attacker's own address
    for n in 0..21 {
        attacker.from = from(100 + n);
        attacker.log_in("anna", "wrong wrong wrong", "000000").await;
    }
    let mut new = scene.browser();
    new.from = from(2);
    assert_eq!(new.log_in("anna", PASSWORD, &scene.code(&annas)).await.status, StatusCode::TOO_MANY_REQUESTS);
    ward.from = from(66);
    for name in ["anna", "bert"] {
        let key = if name == "anna" { &annas } else { &berts };
        assert_eq!(ward.log_in(name, PASSWORD, &scene.code(key)).await.status, StatusCode::SEE_OTHER, "{name}");
    }
    scene.clock.advance(30);
    new.log_in("anna", "wrong wrong wrong", "000000").await;
    assert_eq!(
        new.log_in("anna", PASSWORD, &scene.code(&annas)).await.status,
        StatusCode::TOO_MANY_REQUESTS,
        "theirs is not forgotten by it"
    );

    // a browser that is stolen has five tries as well, and what it shows is of use for its own people alone
    let mut thief = scene.browser();
    thief.cookies.insert("__Host-onward-device".into(), ward.cookies["__Host-onward-device"].clone());
    for n in 1..=6 {
        let expected = if n <= 5 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(thief.log_in("anna", "wrong wrong wrong", "000000").await.status, expected, "{n}");
    }
    assert!(!thief.is_in().await, "it opens nothing");
    let mut of_bert = scene.browser();
    let berts_alone = ward.cookies["__Host-onward-device"].split('.').next().unwrap().to_owned();
    of_bert.cookies.insert("__Host-onward-device".into(), berts_alone);
    assert_eq!(of_bert.log_in("anna", PASSWORD, &scene.code(&annas)).await.status, StatusCode::TOO_MANY_REQUESTS);
    // it is known no longer than it says
    scene.clock.advance(90 * 24 * 3600);
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(attacker.log_in("bert", "wrong wrong wrong", "000000").await.status);
    }
    ward.from = attacker.from;
    assert_eq!(
        ward.log_in("bert", PASSWORD, &scene.code(&berts)).await.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{told:?}"
    );
}

#[tokio::test]
async fn an_enrolment_code_is_of_use_once_in_its_time_and_to_its_person() {
    let scene = scene();
    let code = scene.people.add("command:test", "anna", "Anna", vec!["auditor".parse().unwrap()]).await.unwrap();
    let code = code.reveal().to_owned();
    let enrol = async |name: &str, code: &str, password: &str, again: &str| {
        let mut browser = scene.browser();
        let fields = [("name", name), ("enrolment-code", code), ("password", password), ("again", again)];
        (browser.post("/enrol", &fields).await, browser)
    };
    for (name, shown, password, again) in [
        ("bert", code.as_str(), PASSWORD, PASSWORD),
        ("anna", "AAAA-BBBB-CCCC-DDDD-EEEE-FFFF", PASSWORD, PASSWORD),
        ("anna", "", PASSWORD, PASSWORD),
        ("anna", &code, "too short", "too short"),
        ("anna", &code, PASSWORD, "another one altogether"),
    ] {
        let (page, browser) = enrol(name, shown, password, again).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{name} {shown} {password}");
        assert!(browser.cookies.is_empty());
    }
    let (page, mut browser) = enrol("anna", &code, PASSWORD, PASSWORD).await;
    let made_for = page.made_for().to_owned();
    let key = Secret::try_from_base32(page.between("<p class=\"onward-key\">", "</p>")).unwrap().as_bytes().to_vec();
    // before the device has shown its code nobody can log in
    assert_eq!(scene.browser().log_in("anna", PASSWORD, &scene.code(&key)).await.status, StatusCode::UNAUTHORIZED);
    let page = browser.post("/enrol/device", &[("made-for", &made_for), ("code", "000000")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    let again = Secret::try_from_base32(page.between("<p class=\"onward-key\">", "</p>")).unwrap().as_bytes().to_vec();
    assert_eq!(again, key, "the same is shown again");
    // another browser cannot go on with it
    let page = scene.browser().post("/enrol/device", &[("made-for", &made_for), ("code", &scene.code(&key))]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    let page = browser.post("/enrol/device", &[("made-for", &made_for), ("code", &scene.code(&key))]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let (page, _) = enrol("anna", &code, "another one altogether", "another one altogether").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "it was used");

    let late = scene.people.add("command:test", "carl", "Carl", vec!["auditor".parse().unwrap()]).await.unwrap();
    scene.clock.advance(72 * 3600);
    let (page, _) = enrol("carl", late.reveal(), PASSWORD, PASSWORD).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "it is too old");
}

#[tokio::test]
async fn nobody_ends_the_session_of_another() {
    let scene = scene();
    let (annas, berts) = (scene.enrolled("anna", "auditor").await, scene.enrolled("bert", "auditor").await);
    let (mut anna, mut bert) = (scene.logged_in("anna", &annas).await, scene.logged_in("bert", &berts).await);
    let page = anna.get("/account").await;
    let id = page.between("/account/sessions/", "/");
    let made_for = bert.get("/account").await.made_for().to_owned();
    let page = bert.post(&format!("/account/sessions/{id}/end"), &[("made-for", &made_for)]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND, "as if it were not there");
    assert!(anna.is_in().await);
}

#[tokio::test]
async fn a_form_from_elsewhere_does_nothing() {
    let scene = scene();
    let (annas, berts) = (scene.enrolled("anna", "auditor").await, scene.enrolled("bert", "auditor").await);
    let mut anna = scene.logged_in("anna", &annas).await;
    let made_for = anna.get("/account").await.made_for().to_owned();
    let of_bert = scene.logged_in("bert", &berts).await.get("/account").await.made_for().to_owned();
    for path in ["/logout", "/account/sessions/end", "/account/sessions/0198b6a0-7c1e-7bd0-a5d1-000000000000/end"] {
        for wrong in [&[][..], &[("made-for", "")], &[("made-for", of_bert.as_str())]] {
            assert_eq!(anna.post(path, wrong).await.status, StatusCode::FORBIDDEN, "{path} {wrong:?}");
        }
        for origin in [None, Some("https://evil.example"), Some("null"), Some("http://onward.example")] {
            anna.origin = origin;
            let page = anna.post(path, &[("made-for", &made_for)]).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} {origin:?}");
        }
        anna.origin = Some(BASE);
        assert_ne!(anna.get(path).await.status, StatusCode::OK, "{path}: by GET nothing is done");
    }
    assert!(anna.is_in().await);
    // nor is anybody logged in from elsewhere
    let mut other = scene.browser();
    other.origin = Some("https://evil.example");
    assert_eq!(other.log_in("anna", PASSWORD, &scene.code(&annas)).await.status, StatusCode::FORBIDDEN);
    assert!(other.cookies.is_empty());
}

#[tokio::test]
async fn a_session_that_somebody_put_there_is_not_taken_over() {
    let scene = scene();
    let key = scene.enrolled("anna", "auditor").await;
    let planted = Token::mint().unwrap().reveal().to_owned();
    let mut browser = scene.browser();
    browser.cookies.insert("__Host-onward".into(), planted.clone());
    browser.log_in("anna", PASSWORD, &scene.code(&key)).await;
    assert!(browser.is_in().await);
    assert_ne!(browser.cookies["__Host-onward"], planted);
    let mut attacker = scene.browser();
    attacker.cookies.insert("__Host-onward".into(), planted);
    assert!(!attacker.is_in().await);
    // and who logs in again has a new one, the one before ended
    scene.clock.advance(30);
    let mut before = scene.browser();
    before.cookies = browser.cookies.clone();
    browser.log_in("anna", PASSWORD, &scene.code(&key)).await;
    assert_ne!(browser.cookies, before.cookies);
    assert!(browser.is_in().await && !before.is_in().await);
}
