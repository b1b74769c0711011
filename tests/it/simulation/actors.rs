//! Those around Onward: record systems that send until they are answered, and providers that answer until they are heard.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use onward::{
    config::registry::Client,
    conversation::{ConversationError, Incoming},
    domain::{TaskId, TaskStatus, task::Refusal},
    intake::{self, IntakeError},
    lanes::task_body,
    status::{Source, StatusError},
};
use serde_json::{Value, json};

use super::{
    process::{Ground, Process},
    schedule::{Inbox, Referral, Said},
};
use crate::support::{memory::Row, onward::our_id};

/// Who asks a replica that says nothing turns to another after this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is said after sending is said within this time.
const SAID_WITHIN_MS: u64 = 3_000;

/// The replicas as those around them see them: those that live.
#[derive(Clone)]
pub struct Replicas {
    pub ground: Ground,
    pub live: Arc<Mutex<Vec<Option<Process>>>>,
}

/// What became of what was sent, for the checks.
#[derive(Default)]
pub struct Seen {
    /// The Task that each referral was acknowledged with, by its number; every time it was.
    pub acknowledged: Mutex<Vec<(usize, TaskId)>>,
    /// Numbers of the referrals of which something more was said, and taken.
    pub said: Mutex<Vec<usize>>,
    /// Numbers of the referrals whose provider has said all it wanted.
    pub told: Mutex<Vec<usize>>,
    /// What must never happen.
    pub wrong: Mutex<Vec<String>>,
}

impl Replicas {
    /// One of them, by chance; none while none lives.
    fn one<T>(&self, ask: impl FnOnce(&Process) -> T) -> Option<T> {
        let live = self.live.lock().unwrap();
        let there: Vec<_> = live.iter().flatten().filter(|p| !p.replica.is_dead()).collect();
        let chosen = self.ground.world.draw(there.len() as u64);
        there.get(usize::try_from(chosen).unwrap()).map(|process| ask(process))
    }

    fn draw(&self, n: u64) -> u64 {
        self.ground.world.draw(n)
    }

    async fn pause(&self, up_to_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.draw(up_to_ms))).await;
    }
}

/// The id of an inbox, and the code by which a route leads there.
pub fn code(inbox: Inbox) -> &'static str {
    match inbox {
        Inbox::Pushed => "pushed",
        Inbox::Polled => "polled",
        Inbox::Listed => "listed",
        Inbox::Both => "both",
    }
}

/// The n-th referral as it is sent.
pub fn request(n: usize, inbox: Inbox) -> Value {
    json!({
        "resourceType": "ServiceRequest",
        "contained": [{"resourceType": "Patient", "id": "p", "name": [{"family": "Example"}],
            "identifier": [{"system": "https://epr.example/patient", "value": format!("p{n}")}]}],
        "identifier": [{"system": "https://epr.example/placer", "value": format!("r{n}")}],
        "status": "active", "intent": "order",
        "code": {"coding": [{"system": "https://epr.example/service", "code": code(inbox)}]},
        "subject": {"reference": "#p"},
    })
}

