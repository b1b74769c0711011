//! One record system, Onward, and one provider: both others are doubles, the broker is the embedded one.

use std::sync::Arc;

use onward::{
    demo::double::{Abilities, Double},
    domain::{Event, TaskId},
    service::Service,
    store::{DeadLetter, JournalLine, Store},
};
use serde_json::Value;

use super::{
    onward::{Onward, our_id, told},
    plan::Plan,
    referrals::Referral,
    server::Server,
    until,
};

/// The record system.
pub const SYSTEM: &str = "merseycare-rio";
/// The provider, and its inbox.
pub const PROVIDER: &str = "life-rooms";

/// What differs between tests.
pub struct Setting {
    /// More keys of `write-back`, each with a comma before it.
    pub write_back: &'static str,
    /// The keys of the inbox beside `kind`, `base-url` and `token`, each with a comma before it; none makes it a worklist.
    pub inbox: Option<&'static str>,
    /// `[retry]`
    pub retry: &'static str,
    /// What the record can do.
    pub record: Abilities,
    /// What the provider's server can do.
    pub provider: Abilities,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            write_back: ", detail = \"full\"",
            inbox: Some(""),
            retry: "first = \"100ms\"\ncap = \"200ms\"\ndelayed-after = \"1h\"\n",
            record: Abilities::default(),
            provider: Abilities::default(),
        }
    }
}

/// See the module's documentation.
pub struct Stage {
    pub plan: Plan,
    pub service: Service,
    pub store: Arc<dyn Store>,
    pub onward: Onward,
    pub record: Arc<Double>,
    pub provider: Arc<Double>,
}

impl Stage {
    pub async fn set(setting: Setting) -> Self {
        let record = Server::double(&format!("record-of-{SYSTEM}")).await;
        let provider = Server::double(&format!("server-of-{PROVIDER}")).await;
        record.set_abilities(setting.record);
        provider.set_abilities(setting.provider);
        let inbox = match setting.inbox {
            Some(more) => format!("kind = \"fhir-rest\", base-url = \"{}\"{more}", provider.base_url()),
            None => "kind = \"worklist\"".to_owned(),
        };
        let plan = Plan::new()
            .port(0)
            .section(&format!("[retry]\n{}", setting.retry))
            .system(SYSTEM, "RW4", record.base_url(), setting.write_back)
            .provider(PROVIDER, "RW4", &inbox)
            .all_to(PROVIDER);
        let service = plan.start().await;
        let (store, onward) = (service.store(), Onward::at(service.base_url()));
        Self { plan, service, store, onward, record, provider }
    }

    /// Sends a referral and waits until the record has its Task in this status; our id of it.
    pub async fn referred(&self, referral: &Referral, status: &str) -> String {
        let id = self.onward.refer(referral).await;
        self.told_at_last(&id, status).await;
        id
    }

    /// The provider answers as it must be able to.
    pub async fn answer(&self, id: &str, status: &str, more: Value) {
        self.onward.must_answer(PROVIDER, id, status, more).await;
    }

    /// The record's Task of a referral.
    pub fn in_record(&self, id: &str) -> Option<Arc<Value>> {
        self.record.resources("Task").into_iter().find(|task| our_id(task).as_deref() == Some(id))
    }

    /// The provider's Task of a referral.
    pub fn at_provider(&self, id: &str) -> Option<Arc<Value>> {
        self.provider.resources("Task").into_iter().find(|task| our_id(task).as_deref() == Some(id))
    }

    /// All versions of a Task that lies at a double.
    pub fn versions(double: &Double, task: &Value) -> Vec<Value> {
        double.versions("Task", task["id"].as_str().unwrap()).iter().map(|v| (*v.resource).clone()).collect()
    }

    /// Waits until the record's Task has this status; the Task.
    pub async fn told_at_last(&self, id: &str, status: &str) -> Arc<Value> {
        until(&format!("the record says {status}"), || async {
            self.in_record(id).filter(|task| task["status"] == status)
        })
        .await
    }

    /// The statuses that the record's Task had, in its own order; our seq grew with each version that we wrote.
    pub fn statuses(&self, id: &str) -> Vec<String> {
        let history = told(&Self::versions(&self.record, &self.in_record(id).unwrap()));
        assert!(history.is_sorted_by(|a, b| a.0 < b.0), "{history:?}");
        history.into_iter().map(|(_, status)| status).collect()
    }

    /// The journal of a Task.
    pub async fn journal(&self, id: &str) -> Vec<JournalLine> {
        self.store.journal(task_id(id)).await.unwrap()
    }

    /// Waits until the journal has an event; it.
    pub async fn happened(&self, id: &str, what: &str) -> Event {
        until(&format!("the journal says {what}"), || async {
            self.journal(id).await.into_iter().map(|line| line.event).find(|event| event.name() == what)
        })
        .await
    }

    /// How often an event stands in the journal.
    pub async fn times(&self, id: &str, what: &str) -> usize {
        self.journal(id).await.iter().filter(|line| line.event.name() == what).count()
    }

    /// Waits for the first dead letter of a Task.
    pub async fn dead_letter(&self, id: &str) -> DeadLetter {
        let task = task_id(id);
        until("a dead letter", || async {
            self.store.dead_letters(usize::MAX).await.unwrap().into_iter().find(|letter| letter.task == task)
        })
        .await
    }
}

pub fn task_id(id: &str) -> TaskId {
    id.parse().unwrap()
}

/// What an alert counter must have grown to.
pub async fn alerts(onward: &Onward, alert: &str) -> f64 {
    onward.metric("onward_alerts_total", &format!("alert=\"{alert}\"")).await
}
