//! A referral that was not answered in time goes to another inbox as well, where its route says so: as a further Task, beside the
//! late one or as another part of the same parent. The late one stays its provider's.

use serde_json::Value;
use uuid::Uuid;

use crate::{
    config::registry::Registry,
    domain::{
        Actor, Event, Side, TaskId,
        deadline::{Deadlines, RouteTerms},
    },
    fhir::{
        filler_order::{self, Order},
        names,
        task::{self as fhir_task, NewTask as NewBody},
    },
    store::{NewEvent, NewResource, NewTask, Store, StoreError, TaskRecord},
};

/// The further Task of a late one, which `body` shows as it is; none where its route names no inbox, the referral is to be
/// cancelled, or that inbox has it already.
///
/// # Errors
/// [`StoreError`]
pub(super) async fn further(
    store: &dyn Store,
    registry: &Registry,
    base_url: &str,
    late: &TaskRecord,
    body: &Value,
) -> Result<Option<NewTask>, StoreError> {
    let Some(inbox) = late.terms.escalate_to.as_ref().and_then(|to| registry.inboxes.get(to)) else { return Ok(None) };
    let Some(provider) = registry.providers.get(&inbox.provider) else { return Ok(None) };
    let family = store.find_tasks(&late.request.to_string()).await?;
    if late.state.cancel_requested || family.iter().any(|task| task.inbox == inbox.id) {
        return Ok(None);
    }
    let Some((request, _)) = store.resource("ServiceRequest", late.request, None).await? else { return Ok(None) };
    let request: Value = serde_json::from_str(&request.body).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let (id, now) = (TaskId::mint(), store.now());
    let owner = fhir_task::owner(provider.id.as_str(), &provider.ods_code, &provider.name);
    let order = fhir_task::own_order(body).map(|_| {
        let id = Uuid::now_v7();
        (id, filler_order::make(&Order { id, request: &request, performer: owner.clone(), at: now }))
    });
    let made = fhir_task::make(&NewBody {
        id,
        base_url,
        request: &request,
        owner: Some(owner),
        part_of: late.part_of,
        order: order.as_ref().map(|(id, _)| *id),
        at: now,
    });
    let journal = store.journal(late.id).await?;
    let route = journal.into_iter().find_map(|line| match line.event {
        Event::Submitted { route, .. } => route,
        _ => None,
    });
    let submitted = Event::Submitted {
        route,
        route_set: late.route_set.clone(),
        inbox: inbox.id.clone(),
        instead_of: None,
        beside: None,
    };
    let resources = order.map(|(id, order)| NewResource {
        kind: "ServiceRequest".to_owned(),
        id,
        origin: None,
        names: names::of(&order),
        body: order.to_string(),
    });
    Ok(Some(NewTask {
        id,
        inbox: inbox.id.clone(),
        provider: provider.id.clone(),
        part_of: late.part_of,
        // its own inbox says how long it has, and it goes no further
        terms: RouteTerms::default(),
        resources: resources.into_iter().collect(),
        deadlines: Deadlines::made(now, registry.delayed_after(inbox)),
        beside: None,
        events: vec![NewEvent {
            event: submitted,
            actor: Actor::Onward,
            body: Some(made.to_string()),
            lanes: vec![Side::Delivery],
        }],
    }))
}
