//! What a client has shown once counts no longer than its certificate, however its connections are kept or begun again.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Authority, Issued, NAME, Secured, secured};
use crate::support::PATIENCE;

const RIO_NAME: &str = "rio.merseycare.example";
const LINES: &str = "certificate-names = [\"rio.merseycare.example\"]";

/// A client that shows this certificate, or none, and begins again what it began before where it can.
fn client(it: &Secured, shown: Option<&Issued>, version: &'static rustls::SupportedProtocolVersion) -> TlsConnector {
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file(it.servers.file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let builder = builder.with_root_certificates(trusted);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let certificate = CertificateDer::from_pem_file(&shown.certificate).unwrap();
            let key = PrivateKeyDer::from_pem_file(&shown.key).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

async fn begun(it: &Secured, client: &TlsConnector) -> TlsStream<TcpStream> {
    let there = TcpStream::connect(("127.0.0.1", it.port)).await.unwrap();
    client.connect(ServerName::try_from(NAME).unwrap(), there).await.unwrap()
}

/// The status line that a connection which stays open gives for a search; none where it is open no more.
async fn status(connection: &mut TlsStream<TcpStream>) -> Option<String> {
    let asked = format!("GET /fhir/Task?_summary=count HTTP/1.1\r\nhost: {NAME}\r\n\r\n");
    connection.write_all(asked.as_bytes()).await.ok()?;
    let mut read = Vec::new();
    let read_on = async {
        // the body says how long it is: as soon as that is there, the next may be asked
        loop {
            let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
            let told = text.split_once("\r\n\r\n").and_then(|(head, body)| {
                let (_, length) = head.split_once("content-length: ")?;
                Some(body.len() >= length.lines().next()?.trim().parse().ok()?)
            });
            if told == Some(true) {
                return Some(text.lines().next().unwrap_or_default().to_owned());
            }
            match connection.read_buf(&mut read).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read_on).await.unwrap()
}

/// Asks over a connection again and again, so that it is never idle, until it is ended.
async fn ended(connection: &mut TlsStream<TcpStream>) {
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let asked = async {
        while let Some(status) = status(connection).await {
            assert!(status.contains(" 200"), "{status}");
            pace.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, asked).await.is_ok(), "it is held open");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_asked_for_each_connection_shows_one_anew() {
    for (clients, resumes) in
        [("", HandshakeKind::Resumed), ("optional", HandshakeKind::Full), ("required", HandshakeKind::Full)]
    {
        let it = secured(clients, if clients.is_empty() { "" } else { LINES }, "").await;
        let shown = it.clients.issue("rio", &[RIO_NAME]);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = client(&it, Some(&shown).filter(|_| !clients.is_empty()), version);
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let mut connection = begun(&it, &client).await;
                // what a session is resumed by comes before the answer
                let answer = status(&mut connection).await.unwrap();
                assert!(answer.contains(if clients.is_empty() { " 401" } else { " 200" }), "{clients}: {answer}");
                kinds.push(connection.get_ref().1.handshake_kind().unwrap());
            }
            assert_eq!(kinds, [HandshakeKind::Full, resumes], "{clients:?} {version:?}");
        }
        it.hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_the_certificate_that_was_shown_over_it() {
    let it = secured("required", LINES, "").await;
    let short = it.clients.issue_for("short", &[RIO_NAME], Duration::from_secs(4));
    let long = it.clients.issue("long", &[RIO_NAME]);
    let (short, long) =
        (client(&it, Some(&short), &rustls::version::TLS13), client(&it, Some(&long), &rustls::version::TLS13));
    let (mut of_short, mut of_long) = (begun(&it, &short).await, begun(&it, &long).await);
    for connection in [&mut of_short, &mut of_long] {
        assert!(status(connection).await.unwrap().contains(" 200"));
    }
    ended(&mut of_short).await;
    assert!(status(&mut of_long).await.is_some_and(|status| status.contains(" 200")), "the other goes on");
    let there = TcpStream::connect(("127.0.0.1", it.port)).await.unwrap();
    let again = short.connect(ServerName::try_from(NAME).unwrap(), there).await;
    // in TLS 1.3 a client learns by its first read that it was refused
    let refused = match again {
        Ok(mut connection) => connection.read_u8().await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    it.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_the_authority_by_which_its_client_was_known() {
    let it = secured("required", LINES, "").await;
    let shown = it.clients.issue("rio", &[RIO_NAME]);
    let mut connection = begun(&it, &client(&it, Some(&shown), &rustls::version::TLS13)).await;
    assert!(status(&mut connection).await.unwrap().contains(" 200"));
    let others = Authority::new(it.folder.path(), "others");
    std::fs::rename(others.file(), it.clients.file()).unwrap();
    ended(&mut connection).await;
    it.hub.stop().await;
}
