//! One item: an element of a resource, where it lies, or a value that was reckoned.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

use rust_decimal::Decimal;
use serde_json::{Map, Number, Value};

use super::{
    moment::Moment,
    quantity::Quantity,
    types::{Space, System, TypeName},
};
use crate::definitions::{self, Kind, Primitive, Type};

/// An item of a collection.
#[derive(Debug, Clone)]
pub enum Item<'a> {
    /// An element.
    Node(Node<'a>),
    /// `System.Boolean`
    Boolean(bool),
    /// `System.Integer`
    Integer(i64),
    /// `System.Decimal`
    Decimal(Decimal),
    /// `System.String`
    Text(Cow<'a, str>),
    /// `System.Date`, `System.DateTime` and `System.Time`
    Moment(Moment),
    /// `System.Quantity`
    Quantity(Box<Quantity>),
    /// What `type()` says: where the type comes from, and its name.
    Type(&'static str, &'static str),
}

/// An element of a resource, or a whole one: its value, what else is said about it where it is a primitive (`_birthDate`), and its type
/// as far as that is known.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// Its JSON; none where only `about` is there, or where only its type is known.
    pub value: Option<&'a Value>,
    /// The id and the extensions of a primitive.
    pub about: Option<&'a Value>,
    /// Its type.
    pub of: Option<&'static Type>,
}

// === impl Node ===

impl<'a> Node<'a> {
    /// A resource, by what it says its type is.
    pub fn resource(value: &'a Value) -> Self {
        Self { value: Some(value), about: None, of: None }.refined()
    }

    /// An element of this type.
    pub fn element(value: &'a Value, of: &'static Type) -> Self {
        Self { value: Some(value), about: None, of: Some(of) }.refined()
    }

    /// A resource of which only the type is known, because it lies elsewhere.
    pub(super) fn elsewhere(of: &'static Type) -> Self {
        Self { value: None, about: None, of: Some(of) }
    }

    /// With the type that a resource says it has.
    fn refined(self) -> Self {
        if self.of.is_some_and(|of| of.kind != Kind::Resource) {
            return self;
        }
        let said = self.value.and_then(|value| value.get("resourceType")).and_then(Value::as_str);
        match said.and_then(definitions::resource_named) {
            Some(of) => Self { of: Some(of), ..self },
            None => self,
        }
    }

    /// Whether it is of this type of R4 or one based on it.
    pub(super) fn is_a(&self, name: &str) -> bool {
        self.of.is_some_and(|of| of.is_a(name))
    }

