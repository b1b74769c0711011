//! Places in a resource: where an element lies, and what stands there. A primitive is in JSON two things, its value and what else is
//! said about it (`birthDate` and `_birthDate`); here it is one.

use serde_json::{Map, Value};

use crate::{
    definitions::{self, Kind, Type},
    fhir::path::Step,
    fhirpath::Node,
};

/// Where an element lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The way to the object that it lies in.
    pub holder: Vec<Step>,
    /// What it is called there.
    pub key: String,
    /// Which of several it is, where it is in a list.
    pub index: Option<usize>,
}

/// What stands in a place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Content {
    /// The value.
    pub value: Option<Value>,
    /// The id and the extensions of a primitive.
    pub about: Option<Value>,
}

impl Place {
    /// The place of an element that was found in this resource; none of the resource itself, and of what does not lie in it.
    pub fn of(node: &Node<'_>, resource: &Value) -> Option<Self> {
        let element = node.value.or(node.about)?;
        let mut way = Vec::new();
        if !leads(resource, element, &mut way) {
            return None;
        }
        let mut index = None;
        let mut last = way.pop()?;
        if let Step::Index(n) = last {
            index = Some(n);
            last = way.pop()?;
        }
        let Step::Name(key) = last else { return None };
        let plain = if node.value.is_none() { key.strip_prefix('_') } else { None };
        Some(Self { holder: way, key: plain.map(str::to_owned).unwrap_or(key), index })
    }

    /// The way to the element itself.
    pub fn way(&self) -> Vec<Step> {
        let step = Step::Name(self.key.clone());
        self.holder.iter().cloned().chain([step]).chain(self.index.map(Step::Index)).collect()
    }
}

/// Looks for an element by where it lies in memory: there may be many that are equal.
fn leads(from: &Value, to: &Value, way: &mut Vec<Step>) -> bool {
    if std::ptr::eq(from, to) {
        return true;
    }
    let mut below = |step: Step, value: &Value| {
        way.push(step);
        let found = leads(value, to, way);
        if !found {
            way.pop();
        }
        found
    };
    match from {
        Value::Array(items) => items.iter().enumerate().any(|(n, item)| below(Step::Index(n), item)),
        Value::Object(object) => object.iter().any(|(key, value)| below(Step::Name(key.clone()), value)),
        _ => false,
    }
}

/// The type of what lies at the end of a way.
pub(super) fn type_at(resource: &Value, way: &[Step]) -> Option<&'static Type> {
    let mut value = resource;
    let mut of = Node::resource(resource).of;
    for step in way {
        match step {
            Step::Index(n) => value = value.get(n)?,
            Step::Name(key) => {
                value = value.get(key)?;
                of = match key.strip_prefix('_') {
                    Some(_) => definitions::type_named("Element"),
                    None => of.and_then(|of| of.child(key)).map(|(_, _, is)| is.of()),
                };
            }
        }
        // which resource is contained is said by itself alone
        if of.is_some_and(|of| of.kind == Kind::Resource) && value.is_object() {
            of = Node::resource(value).of;
        }
    }
    of
}

/// The object at the end of a way.
pub(super) fn object_at<'v>(resource: &'v mut Value, way: &[Step]) -> Option<&'v mut Map<String, Value>> {
    let mut value = resource;
    for step in way {
        value = match step {
            Step::Name(key) => value.get_mut(key)?,
            Step::Index(n) => value.get_mut(n)?,
        };
    }
    value.as_object_mut()
}

/// Whether something stands there.
pub(super) fn is_there(object: &Map<String, Value>, key: &str) -> bool {
    object.contains_key(key) || object.contains_key(&format!("_{key}"))
}

/// Takes out all that stands there, in its order, to be put back.
pub(super) fn take_list(object: &mut Map<String, Value>, key: &str) -> Vec<Content> {
    let mut items = |key: &str| match object.get_mut(key).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let (values, abouts) = (items(key), items(&format!("_{key}")));
    let count = values.len().max(abouts.len());
    let padded = |items: Vec<Value>| {
        let whole = items.into_iter().map(|item| Some(item).filter(|item| !item.is_null()));
        whole.chain(std::iter::repeat(None)).take(count)
    };
    padded(values).zip(padded(abouts)).map(|(value, about)| Content { value, about }).collect()
}

/// Puts a list there; an empty one is none.
pub(super) fn put_list(object: &mut Map<String, Value>, key: &str, contents: Vec<Content>) {
    let (values, abouts): (Vec<_>, Vec<_>) = contents.into_iter().map(|content| (content.value, content.about)).unzip();
    let whole = |items: Vec<Option<Value>>| {
        let any = items.iter().any(Option::is_some);
        any.then(|| Value::Array(items.into_iter().map(Option::unwrap_or_default).collect()))
    };
    put(object, key, Content { value: whole(values), about: whole(abouts) });
}

/// Puts something there, or takes away what is.
pub(super) fn put(object: &mut Map<String, Value>, key: &str, content: Content) {
    let mut one = |key: String, value: Option<Value>| match value {
        Some(value) => object.insert(key, value),
        None => object.shift_remove(&key),
    };
    one(key.to_owned(), content.value);
    one(format!("_{key}"), content.about);
}
