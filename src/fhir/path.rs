//! Where in a resource we are, as a FHIRPath expression. Element names that R4 could not have are never repeated:
//! they may be anything, a patient's name included.

use std::fmt::Write as _;

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

/// `base.name`; just `base` where `name` is nothing R4 could have.
pub(crate) fn child(base: &str, name: &str) -> String {
    match element_name(name) {
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
    let mut path = root.and_then(element_name).unwrap_or(UNKNOWN_ROOT).to_owned();
    for step in steps {
        match step {
            Step::Index(index) => {
                let _ = write!(path, "[{index}]");
            }
            Step::Name(name) => match element_name(name) {
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
    }
}
