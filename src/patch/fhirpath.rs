//! FHIRPath Patch (R4 fhirpatch.html): operations in a Parameters resource, each at a place that FHIRPath names.
//!
//! A path may be any expression that our FHIRPath reads. What it yields must be elements that lie in the resource: one for `add` and
//! `replace`, one or none for `delete`, all items of one list, in their order, for `insert` and `move`. What is reckoned, or lies in
//! another resource, is refused.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    MAX_OPERATIONS,
    place::{Content, Place, is_there, object_at, put, put_list, take_list, type_at},
    weight,
};
use crate::{
    definitions::{Element, Type, type_named},
    fhir::{
        outcome::{Issue, IssueCode},
        tree,
    },
    fhirpath::{Expression, parse},
};

mod find;

use find::{Finder, Items, Slot, Target};

/// All paths of one patch together take no more steps of FHIRPath.
const STEPS_MAX: usize = 200_000;

/// One operation.
struct Operation<'p> {
    path: Expression,
    change: Change<'p>,
}

enum Change<'p> {
    Add { name: &'p str, value: Given<'p> },
    Insert { index: usize, value: Given<'p> },
    Delete,
    Replace { value: Given<'p> },
    Move { from: usize, to: usize },
}

/// A value as the patch gives it.
enum Given<'p> {
    /// `value[x]`, with the type that its name tells.
    Value { code: &'static str, content: Content },
    /// A resource, to be contained.
    Resource(&'p Value),
    /// The elements of what has a type of its own, such as `Task.restriction`.
    Parts(&'p [Value]),
}

/// Why an operation is not done.
enum Wrong {
    /// It is none.
    Malformed(String),
    /// It does not fit this resource.
    Unfit(String),
    TooCostly(&'static str),
}

type Done<T> = Result<T, Wrong>;

/// The resource as the patch makes it at the present moment `now`; `target` stays as it is. An issue with code `structure` means that
/// the patch is none (400), anything else that it cannot be applied to this resource (422). What comes out is not held against R4.
///
/// # Errors
/// The first thing that is wrong, with the operation it is in.
pub fn fhirpath_patch(target: &Value, patch: &Value, now: Timestamp) -> Result<Value, Issue> {
    if tree::resource_type(patch) != Some("Parameters") {
        let told = "a patch in FHIR's own formats is a Parameters resource (FHIRPath Patch)";
        return Err(Issue::error(IssueCode::Structure, "%resource", told));
    }
    let parameters = tree::items(patch, "parameter");
    if parameters.len() > MAX_OPERATIONS {
        let told = format!("a patch has at most {MAX_OPERATIONS} operations");
        return Err(Issue::error(IssueCode::TooCostly, "Parameters.parameter", told));
    }
    let issue = |index: usize, wrong: Wrong| {
        let (code, told) = match wrong {
            Wrong::Malformed(told) => (IssueCode::Structure, told),
            Wrong::Unfit(told) => (IssueCode::Processing, told),
            Wrong::TooCostly(told) => (IssueCode::TooCostly, told.to_owned()),
        };
        Issue::error(code, format!("Parameters.parameter[{index}]"), format!("operation {index}: {told}"))
    };
    let read = |(index, parameter)| Operation::read(parameter).map_err(|wrong| issue(index, wrong));
    let operations: Vec<Operation<'_>> = parameters.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    let mut patched = target.clone();
    let mut steps = STEPS_MAX;
    for (index, operation) in operations.into_iter().enumerate() {
        operation.apply(&mut patched, now, &mut steps).map_err(|wrong| issue(index, wrong))?;
        if weight::is_too_great(&patched) {
            return Err(issue(index, Wrong::TooCostly("it makes the resource larger than is allowed")));
        }
    }
    Ok(patched)
}

// === reading ===

impl<'p> Operation<'p> {
    fn read(parameter: &'p Value) -> Done<Self> {
        if tree::text(parameter, "name") != Some("operation") {
            return malformed("every parameter of a patch is called operation");
        }
        let mut parts = Parts::default();
        for part in tree::items(parameter, "part") {
            let place = match tree::text(part, "name") {
                Some("type") => &mut parts.kind,
                Some("path") => &mut parts.path,
                Some("name") => &mut parts.name,
                Some("value") => &mut parts.value,
                Some("index") => &mut parts.index,
                Some("source") => &mut parts.source,
                Some("destination") => &mut parts.destination,
                _ => return malformed("its parts are type, path, name, value, index, source and destination"),
            };
            if place.replace(part).is_some() {
                return malformed("one of its parts stands twice");
            }
        }
        let Some(kind) = parts.kind.and_then(text) else { return malformed("it has no type (valueCode)") };
        let Some(path) = parts.path.and_then(text) else { return malformed("it has no path (valueString)") };
        let path = parse(path)
            .map_err(|error| Wrong::Malformed(format!("its path is no FHIRPath from byte {} on", error.at)))?;
        let value = |part: Option<&'p Value>| match part {
            Some(part) => given(part),
            None => malformed("it has no value"),
        };
        let change = match kind {
            "add" => match parts.name.and_then(text) {
                Some(name) => Change::Add { name, value: value(parts.value)? },
                None => return malformed("it has no name (valueString)"),
            },
            "insert" => Change::Insert { index: number(parts.index, "index")?, value: value(parts.value)? },
            "delete" => Change::Delete,
            "replace" => Change::Replace { value: value(parts.value)? },
            "move" => {
                Change::Move { from: number(parts.source, "source")?, to: number(parts.destination, "destination")? }
            }
            _ => return malformed("its type is none of add, insert, delete, replace and move"),
        };
        // one that says more than its type has means something else than would be done
        let unused = [
            (parts.name, matches!(change, Change::Add { .. })),
            (parts.value, matches!(change, Change::Add { .. } | Change::Insert { .. } | Change::Replace { .. })),
            (parts.index, matches!(change, Change::Insert { .. })),
            (parts.source, matches!(change, Change::Move { .. })),
            (parts.destination, matches!(change, Change::Move { .. })),
        ];
        if unused.iter().any(|(part, used)| part.is_some() && !used) {
            return malformed("it has a part that its type has no use for");
        }
        Ok(Self { path, change })
    }
}

#[derive(Default)]
struct Parts<'p> {
    kind: Option<&'p Value>,
    path: Option<&'p Value>,
    name: Option<&'p Value>,
    value: Option<&'p Value>,
    index: Option<&'p Value>,
    source: Option<&'p Value>,
    destination: Option<&'p Value>,
}

fn malformed<T>(told: &str) -> Done<T> {
    Err(Wrong::Malformed(told.to_owned()))
}

fn unfit<T>(told: &str) -> Done<T> {
    Err(Wrong::Unfit(told.to_owned()))
}

fn text(part: &Value) -> Option<&str> {
    ["valueString", "valueCode"].iter().find_map(|key| part.get(*key)).and_then(Value::as_str)
}

fn number(part: Option<&Value>, name: &str) -> Done<usize> {
    let keys = ["valueInteger", "valueUnsignedInt", "valuePositiveInt"];
    let value = part.and_then(|part| keys.iter().find_map(|key| part.get(*key))).and_then(Value::as_u64);
    let number = value.and_then(|value| usize::try_from(value).ok());
    number.ok_or_else(|| Wrong::Malformed(format!("it has no {name}, a whole number from 0 on (valueInteger)")))
}

/// What a part gives, one thing of it.
fn given(part: &Value) -> Done<Given<'_>> {
    const ONE: &str = "a value is one of value[x], part and resource";
    let (Some(object), Some(of)) = (part.as_object(), type_named("Parameters.parameter")) else {
        return malformed(ONE);
    };
    let mut found: Option<Given<'_>> = None;
    for (key, value) in object {
        let (plain, is_about) = key.strip_prefix('_').map_or((key.as_str(), false), |plain| (plain, true));
        let new = match (plain, value) {
            ("name" | "id" | "extension", _) => continue,
            ("part", Value::Array(parts)) => Given::Parts(parts),
            ("resource", _) => Given::Resource(value),
            _ => match of.child(plain) {
                Some((_, element, is)) if element.is_choice => {
                    let mut content = Content::default();
                    *(if is_about { &mut content.about } else { &mut content.value }) = Some(value.clone());
                    Given::Value { code: is.code, content }
                }
                _ => return malformed("its value is of no type that R4 has"),
            },
        };
        found = Some(match (found, new) {
            (None, new) => new,
            // a primitive and what is said about it
            (Some(Given::Value { code, content: a }), Given::Value { code: same, content: b }) if code == same => {
                Given::Value { code, content: Content { value: a.value.or(b.value), about: a.about.or(b.about) } }
            }
            _ => return malformed(ONE),
        });
    }
    found.map_or_else(|| malformed(ONE), Ok)
}

// === doing ===

impl Operation<'_> {
    fn apply(self, resource: &mut Value, now: Timestamp, steps: &mut usize) -> Done<()> {
        let mut finder = Finder { resource, now, steps };
        match self.change {
            Change::Add { name, value } => {
                let target = finder.one(&self.path)?.ok_or_else(nothing)?;
                add(resource, target, name, value)
            }
            Change::Replace { value } => match finder.one(&self.path)?.ok_or_else(nothing)? {
                Target::Whole => unfit("the resource as a whole is not replaced"),
                Target::In { place, .. } => replace(resource, &place, value),
            },
            Change::Delete => match finder.one(&self.path)? {
                None => Ok(()),
                Some(Target::Whole) => unfit("the resource as a whole is not deleted"),
                Some(Target::In { place, .. }) => {
                    let object = object_at(resource, &place.holder).ok_or_else(nothing)?;
                    match place.index {
                        None => put(object, &place.key, Content::default()),
                        Some(index) => {
                            let mut items = take_list(object, &place.key);
                            if index < items.len() {
                                items.remove(index);
                            }
                            put_list(object, &place.key, items);
                        }
                    }
                    Ok(())
                }
            },
            Change::Insert { index, value } => match finder.list(&self.path)? {
                Some(Items { place, count }) => {
                    if index > count {
                        return unfit("the index is beyond the end of the list");
                    }
                    let (_, of) = element_at(resource, &place)?;
                    let content = value.content(of)?;
                    let object = object_at(resource, &place.holder).ok_or_else(nothing)?;
                    let mut items = take_list(object, &place.key);
                    items.insert(index, content);
                    put_list(object, &place.key, items);
                    Ok(())
                }
                // a list of nothing is not there: it begins where its name would be
                None => {
                    let named = self.path.last_name();
                    let Some((parent, name)) = named else { return unfit("the path names no list") };
                    let target = match &parent {
                        Some(parent) => Finder { resource, now, steps }.one(parent)?.ok_or_else(nothing)?,
                        None => Target::Whole,
                    };
                    if index > 0 {
                        return unfit("the index is beyond the end of the list");
                    }
                    if !target.element(resource, name, &value)?.is_list() {
                        return unfit("the path names no list");
                    }
                    add(resource, target, name, value)
                }
            },
            Change::Move { from, to } => match finder.list(&self.path)? {
                Some(Items { place, count }) if from < count && to < count => {
                    let object = object_at(resource, &place.holder).ok_or_else(nothing)?;
                    let mut items = take_list(object, &place.key);
                    let moved = items.remove(from);
                    items.insert(to, moved);
                    put_list(object, &place.key, items);
                    Ok(())
                }
                Some(_) => unfit("source and destination are numbers of items of the list"),
                None => unfit("the path names no list that is there"),
            },
        }
    }
}

