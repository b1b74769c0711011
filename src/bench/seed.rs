//! Fills a store with referrals that have gone their way, through the store's own port and without anybody being sent anything:
//! for measuring what many of them cost.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use aws_lc_rs::digest;
use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    BenchError,
    plan::{Folder, Plan},
    referral::{self, Fate, IDENTIFIERS, Maker},
};
use crate::{
    config::{Config, Env},
    domain::{
        Actor, Event, InboxId, ProviderId, ReferralId, SystemId, TaskId, TaskStatus,
        deadline::{Deadlines, RouteTerms},
        task::{Answer, TaskState},
    },
    fhir::{names, task as fhir_task},
    store::{Append, AppendError, NewEvent, NewReferral, NewResource, NewTask, Store, StoreError, Submission, Submit},
};

/// So many are stored at a time.
const AT_ONCE: usize = 256;
/// One in so many is left waiting at its provider; the others are completed.
const OPEN_ONE_IN: u32 = 50;
const SAY_EVERY: u32 = 50_000;

/// Stores `count` referrals. Gives how many there are then.
///
/// # Errors
/// [`BenchError`]
pub async fn run(folder: &Folder, count: u32) -> Result<u64, BenchError> {
    let plan = Plan::read(folder)?;
    let (config, _) = Config::load(Some(&folder.config()), &Env::of_process()).map_err(BenchError::Config)?;
    let store =
        crate::service::open_store(&config.store.url).await.map_err(|error| BenchError::NoAnswer(error.to_string()))?;
    let seeder = Arc::new(Seeder { plan, store, maker: Maker::new(), run: referral::run_name() });
    let (next, stored) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (seeder, next, stored) = (seeder.clone(), next.clone(), stored.clone());
        all.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                if number > 0 && number.is_multiple_of(SAY_EVERY) {
                    eprintln!("{number} stored");
                }
                seeder.one(number).await?;
                stored.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = all.join_next().await {
        let ended: Result<(), StoreError> = ended.map_err(|error| BenchError::NoAnswer(error.to_string()))?;
        ended.map_err(|error| BenchError::NoAnswer(error.to_string()))?;
    }
    seeder.store.close().await;
    Ok(stored.load(Ordering::Relaxed))
}

struct Seeder {
    plan: Plan,
    store: Arc<dyn Store>,
    maker: Maker,
    run: String,
}

