//! XML to JSON beside the definitions: which element repeats, which is a number, what a choice is called. What R4 does not know goes into
//! the tree as it stands, so that the validator says of it what it would say of the same in JSON; only what no tree can say is
//! refused here (xml.html).

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::gate::{self, Element};
use crate::{
    definitions::{self, Kind, Max, Primitive, Type, TypeRef},
    fhir::{
        gate::Limits,
        outcome::{Issue, IssueCode},
        path::Place,
    },
};

/// So many elements out of their order are told of one document.
const TOLD_MAX: usize = 50;

/// The JSON form of a document, and which elements stand out of their order.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<(Value, Vec<Issue>), Issue> {
    let (root, text) = gate::read(bytes, limits)?;
    let mut reading = Reading { number_chars: limits.number_digits, out_of_order: Vec::new() };
    let issue = |fault: Fault| {
        let (line, column) = gate::place(&text, fault.at);
        Issue::error(fault.code, fault.place, fault.said).at(line, column)
    };
    let resource = reading.resource(&root, Place::Root(&root.name)).map_err(issue)?;
    Ok((resource, reading.out_of_order.into_iter().map(issue).collect()))
}

struct Reading {
    number_chars: usize,
    out_of_order: Vec<Fault>,
}

struct Fault {
    code: IssueCode,
    place: String,
    said: String,
    at: usize,
}

/// Elements of one name, and whether others stand between them.
type Alike<'e> = (&'e str, Vec<&'e Element>, bool);

// === impl Reading ===

impl Reading {
    fn resource(&mut self, element: &Element, place: Place<'_>) -> Result<Value, Fault> {
        let mut object = Map::with_capacity(element.children.len() + 1);
        object.insert("resourceType".into(), element.name.as_str().into());
        self.children(element, definitions::resource_named(&element.name), &mut object, place)?;
        Ok(Value::Object(object))
    }

    /// What is no primitive: an object, unless it says nothing but a value, which then stands for it.
    fn complex(&mut self, element: &Element, of: Option<&'static Type>, place: Place<'_>) -> Result<Value, Fault> {
        let is_bare = element.children.is_empty() && element.id.is_none() && element.url.is_none();
        match &element.value {
            Some(value) if is_bare => return Ok(value.as_str().into()),
            Some(_) => return fault(element, place, "an element has a value or other elements, not both"),
            None => {}
        }
        let mut object = Map::with_capacity(element.children.len() + 1);
        if let Some(id) = &element.id {
            object.insert("id".into(), id.as_str().into());
        }
        if let Some(url) = &element.url {
            object.insert("url".into(), url.as_str().into());
        }
        self.children(element, of, &mut object, place)?;
        Ok(Value::Object(object))
    }

    fn children(
        &mut self,
        element: &Element,
        of: Option<&'static Type>,
        object: &mut Map<String, Value>,
        place: Place<'_>,
    ) -> Result<(), Fault> {
        let mut reached = 0;
        for (name, all, is_apart) in alike(element) {
            let at = place.child(name);
            let known = of.and_then(|of| of.child(name));
            let first = all.first().copied().unwrap_or(element);
            if (known.is_some_and(|(number, _, _)| number < reached) || is_apart) && self.out_of_order.len() < TOLD_MAX
            {
                let said = "this element stands out of the order that R4 has for it (xml.html)";
                let place = at.to_string();
                self.out_of_order.push(Fault {
                    code: IssueCode::Structure,
                    place,
                    said: said.to_owned(),
                    at: first.at,
                });
            }
            let Some((number, definition, is)) = known else {
                let values = all.iter().map(|one| self.complex(one, None, at)).collect::<Result<Vec<_>, _>>()?;
                object.insert(name.to_owned(), alone(values));
                continue;
            };
            reached = reached.max(number);
            if definition.is_attribute {
                return fault(first, at, "this is an attribute in XML, not an element");
            }
            let is_list = definition.max == Max::Many || all.len() > 1;
            match is.of().kind {
                Kind::Primitive(primitive) if primitive != Primitive::Xhtml => {
                    self.primitives(name, &all, primitive, is_list, object, at)?;
                }
                _ => {
                    let mut values = Vec::with_capacity(all.len());
                    for (index, one) in all.iter().enumerate() {
                        values.push(self.one(one, is, if is_list { at.item(index) } else { at })?);
                    }
                    object.insert(name.to_owned(), if is_list { Value::Array(values) } else { alone(values) });
                }
            }
        }
        Ok(())
    }

