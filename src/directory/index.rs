//! All entries of the directory in memory, as far as a search needs them to find its candidates: what they are, by what they are looked
//! up, and where they lie. It holds no entry itself, and says nothing that the entries do not say.
//!
//! Places lie in an R*-tree of points on the unit sphere: there the straight line between two grows with the way along the surface, so
//! that neither the poles nor the 180th meridian are anything special.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rstar::{RTree, primitives::GeomWithData};

use crate::{
    domain::{EntryKind, Point},
    search::{Kept, Search, Sieve},
};

/// Rounding of sines may put what lies just within a distance just outside of it: so much more is fetched, and then measured.
const SLACK: f64 = 1e-9;

/// Of so many the ways are measured one by one; what is near may be many more.
const FEW: usize = 2_000;

/// An entry as the index knows it.
#[derive(Debug, Clone)]
pub struct Indexed {
    /// Its kind.
    pub kind: EntryKind,
    /// Its logical id.
    pub id: Arc<str>,
    /// By what it is found.
    pub kept: Kept,
    /// Where it lies: a Location's own point, or about where its postcode is.
    pub point: Option<Point>,
    /// Whether it is only about there.
    pub coarse: bool,
    /// The ids of the Locations where it is offered.
    pub locations: Vec<Arc<str>>,
}

/// What may be a match.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its logical id.
    pub id: Arc<str>,
    /// How far it is, in metres, where the search asks for what is near.
    pub metres: Option<f64>,
    /// Whether it is only about so far.
    pub coarse: bool,
}

/// The entries of the directory, to be looked up.
#[derive(Debug, Default)]
pub struct Index {
    slots: Vec<Option<Indexed>>,
    free: Vec<u32>,
    /// Each kind's entries in the order of their ids.
    entries: HashMap<EntryKind, BTreeMap<Arc<str>, u32>>,
    /// Which entries have a key, in the order of their slots.
    having: HashMap<(EntryKind, u64), Vec<u32>>,
    places: RTree<Place>,
    /// What is offered at a Location, known by its id.
    offered: HashMap<Arc<str>, Vec<u32>>,
}

type Place = GeomWithData<[f64; 3], u32>;

// === impl Index ===

impl Index {
    /// Puts an entry in, or another in its place.
    pub fn put(&mut self, entry: Indexed) {
        self.remove(entry.kind, &entry.id);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        for key in entry.kept.keys() {
            insert(self.having.entry((entry.kind, *key)).or_default(), slot);
        }
        if let Some(point) = entry.point {
            self.places.insert(Place::new(on_sphere(point), slot));
        }
        for location in &entry.locations {
            insert(self.offered.entry(location.clone()).or_default(), slot);
        }
        self.entries.entry(entry.kind).or_default().insert(entry.id.clone(), slot);
        if let Some(at) = self.slots.get_mut(slot as usize) {
            *at = Some(entry);
        }
    }

