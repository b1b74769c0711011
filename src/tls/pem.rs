//! What certificate files hold.

use std::{fs, path::Path};

use aws_lc_rs::digest;
use jiff::Timestamp;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject as _},
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};
use zeroize::Zeroizing;

use super::TlsError;

fn told(file: &Path, what: &'static str, error: Error) -> TlsError {
    let file = file.to_owned();
    match error {
        Error::Io(why) => TlsError::Unreadable { file, why },
        Error::NoItemsFound => TlsError::Empty { file, what },
        // what stands in a key file is told to nobody
        _ => TlsError::Unusable { file, why: format!("is no PEM with a {what}") },
    }
}

/// All certificates of a file, one at least.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WHAT: &str = "certificate";
    let all = CertificateDer::pem_file_iter(file).map_err(|error| told(file, WHAT, error))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|error| told(file, WHAT, error))?;
    if all.is_empty() { Err(TlsError::Empty { file: file.to_owned(), what: WHAT }) } else { Ok(all) }
}

/// The first key of a file.
pub(super) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    // its text is wiped once it is read; what is made of it is the TLS library's
    let text = Zeroizing::new(fs::read(file).map_err(|error| told(file, "key", Error::Io(error)))?);
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| told(file, "key", error))
}

/// From when to when a certificate holds.
pub(super) fn holds(certificate: &X509Certificate<'_>) -> (Timestamp, Timestamp) {
    let moment = |at: x509_parser::time::ASN1Time| Timestamp::from_second(at.timestamp()).unwrap_or(Timestamp::MAX);
    let validity = certificate.validity();
    (moment(validity.not_before), moment(validity.not_after))
}

/// When the first ends of the certificates that a client has just been believed. One behind the first that has ended already was not needed.
pub(super) fn shown_until(all: &[CertificateDer<'_>], now: Timestamp) -> Timestamp {
    // what cannot be read says nothing that could be believed
    let end = |one: &CertificateDer<'_>| parse_x509_certificate(one).map_or(Timestamp::MIN, |(_, read)| holds(&read).1);
    let mut ends = all.iter().map(end);
    let first = ends.next().unwrap_or(Timestamp::MIN);
    ends.filter(|end| *end > now).fold(first, Timestamp::min)
}

/// Whether a key lies in a file, beside whatever else does.
pub(super) fn has_key(file: &Path) -> bool {
    key(file).is_ok()
}

/// Who may do what, with a file that holds a secret, that nobody but Onward should; nothing where it lies as it should.
pub(super) fn open_to(file: &Path) -> Option<&'static str> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(file).ok()?.permissions().mode();
    match (mode & 0o004 != 0, mode & 0o022 != 0) {
        (true, true) => Some("whoever is on this machine may read, and others than its owner may change"),
        (true, false) => Some("whoever is on this machine may read"),
        (false, true) => Some("others than its owner may change"),
        (false, false) => None,
    }
}

/// Who may change a file that nobody but its owner should; nothing where it lies as it should.
pub(super) fn changed_by(file: &Path) -> Option<&'static str> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(file).ok()?.permissions().mode();
    (mode & 0o022 != 0).then_some("others than its owner may change")
}

/// The SHA-256 of a certificate.
pub(super) fn sha256(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest::digest(&digest::SHA256, certificate);
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// The DNS names of a certificate's subjectAltName, in small letters (RFC 6125, 6.4.4: the common name is none).
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return vec![] };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return vec![] };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(dns).collect()
}
