//! Services that somebody may refer on to: in the directory, active, and behind an inbox, for else nothing would get there.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use super::{line::concept, passing::Service, words};
use crate::{
    config::Registry,
    directory::{Candidate, body_of, entry},
    domain::{EntryKind, Point, ProviderId},
    fhir::tree,
    search::Search,
    store::StoreError,
    web::{Web, services},
};

/// So many are shown on a page.
pub(super) const FOUND_MAX: usize = 20;
/// So many entries of the directory are looked at: the nearest first, and before all that take nobody.
const LOOKED_AT_MAX: usize = 2_000;
/// They are read in pieces of so many.
const PIECE: usize = 200;
/// No further than this from the place that is asked for.
const NEAR_METRES: f64 = 30_000.0;

/// What is looked for, as a search asks for it, …
const ACTIVE: [(&str, &str); 1] = [("active", "true")];
/// … and which of it says that it takes nobody.
const FULL: [(&str, &str); 2] = [("active", "true"), ("capacity", "no-capacity")];

/// A page of what was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The nearest first, and after all others those that say that they take nobody.
    pub services: Vec<Service>,
    /// So many were passed over that come before.
    pub from: usize,
    /// Whether there are more.
    pub more: bool,
}

/// Why nothing was looked for.
#[derive(Debug)]
pub(super) enum NotFound {
    /// Where the place lies is not known here.
    Place,
    Store(StoreError),
}

impl From<StoreError> for NotFound {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Web {
    /// The services of others than `own` that have all words of what is needed, the nearest to a place first where one is given; a page of
    /// them, behind the first `from`.
    pub(super) async fn services_for(
        &self,
        own: &ProviderId,
        need: &str,
        place: &str,
        from: usize,
    ) -> Result<Found, NotFound> {
        let from = from.min(LOOKED_AT_MAX);
        let registry = self.registry.load_full();
        let near: Option<(Point, f64)> = match place {
            "" => None,
            place => Some((registry.places.centre(place).ok_or(NotFound::Place)?.point, NEAR_METRES)),
        };
        let need = words::folded(need);
        let kind = EntryKind::HealthcareService;
        let search = |asked: &[(&str, &str)]| {
            let asked: Vec<_> = asked.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Search::read(kind.code(), &asked, &self.directory.base, false)
        };
        let (Ok(active), Ok(full)) = (search(&ACTIVE), search(&FULL)) else { return Ok(Found::default()) };
        let candidates = self.directory.candidates(kind, &active, near).await?;
        let full = self.directory.candidates(kind, &full, near).await?;
        let candidates = with_room_first(candidates, &full.into_iter().map(|one| one.id).collect());
        let (mut found, mut passed) = (Vec::new(), 0);
        let ids: Vec<_> =
            candidates.iter().take(LOOKED_AT_MAX).filter_map(|one| Some((kind, one.id.parse().ok()?))).collect();
        for piece in ids.chunks(PIECE) {
            for stored in self.store.directory_entries(piece.to_vec()).await? {
                let body = body_of(&stored)?;
                let metres = candidates.iter().find(|one| *one.id == stored.id.to_string()).and_then(|one| one.metres);
                if has(&body, &need) {
                    let of = service(&registry, &self.directory.base, &stored.id.to_string(), &body, metres);
                    match of.filter(|service| service.provider != *own) {
                        Some(_) if passed < from => passed += 1,
                        Some(_) if found.len() == FOUND_MAX => {
                            return Ok(Found { services: found, from, more: true });
                        }
                        service => found.extend(service),
                    }
                }
            }
        }
        Ok(Found { services: found, from: passed, more: false })
    }

    /// The service with this id, where somebody of `own` may refer on to it: what is one's own is no other service.
    pub(super) async fn service_for(&self, own: &ProviderId, id: &str) -> Result<Option<Service>, StoreError> {
        let Ok(id) = id.parse() else { return Ok(None) };
        let registry = self.registry.load_full();
        let found = self.store.directory_entries(vec![(EntryKind::HealthcareService, id)]).await?;
        let Some(stored) = found.first() else { return Ok(None) };
        let of = service(&registry, &self.directory.base, &id.to_string(), &body_of(stored)?, None);
        Ok(of.filter(|service| service.provider != *own))
    }
}

/// What says that it takes nobody comes last of all, and is not left out: it may have room by the time that it is asked.
fn with_room_first(mut all: Vec<Candidate>, full: &HashSet<Arc<str>>) -> Vec<Candidate> {
    all.sort_by_key(|one| full.contains(&one.id));
    all
}

/// Whether a service says all these words, folded, of itself.
fn has(body: &Value, need: &str) -> bool {
    let concepts = ["type", "category", "specialty"].iter().flat_map(|name| tree::items(body, name)).map(concept);
    let texts = ["name", "comment", "extraDetails"].iter().filter_map(|name| tree::text(body, name)).map(str::to_owned);
    let said = words::folded(&texts.chain(concepts).collect::<Vec<_>>().join(" "));
    need.split(' ').filter(|word| !word.is_empty()).all(|word| said.split(' ').any(|own| own.starts_with(word)))
}

/// None where it is not active, or nothing would get there.
fn service(registry: &Registry, base: &str, id: &str, body: &Value, metres: Option<f64>) -> Option<Service> {
    if body.get("active").and_then(Value::as_bool) == Some(false) {
        return None;
    }
    let inboxes = entry::inboxes_of(body, registry, base);
    let provider = inboxes.iter().find_map(|inbox| registry.providers.get(&registry.inboxes.get(inbox)?.provider))?;
    let where_it_is = tree::items(body, "location").iter().find_map(|one| tree::text(one, "display"));
    let far = metres.map(|metres| format!("about {:.0} km away", (metres / 1000.0).max(1.0)));
    let about = [Some(provider.name.clone()), where_it_is.map(str::to_owned), far];
    let about = about.into_iter().flatten().chain(services::said(body)).collect::<Vec<_>>().join(", ");
    Some(Service {
        is_full: services::is_full(body),
        id: id.to_owned(),
        name: tree::text(body, "name").unwrap_or("A service without a name").to_owned(),
        kind: tree::items(body, "type").first().cloned(),
        provider: provider.id.clone(),
        ods_code: provider.ods_code.clone(),
        organisation: provider.name.clone(),
        about,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_found_by_all_words_of_what_is_needed() {
        let choir = json!({"name": "Wavertree Choir", "type": [{"text": "Singing for well-being"}], "comment": "Every Tuesday"});
        for (need, found) in [
            ("choir", true),
            ("sing tues", true),
            ("", true),
            ("garden", false),
            ("choir garden", false),
            ("oir", false),
        ] {
            assert_eq!(has(&choir, need), found, "{need}");
        }
    }
}
