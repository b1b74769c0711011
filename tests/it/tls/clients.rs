//! Clients that show a certificate.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Authority, NAME, curl, has_tools, s_client, secured, secured_by};
use crate::support::hub::{GP, RIO, token_of};

const RIO_NAME: &str = "rio.merseycare.example";
const LINES: &str = "certificate-names = [\"rio.merseycare.example\", \"rio2.merseycare.example\"]";

fn bearer(id: &str) -> String {
    format!("Authorization: Bearer {}", token_of(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_is_required_only_the_right_ones_get_in() {
    if !has_tools("tls::clients") {
        return;
    }
    let it = secured("required", LINES, "").await;
    let roots = it.servers.file();
    let rio = bearer(RIO);
    let path = "/fhir/Task?_count=0";
    let none = curl(it.port, roots, path, &["--header", &rio]).await;
    assert!(none.is_err(), "{none:?}");
    let good = it.clients.issue("rio", &[RIO_NAME]);
    let (status, body) = curl(it.port, roots, path, &[&good.curl()[..], &["--header", &rio]].concat()).await.unwrap();
    assert_eq!(status, 200, "{body}");
    let others = Authority::new(it.folder.path(), "others");
    for (what, wrong) in [
        ("another authority's", others.issue("stranger", &[RIO_NAME])),
        ("one that has ended", it.clients.issue_until("ended", &[RIO_NAME], (2021, 1, 1))),
    ] {
        let refused = curl(it.port, roots, path, &[&wrong.curl()[..], &["--header", &rio]].concat()).await;
        assert!(refused.is_err(), "{what}: {refused:?}");
        let (_, said) =
            s_client(it.port, &[&wrong.s_client()[..], &["-CAfile", roots.to_str().unwrap(), "-tls1_2"]].concat())
                .await;
        assert!(said.contains("alert"), "{what}: {said}");
    }
    // after all that it serves
    let (status, _) = curl(it.port, roots, path, &[&good.curl()[..], &["--header", &rio]].concat()).await.unwrap();
    assert_eq!(status, 200);
    it.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_worth_nothing_beside_anothers_certificate() {
    if !has_tools("tls::clients") {
        return;
    }
    let it = secured("optional", LINES, "").await;
    let roots = it.servers.file();
    let (rio, gp) = (bearer(RIO), bearer(GP));
    let own = it.clients.issue("rio", &["RIO2.MerseyCare.example"]);
    let other = it.clients.issue("other", &["gp.example", "rio.merseycare.example.evil.example"]);
    let wide = it.clients.issue("wide", &["*.merseycare.example"]);
    let no_name = it.clients.issue("none", &[]);
    for (what, certificate, token, expected) in [
        ("its own, with its token", Some(&own), Some(&rio), 200),
        ("its own, by itself", Some(&own), None, 200),
        ("its own, with a token that nobody has", Some(&own), Some(&"Authorization: Bearer nobody".to_owned()), 401),
        ("none, with the token of who has a name", None, Some(&rio), 401),
        ("another's, with a stolen token", Some(&other), Some(&rio), 401),
        ("one with a wildcard", Some(&wide), Some(&rio), 401),
        ("one without names", Some(&no_name), Some(&rio), 401),
        ("another's, by itself", Some(&other), None, 401),
        ("another's, with the token of who has no name", Some(&other), Some(&gp), 200),
        ("none, with the token of who has no name", None, Some(&gp), 200),
        ("none and no token", None, None, 401),
    ] {
        let mut arguments: Vec<&str> = vec![];
        if let Some(certificate) = certificate {
            arguments.extend(certificate.curl());
        }
        if let Some(token) = token {
            arguments.extend(["--header", token]);
        }
        let (status, body) = curl(it.port, roots, "/fhir/Task?_count=0", &arguments).await.unwrap();
        assert_eq!(status, expected, "{what}: {body}");
    }
    // over the listener in clear nothing shows whose the token is
    let status = it.hub.sender(RIO).get("/fhir/Task?_count=0").await.status;
    assert_eq!(status.as_u16(), 401);
    it.hub.stop().await;
}

/// What one of them may not is not to be had by a certificate that is another's as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_the_names_of_two_clients_stands_for_neither_by_itself() {
    if !has_tools("tls::clients") {
        return;
    }
    let narrow = format!("{LINES}\nscopes = [\"system/Task.rs\"]");
    let other = "[[system]]\nid = \"ward\"\nname = \"Ward\"\nods-code = \"N99999\"\n\
                 certificate-names = [\"ward.example\"]\nscopes = [\"system/Task.rs\"]\n";
    let it = secured_by(|servers| servers.issue("own", &[NAME]), "optional", &narrow, "", other).await;
    let roots = it.servers.file();
    let rio = bearer(RIO);
    let own = it.clients.issue("rio", &[RIO_NAME]);
    let others = it.clients.issue("ward", &["ward.example"]);
    let both = it.clients.issue("both", &[RIO_NAME, "ward.example"]);
    for (what, certificate, token, path, expected) in [
        ("one's, what it may", &own, None, "/fhir/Task?_count=0", 200),
        ("one's, what it may not", &own, None, "/fhir/ServiceRequest?_count=0", 403),
        ("the other's, what it may not", &others, None, "/fhir/ServiceRequest?_count=0", 403),
        ("both, what each may", &both, None, "/fhir/Task?_count=0", 401),
        ("both, what neither may", &both, None, "/fhir/ServiceRequest?_count=0", 401),
        ("both, with a token, what its client may", &both, Some(&rio), "/fhir/Task?_count=0", 200),
        ("both, with a token, what its client may not", &both, Some(&rio), "/fhir/ServiceRequest?_count=0", 403),
    ] {
        let token = token.map(|token| ["--header", token.as_str()]);
        let arguments = [&certificate.curl()[..], token.as_ref().map_or(&[], |token| &token[..])].concat();
        let (status, body) = curl(it.port, roots, path, &arguments).await.unwrap();
        assert_eq!(status, expected, "{what}: {body}");
        assert_eq!(status == 401, body.contains("the names of several clients"), "{what}: {body}");
    }
    it.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_agree_in_time_does_not_keep_a_place() {
    let it = secured("required", "", "header-timeout = \"1s\"\nconnections = 1").await;
    let began = tokio::time::Instant::now();
    let mut slow = tokio::net::TcpStream::connect(("127.0.0.1", it.port)).await.unwrap();
    // the beginning of a handshake, and no more
    slow.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it was held open");
    assert!(began.elapsed() >= Duration::from_millis(900), "it had its time");
    // what is no TLS at all ends at once
    let mut clear = tokio::net::TcpStream::connect(("127.0.0.1", it.port)).await.unwrap();
    clear.write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), clear.read_to_end(&mut said)).await.unwrap();
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    it.hub.stop().await;
}
