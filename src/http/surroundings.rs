//! All that goes with a referral as a client may see it: its resources, the Tasks that concern the client, who changed them, and the
//! organisations of the registry.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    App, Shared,
    call::Caller,
    directory,
    read::{point, resource_body},
    reply::Fault,
};
use crate::{
    auth::{Deed, client_that_may},
    config::registry::{Client, Registry},
    directory::entry::organization,
    domain::{Actor, EntryKind, ProviderId, ReferralId},
    fhir::{provenance, task::with_meta},
    store::{JournalLine, StoreError, StoredResource, TaskQuery, TaskRecord},
};

/// A resource as it is read now.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its type.
    pub kind: String,
    /// Its logical id.
    pub id: String,
    /// Its version.
    pub version: u64,
    /// When that was made.
    pub last_updated: Timestamp,
    /// The provider of a Task.
    pub owner: Option<String>,
    /// The resource, `meta` included.
    pub body: Value,
}

/// What goes with referrals, read once each.
pub(super) struct Surroundings<'a> {
    app: &'a App,
    clients: Vec<Client>,
    query: TaskQuery,
    registry: std::sync::Arc<Registry>,
    organisations: HashMap<String, Value>,
    by_referral: BTreeMap<ReferralId, Vec<Found>>,
    /// Whether it is asked who changed a Task.
    with_provenance: bool,
}

/// A query for what concerns these clients.
pub(super) fn concerning(clients: &[Client]) -> TaskQuery {
    let mut query = TaskQuery::default();
    for client in clients {
        match client {
            Client::System(id) => query.systems.push(id.clone()),
            Client::Provider(id) => query.providers.push(id.clone()),
            Client::Steward(_) => {}
        }
    }
    query
}

/// The Provenance of a change of a Task; none of what did not change it.
pub(super) fn provenance_of(registry: &Registry, task: &TaskRecord, line: &JournalLine) -> Option<Found> {
    if !line.event.changes_task() {
        return None;
    }
    let organisation = match &line.actor {
        Actor::System(id) => registry.systems.get(id).map(|s| (s.name.as_str(), s.ods_code.as_str())),
        Actor::Provider(id) => registry.providers.get(id).map(|p| (p.name.as_str(), p.ods_code.as_str())),
        Actor::Onward | Actor::Operator(_) => None,
    };
    let made = provenance::make(&provenance::Change {
        task: task.id,
        request: task.request,
        seq: line.seq,
        at: line.at,
        event: &line.event,
        actor: &line.actor,
        organisation,
    });
    Some(Found {
        kind: "Provenance".to_owned(),
        id: provenance::id(task.id, line.seq),
        version: 1,
        last_updated: line.at,
        owner: None,
        body: with_meta(made, 1, line.at),
    })
}

impl Found {
    /// A resource as it is stored.
    pub(super) fn of(stored: &StoredResource) -> Result<Self, StoreError> {
        Ok(Self {
            kind: stored.kind.clone(),
            id: stored.id.to_string(),
            version: stored.version,
            last_updated: stored.last_updated,
            owner: None,
            body: resource_body(stored)?,
        })
    }

    /// A Task as it is stored and as these providers, or a system, may see it.
    pub(super) fn of_task(
        task: &TaskRecord,
        stored: &StoredResource,
        seen_by: &[ProviderId],
    ) -> Result<Self, StoreError> {
        let mut found = Self { owner: Some(task.provider.to_string()), ..Self::of(stored)? };
        point(&mut found.body, task, seen_by);
        Ok(found)
    }
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(app: &'a Shared, caller: &Caller, with_provenance: bool) -> Self {
        let registry = app.registry.load_full();
        let organisations =
            registry.providers.keys().filter_map(|id| Some((id.to_string(), organization(&registry, id.as_str())?)));
        let organisations = organisations.collect();
        Self {
            clients: caller.clients.clone(),
            app,
            query: concerning(&caller.clients),
            registry,
            organisations,
            by_referral: BTreeMap::new(),
            with_provenance,
        }
    }

    /// A query for what concerns this client.
    pub(super) fn concerned(&self) -> TaskQuery {
        self.query.clone()
    }

    /// Reads what goes with these referrals, where it was not read. One that is not this client's has nothing.
    pub(super) async fn read(&mut self, referrals: &[ReferralId]) -> Result<(), Fault> {
        self.read_of(referrals, None).await
    }

