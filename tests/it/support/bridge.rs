//! Takes bytes in clear and hands them on over TLS, so that what is written by hand reaches a listener over TLS as it is.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

/// See the module's documentation. It ends when dropped.
pub struct Bridge {
    /// Where it listens.
    pub at: String,
    taking: JoinHandle<()>,
}

impl Bridge {
    /// To a listener of this name on this machine, over which `protocol` is spoken (`h2`, `http/1.1`).
    pub async fn start(port: u16, name: &'static str, roots: &Path, protocol: &str) -> Self {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(roots).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(trusted).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let (connector, protocol) = (TlsConnector::from(Arc::new(config)), protocol.as_bytes().to_vec());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let taking = tokio::spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let (connector, protocol) = (connector.clone(), protocol.clone());
                tokio::spawn(async move {
                    let Ok(there) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let name = ServerName::try_from(name).unwrap();
                    let Ok(mut there) = connector.connect(name, there).await else { return };
                    assert_eq!(there.get_ref().1.alpn_protocol(), Some(protocol.as_slice()));
                    let _ = copy_bidirectional(&mut plain, &mut there).await;
                });
            }
        });
        Self { at, taking }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.taking.abort();
    }
}
