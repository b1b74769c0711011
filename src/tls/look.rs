//! What is wrong, or looks wrong, with certificates and keys before anybody is met with them.

use std::path::Path;

use jiff::Timestamp;
use rustls::{client::verify_server_name, pki_types::ServerName, server::ParsedCertificate};

use super::{
    Acceptor, Shower, TOLD_BEFORE, TlsError,
    chain::{self, ShownAs},
    pem,
};
use crate::config::{Clients, Identity, Tls};

pub use super::chain::Known;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// With these it does not work.
    pub faults: Vec<String>,
    /// With these it may, and somebody should look.
    pub risks: Vec<String>,
}

impl Looked {
    /// All that was found here and there, what is the same once: several may show the same file.
    pub fn and(mut self, other: Self) -> Self {
        for (all, more) in [(&mut self.faults, other.faults), (&mut self.risks, other.risks)] {
            for one in more {
                if !all.contains(&one) {
                    all.push(one);
                }
            }
        }
        self
    }

    fn fault(told: String) -> Self {
        Self { faults: vec![told], risks: Vec::new() }
    }
}

/// Why a certificate does not hold at a moment; nothing where it does.
pub(super) fn out_of_date((from, to): (Timestamp, Timestamp), now: Timestamp) -> Option<String> {
    if now < from {
        Some(format!("holds from {from} on, and not yet; wait, or look whether this machine's clock is right"))
    } else if to <= now {
        Some(format!("has ended, on {to}; get another one"))
    } else {
        None
    }
}

/// That one which holds at a moment ends soon; nothing where it does not.
pub(super) fn ends_soon((from, to): (Timestamp, Timestamp), now: Timestamp) -> Option<String> {
    let is_soon = from <= now && now < to && to.duration_since(now) < TOLD_BEFORE;
    is_soon.then(|| format!("ends soon, on {to}; get another one in time"))
}

/// What a listener shows, and by whom the certificates of its clients are signed. `name`: what clients are told to reach it by. `known`: the
/// authorities that need not be in its file.
pub fn look(tls: &Tls, http2: bool, name: Option<&str>, known: &Known, now: Timestamp) -> Looked {
    let file = tls.certificate.display();
    // everything that is wrong with what it shows is told by this alone
    if let Err(error) = Acceptor::open(tls.clone(), http2) {
        return Looked::fault(error.to_string());
    }
    let whose = format!("{file}: the certificate");
    let mut found = shown(&tls.certificate, &tls.key, &whose, ShownAs::Server, known, now);
    if let Some(name) = name {
        match is_for(tls, name) {
            Ok(true) => {}
            Ok(false) => found.risks.push(format!(
                "{file}: the certificate is not for {name}, the name in base-url: clients that come by it are turned away, unless a proxy with \
                 another certificate stands before this"
            )),
            Err(error) => found.faults.push(error.to_string()),
        }
    }
    match &tls.clients {
        Clients::Asked { roots, .. } => found.and(look_at_roots(roots, now)),
        Clients::Unasked => found,
    }
}

/// What is shown to an endpoint, and whom Onward trusts there.
pub fn look_outwards(to: &str, identity: &Identity, known: &Known, now: Timestamp) -> Looked {
    if let Err(error) = Shower::renewed(identity, None) {
        return Looked::fault(format!(
            "the certificate shown to {to}, or the authorities that it is known by: {error}"
        ));
    }
    let own = identity.shown.as_ref().map(|(certificate, key)| {
        let whose = format!("the certificate shown to {to}");
        shown(certificate, key, &whose, ShownAs::Client, known, now)
    });
    let trusted = identity.roots.as_ref().map(|roots| look_at_roots(roots, now));
    own.into_iter().chain(trusted).fold(Looked::default(), Looked::and)
}

/// The certificates of authorities that somebody is known by.
pub fn look_at_roots(roots: &Path, now: Timestamp) -> Looked {
    let mut found = chain::authorities(roots, now).unwrap_or_else(|error| Looked::fault(error.to_string()));
    found.risks.extend(key_in_lies_open(roots));
    found
}

/// What looks wrong with how a file lies that holds a key by which Onward signs; nothing where it lies as it should.
pub fn key_lies_open(file: &Path) -> Option<String> {
    lies_open(file, "this key")
}

/// The same of one that holds a token or a password.
pub fn secret_lies_open(file: &Path) -> Option<String> {
    lies_open(file, "this secret")
}

