use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};
use tempfile::TempDir;
use x509_parser::prelude::FromDer as _;

use super::*;

const NOW: &str = "2026-03-02T09:00:00Z";
const LATE: (i32, u8, u8) = (2999, 1, 1);
const ENDED: (i32, u8, u8) = (2026, 1, 1);

/// A certificate in PEM, and by what it issues others.
struct Made {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// The authority that it leads to in the end.
    root: CertificateDer<'static>,
}

fn params(name: &str, until: (i32, u8, u8)) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until.0, until.1, until.2);
    params.use_authority_key_identifier_extension = true;
    params
}

fn signed(params: CertificateParams, by: Option<&Made>) -> Made {
    signed_for(params, by, KeyPair::generate().unwrap())
}

fn signed_for(params: CertificateParams, by: Option<&Made>, key: KeyPair) -> Made {
    let certificate = match by {
        Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let der = certificate.der().clone();
    let root = by.map_or_else(|| der.clone(), |by| by.root.clone());
    Made { pem: certificate.pem(), der, issuer: Issuer::new(params, key), root }
}

fn authority(name: &str, until: (i32, u8, u8), by: Option<&Made>) -> Made {
    let mut params = params(name, until);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    signed(params, by)
}

fn leaf(usages: &[ExtendedKeyUsagePurpose], by: &Made) -> Made {
    let mut params = params("leaf", LATE);
    params.extended_key_usages = usages.to_vec();
    signed(params, Some(by))
}

/// What is found of a file with these, where the authorities in which they end are known.
fn of(made: &[&Made], shown: ShownAs) -> Looked {
    let roots = made.iter().map(|one| Link::of(Path::new("x"), &one.root).unwrap());
    of_known(made, shown, &Known(roots.collect()))
}

fn of_known(made: &[&Made], shown: ShownAs, known: &Known) -> Looked {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.pem");
    std::fs::write(&file, made.iter().map(|one| one.pem.as_str()).collect::<String>()).unwrap();
    looked(&file, "it", shown, known, NOW.parse().unwrap()).unwrap()
}

/// Whether this is said, alone.
fn says(found: &Looked, faults: &[&str], risks: &[&str]) {
    for (found, told) in [(&found.faults, faults), (&found.risks, risks)] {
        assert_eq!(found.len(), told.len(), "{found:?}");
        for words in told {
            assert!(found.iter().any(|one| one.contains(words)), "{words}: {found:?}");
        }
    }
}

#[test]
fn a_whole_chain_in_its_order_is_good() {
    let second = authority("root", LATE, None);
    let first = authority("first", LATE, Some(&second));
    let shown = leaf(&[ExtendedKeyUsagePurpose::ServerAuth], &first);
    says(&of(&[&shown, &first], ShownAs::Server), &[], &[]);
    says(&of(&[&shown, &first, &second], ShownAs::Server), &[], &[]);
    // that of the authority itself stands in for its being known
    says(&of_known(&[&shown, &first, &second], ShownAs::Server, &Known::default()), &[], &[]);
}

/// Whoever is shown a certificate must have each of those between it and an authority that she knows.
#[test]
fn one_that_is_missing_on_the_way_is_told() {
    let root = authority("root", LATE, None);
    let second = authority("second", LATE, Some(&root));
    let first = authority("first", LATE, Some(&second));
    let shown = leaf(&[], &first);
    let missing = |from: &str, issuer: &str| {
        format!("than to that of CN={from}: the certificate of CN={issuer}, which has issued")
    };
    for shown_as in [ShownAs::Server, ShownAs::Client] {
        says(&of(&[&shown], shown_as), &[], &[&missing("leaf", "first")]);
        says(&of(&[&shown, &first], shown_as), &[], &[&missing("first", "second")]);
        // told once, whatever lies behind the gap
        says(&of(&[&shown, &second, &root], shown_as), &[], &[&missing("leaf", "first")]);
        says(&of(&[&shown, &root], shown_as), &[], &[&missing("leaf", "first")]);
        says(&of(&[&shown, &first, &root], shown_as), &[], &[&missing("first", "second")]);
        says(&of(&[&shown, &first, &second], shown_as), &[], &[]);
        // the authority is not known here: it may be another in between
        says(&of_known(&[&shown, &first, &second], shown_as, &Known::default()), &[], &[&missing("second", "root")]);
    }
    // known by a file of roots is known as well
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, &first.pem).unwrap();
    let known = Known::default().and_of(&folder.path().join("none")).and_of(&roots);
    says(&of_known(&[&shown], ShownAs::Server, &known), &[], &[]);
    assert!(!Known::of_machine().0.is_empty(), "there are authorities that everybody knows");
}

