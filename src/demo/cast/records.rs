//! Record systems: each keeps a referral in its own record, sends it to Onward, and lets Onward write into that record what
//! became of it.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};

use super::script::{Talk, talk};
use crate::{
    demo::{
        caller::{Call, Caller, FHIR_JSON, JSON_PATCH},
        double::{Change, Double},
        ledger::Ledger,
        referrals::{Referral, is_by_hand},
    },
    domain::TaskStatus,
    fhir::{Limits, task, tree, xml},
};

const FHIR_XML: &str = "application/fhir+xml";
/// A request that gets no answer, or “not now”, is sent again so often.
const TRIES_MAX: u32 = 100;
/// And after this pause, unless a longer one is asked for.
const PAUSE: Duration = Duration::from_millis(250);
/// Whoever waits for the provider's question looks so often.
const WAITS_MAX: u32 = 600;
/// Whether somebody who works by hand has asked is looked at so often.
const LOOKS_EVERY: Duration = Duration::from_secs(2);

/// One record system.
pub struct RecordSystem {
    /// Its id in the configuration.
    pub id: String,
    /// Its FHIR server: the record.
    pub record: Arc<Double>,
    /// The token that its record wants.
    pub record_token: String,
    /// The token that it shows to Onward.
    pub token: String,
}

/// What the record systems share.
#[derive(Clone)]
pub struct Sending {
    /// How they speak.
    pub caller: Caller,
    /// Onward's FHIR base.
    pub fhir_base: String,
    /// What they saw.
    pub ledger: Arc<Ledger>,
}

impl RecordSystem {
    /// Enters into the ledger every status that the record's Tasks come to show.
    pub fn watch(&self, ledger: Arc<Ledger>) {
        self.record.on_change(move |change: &Change| {
            let shown = &change.stored.resource;
            if change.kind == "Task"
                && let (Some(id), Ok(status)) = (super::task_id(shown), task::status(shown))
            {
                ledger.shown(&id, status, change.stored.at);
            }
        });
    }

