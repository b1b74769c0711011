//! Which versions and suites are spoken.

use std::collections::BTreeSet;

use super::{NAME, Secured, curl, has_tools, s_client, secured, secured_by};

/// Everything that this OpenSSL can offer of TLS 1.2, the weak included.
fn all_suites() -> Vec<String> {
    let output = std::process::Command::new("openssl")
        .args(["ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"])
        .output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    said.trim().split(':').filter(|name| !name.starts_with("TLS_")).map(str::to_owned).collect()
}

/// Forward secrecy and authenticated encryption, for this kind of key: no others.
async fn speaks(it: Secured, current: [&str; 3]) {
    let roots = it.servers.file().to_str().unwrap().to_owned();
    for old in ["-tls1", "-tls1_1"] {
        let (agreed, said) = s_client(it.port, &[old, "-cipher", "ALL:@SECLEVEL=0", "-CAfile", &roots]).await;
        assert!(!agreed && said.contains("SSL alert number"), "{old}: {said}");
    }
    let suites = all_suites();
    assert!(suites.iter().any(|name| name == "AES128-SHA") && suites.len() > 30, "weak ones are offered: {suites:?}");
    let mut spoken = BTreeSet::new();
    for suite in &suites {
        let offered = format!("{suite}:@SECLEVEL=0");
        let (agreed, said) = s_client(it.port, &["-tls1_2", "-cipher", &offered, "-CAfile", &roots]).await;
        if agreed {
            assert!(said.contains(suite.as_str()), "{said}");
            spoken.insert(suite.as_str());
        }
    }
    assert_eq!(spoken, current.into());
    let (agreed, said) = s_client(it.port, &["-tls1_3", "-CAfile", &roots]).await;
    assert!(agreed && said.contains("TLSv1.3"), "{said}");
    // and it goes on to serve, over both versions of HTTP
    for version in ["--http1.1", "--http2"] {
        let (status, body) = curl(it.port, it.servers.file(), "/health/live", &[version]).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }
    it.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_and_weak_suites_are_refused_one_by_one() {
    if !has_tools("tls::suites") {
        return;
    }
    let current = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"];
    speaks(secured("", "", "").await, current).await;
}

/// A certificate of an RSA key, as most authorities still give them: not the suites in which that key itself carries the secret.
#[tokio::test(flavor = "multi_thread")]
async fn with_an_rsa_key_the_same_is_spoken() {
    if !has_tools("tls::suites") {
        return;
    }
    let current = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"];
    speaks(secured_by(|servers| servers.issue_rsa("own", &[NAME]), "", "", "", "").await, current).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_who_it_should_be_is_refused_by_its_clients() {
    if !has_tools("tls::suites") {
        return;
    }
    let it = secured("", "", "").await;
    // the wrong authority, and the wrong name
    let why = curl(it.port, it.clients.file(), "/health/live", &[]).await.unwrap_err();
    assert!(why.contains("certificate"), "{why}");
    let (agreed, said) =
        s_client(it.port, &["-CAfile", it.servers.file().to_str().unwrap(), "-verify_hostname", "other.example"]).await;
    assert!(!agreed && said.to_lowercase().contains("hostname mismatch"), "{said}");
    it.hub.stop().await;
}
