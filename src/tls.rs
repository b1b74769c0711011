//! TLS where Onward is spoken to: TLS 1.2 and 1.3 with the suites that rustls holds current, a certificate that is taken anew when its
//! files change, and clients that show one of their own. What a name in a client's certificate is worth is the registry's to say.

mod chain;
pub mod look;
mod pem;
mod shower;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::config::{Clients, Tls};

pub use shower::Shower;

/// A certificate that ends so soon is told: renewing one takes a trust's IT team and its authority a while.
pub const TOLD_BEFORE: SignedDuration = SignedDuration::from_hours(21 * 24);

/// No connection over which a client showed a certificate is kept longer.
const CONNECTION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Why a listener's certificate cannot be used, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read ({why}); the user that Onward runs as must be able to", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A file holds nothing of what it should.
    #[error("{}: holds no {what} in PEM", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A file holds something else.
    #[error("{}: {why}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The certificate does not hold yet, or no longer.
    #[error("{}: {} holds from {from} to {to}, and not now; get another one", file.display(), whose(authority.as_deref()))]
    OutOfDate {
        /// The file.
        file: PathBuf,
        /// Whose certificate it is, where it is one of those behind the first.
        authority: Option<String>,
        /// From when on it holds.
        from: Timestamp,
        /// Until when.
        to: Timestamp,
    },
}

/// When it ends that a certificate can be shown: with the first that ends of it and those behind it that lead to its authority, for whoever
/// is shown them needs each. The authority's own does not count: whoever trusts it has it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// Since when that one holds.
    pub from: Timestamp,
    /// When it ends.
    pub at: Timestamp,
    /// Whose it is, as its subject says; none: it is the first itself.
    pub authority: Option<String>,
}

/// What a client's certificate says, which one of the listener's authorities has signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The DNS names of its subjectAltName, in small letters.
    pub names: Vec<String>,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// For how long what a client showed when its connection began counts: until the first of its certificates ends, or the listener has other files,
/// its authorities among them. Over the connection nothing more is taken then; who agrees anew is looked at anew.
#[derive(Debug, Clone)]
pub struct Holds {
    until: Instant,
    others: CancellationToken,
}

/// The authorities that others are known by, in a file as it lay when it was read.
pub struct Authorities {
    stamps: Vec<Stamp>,
    ends: Ends,
}

/// Takes connections over TLS.
pub struct Acceptor {
    tls: Tls,
    http2: bool,
    current: ArcSwap<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamps: Vec<Stamp>,
    ends: Ends,
    /// Ended where another one is in use.
    others: CancellationToken,
}

/// A file as it lay when it was read.
type Stamp = Option<(SystemTime, u64)>;

// === impl Authorities ===

impl Authorities {
    /// Reads the file; none where it is as it was before. It blocks for that long.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn renewed(file: &Path, before: Option<&Self>) -> Result<Option<Self>, TlsError> {
        // looked at before the file is read: what changes meanwhile is seen at the next look
        let stamps = stamps_of(&[file]);
        if before.is_some_and(|before| before.stamps == stamps) {
            return Ok(None);
        }
        Ok(Some(Self { stamps, ends: chain::authorities_end(file)? }))
    }

    /// When the first of them ends; not one that another of its name follows, as where they are renewed.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }
}

// === impl Acceptor ===

