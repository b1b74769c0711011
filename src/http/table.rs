//! What is served: types and interactions. The router, the CapabilityStatement and the OpenAPI description are made from this table, so
//! that none of them says what another does not do.

use axum::{
    extract::{Path, State},
    routing::{MethodRouter, delete, get, patch, post, put},
};

use super::{
    Shared, call::Caller, conversation, directory, history, matching, read, search, subscription, who::Needs, write,
};
use crate::domain::{EntryKind, Letter};

/// What can be done with the resources of a type (R4 http.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interaction {
    Read,
    Vread,
    HistoryInstance,
    HistoryType,
    SearchType,
    Create,
    Update,
    Patch,
    Delete,
}

/// A type and what can be done with its resources.
pub(super) struct Served {
    /// The type.
    pub kind: &'static str,
    /// What can be done.
    pub interactions: &'static [Interaction],
    /// What a CapabilityStatement says beside that.
    pub documentation: &'static str,
}

use Interaction::{Create, Delete, HistoryInstance, HistoryType, Patch, Read, SearchType, Update, Vread};

const READ: &[Interaction] = &[Read, Vread, HistoryInstance, SearchType];

/// A type that travels with referrals.
const fn carried(kind: &'static str) -> Served {
    Served {
        kind,
        interactions: READ,
        documentation: "Carried with a referral. A search names the referral: by _id, or by a reference to one of its resources.",
    }
}

/// What can be done with entries of the directory.
const OF_DIRECTORY: &[Interaction] = &[Read, Vread, HistoryInstance, HistoryType, SearchType, Create, Update, Patch];

/// Every type that is served, and how.
pub(super) const SERVED: &[Served] = &[
    Served {
        kind: "ServiceRequest",
        interactions: &[Read, Vread, HistoryInstance, HistoryType, SearchType, Create, Update, Patch],
        documentation: "A referral. After sending, the system that referred changes it with If-Match, by id or by a search: revoked cancels, or asks the \
                        provider to confirm that; entered-in-error retracts; other content goes to the provider. Subject, the identifier \
                        by which it is known, and what would route it elsewhere stay. Of one that is split each target has an order of \
                        its own (intent filler-order), found by based-on or _id, which nobody changes by itself.",
    },
    Served {
        kind: "Task",
        interactions: &[Read, Vread, HistoryInstance, HistoryType, SearchType, Update, Patch],
        documentation: "How far a referral has come. One that goes to several targets has a Task for each and a parent, found by \
                        part-of, whose status follows from theirs and which nobody sets. A provider changes status, statusReason, businessStatus, note, output, \
                        executionPeriod, and its owner within its own organisation; If-Match is needed, by id or by a search.",
    },
    Served {
        kind: "Communication",
        interactions: &[Read, Vread, HistoryInstance, SearchType, Create],
        documentation: "A message of one side to the other, basedOn the ServiceRequest or about it or its Task. A provider's whose \
                        category or reasonCode is information-requested asks for more; the referrer's next one answers. A search \
                        names the referral: based-on, about (not an R4 parameter, but the same), another reference, or _id.",
    },
    Served {
        kind: "Provenance",
        interactions: READ,
        documentation: "Who changed a Task and when: one for each of its versions. A search names the Task (target) or another \
                        resource of the referral.",
    },
    Served {
        kind: "HealthcareService",
        interactions: OF_DIRECTORY,
        documentation: "What is on offer: an entry of the directory (IHE mCSD ITI-90), read by every client. Stewards write it; what a \
                        provider writes of its own is kept as a proposal (202). One that names the Endpoint of an inbox stands behind \
                        it. A search with near or near-postcode gives the nearest first, with location-distance. What travels with a \
                        referral is found by _id, and by what is beside it.",
    },
    Served {
        kind: "Location",
        interactions: OF_DIRECTORY,
        documentation: "Where it is: an entry of the directory, as HealthcareService.",
    },
    Served {
        kind: "Organization",
        interactions: OF_DIRECTORY,
        documentation: "Who offers it: an entry of the directory, as HealthcareService. Each provider of the registry is one, which \
                        its configuration alone changes.",
    },
    Served {
        kind: "Endpoint",
        interactions: OF_DIRECTORY,
        documentation: "Where a system is reached: an entry of the directory, as HealthcareService. Each inbox of the registry is one, \
                        which its configuration alone changes.",
    },
    Served {
        kind: "Subscription",
        interactions: &[Read, SearchType, Create, Update, Delete],
        documentation: "Told of changes of Tasks: R4 with the topics of R5 (Subscriptions R5 Backport). rest-hook to a URL that the \
                        configuration allows; empty, id-only or full-resource; filters by owner, requester, status, code, patient, \
                        focus, business-status, priority. After an error, status requested asks for it anew.",
    },
    carried("Patient"),
    carried("Practitioner"),
    carried("PractitionerRole"),
    carried("RelatedPerson"),
    carried("Consent"),
    carried("QuestionnaireResponse"),
    carried("DocumentReference"),
    carried("Binary"),
    carried("AllergyIntolerance"),
    carried("Appointment"),
    carried("CarePlan"),
    carried("CareTeam"),
    carried("Condition"),
    carried("Coverage"),
    carried("Device"),
    carried("DiagnosticReport"),
    carried("Encounter"),
    carried("EpisodeOfCare"),
    carried("Flag"),
    carried("Goal"),
    carried("Group"),
    carried("List"),
    carried("Medication"),
    carried("MedicationRequest"),
    carried("MedicationStatement"),
    carried("Observation"),
    carried("Procedure"),
    carried("Questionnaire"),
    carried("RiskAssessment"),
];

