//! Messages that a polled provider's people wrote on their own server: Communications there about our Task or its request.

use serde_json::Value;

use super::copies::{Copies, Watch};
use crate::{
    client::Failure,
    config::registry::Endpoint,
    conversation::ConversationError,
    domain::{Event, TaskId},
    fhir::{
        reference::{Target, encode, parse},
        task::{URI_SYSTEM, id_of_identifier},
        tree,
    },
    store::{StoreError, TaskRecord},
};

/// At most so many are taken in one look; the next look finds the rest.
const TAKEN_MAX: usize = 50;
/// So many that were not taken are remembered.
const REFUSED_MAX: usize = 50;

impl Copies {
    /// Takes what was written since, and gives what is to be remembered. A server that cannot be asked for messages has none; one
    /// that cannot be asked now is asked again at the next look.
    pub(super) async fn overhear(
        &self,
        task: &TaskRecord,
        to: &Endpoint,
        mut watch: Watch,
    ) -> Result<Watch, StoreError> {
        if watch.request.is_none() {
            watch.request = self.request_there(to, &watch).await;
        }
        let Some(request) = watch.request.clone() else { return Ok(watch) };
        let own_task = format!("Task/{}", watch.held.id);
        let mut found: Vec<Value> = Vec::new();
        // R4 has no parameter for “about”: what is about our Task alone is found where the server knows one all the same
        for query in [("based-on", &request), ("about", &own_task)] {
            let path = format!("Communication?{}={}", query.0, encode(query.1));
            let Ok(answer) = self.client.get(to, &path, &[]).await else { return Ok(watch) };
            match answer.failure() {
                Some(Failure::Transient { .. }) => return Ok(watch),
                Some(Failure::Permanent { .. }) => continue,
                None => {}
            }
            let bundle = answer.body.unwrap_or_default();
            for message in tree::items(&bundle, "entry").iter().filter_map(|e| e.get("resource")) {
                if is_about(message, &request, &own_task, &to.base_url) && !found.contains(message) {
                    found.push(message.clone());
                }
            }
        }
        found.sort_by_key(written);
        for message in found.into_iter().take(TAKEN_MAX) {
            self.hear(task, to, &request, &own_task, &message, &mut watch).await?;
        }
        Ok(watch)
    }

    async fn request_there(&self, to: &Endpoint, watch: &Watch) -> Option<String> {
        let answer = self.client.get(to, &format!("Task/{}", watch.held.id), &[]).await.ok()?;
        super::later::request_of(&answer.body?, &to.base_url)
    }

    async fn hear(
        &self,
        task: &TaskRecord,
        to: &Endpoint,
        request: &str,
        own_task: &str,
        message: &Value,
        watch: &mut Watch,
    ) -> Result<(), StoreError> {
        let Some(id) = message.get("id").and_then(Value::as_str) else { return Ok(()) };
        let finished = matches!(tree::text(message, "status"), Some("completed" | "in-progress"));
        if !finished || watch.refused.iter().any(|refused| refused == id) || self.is_from_here(task, message).await? {
            return Ok(());
        }
        let there = format!("{}/Communication/{id}", to.base_url);
        let mut body = message.clone();
        tree::map_references(&mut body, &mut |literal| {
            let local = literal.strip_prefix(&format!("{}/", to.base_url)).unwrap_or(literal);
            if local == request {
                return Some(format!("ServiceRequest/{}", task.request));
            }
            if local == own_task {
                return Some(format!("Task/{}", task.id));
            }
            // under our own ids what came from here is called as it is here
            match parse(local) {
                Target::Relative { kind, id, .. } if id.parse::<uuid::Uuid>().is_ok() => Some(format!("{kind}/{id}")),
                Target::Relative { .. } => Some(format!("{}/{local}", to.base_url)),
                _ => None,
            }
        });
        match self.conversation.overhear(task, body, &there).await {
            Ok(_) => {}
            Err(ConversationError::Store(error)) => return Err(error),
            Err(error) => {
                let why = match &error {
                    ConversationError::Invalid(issues) | ConversationError::Rule(issues) => {
                        issues.first().map(|i| i.diagnostics.clone()).unwrap_or_default()
                    }
                    other => other.to_string(),
                };
                watch.refused.push(id.to_owned());
                let excess = watch.refused.len().saturating_sub(REFUSED_MAX);
                watch.refused.drain(..excess);
                let poll = crate::store::Poll { memory: Some(watch.memory()), at: self.soon() };
                let why = format!("a message there was not taken: {why}");
                self.status.note_copy(task.id, poll, Event::AnswerRefused { why }).await?;
            }
        }
        Ok(())
    }

    /// Whether it is one that we wrote there.
    async fn is_from_here(&self, task: &TaskRecord, message: &Value) -> Result<bool, StoreError> {
        let own = message.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let named = tree::identifiers(message)
            .filter(|(system, _, _)| *system == Some(URI_SYSTEM))
            .filter_map(|(_, value, _)| id_of_identifier(value))
            .map(|TaskId(id)| id);
        for id in own.into_iter().chain(named) {
            if let Some((stored, _)) = self.store.resource("Communication", id, None).await?
                && stored.referral == task.referral
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a message is about one of these, as its server calls them. One that ignores a parameter gives all it has.
fn is_about(message: &Value, request: &str, task: &str, base_url: &str) -> bool {
    let about = ["basedOn", "about"].into_iter().flat_map(|name| tree::items(message, name));
    let literals = about.filter_map(|reference| tree::text(reference, "reference"));
    let own = format!("{base_url}/");
    tree::resource_type(message) == Some("Communication")
        && literals.map(|l| l.strip_prefix(&*own).unwrap_or(l)).any(|l| l == request || l == task)
}

/// When it was written, for their order.
fn written(message: &Value) -> (String, String) {
    let text = |path| tree::text(message, path).unwrap_or_default().to_owned();
    (text("meta.lastUpdated"), text("sent"))
}
