//! References to what the sender did not carry: read from its record at intake, within bounds, or made absolute. A relative
//! reference means something only where it was written; at the provider it could name another person.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use super::apart::Placed;
use crate::{
    client::FhirClient,
    config::registry::{Endpoint, System},
    domain::SystemId,
    fhir::{
        reference::{Target, parse},
        tree,
    },
};

/// At most so many resources are read for one referral; what is beyond is made absolute.
const READ_MAX: usize = 16;
/// All of them together take no longer than this: the sender waits for it.
const READ_TIME_MAX: Duration = Duration::from_secs(8);

/// So many referrals of one system are read for at once: a record that hangs keeps its own senders waiting, and nobody else's.
const AT_ONCE: usize = 32;
/// Further ones wait for so long before their sender is asked to come again.
const PLACE_MAX: Duration = Duration::from_millis(500);

/// The places for reading, of each system its own. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reading {
    places: Arc<Mutex<BTreeMap<SystemId, Arc<Semaphore>>>>,
}

impl Reading {
    async fn place(&self, system: &SystemId) -> Result<OwnedSemaphorePermit, String> {
        let places = {
            let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(system.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
        };
        let place = tokio::time::timeout(PLACE_MAX, places.acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(|| "too much is being read there already".to_owned())
    }
}

/// Brings in what the resources refer to relatively and do not carry. Gives what was read, by the reference it was read under.
///
/// A system without a read endpoint keeps its references as they are; only a worklist may show them so. What is in `known` is
/// here already, under that reference.
///
/// # Errors
/// In words, where the person cannot be read just now: the sender should try again.
pub async fn bring_in(
    client: &FhirClient,
    reading: &Reading,
    system: &System,
    resources: &mut Vec<Placed>,
    known: &[String],
) -> Result<BTreeMap<String, Value>, String> {
    let Some(endpoint) = &system.read else { return Ok(BTreeMap::new()) };
    let carried: Vec<String> = resources.iter().map(Placed::reference).collect();
    let is_outside = |literal: &str| match parse(literal) {
        Target::Relative { kind, id, .. } => {
            let here = format!("{kind}/{id}");
            !carried.contains(&here) && !known.contains(&here)
        }
        _ => false,
    };
    let mut outside: Vec<String> = Vec::new();
    for resource in resources.iter() {
        tree::each_reference(&resource.body, &mut |_, reference| {
            let literal = reference.get("reference").and_then(Value::as_str).unwrap_or_default();
            if is_outside(literal) && !outside.iter().any(|o| o == literal) {
                outside.push(literal.to_owned());
            }
        });
    }
    // the person first: whatever else is too much to read is named by its URL
    outside.sort_by_key(|literal| !literal.starts_with("Patient/"));
    let mut found: Vec<(String, Placed)> = Vec::new();
    let _place = if outside.is_empty() { None } else { Some(reading.place(&system.id).await?) };
    let until = Instant::now() + READ_TIME_MAX;
    for literal in outside.iter().take(READ_MAX) {
        let read = timeout_at(until, read(client, endpoint, literal)).await;
        let read = read.unwrap_or_else(|_| {
            let is_person = literal.starts_with("Patient/");
            if is_person { Err("it answers too slowly".to_owned()) } else { Ok(None) }
        });
        if let Some(body) = read? {
            found.push((literal.clone(), body));
        }
    }
    for resource in resources.iter_mut() {
        tree::map_references(&mut resource.body, &mut |literal| {
            if !is_outside(literal) {
                return None;
            }
            let read = found.iter().find(|(l, _)| l == literal);
            Some(read.map_or_else(|| format!("{}/{literal}", endpoint.base_url), |(_, placed)| placed.reference()))
        });
    }
    let read = found.iter().map(|(literal, placed)| (literal.clone(), placed.body.clone())).collect();
    resources.extend(found.into_iter().map(|(_, placed)| placed));
    Ok(read)
}

async fn read(client: &FhirClient, endpoint: &Endpoint, literal: &str) -> Result<Option<Placed>, String> {
    let Target::Relative { kind, id, .. } = parse(literal) else { return Ok(None) };
    let is_person = kind == "Patient";
    let body = match client.get(endpoint, &format!("{kind}/{id}"), &[]).await {
        Ok(answer) if answer.status.is_success() => answer.body,
        // a person who cannot be read now may be readable in a moment; anything else is named by its URL
        Ok(answer)
            if is_person
                && (answer.status.is_server_error() || matches!(answer.status.as_u16(), 401 | 403 | 408 | 429)) =>
        {
            return Err(answer.describe());
        }
        Err(error) if is_person => return Err(error.to_string()),
        _ => None,
    };
    let Some(mut body) = body.filter(|b| tree::resource_type(b) == Some(kind)) else { return Ok(None) };
    // what it refers to in turn stays in the record
    tree::map_references(&mut body, &mut |inner| match parse(inner) {
        Target::Relative { .. } => Some(format!("{}/{inner}", endpoint.base_url)),
        _ => None,
    });
    let new_id = Uuid::now_v7();
    if let Some(object) = body.as_object_mut() {
        object.insert("id".into(), new_id.to_string().into());
    }
    Ok(Some(Placed { kind: kind.to_owned(), id: new_id, origin: Some(literal.to_owned()), body }))
}
