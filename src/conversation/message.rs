//! A message of one side to the other: a Communication that is based on the ServiceRequest or about the Task.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::{
    Conversation, ConversationError, Faults, MOVED_MAX, brought,
    known::{Known, Place, placed},
    new_version,
    taken_back::Wrong,
    tells_of_risk,
};
use crate::{
    config::registry::{Client, Registry},
    domain::{Actor, Event, ProviderId, ReferralId, Side, SystemId, TaskId, task::By},
    fhir::{
        Issue, IssueCode, canonical,
        reference::{Target, parse},
        task as fhir_task, tree,
    },
    intake::{
        apart::{self, Placed},
        asked_of,
    },
    lanes::task_body,
    profiles::Asked,
    status::parent,
    store::{
        Append, AppendError, NewEvent, NewVersion, ResourceKey, StoreError, StoredResource, TaskQuery, TaskRecord, turn,
    },
};

/// Who writes: one of the two sides of a referral.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Author {
    System(SystemId),
    Provider(ProviderId),
}

/// A message that someone sent.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Those the sender may be; the one that has to do with the referral is the author.
    pub clients: Vec<Client>,
    /// The Communication.
    pub body: Value,
    /// By what it is known again where it has no identifier: `If-None-Exist`, else `Idempotency-Key`, with its name before it.
    pub key: Option<String>,
}

/// A message that was stored, or had been stored before.
#[derive(Debug, Clone)]
pub struct Said {
    /// The Communication.
    pub stored: StoredResource,
    /// Whether it was stored now.
    pub new: bool,
    /// Whether the sender gave nothing to know it by, so that sending it again would make it anew.
    pub minted: bool,
}

/// A message resolved and checked.
struct Ready {
    author: Author,
    body: Value,
    origin: Option<String>,
    key: ResourceKey,
    brought: Vec<Placed>,
    /// It asks the referrer for more.
    asks: bool,
    /// It tells of a risk of which the referral did not tell.
    risk: bool,
    /// What it takes back.
    wrong: Option<Wrong>,
}

impl Author {
    /// A client as the side of a referral that it can be.
    fn of(client: &Client) -> Option<Self> {
        match client {
            Client::System(id) => Some(Self::System(id.clone())),
            Client::Provider(id) => Some(Self::Provider(id.clone())),
            Client::Steward(_) => None,
        }
    }

    fn by(&self) -> By {
        match self {
            Self::System(_) => By::Referrer,
            Self::Provider(_) => By::Provider,
        }
    }

    fn actor(&self) -> Actor {
        match self {
            Self::System(id) => Actor::System(id.clone()),
            Self::Provider(id) => Actor::Provider(id.clone()),
        }
    }

    fn has_to_do_with(&self, task: &TaskRecord) -> bool {
        match self {
            Self::System(id) => task.system == *id,
            Self::Provider(id) => task.provider == *id,
        }
    }
}

impl Conversation {
    /// Takes a message of either side and has it carried to the other.
    ///
    /// # Errors
    /// [`ConversationError`]
    pub async fn say(&self, incoming: Incoming) -> Result<Said, ConversationError> {
        self.say_and_take_back(incoming, None).await
    }

    /// The same of a message that takes back another of its author's: with it that one becomes `entered-in-error`, with the reason. What was
    /// said stays in its first version, and the message that takes it back tells the other side.
    ///
    /// # Errors
    /// [`ConversationError`]
    pub async fn take_back(&self, incoming: Incoming, wrong: Wrong) -> Result<Said, ConversationError> {
        self.say_and_take_back(incoming, Some(wrong)).await
    }

