//! What a step of a part brings with it: its parent follows in the same commit, and an order that was made for it alone ends with it.
//!
//! The parent's step is decided on all its parts as they stood at one moment and names the seq that it had then. Whatever changes
//! a part changes that seq, so of two parts that end at once on two replicas the second finds that the Task has moved, and decides
//! again knowing of the first.

use serde_json::Value;

use super::write_back_lanes;
use crate::{
    config::registry::Registry,
    domain::{
        Actor, Event, TaskStatus,
        parent::{concerns, follow},
        task::TaskState,
    },
    fhir::{filler_order, task as fhir_task},
    lanes::task_body,
    store::{
        Append, AppendError, Appended, NewEvent, NewResource, NewVersion, Store, StoreError, StoredResource, TaskRecord,
    },
};

/// Stores a step of a Task with all that it brings with it. Wake-ups for the parent's lane are among those of the step.
///
/// # Errors
/// [`AppendError`]
pub async fn commit(
    store: &dyn Store,
    registry: &Registry,
    task: &TaskRecord,
    step: Append,
) -> Result<Appended, AppendError> {
    if task.part_of.is_none() {
        return store.append(step).await;
    }
    let mut steps = with_parent(store, registry, task, vec![step]).await?;
    if steps.len() == 1
        && let Some(step) = steps.pop()
    {
        return store.append(step).await;
    }
    let followed: Vec<_> = steps.iter().skip(1).flat_map(|step| &step.events).map(|new| new.event.name()).collect();
    let mut done = store.append_together(steps).await?.into_iter();
    for event in followed {
        metrics::counter!("onward_events_total", "event" => event).increment(1);
    }
    let mut own = done.next().ok_or(AppendError::Moved)?;
    own.wake_ups.extend(done.flat_map(|appended| appended.wake_ups));
    Ok(own)
}

/// Steps of parts of one referral, of which `one` is a Task, with what they bring with them: that of their parent stands last.
///
/// # Errors
/// [`StoreError`]
pub async fn with_parent(
    store: &dyn Store,
    registry: &Registry,
    one: &TaskRecord,
    mut steps: Vec<Append>,
) -> Result<Vec<Append>, StoreError> {
    let Some(parent) = one.part_of else { return Ok(steps) };
    // parent and parts as they stood at one moment
    let mut family = store.find_tasks(&one.request.to_string()).await?;
    family.retain(|task| task.id == parent || task.part_of == Some(parent));
    let Some(parent) = family.iter().find(|task| task.id == parent) else { return Ok(steps) };
    let mut parts: Vec<TaskRecord> = family.iter().filter(|task| task.id != parent.id).cloned().collect();
    let mut moved = Vec::new();
    for step in &mut steps {
        let Some(part) = parts.iter_mut().find(|part| part.id == step.task) else { continue };
        if concerns(&part.state, &step.state) {
            moved.push((part.id, step.state.status));
            if step.state.status != part.state.status {
                end_order(store, step).await?;
            }
        }
        part.state = step.state;
        moved.extend(step.tasks.iter().map(|further| (further.id, TaskState::new().status)));
    }
    if moved.is_empty() {
        return Ok(steps);
    }
    let further = steps.iter().flat_map(|step| &step.tasks).map(|_| TaskState::new());
    let states: Vec<_> = parts.iter().map(|part| part.state).chain(further).collect();
    let state = follow(&states);
    let changes = concerns(&parent.state, &state);
    let last = moved.len() - 1;
    let mut events = Vec::with_capacity(moved.len());
    for (n, (part, status)) in moved.into_iter().enumerate() {
        let actor = Actor::Onward;
        events.push(if changes && n == last {
            let mut body = task_body(store, parent.id, parent.version).await?;
            fhir_task::set_state(&mut body, &state, store.now());
            set_reason(&mut body, state.status);
            let lanes = write_back_lanes(registry, parent);
            let event = Event::Followed { part, status, to: state.status };
            NewEvent { event, actor, body: Some(body.to_string()), lanes }
        } else {
            NewEvent { event: Event::PartChanged { part, status }, actor, body: None, lanes: vec![] }
        });
    }
    // also where nothing of the parent changes, its seq must: whoever decided on the parts as they were decides again
    let state = if changes { state } else { parent.state };
    steps.push(Append { events, state, answers: changes, ..Append::to(parent) });
    Ok(steps)
}

/// A status that must say why, says where that stands.
fn set_reason(body: &mut Value, status: TaskStatus) {
    let Some(object) = body.as_object_mut() else { return };
    if status.needs_reason() {
        let told = "every target has ended; why, the Tasks say that are part of this one";
        object.insert("statusReason".into(), serde_json::json!({"text": told}));
    } else {
        object.shift_remove("statusReason");
    }
}

/// An order that was made for a Task alone ends with it.
async fn end_order(store: &dyn Store, step: &mut Append) -> Result<(), StoreError> {
    let Some(status) = filler_order::status_after(step.state.status) else { return Ok(()) };
    let Some(body) = step.events.iter().rev().find_map(|new| new.body.as_deref()) else { return Ok(()) };
    let body: Value = serde_json::from_str(body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let Some(order) = fhir_task::own_order(&body) else { return Ok(()) };
    // what the referrer does to it is written already
    if step.resources.iter().any(|new| new.resource.id == order) {
        return Ok(());
    }
    let found = store.resource("ServiceRequest", order, None).await?;
    let Some((stored, _)) = found else { return Ok(()) };
    let order = order_of(&stored)?;
    if order.get("status").and_then(Value::as_str) != Some(status) {
        step.resources.push(next_version(&stored, &filler_order::with_status(&order, status)));
    }
    Ok(())
}

/// An order as it is stored.
///
/// # Errors
/// [`StoreError::Corrupt`]
pub fn order_of(stored: &StoredResource) -> Result<Value, StoreError> {
    serde_json::from_str(&stored.body).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// The version that follows what is stored of an order. It concerns those whom that concerned.
pub fn next_version(stored: &StoredResource, order: &Value) -> NewVersion {
    NewVersion {
        resource: NewResource {
            kind: stored.kind.clone(),
            id: stored.id,
            origin: stored.origin.clone(),
            names: crate::fhir::names::of(order),
            body: order.to_string(),
        },
        version: stored.version + 1,
        task: stored.task,
        key: None,
    }
}