    /// Whether it is the same element as another, and not only an equal one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = |a: Option<&Value>, b: Option<&Value>| match (a, b) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            (None, None) => true,
            _ => false,
        };
        (self.value.is_some() || self.about.is_some()) && same(self.value, other.value) && same(self.about, other.about)
    }

    /// The elements that are called `name` here; of a choice (`value`) the one that is there, whatever its type.
    pub(super) fn each_child<E>(&self, name: &str, found: &mut impl FnMut(Node<'a>) -> Result<(), E>) -> Result<(), E> {
        let Some(Value::Object(object)) = self.value else { return self.each_about(Some(name), found) };
        if let Some(of) = self.of {
            match of.child(name) {
                Some((_, element, is)) if !element.is_choice => {
                    let is = is.of();
                    let primitive = matches!(is.kind, Kind::Primitive(_));
                    let about = if primitive { about(object, name) } else { None };
                    return flatten(object.get(name), about, Some(is), found);
                }
                // `valueQuantity` is only how JSON spells `value`
                Some(_) => return Ok(()),
                None => {}
            }
        } else if name != "resourceType" && (object.contains_key(name) || about(object, name).is_some()) {
            return flatten(object.get(name), about(object, name), None, found);
        }
        let mut before = "";
        for key in object.keys() {
            let key = key.strip_prefix('_').unwrap_or(key);
            let chosen = key.strip_prefix(name).filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
            let Some(of) = chosen.and_then(|rest| self.chosen(name, key, rest)).filter(|_| key != before) else {
                continue;
            };
            before = key;
            flatten(object.get(key), about(object, key), Some(of), found)?;
        }
        Ok(())
    }

    /// The type that a choice has by its key.
    fn chosen(&self, name: &str, key: &str, rest: &str) -> Option<&'static Type> {
        let Some(of) = self.of else {
            let small = || {
                let mut chars = rest.chars();
                let first = chars.next()?.to_ascii_lowercase();
                definitions::type_named(&format!("{first}{}", chars.as_str()))
            };
            return definitions::type_named(rest).or_else(small);
        };
        let (_, element, is) = of.child(key)?;
        (element.is_choice && element.name == name).then(|| is.of())
    }

    /// All elements in it.
    pub(super) fn each<E>(&self, found: &mut impl FnMut(Node<'a>) -> Result<(), E>) -> Result<(), E> {
        let Some(Value::Object(object)) = self.value else { return self.each_about(None, found) };
        // hardly anything says more about its primitives
        let says_more = object.keys().any(|key| key.starts_with('_'));
        for (key, value) in object {
            if let Some(name) = key.strip_prefix('_') {
                // beside its value it was told already
                if !object.contains_key(name) {
                    flatten(None, Some(value), self.type_of(name), found)?;
                }
            } else if key != "resourceType" {
                let of = self.type_of(key);
                let primitive = says_more && of.is_none_or(|of| matches!(of.kind, Kind::Primitive(_)));
                flatten(Some(value), if primitive { about(object, key) } else { None }, of, found)?;
            }
        }
        Ok(())
    }

    fn type_of(&self, key: &str) -> Option<&'static Type> {
        self.of.and_then(|of| of.child(key)).map(|(_, _, is)| is.of())
    }

    /// The id and the extensions of a primitive, or those of one name.
    fn each_about<E>(&self, name: Option<&str>, found: &mut impl FnMut(Node<'a>) -> Result<(), E>) -> Result<(), E> {
        let Some(Value::Object(about)) = self.about else { return Ok(()) };
        let element = definitions::type_named("Element");
        for (key, value) in about {
            if name.is_none_or(|name| name == key) {
                let of = element.and_then(|of| of.child(key)).map(|(_, _, is)| is.of());
                flatten(Some(value), None, of, found)?;
            }
        }
        Ok(())
    }

    /// The value of a primitive as FHIRPath knows it; none of anything else, and none of a number that is too great to reckon with.
    pub fn primitive(&self) -> Option<Item<'a>> {
        let kind = match self.of.map(|of| of.kind) {
            Some(Kind::Primitive(kind)) => Some(kind),
            _ => None,
        };
        match self.value? {
            Value::Bool(value) => Some(Item::Boolean(*value)),
            Value::Number(number) => numeric(number, kind == Some(Primitive::Decimal)),
            Value::String(text) => {
                let moment = match kind {
                    Some(Primitive::Date) => Moment::date(text),
                    Some(Primitive::DateTime | Primitive::Instant) => Moment::date_time(text),
                    Some(Primitive::Time) => Moment::time(text),
                    _ => None,
                };
                Some(moment.map_or(Item::Text(Cow::Borrowed(text)), Item::Moment))
            }
            _ => None,
        }
    }

    /// The text that a primitive is written as.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.and_then(Value::as_str)
    }
}

fn about<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.strip_prefix('_') == Some(name)).map(|(_, value)| value)
}

