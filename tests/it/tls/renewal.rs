//! A certificate that is renewed, ends, or is broken while the service runs.

use serde_json::Value;

use super::{NAME, curl, has_tools, s_client, secured};
use crate::support::{hub::Hub, until};

/// What health says of the certificate.
async fn health(hub: &Hub) -> Value {
    let ready = hub.actor(None).get("/health/ready").await.json();
    ready["parts"]["certificate"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_taken_up_and_one_that_cannot_be_used_is_not() {
    if !has_tools("tls::renewal") {
        return;
    }
    let it = secured("", "", "").await;
    assert_eq!(health(&it.hub).await["state"], "ready");
    // one that ends this month: taken up by itself, and told
    let soon = jiff::Zoned::now().date().checked_add(jiff::Span::new().days(5)).unwrap();
    let day = (i32::from(soon.year()), u8::try_from(soon.month()).unwrap(), u8::try_from(soon.day()).unwrap());
    it.servers.issue_until("own", &[NAME], day);
    let told = until("the one that ends soon is in use", || async {
        let told = health(&it.hub).await;
        (told["state"] == "degraded").then_some(told)
    })
    .await;
    assert!(told["detail"].as_str().unwrap().contains("ends in 4 days"), "{told}");
    assert!(told["advice"].as_str().unwrap().contains("get another one"), "{told}");
    let metrics = it.hub.actor(None).get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body);
    let line = metrics.lines().find(|line| line.starts_with("onward_certificate_expires_timestamp_seconds{")).unwrap();
    let shown: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    let expected = soon.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second() as f64;
    assert!((shown - expected).abs() < 1.0, "{line}");
    // one that has ended, a key of another, no certificate at all: the one before stays in use
    let key = std::fs::read(&it.own.key).unwrap();
    let certificate = std::fs::read(&it.own.certificate).unwrap();
    let broken: [(&str, &dyn Fn()); 3] = [
        ("and not now", &|| {
            it.servers.issue_until("own", &[NAME], (2021, 1, 1));
        }),
        ("is not the key", &|| {
            std::fs::write(&it.own.certificate, &certificate).unwrap();
            let other = it.servers.issue("other", &[NAME]);
            std::fs::copy(other.key, &it.own.key).unwrap();
        }),
        ("holds no certificate", &|| std::fs::write(&it.own.certificate, "nothing of use").unwrap()),
    ];
    for (expected, break_it) in broken {
        break_it();
        until(expected, || async {
            let told = health(&it.hub).await;
            told["detail"].as_str().unwrap().contains(expected).then_some(())
        })
        .await;
        let (status, _) = curl(it.port, it.servers.file(), "/health/live", &[]).await.unwrap();
        assert_eq!(status, 200, "{expected}");
    }
    std::fs::write(&it.own.key, key).unwrap();
    std::fs::write(&it.own.certificate, certificate).unwrap();
    it.servers.issue("own", &[NAME]);
    until("a good one is in use again", || async { (health(&it.hub).await["state"] == "ready").then_some(()) }).await;
    it.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_ended_at_the_start_is_refused_by_clients_and_told() {
    if !has_tools("tls::renewal") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let servers = super::Authority::new(folder.path(), "servers");
    let ended = servers.issue_until("ended", &[NAME], (2021, 1, 1));
    let listener = format!(
        "[[listener]]\nlisten = \"127.0.0.1:0\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}\n",
        ended.certificate.display(),
        ended.key.display()
    );
    let hub = Hub::build().sections(&listener).start().await;
    let port = hub.service().addresses()[1].port();
    let checked = crate::cli::run(hub.folder(), &["check"]);
    assert!(checked.code == 1 && checked.err.contains("the certificate has ended"), "{checked:?}");
    let told = health(&hub).await;
    assert_eq!(told["state"], "unavailable", "{told}");
    assert!(told["detail"].as_str().unwrap().contains("has ended"), "{told}");
    let (agreed, said) = s_client(port, &["-CAfile", servers.file().to_str().unwrap()]).await;
    assert!(!agreed && said.contains("expired"), "{said}");
    hub.stop().await;
}