    fn one(&mut self, element: &Element, is: &'static TypeRef, place: Place<'_>) -> Result<Value, Fault> {
        let of = is.of();
        match (of.kind, element.children.as_slice()) {
            (Kind::Primitive(_), _) => Ok(element.value.as_deref().unwrap_or_default().into()),
            (Kind::Resource, [inner]) if inner.name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                if element.id.is_some() || element.value.is_some() {
                    return fault(element, place, "an element that holds a resource has no attribute");
                }
                self.resource(inner, place)
            }
            // none, or what is no resource: an object without resourceType
            (Kind::Resource, _) => self.complex(element, None, place),
            _ => self.complex(element, Some(of), place),
        }
    }

    /// Values of one primitive, and beside them what is said about each (json.html#primitive).
    fn primitives(
        &mut self,
        name: &str,
        all: &[&Element],
        primitive: Primitive,
        is_list: bool,
        object: &mut Map<String, Value>,
        place: Place<'_>,
    ) -> Result<(), Fault> {
        let (mut values, mut abouts) = (Vec::with_capacity(all.len()), Vec::new());
        for (index, element) in all.iter().enumerate() {
            let at = if is_list { place.item(index) } else { place };
            let about = self.about(element, at)?;
            let value = match &element.value {
                Some(text) => self.value(element, text, primitive, at)?,
                None if about.is_some() => Value::Null,
                // nothing at all is as wrong as an empty text
                None => Value::String(String::new()),
            };
            values.push(value);
            if about.is_some() && abouts.is_empty() {
                abouts = vec![Value::Null; index];
            }
            if let Some(about) = about {
                abouts.push(about);
            } else if !abouts.is_empty() {
                abouts.push(Value::Null);
            }
        }
        if values.iter().any(|value| !value.is_null()) {
            object.insert(name.to_owned(), if is_list { Value::Array(values) } else { alone(values) });
        }
        if !abouts.is_empty() {
            object.insert(format!("_{name}"), if is_list { Value::Array(abouts) } else { alone(abouts) });
        }
        Ok(())
    }

    /// Id and extensions of a primitive; none where it has neither.
    fn about(&mut self, element: &Element, place: Place<'_>) -> Result<Option<Value>, Fault> {
        if element.id.is_none() && element.children.is_empty() {
            return Ok(None);
        }
        let mut object = Map::new();
        if let Some(id) = &element.id {
            object.insert("id".into(), id.as_str().into());
        }
        self.children(element, definitions::type_named("Element"), &mut object, place)?;
        Ok(Some(Value::Object(object)))
    }

    /// What stands in a `value`, as JSON has it; as a text where it is none of its type.
    fn value(&mut self, element: &Element, text: &str, of: Primitive, place: Place<'_>) -> Result<Value, Fault> {
        Ok(match of {
            Primitive::Boolean if text == "true" => Value::Bool(true),
            Primitive::Boolean if text == "false" => Value::Bool(false),
            Primitive::Integer | Primitive::UnsignedInt | Primitive::PositiveInt | Primitive::Decimal => {
                if text.len() > self.number_chars {
                    let said = format!("a number of more than {} characters", self.number_chars);
                    let at = element.at;
                    return Err(Fault { code: IssueCode::TooCostly, place: place.to_string(), said, at });
                }
                // R4 lets whole numbers have a sign in XML, which JSON has not
                let signed = text.strip_prefix('+').filter(|rest| rest.starts_with(|c: char| ('1'..='9').contains(&c)));
                let may = matches!(of, Primitive::PositiveInt | Primitive::Integer);
                let plain = signed.filter(|_| may).unwrap_or(text);
                match plain.parse::<Number>() {
                    Ok(number) if is_number(plain) => Value::Number(number),
                    _ => text.into(),
                }
            }
            _ => text.into(),
        })
    }
}

fn fault<T>(element: &Element, place: Place<'_>, said: &str) -> Result<T, Fault> {
    Err(Fault { code: IssueCode::Structure, place: place.to_string(), said: said.to_owned(), at: element.at })
}

/// The children, those of one name together.
fn alike(element: &Element) -> Vec<Alike<'_>> {
    let mut groups: Vec<Alike<'_>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for child in &element.children {
        let last = groups.len().saturating_sub(1);
        let at = *known.entry(&child.name).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, all, is_apart)) => {
                all.push(child);
                *is_apart |= at != last;
            }
            None => groups.push((&child.name, vec![child], false)),
        }
    }
    groups
}

/// The only one by itself, several as a list.
fn alone(mut values: Vec<Value>) -> Value {
    match values.pop() {
        Some(only) if values.is_empty() => only,
        Some(last) => {
            values.push(last);
            Value::Array(values)
        }
        None => Value::Null,
    }
}

/// Whether it is written as JSON writes numbers, without white space.
fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'))
}
