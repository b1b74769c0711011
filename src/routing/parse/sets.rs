//! Reads what a route set gives names: value sets and areas.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Reading, name,
    when::{read_text, values},
};
use crate::{
    domain::Point,
    fhir::{Limits, gate},
    places::lsoa,
    routing::{
        Coding,
        place::{NamedArea, Piece},
        wanted::{CodeWanted, ValueSet},
    },
    toml_reader::{Node, Table, quoted},
};

const CODE: &str = "\"system|code\"";
const CORNER: &str = "a corner: [latitude, longitude] in degrees";
const CORNERS_MAX: usize = 5_000;
const CODES_MAX: usize = 20_000;
/// Half-way round the earth.
const METRES_MAX: f64 = 20_000_000.0;

/// What has a name.
#[derive(Default)]
pub(super) struct Sets {
    value_sets: BTreeMap<String, Option<Arc<ValueSet>>>,
    areas: BTreeMap<String, Option<Arc<NamedArea>>>,
}

/// Reads `[[value-set]]` and `[[area]]`.
pub(super) fn read(root: &mut Table<'_>, reading: &Reading<'_>) -> Sets {
    let mut sets = Sets::default();
    let mut names = BTreeSet::new();
    for mut table in root.tables("value-set") {
        let name = name(&mut table, &mut names);
        let given = table.get("codes").map(|node| codes(&node));
        let from_file = table.get("file").map(|node| from_file(&node, reading));
        if given.is_none() && from_file.is_none() {
            table.fault(
                "codes",
                format!("found nothing; needed: a list of codes, each {CODE}, or a file with a FHIR ValueSet"),
            );
        }
        table.finish();
        let Some(name) = name else { continue };
        let all: Option<Vec<BTreeSet<Coding>>> = [given, from_file].into_iter().flatten().collect();
        let set = all.map(|all| ValueSet { name: name.clone(), codes: all.into_iter().flatten().collect() });
        // one that is wrong is known all the same: naming it elsewhere is not a second fault
        sets.value_sets.insert(name, set.filter(|set| !set.codes.is_empty()).map(Arc::new));
    }
    let mut names = BTreeSet::new();
    for mut table in root.tables("area") {
        let name = name(&mut table, &mut names);
        let pieces = pieces(&mut table);
        table.finish();
        let Some(name) = name else { continue };
        sets.areas.insert(name.clone(), pieces.map(|pieces| Arc::new(NamedArea { name, pieces })));
    }
    sets
}

// === impl Sets ===

impl Sets {
    /// `None` after a fault.
    pub(super) fn value_set(&self, node: &Node<'_>, name: &str) -> Option<Arc<ValueSet>> {
        find(&self.value_sets, node, name, "value set")
    }

    /// `None` after a fault.
    pub(super) fn area(&self, node: &Node<'_>, name: &str) -> Option<Arc<NamedArea>> {
        find(&self.areas, node, name, "area")
    }
}

fn find<T>(of: &BTreeMap<String, Option<Arc<T>>>, node: &Node<'_>, name: &str, what: &str) -> Option<Arc<T>> {
    let found = of.get(name);
    if found.is_none() {
        let names = of.keys().map(|name| format!("\"in:{name}\"")).collect::<Vec<_>>().join(", ");
        let names = if names.is_empty() { format!("none, because the file has no {what}") } else { names };
        node.fault(&format!("{}, which is no {what} of this file", quoted(name)), names);
    }
    found.cloned().flatten()
}

fn codes(node: &Node<'_>) -> Option<BTreeSet<Coding>> {
    let read = |text: &str| match text.parse() {
        Ok(CodeWanted::InSystem(system, code)) => Some(Coding { system: Some(system), code }),
        _ => None,
    };
    values(node, CODE, |item| read_text(item, CODE, read)).map(|codes| codes.into_iter().collect())
}

/// The codes of a FHIR ValueSet: those of its expansion, else those that it lists.
fn from_file(node: &Node<'_>, reading: &Reading<'_>) -> Option<BTreeSet<Coding>> {
    let name = node.text("the path of a file with a FHIR ValueSet in JSON")?;
    let text = reading.file(node, name)?;
    let read = value_set(&text);
    if let Err(why) = &read {
        node.fault(
            &format!("{}: {why}", quoted(name)),
            "a FHIR ValueSet in JSON with an expansion, or with its codes listed",
        );
    }
    read.ok()
}

fn value_set(text: &str) -> Result<BTreeSet<Coding>, String> {
    let resource = gate::read(text.as_bytes(), &Limits::default()).map_err(|issue| issue.diagnostics)?;
    if resource["resourceType"] != "ValueSet" {
        return Err("it is no ValueSet".to_owned());
    }
    let mut codes = BTreeSet::new();
    match resource.get("expansion") {
        Some(expansion) => expanded(&expansion["contains"], &mut codes),
        None => listed(&resource["compose"], &mut codes)?,
    }
    match codes.len() {
        0 => Err("it holds no code".to_owned()),
        1..=CODES_MAX => Ok(codes),
        _ => Err(format!("it holds more than {CODES_MAX} codes")),
    }
}