    /// The same of these types alone: the last that is read, for of these referrals nothing else is there then.
    pub(super) async fn read_of(
        &mut self,
        referrals: &[ReferralId],
        types: Option<&BTreeSet<String>>,
    ) -> Result<(), Fault> {
        let is_wanted = |kind: &str| types.is_none_or(|types| types.contains(kind));
        let new: Vec<ReferralId> = referrals.iter().filter(|of| !self.by_referral.contains_key(*of)).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let query = TaskQuery { referrals: Some(new.clone()), count: usize::MAX, ..self.query.clone() };
        let mut tasks: BTreeMap<ReferralId, Vec<(TaskRecord, StoredResource)>> = BTreeMap::new();
        for (task, stored) in self.app.store.search_tasks(query).await? {
            tasks.entry(task.referral).or_default().push((task, stored));
        }
        for of in new {
            let tasks = tasks.remove(&of).unwrap_or_default();
            let mut all = Vec::new();
            if !tasks.is_empty() {
                for stored in self.app.store.resources_of(of).await? {
                    let concerns = stored.task.is_none_or(|id| tasks.iter().any(|(task, _)| task.id == id));
                    if concerns && is_wanted(&stored.kind) {
                        all.push(Found::of(&stored)?);
                    }
                }
            }
            for (task, stored) in &tasks {
                if is_wanted("Task") {
                    all.push(Found::of_task(task, stored, &self.query.providers)?);
                }
                if self.with_provenance {
                    let lines = self.app.store.journal(task.id).await?;
                    all.extend(lines.iter().filter_map(|line| provenance_of(&self.registry, task, line)));
                }
            }
            self.by_referral.insert(of, all);
        }
        Ok(())
    }

    /// Each of these resources by its referral, type and id, like [`Surroundings::one`], and with its referral. The referrals must be
    /// such as this client has found already.
    pub(super) async fn several(
        &self,
        wanted: Vec<(Option<ReferralId>, String, String)>,
    ) -> Result<Vec<(Option<ReferralId>, Value)>, Fault> {
        let named = |(referral, kind, id): &(Option<ReferralId>, String, String)| {
            let name = (kind.clone(), id.parse::<uuid::Uuid>().ok()?);
            (referral.is_some() && kind != "Task").then_some(name)
        };
        let names = wanted.iter().filter_map(named).collect();
        let read = self.app.store.named(names).await?;
        let read: HashMap<_, _> = read.iter().map(|stored| ((stored.kind.clone(), stored.id), stored)).collect();
        let mut all = Vec::new();
        for one in wanted {
            // what is one Task's alone is not everybody's who has to do with the referral
            let own = named(&one).and_then(|name| read.get(&name));
            let own = own.filter(|stored| Some(stored.referral) == one.0 && stored.task.is_none());
            let (referral, kind, id) = one;
            let body = match own {
                Some(stored) => Some(resource_body(stored)?),
                None => self.one(referral, &kind, &id).await?,
            };
            all.extend(body.map(|body| (referral, body)));
        }
        Ok(all)
    }

    /// One resource that goes with a referral, or an entry of the directory, read by itself: where only few are asked for, all
    /// that goes with their referrals is much more. None of what is not there, or not this client's.
    pub(super) async fn one(&self, referral: Option<ReferralId>, kind: &str, id: &str) -> Result<Option<Value>, Fault> {
        let (Some(referral), Ok(uuid)) = (referral, id.parse::<uuid::Uuid>()) else {
            return self.of_directory(kind, id).await;
        };
        if kind == "Task" {
            let query =
                TaskQuery { ids: Some(vec![uuid]), referrals: Some(vec![referral]), count: 1, ..self.query.clone() };
            let found = self.app.store.search_tasks(query).await?;
            let seen_by = &self.query.providers;
            let found = found.first().map(|(task, stored)| Found::of_task(task, stored, seen_by));
            return Ok(found.transpose()?.map(|f| f.body));
        }
        let found = self.app.store.resource(kind, uuid, None).await?;
        // a reference leads nowhere beyond its own referral
        let own = found.filter(|(stored, parties)| {
            stored.referral == referral && client_that_may(&self.clients, Deed::Read, parties).is_some()
        });
        match own {
            Some((stored, _)) => Ok(Some(resource_body(&stored)?)),
            None => self.of_directory(kind, id).await,
        }
    }

    /// What everybody sees: an entry of the directory.
    async fn of_directory(&self, kind: &str, id: &str) -> Result<Option<Value>, Fault> {
        let Ok(kind) = kind.parse::<EntryKind>() else { return Ok(None) };
        Ok(directory::one(self.app, kind, id).await?.map(|found| found.body))
    }

    /// What goes with a referral, in no order.
    pub(super) fn of(&self, referral: ReferralId) -> &[Found] {
        self.by_referral.get(&referral).map(Vec::as_slice).unwrap_or_default()
    }

    /// The resource of this type and id that goes with a referral, or an organisation of the registry.
    pub(super) fn find(&self, referral: ReferralId, kind: &str, id: &str) -> Option<&Value> {
        let own = self.of(referral).iter().find(|found| found.kind == kind && found.id == id);
        own.map(|found| &found.body).or_else(|| self.organisation(kind, id))
    }

    /// An organisation of the registry.
    pub(super) fn organisation(&self, kind: &str, id: &str) -> Option<&Value> {
        self.organisations.get(id).filter(|_| kind == "Organization")
    }
}
