//! What is wrong, or looks wrong, with a certificate and those behind it in its file, which lead to its authority (RFC 5246, 7.4.2;
//! RFC 8446, 4.4.2): as far as it can be seen without whoever it will be shown to. And with those of authorities that others are known by.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{
    CertificateError, Error, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime},
    server::{ParsedCertificate, WebPkiClientVerifier},
};
use x509_parser::{
    certificate::X509Certificate,
    extensions::ParsedExtension,
    parse_x509_certificate,
    signature_algorithm::RsaSsaPssParams,
    x509::{AlgorithmIdentifier, X509Version},
};

use super::{
    Ends, TlsError,
    look::{Looked, ends_soon, out_of_date},
    pem,
};

/// Signatures over SHA-1 and MD5 (RFC 3279, 2.2; RFC 5758): nobody believes them any more (RFC 9155).
const WEAK: [&str; 5] =
    ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.3.14.3.2.29", "1.2.840.10040.4.3", "1.2.840.10045.4.1"];
/// RSASSA-PSS, which names the hash in its parameters (RFC 4055, 3.1), …
const PSS: &str = "1.2.840.113549.1.1.10";
/// … and SHA-1 and MD5 there.
const WEAK_HASHES: [&str; 2] = ["1.3.14.3.2.26", "1.2.840.113549.2.5"];

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
    der: CertificateDer<'static>,
    /// Whose it is, as it says.
    subject: String,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    /// Who has issued it, as it says.
    issuer: String,
    /// By what its key and that of its issuer are known, where it says so (RFC 5280, 4.2.1.1 and 4.2.1.2).
    key: Option<Vec<u8>>,
    issuer_key: Option<Vec<u8>>,
    holds: (Timestamp, Timestamp),
    is_authority: bool,
    /// Whether its key may sign certificates; one that does not say for what it is may (RFC 5280, 4.2.1.3).
    may_sign: bool,
    /// So many other authorities may stand between it and a certificate that is shown (4.2.1.9).
    below_max: Option<u32>,
    /// Whether it is too old to say what it may (4.1.2.1).
    is_bare: bool,
    /// For whom it may be shown; none where it says nothing of that.
    server_and_client: Option<(bool, bool)>,
    is_weak: bool,
}

/// Authorities that are known beside those in a file.
#[derive(Debug, Default)]
pub struct Known(Vec<Link>);

// === impl Known ===

impl Known {
    /// Those that this machine trusts. It reads files and blocks for that long.
    pub fn of_machine() -> Self {
        // one that cannot be read is passed over, as everywhere
        let all = rustls_native_certs::load_native_certs().certs;
        Self(all.iter().filter_map(|one| Link::of(Path::new("the authorities of this machine"), one).ok()).collect())
    }

    /// And those of a file; of one that cannot be read nothing, which is told where it is looked at itself.
    pub fn and_of(mut self, roots: &Path) -> Self {
        self.0.extend(links(roots).unwrap_or_default());
        self
    }

    fn has_issued(&self, link: &Link) -> bool {
        self.0.iter().any(|one| link.is_issued_by(one))
    }
}

// === impl Link ===

