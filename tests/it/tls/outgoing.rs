//! Certificates that Onward shows when it connects, and authorities of one endpoint alone.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use onward::{
    client::{CallError, FhirClient, NoConnection},
    config::{Access, Identity, Outbound, registry::Endpoint},
    resolve::{Lookup, Resolver},
};

use super::{NAME, Secured, secured, secured_by};
use crate::support::until;

/// Every name is this machine.
struct Here;

#[async_trait]
impl Lookup for Here {
    async fn look_up(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

fn client() -> FhirClient {
    FhirClient::with_resolver(Resolver::over(Arc::new(Here)), &Outbound::anywhere()).unwrap()
}

fn endpoint(it: &Secured, identity: Option<Identity>) -> Endpoint {
    let access = Access { identity: identity.map(Arc::new), ..Access::default() };
    Endpoint { base_url: format!("https://{NAME}:{}/fhir", it.port), access, timeout: Duration::from_secs(10) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_shown_its_certificate_and_must_show_one_of_its_authorities() {
    let it = secured("required", "", "").await;
    let client = client();
    let own = it.clients.issue("onward-as-client", &["onward.trust.example"]);
    let shown = || Some((own.certificate.clone(), own.key.clone()));
    let roots = || Some(it.servers.file().to_owned());
    let good = endpoint(&it, Some(Identity { shown: shown(), roots: roots() }));
    assert_eq!(client.get(&good, "metadata", &[]).await.unwrap().status, 200);
    // that it wants a certificate is learnt behind the agreement (RFC 8446, 4.4.2.4)
    let none = endpoint(&it, Some(Identity { shown: None, roots: roots() }));
    let answer = client.get(&none, "metadata", &[]).await;
    assert!(matches!(answer, Err(CallError::Connect(NoConnection::TurnedAway) | CallError::Broken)), "{answer:?}");
    for (what, identity) in
        [("the roots of the machine", Some(Identity { shown: shown(), roots: None })), ("nothing at all", None)]
    {
        let answer = client.get(&endpoint(&it, identity), "metadata", &[]).await;
        assert_eq!(answer.unwrap_err(), CallError::Connect(NoConnection::UnknownIssuer), "{what}");
    }
    let gone = Identity { shown: Some(("/nowhere/a.pem".into(), "/nowhere/a.key".into())), roots: roots() };
    let answer = client.get(&endpoint(&it, Some(gone)), "metadata", &[]).await;
    assert!(matches!(&answer, Err(CallError::NoCertificate(why)) if why.contains("/nowhere/a.pem")), "{answer:?}");
    it.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let it = secured("required", "certificate-names = [\"rio.merseycare.example\"]", "").await;
    let client = client();
    // a name that is nobody's first, and then that of Mersey Care in the same files
    let own = it.clients.issue("changing", &["nobody.example"]);
    let identity = Identity { shown: Some((own.certificate, own.key)), roots: Some(it.servers.file().to_owned()) };
    let to = endpoint(&it, Some(identity));
    assert_eq!(client.get(&to, "Task?_count=0", &[]).await.unwrap().status, 401);
    it.clients.issue("changing", &["rio.merseycare.example"]);
    until("the new certificate is shown", || async {
        (client.get(&to, "Task?_count=0", &[]).await.unwrap().status == 200).then_some(())
    })
    .await;
    it.hub.stop().await;
}

/// What is wrong with the certificate of the other side, or with what answers there, is told apart over connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_no_tls_comes_about_is_told() {
    let client = client();
    let roots = |it: &Secured| Some(Identity { shown: None, roots: Some(it.servers.file().to_owned()) });
    let ended = secured_by(|servers| servers.issue_until("ended", &[NAME], (2021, 1, 1)), "", "", "", "").await;
    let answer = client.get(&endpoint(&ended, roots(&ended)), "metadata", &[]).await;
    assert_eq!(answer.unwrap_err(), CallError::Connect(NoConnection::OutOfDate));
    ended.hub.stop().await;
    let it = secured_by(|servers| servers.issue("other", &["other.example"]), "", "", "", "").await;
    let to = endpoint(&it, roots(&it));
    let told = client.get(&to, "metadata", &[]).await.unwrap_err();
    assert_eq!(told, CallError::Connect(NoConnection::WrongName));
    assert_eq!(told.to_string(), "cannot connect: its certificate is for another name");
    // the listener in clear speaks no TLS
    let clear = it.hub.service().addresses()[0].port();
    let to = Endpoint { base_url: format!("https://{NAME}:{clear}/fhir"), ..to };
    let told = client.get(&to, "metadata", &[]).await.unwrap_err();
    assert_eq!(told, CallError::Connect(NoConnection::Handshake));
    it.hub.stop().await;
}
