//! Names looked up within bounds. The system's look-up blocks a thread for as long as it likes and cannot be stopped: so there is
//! one at a time for a name, however many wait for it, nobody waits for it longer than so long, and what was last found serves for
//! a while where none is found now. A resolver that hangs thus holds up its own names and no others.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};

/// Whoever waits for a look-up waits no longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// What was found is not looked up again for so long.
const FRESH: Duration = Duration::from_secs(5);
/// What was found may serve for so long where nothing is found any more.
const STALE: Duration = Duration::from_secs(3600);
/// Look-ups that run at once, over all names; each holds a thread. The runtime has 512 for such work.
const AT_ONCE: usize = 128;
/// Names that are remembered; they come from the configuration, so there are seldom so many.
const NAMES_MAX: usize = 4096;

/// Asks somebody what addresses a name has.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a name.
    ///
    /// # Errors
    /// What the one who was asked said.
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system: `getaddrinfo`, on a thread of its own.
pub struct System;

#[async_trait]
impl Lookup for System {
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// See the module's documentation. Clones share what they know.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    lookup: Arc<dyn Lookup>,
    names: Mutex<HashMap<String, Name>>,
    at_once: Semaphore,
}

/// What is known of a name.
#[derive(Default)]
struct Name {
    found: Option<(Vec<IpAddr>, Instant)>,
    running: Option<watch::Receiver<Option<Outcome>>>,
}

type Outcome = Result<Vec<IpAddr>, String>;

// === impl Resolver ===

impl Resolver {
    /// One that asks the system.
    pub fn system() -> Self {
        Self::over(Arc::new(System))
    }

    /// One that asks this way.
    pub fn over(lookup: Arc<dyn Lookup>) -> Self {
        let shared = Shared { lookup, names: Mutex::default(), at_once: Semaphore::new(AT_ONCE) };
        Self { shared: Arc::new(shared) }
    }

    /// The addresses of a name; of an address, itself.
    ///
    /// # Errors
    /// Where none is found in time, and none is known from before.
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![address]);
        }
        let mut running = {
            let mut names = self.shared.names();
            if names.len() >= NAMES_MAX && !names.contains_key(name) {
                names.retain(|_, known| known.running.is_some());
            }
            let known = names.entry(name.to_owned()).or_default();
            if let Some((addresses, at)) = &known.found
                && at.elapsed() < FRESH
            {
                return Ok(addresses.clone());
            }
            known.running.get_or_insert_with(|| self.start(name)).clone()
        };
        let outcome = match timeout(PATIENCE, running.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err("no answer".to_owned())),
            Ok(Err(_)) => Err("the look-up ended without an answer".to_owned()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        outcome.or_else(|why| {
            let names = self.shared.names();
            let before = names.get(name).and_then(|known| known.found.as_ref());
            match before.filter(|(_, at)| at.elapsed() < STALE) {
                Some((addresses, _)) => {
                    tracing::warn!(name, why, "a name cannot be looked up; its last address is used");
                    Ok(addresses.clone())
                }
                None => Err(io::Error::other(format!("the name {name} cannot be looked up: {why}"))),
            }
        })
    }

    /// Begins a look-up that runs to its end, whoever waits for it.
    fn start(&self, name: &str) -> watch::Receiver<Option<Outcome>> {
        let (tell, told) = watch::channel(None);
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        tokio::spawn(async move {
            let outcome = match shared.at_once.acquire().await {
                Ok(_one_of_few) => shared.lookup.look_up(&name).await,
                Err(_) => Err(io::Error::other("it was closed")),
            };
            let outcome = match outcome {
                Ok(addresses) if addresses.is_empty() => Err("it has no address".to_owned()),
                other => other.map_err(|error| error.to_string()),
            };
            {
                let mut names = shared.names();
                let known = names.entry(name).or_default();
                known.running = None;
                if let Ok(addresses) = &outcome {
                    known.found = Some((addresses.clone(), Instant::now()));
                }
            }
            tell.send_replace(Some(outcome));
        });
        told
    }
}

impl Shared {
    fn names(&self) -> MutexGuard<'_, HashMap<String, Name>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Knows every name, except that it never answers for one that begins with "slow" and has none for one with "no".
    #[derive(Default)]
    struct Asked(AtomicUsize);

    #[async_trait]
    impl Lookup for Asked {
        async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            let before = self.0.fetch_add(1, Ordering::SeqCst);
            if name.starts_with("slow") || (name.starts_with("later-slow") && before > 0) {
                std::future::pending().await
            }
            if name.starts_with("no") {
                return Err(io::Error::other("no such name"));
            }
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_hangs_is_asked_for_once_and_holds_nobody_up() {
        let asked = Arc::new(Asked::default());
        let resolver = Resolver::over(Arc::clone(&asked) as Arc<dyn Lookup>);
        let begun = Instant::now();
        let many = (0..200).map(|_| resolver.resolve("slow.example"));
        let (many, fast) = tokio::join!(futures_util::future::join_all(many), async {
            let found = resolver.resolve("fast.example").await.unwrap();
            (found, begun.elapsed())
        });
        assert!(many.iter().all(Result::is_err));
        assert!(many[0].as_ref().unwrap_err().to_string().contains("slow.example"));
        assert_eq!(begun.elapsed(), PATIENCE);
        assert_eq!(fast, (vec![IpAddr::from(Ipv4Addr::LOCALHOST)], Duration::ZERO));
        // and again: the one look-up still runs, so none is added to it
        assert!(resolver.resolve("slow.example").await.is_err());
        assert_eq!(asked.0.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_serves_where_nothing_is_found_now() {
        let resolver = Resolver::over(Arc::new(Asked::default()));
        let first = resolver.resolve("later-slow.example").await.unwrap();
        tokio::time::advance(FRESH).await;
        assert_eq!(resolver.resolve("later-slow.example").await.unwrap(), first);
        tokio::time::advance(STALE).await;
        assert!(resolver.resolve("later-slow.example").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_not_asked_for_and_no_answer_is_an_error() {
        let asked = Arc::new(Asked::default());
        let resolver = Resolver::over(Arc::clone(&asked) as Arc<dyn Lookup>);
        assert_eq!(resolver.resolve("127.0.0.1").await.unwrap(), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
        assert!(resolver.resolve("[::1]").await.unwrap()[0].is_ipv6());
        assert_eq!(asked.0.load(Ordering::SeqCst), 0);
        let told = resolver.resolve("no.example").await.unwrap_err().to_string();
        assert!(told.contains("no such name"), "{told}");
        // a failure is not remembered
        assert!(resolver.resolve("no.example").await.is_err());
        assert_eq!(asked.0.load(Ordering::SeqCst), 2);
    }
}
