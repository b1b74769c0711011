//! What is served beside the resources of [`super::table`]: the whole service, operations, and what those who keep it running ask for.
//! The router, the CapabilityStatement and the OpenAPI description are made from this table, too.

use axum::{
    Router,
    routing::{MethodRouter, get, post},
};

use super::{
    Shared, batch, capability,
    directory::{proposals, stories},
    health, openapi, read, subscription, table, validate,
    who::{self, Needs},
};
use crate::domain::{EntryKind, Letter};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// A Bundle is taken.
    Bundle,
    /// What this interface can do is told, as FHIR tells it.
    Metadata,
    /// The same, as OpenAPI tells it.
    OpenApi,
    /// The whole of a referral is given.
    Package,
    /// It is told how it is with a subscription.
    SubscriptionStatus,
    /// It is told what a subscription was to be told.
    SubscriptionEvents,
    /// It is said what would be said of a resource.
    Validate,
    /// What is proposed for the directory is listed.
    Proposals,
    /// A proposal is given.
    Proposal,
    /// A proposal becomes an entry.
    Approve,
    /// A proposal is refused.
    Decline,
    /// A proposal is taken back.
    Withdraw,
    /// Practice stories are taken out of a service and its history.
    TakeOut,
    /// Whether the process answers.
    Live,
    /// Whether it can take referrals.
    Ready,
    /// Figures.
    Figures,
}

/// A route.
pub(super) struct Beside {
    /// What is done.
    pub deed: Deed,
    /// By which method, in small letters.
    pub method: &'static str,
    /// Where. `{kind}` is any type of R4.
    pub path: &'static str,
    /// Another spelling of the same.
    pub also: Option<&'static str>,
}

/// What can be done with the whole service (R4 CapabilityStatement.rest.interaction), and what is said of it.
pub(super) const SYSTEM: &[(&str, &str)] = &[
    ("transaction", "A referral as a Bundle: POST and PUT entries with at least one ServiceRequest."),
    ("batch", "Requests, done one after the other, each by itself."),
];

use Deed::{
    Approve, Bundle, Decline, Figures, Live, Metadata, OpenApi, Package, Proposal, Proposals, Ready,
    SubscriptionEvents, SubscriptionStatus, TakeOut, Validate, Withdraw,
};

/// All of them.
pub(super) const BESIDE: &[Beside] = &[
    Beside { also: Some("/fhir/"), ..of(Bundle, "post", "/fhir") },
    of(Metadata, "get", "/fhir/metadata"),
    of(Package, "get", "/fhir/Task/{id}/$package"),
    of(SubscriptionStatus, "get", "/fhir/Subscription/{id}/$status"),
    of(SubscriptionEvents, "get", "/fhir/Subscription/{id}/$events"),
    of(Validate, "post", "/fhir/{kind}/$validate"),
    of(Validate, "post", "/fhir/{kind}/{id}/$validate"),
    of(Proposals, "get", "/directory/proposals"),
    of(Proposal, "get", "/directory/proposals/{id}"),
    of(Approve, "post", "/directory/proposals/{id}/approve"),
    of(Decline, "post", "/directory/proposals/{id}/decline"),
    of(Withdraw, "post", "/directory/proposals/{id}/withdraw"),
    of(TakeOut, "post", "/directory/stories/{id}/take-out"),
    of(OpenApi, "get", "/openapi.json"),
    of(Live, "get", "/health/live"),
    of(Ready, "get", "/health/ready"),
    of(Figures, "get", "/metrics"),
];

const fn of(deed: Deed, method: &'static str, path: &'static str) -> Beside {
    Beside { deed, method, path, also: None }
}

impl Deed {
    /// Whether it is for whoever keeps the service running: served by every process, without a place and whatever is accepted.
    pub(super) const fn is_keepers(self) -> bool {
        matches!(self, Live | Ready | Figures)
    }

    /// Whether a client must show who it is.
    pub(super) const fn needs_token(self) -> bool {
        matches!(self, Bundle | Package | SubscriptionStatus | SubscriptionEvents | Validate) || self.is_of_directory()
    }

    /// Whether it is about what is proposed for the directory.
    pub(super) const fn is_of_directory(self) -> bool {
        matches!(self, Proposals | Proposal | Approve | Decline | Withdraw | TakeOut)
    }

    /// What must be granted for it: which letter for which type. The entries of a Bundle have each their own, and whatever a package holds
    /// must be granted, too; what would be said of a resource is told to who may write such (`validate.rs`). A proposal may be about an
    /// entry of any kind.
    pub(super) fn needs(self) -> Needs {
        let of_entries = |letter| EntryKind::ALL.iter().map(|kind| (kind.code(), letter)).collect();
        match self {
            Package => vec![("Task", Letter::Read)],
            SubscriptionStatus => vec![("Subscription", Letter::Read)],
            SubscriptionEvents => vec![("Subscription", Letter::Read), ("Task", Letter::Read)],
            Proposals | Proposal => of_entries(Letter::Read),
            Approve | Decline | Withdraw => of_entries(Letter::Update),
            TakeOut => vec![("HealthcareService", Letter::Update)],
            Bundle | Validate | Metadata | OpenApi | Live | Ready | Figures => Vec::new(),
        }
    }

    fn handler(self) -> MethodRouter<Shared> {
        match self {
            Bundle => post(batch::bundle),
            Metadata => get(capability::metadata),
            OpenApi => get(openapi::document),
            Package => get(read::package),
            SubscriptionStatus => get(subscription::status),
            SubscriptionEvents => get(subscription::events),
            Validate => post(validate::validate),
            Proposals => get(proposals::list),
            Proposal => get(proposals::read),
            Approve => post(proposals::approve),
            Decline => post(proposals::decline),
            Withdraw => post(proposals::withdraw),
            TakeOut => post(stories::take_out),
            Live => get(health::live),
            Ready => get(health::ready),
            Figures => get(health::figures),
        }
    }
}

/// A router with those that `wanted` says.
pub(super) fn router(wanted: impl Fn(Deed) -> bool) -> Router<Shared> {
    let mut router = Router::new();
    for beside in BESIDE.iter().filter(|beside| wanted(beside.deed)) {
        for path in std::iter::once(beside.path).chain(beside.also) {
            router = router.route(path, who::granted(beside.deed.handler(), beside.deed.needs()));
        }
        // where a type has routes of its own they come before those of all types
        for served in table::SERVED.iter().filter(|_| beside.path.contains("{kind}")) {
            let handler = who::granted(beside.deed.handler(), beside.deed.needs());
            router = router.route(&beside.path.replace("{kind}", served.kind), handler);
        }
    }
    router
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_stands_under_the_method_that_it_is_told_by() {
        for beside in BESIDE {
            let handler = format!("{:?}", beside.deed.handler());
            let is_get = !handler.contains("get: None");
            assert_eq!(is_get, beside.method == "get", "{handler}");
        }
    }
}
