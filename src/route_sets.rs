//! What is done with versions of the route set before one decides: they are read as they were stored or as somebody writes them, held
//! against the one before, tried on what came lately, and asked where a referral would go. The command line and the pages do all of it
//! by these functions; who may do it is for them to ask.

use std::collections::BTreeMap;

use crate::{
    config::{Registry, routes::Read},
    routing::{Known, RouteSet},
    store::RoutesVersion,
};

pub mod diff;
pub mod explain;
pub mod rehearse;
pub mod tally;
pub mod went;

/// Reads a stored version as it is to be beside this registry, with the files that were stored with it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_stored(version: &RoutesVersion, registry: &Registry) -> Read {
    reading(version, registry, RouteSet::read)
}

/// The same of one that was held against itself when it became a version: only whether what it names is there.
///
/// # Errors
/// What it names and is not there.
pub fn read_stored_again(version: &RoutesVersion, registry: &Registry) -> Read {
    reading(version, registry, RouteSet::read_again)
}

/// Reads what somebody writes, as it would be read as the next version; what it names beside itself is of these files.
///
/// # Errors
/// Everything that is wrong with it, its tests included.
pub fn read_draft(text: &str, files: &BTreeMap<String, String>, registry: &Registry) -> Read {
    let of = |name: &str| {
        let none =
            || "it does not belong to the version in force; `onward routes apply` takes new files along".to_owned();
        files.get(name).cloned().ok_or_else(none)
    };
    RouteSet::read(text, "the draft", registry.known(&of))
}

fn reading(version: &RoutesVersion, registry: &Registry, read: fn(&str, &str, Known<'_>) -> Read) -> Read {
    let files = |name: &str| {
        let stored = version.files.get(name).cloned();
        stored.ok_or_else(|| "it was not stored with this version".to_owned())
    };
    read(&version.text, &format!("route set {}", version.number), registry.known(&files))
}
