use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};
use tempfile::TempDir;

use super::*;

const NOW: &str = "2026-03-02T09:00:00Z";
const LATE: (i32, u8, u8) = (2999, 1, 1);
const ENDED: (i32, u8, u8) = (2026, 1, 1);

/// A certificate in PEM, and by what it issues others.
struct Made {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
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
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Made { pem: certificate.pem(), issuer: Issuer::new(params, key) }
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

/// What is found of a file with these.
fn of(made: &[&Made], shown: ShownAs) -> Looked {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.pem");
    std::fs::write(&file, made.iter().map(|one| one.pem.as_str()).collect::<String>()).unwrap();
    looked(&file, "it", shown, NOW.parse().unwrap()).unwrap()
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
    says(&of(&[&shown], ShownAs::Server), &[], &[]);
    says(&of(&[&shown, &first], ShownAs::Server), &[], &[]);
    says(&of(&[&shown, &first, &second], ShownAs::Server), &[], &[]);
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
    says(&of(&[&below_first, &other], ShownAs::Server), &[], &[stray]);
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
    let sha256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let mut der = certificate.der().to_vec();
    let places: Vec<usize> = (0..der.len() - sha256.len()).filter(|at| der[*at..].starts_with(&sha256)).collect();
    assert_eq!(places.len(), 2, "once in what is signed, once beside it");
    let link = |der: &[u8]| Link::of(Path::new("x"), &CertificateDer::from(der.to_vec())).unwrap();
    assert!(!link(&der).is_weak);
    for at in places {
        der[at + sha256.len() - 1] = 0x05;
    }
    assert!(link(&der).is_weak);
    let told = of_first(&link(&der), "it", ShownAs::Server, NOW.parse().unwrap());
    says(&told, &["it is signed by way of SHA-1 or MD5"], &[]);
}
