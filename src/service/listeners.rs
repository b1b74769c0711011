//! Where it listens, and that the certificates are current that it shows there and when it connects.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::{
    config::{Config, Identity, Listener, Registry},
    health::{Health, Part, State},
    http::serve::Door,
    tls::{Acceptor, Ends, Shower, TOLD_BEFORE, TlsError},
};

/// The files of certificates are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where it listens.
pub(super) struct Listeners {
    /// Every address, that of `[server] listen` first, with its port where that was left to the system.
    pub addresses: Vec<SocketAddr>,
    /// All doors, that of `[server]` first.
    pub doors: Vec<Door>,
    /// The certificates, each with the address it is shown at.
    certificates: Vec<(SocketAddr, Arc<Acceptor>)>,
}

/// Looks after certificates.
pub(super) struct Certificates {
    shown: Vec<(SocketAddr, Arc<Acceptor>)>,
    registry: Arc<ArcSwap<Registry>>,
    /// What is shown to endpoints, as it was read last.
    showers: Mutex<HashMap<Arc<Identity>, Shower>>,
    health: Arc<Health>,
}

// === impl Listeners ===

impl Listeners {
    /// Listens everywhere, or nowhere.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        let first = Listener { listen: config.server.listen, tls: config.server.tls.clone() };
        let mut listeners = Self { addresses: vec![], doors: vec![], certificates: vec![] };
        for Listener { listen, tls } in std::iter::once(first).chain(config.listeners.iter().cloned()) {
            let acceptor = tls.map(|tls| Acceptor::open(tls, config.http.http2)).transpose()?.map(Arc::new);
            let failed = |source| StartError::Listen { address: listen, source };
            let listener = TcpListener::bind(listen).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            listeners.addresses.push(address);
            listeners.certificates.extend(acceptor.clone().map(|acceptor| (address, acceptor)));
            listeners.doors.push(Door { listener, acceptor });
        }
        Ok(listeners)
    }

    /// Who looks after their certificates; what is found is told to `health`, at once for the first time.
    pub fn certificates(&self, registry: Arc<ArcSwap<Registry>>, health: Arc<Health>) -> Certificates {
        let certificates =
            Certificates { shown: self.certificates.clone(), registry, showers: Mutex::default(), health };
        certificates.look(Timestamp::now());
        certificates
    }
}

// === impl Certificates ===

impl Certificates {
    /// Takes up what changes, and tells what ends soon, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let looking = Arc::clone(&this);
            // files may lie on a disk that is slow, or away
            let looked = tokio::task::spawn_blocking(move || looking.look(Timestamp::now())).await;
            if let Err(error) = looked {
                tracing::error!(%error, "certificates were not looked at");
            }
        }
    }

    fn look(&self, now: Timestamp) {
        let mut worst: Option<(State, String, &'static str)> = None;
        for (address, acceptor) in &self.shown {
            let renewed = acceptor.renew(now);
            if let Ok(true) = renewed {
                tracing::info!(%address, until = %acceptor.ends().at, "another certificate is in use");
            }
            let ends = acceptor.ends();
            let seconds = ends.at.as_second() as f64;
            metrics::gauge!("onward_certificate_expires_timestamp_seconds", "listener" => address.to_string())
                .set(seconds);
            let what = format!("shown at {address}");
            let found = of_certificate(&what, &ends, now, renewed.err().as_ref());
            if worst.as_ref().is_none_or(|worst| found.0 > worst.0) {
                worst = Some(found);
            }
        }
        for found in self.look_outwards(now) {
            if worst.as_ref().is_none_or(|worst| found.0 > worst.0) {
                worst = Some(found);
            }
        }
        if let Some((state, detail, advice)) = worst {
            self.health.note(Part::Certificate, state, detail, advice);
        }
    }

    /// How it is with the certificates that are shown to endpoints. One that has ended keeps their messages, and nothing else.
    fn look_outwards(&self, now: Timestamp) -> Vec<(State, String, &'static str)> {
        let registry = self.registry.load_full();
        let mut showers = self.showers.lock().unwrap_or_else(PoisonError::into_inner);
        showers.retain(|identity, _| registry.identities().any(|(_, known)| known == identity));
        let mut found = Vec::new();
        for (to, identity) in registry.identities() {
            let renewed = Shower::renewed(identity, showers.get(identity));
            let refused = match renewed {
                Ok(Some(shower)) => {
                    showers.insert(Arc::clone(identity), shower);
                    None
                }
                Ok(None) => None,
                Err(why) => Some(why),
            };
            let what = format!("shown to {to}");
            match (showers.get(identity).map(Shower::ends), refused) {
                (Some(Some(ends)), refused) => {
                    metrics::gauge!("onward_certificate_expires_timestamp_seconds", "endpoint" => to)
                        .set(ends.at.as_second() as f64);
                    let (state, told, advice) = of_certificate(&what, ends, now, refused.as_ref());
                    found.push((state.min(State::Degraded), told, advice));
                }
                (None, Some(why)) => {
                    let told = format!("the certificate {what} cannot be used: {why}");
                    found.push((State::Degraded, told, "put right the file that is named: it is taken up by itself"));
                }
                _ => {}
            }
        }
        found
    }
}