    /// The Tasks that the record shows to be accepted from now on.
    pub fn accepted(&self) -> mpsc::UnboundedReceiver<String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.record.on_change(move |change: &Change| {
            let shown = &change.stored.resource;
            if change.kind == "Task"
                && task::status(shown) == Ok(TaskStatus::Accepted)
                && let Some(id) = super::task_id(shown)
            {
                let _ = sender.send(id);
            }
        });
        receiver
    }

    /// The clerk: says what is to be said about what was accepted, until everybody goes home.
    pub async fn talk(self: Arc<Self>, with: Sending, seed: u64, mut accepted: mpsc::UnboundedReceiver<String>) {
        let mut seen = HashSet::new();
        let mut talking = JoinSet::new();
        while let Some(task) = accepted.recv().await {
            if seen.insert(task.clone()) {
                let (clerk, with) = (Arc::clone(&self), with.clone());
                talking.spawn(async move {
                    if let Err(why) = clerk.talk_about(&with, seed, &task).await {
                        with.ledger.trouble(format!("{} about Task {task}: {why}", clerk.id));
                    }
                });
            }
        }
    }

    async fn talk_about(&self, with: &Sending, seed: u64, task: &str) -> Result<(), String> {
        let read = self.get(with, &format!("Task/{task}")).await?;
        let focus = tree::text(&read, "focus.reference").ok_or("it is about nothing")?.to_owned();
        let request = self.get(with, &focus).await?;
        let identifier = super::placer(&request).unwrap_or_default();
        if is_by_hand(&identifier) {
            // whoever works it by hand takes her time, and is answered whenever she asks
            return self.answer(with, &focus, task, (u32::MAX, LOOKS_EVERY)).await;
        }
        match talk(seed, &identifier) {
            Some(Talk::Cancelled) => self.cancel(with, &focus).await,
            Some(Talk::AsksForMore) => self.answer(with, &focus, task, (WAITS_MAX, PAUSE)).await,
            None => Ok(()),
        }
    }

    async fn get(&self, with: &Sending, path: &str) -> Result<Value, String> {
        let mut why = String::new();
        for _ in 0..TRIES_MAX {
            let call = Call::get(format!("{}/{path}", with.fhir_base)).token(&self.token);
            match with.caller.call(call).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer.json()),
                Ok(answer) => why = answer.describe(),
                Err(error) => why = error.to_string(),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(why)
    }

    async fn cancel(&self, with: &Sending, request: &str) -> Result<(), String> {
        let mut why = String::new();
        for _ in 0..TRIES_MAX {
            let current = self.get(with, request).await?;
            let version = tree::text(&current, "meta.versionId").unwrap_or_default();
            let patch = json!([{"op": "replace", "path": "/status", "value": "revoked"}]);
            let call = Call::new(Method::PATCH, format!("{}/{request}", with.fhir_base)).token(&self.token);
            match with.caller.call(call.header("if-match", format!("W/\"{version}\"")).json(JSON_PATCH, &patch)).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                Ok(answer) => why = answer.describe(),
                Err(error) => why = error.to_string(),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("it could not be cancelled: {why}"))
    }

    /// Waits for the provider's question and answers it.
    async fn answer(
        &self,
        with: &Sending,
        request: &str,
        task: &str,
        (waits, pause): (u32, Duration),
    ) -> Result<(), String> {
        for _ in 0..waits {
            let found = self.get(with, &format!("Communication?based-on={request}")).await?;
            let messages = tree::items(&found, "entry").iter().filter_map(|entry| entry.get("resource"));
            let asks = |message: &&Value| {
                ["reasonCode", "category"].iter().filter_map(|name| message.get(*name)).any(task::asks_for_more)
            };
            let question = messages.into_iter().find(asks);
            let Some(id) = question.and_then(|q| tree::text(q, "id")) else {
                tokio::time::sleep(pause).await;
                continue;
            };
            let answer = json!({
                "resourceType": "Communication", "status": "completed", "basedOn": [{"reference": request}],
                "identifier": [{"system": super::ANSWERS, "value": task}],
                "inResponseTo": [{"reference": format!("Communication/{id}")}],
                "payload": [{"contentString": "The daughter's, after four; it is in the contacts."}],
            });
            let call = Call::new(Method::POST, format!("{}/Communication", with.fhir_base)).token(&self.token);
            match with.caller.call(call.json(FHIR_JSON, &answer)).await {
                Ok(said) if said.status.is_success() => return Ok(()),
                Ok(said) if said.status.is_client_error() && said.status != 429 => return Err(said.describe()),
                _ => tokio::time::sleep(pause).await,
            }
        }
        Err("no question came".to_owned())
    }

    /// Keeps a referral in the record and sends it.
    ///
    /// # Errors
    /// In words, where Onward did not accept it.
    pub async fn refer(&self, with: &Sending, referral: &Referral) -> Result<(), String> {
        self.keep(with, referral).await?;
        let url =
            if referral.is_bundle { with.fhir_base.clone() } else { format!("{}/ServiceRequest", with.fhir_base) };
        let kind = if referral.is_xml { FHIR_XML } else { FHIR_JSON };
        let body = Bytes::from(referral.body.clone());
        let mut why = String::new();
        for _ in 0..TRIES_MAX {
            let call = Call::new(hyper::Method::POST, &url).token(&self.token).bytes(kind, body.clone());
            let begun = Instant::now();
            let mut pause = PAUSE;
            match with.caller.call(call).await {
                Ok(answer) if answer.status.is_success() => {
                    let took = begun.elapsed();
                    let links = answer.links("monitor");
                    let tasks: Vec<String> =
                        links.iter().filter_map(|url| url.rsplit('/').next()).map(str::to_owned).collect();
                    if tasks.len() != referral.referrals.len() {
                        let (file, told) = (referral.file, tasks.len());
                        let said =
                            format!("{file}: {} referrals acknowledged with {told} Tasks", referral.referrals.len());
                        with.ledger.trouble(said);
                    }
                    with.ledger.acknowledged(&self.id, &referral.referrals, &tasks, took);
                    return Ok(());
                }
                Ok(answer) if matches!(answer.status.as_u16(), 429 | 503) => {
                    pause = answer.retry_after().unwrap_or(pause).max(pause);
                    why = answer.describe();
                }
                Ok(answer) => return Err(answer.describe()),
                Err(error) => why = error.to_string(),
            }
            tokio::time::sleep(pause).await;
        }
        Err(why)
    }

    /// Keeps the referral as the record's own resources: what the clinician wrote before it was sent.
    async fn keep(&self, with: &Sending, referral: &Referral) -> Result<(), String> {
        let body: Value = if referral.is_xml {
            xml::read(referral.body.as_bytes(), &Limits::default()).map_err(|issue| issue.diagnostics)?.0
        } else {
            serde_json::from_str(&referral.body).map_err(|error| error.to_string())?
        };
        let base = self.record.base_url();
        let url = if referral.is_bundle { base.to_owned() } else { format!("{base}/ServiceRequest") };
        let call = Call::new(hyper::Method::POST, url).token(&self.record_token).json(FHIR_JSON, &body);
        let answer = with.caller.call(call).await.map_err(|error| error.to_string())?;
        if answer.status.is_success() { Ok(()) } else { Err(format!("its own record: {}", answer.describe())) }
    }
}
