//! What is wrong, or looks wrong, with a certificate and those behind it in its file, which lead to its authority (RFC 5246, 7.4.2;
//! RFC 8446, 4.4.2): as far as it can be seen without whoever it will be shown to.

use std::path::Path;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::ParsedExtension, parse_x509_certificate};

use super::{
    TlsError,
    look::{Looked, out_of_date},
    pem,
};

/// Signatures over SHA-1 and MD5 (RFC 3279, 2.2; RFC 5758): nobody believes them any more (RFC 9155).
const WEAK: [&str; 5] =
    ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.3.14.3.2.29", "1.2.840.10040.4.3", "1.2.840.10045.4.1"];

/// As what a certificate is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShownAs {
    /// By a listener.
    Server,
    /// To an endpoint.
    Client,
}

/// A certificate of such a file.
#[derive(Debug)]
struct Link {
    /// Whose it is, as it says.
    subject: String,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    /// By what its key and that of its issuer are known, where it says so (RFC 5280, 4.2.1.1 and 4.2.1.2).
    key: Option<Vec<u8>>,
    issuer_key: Option<Vec<u8>>,
    holds: (Timestamp, Timestamp),
    is_authority: bool,
    /// For whom it may be shown; none where it says nothing of that.
    server_and_client: Option<(bool, bool)>,
    is_weak: bool,
}

// === impl Link ===

impl Link {
    fn of(file: &Path, certificate: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let unusable = |why: String| TlsError::Unusable { file: file.to_owned(), why };
        let parsed = parse_x509_certificate(certificate);
        let (_, parsed) = parsed.map_err(|error| unusable(format!("is no certificate: {error}")))?;
        let usage = parsed.extended_key_usage().map_err(|error| unusable(format!("is no certificate: {error}")))?;
        Ok(Self {
            subject: parsed.subject().to_string(),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            key: key(&parsed, |extension| match extension {
                ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0),
                _ => None,
            }),
            issuer_key: key(&parsed, |extension| match extension {
                ParsedExtension::AuthorityKeyIdentifier(of) => of.key_identifier.as_ref().map(|key| key.0),
                _ => None,
            }),
            holds: pem::holds(&parsed),
            is_authority: parsed.is_ca(),
            server_and_client: usage.map(|usage| {
                let usage = usage.value;
                (usage.any || usage.server_auth, usage.any || usage.client_auth)
            }),
            is_weak: WEAK.contains(&parsed.signature_algorithm.algorithm.to_id_string().as_str()),
        })
    }

    /// Whether `other` says that it has issued this one.
    fn is_issued_by(&self, other: &Self) -> bool {
        let keys = self.issuer_key.as_ref().zip(other.key.as_ref());
        self.issuer_der == other.subject_der && keys.is_none_or(|(one, other)| one == other)
    }

    /// Whether it is its own authority: whoever trusts it has it already, and looks at neither its signature nor its file.
    fn is_root(&self) -> bool {
        self.is_issued_by(self)
    }
}

fn key<'c>(
    parsed: &'c X509Certificate<'_>,
    of: impl Fn(&'c ParsedExtension<'c>) -> Option<&'c [u8]>,
) -> Option<Vec<u8>> {
    parsed.iter_extensions().find_map(|extension| of(extension.parsed_extension())).map(<[u8]>::to_vec)
}

/// What a file says that is shown. `whose` begins each sentence: “the certificate shown to inbox a”.
pub(super) fn looked(file: &Path, whose: &str, shown: ShownAs, now: Timestamp) -> Result<Looked, TlsError> {
    let links = pem::certificates(file)?;
    let links: Vec<Link> = links.iter().map(|one| Link::of(file, one)).collect::<Result<_, _>>()?;
    let Some((first, behind)) = links.split_first() else {
        return Err(TlsError::Empty { file: file.to_owned(), what: "certificate" });
    };
    let mut found = of_first(first, whose, shown, now);
    let mut way = first;
    // the way to its authority, in whatever order they lie
    for _ in behind {
        let Some(next) = behind.iter().find(|next| way.is_issued_by(next)).filter(|_| !way.is_root()) else { break };
        let authority = format!("{whose} leads to that of {}, in the same file, which", next.subject);
        let ended = out_of_date(next.holds, now).map(|why| format!("{authority} {why}"));
        let weak = (next.is_weak && !next.is_root()).then(|| weak(&authority));
        if next.is_root() {
            found.risks.extend(ended);
        } else {
            found.faults.extend(ended.into_iter().chain(weak));
        }
        way = next;
    }
    let stray = links.iter().zip(behind).find(|(one, next)| !one.is_issued_by(next));
    found.risks.extend(stray.map(|(one, next)| {
        format!(
            "{whose}: in its file that of {} comes behind that of {}, and has not issued it: put behind each the one of its issuer, for some \
             turn away what does not lead on",
            next.subject, one.subject
        )
    }));
    Ok(found)
}

fn of_first(first: &Link, whose: &str, shown: ShownAs, now: Timestamp) -> Looked {
    let mut found = Looked::default();
    found.faults.extend(out_of_date(first.holds, now).map(|why| format!("{whose} {why}")));
    let may = first.server_and_client.map(|(server, client)| match shown {
        ShownAs::Server => (server, "a server", "serverAuth"),
        ShownAs::Client => (client, "a client", "clientAuth"),
    });
    if let Some((false, what, usage)) = may {
        let told = format!("{whose} is not for {what}, its extended key usage says; get one with {usage}");
        found.faults.push(told);
    }
    if first.is_weak {
        found.faults.push(weak(whose));
    }
    if first.is_authority {
        found.risks.push(format!(
            "{whose} is one of an authority (CA): many turn it away as the certificate of a server or client; get one that the authority has issued"
        ));
    }
    found
}

fn weak(whose: &str) -> String {
    format!("{whose} is signed by way of SHA-1 or MD5, which is not believed any more; get another one")
}

#[cfg(test)]
mod tests;