impl Acceptor {
    /// Reads certificate, key and authorities. One that is out of date is taken: clients refuse it, and health says why.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn open(tls: Tls, http2: bool) -> Result<Self, TlsError> {
        let current = read(&tls, http2)?;
        Ok(Self { tls, http2, current: ArcSwap::from_pointee(current) })
    }

    /// Takes files that have changed since; whether there was something to take. What cannot be used, or does not hold now, changes
    /// nothing: the certificate before stays. It reads files and blocks for that long.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn renew(&self, now: Timestamp) -> Result<bool, TlsError> {
        if stamps(&self.tls) == self.current.load().stamps {
            return Ok(false);
        }
        let found = read(&self.tls, self.http2)?;
        if found.ends.at <= now {
            let Ends { from, at: to, authority } = found.ends;
            return Err(TlsError::OutOfDate { file: self.tls.certificate.clone(), authority, from, to });
        }
        self.current.swap(Arc::new(found)).others.cancel();
        Ok(true)
    }

    /// The file with the authorities whose certificates clients show, where they are asked.
    pub fn roots(&self) -> Option<&Path> {
        match &self.tls.clients {
            Clients::Asked { roots, .. } => Some(roots),
            Clients::Unasked => None,
        }
    }

    /// When the certificate in use ends, or one of those behind it.
    pub fn ends(&self) -> Ends {
        self.current.load().ends.clone()
    }

    /// Agrees on TLS over a connection; what the client showed and for how long that counts, where it showed a certificate.
    ///
    /// # Errors
    /// Where they do not agree: the client speaks no version or suite of ours, shows no certificate where one is required, or one of
    /// another authority.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<(Shown, Holds)>)> {
        let (config, others) = {
            let current = self.current.load();
            (Arc::clone(&current.config), current.others.clone())
        };
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let all = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let shown = all.first().map(|certificate| {
            let shown = Shown { names: pem::names(certificate), sha256: pem::sha256(certificate) };
            let now = Timestamp::now();
            // below zero where it has just ended
            let left = Duration::try_from(pem::shown_until(all, now).duration_since(now)).unwrap_or_default();
            (shown, Holds { until: Instant::now() + left.min(CONNECTION_MAX), others })
        });
        Ok((stream, shown))
    }
}

// === impl Holds ===

impl Holds {
    /// Ends when it counts no more.
    pub async fn over(&self) {
        tokio::select! {
            () = tokio::time::sleep_until(self.until) => {}
            () = self.others.cancelled() => {}
        }
    }
}

fn whose(authority: Option<&str>) -> String {
    authority.map_or("the certificate".to_owned(), |subject| format!("the certificate of {subject} in it"))
}

fn files(tls: &Tls) -> Vec<&Path> {
    let mut files = vec![tls.certificate.as_path(), tls.key.as_path()];
    if let Clients::Asked { roots, .. } = &tls.clients {
        files.push(roots);
    }
    files
}

fn stamps(tls: &Tls) -> Vec<Stamp> {
    stamps_of(&files(tls))
}

fn stamps_of(files: &[&Path]) -> Vec<Stamp> {
    let stamp = |file: &&Path| {
        let about = std::fs::metadata(file).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    files.iter().map(stamp).collect()
}

fn read(tls: &Tls, http2: bool) -> Result<Current, TlsError> {
    // looked at before the files are read: what changes meanwhile is seen at the next look
    let stamps = stamps(tls);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = pem::certificates(&tls.certificate)?;
    let key = pem::key(&tls.key)?;
    let ends = chain::ends(&tls.certificate, &chain)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&tls.certificate, &error))?;
    let builder = match &tls.clients {
        Clients::Unasked => builder.with_no_client_auth(),
        Clients::Asked { roots, required } => builder.with_client_cert_verifier(verifier(roots, *required, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Unusable { file: tls.key.clone(), why: "is not the key of the certificate".to_owned() }
        }
        error => unusable(&tls.certificate, &error),
    })?;
    if let Clients::Asked { .. } = &tls.clients {
        // who resumes a session shows nothing anew, and would be let in for as long as it goes on, whatever its certificate has become
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Current { config: Arc::new(config), stamps, ends, others: CancellationToken::new() })
}

fn verifier(
    roots: &Path,
    required: bool,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut trusted = RootCertStore::empty();
    for certificate in pem::certificates(roots)? {
        trusted.add(certificate).map_err(|error| unusable(roots, &error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider);
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| unusable(roots, &error))
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> TlsError {
    TlsError::Unusable { file: file.to_owned(), why: format!("cannot be used: {why}") }
}