/// The items of an element, each beside what is said about it.
fn flatten<'a, E>(
    value: Option<&'a Value>,
    about: Option<&'a Value>,
    of: Option<&'static Type>,
    found: &mut impl FnMut(Node<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let whole = |value: Option<&'a Value>| value.filter(|value| !value.is_null());
    let mut one = |value: Option<&'a Value>, about: Option<&'a Value>| {
        let (value, about) = (whole(value), whole(about));
        if value.is_some() || about.is_some() { found(Node { value, about, of }.refined()) } else { Ok(()) }
    };
    let list = |value: Option<&'a Value>| match value {
        Some(Value::Array(items)) => Some(items.as_slice()),
        _ => None,
    };
    if list(value).is_none() && list(about).is_none() {
        return one(value, about);
    }
    let (values, abouts) = (list(value).unwrap_or_default(), list(about).unwrap_or_default());
    for n in 0..values.len().max(abouts.len()) {
        one(values.get(n), abouts.get(n))?;
    }
    Ok(())
}

fn numeric(number: &Number, decimal: bool) -> Option<Item<'static>> {
    let text = number.as_str();
    if !decimal && text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return text.parse().ok().map(Item::Integer);
    }
    decimal_of(text).map(Item::Decimal)
}

/// The decimal number that is written so; what is finer than can be held is rounded, what is greater is none.
pub(super) fn decimal_of(text: &str) -> Option<Decimal> {
    if text.contains(['e', 'E']) { Decimal::from_scientific(text).ok() } else { text.parse().ok() }
}

// === impl Item ===

impl<'a> Item<'a> {
    /// A text that was made.
    pub(super) fn made(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }

    /// It as FHIRPath's own value; an element that has none stays what it is.
    pub(super) fn value(&self) -> Self {
        match self {
            Self::Node(node) => match node.primitive() {
                Some(value) => value,
                None => Quantity::of_node(node).map_or_else(|| self.clone(), |q| Self::Quantity(Box::new(q))),
            },
            _ => self.clone(),
        }
    }

    /// Whether it is a primitive without a value: there is something, but nothing to compare.
    pub(super) fn is_valueless(&self) -> bool {
        matches!(self, Self::Node(node) if node.value.is_none())
    }

    /// The text of it, where it has one.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Node(node) => node.text().map(Cow::Borrowed),
            _ => None,
        }
    }

    /// Its type: where it comes from, and its name.
    pub fn type_name(&self) -> (&'static str, &'static str) {
        match self {
            Self::Node(node) => ("FHIR", node.of.map_or("Element", |of| of.name)),
            Self::Type(..) => ("System", "TypeInfo"),
            _ => ("System", self.system().map_or("Any", System::name)),
        }
    }

    fn system(&self) -> Option<System> {
        use super::moment::Sort;
        Some(match self {
            Self::Boolean(_) => System::Boolean,
            Self::Integer(_) => System::Integer,
            Self::Decimal(_) => System::Decimal,
            Self::Text(_) => System::String,
            Self::Quantity(_) => System::Quantity,
            Self::Moment(moment) => match moment.kind {
                Sort::Date => System::Date,
                Sort::DateTime => System::DateTime,
                Sort::Time => System::Time,
            },
            Self::Node(_) | Self::Type(..) => return None,
        })
    }

    /// Whether it is of this type. `exactly`: as `as` and `ofType` have it.
    pub(super) fn is(&self, name: &TypeName, exactly: bool) -> bool {
        if name.system == Some(System::Any) {
            return true;
        }
        match self {
            Self::Node(node) => node.of.is_some_and(|of| name.fits(of, exactly)),
            _ => name.space != Some(Space::Fhir) && self.system().is_some_and(|of| name.system == Some(of)),
        }
    }
}

impl Display for Item<'_> {
    /// As `toString()` has it; an element that is no primitive is only named by its type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(Node { value: Some(Value::String(text)), .. }) => f.write_str(text),
            Self::Node(Node { value: Some(value @ (Value::Bool(_) | Value::Number(_))), .. }) => value.fmt(f),
            Self::Node(_) => f.write_str(self.type_name().1),
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Decimal(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Moment(moment) => moment.fmt(f),
            Self::Quantity(quantity) => quantity.fmt(f),
            Self::Type(space, name) => write!(f, "{space}.{name}"),
        }
    }
}