#[test]
fn what_it_may_be_shown_as_is_looked_at() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    let root = authority("root", LATE, None);
    for (usages, server, client) in [
        (&[][..], true, true),
        (&[ServerAuth], true, false),
        (&[ClientAuth], false, true),
        (&[ServerAuth, ClientAuth], true, true),
        (&[CodeSigning], false, false),
        (&[Any], true, true),
    ] {
        let issued = leaf(usages, &root);
        for (shown, may, told) in [
            (ShownAs::Server, server, "not for a server, its extended key usage says; get one with serverAuth"),
            (ShownAs::Client, client, "not for a client, its extended key usage says; get one with clientAuth"),
        ] {
            let faults = if may { vec![] } else { vec![told] };
            says(&of(&[&issued], shown), &faults, &[]);
        }
    }
    says(&of(&[&authority("own", LATE, None)], ShownAs::Server), &[], &["is one of an authority (CA)"]);
}

#[test]
fn what_lies_behind_it_must_lead_on_and_hold() {
    let root = authority("root", LATE, None);
    let (first, other) = (authority("first", LATE, Some(&root)), authority("other", LATE, Some(&root)));
    // of the same name with another key, as after a renewal
    let same_name = authority("first", LATE, Some(&root));
    let below_first = leaf(&[], &first);
    let stray = "has not issued it";
    says(&of(&[&below_first, &first, &other], ShownAs::Server), &[], &[stray]);
    says(&of(&[&below_first, &same_name], ShownAs::Server), &[], &[stray]);
    says(&of(&[&below_first, &root, &first], ShownAs::Server), &[], &[stray]);
    // an authority on the way that has ended is a fault in whatever order; the last one nobody looks at, nor one beside the way
    let ended = authority("first", ENDED, Some(&root));
    let below = leaf(&[], &ended);
    let told = "leads to that of CN=first, in the same file, which has ended, on 2026-01-01";
    says(&of(&[&below, &ended, &root], ShownAs::Client), &[told], &[]);
    says(&of(&[&below, &root, &ended], ShownAs::Client), &[told], &[stray]);
    let old_root = authority("old", ENDED, None);
    let below = leaf(&[], &old_root);
    says(&of(&[&below, &old_root], ShownAs::Client), &[], &["CN=old, in the same file, which has ended"]);
    says(&of(&[&below_first, &first, &old_root], ShownAs::Client), &[], &[stray]);
}

/// What nothing makes any more: the name of the signature is another, and the signature is not looked at here.
#[test]
fn a_signature_over_sha1_is_a_fault() {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let certificate = params("old", LATE).self_signed(&key).unwrap();
    let link = |der: &[u8]| Link::of(Path::new("x"), &CertificateDer::from(der.to_vec())).unwrap();
    assert!(!link(certificate.der()).is_weak);
    let der = weakened(certificate.der());
    assert!(link(&der).is_weak);
    let told = of_first(&link(&der), "it", ShownAs::Server, NOW.parse().unwrap());
    says(&told, &["it is signed by way of SHA-1 or MD5"], &[]);
}

/// The same certificate, as if it were signed over SHA-1.
fn weakened(der: &[u8]) -> Vec<u8> {
    let sha256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let mut der = der.to_vec();
    let places: Vec<usize> = (0..der.len() - sha256.len()).filter(|at| der[*at..].starts_with(&sha256)).collect();
    assert_eq!(places.len(), 2, "once in what is signed, once beside it");
    for at in places {
        der[at + sha256.len() - 1] = 0x05;
    }
    der
}