    /// Takes an entry out, if it is there.
    pub fn remove(&mut self, kind: EntryKind, id: &str) {
        let Some(slot) = self.entries.get_mut(&kind).and_then(|entries| entries.remove(id)) else { return };
        let Some(entry) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        for key in entry.kept.keys() {
            take(&mut self.having, &(kind, *key), slot);
        }
        if let Some(point) = entry.point {
            self.places.remove(&Place::new(on_sphere(point), slot));
        }
        for location in &entry.locations {
            take(&mut self.offered, location, slot);
        }
        self.free.push(slot);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An entry.
    pub fn get(&self, kind: EntryKind, id: &str) -> Option<&Indexed> {
        self.entry(*self.entries.get(&kind)?.get(id)?)
    }

    /// The entries of a kind that may be what is looked for, and all that are: the nearest first where `near` says from where and how
    /// far in metres, and otherwise in the order of their ids.
    pub fn candidates(&self, kind: EntryKind, search: &Search, near: Option<(Point, f64)>) -> Vec<Candidate> {
        self.sifted(kind, &search.sieve(), near, FEW)
    }

    /// Where not more than `few_max` have what is looked for, their ways are measured; else all that is near is gone through.
    fn sifted(&self, kind: EntryKind, sieve: &Sieve<'_>, near: Option<(Point, f64)>, few_max: usize) -> Vec<Candidate> {
        let may = |slot: u32| self.entry(slot).filter(|entry| sieve.may_match(&entry.kept));
        let narrowest = sieve.lookups().min_by_key(|keys| self.having(kind, keys).map(Vec::len).sum::<usize>());
        let having = |keys: &[u64]| {
            let mut slots: Vec<u32> = self.having(kind, keys).flatten().copied().collect();
            slots.sort_unstable();
            slots.dedup();
            slots
        };
        if let Some((from, metres)) = near {
            let few = narrowest.filter(|keys| self.having(kind, keys).map(Vec::len).sum::<usize>() <= few_max);
            let far = |slot: u32, (metres, coarse): (f64, bool)| {
                Some(Candidate { id: may(slot)?.id.clone(), metres: Some(metres), coarse })
            };
            let mut found: Vec<_> = match few {
                Some(keys) => {
                    let ways = having(keys).into_iter().filter_map(|slot| Some((slot, self.way(slot, from)?)));
                    ways.filter(|(_, (away, _))| *away <= metres).filter_map(|(slot, way)| far(slot, way)).collect()
                }
                None => self.within(kind, from, metres).into_iter().filter_map(|(slot, way)| far(slot, way)).collect(),
            };
            found.sort_by(|a, b| {
                a.metres.partial_cmp(&b.metres).unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.id.cmp(&b.id))
            });
            return found;
        }
        let by_id = |id: &Arc<str>| Candidate { id: id.clone(), metres: None, coarse: false };
        match narrowest {
            Some(keys) => {
                let mut found: Vec<_> =
                    having(keys).into_iter().filter_map(may).map(|entry| by_id(&entry.id)).collect();
                found.sort_by(|a, b| a.id.cmp(&b.id));
                found
            }
            None => {
                let all = self.entries.get(&kind).into_iter().flatten();
                all.filter(|(_, slot)| may(**slot).is_some()).map(|(id, _)| by_id(id)).collect()
            }
        }
    }

    fn entry(&self, slot: u32) -> Option<&Indexed> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// For each of these keys, what has it.
    fn having(&self, kind: EntryKind, keys: &[u64]) -> impl Iterator<Item = &Vec<u32>> {
        keys.iter().filter_map(move |key| self.having.get(&(kind, *key)))
    }