    async fn say_and_take_back(&self, incoming: Incoming, wrong: Option<Wrong>) -> Result<Said, ConversationError> {
        let mut faults = Faults::default();
        if tree::resource_type(&incoming.body) != Some("Communication") {
            let told = "a Communication is expected here";
            faults.invalid.push(Issue::error(IssueCode::Invalid, "Communication", told));
        }
        let (registry, now) = (self.registry.load_full(), self.store.now());
        let system = incoming.clients.iter().find_map(|client| match client {
            Client::System(id) => registry.systems.get(id),
            Client::Provider(_) | Client::Steward(_) => None,
        });
        faults.check(&incoming.body, &self.validator, &system.map_or(Asked::at(now), |system| asked_of(system, now)));
        faults.refuse_invalid()?;
        unfit(&incoming.body).into_iter().for_each(|issue| faults.rule(issue));
        let (author, tasks) = match self.find(&incoming).await? {
            Ok(found) => found,
            Err(issue) => {
                faults.rule(issue);
                return Err(ConversationError::Rule(faults.rule));
            }
        };
        let mut sent = incoming.body;
        if let Some(object) = sent.as_object_mut() {
            // an id on what is created is nobody's to give (R4 http, create)
            object.shift_remove("id");
        }
        let (key, minted) = key_of(&author, &sent, incoming.key);
        let taken = self.take(author, tasks, (sent, wrong), key, faults).await;
        taken.map(|(stored, new)| Said { stored, new, minted })
    }

    /// Takes a message that a provider wrote on its own server, with references as they are here; `key` tells it apart there.
    ///
    /// # Errors
    /// [`ConversationError`]
    pub async fn overhear(&self, task: &TaskRecord, body: Value, key: &str) -> Result<bool, ConversationError> {
        let mut faults = Faults::default();
        faults.check(&body, &self.validator, &Asked::at(self.store.now()));
        unfit(&body).into_iter().for_each(|issue| faults.rule(issue));
        let author = Author::Provider(task.provider.clone());
        let key = ResourceKey {
            author: author.actor().to_string(),
            key: format!("copy:{key}"),
            // what its author changes afterwards is not told again
            digest: [0; 32],
        };
        let (_, new) = self.take(author, vec![task.clone()], (body, None), key, faults).await?;
        Ok(new)
    }