/// Whoever trusts a root looks at no signature of it; that of an authority which another has signed is looked at.
#[test]
fn an_authority_that_is_signed_over_sha1_is_told() {
    let rsa = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let mut params_of_root = params("root", LATE);
    params_of_root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = signed_for(params_of_root, None, rsa());
    let first = authority("first", LATE, Some(&root));
    let told = |certificates: &[Vec<u8>]| {
        let folder: TempDir = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        let pem = |der: &Vec<u8>| {
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        std::fs::write(&file, certificates.iter().map(pem).collect::<String>()).unwrap();
        authorities(&file, NOW.parse().unwrap()).unwrap()
    };
    says(&told(&[root.der.to_vec(), first.der.to_vec()]), &[], &[]);
    says(&told(&[weakened(&root.der)]), &[], &[]);
    let weak = "the certificate of an authority, CN=first, is signed by way of SHA-1 or MD5";
    says(&told(&[root.der.to_vec(), weakened(&first.der)]), &[], &[weak]);
}

/// Of several authorities the first that ends is told, but for one that another of its name follows.
#[test]
fn the_first_authority_that_ends_is_when_they_end() {
    let of = |made: &[&Made]| {
        let folder: TempDir = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        std::fs::write(&file, made.iter().map(|one| one.pem.as_str()).collect::<String>()).unwrap();
        let ends = authorities_end(&file).unwrap();
        (ends.at.to_string(), ends.authority.unwrap())
    };
    let (one, other) = (authority("one", (2026, 3, 4), None), authority("other", LATE, None));
    let soon = ("2026-03-04T00:00:00Z".to_owned(), "CN=one".to_owned());
    let late = |name: &str| ("2999-01-01T00:00:00Z".to_owned(), format!("CN={name}"));
    assert_eq!(of(&[&other, &one]), soon);
    assert_eq!(of(&[&other]), late("other"));
    let renewed = authority("one", LATE, None);
    assert_eq!(of(&[&one, &renewed]), late("one"));
    assert_eq!(of(&[&renewed, &one]), late("one"));
    let ended = authority("one", ENDED, None);
    assert_eq!(of(&[&other, &ended]).1, "CN=one", "nor is it forgotten once it has ended");
}

/// Who has a file with others behind needs each of them: the first that ends is when it ends.
#[test]
fn the_first_that_ends_is_when_it_ends() {
    let root = authority("root", ENDED, None);
    let first = authority("first", (2026, 3, 4), Some(&root));
    let shown = leaf(&[], &first);
    let of = |made: &[&Made]| {
        let all: Vec<_> = made.iter().map(|one| one.der.clone()).collect();
        let ends = ends(Path::new("x"), &all).unwrap();
        (ends.at.to_string(), ends.authority)
    };
    let soon = ("2026-03-04T00:00:00Z".to_owned(), Some("CN=first".to_owned()));
    // not that of the authority itself, nor one beside the way, in whatever order
    assert_eq!(of(&[&shown, &first, &root]), soon);
    assert_eq!(of(&[&shown, &root, &first]), soon);
    assert_eq!(of(&[&shown, &root]), ("2999-01-01T00:00:00Z".to_owned(), None));
    let stray = authority("stray", ENDED, Some(&root));
    assert_eq!(of(&[&shown, &stray]).1, None);
    // of two with the same name and key the one that holds longer serves
    let key = KeyPair::from_pem(&first.issuer.key().serialize_pem()).unwrap();
    let mut renewed = params("first", LATE);
    renewed.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let renewed = signed_for(renewed, Some(&root), key);
    assert_eq!(of(&[&shown, &first, &renewed]).1, None);
    assert_eq!(of(&[&shown, &renewed, &first]).1, None);
}

#[test]
fn what_ends_soon_is_told_before() {
    let root = authority("root", LATE, None);
    let of_leaf = |until| {
        let shown = signed(params("leaf", until), Some(&root));
        of(&[&shown], ShownAs::Server)
    };
    says(&of_leaf((2026, 3, 4)), &[], &["it ends soon, on 2026-03-04"]);
    says(&of_leaf((2026, 3, 23)), &[], &["it ends soon, on 2026-03-23"]);
    says(&of_leaf((2026, 3, 24)), &[], &[]);
    let first = authority("first", (2026, 3, 4), Some(&root));
    let shown = leaf(&[], &first);
    says(&of(&[&shown, &first], ShownAs::Server), &[], &["CN=first, in the same file, which ends soon, on 2026-03-04"]);
}

/// What bears the right names and has not signed is told apart by the signature alone.
#[test]
fn names_alone_prove_nothing() {
    let root = authority("root", LATE, None);
    let (first, twin) = (authority("first", LATE, Some(&root)), authority("first", LATE, Some(&root)));
    let mut unkeyed = params("leaf", LATE);
    unkeyed.use_authority_key_identifier_extension = false;
    let shown = signed(unkeyed, Some(&first));
    for shown_as in [ShownAs::Server, ShownAs::Client] {
        says(&of(&[&shown, &first, &root], shown_as), &[], &[]);
        says(&of(&[&shown, &twin], shown_as), &["they only bear the same names"], &[]);
        says(&of(&[&shown, &twin, &root], shown_as), &["they only bear the same names"], &[]);
    }
}

#[test]
fn only_who_may_sign_others_leads_on() {
    let root = authority("root", LATE, None);
    let by = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params("first", LATE);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let first = signed(params, Some(&root));
        let shown = leaf(&[], &first);
        of(&[&shown, &first, &root], ShownAs::Server)
    };
    says(&by(&|_| {}), &[], &[]);
    says(&by(&|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]), &[], &[]);
    says(&by(&|params| params.is_ca = IsCa::ExplicitNoCa), &["CN=first, in the same file, which is none of an"], &[]);
    says(&by(&|params| params.is_ca = IsCa::NoCa), &["which is none of an authority (CA)"], &[]);
    says(&by(&|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]), &["(keyCertSign)"], &[]);
    // so many between it and the one that is shown
    for (max, others, is_good) in [(0, 0, true), (0, 1, false), (1, 1, true)] {
        let mut params = params("narrow", LATE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(max));
        let narrow = signed(params, Some(&root));
        let between = authority("between", LATE, Some(&narrow));
        let (shown, below) = (leaf(&[], &narrow), leaf(&[], &between));
        let found = match others {
            0 => of(&[&shown, &narrow, &root], ShownAs::Server),
            _ => of(&[&below, &between, &narrow, &root], ShownAs::Server),
        };
        let faults = if is_good { vec![] } else { vec!["its path length says"] };
        says(&found, &faults, &[]);
    }
}

