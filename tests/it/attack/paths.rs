//! A path that is written otherwise leads to the same as the plain one or to nothing: to no other handler, past no authorisation.

use super::{
    MARK,
    raw::{Answers, send},
    same,
    scene::{Ask, Scene},
    without_ids_and_times,
};
use crate::support::hub::{GP, Hub, RIO, token_of};

/// Ways to write a path otherwise.
fn tricks(path: &str) -> Vec<String> {
    let (head, last) = path.rsplit_once('/').unwrap();
    let first = &last[..1];
    let as_code = format!("%{:02x}", first.as_bytes()[0]);
    let mut all = vec![
        format!("/{path}"),
        format!("{head}//{last}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("{path}/."),
        format!("{head}/./{last}"),
        format!("{head}/x/../{last}"),
        format!("{head}/x/%2e%2e/{last}"),
        format!("{head}/%2e/{last}"),
        format!("/health/live/..{path}"),
        format!("/health/live/../..{path}"),
        format!("/health/live/%2e%2e/%2e%2e{path}"),
        format!("/health/live%2f..%2f..{path}"),
        format!("/metrics;{path}"),
        format!("/open-referral/..{path}"),
        format!("{head}%2f{last}"),
        format!("{head}%2F{last}"),
        format!("{head}%5c{last}"),
        format!("{head}\\{last}"),
        format!("{path};a=b"),
        format!("{head};a=b/{last}"),
        format!("{path}%00"),
        format!("{path}%00.json"),
        format!("{path}%20"),
        format!("{path}%09"),
        format!("{path}%0d%0aX-A:%20b"),
        format!("{path}%c0%af"),
        format!("{head}%c0%af{last}"),
        format!("{head}/%c0%ae%c0%ae/{last}"),
        format!("{head}/%ef%bc%8e%ef%bc%8e/{last}"),
        format!("{path}%ff"),
        format!("{path}.json"),
        format!("{path}#a"),
        format!("{head}/{as_code}{}", &last[1..]),
        format!("{head}/%25{}{}", &as_code[1..], &last[1..]),
        path.to_uppercase(),
        path.to_lowercase(),
        format!("/fhir/fhir{}", path.trim_start_matches("/fhir")),
        format!("http://elsewhere.example{path}"),
        format!("https://127.0.0.1{path}"),
        format!("http://a:b@elsewhere.example{path}"),
        format!("file://{path}"),
    ];
    all.sort();
    all.dedup();
    all
}

async fn get(hub: &Hub, path: &str, token: Option<&str>, more: &str) -> Answers {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: onward\r\nAccept: application/fhir+json\r\n{token}{more}Connection: close\r\n\r\n"
    );
    send(hub, head.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_written_otherwise_leads_nowhere_else() {
    let scene = Scene::set(None).await;
    let hub = &scene.hub;
    let (task, patient) = (&scene.theirs["Task"][0], &scene.theirs["Patient"][0]);
    let id = |of: &serde_json::Value| of["id"].as_str().unwrap().to_owned();
    let paths = [
        format!("/fhir/Task/{}", id(task)),
        format!("/fhir/Task/{}/$package", id(task)),
        format!("/fhir/Patient/{}", id(patient)),
        format!("/fhir/Patient/{}/_history/1", id(patient)),
        "/fhir/Task".to_owned(),
        "/fhir/ServiceRequest/_history".to_owned(),
        "/directory/proposals".to_owned(),
    ];
    let (gp, rio) = (token_of(GP), token_of(RIO));
    let mut to_the_same = 0;
    for path in &paths {
        let plain = get(hub, path, Some(&gp), "").await;
        let plain = (plain.statuses(), without_ids_and_times(&plain.0[0].2));
        for trick in tricks(path) {
            let open = get(hub, &trick, None, "").await;
            for (status, _, body) in &open.0 {
                let refused = matches!(status, 400 | 401 | 404 | 405 | 414 | 501);
                assert!(refused && !body.contains(MARK), "nobody at {trick}: {status} {body}");
            }
            let other = get(hub, &trick, Some(&rio), "").await;
            for (status, _, body) in &other.0 {
                assert!(!body.contains(MARK) && *status < 500, "another at {trick}: {status} {body}");
            }
            let own = get(hub, &trick, Some(&gp), "").await;
            let Some((status, _, body)) = own.0.first() else { continue };
            if *status == 200 {
                // the same thing said otherwise: a letter by its code, another host, an empty end
                to_the_same += 1;
                same(&plain.1, &without_ids_and_times(body), &trick);
            } else {
                assert!(matches!(status, 400 | 403 | 404 | 405 | 414), "{trick}: {status} {body}");
            }
        }
    }
    println!("{to_the_same} of the spellings lead to the same");

    // what a proxy may say of a request is nothing here
    for more in [
        "X-Original-URL: /health/live\r\n",
        "X-Rewrite-URL: /health/live\r\n",
        "X-HTTP-Method-Override: OPTIONS\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n",
        "X-Forwarded-User: steward anna\r\nX-Remote-User: anna\r\n",
        "Forwarded: for=127.0.0.1;host=localhost;proto=https\r\n",
        "X-Client-Cert: anna\r\nX-SSL-Client-Verify: SUCCESS\r\nSSL-Client-Cert: anna\r\n",
        "Cookie: session=a; __Host-session=a\r\n",
        "Authorization: Basic YW5uYTphbm5h\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: \r\n",
    ] {
        let answer = get(hub, &paths[0], None, more).await;
        assert_eq!(answer.statuses(), [401], "{more}");
        let beside = get(hub, "/health/live", None, &more.replace("/health/live", &paths[0])).await;
        assert_eq!(beside.statuses(), [200], "{more}");
        assert!(!beside.0[0].2.contains(MARK));
    }
    // nor is a token in a URL or a cookie, and of two it is not said which holds
    for path in [format!("{}?access_token={gp}", paths[0]), format!("{}?token={gp}", paths[0])] {
        assert_eq!(get(hub, &path, None, "").await.statuses(), [401], "{path}");
    }
    let two = format!("Authorization: Bearer {rio}\r\n");
    for (first, more) in [(&gp, &two), (&rio, &format!("Authorization: Bearer {gp}\r\n"))] {
        let answer = get(hub, &paths[0], Some(first), more).await;
        assert_eq!(answer.statuses(), [401], "two tokens");
    }
    // a batch takes no other way than its entries' own paths
    let own = hub.actor(None);
    let urls: Vec<String> = tricks("/fhir/metadata")
        .into_iter()
        .chain(["../metrics", "/../../metrics", "..%2fmetrics", "//metrics"].map(str::to_owned))
        .collect();
    let answer = super::crossing::batch(&urls).by(&hub.sender(GP)).await;
    assert_eq!(answer.status, 200);
    for (url, entry) in urls.iter().zip(answer.json()["entry"].as_array().unwrap()) {
        assert!(!entry.to_string().contains("onward_"), "{url} leads to figures: {entry}");
    }
    assert_eq!(Ask::get("/health/live").by(&own).await.status, 200);
    scene.hub.stop().await;
}
