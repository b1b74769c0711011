//! Where it listens, and that the certificates are current that it shows there and when it connects.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
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
    tls::{Acceptor, Authorities, Ends, Shower, TOLD_BEFORE, TlsError},
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
    /// The authorities that the mail server is known by, where a file has them.
    mail_roots: Option<PathBuf>,
    /// Those that anybody is known by, as each file was read last.
    authorities: Mutex<HashMap<PathBuf, Authorities>>,
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

    /// Who looks after their certificates, and after the authorities that others are known by; what is found is told to `health`, at once
    /// for the first time.
    pub fn certificates(
        &self,
        registry: Arc<ArcSwap<Registry>>,
        mail_roots: Option<PathBuf>,
        health: Arc<Health>,
    ) -> Certificates {
        let certificates = Certificates::new(self.certificates.clone(), registry, mail_roots, health);
        certificates.look(Timestamp::now());
        certificates
    }
}

// === impl Certificates ===

impl Certificates {
    fn new(
        shown: Vec<(SocketAddr, Arc<Acceptor>)>,
        registry: Arc<ArcSwap<Registry>>,
        mail_roots: Option<PathBuf>,
        health: Arc<Health>,
    ) -> Self {
        Self { shown, registry, showers: Mutex::default(), mail_roots, authorities: Mutex::default(), health }
    }

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
        for found in self.look_outwards(now).into_iter().chain(self.look_at_authorities(now)) {
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

impl Certificates {
    /// How it is with the authorities that clients, endpoints and the mail server are known by. Who is known by one that has ended may be
    /// turned away, and others are not.
    fn look_at_authorities(&self, now: Timestamp) -> Vec<(State, String, &'static str)> {
        let registry = self.registry.load_full();
        let of_clients = self
            .shown
            .iter()
            .filter_map(|(address, acceptor)| Some((format!("clients at {address}"), acceptor.roots()?.to_owned())));
        let of_endpoints = registry.identities().filter_map(|(to, identity)| Some((to, identity.roots.clone()?)));
        let of_mail = self.mail_roots.iter().map(|file| ("the mail server".to_owned(), file.clone()));
        let all: Vec<(String, PathBuf)> = of_clients.chain(of_endpoints).chain(of_mail).collect();
        let mut kept = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|file, _| all.iter().any(|(_, known)| known == file));
        let mut found = Vec::with_capacity(all.len());
        for (whom, file) in all {
            let refused = match Authorities::renewed(&file, kept.get(&file)) {
                Ok(Some(authorities)) => {
                    kept.insert(file.clone(), authorities);
                    None
                }
                Ok(None) => None,
                Err(why) => Some(why),
            };
            if let Some(why) = refused {
                let told = format!("the authorities that {whom} are known by cannot be used: {why}");
                found.push((State::Degraded, told, "put right the file that is named: it is taken up by itself"));
            } else if let Some(ends) = kept.get(&file).map(Authorities::ends) {
                found.push(of_authority(&whom, ends, now));
                metrics::gauge!("onward_certificate_expires_timestamp_seconds", "authorities" => whom)
                    .set(ends.at.as_second() as f64);
            }
        }
        found
    }
}

fn of_authority(whom: &str, ends: &Ends, now: Timestamp) -> (State, String, &'static str) {
    let left = ends.at.duration_since(now);
    let subject = ends.authority.as_deref().unwrap_or_default();
    let which = format!("the certificate of {subject}, by which {whom} may be known,");
    if left <= SignedDuration::ZERO {
        let told = format!("{which} has ended");
        return (State::Degraded, told, "put the one that follows it in its place, or take it out of the file");
    }
    let days = left.as_hours() / 24;
    if left < TOLD_BEFORE {
        let told = format!("{which} ends in {days} days");
        return (
            State::Degraded,
            told,
            "put the one that follows it into the file beside it: it is taken up by itself",
        );
    }
    (State::Ready, format!("{which} holds for {days} days"), "")
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
        let certificates = Certificates::new(shown, registry, None, Arc::clone(&health));
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

    /// Whoever is known by an authority is known no more when it has ended.
    #[test]
    fn that_an_authority_that_others_are_known_by_ends_soon_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let root = |until| {
            let key = KeyPair::generate().unwrap();
            authority("Trust root", until).self_signed(&key).unwrap().pem()
        };
        let other = || authority("Other root", (2999, 1, 1)).self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let shown = params("leaf", (2999, 1, 1)).self_signed(&key).unwrap();
        std::fs::write(file("server.pem"), shown.pem()).unwrap();
        std::fs::write(file("server.key"), key.serialize_pem()).unwrap();
        for name in ["clients.pem", "inbox.pem", "mail.pem"] {
            std::fs::write(file(name), other()).unwrap();
        }
        let tls = Tls {
            certificate: file("server.pem"),
            key: file("server.key"),
            clients: Clients::Asked { roots: file("clients.pem"), required: true },
        };
        let acceptor = Arc::new(Acceptor::open(tls, true).unwrap());
        let text = format!(
            "[[provider]]\nid = \"mind\"\nname = \"Mind\"\nods-code = \"ZH999\"\n\
             inbox = {{ kind = \"fhir-rest\", base-url = \"https://mind.example/fhir\", tls = {{ roots = \"{}\" }} }}\n",
            file("inbox.pem").display()
        );
        let (config, _) = Config::parse(&text, &file("onward.toml"), &Default::default()).unwrap();
        let registry = Arc::new(ArcSwap::from_pointee(config.registry));
        let health = Arc::new(Health::default());
        let shown = vec![("127.0.0.1:8443".parse().unwrap(), acceptor)];
        let certificates = Certificates::new(shown, registry, Some(file("mail.pem")), Arc::clone(&health));
        let recorder = PrometheusBuilder::new().build_recorder();
        let look = |now: &str| {
            metrics::with_local_recorder(&recorder, || certificates.look(now.parse().unwrap()));
            let found = health.conditions()[&Part::Certificate].clone();
            (found.state, found.detail)
        };
        const NOW: &str = "2026-03-02T00:00:00Z";
        let ends: Timestamp = "2026-03-04T00:00:00Z".parse().unwrap();
        assert_eq!(look(NOW).0, State::Ready);
        for (name, whom) in
            [("clients.pem", "clients at 127.0.0.1:8443"), ("inbox.pem", "inbox mind"), ("mail.pem", "the mail server")]
        {
            let before = std::fs::read_to_string(file(name)).unwrap();
            std::fs::write(file(name), before.clone() + &root((2026, 3, 4))).unwrap();
            let which = format!("the certificate of CN=Trust root, by which {whom} may be known,");
            assert_eq!(look(NOW), (State::Degraded, format!("{which} ends in 2 days")));
            let figure =
                format!("onward_certificate_expires_timestamp_seconds{{authorities=\"{whom}\"}} {}", ends.as_second());
            let figures = recorder.handle().render();
            assert!(figures.contains(&figure), "{figure}: {figures}");
            // nobody else is turned away by that
            assert_eq!(look("2026-03-04T00:00:00Z"), (State::Degraded, format!("{which} has ended")));
            // so one is renewed: beside it, until it has ended
            std::fs::write(file(name), before.clone() + &root((2026, 3, 4)) + &root((2999, 1, 1))).unwrap();
            assert_eq!(look("2026-03-05T00:00:00Z").0, State::Ready, "{whom}");
            std::fs::write(file(name), "nothing").unwrap();
            let (state, told) = look(NOW);
            assert!(state == State::Degraded && told.contains(name), "{told}");
            std::fs::write(file(name), before).unwrap();
            assert_eq!(look(NOW).0, State::Ready, "{whom}");
        }
    }
}