#[test]
fn those_that_others_are_known_by_are_authorities() {
    let root = authority("root", LATE, None);
    let (first, ordinary) = (authority("first", LATE, Some(&root)), leaf(&[], &root));
    let own = signed(params("own", LATE), None);
    let soon = authority("soon", (2026, 3, 4), None);
    let of = |made: &[&Made]| {
        let folder: TempDir = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        std::fs::write(&file, made.iter().map(|one| one.pem.as_str()).collect::<String>()).unwrap();
        authorities(&file, NOW.parse().unwrap()).unwrap()
    };
    // one that nobody has issued but itself is known by itself
    says(&of(&[&root, &first, &own]), &[], &[]);
    let told = "the certificate of CN=leaf is none of an authority (CA): nobody is known by it";
    says(&of(&[&ordinary]), &[told], &[]);
    says(&of(&[&ordinary, &root]), &[], &[told]);
    says(&of(&[&soon, &root]), &[], &["the certificate of an authority, CN=soon, ends soon, on 2026-03-04"]);
}

/// RSASSA-PSS names its hash in its parameters, and where it does not it is SHA-1 (RFC 4055, 3.1).
#[test]
fn sha1_within_pss_is_weak() {
    const PSS_OID: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    const SHA1_OID: &[u8] = &[0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a];
    const SHA256_OID: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    let of = |tag: u8, within: &[u8]| [&[tag, u8::try_from(within.len()).unwrap()], within].concat();
    let hash = |oid: &[u8]| of(0xa0, &of(0x30, &[oid, &[0x05, 0x00]].concat()));
    let weak = |parameters: &[u8]| {
        let der = of(0x30, &[&PSS_OID[..], &of(0x30, parameters)].concat());
        is_weak(&AlgorithmIdentifier::from_der(&der).unwrap().1)
    };
    assert!(weak(&[]) && weak(&hash(SHA1_OID)));
    assert!(!weak(&hash(SHA256_OID)));
}
