//! Referrals given to somebody: who works them, as the owner of their Tasks.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use super::{
    absent, away, done,
    line::{WORKER_SYSTEM, Worker},
    lines_of,
};
use crate::{
    auth::Deed,
    domain::{ProviderId, TaskId},
    fhir::task as fhir_task,
    status::{Source, StatusError},
    web::{Shared, Web, form::Signed, page},
};

/// So many are given at once: as many as are on a page.
pub(super) const AT_ONCE_MAX: usize = 100;

/// `POST /inbox/assign`: the Tasks `task` to the person `to`; `none` is nobody.
pub(in crate::web) async fn assign(State(web): State<Shared>, signed: Signed) -> Response {
    let seen = signed.seen();
    let (lines, providers) = match lines_of(&web, &seen.visitor).await {
        Ok(Some(all)) => all,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let workers = match web.workers(&seen.visitor, &providers, &lines).await {
        Ok(workers) => workers,
        Err(error) => return away(&error),
    };
    let to = match signed.form.text("to") {
        "none" => None,
        person => match workers.into_iter().find(|(id, _)| id == person) {
            Some((id, name)) => Some(Worker { id: Some(id), name }),
            None => return page::told(StatusCode::UNPROCESSABLE_ENTITY, "Choose who is to work them from the list."),
        },
    };
    let tasks: Vec<TaskId> = signed.form.all("task").filter_map(|id| id.parse().ok()).take(AT_ONCE_MAX).collect();
    let (mut given, mut passed) = (0_usize, 0_usize);
    for task in tasks {
        match web.give(&seen.visitor, task, to.as_ref()).await {
            Ok(true) => given += 1,
            Ok(false) => passed += 1,
            Err(StatusError::Store(error)) => return away(&error),
            // it has ended meanwhile, or is no longer hers
            Err(_) => passed += 1,
        }
    }
    // what was found by a search stands in no URL that could be gone back to
    let sought = super::sought_in(&signed);
    if !sought.is_empty() {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        return super::searched(&web, &seen, &sought, Some(done::assigned(count(given), count(passed)))).await;
    }
    let path = back(signed.form.text("back"));
    page::to(&done::with(&path, &format!("assigned-{given}-{passed}")))
}

/// `POST /inbox/{task}/give`: one Task to the person `to`.
pub(in crate::web) async fn give(State(web): State<Shared>, Path(task): Path<String>, signed: Signed) -> Response {
    let seen = signed.seen();
    let record = match web.named(&seen, &task, Deed::Answer).await {
        Ok(record) => record,
        Err(page) => return page,
    };
    let lines = match web.live.lines(&record.provider).await {
        Ok(lines) => lines,
        Err(error) => return away(&error),
    };
    let workers = match web.workers(&seen.visitor, std::slice::from_ref(&record.provider), &lines).await {
        Ok(workers) => workers,
        Err(error) => return away(&error),
    };
    let to = signed.form.text("to");
    let to = match workers.into_iter().find(|(id, _)| id == to) {
        Some((id, name)) => Some(Worker { id: Some(id), name }),
        None if to == "none" => None,
        None => return page::told(StatusCode::UNPROCESSABLE_ENTITY, "Choose who is to work it from the list."),
    };
    match web.give(&seen.visitor, record.id, to.as_ref()).await {
        Ok(_) => page::to(&done::with(&format!("/inbox/{task}"), "given")),
        Err(StatusError::Store(error)) => away(&error),
        Err(_) => absent(&seen),
    }
}

/// The list one came from.
fn back(query: &str) -> String {
    let wanted = super::list::Wanted::read(&crate::http::call::pairs(query));
    wanted.url("/inbox")
}

impl Web {
    /// Gives a Task to somebody; false where it is not the visitor's to give.
    pub(in crate::web) async fn give(
        &self,
        visitor: &crate::people::Visitor,
        task: TaskId,
        to: Option<&Worker>,
    ) -> Result<bool, StatusError> {
        let Some(record) = self.task_for(visitor, task, Deed::Answer).await? else { return Ok(false) };
        if record.state.status.is_terminal() {
            return Ok(false);
        }
        let owner = match to {
            Some(worker) => owner_of(worker),
            None => self.organisation(&record.provider),
        };
        let source = Source::Request { version: record.version };
        let make = |current: &Value| {
            let mut wanted = current.clone();
            if let Some(object) = wanted.as_object_mut() {
                object.insert("owner".into(), owner.clone());
            }
            Ok(wanted)
        };
        let changed = self.status.answer_known(record, source, make).await?;
        tracing::info!(person = visitor.person, task.id = %changed.id, "a referral was given to somebody");
        Ok(true)
    }

    /// A provider as the owner of a Task.
    fn organisation(&self, id: &ProviderId) -> Value {
        let registry = self.registry.load();
        let known = registry.providers.get(id);
        let (ods_code, name) = known.map_or(("", id.as_str()), |of| (of.ods_code.as_str(), of.name.as_str()));
        fhir_task::owner(id.as_str(), ods_code, name)
    }
}

/// Somebody as the owner of a Task.
pub(in crate::web) fn owner_of(worker: &Worker) -> Value {
    json!({
        "type": "Practitioner",
        "identifier": {"system": WORKER_SYSTEM, "value": worker.id},
        "display": worker.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::inbox::line::worker_of;

    #[test]
    fn who_was_given_a_task_is_who_works_it() {
        let luke = Worker { id: Some("local:luke".into()), name: "Luke".into() };
        assert_eq!(worker_of(&json!({"owner": owner_of(&luke)})), Some(luke));
    }

    #[test]
    fn where_one_was_is_shown_again() {
        assert_eq!(back("view=new&x=y"), "/inbox?view=new");
        assert_eq!(back("https://evil.example"), "/inbox");
    }
}
