//! How much of a resource an answer gives: `_summary` and `_elements` (R4 search, 3.1.1.6.5 and 3.1.1.6.6).

use serde_json::{Value, json};

use crate::{
    definitions::{Element, Type, resource_named},
    fhir::tree,
};

/// How much of each resource is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// All of it.
    Whole,
    /// What R4 marks as its summary.
    Summary,
    /// Its narrative, and what must be there.
    Text,
    /// All but its narrative.
    Data,
    /// Nothing: only how many there are.
    Count,
    /// These elements, and what must be there.
    Elements(Vec<String>),
}

/// The tag of what is not whole (R4 v3-ObservationValue).
const SUBSETTED: (&str, &str) = ("http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "SUBSETTED");
/// The most elements that are named.
const ELEMENTS_MAX: usize = 100;

impl Shape {
    /// By the value of `_summary`.
    pub fn of_summary(value: &str) -> Option<Self> {
        Some(match value {
            "true" => Self::Summary,
            "text" => Self::Text,
            "data" => Self::Data,
            "count" => Self::Count,
            "false" => Self::Whole,
            _ => return None,
        })
    }

    /// By the value of `_elements`: names of elements, or `Type.name`.
    pub fn of_elements(value: &str) -> Self {
        let names = value.split(',').map(str::trim).filter(|name| !name.is_empty()).take(ELEMENTS_MAX);
        Self::Elements(names.map(str::to_owned).collect())
    }

    /// A resource with so much of it. What is not whole is tagged, so that nobody takes it for all there is.
    pub fn cut(&self, mut resource: Value) -> Value {
        if matches!(self, Self::Whole | Self::Count) {
            return resource;
        }
        let Some(of) = tree::resource_type(&resource).and_then(resource_named) else { return resource };
        let Some(object) = resource.as_object_mut() else { return resource };
        let mut cut = false;
        object.retain(|key, _| {
            let stays = self.keeps(of, key.strip_prefix('_').unwrap_or(key));
            cut |= !stays;
            stays
        });
        if cut {
            let tag = json!({"system": SUBSETTED.0, "code": SUBSETTED.1});
            let meta = object.entry("meta").or_insert_with(|| json!({}));
            match meta.get_mut("tag").and_then(Value::as_array_mut) {
                Some(tags) => tags.push(tag),
                None => {
                    if let Some(meta) = meta.as_object_mut() {
                        meta.insert("tag".into(), json!([tag]));
                    }
                }
            }
        }
        resource
    }

    fn keeps(&self, of: &Type, key: &str) -> bool {
        if matches!(key, "resourceType" | "id" | "meta") {
            return true;
        }
        let Some((_, element, _)) = of.child(key) else { return true };
        match self {
            Self::Whole | Self::Count => true,
            Self::Summary => element.is_summary,
            Self::Data => key != "text",
            Self::Text => key == "text" || must_be(element),
            Self::Elements(names) => {
                let named = |name: &String| {
                    let name = match name.split_once('.') {
                        Some((kind, rest)) if kind == of.name => rest.split('.').next().unwrap_or_default(),
                        Some((first, _)) => first,
                        None => name,
                    };
                    name == element.name || name == key
                };
                must_be(element) || names.iter().any(named)
            }
        }
    }
}

fn must_be(element: &Element) -> bool {
    element.min > 0
}
