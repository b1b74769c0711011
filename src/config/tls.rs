//! Reads `[server.tls]`, `[[listener]]` and `certificate-names`: TLS where Onward is spoken to, and whose certificate is whose.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::toml_reader::{Node, Table, quoted};

/// So many listeners beside that of `[server]`.
const LISTENERS_MAX: usize = 16;
/// So many names of one client.
const NAMES_MAX: usize = 16;
const NAME: &str =
    "a full domain name as the certificate has it (subjectAltName), in small letters, such as \"rio.trust.nhs.uk\"";

/// Where Onward is spoken to, beside `[server] listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub listen: SocketAddr,
    /// How; none: in clear.
    pub tls: Option<Tls>,
}

/// A certificate of Onward's own, and whether clients show theirs. The files are read when it starts and whenever they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those that lead to its authority, in PEM, its own first.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Whether clients show a certificate.
    pub clients: Clients,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    /// They are not asked for one.
    Unasked,
    /// They are asked for one of these authorities.
    Asked {
        /// The authorities' certificates, in PEM.
        roots: PathBuf,
        /// Whether one that shows none is turned away.
        required: bool,
    },
}

// === impl Listener ===

impl Listener {
    pub(super) fn read_all(root: &mut Table<'_>, folder: &Path) -> Vec<Self> {
        let tables = root.tables("listener");
        if tables.len() > LISTENERS_MAX {
            root.fault("listener", format!("found {} listeners; allowed: at most {LISTENERS_MAX}", tables.len()));
        }
        tables.into_iter().take(LISTENERS_MAX).filter_map(|table| Self::read(table, folder)).collect()
    }

    fn read(mut table: Table<'_>, folder: &Path) -> Option<Self> {
        let node = table.need("listen", ADDRESS);
        let tls = Tls::read(&mut table, folder);
        let listen = node.and_then(|node| listen(&node, tls.is_some()));
        table.finish();
        Some(Self { listen: listen?, tls })
    }
}

const ADDRESS: &str = "ADDRESS:PORT, such as \"127.0.0.1:8787\"";

/// An address to listen on.
pub(super) fn listen(node: &Node<'_>, encrypted: bool) -> Option<SocketAddr> {
    let listen: SocketAddr = node.parse(ADDRESS)?;
    if !listen.ip().is_loopback() && !encrypted {
        node.warn("listens beyond this machine without TLS: give it tls, or put TLS before it, or tokens and referrals can be read on the way");
    }
    Some(listen)
}

// === impl Tls ===

impl Tls {
    /// The key `tls` of a table.
    pub(super) fn read(table: &mut Table<'_>, folder: &Path) -> Option<Self> {
        let mut tls = table.get("tls")?.table("a table with certificate and key")?;
        let mut file = |key: &'static str, what: &str| {
            let node = tls.need(key, what)?;
            existing(&node, folder, what)
        };
        let certificate =
            file("certificate", "the path of a PEM file with the certificate and those that lead to its authority");
        let key = file("key", "the path of a PEM file with the certificate's key");
        let roots = tls.get("client-roots");
        let required = tls.get("clients");
        let clients = match (roots, required) {
            (None, None) => Clients::Unasked,
            (None, Some(node)) => {
                node.fault(
                    "clients without client-roots",
                    "client-roots as well: the authorities of their certificates",
                );
                Clients::Unasked
            }
            (Some(roots), required) => {
                let what = "the path of a PEM file with the certificates of the authorities of clients";
                let required = required.and_then(|node| node.choice(&[("optional", false), ("required", true)]));
                let roots = existing(&roots, folder, what)?;
                Clients::Asked { roots, required: required.unwrap_or(true) }
            }
        };
        tls.finish();
        Some(Self { certificate: certificate?, key: key?, clients })
    }
}

pub(super) fn existing(node: &Node<'_>, folder: &Path, what: &str) -> Option<PathBuf> {
    let path = folder.join(node.text(what)?);
    if path.is_file() {
        return Some(path);
    }
    node.fault(&format!("{}, which is no file", path.display()), what);
    None
}

/// `certificate-names`: by which names a client's certificate is known.
pub(super) fn names(table: &mut Table<'_>) -> Vec<String> {
    let nodes = table.get("certificate-names").map(|node| node.items("a list of names")).unwrap_or_default();
    if nodes.len() > NAMES_MAX {
        table.fault("certificate-names", format!("found {} names; allowed: at most {NAMES_MAX}", nodes.len()));
    }
    let mut names = Vec::new();
    for node in nodes.into_iter().take(NAMES_MAX) {
        let Some(text) = node.text(NAME) else { continue };
        if is_name(text) {
            names.push(text.to_owned());
        } else {
            node.fault(&quoted(text), NAME);
        }
    }
    names
}

/// A full domain name (RFC 1035, 2.3.1) of two labels or more: no wildcard, which would bind whoever has any name below.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole_and_in_small_letters() {
        for (text, is) in [
            ("rio.trust.nhs.uk", true),
            ("a1-b.example", true),
            ("localhost", false),
            ("*.trust.nhs.uk", false),
            ("Rio.trust.nhs.uk", false),
            ("rio..uk", false),
            ("-rio.uk", false),
            ("rio.uk.", false),
            ("", false),
        ] {
            assert_eq!(is_name(text), is, "{text}");
        }
    }
}