impl Served {
    /// All that can be done: how it is called, by which method, where below the type.
    pub(super) fn operations(&self) -> impl Iterator<Item = (Interaction, &'static str, &'static str)> {
        // what a search finds is written where it is a referral, its Task, or an entry of the directory
        let by_search = matches!(self.kind, "Task" | "ServiceRequest") || self.kind.parse::<EntryKind>().is_ok();
        let all = self.interactions.iter().flat_map(|interaction| {
            interaction.paths().iter().map(move |(method, below)| (*interaction, *method, *below))
        });
        all.filter(move |(interaction, _, below)| {
            by_search || !below.is_empty() || !matches!(interaction, Update | Patch)
        })
    }
}

impl Interaction {
    /// As a CapabilityStatement names it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Read => "read",
            Vread => "vread",
            HistoryInstance => "history-instance",
            HistoryType => "history-type",
            SearchType => "search-type",
            Create => "create",
            Update => "update",
            Patch => "patch",
            Delete => "delete",
        }
    }

    /// Where it is done, below the type.
    pub(super) const fn paths(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Read => &[("get", "/{id}")],
            Vread => &[("get", "/{id}/_history/{version}")],
            HistoryInstance => &[("get", "/{id}/_history")],
            HistoryType => &[("get", "/_history")],
            SearchType => &[("get", ""), ("post", "/_search")],
            Create => &[("post", "")],
            Update => &[("put", "/{id}"), ("put", "")],
            Patch => &[("patch", "/{id}"), ("patch", "")],
            Delete => &[("delete", "/{id}")],
        }
    }

    /// What must be granted for it (SMART App Launch 2.2, scopes for requesting FHIR resources): which letter for which type. Who changes what
    /// a search says must be allowed to search, and who has itself told of Tasks, to read them.
    pub(super) fn needs(self, kind: &'static str, below: &str) -> Needs {
        let letter = match self {
            Read | Vread | HistoryInstance => Letter::Read,
            HistoryType | SearchType => Letter::Search,
            Create => Letter::Create,
            Update | Patch => Letter::Update,
            Delete => Letter::Delete,
        };
        let mut needs = vec![(kind, letter)];
        if matches!(self, Update | Patch) && below.is_empty() {
            needs.push((kind, Letter::Search));
            // where none is found it is a new one
            needs.extend((kind != "Task" && self == Update).then_some((kind, Letter::Create)));
        }
        if kind == "Subscription" && matches!(self, Create | Update) {
            needs.push(("Task", Letter::Read));
        }
        needs
    }

    /// Who does it, by a method and a path of [`Interaction::paths`]; none where the type has nobody for it.
    pub(super) fn handler(self, kind: &'static str, method: &str, below: &str) -> Option<MethodRouter<Shared>> {
        Some(match (self, kind, method) {
            (Read, "Subscription", _) => get(subscription::read),
            (Read, ..) => get(move |State(app): State<Shared>, Path(id): Path<String>, caller: Caller| async move {
                read::read(&app, kind, &id, &caller).await
            }),
            (Vread, ..) => get(
                move |State(app): State<Shared>, Path((id, version)): Path<(String, String)>, caller: Caller| async move {
                    read::vread(&app, kind, &id, &version, &caller).await
                },
            ),
            (HistoryInstance, ..) => {
                get(move |State(app): State<Shared>, Path(id): Path<String>, caller: Caller| async move {
                    read::history(&app, kind, &id, &caller).await
                })
            }
            (HistoryType, ..) => get(move |State(app): State<Shared>, caller: Caller| async move {
                history::of_type(&app, kind, &caller).await
            }),
            (SearchType, _, "post") => post(move |State(app): State<Shared>, form: search::Form| async move {
                search::search(&app, kind, &form.caller, &form.asked, true).await
            }),
            (SearchType, ..) => get(move |State(app): State<Shared>, caller: Caller| async move {
                search::search(&app, kind, &caller, &caller.query, false).await
            }),
            (Create, ..) if let Ok(kind) = kind.parse::<EntryKind>() => directory::post(kind),
            (Update, ..)
                if below.is_empty()
                    && let Ok(kind) = kind.parse::<EntryKind>() =>
            {
                matching::put_entry(kind)
            }
            (Patch, ..)
                if below.is_empty()
                    && let Ok(kind) = kind.parse::<EntryKind>() =>
            {
                matching::patch_entry(kind)
            }
            (Update, ..) if let Ok(kind) = kind.parse::<EntryKind>() => directory::put(kind),
            (Patch, ..) if let Ok(kind) = kind.parse::<EntryKind>() => directory::patch_of(kind),
            (Create, "ServiceRequest", _) => post(write::create),
            (Create, "Communication", _) => post(conversation::say),
            (Create, "Subscription", _) => post(subscription::create),
            (Update, "Subscription", _) if !below.is_empty() => put(subscription::update),
            (Delete, "Subscription", _) => delete(subscription::delete),
            // without an id a search says which
            (Update, "Task", _) if below.is_empty() => put(matching::update_task),
            (Update, "ServiceRequest", _) if below.is_empty() => put(matching::update_request),
            (Patch, "Task", _) if below.is_empty() => patch(matching::patch_task),
            (Patch, "ServiceRequest", _) if below.is_empty() => patch(matching::patch_request),
            (Update, "Task", _) => put(write::update),
            (Update, "ServiceRequest", _) => put(conversation::update),
            (Patch, "Task", _) => patch(write::patch),
            (Patch, "ServiceRequest", _) => patch(conversation::patch),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_claimed_is_done_by_somebody() {
        for served in SERVED {
            for (interaction, method, below) in served.operations() {
                let done = interaction.handler(served.kind, method, below).is_some();
                assert!(done, "{} {interaction:?} {below}", served.kind);
            }
            assert!(crate::definitions::resource_named(served.kind).is_some(), "{}", served.kind);
        }
    }
}