    async fn take(
        &self,
        author: Author,
        mut tasks: Vec<TaskRecord>,
        (sent, wrong): (Value, Option<Wrong>),
        key: ResourceKey,
        mut faults: Faults,
    ) -> Result<(StoredResource, bool), ConversationError> {
        if let Some(known) = self.known_message(&key).await? {
            return Ok((known, false));
        }
        let registry = self.registry.load_full();
        let id = Uuid::now_v7();
        let Some(referral) = tasks.first().map(|task| task.referral) else { return Err(ConversationError::NotFound) };
        let known = Known::of(&*self.store, referral).await?;
        let place = Place { registry: &registry, base_url: &self.base_url, known: &known, tasks: &tasks };
        let system = match &author {
            Author::System(id) => registry.systems.get(id),
            Author::Provider(_) => None,
        };
        let mut resource = placed("Communication", id, sent);
        // what a provider wrote on its own server has a name there
        resource.origin = key.key.strip_prefix("copy:").map(str::to_owned);
        let origin = resource.origin.clone();
        let (brought, read) = place.resolve((&self.client, &self.reading), &mut resource, system).await?;
        self.fits(&place, &author, &resource.body, &brought, &read).into_iter().for_each(|issue| faults.rule(issue));
        faults.into_result()?;
        let request = tasks.first().and_then(|task| known.find(&format!("ServiceRequest/{}", task.request)));
        let ready = Ready {
            risk: tells_of_risk(request.unwrap_or(&Value::Null), &resource.body, &brought),
            asks: author.by() == By::Provider && asks(&resource.body),
            body: resource.body,
            origin,
            author,
            key,
            brought,
            wrong,
        };
        for lost in 0..MOVED_MAX {
            turn(lost).await;
            let mut steps = self.steps(&registry, referral, &tasks, id, &ready).await?;
            if let Some(one) = tasks.first() {
                steps = parent::with_parent(&*self.store, &registry, one, steps).await?;
            }
            match self.store.append_together(steps).await {
                Ok(done) => {
                    self.tell(done, "message").await;
                    let stored = self.store.resource("Communication", id, Some(1)).await?;
                    return Ok((stored.ok_or(ConversationError::NotFound)?.0, true));
                }
                // the same message may have come twice at once
                Err(AppendError::Moved | AppendError::LeaseLost) => {
                    if let Some(known) = self.known_message(&ready.key).await? {
                        return Ok((known, false));
                    }
                    for task in &mut tasks {
                        *task = self.store.task(task.id).await?.ok_or(ConversationError::NotFound)?;
                    }
                }
                Err(AppendError::Store(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Unavailable("the task moves on faster than a message can be stored".into()).into())
    }

    /// What is known under a key, if it has the same content.
    async fn known_message(&self, key: &ResourceKey) -> Result<Option<StoredResource>, ConversationError> {
        let Some((id, digest)) = self.store.keyed(&key.author, &key.key).await? else { return Ok(None) };
        if digest != key.digest {
            let told =
                "a message with this identifier and other content was accepted before; what was said is not unsaid";
            let issue = Issue::error(IssueCode::Duplicate, "Communication.identifier", told);
            return Err(ConversationError::Differs(issue));
        }
        let stored = self.store.resource("Communication", id, None).await?;
        Ok(stored.map(|(stored, _)| stored))
    }

    /// The Tasks that a message is for, and which of its possible authors wrote it; or what is wrong with what it names.
    async fn find(&self, incoming: &Incoming) -> Result<Result<(Author, Vec<TaskRecord>), Issue>, StoreError> {
        let mut named: BTreeSet<TaskId> = BTreeSet::new();
        let mut about: BTreeSet<TaskId> = BTreeSet::new();
        for (element, into_about) in [("basedOn", false), ("about", true)] {
            for (index, reference) in tree::items(&incoming.body, element).iter().enumerate() {
                let place = format!("Communication.{element}[{index}]");
                let Some(found) = self.tasks_named(reference, &incoming.clients).await? else { continue };
                let mut visible = self.parts_for_parent(found.tasks).await?;
                visible
                    .retain(|task| incoming.clients.iter().filter_map(Author::of).any(|who| who.has_to_do_with(task)));
                if visible.is_empty() {
                    let told = "there is no such referral, or it is not for this client";
                    return Ok(Err(Issue::error(IssueCode::NotFound, place, told)));
                }
                for task in visible {
                    named.insert(task.id);
                    if into_about && found.one {
                        about.insert(task.id);
                    }
                }
            }
        }
        let place = "Communication.basedOn";
        let mut tasks = Vec::with_capacity(named.len());
        for id in if about.is_empty() { &named } else { &about } {
            tasks.extend(self.store.task(*id).await?);
        }
        let Some(first) = tasks.first() else {
            let told = "say what it is about: basedOn the ServiceRequest, or about it or its Task";
            return Ok(Err(Issue::error(IssueCode::Required, place, told)));
        };
        for id in &named {
            if self.store.task(*id).await?.is_some_and(|task| task.referral != first.referral) {
                let told = "a message is about one referral";
                return Ok(Err(Issue::error(IssueCode::BusinessRule, place, told)));
            }
        }
        let author = incoming.clients.iter().filter_map(Author::of).find(|author| author.has_to_do_with(first));
        Ok(match author {
            Some(author) => {
                tasks.retain(|task| author.has_to_do_with(task));
                Ok((author, tasks))
            }
            None => Err(Issue::error(IssueCode::NotFound, place, "there is no such referral")),
        })
    }

    /// The same with the parts of a parent in its place: nobody works on that, and what is said of it is said to all of them.
    async fn parts_for_parent(&self, tasks: Vec<TaskRecord>) -> Result<Vec<TaskRecord>, StoreError> {
        let Some(parent) = tasks.iter().find(|task| task.is_parent()) else { return Ok(tasks) };
        let (id, request) = (parent.id, parent.request.to_string());
        let mut all = tasks;
        if all.len() == 1 {
            all = self.store.find_tasks(&request).await?;
            all.retain(|task| task.part_of == Some(id));
        }
        all.retain(|task| !task.is_parent());
        Ok(all)
    }

    /// The Tasks that a reference names, by the URL here or by identifier; none where it names something else.
    async fn tasks_named(&self, reference: &Value, clients: &[Client]) -> Result<Option<Named>, StoreError> {
        let own = format!("{}/fhir/", self.base_url);
        let literal = tree::text(reference, "reference").map(|l| l.strip_prefix(&*own).unwrap_or(l));
        if let Some(Target::Relative { kind: kind @ ("Task" | "ServiceRequest"), id, .. }) = literal.map(parse) {
            let tasks = match id.parse::<Uuid>() {
                Ok(id) if kind == "Task" => self.store.task(TaskId(id)).await?.into_iter().collect(),
                Ok(id) => {
                    let mut tasks = self.store.find_tasks(&id.to_string()).await?;
                    tasks.retain(|task| task.request == id);
                    tasks
                }
                Err(_) => vec![],
            };
            return Ok(Some(Named { tasks, one: kind == "Task" }));
        }
        let identifier = tree::identifiers(reference).next();
        let Some((Some(system), value, _)) = identifier.filter(|_| literal.is_none()) else { return Ok(None) };
        if system == fhir_task::URI_SYSTEM
            && let Some(id) = fhir_task::id_of_identifier(value)
        {
            return Ok(Some(Named { tasks: self.store.task(id).await?.into_iter().collect(), one: true }));
        }
        if tree::text(reference, "type").is_some_and(|kind| kind != "ServiceRequest") {
            return Ok(None);
        }
        let mut query = TaskQuery { count: 2, ..TaskQuery::default() };
        for client in clients {
            match client {
                Client::System(id) => query.systems.push(id.clone()),
                Client::Provider(id) => query.providers.push(id.clone()),
                Client::Steward(_) => {}
            }
        }
        let mut tasks = Vec::new();
        for request in self.store.find_requests(query, Some(vec![format!("{system}|{value}")])).await? {
            tasks.extend(self.store.find_tasks(&request.id.to_string()).await?);
        }
        Ok(Some(Named { tasks, one: false }))
    }

    /// What of a resolved message does not fit the referral that it is about.
    fn fits(
        &self,
        place: &Place<'_>,
        author: &Author,
        body: &Value,
        brought: &[Placed],
        read: &super::Read,
    ) -> Vec<Issue> {
        let mut issues = place.loose(body, brought, author.by() == By::Provider);
        let request = place.tasks.first().and_then(|t| place.known.find(&format!("ServiceRequest/{}", t.request)));
        if let (Some(subject), Some(request)) = (body.get("subject"), request)
            && !place.same_person(subject, body, request, read)
        {
            let told = "the subject is not the person of this referral";
            issues.push(Issue::error(IssueCode::BusinessRule, "Communication.subject", told));
        }
        for (index, reference) in tree::items(body, "inResponseTo").iter().enumerate() {
            let literal = tree::text(reference, "reference").unwrap_or_default();
            let answered = matches!(parse(literal), Target::Relative { kind: "Communication", .. });
            if !(answered && place.known.find(literal).is_some()) && author.by() == By::Referrer {
                let told = "this names no message of this referral";
                let at = format!("Communication.inResponseTo[{index}]");
                issues.push(Issue::error(IssueCode::NotFound, at, told));
            }
        }
        issues
    }

    async fn steps(
        &self,
        registry: &Registry,
        referral: ReferralId,
        tasks: &[TaskRecord],
        id: Uuid,
        ready: &Ready,
    ) -> Result<Vec<Append>, ConversationError> {
        let mut steps = Vec::new();
        let mut refused = None;
        for task in tasks {
            let state = match task.state.told(ready.author.by(), ready.asks) {
                Ok(state) => state,
                Err(ended) => {
                    refused = Some(ended);
                    continue;
                }
            };
            let back = crate::status::write_back_lanes(registry, task);
            let lanes = match ready.author.by() {
                By::Provider => back,
                _ if state == task.state => vec![Side::Delivery],
                _ => [Side::Delivery].into_iter().chain(back).collect(),
            };
            let mut body = task_body(&*self.store, task.id, task.version).await?;
            fhir_task::set_state(&mut body, &state, self.store.now());
            let event = Event::Message {
                communication: id,
                with: ready.brought.iter().map(Placed::reference).collect(),
                asks: ready.asks,
                risk: ready.risk,
            };
            let event = NewEvent { event, actor: ready.author.actor(), body: Some(body.to_string()), lanes };
            steps.push(Append { events: vec![event], state, answers: true, ..Append::to(task) });
        }
        let Some(first) = steps.first_mut() else {
            return Err(refused.map_or(ConversationError::NotFound, ConversationError::Refused));
        };
        let all = self.store.find_tasks(&tasks.first().map(|t| t.request).unwrap_or_default().to_string()).await?;
        let all = all.iter().filter(|task| task.referral == referral && !task.is_parent());
        let of_all = all.count() == tasks.len();
        if !of_all && tasks.len() > 1 && ready.author.by() == By::Referrer {
            let told = "a message is for all targets of a referral or for one of them: write to each by itself";
            let issue = Issue::error(IssueCode::BusinessRule, "Communication.about", told);
            return Err(ConversationError::Rule(vec![issue]));
        }
        // between two sides of several it is the business of those two alone; and others may yet come
        let only = if of_all && ready.author.by() == By::Referrer { None } else { tasks.first().map(|task| task.id) };
        let mut message = new_version("Communication", id, 1, &ready.body, Some(ready.key.clone()));
        message.resource.origin.clone_from(&ready.origin);
        first.resources = brought(ready.brought.clone());
        first.resources.push(message);
        first.resources.iter_mut().for_each(|new: &mut NewVersion| new.task = only);
        if let (Some(wrong), Some(task)) = (&ready.wrong, tasks.first()) {
            first.resources.push(self.taken_back(task, &ready.author.actor(), wrong).await?);
        }
        Ok(steps)
    }
}

/// The Tasks that a reference names; `one`: a Task, and not all those of a ServiceRequest.
struct Named {
    tasks: Vec<TaskRecord>,
    one: bool,
}

/// By what a message is known when it comes again: its first identifier with a system, else what came beside it.
fn key_of(author: &Author, sent: &Value, beside: Option<String>) -> (ResourceKey, bool) {
    let identifier = tree::identifiers(sent).find_map(|(system, value, _)| Some(format!("{}|{value}", system?)));
    let given = identifier.map(|token| format!("identifier:{token}")).or(beside);
    let minted = given.is_none();
    let key = given.unwrap_or_else(|| format!("minted:{}", Uuid::now_v7()));
    (ResourceKey { author: author.actor().to_string(), key, digest: canonical::digest(&[sent]) }, minted)
}

/// What makes a Communication a message that can be handed on.
pub fn unfit(body: &Value) -> Vec<Issue> {
    let mut issues = apart::modified(body, "Communication");
    issues.extend(apart::unfit_identifiers(body, "Communication"));
    if !matches!(tree::text(body, "status"), Some("completed" | "in-progress")) {
        let told = "a message that is to be handed on is completed (or in-progress)";
        issues.push(Issue::error(IssueCode::BusinessRule, "Communication.status", told));
    }
    if tree::items(body, "payload").is_empty() {
        let told = "a message without payload says nothing";
        issues.push(Issue::error(IssueCode::Required, "Communication.payload", told));
    }
    issues
}

fn asks(body: &Value) -> bool {
    ["category", "reasonCode"].iter().filter_map(|name| body.get(*name)).any(fhir_task::asks_for_more)
}
