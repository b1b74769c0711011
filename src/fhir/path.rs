//! Where in a resource we are, as a FHIRPath expression. Element names that R4 could not have are never repeated:
//! they may be anything, a patient's name included.

use std::{
    collections::HashSet,
    fmt::{self, Display, Write as _},
    sync::LazyLock,
};

use super::reference::is_resource_type;
use crate::definitions;

/// One step down from an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into the element of this name.
    Name(String),
    /// Into the item of this number.
    Index(usize),
}

/// What stands for a root whose resource type is not known.
pub(crate) const UNKNOWN_ROOT: &str = "%resource";

/// Where a walk is: a chain of steps that leads up to its root. It is written out only where something is to be said about the
/// place, so that walking costs no texts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// The expression that the walk began at.
    Root(&'a str),
    /// An element; it is left out where R4 could have none of that name.
    Name(&'a Place<'a>, &'a str),
    /// An item of a list.
    Index(&'a Place<'a>, usize),
}

impl<'a> Place<'a> {
    /// The element `name` below.
    pub(crate) fn child(&'a self, name: &'a str) -> Self {
        Self::Name(self, name)
    }

    /// The item `index` below.
    pub(crate) fn item(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// The expression that the walk began at.
    pub(crate) fn root(&self) -> &'a str {
        match self {
            Self::Root(root) => root,
            Self::Name(up, _) | Self::Index(up, _) => up.root(),
        }
    }
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(root) => f.write_str(root),
            Self::Name(up, name) => match known_name(name) {
                Some(name) => write!(f, "{up}.{name}"),
                None => up.fmt(f),
            },
            Self::Index(up, index) => write!(f, "{up}[{index}]"),
        }
    }
}

/// `base.name`; just `base` where `name` is nothing R4 could have.
pub(crate) fn child(base: &str, name: &str) -> String {
    match known_name(name) {
        Some(name) => format!("{base}.{name}"),
        None => base.to_owned(),
    }
}

/// `base[index]`.
pub(crate) fn item(base: &str, index: usize) -> String {
    format!("{base}[{index}]")
}

/// The expression for `steps` below `root`, as far as its names are possible ones.
pub(crate) fn render(root: Option<&str>, steps: &[Step]) -> String {
    let mut path = root.and_then(root_name).unwrap_or(UNKNOWN_ROOT).to_owned();
    for step in steps {
        match step {
            Step::Index(index) => {
                let _ = write!(path, "[{index}]");
            }
            Step::Name(name) => match known_name(name) {
                Some(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                None => break,
            },
        }
    }
    path
}

/// A resource type, as the root of an expression; none where R4 has no such type.
pub(crate) fn root_name(kind: &str) -> Option<&str> {
    is_resource_type(kind).then_some(kind)
}

/// The same, where R4 has an element of that name anywhere: another may be anything.
fn known_name(key: &str) -> Option<&str> {
    static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let elements = definitions::types().iter().flat_map(|of| of.keys().chain(of.elements.iter().map(|e| e.name)));
        elements.chain(["resourceType"]).collect()
    });
    element_name(key).filter(|name| NAMES.contains(name))
}

/// The element that a JSON key belongs to (`_status` holds what else is said about `status`); none where no R4 element
/// could be called that.
pub(crate) fn element_name(key: &str) -> Option<&str> {
    let name = key.strip_prefix('_').unwrap_or(key);
    let fits = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_names_are_not_repeated() {
        let steps = [Step::Name("entry".into()), Step::Index(1), Step::Name("Ann Smith".into()), Step::Index(0)];
        assert_eq!(render(Some("Bundle"), &steps), "Bundle.entry[1]");
        assert_eq!(render(None, &[Step::Name("_status".into())]), "%resource.status");
        assert_eq!(child("Task", "no te"), "Task");
        let root = Place::Root("Bundle");
        let (entry, impossible) = (root.child("entry"), root.child("Ann Smith"));
        assert_eq!(entry.item(1).child("_status").to_string(), "Bundle.entry[1].status");
        assert_eq!(impossible.item(0).to_string(), "Bundle[0]");
    }
}
