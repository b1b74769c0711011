//! Authorities, and certificates that they issue: right ones and wrong ones.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};

/// The name of the service.
pub const NAME: &str = "onward.example";

/// Who signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    file: PathBuf,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages.clear();
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.join(format!("{name}-authority.pem"));
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, folder: folder.to_owned(), file }
    }

    /// Its certificate.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A certificate for these names that holds today.
    pub fn issue(&self, file: &str, names: &[&str]) -> Issued {
        self.issue_until(file, names, (2999, 1, 1))
    }

    /// A certificate for these names that holds until this day.
    pub fn issue_until(&self, file: &str, names: &[&str], (year, month, day): (i32, u8, u8)) -> Issued {
        let mut params = params(file, names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, month, day);
        self.write(file, params)
    }

    /// A certificate for these names that holds for so long yet.
    pub fn issue_for(&self, file: &str, names: &[&str], left: Duration) -> Issued {
        let mut params = params(file, names);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        params.not_after = date_time_ymd(1970, 1, 1) + now + left;
        self.write(file, params)
    }

    /// A certificate for these names that holds today, of an RSA key.
    pub fn issue_rsa(&self, file: &str, names: &[&str]) -> Issued {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        self.write_for(file, params(file, names), &key)
    }

    /// A certificate for these names that holds from this day on.
    pub fn issue_from(&self, file: &str, names: &[&str], (year, month, day): (i32, u8, u8)) -> Issued {
        let mut params = params(file, names);
        params.not_before = date_time_ymd(year, month, day);
        params.not_after = date_time_ymd(2999, 1, 1);
        self.write(file, params)
    }

    fn write(&self, file: &str, params: CertificateParams) -> Issued {
        self.write_for(file, params, &KeyPair::generate().unwrap())
    }

    fn write_for(&self, file: &str, params: CertificateParams, key: &KeyPair) -> Issued {
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let of = |what: &str, text: String| {
            let path = self.folder.join(format!("{file}.{what}"));
            // whole at once, as those who renew certificates should do it
            let beside = path.with_extension("new");
            std::fs::write(&beside, text).unwrap();
            std::fs::rename(&beside, &path).unwrap();
            path
        };
        Issued { key: of("key", key.serialize_pem()), certificate: of("pem", certificate.pem()) }
    }
}

impl Issued {
    /// As curl takes them.
    pub fn curl(&self) -> [&str; 4] {
        ["--cert", self.certificate.to_str().unwrap(), "--key", self.key.to_str().unwrap()]
    }

    /// As `openssl s_client` takes them.
    pub fn s_client(&self) -> [&str; 4] {
        ["-cert", self.certificate.to_str().unwrap(), "-key", self.key.to_str().unwrap()]
    }
}
