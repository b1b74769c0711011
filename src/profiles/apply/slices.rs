//! Which slice an item belongs to (profiling.html#slicing, #discriminator).

use serde_json::Value;

use super::{
    Apply,
    values::{Item, below, coded, has, resource_type, same},
};
use crate::{
    definitions::Type,
    profiles::profile::{By, Discriminator, Node, Slicing, Step},
};

/// The slice of what belongs to no other (profiling.html#slicing).
const DEFAULT: &str = "@default";

impl<'v> Apply<'v, '_> {
    /// The number of the slice that an item belongs to. What belongs to no other belongs to the one that is called so.
    pub(super) fn slice_of(&self, node: &'v Node, item: &Item<'v>) -> Option<usize> {
        let by = node.slicing.as_ref().map_or(&[][..], |slicing| slicing.by.as_slice());
        let named = |(name, slice): &(String, Node)| name != DEFAULT && self.is_slice(name, slice, by, item);
        node.slices.iter().position(named).or_else(|| node.slices.iter().position(|(name, _)| name == DEFAULT))
    }

    fn is_slice(&self, name: &str, slice: &Node, by: &[Discriminator], item: &Item<'v>) -> bool {
        if by.is_empty() {
            // extensions are sliced by their URL, choices by their type, without anybody saying so
            return match item.of.name {
                "Extension" => self.is_extension_of(slice, item.value),
                _ => item.key == name || slice.types.iter().any(|t| t.code == item.code),
            };
        }
        by.iter().all(|by| {
            if by.path == [Step::Name("url".into())] && item.of.name == "Extension" {
                return self.is_extension_of(slice, item.value);
            }
            let Some((asked, values)) = descend(slice, &by.path, item.value) else { return false };
            match by.by {
                By::Value => self.any_fit(&asked, &values),
                By::Exists if asked.iter().any(|asked| asked.max == Some(0)) => values.is_empty(),
                By::Exists => asked.iter().all(|asked| asked.min == 0) || !values.is_empty(),
                By::Type if by.path.is_empty() => {
                    let is =
                        item.value.and_then(Value::as_object).and_then(resource_type).map_or(item.code, |of| of.name);
                    slice.types.iter().any(|t| t.code == is)
                }
                By::Type => values.iter().any(|value| {
                    let is = value.as_object().and_then(resource_type);
                    let allowed = |is: &Type| asked.iter().flat_map(|asked| &asked.types).any(|t| is.is_a(&t.code));
                    is.is_some_and(allowed)
                }),
                By::Profile => false,
            }
        })
    }

    /// Whether values are what nodes fix, which are one element of a slice and the slices of that.
    fn any_fit(&self, asked: &[&Node], values: &[&Value]) -> bool {
        let saying: Vec<_> = asked.iter().filter(|node| says(node)).collect();
        // where nothing is fixed, a required binding may tell
        if saying.is_empty() {
            return asked.iter().any(|node| values.iter().any(|value| self.fits(node, value)));
        }
        saying.iter().all(|node| values.iter().any(|value| self.fits(node, value)))
    }

    fn is_extension_of(&self, slice: &Node, extension: Option<&Value>) -> bool {
        let Some(url) = extension.and_then(|e| e.get("url")) else { return false };
        let by_child = slice.children.iter().find(|(name, _)| name == "url").and_then(|(_, url)| url.fixed.as_ref());
        let by_profile = slice.types.iter().flat_map(|t| &t.profiles).any(|profile| url == profile.as_str());
        by_profile || by_child == Some(url)
    }

    /// Whether a value is what a node fixes, in it and below it.
    fn fits(&self, node: &Node, value: &Value) -> bool {
        let codes =
            node.binding.as_ref().filter(|b| b.is_required).and_then(|b| self.validator.value_sets.get(&b.value_set));
        node.fixed.as_ref().is_none_or(|fixed| same(fixed, value))
            && node.pattern.as_ref().is_none_or(|pattern| has(pattern, value))
            && codes.is_none_or(|codes| coded(value, &|system, code| codes.has(system, code)).unwrap_or(true))
            && node.children.iter().filter(|(_, child)| says(child)).all(|(name, child)| {
                let values = below(value, name);
                let fits = |node: &Node| values.iter().any(|value| self.fits(node, value));
                // each slice that must be there, or one of those that may
                let saying: Vec<&Node> = child.slices.iter().map(|(_, slice)| slice).filter(|s| says(s)).collect();
                let must: Vec<_> = saying.iter().filter(|slice| slice.min > 0).collect();
                let sliced = match must.as_slice() {
                    [] => saying.is_empty() || saying.iter().any(|slice| fits(slice)),
                    must => must.iter().all(|slice| fits(slice)),
                };
                sliced && (!says_itself(child) || fits(child))
            })
    }
}

/// Whether a node, or one below it, fixes something.
fn says(node: &Node) -> bool {
    says_itself(node) || node.slices.iter().any(|(_, slice)| says(slice))
}

/// The same, its slices apart.
fn says_itself(node: &Node) -> bool {
    node.fixed.is_some() || node.pattern.is_some() || node.children.iter().any(|(_, child)| says(child))
}

/// Whether the slices can be told apart with what is here.
pub(super) fn can_tell(slicing: &Slicing) -> bool {
    slicing.by.iter().all(|by| by.by != By::Profile && !by.path.contains(&Step::Resolve))
}

pub(super) fn is_extension(name: &str) -> bool {
    matches!(name, "extension" | "modifierExtension")
}

/// The nodes and the values at a discriminator's path: what is asked of the element there, and of slices on the way to it.
fn descend<'n, 'v>(node: &'n Node, path: &[Step], value: Option<&'v Value>) -> Option<(Vec<&'n Node>, Vec<&'v Value>)> {
    let (mut nodes, mut values) = (vec![node], value.into_iter().collect::<Vec<_>>());
    for step in path {
        match step {
            Step::Name(name) => {
                nodes = nodes
                    .iter()
                    .flat_map(|node| node.children.iter().filter(|(known, _)| known == name))
                    .flat_map(|(_, child)| [child].into_iter().chain(child.slices.iter().map(|(_, slice)| slice)))
                    .collect();
                values = values.into_iter().flat_map(|value| below(value, name)).collect();
            }
            Step::Extension(url) => {
                let by_url = |slice: &&Node| {
                    slice.types.iter().flat_map(|t| &t.profiles).any(|profile| profile == url)
                        || slice
                            .children
                            .iter()
                            .any(|(name, n)| name == "url" && n.fixed.as_ref().is_some_and(|f| f == url.as_str()))
                };
                nodes = nodes
                    .iter()
                    .flat_map(|node| node.children.iter().filter(|(known, _)| known == "extension"))
                    .flat_map(|(_, extensions)| extensions.slices.iter().map(|(_, slice)| slice))
                    .filter(by_url)
                    .collect();
                let is = |e: &&Value| e.get("url").is_some_and(|u| u == url.as_str());
                values = values.into_iter().flat_map(|value| below(value, "extension")).filter(is).collect();
            }
            Step::Resolve => return None,
        }
    }
    if nodes.is_empty() { None } else { Some((nodes, values)) }
}