fn nothing() -> Wrong {
    Wrong::Unfit("the path leads to nothing here".to_owned())
}

fn add(resource: &mut Value, target: Target, name: &str, value: Given<'_>) -> Done<()> {
    let slot = target.element(resource, name, &value)?;
    let content = value.content(slot.of)?;
    let object = target.inside(resource).ok_or_else(nothing)?;
    if slot.is_list() {
        let mut items = take_list(object, &slot.key);
        items.push(content);
        put_list(object, &slot.key, items);
        return Ok(());
    }
    let base = slot.element.name;
    let of_choice = |key: &String| {
        let key = key.strip_prefix('_').unwrap_or(key);
        key.strip_prefix(base).is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_uppercase()))
    };
    if is_there(object, &slot.key) || slot.element.is_choice && object.keys().any(of_choice) {
        return unfit("it is there already, and cannot be there twice: replace it");
    }
    put(object, &slot.key, content);
    Ok(())
}

/// What stands at a place, by its definition: the name that a patch has for it, and its type.
fn element_at(resource: &Value, place: &Place) -> Done<(&'static Element, &'static Type)> {
    let of = type_at(resource, &place.holder).and_then(|of| of.child(&place.key));
    let (_, element, is) = of.ok_or_else(|| Wrong::Unfit("it is not known what may stand there".to_owned()))?;
    Ok((element, is.of()))
}

