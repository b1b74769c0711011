//! Onward as its clients see it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hyper::Method;
use onward::{
    demo::caller::{Answered, Call, Caller, FHIR_JSON, NoAnswer},
    fhir::task::{SEQ_EXTENSION, URI_SYSTEM},
};
use serde_json::{Value, json};

use super::{plan::token, referrals::Referral};

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Onward {
    bases: Vec<String>,
    turn: Arc<AtomicUsize>,
    caller: Caller,
}

impl Onward {
    /// The one at this base URL, without `/fhir`.
    pub fn at(base: &str) -> Self {
        Self::behind(&[base.to_owned()])
    }

    /// Several at these base URLs that are one to its clients: each request goes to the next.
    pub fn behind(bases: &[String]) -> Self {
        let bases = bases.iter().map(|base| format!("{base}/fhir")).collect();
        Self { bases, turn: Arc::default(), caller: Caller::new() }
    }

    fn base(&self) -> &str {
        &self.bases[self.turn.fetch_add(1, Ordering::Relaxed) % self.bases.len()]
    }

    /// Sends a referral, once.
    pub async fn send(&self, referral: &Referral) -> Result<Answered, NoAnswer> {
        let url = format!("{}{}", self.base(), referral.path());
        let body = referral.body.clone().into();
        self.caller
            .call(Call::new(Method::POST, url).token(token(&referral.system)).bytes(referral.content_type(), body))
            .await
    }

    /// Sends a single referral that must be accepted; the id of its Task.
    pub async fn refer(&self, referral: &Referral) -> String {
        let answer = self.send(referral).await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.describe());
        answer.links("monitor")[0].rsplit('/').next().unwrap().to_owned()
    }

    /// `GET` below the FHIR base.
    pub async fn get(&self, client: &str, path: &str) -> Result<Answered, NoAnswer> {
        self.caller.call(Call::get(format!("{}/{path}", self.base())).token(token(client))).await
    }

    /// A Task as a client sees it.
    pub async fn task(&self, client: &str, id: &str) -> Value {
        let answer = self.get(client, &format!("Task/{id}")).await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.describe());
        answer.json()
    }

    /// Reads the Task and puts it back with another status, and a reason or what else `more` holds.
    pub async fn answer(&self, provider: &str, id: &str, status: &str, more: &Value) -> Result<Answered, NoAnswer> {
        let read = self.get(provider, &format!("Task/{id}")).await?;
        if !read.status.is_success() {
            return Ok(read);
        }
        let etag = read.header("etag").unwrap().to_owned();
        let task = with(&read.json(), status, more);
        let put = Call::new(Method::PUT, format!("{}/Task/{id}", self.base())).token(token(provider));
        self.caller.call(put.header("if-match", etag).json(FHIR_JSON, &task)).await
    }

    /// The same, which must succeed.
    pub async fn must_answer(&self, provider: &str, id: &str, status: &str, more: Value) {
        let answer = self.answer(provider, id, status, &more).await.unwrap();
        assert!(answer.status.is_success(), "{status}: {}", answer.describe());
    }

    /// Reads the ServiceRequest of a Task as its referrer and puts it back changed.
    pub async fn change(
        &self,
        system: &str,
        task: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Answered, NoAnswer> {
        let task = self.get(system, &format!("Task/{task}")).await?.json();
        let path = task["focus"]["reference"].as_str().unwrap().to_owned();
        let read = self.get(system, &path).await?;
        let mut request = read.json();
        change(&mut request);
        let put = Call::new(Method::PUT, format!("{}/{path}", self.base())).token(token(system));
        self.caller.call(put.header("if-match", read.header("etag").unwrap()).json(FHIR_JSON, &request)).await
    }

    /// The same, which must succeed.
    pub async fn must_change(&self, system: &str, task: &str, change: impl FnOnce(&mut Value)) {
        let answer = self.change(system, task, change).await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.describe());
    }

    /// Writes to the other side about a Task. `more` goes into the Communication.
    pub async fn say(&self, client: &str, task: &str, words: &str, more: &Value) -> Result<Answered, NoAnswer> {
        let mut message = json!({"resourceType": "Communication", "status": "completed",
            "about": [{"reference": format!("Task/{task}")}], "payload": [{"contentString": words}]});
        for (name, value) in more.as_object().into_iter().flatten() {
            message[name.as_str()] = value.clone();
        }
        let post = Call::new(Method::POST, format!("{}/Communication", self.base())).token(token(client));
        self.caller.call(post.json(FHIR_JSON, &message)).await
    }

    /// The same, which must succeed.
    pub async fn must_say(&self, client: &str, task: &str, words: &str, more: Value) {
        let answer = self.say(client, task, words, &more).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.describe());
    }

    /// A figure of `/metrics`, all its label sets that hold `label` summed.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let url = format!("{}/metrics", self.base().trim_end_matches("/fhir"));
        let answer = self.caller.call(Call::get(url)).await.unwrap();
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// A Task with another status, and `more` in place of what it had.
pub fn with(task: &Value, status: &str, more: &Value) -> Value {
    let mut task = task.clone();
    task["status"] = status.into();
    task.as_object_mut().unwrap().remove("statusReason");
    if matches!(status, "rejected" | "on-hold" | "failed" | "cancelled") {
        task["statusReason"] = json!({"text": "for the test"});
    }
    for (name, value) in more.as_object().into_iter().flatten() {
        task[name.as_str()] = value.clone();
    }
    task
}

/// Our id of a Task, wherever it lies.
pub fn our_id(task: &Value) -> Option<String> {
    let identifiers = task["identifier"].as_array()?;
    let ours = identifiers.iter().filter(|i| i["system"] == URI_SYSTEM).filter_map(|i| i["value"].as_str());
    ours.filter_map(|value| value.strip_prefix("urn:uuid:")).map(str::to_owned).next()
}

/// What a record's Task was told, version by version: the seq of our journal, and the status.
pub fn told(history: &[Value]) -> Vec<(u64, String)> {
    let seq = |task: &Value| {
        let extensions = task["extension"].as_array()?;
        extensions.iter().find(|e| e["url"] == SEQ_EXTENSION)?["valuePositiveInt"].as_u64()
    };
    history.iter().map(|t| (seq(t).unwrap_or(0), t["status"].as_str().unwrap_or("?").to_owned())).collect()
}