fn of_certificate(
    what: &str,
    ends: &Ends,
    now: Timestamp,
    refused: Option<&TlsError>,
) -> (State, String, &'static str) {
    let left = ends.at.duration_since(now);
    let days = left.as_hours() / 24;
    // who is shown a certificate needs those behind it as well
    let whose = match &ends.authority {
        Some(subject) => format!("the certificate of {subject}, behind the one {what},"),
        None => format!("the certificate {what}"),
    };
    if left <= SignedDuration::ZERO {
        let told = format!("{whose} has ended");
        return (
            State::Unavailable,
            told,
            "get another one and put it in the place of the file: it is taken up by itself",
        );
    }
    if let Some(why) = refused {
        let told = format!(
            "the files of the certificate {what} have changed and cannot be used, the certificate before is in use: {why}"
        );
        return (State::Degraded, told, "put right the file that is named: it is taken up by itself");
    }
    if left < TOLD_BEFORE {
        let told = format!("{whose} ends in {days} days");
        return (
            State::Degraded,
            told,
            "get another one and put it in the place of the file: it is taken up by itself",
        );
    }
    (State::Ready, format!("{whose} holds for {days} days"), "")
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;
    use crate::config::{Clients, Tls};

    fn params(name: &str, (year, month, day): (i32, u8, u8)) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, month, day);
        params
    }

    fn authority(name: &str, until: (i32, u8, u8)) -> CertificateParams {
        let mut params = params(name, until);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    /// Whoever is shown a certificate needs those behind it as well.
    #[test]
    fn that_an_authority_on_the_way_ends_soon_is_told() {
        let (folder, keys) = (tempfile::tempdir().unwrap(), [(); 3].map(|()| KeyPair::generate().unwrap()));
        let [root_key, first_key, key] = keys;
        let root_params = authority("root", (2026, 1, 1));
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let first_params = authority("first", (2026, 3, 4));
        let first = first_params.signed_by(&first_key, &root_issuer).unwrap();
        let shown = params("leaf", (2999, 1, 1)).signed_by(&key, &Issuer::new(first_params, first_key)).unwrap();
        let [certificate, key_file, roots] = ["chain.pem", "key.pem", "roots.pem"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, shown.pem() + &first.pem() + &root.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::write(&roots, root.pem()).unwrap();

        let tls = Tls { certificate: certificate.clone(), key: key_file.clone(), clients: Clients::Unasked };
        let acceptor = Arc::new(Acceptor::open(tls, true).unwrap());
        let (registry, health) = (Arc::new(ArcSwap::from_pointee(Registry::default())), Arc::new(Health::default()));
        let shown = vec![("127.0.0.1:8443".parse().unwrap(), acceptor)];
        let certificates = Certificates { shown, registry, showers: Mutex::default(), health: Arc::clone(&health) };
        let recorder = PrometheusBuilder::new().build_recorder();
        let look = |now: &str| {
            metrics::with_local_recorder(&recorder, || certificates.look(now.parse().unwrap()));
            let all = health.conditions();
            let found = &all[&Part::Certificate];
            (found.state, found.detail.clone())
        };
        let (state, told) = look("2026-03-02T00:00:00Z");
        let behind = "the certificate of CN=first, behind the one shown at 127.0.0.1:8443,";
        assert_eq!((state, told), (State::Degraded, format!("{behind} ends in 2 days")));
        let end: Timestamp = "2026-03-04T00:00:00Z".parse().unwrap();
        let figure =
            format!("onward_certificate_expires_timestamp_seconds{{listener=\"127.0.0.1:8443\"}} {}", end.as_second());
        let figures = recorder.handle().render();
        assert!(figures.contains(&figure), "{figure}: {figures}");
        assert_eq!(look("2026-01-02T00:00:00Z").0, State::Ready);
        assert_eq!(look("2026-03-04T00:00:00Z"), (State::Unavailable, format!("{behind} has ended")));

        // the same of what is shown to endpoints
        let identity = Identity { shown: Some((certificate, key_file)), roots: Some(roots) };
        let shower = Shower::renewed(&identity, None).unwrap().unwrap();
        assert_eq!(shower.ends().map(|ends| (ends.at, ends.authority.as_deref())), Some((end, Some("CN=first"))));
    }
}
