//! By what “the same again” is recognised (design section 8).

use serde_json::Value;
use uuid::Uuid;

use super::{
    Incoming,
    apart::{Apart, Draft},
};
use crate::fhir::tree;

/// A referral's business key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Unique for one originating system.
    pub text: String,
    /// The placer identifier as `system|value`, if that is what the key is.
    pub identifier: Option<String>,
    /// Whether the sender gave none.
    pub minted: bool,
}

/// The placer identifier (v2-0203 `PLAC`), else the first identifier with a system, else `If-None-Exist`, else
/// `Idempotency-Key`, else one made here. `index` tells apart the referrals of one request.
pub fn of(apart: &Apart, draft: &Draft, index: usize, incoming: &Incoming) -> Key {
    let item = &apart.items[draft.request];
    let identifiers: Vec<_> = tree::identifiers(&item.resource).collect();
    let placer = identifiers.iter().find(|(_, _, identifier)| is_placer(identifier));
    let chosen = placer.or_else(|| identifiers.iter().find(|(system, _, _)| system.is_some()));
    if let Some((system, value, _)) = chosen {
        let token = format!("{}|{value}", system.unwrap_or_default());
        return Key { text: format!("identifier:{token}"), identifier: Some(token), minted: false };
    }
    let condition = item.if_none_exist.as_ref().or(incoming.if_none_exist.as_ref());
    if let Some(condition) = condition {
        return Key { text: format!("if-none-exist:{condition}"), identifier: None, minted: false };
    }
    if let Some(key) = &incoming.idempotency_key {
        return Key { text: format!("idempotency-key:{key}#{index}"), identifier: None, minted: false };
    }
    Key { text: format!("minted:{}", Uuid::now_v7()), identifier: None, minted: true }
}

fn is_placer(identifier: &Value) -> bool {
    let Some(kind) = identifier.get("type") else { return false };
    tree::codings(kind).any(|(system, code, _)| {
        code == "PLAC" && system.is_none_or(|s| s == "http://terminology.hl7.org/CodeSystem/v2-0203")
    })
}