fn replace(resource: &mut Value, place: &Place, value: Given<'_>) -> Done<()> {
    let (element, _) = element_at(resource, place)?;
    let name = if element.is_choice { element.name } else { &place.key };
    let slot = Slot::named(type_at(resource, &place.holder), name, &value)?;
    let content = value.content(slot.of)?;
    let object = object_at(resource, &place.holder).ok_or_else(nothing)?;
    match place.index {
        Some(index) => {
            let mut items = take_list(object, &place.key);
            if let Some(item) = items.get_mut(index) {
                *item = content;
            }
            put_list(object, &place.key, items);
        }
        None => {
            // one of a choice may become one of another type
            put(object, &place.key, Content::default());
            put(object, &slot.key, content);
        }
    }
    Ok(())
}

impl Given<'_> {
    /// It as it stands in a resource, where something of this type may stand.
    fn content(self, of: &'static Type) -> Done<Content> {
        match self {
            Self::Value { content, .. } => Ok(content),
            Self::Resource(resource) => Ok(Content { value: Some(resource.clone()), about: None }),
            Self::Parts(parts) => {
                let mut object = Map::new();
                for part in parts {
                    let Some(name) = tree::text(part, "name") else {
                        return malformed("a part of its value has no name");
                    };
                    let value = given(part)?;
                    let slot = Slot::named(Some(of), name, &value)?;
                    let content = value.content(slot.of)?;
                    if slot.is_list() {
                        let mut items = take_list(&mut object, &slot.key);
                        items.push(content);
                        put_list(&mut object, &slot.key, items);
                    } else if is_there(&object, &slot.key) {
                        return unfit("a part of its value is there twice, and cannot be");
                    } else {
                        put(&mut object, &slot.key, content);
                    }
                }
                Ok(Content { value: Some(Value::Object(object)), about: None })
            }
        }
    }
}
