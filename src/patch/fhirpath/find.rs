//! What a path leads to in the resource that is patched, and what may stand there.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    super::place::{Place, object_at, put_list, take_list, type_at},
    Done, Given, Wrong, nothing, unfit,
};
use crate::{
    definitions::{Element, Max, Type, type_named},
    fhir::{path::Step, tree},
    fhirpath::{Collection, Context, EvalError, Expression, Item},
};

/// What a path leads to.
pub(super) enum Target {
    /// The resource itself.
    Whole,
    /// An element in it.
    In { place: Place, is_primitive: bool },
}

/// A list that is there.
pub(super) struct Items {
    /// The place of its first item.
    pub(super) place: Place,
    pub(super) count: usize,
}

/// Looks for what paths lead to.
pub(super) struct Finder<'r> {
    pub(super) resource: &'r Value,
    pub(super) now: Timestamp,
    pub(super) steps: &'r mut usize,
}

impl Finder<'_> {
    fn evaluate<'a>(&'a mut self, path: &'a Expression) -> Done<Collection<'a>> {
        let context = Context::new(self.resource, self.now);
        path.evaluate_within(context.resource, &context, self.steps).map_err(|error| match error {
            EvalError::TooManySteps | EvalError::TooGreat => Wrong::TooCostly("its path costs too much to follow"),
            other => Wrong::Unfit(format!("its path cannot be followed: {other}")),
        })
    }

    /// The one element that a path leads to, or none.
    pub(super) fn one(&mut self, path: &Expression) -> Done<Option<Target>> {
        let resource = self.resource;
        let found = self.evaluate(path)?;
        match found.as_slice() {
            [] => Ok(None),
            [Item::Node(node)] if node.value.is_some_and(|value| std::ptr::eq(value, resource)) => {
                Ok(Some(Target::Whole))
            }
            [Item::Node(node)] => {
                let is_primitive = !node.value.is_some_and(Value::is_object);
                let place = Place::of(node, resource).ok_or_else(elsewhere)?;
                Ok(Some(Target::In { place, is_primitive }))
            }
            [_] => Err(elsewhere()),
            _ => unfit("its path leads to several elements, and one is to be changed"),
        }
    }

    /// The list whose items a path leads to; none where it leads to nothing.
    pub(super) fn list(&mut self, path: &Expression) -> Done<Option<Items>> {
        const PART: &str = "its path does not lead to all items of one list";
        let resource = self.resource;
        let found = self.evaluate(path)?;
        let Some(first) = found.as_slice().first() else { return Ok(None) };
        let Item::Node(node) = first else { return Err(elsewhere()) };
        let place = Place::of(node, resource).ok_or_else(elsewhere)?;
        let mut holder = resource;
        for step in &place.holder {
            let below = match step {
                Step::Name(name) => holder.get(name),
                Step::Index(index) => holder.get(index),
            };
            holder = below.ok_or_else(nothing)?;
        }
        let (values, abouts) = (tree::items(holder, &place.key), tree::items(holder, &format!("_{}", place.key)));
        let count = values.len().max(abouts.len());
        let is_item = |n: usize, item: &Item<'_>| {
            let Item::Node(node) = item else { return false };
            let lies = |at: Option<&Value>, element: Option<&Value>| match (at, element) {
                (Some(at), Some(element)) => std::ptr::eq(at, element),
                _ => false,
            };
            lies(values.get(n), node.value) || lies(abouts.get(n), node.about)
        };
        let all = count > 0 && found.len() == count && found.iter().enumerate().all(|(n, item)| is_item(n, item));
        if all { Ok(Some(Items { place, count })) } else { unfit(PART) }
    }
}

pub(super) fn elsewhere() -> Wrong {
    Wrong::Unfit("its path leads to something that is no element of this resource".to_owned())
}

impl Target {
    pub(super) fn way(&self) -> Vec<Step> {
        match self {
            Self::Whole => Vec::new(),
            Self::In { place, .. } => place.way(),
        }
    }

    /// What may stand under a name in it.
    pub(super) fn element(&self, resource: &Value, name: &str, value: &Given<'_>) -> Done<Slot> {
        let of = match self {
            // beside its value, a primitive has what every element has
            Self::In { is_primitive: true, .. } => type_named("Element"),
            _ => type_at(resource, &self.way()),
        };
        Slot::named(of, name, value)
    }

    /// The object that its elements lie in; of a primitive that is what is said about it.
    pub(super) fn inside(self, resource: &mut Value) -> Option<&mut Map<String, Value>> {
        let Self::In { place, is_primitive: true } = self else { return object_at(resource, &self.way()) };
        let object = object_at(resource, &place.holder)?;
        let beside = format!("_{}", place.key);
        let Some(index) = place.index else {
            return object.entry(beside).or_insert_with(|| Value::Object(Map::new())).as_object_mut();
        };
        let mut items = take_list(object, &place.key);
        items.get_mut(index)?.about.get_or_insert_with(|| Value::Object(Map::new()));
        put_list(object, &place.key, items);
        object.get_mut(&beside)?.get_mut(index)?.as_object_mut()
    }
}

/// What may stand under a name.
pub(super) struct Slot {
    pub(super) key: String,
    pub(super) element: &'static Element,
    pub(super) of: &'static Type,
}

impl Slot {
    /// The slot of this name in a type, for a value of this type where the name leaves that open.
    pub(super) fn named(of: Option<&'static Type>, name: &str, value: &Given<'_>) -> Done<Self> {
        let Some(of) = of else { return unfit("it is not known what may stand there") };
        let told = || Wrong::Unfit(format!("{} has no such element", of.name));
        let key = match of.child(name) {
            Some(_) => name.to_owned(),
            None if of.elements.iter().any(|element| element.is_choice && element.name == name) => {
                let Given::Value { code, .. } = value else { return Err(told()) };
                let mut letters = code.chars();
                let first = letters.next().map(|letter| letter.to_ascii_uppercase());
                format!("{name}{}{}", first.map(String::from).unwrap_or_default(), letters.as_str())
            }
            None => return Err(told()),
        };
        let (_, element, is) = of
            .child(&key)
            .ok_or_else(|| Wrong::Unfit(format!("{} cannot have a value of this type there", of.name)))?;
        Ok(Self { key, element, of: is.of() })
    }

    pub(super) fn is_list(&self) -> bool {
        self.element.max == Max::Many
    }
}
