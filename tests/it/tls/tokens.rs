//! Access tokens that were given beside a certificate are worth nothing beside another (RFC 8705, 3).

use serde_json::Value;

use super::{Issued, Secured, curl, has_tools, secured};
use crate::{
    oauth::{signer::Signer, with_keys},
    support::hub::RIO,
};

const NAME: &str = "rio.merseycare.example";

/// What is given to Mersey Care, which shows this certificate, or none.
async fn ask(it: &Secured, signer: &Signer, shown: Option<&Issued>) -> (u16, Value) {
    let assertion = signer.assertion(&format!("system/{RIO}"), &format!("{}/oauth/token", it.hub.base_url));
    let form = [
        "grant_type=client_credentials".to_owned(),
        "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
        format!("client_assertion={assertion}"),
        "scope=system/Task.rs".to_owned(),
    ];
    let mut arguments: Vec<&str> = form.iter().flat_map(|one| ["--data-urlencode", one.as_str()]).collect();
    arguments.extend(shown.iter().flat_map(|shown| shown.curl()));
    let (status, body) = curl(it.port, it.servers.file(), "/oauth/token", &arguments).await.unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

/// The status that a token gets beside this certificate, or none.
async fn with(it: &Secured, token: &str, shown: Option<&Issued>) -> u16 {
    let header = format!("Authorization: Bearer {token}");
    let mut arguments = vec!["--header", header.as_str()];
    arguments.extend(shown.iter().flat_map(|shown| shown.curl()));
    curl(it.port, it.servers.file(), "/fhir/Task?_count=0", &arguments).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_bound_to_the_certificate_beside_which_it_was_given() {
    if !has_tools("tls::tokens") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let it = secured("optional", &with_keys(folder.path(), &[&signer], &[]), "").await;
    let (own, other) = (it.clients.issue("own-one", &[NAME]), it.clients.issue("other-one", &[NAME]));
    let (status, given) = ask(&it, &signer, Some(&own)).await;
    assert_eq!(status, 200, "{given}");
    let bound = given["access_token"].as_str().unwrap();
    assert_eq!(with(&it, bound, Some(&own)).await, 200);
    assert_eq!(with(&it, bound, Some(&other)).await, 401, "stolen, though that certificate is of the same name");
    assert_eq!(with(&it, bound, None).await, 401);
    assert_eq!(it.hub.actor(Some(bound)).get("/fhir/Task").await.status, 401, "nor in clear");
    // one that was given to who showed none is bound to none
    let (_, free) = ask(&it, &signer, None).await;
    let free = free["access_token"].as_str().unwrap();
    for shown in [None, Some(&own), Some(&other)] {
        assert_eq!(with(&it, free, shown).await, 200);
    }
    it.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_name_gets_nothing_without_its_certificate() {
    if !has_tools("tls::tokens") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::es384("k");
    let lines = format!("certificate-names = [\"{NAME}\"]\n{}", with_keys(folder.path(), &[&signer], &[]));
    let it = secured("optional", &lines, "").await;
    let (own, other) = (it.clients.issue("own-one", &[NAME]), it.clients.issue("other-one", &["gp.example"]));
    for wrong in [None, Some(&other)] {
        let (status, refused) = ask(&it, &signer, wrong).await;
        assert_eq!((status, refused["error"].as_str()), (401, Some("invalid_client")));
    }
    let (status, given) = ask(&it, &signer, Some(&own)).await;
    assert_eq!(status, 200, "{given}");
    assert_eq!(with(&it, given["access_token"].as_str().unwrap(), Some(&own)).await, 200);
    it.hub.stop().await;
}
