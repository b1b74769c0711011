//! What Onward shows when it connects to others, and whom it trusts there.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use super::{Ends, Stamp, TlsError, chain, pem, stamps_of, unusable};
use crate::config::Identity;

/// A certificate to show, and authorities to trust, as their files were when they were read. Cheap to clone.
#[derive(Clone)]
pub struct Shower {
    config: Arc<ClientConfig>,
    stamps: Vec<Stamp>,
    ends: Option<Ends>,
}

// === impl Shower ===

impl Shower {
    /// Reads the files; none where they are as they were before. It blocks for that long.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn renewed(identity: &Identity, before: Option<&Self>) -> Result<Option<Self>, TlsError> {
        // looked at before the files are read: what changes meanwhile is seen at the next look
        let stamps = stamps_of(&files(identity));
        if before.is_some_and(|before| before.stamps == stamps) {
            return Ok(None);
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(Path::new("TLS"), &error))?
            .with_root_certificates(roots(identity)?);
        let Some((certificate, key)) = &identity.shown else {
            let config = Arc::new(builder.with_no_client_auth());
            return Ok(Some(Self { config, stamps, ends: None }));
        };
        let all = pem::certificates(certificate)?;
        let ends = chain::ends(certificate, &all)?;
        let config =
            builder.with_client_auth_cert(all, pem::key(key)?).map_err(|error| unusable(certificate, &error))?;
        Ok(Some(Self { config: Arc::new(config), stamps, ends: Some(ends) }))
    }

    /// As a connector takes it.
    pub fn config(&self) -> ClientConfig {
        ClientConfig::clone(&self.config)
    }

    /// When the certificate ends, or one of those behind it; none where none is shown.
    pub fn ends(&self) -> Option<&Ends> {
        self.ends.as_ref()
    }
}

fn files(identity: &Identity) -> Vec<&Path> {
    let shown = identity.shown.iter().flat_map(|(certificate, key)| [certificate.as_path(), key.as_path()]);
    shown.chain(identity.roots.as_deref()).collect()
}

fn roots(identity: &Identity) -> Result<RootCertStore, TlsError> {
    let mut trusted = RootCertStore::empty();
    match &identity.roots {
        Some(file) => {
            for certificate in pem::certificates(file)? {
                trusted.add(certificate).map_err(|error| unusable(file, &error))?;
            }
        }
        None => {
            // one that cannot be read is passed over, as everywhere
            trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(trusted)
}
