//! How much lies in the broker's queues, asked now and then and kept in memory, so that no page waits for the broker.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::words::counted;
use crate::{
    broker::{Broker, Depth},
    config::{Registry, registry::InboxKind},
    delivery::amqp,
    domain::{Destination, InboxId, Side},
};

/// The broker is asked so often.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// An answer is waited for so long.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// So many queues are asked about.
const QUEUES_MAX: usize = 500;

/// By the name of the queue.
pub(super) type Depths = BTreeMap<String, Depth>;

/// See the module's documentation. Empty where the broker did not say.
#[derive(Default)]
pub(super) struct Queues(Mutex<Arc<Depths>>);

impl Queues {
    /// Asks until `stop`.
    pub(super) async fn keep(
        &self,
        broker: Arc<dyn Broker>,
        registry: Arc<ArcSwap<Registry>>,
        stop: CancellationToken,
    ) {
        loop {
            let names = names(&registry.load());
            let asked = tokio::time::timeout(ANSWER_MAX, broker.depths(&names)).await;
            let told = asked.ok().and_then(Result::ok).unwrap_or_default();
            let depths: Depths = told.into_iter().map(|one| (one.queue.clone(), one)).collect();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(depths);
            if stop.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// What was said last.
    pub(super) fn depths(&self) -> Arc<Depths> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The queues of those who take part.
fn names(registry: &Registry) -> Vec<String> {
    let inboxes = registry.inboxes.keys().map(|id| Destination::new(Side::Delivery, id.as_str()).to_string());
    let systems = registry.systems.keys().map(|id| Destination::new(Side::WriteBack, id.as_str()).to_string());
    let own = amqp::outlets(registry).into_iter().map(|outlet| outlet.name());
    inboxes.chain(systems).chain(own).take(QUEUES_MAX).collect()
}

/// The queue that a provider's own consumer reads for this inbox; none where there is no such.
fn own<'d>(of: &Destination, registry: &Registry, depths: &'d Depths) -> Option<&'d Depth> {
    let id = of.to.parse::<InboxId>().ok().filter(|_| of.side == Side::Delivery)?;
    let is_own = registry.inboxes.get(&id).is_some_and(|inbox| matches!(inbox.kind, InboxKind::Amqp(_)));
    if is_own { depths.get(&format!("amqp.{id}")) } else { None }
}

/// What lies in the queues of a destination, in words; empty where nobody said.
pub(super) fn said(of: &Destination, registry: &Registry, depths: &Depths) -> String {
    let wake_ups = depths.get(&of.to_string()).map(|depth| format!("at the broker: {}", words(depth)));
    let own = own(of, registry, depths).map(|depth| format!("in the provider’s own queue: {}", words(depth)));
    wake_ups.into_iter().chain(own).collect::<Vec<_>>().join("; ")
}

/// How many messages lie in a provider's own queue that nobody reads; none where somebody does or nothing lies there.
pub(super) fn unread(of: &Destination, registry: &Registry, depths: &Depths) -> Option<u64> {
    own(of, registry, depths).filter(|depth| depth.ready > 0 && depth.readers == Some(0)).map(|depth| depth.ready)
}

fn words(depth: &Depth) -> String {
    let mut told = format!("{} ready", depth.ready);
    if let Some(held) = depth.held {
        told += &format!(", {held} being worked on");
    }
    match depth.readers {
        Some(0) => told += ", nobody reads it",
        Some(readers) => told += &format!(", {}", counted(readers, "reader")),
        None => {}
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::console::tests::config_with;

    #[test]
    fn what_lies_in_queues_is_told_in_words() {
        let more = "[broker]\nurl = \"amqp://guest@127.0.0.1\"\n[[provider]]\nid = \"mind\"\nname = \"Mind\"\nods-code = \"ZH998\"\n\
                    tokens = [{ env = \"TOKEN_5\" }]\ninbox = { kind = \"amqp\" }\n";
        let registry = config_with(more).registry;
        let depth =
            |queue: &str, ready, held, readers| (queue.to_owned(), Depth { queue: queue.into(), ready, held, readers });
        let depths = Depths::from([
            depth("inbox.mind", 1, Some(2), None),
            depth("amqp.mind", 3, None, Some(0)),
            depth("amqp.life-rooms", 3, None, Some(0)),
            depth("writeback.merseycare-rio", 0, None, Some(1)),
        ]);
        let of = |side, to: &str| Destination::new(side, to);
        let mind = of(Side::Delivery, "mind");
        assert_eq!(
            said(&mind, &registry, &depths),
            "at the broker: 1 ready, 2 being worked on; in the provider’s own queue: 3 ready, nobody reads it"
        );
        assert_eq!(unread(&mind, &registry, &depths), Some(3));
        let rio = of(Side::WriteBack, "merseycare-rio");
        assert_eq!(said(&rio, &registry, &depths), "at the broker: 0 ready, 1 reader");
        let rooms = of(Side::Delivery, "life-rooms");
        assert_eq!((said(&rooms, &registry, &depths), unread(&rooms, &registry, &depths)), (String::new(), None));
        let names = names(&registry);
        assert!(
            names.contains(&"amqp.mind".to_owned()) && names.contains(&"writeback.brownlow-gp".to_owned()),
            "{names:?}"
        );
        assert!(!names.contains(&"amqp.life-rooms".to_owned()), "{names:?}");
    }
}