/// The same of one that holds public keys by which somebody is known: everybody may read it.
pub fn public_keys_lie_open(file: &Path) -> Option<String> {
    pem::changed_by(file).map(|who| {
        let file = file.display();
        format!("{file}: {who} these public keys, and so be their owner; let its owner alone write it (chmod 644)")
    })
}

/// The same of one that should hold certificates alone, which everybody may read.
fn key_in_lies_open(file: &Path) -> Option<String> {
    if pem::has_key(file) { lies_open(file, "the key that lies in it beside certificates") } else { None }
}

fn lies_open(file: &Path, what: &str) -> Option<String> {
    let who = pem::open_to(file)?;
    let file = file.display();
    Some(format!("{file}: {who} {what}; let the user that Onward runs as read it alone (chmod 600)"))
}

fn shown(certificate: &Path, key: &Path, whose: &str, shown: ShownAs, known: &Known, now: Timestamp) -> Looked {
    let mut found = match chain::looked(certificate, whose, shown, known, now) {
        Ok(found) => found,
        Err(error) => Looked::fault(error.to_string()),
    };
    found.risks.extend(key_lies_open(key));
    if certificate != key {
        found.risks.extend(key_in_lies_open(certificate));
    }
    found
}

/// Whether the certificate that a listener shows is for this name, or address (RFC 9525).
fn is_for(tls: &Tls, name: &str) -> Result<bool, TlsError> {
    let all = pem::certificates(&tls.certificate)?;
    let Some(first) = all.first() else { return Ok(false) };
    let parsed = ParsedCertificate::try_from(first).map_err(|error| super::unusable(&tls.certificate, &error))?;
    let Ok(name) = ServerName::try_from(name) else { return Ok(false) };
    Ok(verify_server_name(&parsed, &name).is_ok())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

    use super::*;

    type Day = (i32, u8, u8);

    const NOW: &str = "2026-03-02T09:00:00Z";
    const HOLDS: (Day, Day) = ((2020, 1, 1), (2999, 1, 1));

    fn params(names: &[&str], (from, to): (Day, Day)) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        params
    }

    fn authority(holds: (Day, Day)) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = params(&[], holds);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A listener whose certificate is for these names.
    fn tls(folder: &Path, names: &[&str], holds: (Day, Day), roots: &[(Day, Day)]) -> Tls {
        let (issuer, key) = (authority(HOLDS), KeyPair::generate().unwrap());
        written(folder, "issuer.pem", &issuer.pem());
        let certificate = params(names, holds).signed_by(&key, &issuer).unwrap();
        let pems: String = roots.iter().map(|holds| authority(*holds).pem()).collect();
        let clients = match roots {
            [] => Clients::Unasked,
            _ => Clients::Asked { roots: written(folder, "roots.pem", &pems), required: true },
        };
        let certificate = written(folder, "server.pem", &certificate.pem());
        Tls { certificate, key: written(folder, "server.key", &key.serialize_pem()), clients }
    }

    /// Looks at a listener, where the authority that has issued its certificate is known.
    fn look(tls: &Tls, http2: bool, name: Option<&str>, now: Timestamp) -> Looked {
        let issuer = tls.certificate.with_file_name("issuer.pem");
        super::look(tls, http2, name, &Known::default().and_of(&issuer), now)
    }

    /// Of an endpoint both are looked at: what is shown to it, and by whom it is known.
    #[test]
    fn what_an_endpoint_is_known_by_is_looked_at_as_well() {
        let (folder, now) = (tempfile::tempdir().unwrap(), NOW.parse().unwrap());
        let ended = ((2020, 1, 1), (2026, 1, 1));
        let shown = tls(folder.path(), &["a.example"], HOLDS, &[]);
        let shown = Some((shown.certificate, shown.key));
        let known = Known::default().and_of(&folder.path().join("issuer.pem"));
        let of = |roots: &[(Day, Day)], shown: &Option<(PathBuf, PathBuf)>| {
            let pems: String = roots.iter().map(|holds| authority(*holds).pem()).collect();
            let roots = written(folder.path(), "known.pem", &pems);
            look_outwards("inbox a", &Identity { shown: shown.clone(), roots: Some(roots) }, &known, now)
        };
        for shown in [None, shown] {
            assert_eq!(of(&[HOLDS], &shown), Looked::default());
            let found = of(&[ended], &shown);
            assert!(
                found.faults.len() == 1
                    && found.faults[0].contains("known.pem: the certificate of an authority has ended"),
                "{found:?}"
            );
            let found = of(&[HOLDS, ended], &shown);
            assert_eq!((found.faults.len(), found.risks.len()), (0, 1), "{found:?}");
        }
        let none = Identity { shown: None, roots: Some(folder.path().join("none")) };
        let none = look_outwards("inbox a", &none, &known, now);
        assert!(none.faults.len() == 1 && none.faults[0].contains("cannot be read"), "{none:?}");
    }

    #[test]
    fn what_does_not_hold_now_is_a_fault_and_what_it_is_not_for_a_risk() {
        let (folder, now) = (tempfile::tempdir().unwrap(), NOW.parse().unwrap());
        let ended = ((2020, 1, 1), (2026, 1, 1));
        let later = ((2026, 4, 1), (2999, 1, 1));
        let looked = |names: &[&str], holds, roots: &[(Day, Day)], name| {
            look(&tls(folder.path(), names, holds, roots), true, name, now)
        };
        assert_eq!(looked(&["a.example"], HOLDS, &[HOLDS], Some("a.example")), Looked::default());
        for (holds, told) in [(ended, "the certificate has ended, on 2026-01-01"), (later, "and not yet; wait")] {
            let found = looked(&["a.example"], holds, &[], None);
            assert!(found.faults.len() == 1 && found.faults[0].contains(told), "{found:?}");
        }
        // each fault at once
        let found = looked(&["a.example"], ended, &[ended, later], Some("b.example"));
        assert_eq!((found.faults.len(), found.risks.len()), (3, 1), "{found:?}");
        assert!(found.faults[1].contains("roots.pem: the certificate of an authority has ended"), "{found:?}");
        // one of several authorities may be on its way out
        let found = looked(&["a.example"], HOLDS, &[HOLDS, ended], None);
        assert_eq!((found.faults.len(), found.risks.len()), (0, 1), "{found:?}");
        for (names, name, fits) in [
            (&["*.a.example"][..], "x.a.example", true),
            (&["*.a.example"], "a.example", false),
            (&["a.example", "192.0.2.1"], "192.0.2.1", true),
            (&["a.example"], "192.0.2.1", false),
            (&["A.example"], "a.EXAMPLE", true),
        ] {
            assert_eq!(looked(names, HOLDS, &[], Some(name)).risks.is_empty(), fits, "{names:?} {name}");
        }
        // what several show is told once
        let open = tls(folder.path(), &["a.example"], HOLDS, &[]);
        let twice = look(&open, true, Some("b.example"), now).and(look(&open, true, Some("b.example"), now));
        assert_eq!(twice.risks.len(), 1, "{twice:?}");
        let mut without_key = tls(folder.path(), &["a.example"], HOLDS, &[]);
        without_key.key = folder.path().join("none");
        let found = look(&without_key, true, None, now);
        assert!(found.faults.len() == 1 && found.faults[0].contains("cannot be read"), "{found:?}");
    }

    /// A key that others read or change, wherever it lies; certificates everybody may read.
    #[test]
    fn keys_and_secrets_that_lie_open_are_told() {
        let (folder, now) = (tempfile::tempdir().unwrap(), NOW.parse().unwrap());
        let open = tls(folder.path(), &["a.example"], HOLDS, &[HOLDS]);
        let Clients::Asked { roots, .. } = &open.clients else { panic!("they are asked") };
        let is_told = |file: &Path, what: &str| {
            for (mode, who) in [
                (0o600, None),
                (0o400, None),
                (0o640, None),
                (0o644, Some("whoever is on this machine may read")),
                (0o660, Some("others than its owner may change")),
                (0o602, Some("others than its owner may change")),
                (0o666, Some("may read, and others than its owner may change")),
            ] {
                std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
                let found = look(&open, true, None, now);
                let told = who.map(|who| format!("{who} {what}; let the user"));
                assert_eq!(found.risks.len(), usize::from(told.is_some()), "{mode:o}: {found:?}");
                assert!(told.is_none_or(|told| found.risks[0].contains(&told)), "{mode:o}: {found:?}");
                std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
            }
        };
        is_told(&open.key, "this key");
        std::fs::set_permissions(&open.certificate, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(look(&open, true, None, now), Looked::default());
        let key = std::fs::read_to_string(&open.key).unwrap();
        for file in [&open.certificate, roots] {
            let text = std::fs::read_to_string(file).unwrap();
            std::fs::write(file, text + &key).unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
            is_told(file, "the key that lies in it beside certificates");
        }
        // one file of both is told of once
        let both = Tls { key: open.certificate.clone(), ..open.clone() };
        std::fs::set_permissions(&both.key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(look(&both, true, None, now).risks.len(), 1);
        assert!(secret_lies_open(&both.key).is_some_and(|told| told.contains("may read this secret")));
    }
}
