//! Proposals as they are told: over HTTP and by the commands in the same words. `who` says who decided, by the name that it was signed
//! by: that name is for stewards alone. Pure.

use serde_json::{Value, json};

use super::{
    entry,
    proposals::{Proposed, changes},
};
use crate::{
    domain::{ProposalStatus, clock::instant},
    store::Proposal,
};

/// A proposal in short, as a list has it.
pub fn in_short(proposal: &Proposal, who: &dyn Fn(&str) -> String) -> Value {
    let new = &proposal.new;
    let mut told = json!({
        "id": new.id,
        "status": proposal.status.code(),
        "provider": new.provider.as_str(),
        "proposed": instant(proposal.at),
        "entry": format!("{}/{}", new.kind, new.entry),
        "over": new.over,
    });
    if let Some(decided) = &proposal.decided {
        told["decided"] = json!({"at": instant(decided.at), "by": who(&decided.by)});
        if let Some(reason) = &decided.reason {
            told["decided"]["reason"] = reason.as_str().into();
        }
        if let Some(version) = decided.version {
            told["decided"]["version"] = version.into();
        }
    }
    told
}

/// A proposal whole, with what it would change.
pub fn whole(proposed: &Proposed, who: &dyn Fn(&str) -> String) -> Value {
    let Proposed { proposal, body, before, .. } = proposed;
    let mut told = in_short(proposal, who);
    let (shown, was) = (entry::without_record(body.clone()), before.clone().map(entry::without_record));
    told["changes"] = changes(was.as_ref(), &shown).into();
    told["resource"] = shown;
    told["tells-story"] = entry::tells_anew(body, before.as_ref()).into();
    if proposal.status == ProposalStatus::Pending {
        told["is-stale"] = proposed.is_stale().into();
    }
    told
}
