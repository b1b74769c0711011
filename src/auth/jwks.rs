//! The public keys of others, fetched from where they keep them: within bounds, only where `[outbound]` allows, and seldom.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use tokio::time::Instant;

use crate::{
    client::{AnswerMax, FhirClient},
    config::{JWKS_MAX_BYTES, KeySet},
};

/// Keys are fetched anew after so long, …
const FRESH: Duration = Duration::from_secs(300);
/// … and are used for so long where that fails.
const STALE: Duration = Duration::from_secs(3600);
/// Whatever is asked for, one place is asked no more often than this.
const ASKED_EVERY: Duration = Duration::from_secs(60);
/// One fetch takes no longer.
const FETCH_MAX: Duration = Duration::from_secs(5);
/// So many places are remembered.
const PLACES_MAX: usize = 1_024;

/// See the module's documentation.
pub struct Jwks {
    client: FhirClient,
    places: Mutex<HashMap<String, Arc<Place>>>,
}

/// One place; whoever fetches from it holds it.
#[derive(Default)]
struct Place(tokio::sync::Mutex<Kept>);

#[derive(Default)]
struct Kept {
    keys: Option<(Arc<KeySet>, Instant)>,
    asked: Option<Instant>,
}

// === impl Jwks ===

impl Jwks {
    /// With nothing fetched yet.
    pub fn new(client: FhirClient) -> Self {
        Self { client, places: Mutex::default() }
    }

    /// The keys at this URL, fetched anew where they are old or none has this name. None where there are none to be had.
    pub async fn keys(&self, url: &str, kid: &str) -> Option<Arc<KeySet>> {
        let place = self.place(url);
        let mut kept = place.0.lock().await;
        let age = kept.keys.as_ref().map(|(_, at)| at.elapsed());
        let fits = kept.keys.as_ref().is_some_and(|(keys, _)| keys.has(kid));
        let is_fresh = age.is_some_and(|age| age < FRESH);
        let may_ask = kept.asked.is_none_or(|at| at.elapsed() >= ASKED_EVERY);
        if may_ask && !(is_fresh && fits) {
            kept.asked = Some(Instant::now());
            match self.fetch(url).await {
                Ok(keys) => kept.keys = Some((Arc::new(keys), Instant::now())),
                Err(why) => tracing::warn!(url, why, "keys could not be fetched"),
            }
        }
        kept.keys.as_ref().filter(|(_, at)| at.elapsed() < STALE).map(|(keys, _)| Arc::clone(keys))
    }

    fn place(&self, url: &str) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= PLACES_MAX && !places.contains_key(url) {
            // URLs come from the configuration alone: these are of earlier ones
            places.clear();
        }
        Arc::clone(places.entry(url.to_owned()).or_default())
    }

    async fn fetch(&self, url: &str) -> Result<KeySet, String> {
        KeySet::read(&get(&self.client, url, JWKS_MAX_BYTES).await?).map_err(|why| format!("what is there {why}"))
    }
}

/// The public keys at a URL, as a client's are fetched: how many there are.
///
/// # Errors
/// Why they cannot be had.
pub async fn fetched(client: &FhirClient, url: &str) -> Result<usize, String> {
    let read = KeySet::read(&get(client, url, JWKS_MAX_BYTES).await?).map_err(|why| format!("what is there {why}"))?;
    Ok(read.count())
}

/// What is at a URL, if it has no more than so many bytes; no more of it is read.
pub(super) async fn get(client: &FhirClient, url: &str, bytes_max: usize) -> Result<Bytes, String> {
    let request = Request::get(url).header(header::ACCEPT, "application/json").extension(AnswerMax(bytes_max));
    let request = request.body(Full::default()).map_err(|_| "the URL cannot be used".to_owned())?;
    let answer = client.exchange(request, FETCH_MAX).await.map_err(|error| error.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("answered {}", answer.status().as_u16()));
    }
    Ok(answer.into_body())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use hyper::Response;
    use serde_json::json;

    use super::*;
    use crate::client::{CallError, NoConnection, Transport};

    /// A place that counts how often it is asked, and has one key more each time.
    struct Counting(AtomicUsize);

    #[async_trait]
    impl Transport for Counting {
        async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
            let times = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            if request.uri().path() == "/away" {
                return Err(CallError::Connect(NoConnection::Refused));
            }
            let key = |n: usize| json!({"kty": "RSA", "kid": format!("k{n}"), "n": "A".repeat(342), "e": "AQAB"});
            let keys: Vec<_> = (1..=times).map(key).collect();
            Ok(Response::new(json!({"keys": keys}).to_string().into()))
        }
    }

    fn counting() -> (Arc<Counting>, Jwks) {
        let transport = Arc::new(Counting(AtomicUsize::new(0)));
        (Arc::clone(&transport), Jwks::new(FhirClient::over(transport)))
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_is_asked_for_once_a_minute() {
        let (asked, jwks) = counting();
        let url = "https://epr.example/jwks";
        assert!(jwks.keys(url, "k1").await.unwrap().has("k1"));
        for _ in 0..10 {
            assert!(!jwks.keys(url, "unknown").await.unwrap().has("unknown"));
        }
        assert_eq!(asked.0.load(Ordering::SeqCst), 1, "whoever makes up names has nothing fetched");
        tokio::time::advance(ASKED_EVERY).await;
        assert!(jwks.keys(url, "k2").await.unwrap().has("k2"), "a key that is new there is found");
        assert_eq!(asked.0.load(Ordering::SeqCst), 2);
        tokio::time::advance(FRESH).await;
        assert!(jwks.keys(url, "k1").await.unwrap().has("k3"), "after a while what was taken away there is gone here");
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_away_is_not_asked_all_the_time() {
        let (asked, jwks) = counting();
        for _ in 0..10 {
            assert!(jwks.keys("https://epr.example/away", "k1").await.is_none());
        }
        assert_eq!(asked.0.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_at_once_one_fetches() {
        let (asked, jwks) = counting();
        let all = (0..50).map(|_| jwks.keys("https://epr.example/jwks", "k1"));
        assert!(futures_util::future::join_all(all).await.iter().all(Option::is_some));
        assert_eq!(asked.0.load(Ordering::SeqCst), 1);
    }
}