fn expanded(contains: &Value, codes: &mut BTreeSet<Coding>) {
    for one in contains.as_array().into_iter().flatten() {
        let selectable = one["abstract"].as_bool() != Some(true);
        if let (Some(code), true) = (one["code"].as_str(), selectable) {
            codes.insert(Coding { system: one["system"].as_str().map(str::to_owned), code: code.to_owned() });
        }
        // the gate has bounded how deep it goes
        expanded(&one["contains"], codes);
    }
}

fn listed(compose: &Value, codes: &mut BTreeSet<Coding>) -> Result<(), String> {
    const FILTER: &str =
        "it says by a rule which codes it holds, which needs a terminology server: store its expansion";
    if compose.get("exclude").is_some() {
        return Err(FILTER.to_owned());
    }
    for include in compose["include"].as_array().into_iter().flatten() {
        if include.get("filter").is_some() || include.get("valueSet").is_some() || include.get("concept").is_none() {
            return Err(FILTER.to_owned());
        }
        let system = include["system"].as_str().map(str::to_owned);
        for concept in include["concept"].as_array().into_iter().flatten() {
            let code = concept["code"].as_str().map(|code| Coding { system: system.clone(), code: code.to_owned() });
            codes.extend(code);
        }
    }
    Ok(())
}

/// `postcodes`, `lsoas`, `polygon` and `circle`; `None` after a fault.
fn pieces(table: &mut Table<'_>) -> Option<Vec<Piece>> {
    const POSTCODE: &str = "a postcode area such as \"CH\" or an outward code such as \"L1\"";
    const LSOA: &str = "a census area or its beginning, such as \"E01006512\" or \"E0100651\"";
    let postcode = |item: &Node<'_>| read_text(item, POSTCODE, |text| text.parse().ok().map(Piece::Postcode));
    let census = |item: &Node<'_>| read_text(item, LSOA, |text| lsoa(text).map(Piece::Lsoa));
    let given = [
        table.get("postcodes").map(|node| values(&node, POSTCODE, postcode)),
        table.get("lsoas").map(|node| values(&node, LSOA, census)),
        table.get("polygon").map(|node| polygon(&node).map(|corners| vec![Piece::Polygon(corners)])),
        table.get("circle").map(|node| circle(&node).map(|circle| vec![circle])),
    ];
    let given: Vec<_> = given.into_iter().flatten().collect();
    if given.is_empty() {
        table.fault("", "found no piece; needed: postcodes, lsoas, polygon or circle");
        return None;
    }
    let all: Option<Vec<Vec<Piece>>> = given.into_iter().collect();
    all.map(|all| all.into_iter().flatten().collect())
}

fn polygon(node: &Node<'_>) -> Option<Vec<Point>> {
    let items = node.items("a list of corners, each [latitude, longitude] in degrees");
    if node.is_list() && !(3..=CORNERS_MAX).contains(&items.len()) {
        node.fault(&format!("{} corners", items.len()), format!("3 to {CORNERS_MAX} corners"));
        return None;
    }
    let corners: Vec<Option<Point>> = items.iter().map(point).collect();
    let corners: Vec<Point> = corners.into_iter().collect::<Option<_>>()?;
    let (first, rest) = corners.split_first()?;
    // without a surface nobody lives in it
    let has_surface = rest.windows(2).any(|pair| {
        let side = |point: &Point| {
            (
                i64::from(point.longitude) - i64::from(first.longitude),
                i64::from(point.latitude) - i64::from(first.latitude),
            )
        };
        let [a, b] = pair else { return false };
        let ((ax, ay), (bx, by)) = (side(a), side(b));
        ax * by != ay * bx
    });
    if !has_surface {
        node.fault("corners in one line, inside of which nobody lives", "at least three that are not in one line");
        return None;
    }
    Some(corners)
}

fn point(node: &Node<'_>) -> Option<Point> {
    let items = node.items(CORNER);
    let [latitude, longitude] = items.as_slice() else {
        if node.is_list() {
            node.fault(&format!("{} numbers", items.len()), CORNER);
        }
        return None;
    };
    let (latitude, longitude) = (latitude.decimal(-90.0, 90.0), longitude.decimal(-180.0, 180.0));
    Point::of_degrees(latitude?, longitude?)
}

fn circle(node: &Node<'_>) -> Option<Piece> {
    const RADIUS: &str = "a distance such as \"800m\", \"5km\" or \"3mi\", up to 20000km";
    let mut table = node.table("a table with centre and radius")?;
    let centre = table.need("centre", "[latitude, longitude] in degrees").and_then(|node| point(&node));
    let radius = table.need("radius", RADIUS).and_then(|node| read_text(&node, RADIUS, metres));
    table.finish();
    Some(Piece::Circle(centre?, radius?))
}

fn metres(text: &str) -> Option<u32> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(at)?;
    let unit = match unit {
        "m" => 1.0,
        "km" => 1_000.0,
        "mi" => 1_609.344,
        _ => return None,
    };
    let metres = number.trim().parse::<f64>().ok()? * unit;
    // within the bounds it fits
    (1.0..=METRES_MAX).contains(&metres).then(|| metres.round() as u32)
}
