//! Roles in words: as their person is told of her own, and as others are told of them. Tables keep the codes.

use crate::{config::Registry, domain::Position};

/// What somebody does by a role of hers, said to herself.
pub(super) fn to_herself(position: &Position, registry: &Registry) -> String {
    let at = organisation(position, registry);
    match position {
        Position::Referrer(_) => format!("You refer people from {at}"),
        Position::ProviderWorker(_) => format!("You work the referrals of {at}"),
        Position::ProviderAdmin(_) => format!("You look after the people and services of {at}"),
        Position::RouteEditor => "You write the routes, and make them active".to_owned(),
        Position::Operator => "You keep Onward running".to_owned(),
        Position::Auditor => "You look at what happened, and at what others did".to_owned(),
    }
}

/// What somebody does by these roles, said of her.
pub(super) fn of_her(positions: &[Position], registry: &Registry) -> String {
    let one = |position: &Position| {
        let at = organisation(position, registry);
        match position {
            Position::Referrer(_) => format!("refers people from {at}"),
            Position::ProviderWorker(_) => format!("works the referrals of {at}"),
            Position::ProviderAdmin(_) => format!("looks after the people and services of {at}"),
            Position::RouteEditor => "writes the routes".to_owned(),
            Position::Operator => "keeps Onward running".to_owned(),
            Position::Auditor => "looks at what others did".to_owned(),
        }
    };
    positions.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Roles as the configuration writes them, for a table.
pub(super) fn codes(positions: &[Position]) -> String {
    positions.iter().map(Position::to_string).collect::<Vec<_>>().join(", ")
}

/// What the organisation of a role is called, or was configured as where it is there no more; nothing for a role of none.
fn organisation(position: &Position, registry: &Registry) -> String {
    match position {
        Position::Referrer(id) => registry.systems.get(id).map_or_else(|| id.to_string(), |one| one.name.clone()),
        Position::ProviderWorker(id) | Position::ProviderAdmin(id) => {
            registry.providers.get(id).map_or_else(|| id.to_string(), |one| one.name.clone())
        }
        Position::RouteEditor | Position::Operator | Position::Auditor => String::new(),
    }
}
