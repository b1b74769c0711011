//! Messages to the referrer, and contacts with the person: Communications, through `conversation`, as a provider's own system sends them.

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    absent, away, done,
    form_of::Typed,
    news,
    referral::{self, Said},
};
use crate::{
    auth::Deed,
    config::registry::Client,
    conversation::{ConversationError, Incoming},
    domain::clock::instant,
    fhir::task::{BUSINESS_SYSTEM, CONTACT_ATTEMPT, INFORMATION_REQUESTED},
    store::TaskRecord,
    web::{
        Shared, Web,
        form::{Form, Seen, Signed},
        page::{self, Fault},
    },
};

/// A message has no more characters.
pub(super) const MESSAGE_CHARS_MAX: usize = 4_000;

/// What the form of a message says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'f> {
    /// By what it is known that is sent twice.
    once: &'f str,
    /// The version of the Task that its page showed; one that says nothing is older than all.
    pub version: u64,
}

impl<'f> Sent<'f> {
    pub(super) fn of(form: &'f Form) -> Self {
        Self { once: form.text("once"), version: form.text("version").parse().unwrap_or(0) }
    }
}

/// `POST /inbox/{task}/message`
pub(in crate::web) async fn message(State(web): State<Shared>, Path(task): Path<String>, signed: Signed) -> Response {
    let seen = signed.seen();
    let record = match web.named(&seen, &task, Deed::Answer).await {
        Ok(record) => record,
        Err(page) => return page,
    };
    let text = signed.form.text("message").trim().replace("\r\n", "\n");
    let asks = signed.form.text("asks") == "yes";
    let form = Sent::of(&signed.form);
    if let Some(told) = unfit(&text) {
        let (faults, since) = (vec![Fault::at("message", told)], Some(form.version));
        return referral::shown(&web, &seen, &record, Said { faults, since, typed: text, ..Said::default() }).await;
    }
    let category = if asks { INFORMATION_REQUESTED } else { "" };
    let sent = instant(web.store.now());
    let body = communication(&record, &seen.visitor.name, &text, category, None, &sent);
    let code = if asks { "asked" } else { "said" };
    said(&web, &seen, &record, body, form, (code, text)).await
}

/// What is wrong with a message as it was typed.
pub(super) fn unfit(text: &str) -> Option<String> {
    match text.chars().count() {
        0 => Some("Write what you want to say".to_owned()),
        count if count > MESSAGE_CHARS_MAX => {
            Some(format!("Use {MESSAGE_CHARS_MAX} characters or fewer: there are {count}"))
        }
        _ => None,
    }
}

/// A contact with the person, noted with the referral.
pub(super) async fn contact(web: &Web, seen: &Seen, record: &TaskRecord, typed: &Typed, form: Sent<'_>) -> Response {
    let (way, result) = (typed.text("way"), typed.text("result"));
    let text = match typed.text("note") {
        "" => format!("{way}: {result}."),
        note => format!("{way}: {result}.\n{note}"),
    };
    // when it was, which is not when it is noted
    let now = web.store.now();
    let today = now.strftime("%Y-%m-%d").to_string();
    // just after midnight in summer a day alone would still be to come in UTC, by which FHIR's dates are held against the clock
    let sent = typed.moment().filter(|sent| sent.len() > today.len() || *sent <= today);
    let sent = sent.unwrap_or_else(|| instant(now));
    let body = communication(record, &seen.visitor.name, &text, CONTACT_ATTEMPT, Some(way), &sent);
    said(web, seen, record, body, form, ("contact", text)).await
}

/// A message about a Task.
pub(super) fn communication(
    task: &TaskRecord,
    who: &str,
    text: &str,
    category: &str,
    way: Option<&str>,
    sent: &str,
) -> Value {
    let mut body = json!({
        "resourceType": "Communication",
        "basedOn": [{"reference": format!("ServiceRequest/{}", task.request), "type": "ServiceRequest"}],
        "status": "completed",
        "about": [{"reference": format!("Task/{}", task.id), "type": "Task"}],
        "sent": sent,
        "sender": {"type": "Practitioner", "display": who},
        "payload": [{"contentString": text}],
    });
    if let Some(object) = body.as_object_mut() {
        if !category.is_empty() {
            object.insert("category".into(), json!([{"coding": [{"system": BUSINESS_SYSTEM, "code": category}]}]));
        }
        if let Some(way) = way {
            object.insert("medium".into(), json!([{"text": way}]));
        }
    }
    body
}

/// Says it once, however often its form is sent. What the referrer did since the page was made on which it was written is told by the page that
/// answers.
async fn said(
    web: &Web,
    seen: &Seen,
    record: &TaskRecord,
    body: Value,
    form: Sent<'_>,
    (code, typed): (&str, String),
) -> Response {
    let key = form.once.parse::<uuid::Uuid>().ok().map(|once| format!("page:{once}"));
    let incoming = Incoming { clients: vec![Client::Provider(record.provider.clone())], body, key };
    let faults = match web.conversation.say(incoming).await {
        Ok(_) => {
            tracing::info!(person = seen.visitor.person, task.id = %record.id, "a message was written on a page");
            let path = done::with(&format!("/inbox/{}", record.id), code);
            return match web.store.journal(record.id).await {
                Ok(journal) if !news::came_since(&journal, form.version).is_empty() => {
                    page::to(&format!("{path}&{}={}", done::SINCE, form.version))
                }
                Ok(_) => page::to(&path),
                Err(error) => away(&error),
            };
        }
        Err(error) => match faults(seen, error) {
            Ok(faults) => faults,
            Err(page) => return *page,
        },
    };
    match web.task_for(&seen.visitor, record.id, Deed::Read).await {
        Ok(Some(now)) => {
            let since = Some(form.version);
            referral::shown(web, seen, &now, Said { faults, since, typed, ..Said::default() }).await
        }
        Ok(None) => absent(seen),
        Err(error) => away(&error),
    }
}

/// What of a refusal is told on the page it was written on; else the page that is answered.
pub(super) fn faults(seen: &Seen, error: ConversationError) -> Result<Vec<Fault>, Box<Response>> {
    Ok(match error {
        ConversationError::NotFound => return Err(Box::new(absent(seen))),
        ConversationError::Store(error) => return Err(Box::new(away(&error))),
        // the same form was sent twice, with other words the second time
        ConversationError::Differs(_) => {
            vec![Fault::of_all("This form was sent before. Look whether your message is below.")]
        }
        ConversationError::Refused(_) => {
            vec![Fault::of_all("This referral has ended, so nothing can be written any more.")]
        }
        ConversationError::Invalid(issues) | ConversationError::Rule(issues) => {
            issues.into_iter().map(|issue| Fault::of_all(issue.diagnostics)).collect()
        }
        ConversationError::Stale { .. } | ConversationError::RecordAway(_) => {
            return Err(Box::new(page::unavailable()));
        }
    })
}