impl Link {
    fn of(file: &Path, certificate: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let unusable = |why: String| TlsError::Unusable { file: file.to_owned(), why };
        let parsed = parse_x509_certificate(certificate);
        let (_, parsed) = parsed.map_err(|error| unusable(format!("is no certificate: {error}")))?;
        let usage = parsed.extended_key_usage().map_err(|error| unusable(format!("is no certificate: {error}")))?;
        let may_sign = parsed.key_usage().map_err(|error| unusable(format!("is no certificate: {error}")))?;
        let constraints = parsed.basic_constraints().ok().flatten();
        Ok(Self {
            der: certificate.clone().into_owned(),
            subject: parsed.subject().to_string(),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            issuer: parsed.issuer().to_string(),
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
            may_sign: may_sign.is_none_or(|usage| usage.value.key_cert_sign()),
            below_max: constraints.and_then(|constraints| constraints.value.path_len_constraint),
            is_bare: parsed.version() != X509Version::V3,
            server_and_client: usage.map(|usage| {
                let usage = usage.value;
                (usage.any || usage.server_auth, usage.any || usage.client_auth)
            }),
            is_weak: is_weak(&parsed.signature_algorithm),
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

fn is_weak(signed: &AlgorithmIdentifier<'_>) -> bool {
    let algorithm = signed.algorithm.to_id_string();
    if algorithm != PSS {
        return WEAK.contains(&algorithm.as_str());
    }
    // where they name none it is SHA-1
    signed.parameters().is_none_or(|all| {
        let all = RsaSsaPssParams::try_from(all);
        all.is_ok_and(|all| WEAK_HASHES.contains(&all.hash_algorithm_oid().to_id_string().as_str()))
    })
}

fn key<'c>(
    parsed: &'c X509Certificate<'_>,
    of: impl Fn(&'c ParsedExtension<'c>) -> Option<&'c [u8]>,
) -> Option<Vec<u8>> {
    parsed.iter_extensions().find_map(|extension| of(extension.parsed_extension())).map(<[u8]>::to_vec)
}

/// The way from a certificate to its authority, itself first, in whatever order those behind it lie. Where there are several ways it is the
/// one that holds longest: whoever looks tries all.
fn way<'l>(first: &'l Link, behind: &'l [Link]) -> Vec<&'l Link> {
    let mut way = vec![first];
    while let Some(last) = way.last().filter(|last| !last.is_root()) {
        let issuers = behind.iter().filter(|one| last.is_issued_by(one));
        // certificates that sign each other lead in a ring
        let issuers = issuers.filter(|one| !way.iter().any(|known| std::ptr::eq(*known, *one)));
        let Some(next) = issuers.max_by_key(|one| one.holds.1) else { break };
        way.push(next);
    }
    way
}

/// When a certificate and those behind it end. One behind it that cannot be read is passed over here: it may not be needed.
pub(super) fn ends(file: &Path, all: &[CertificateDer<'_>]) -> Result<Ends, TlsError> {
    let none = || TlsError::Empty { file: file.to_owned(), what: "certificate" };
    let (first, behind) = all.split_first().ok_or_else(none)?;
    let first = Link::of(file, first)?;
    let behind: Vec<Link> = behind.iter().filter_map(|one| Link::of(file, one).ok()).collect();
    let (from, at) = first.holds;
    let mut ends = Ends { from, at, authority: None };
    for link in way(&first, &behind).into_iter().skip(1).filter(|link| !link.is_root()) {
        let (from, at) = link.holds;
        if at < ends.at {
            ends = Ends { from, at, authority: Some(link.subject.clone()) };
        }
    }
    Ok(ends)
}

/// When the first of the authorities in a file ends that others are known by. One that another of its name follows in the same file may end:
/// so they are renewed.
pub(super) fn authorities_end(file: &Path) -> Result<Ends, TlsError> {
    let links = links(file)?;
    let is_followed =
        |one: &Link| links.iter().any(|other| other.subject_der == one.subject_der && other.holds.1 > one.holds.1);
    let last = links.iter().filter(|one| !is_followed(one));
    let first = last.min_by_key(|one| one.holds.1);
    let first = first.ok_or_else(|| TlsError::Empty { file: file.to_owned(), what: "certificate" })?;
    let (from, at) = first.holds;
    Ok(Ends { from, at, authority: Some(first.subject.clone()) })
}

/// What a file says that is shown. `whose` begins each sentence: “the certificate shown to inbox a”. `known`: by whom its last may be issued
/// without being in it.
pub(super) fn looked(
    file: &Path,
    whose: &str,
    shown: ShownAs,
    known: &Known,
    now: Timestamp,
) -> Result<Looked, TlsError> {
    let links = links(file)?;
    let Some((first, behind)) = links.split_first() else {
        return Err(TlsError::Empty { file: file.to_owned(), what: "certificate" });
    };
    let mut found = of_first(first, whose, shown, now);
    let way = way(first, behind);
    for (between, next) in way.iter().skip(1).enumerate() {
        let (faults, risks) = of_issuer(next, between, whose, now);
        if next.is_root() {
            // who trusts it has it already, perhaps another of its name
            found.risks.extend(faults.into_iter().chain(risks));
        } else {
            found.faults.extend(faults);
            found.risks.extend(risks);
        }
    }
    if found.faults.is_empty() && !first.is_authority {
        proven(&way, behind, whose, shown, now, &mut found);
    }
    let short = way.last().and_then(|last| falls_short(last, &links, known).map(|issuer| (*last, issuer)));
    found.risks.extend(short.map(|(last, issuer)| {
        format!(
            "{whose} leads no further than to that of {}: the certificate of {issuer}, which has issued that one, is neither in its file nor an \
             authority that this machine knows; put it behind, for whoever does not know it turns the first away",
            last.subject
        )
    }));
    let stray = links.iter().zip(behind).find(|(one, next)| !one.is_issued_by(next));
    // what is missing is told above
    let stray = stray.filter(|(one, _)| short.is_none_or(|(last, _)| !std::ptr::eq(*one, last)));
    found.risks.extend(stray.map(|(one, next)| {
        format!(
            "{whose}: in its file that of {} comes behind that of {}, and has not issued it: put behind each the one of its issuer, for some \
             turn away what does not lead on",
            next.subject, one.subject
        )
    }));
    Ok(found)
}

/// Who has issued the last on the way, where that one's certificate is missing: it is not known, and none of its name lies in the file.
fn falls_short<'l>(last: &'l Link, all: &[Link], known: &Known) -> Option<&'l str> {
    let is_named = all.iter().any(|one| one.subject_der == last.issuer_der);
    (!is_named && !known.has_issued(last)).then_some(last.issuer.as_str())
}

/// What is wrong with the certificates of authorities that others are known by, in a file.
pub(super) fn authorities(file: &Path, now: Timestamp) -> Result<Looked, TlsError> {
    let (links, named) = (links(file)?, file.display());
    let mut found = Looked::default();
    let (mut told, mut fit) = (Vec::new(), 0);
    for link in &links {
        let ended = out_of_date(link.holds, now);
        // one that is its own authority is known by itself
        let is_ordinary = !link.is_authority && !link.is_root();
        fit += usize::from(ended.is_none() && !is_ordinary);
        told.extend(ended.map(|why| format!("{named}: the certificate of an authority {why}")));
        told.extend(is_ordinary.then(|| {
            format!(
                "{named}: the certificate of {} is none of an authority (CA): nobody is known by it; put there that of the authority that has \
                 issued it",
                link.subject
            )
        }));
    }
    // beside others it may be one that is on its way out
    if fit == 0 {
        found.faults.extend(told)
    } else {
        found.risks.extend(told)
    }
    for link in &links {
        let soon = ends_soon(link.holds, now);
        found
            .risks
            .extend(soon.map(|why| format!("{named}: the certificate of an authority, {}, {why}", link.subject)));
        if link.is_weak && !link.is_root() {
            found.risks.push(weak(&format!("{named}: the certificate of an authority, {},", link.subject)));
        }
    }
    Ok(found)
}

fn links(file: &Path) -> Result<Vec<Link>, TlsError> {
    pem::certificates(file)?.iter().map(|one| Link::of(file, one)).collect()
}

/// What is wrong with one on the way, and what may be; `between` others stand between it and the first.
fn of_issuer(link: &Link, between: usize, whose: &str, now: Timestamp) -> (Vec<String>, Vec<String>) {
    let authority = format!("{whose} leads to that of {}, in the same file, which", link.subject);
    let ended = out_of_date(link.holds, now).map(|why| format!("{authority} {why}"));
    // nobody looks at the signature of a root
    let weak = (link.is_weak && !link.is_root()).then(|| weak(&authority));
    // roots of old say nothing
    let none = (!(link.is_authority || link.is_bare && link.is_root())).then_some("is none of an authority (CA)");
    let unsigning = (!link.may_sign).then_some("is not for signing others, its key usage says (keyCertSign)");
    let is_long = link.below_max.is_some_and(|max| usize::try_from(max).is_ok_and(|max| between > max));
    let long = is_long.then_some("allows fewer authorities between, its path length says");
    let unfit = none.or(unsigning).or(long).map(|why| {
        format!("{authority} {why}: whoever looks turns both away; get the right ones from who has issued the first")
    });
    let soon = ends_soon(link.holds, now).map(|why| format!("{authority} {why}"));
    (ended.into_iter().chain(weak).chain(unfit).collect(), soon.into_iter().collect())
}

/// Whether the signatures on the way are what they should be, by those who would look at them: with the last as what is trusted.
fn proven(way: &[&Link], behind: &[Link], whose: &str, shown: ShownAs, now: Timestamp, found: &mut Looked) {
    let [first, .., last] = way else { return };
    match prove(first, last, behind, shown, now) {
        Ok(()) => {}
        Err(Error::InvalidCertificate(CertificateError::BadSignature)) => found.faults.push(format!(
            "{whose}, or one on the way to its authority in the same file, is not signed by the one that it names as its issuer: they only bear \
             the same names; get the right ones from who has issued it"
        )),
        // others may take what this one does not
        Err(why) => found.risks.push(format!("{whose} and those behind it in its file are turned away by some: {why}")),
    }
}

fn prove(first: &Link, last: &Link, behind: &[Link], shown: ShownAs, now: Timestamp) -> Result<(), Error> {
    let mut trusted = RootCertStore::empty();
    trusted.add(last.der.clone())?;
    let others = behind.iter().filter(|one| !std::ptr::eq(*one, last));
    let others: Vec<_> = others.map(|one| one.der.clone()).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
    let provider = aws_lc_rs::default_provider();
    match shown {
        ShownAs::Server => {
            let algorithms = provider.signature_verification_algorithms.all;
            let first = ParsedCertificate::try_from(&first.der)?;
            verify_server_cert_signed_by_trust_anchor(&first, &trusted, &others, now, algorithms)
        }
        ShownAs::Client => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::new(provider)).build();
            let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
            verifier.verify_client_cert(&first.der, &others, now).map(drop)
        }
    }
}

fn of_first(first: &Link, whose: &str, shown: ShownAs, now: Timestamp) -> Looked {
    let mut found = Looked::default();
    found.faults.extend(out_of_date(first.holds, now).map(|why| format!("{whose} {why}")));
    found.risks.extend(ends_soon(first.holds, now).map(|why| format!("{whose} {why}")));
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