/// A record system: sends a referral until it is acknowledged, and now and then once more.
pub async fn refer(replicas: Replicas, seen: Arc<Seen>, n: usize, referral: Referral) {
    let body = request(n, referral.inbox);
    if referral.in_record {
        replicas.ground.servers.record.put_resource(body.clone());
    }
    let mut again = replicas.draw(4) == 0;
    loop {
        let incoming = intake::Incoming {
            system: "epr".parse().unwrap(),
            expected: "ServiceRequest",
            content_type: "application/fhir+json".into(),
            original: Bytes::from_static(b"as it was sent"),
            body: body.clone(),
            faults: Vec::new(),
            if_none_exist: None,
            idempotency_key: None,
            traceparent: None,
        };
        let intake = replicas.one(|process| process.intake.clone());
        let answer = match intake {
            Some(intake) => tokio::time::timeout(PATIENCE, intake.accept(incoming)).await,
            None => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        match answer {
            Ok(Ok(accepted)) => {
                let task = accepted.referrals[0].tasks[0];
                seen.acknowledged.lock().unwrap().push((n, task));
                if !std::mem::take(&mut again) {
                    return;
                }
            }
            Ok(Err(IntakeError::Store(_))) | Err(_) => {}
            Ok(Err(other)) => {
                seen.wrong.lock().unwrap().push(format!("referral {n} is refused: {other}"));
                return;
            }
        }
        replicas.pause(1_000).await;
    }
}

/// A referrer that has something more to say: says it until it is taken, or refused because the Task has ended.
pub async fn say(replicas: Replicas, seen: Arc<Seen>, n: usize, said: Said) {
    replicas.pause(SAID_WITHIN_MS).await;
    let mut again = said == Said::Message && replicas.draw(4) == 0;
    loop {
        replicas.pause(1_000).await;
        let task = seen.acknowledged.lock().unwrap().iter().find(|(m, _)| *m == n).map(|(_, task)| *task);
        let speaks = replicas.one(|p| (p.store.clone(), p.conversation.clone()));
        let (Some(task), Some((store, conversation))) = (task, speaks) else { continue };
        let attempt = async {
            let request = store.task(task).await?.ok_or(ConversationError::NotFound)?.request;
            match said {
                Said::Cancel => {
                    let found = store.resource("ServiceRequest", request, None).await?;
                    let stored = found.ok_or(ConversationError::NotFound)?.0;
                    let mut wanted: Value = serde_json::from_str(&stored.body).unwrap();
                    wanted["status"] = "revoked".into();
                    conversation.change(request, stored.version, |_| Ok(wanted.clone())).await.map(|_| ())
                }
                Said::Message => {
                    let body = json!({
                        "resourceType": "Communication", "status": "completed",
                        "identifier": [{"system": "https://epr.example/message", "value": format!("m{n}")}],
                        "basedOn": [{"reference": format!("ServiceRequest/{request}")}],
                        "payload": [{"contentString": "the number has changed"}],
                    });
                    let clients = vec![Client::System("epr".parse().unwrap())];
                    conversation.say(Incoming { clients, body, key: None }).await.map(|_| ())
                }
            }
        };
        match tokio::time::timeout(PATIENCE, attempt).await {
            Ok(Ok(())) if std::mem::take(&mut again) => {}
            Ok(Ok(())) => {
                seen.said.lock().unwrap().push(n);
                return;
            }
            Ok(Err(ConversationError::Refused(Refusal::Ended { .. }))) => return,
            Ok(Err(ConversationError::Store(_) | ConversationError::Stale { .. })) | Err(_) => {}
            Ok(Err(other)) => {
                seen.wrong.lock().unwrap().push(format!("{said:?} of referral {n} is refused: {other}"));
                return;
            }
        }
    }
}

fn with_status(task: &Value, status: &str) -> Value {
    let mut task = task.clone();
    let object = task.as_object_mut().unwrap();
    object.insert("status".into(), status.into());
    if matches!(status, "rejected" | "on-hold" | "failed") {
        object.insert("statusReason".into(), json!({"text": "no room"}));
    }
    task
}

/// A provider that writes to Onward: sets one status after another, each until it is taken.
pub async fn answer(replicas: Replicas, seen: Arc<Seen>, n: usize, task: TaskId, referral: Referral) {
    for status in referral.answers {
        replicas.pause(800).await;
        loop {
            let Some((store, taker)) = replicas.one(|p| (p.store.clone(), p.status.clone())) else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let attempt = async {
                let record = store.task(task).await?.ok_or(StatusError::NotFound)?;
                // an earlier try was taken, though its answer was lost; or there is nothing to be answered any more
                if record.state.status.code() == *status || record.state.status == TaskStatus::Cancelled {
                    return Ok(());
                }
                let wanted = with_status(&task_body(&*store, task, record.version).await?, status);
                let source = Source::Request { version: record.version };
                taker.answer(task, source, |_| Ok(wanted.clone())).await.map(|_| ())
            };
            match tokio::time::timeout(PATIENCE, attempt).await {
                Ok(Ok(())) => break,
                Ok(Err(StatusError::Store(_) | StatusError::Stale { .. })) | Err(_) => {}
                Ok(Err(other)) => {
                    seen.wrong.lock().unwrap().push(format!("{status} for referral {n} is refused: {other}"));
                    return;
                }
            }
            replicas.pause(1_000).await;
        }
    }
    seen.told.lock().unwrap().push(n);
}

/// A provider that works on its own copy.
pub async fn work_on_copy(replicas: Replicas, seen: Arc<Seen>, n: usize, id: String, referral: Referral) {
    let server = &replicas.ground.servers.polled;
    for status in referral.answers {
        replicas.pause(800).await;
        let copy = server.resource("Task", &id).unwrap();
        server.put_resource(with_status(&copy, status));
    }
    seen.told.lock().unwrap().push(n);
}

/// Has the providers begin with each Task as it comes to them.
pub fn open_for_work(replicas: &Replicas, seen: &Arc<Seen>, referrals: &[Referral]) {
    for (server, inbox) in
        [(&replicas.ground.servers.pushed, Inbox::Pushed), (&replicas.ground.servers.polled, Inbox::Polled)]
    {
        let (replicas, seen, referrals) = (replicas.clone(), Arc::clone(seen), referrals.to_vec());
        server.on_change(move |change| {
            if change.kind != "Task" || change.stored.version > 1 {
                return;
            }
            let id: TaskId = our_id(&change.stored.resource).unwrap().parse().unwrap();
            let rows = replicas.ground.memory.rows();
            let n = rows.iter().find(|row| row.record.id == id).and_then(number_of).unwrap();
            let (replicas, seen, referral) = (replicas.clone(), Arc::clone(&seen), referrals[n].clone());
            if inbox == Inbox::Pushed {
                tokio::spawn(answer(replicas, seen, n, id, referral));
            } else {
                tokio::spawn(work_on_copy(replicas, seen, n, change.id.clone(), referral));
            }
        });
    }
}

/// A provider that works from its worklist: looks until the referral stands there.
pub async fn fetch(replicas: Replicas, seen: Arc<Seen>, n: usize, referral: Referral) {
    let task = loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let rows = replicas.ground.memory.rows();
        let is_it = |row: &&Row| number_of(row) == Some(n) && row.record.inbox.as_str() == code(Inbox::Listed);
        let Some(row) = rows.iter().find(is_it) else { continue };
        if row.record.state.status == TaskStatus::Cancelled {
            return;
        }
        if row.record.state.sent {
            break row.record.id;
        }
    };
    answer(replicas, seen, n, task, referral).await;
}

/// The number of the referral that a Task is about.
pub fn number_of(row: &Row) -> Option<usize> {
    row.record.identifier.as_ref()?.rsplit_once("|r")?.1.parse().ok()
}