impl Seeder {
    async fn one(&self, number: u32) -> Result<(), StoreError> {
        let unusable = |what: &str| StoreError::Corrupt(what.to_owned());
        let (system, inbox) = (self.plan.system_of(number), self.plan.inbox_of(number));
        let decision = json!({"route": format!("service-{inbox}"), "inboxes": [{"to": format!("inbox-{inbox}")}]});
        let fate = Fate { answers: 3, number };
        let original = self.maker.make(&self.run, fate, &self.plan.record_base(system), &format!("s{inbox}"));
        let bundle: Value = serde_json::from_str(&original).map_err(|_| unusable("the referral is no JSON"))?;
        let identifier = format!("{IDENTIFIERS}|{}", fate.identifier(&self.run));
        let system: SystemId = format!("system-{system}").parse().map_err(|_| unusable("no id of a system"))?;
        let inbox: InboxId = format!("inbox-{inbox}").parse().map_err(|_| unusable("no id of an inbox"))?;
        let provider: ProviderId = inbox.as_str().parse().map_err(|_| unusable("no id of a provider"))?;

        let mut request = None;
        let mut resources = Vec::new();
        for entry in crate::fhir::tree::items(&bundle, "entry") {
            let Some(resource) = entry.get("resource") else { continue };
            let kind = crate::fhir::tree::resource_type(resource).unwrap_or_default().to_owned();
            let mut resource = resource.clone();
            let id = Uuid::now_v7();
            if let Some(object) = resource.as_object_mut() {
                object.insert("id".into(), id.to_string().into());
            }
            resources.push(NewResource {
                kind: kind.clone(),
                id,
                origin: None,
                names: names::of(&resource),
                body: resource.to_string(),
            });
            if kind == "ServiceRequest" {
                request = Some((id, resource));
            }
        }
        let Some((request, body)) = request else { return Err(unusable("no ServiceRequest")) };
        let task = TaskId::mint();
        let owner = json!({"reference": format!("Organization/{provider}"), "type": "Organization"});
        let now = self.store.now();
        let made = fhir_task::make(&fhir_task::NewTask {
            id: task,
            base_url: &format!("http://127.0.0.1:{}", self.plan.onward_port),
            request: &body,
            owner: Some(owner),
            part_of: None,
            order: None,
            at: now,
        });
        let submitted = NewEvent {
            event: Event::Submitted {
                route: Some("seed".into()),
                route_set: "seed".into(),
                inbox: inbox.clone(),
                instead_of: None,
                beside: None,
            },
            actor: Actor::System(system.clone()),
            body: Some(made.to_string()),
            lanes: vec![],
        };
        let mut content = [0u8; 32];
        content.copy_from_slice(digest::digest(&digest::SHA256, original.as_bytes()).as_ref());
        let referral = NewReferral {
            id: ReferralId::mint(),
            key: identifier.clone(),
            identifier: Some(identifier),
            digest: content,
            request,
            origin: Some(format!("sr-{number}")),
            route_set: "seed".into(),
            decision: decision.to_string(),
            resources,
            tasks: vec![NewTask {
                id: task,
                inbox: inbox.clone(),
                provider: provider.clone(),
                part_of: None,
                terms: RouteTerms::default(),
                resources: vec![],
                deadlines: Deadlines::default(),
                beside: None,
                events: vec![submitted],
            }],
        };
        let submission = Submission {
            id: Uuid::now_v7(),
            system,
            content_type: "application/fhir+json".into(),
            original: Bytes::from(original),
            referrals: vec![referral],
            answer: "[]".into(),
            traceparent: None,
            asked_by: None,
        };
        match self.store.submit(submission).await? {
            Submit::Stored(..) => {}
            Submit::Differs(_) => return Err(unusable("a referral of this name is there already")),
        }
        self.go_on(number, task, made, inbox, provider).await
    }

    /// What has become of it since.
    async fn go_on(
        &self,
        number: u32,
        task: TaskId,
        mut body: Value,
        inbox: InboxId,
        provider: ProviderId,
    ) -> Result<(), StoreError> {
        let mut state = TaskState::new().delivered();
        let actor = || Actor::Provider(provider.clone());
        let delivered = Event::Delivered { inbox, remote: Some(format!("t{number}")), by_answer: false };
        let mut events = vec![(delivered, Actor::Onward, state)];
        if !number.is_multiple_of(OPEN_ONE_IN) {
            for to in [TaskStatus::Accepted, TaskStatus::InProgress, TaskStatus::Completed] {
                let from = state.status;
                state = state.answer(Answer { to, has_reason: false, aware: true }).unwrap_or(state);
                events.push((Event::Answered { from, to, implied: false }, actor(), state));
            }
        }
        let now = self.store.now();
        let mut written = |(event, actor, state): (Event, Actor, TaskState)| {
            fhir_task::set_state(&mut body, &state, now);
            NewEvent { event, actor, body: Some(body.to_string()), lanes: vec![] }
        };
        let append = Append {
            task,
            expected_seq: 1,
            events: events.into_iter().map(&mut written).collect(),
            resources: vec![],
            tasks: vec![],
            unsent: false,
            state,
            answers: true,
            settle: None,
            attempt: None,
            poll: None,
            rearm: None,
            discard: None,
            alerts: vec![],
            asked_by: None,
        };
        match self.store.append(append).await {
            Ok(_) => Ok(()),
            Err(AppendError::Store(error)) => Err(error),
            Err(error) => Err(StoreError::Corrupt(error.to_string())),
        }
    }
}