    /// The shortest way to where an entry lies or is offered, in metres, and whether it is only about so far.
    fn way(&self, slot: u32, from: Point) -> Option<(f64, bool)> {
        let entry = self.entry(slot)?;
        let locations = entry.locations.iter().filter_map(|id| self.get(EntryKind::Location, id));
        let ways =
            std::iter::once(entry).chain(locations).filter_map(|at| Some((at.point?.metres_to(from), at.coarse)));
        ways.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// What lies, or is offered, not farther than so many metres from there, each with the shortest way.
    fn within(&self, kind: EntryKind, from: Point, metres: f64) -> HashMap<u32, (f64, bool)> {
        let centre = on_sphere(from);
        let half_angle = (metres / (2.0 * Point::EARTH_METRES)).min(std::f64::consts::FRAC_PI_2);
        let chord = 2.0 * half_angle.sin() + SLACK;
        let mut found = HashMap::new();
        for place in self.places.locate_within_distance(centre, chord * chord) {
            let Some(located) = self.entry(place.data) else { continue };
            let Some(away) = located.point.map(|point| point.metres_to(from)).filter(|away| *away <= metres) else {
                continue;
            };
            let mut reach = |slot: u32| {
                let nearest = found.entry(slot).or_insert((away, located.coarse));
                if away < nearest.0 {
                    *nearest = (away, located.coarse);
                }
            };
            if located.kind == kind {
                reach(place.data);
            }
            if located.kind == EntryKind::Location {
                let offered = self.offered.get(&located.id).into_iter().flatten();
                offered
                    .filter(|slot| self.entry(**slot).is_some_and(|entry| entry.kind == kind))
                    .for_each(|slot| reach(*slot));
            }
        }
        found
    }
}

fn insert(slots: &mut Vec<u32>, slot: u32) {
    if let Err(at) = slots.binary_search(&slot) {
        slots.insert(at, slot);
    }
}

fn take<K: std::hash::Hash + Eq>(lists: &mut HashMap<K, Vec<u32>>, key: &K, slot: u32) {
    let Some(slots) = lists.get_mut(key) else { return };
    if let Ok(at) = slots.binary_search(&slot) {
        slots.remove(at);
    }
    if slots.is_empty() {
        lists.remove(key);
    }
}

fn on_sphere(point: Point) -> [f64; 3] {
    let (latitude, longitude) = point.radians();
    [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::search::World;

    const BASE: &str = "https://onward.example/fhir";
    /// From here to its antipode.
    const FAR_METRES: f64 = std::f64::consts::PI * Point::EARTH_METRES;

    fn search(of: EntryKind, query: &[(&str, &str)]) -> Search {
        let pairs: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Search::read(of.code(), &pairs, BASE, false).unwrap()
    }

    fn location(id: &str, point: Option<Point>) -> Indexed {
        Indexed {
            kind: EntryKind::Location,
            id: id.into(),
            kept: Kept::default(),
            point,
            coarse: false,
            locations: vec![],
        }
    }

    fn service(id: &str, locations: &[&str]) -> Indexed {
        let locations = locations.iter().map(|id| (*id).into()).collect();
        Indexed {
            kind: EntryKind::HealthcareService,
            id: id.into(),
            kept: Kept::default(),
            point: None,
            coarse: false,
            locations,
        }
    }

    fn at(latitude: f64, longitude: f64) -> Point {
        Point::of_degrees(latitude, longitude).unwrap()
    }

    fn ids(found: Vec<Candidate>) -> Vec<String> {
        found.into_iter().map(|candidate| candidate.id.to_string()).collect()
    }

    #[test]
    fn a_service_is_as_near_as_the_nearest_of_its_locations() {
        let mut index = Index::default();
        for (id, latitude) in [("a", 53.0), ("b", 53.1), ("c", 53.2)] {
            index.put(location(id, Some(at(latitude, -3.0))));
        }
        index.put(location("nowhere", None));
        for (id, locations) in
            [("far", &["c"][..]), ("both", &["c", "a"]), ("online", &[]), ("unknown", &["nowhere", "gone"])]
        {
            index.put(service(id, locations));
        }
        let all = search(EntryKind::HealthcareService, &[]);
        let near = |metres| ids(index.candidates(EntryKind::HealthcareService, &all, Some((at(53.0, -3.0), metres))));
        assert_eq!(near(0.0), ["both"]);
        assert_eq!(near(22_200.0), ["both"]);
        assert_eq!(near(22_300.0), ["both", "far"]);
        assert_eq!(near(FAR_METRES), ["both", "far"]);
        assert_eq!(
            ids(index.candidates(EntryKind::HealthcareService, &all, None)),
            ["both", "far", "online", "unknown"]
        );
        let places = search(EntryKind::Location, &[]);
        let found = index.candidates(EntryKind::Location, &places, Some((at(53.2, -3.0), FAR_METRES)));
        assert_eq!(ids(found), ["c", "b", "a"]);
        // the place moves, and what is offered there with it
        index.put(location("c", Some(at(52.9, -3.0))));
        let found = index.candidates(EntryKind::HealthcareService, &all, Some((at(52.9, -3.0), 100.0)));
        assert_eq!(ids(found), ["both", "far"]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Location(u8, Option<Point>),
        Service(u8, Vec<u8>, Vec<u8>),
        Remove(bool, u8),
    }

    fn point() -> impl Strategy<Value = Point> {
        prop_oneof![
            3 => (5_300i32..5_360, -330i32..-260).prop_map(|(a, b)| at(f64::from(a) / 100.0, f64::from(b) / 100.0)),
            1 => (-90.0..=90.0, -180.0..=180.0).prop_map(|(a, b)| at(a, b)),
            // where a flat map has its edges
            1 => prop_oneof![Just(at(90.0, 0.0)), Just(at(-90.0, 7.0)), Just(at(0.0, 180.0)), Just(at(0.0, -180.0)), Just(at(89.999, -90.0))],
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 0u8..20;
        let several = |of| proptest::collection::vec(of, 0..3);
        prop_oneof![
            4 => (id.clone(), proptest::option::weighted(0.9, point())).prop_map(|(id, point)| Step::Location(id, point)),
            4 => (id.clone(), several(0u8..20), several(0u8..4)).prop_map(|(id, locations, types)| Step::Service(id, locations, types)),
            1 => (any::<bool>(), id).prop_map(|(location, id)| Step::Remove(location, id)),
        ]
    }

    fn body(id: u8, locations: &[u8], types: &[u8]) -> Value {
        let locations: Vec<Value> =
            locations.iter().map(|id| json!({"reference": format!("Location/l{id}")})).collect();
        let types: Vec<Value> =
            types.iter().map(|code| json!({"coding": [{"system": "s", "code": format!("t{code}")}]})).collect();
        json!({"resourceType": "HealthcareService", "id": format!("s{id}"), "location": locations, "type": types, "active": id.is_multiple_of(2)})
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_looking_at_everything_finds(
            steps in proptest::collection::vec(step(), 0..60),
            from in point(),
            metres in prop_oneof![Just(0.0), 1.0..1_000.0, 1_000.0..60_000.0, 60_000.0..FAR_METRES, Just(FAR_METRES)],
            is_near: bool,
            few_max in prop_oneof![Just(0), Just(3), Just(FEW)],
            query in prop_oneof![
                Just(vec![]), Just(vec![("service-type", "t0")]), Just(vec![("service-type", "s|t1,t2"), ("active", "true")]),
                Just(vec![("location", "l3,Location/l4")]), Just(vec![("active", "false")]), Just(vec![("service-type:not", "t1")]),
            ],
        ) {
            let mut index = Index::default();
            let (mut places, mut services) = (BTreeMap::new(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Location(id, point) => {
                        places.insert(format!("l{id}"), point);
                        index.put(location(&format!("l{id}"), point));
                    }
                    Step::Service(id, locations, types) => {
                        let body = body(id, &locations, &types);
                        let names: Vec<String> = locations.iter().map(|id| format!("l{id}")).collect();
                        let entry = service(&format!("s{id}"), &names.iter().map(String::as_str).collect::<Vec<_>>());
                        index.put(Indexed { kept: Kept::of(&body, BASE), ..entry });
                        services.insert(format!("s{id}"), (names, body));
                    }
                    Step::Remove(true, id) => {
                        places.remove(&format!("l{id}"));
                        index.remove(EntryKind::Location, &format!("l{id}"));
                    }
                    Step::Remove(false, id) => {
                        services.remove(&format!("s{id}"));
                        index.remove(EntryKind::HealthcareService, &format!("s{id}"));
                    }
                }
            }
            prop_assert_eq!(index.len(), places.len() + services.len());
            let near = is_near.then_some((from, metres));
            let search = search(EntryKind::HealthcareService, &query);
            let world = World { base: BASE, now: jiff::Timestamp::UNIX_EPOCH, owner: None, find: &|_, _| None };
            let way = |names: &[String]| {
                let points = names.iter().filter_map(|name| *places.get(name)?);
                points.map(|point| point.metres_to(from)).filter(|away| *away <= metres).min_by(f64::total_cmp)
            };
            let found = index.sifted(EntryKind::HealthcareService, &search.sieve(), near, few_max);
            let mut expected: Vec<(Option<f64>, &String)> = Vec::new();
            for (id, (names, _)) in services.iter().filter(|(_, (_, body))| search.matches(body, &world)) {
                let away = way(names);
                if !is_near || away.is_some() {
                    expected.push((away.filter(|_| is_near), id));
                }
            }
            expected.sort_by(|a, b| a.0.unwrap_or(0.0).total_cmp(&b.0.unwrap_or(0.0)).then_with(|| a.1.cmp(b.1)));
            // what is found may have to be looked at; nothing that matches is missing, and the order is right
            let found = found.iter().filter(|candidate| search.matches(&services[&*candidate.id].1, &world));
            let found: Vec<(Option<f64>, String)> = found.map(|c| (c.metres, c.id.to_string())).collect();
            let expected: Vec<(Option<f64>, String)> = expected.into_iter().map(|(away, id)| (away, id.clone())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
