//! The directory as Open Referral's API shows it: active entries, kept as the documents that are answered, and what they are found by
//! (`schema/openapi.json` of Open Referral UK 3.0).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::{
    super::element::{number, objects, text},
    Entry, Records, Table, listed,
};
use crate::domain::{EntryKind, Point};

/// So many records are on a page where nothing else is asked for, …
const PER_PAGE: usize = 50;
/// … and at most.
pub const PER_PAGE_MAX: usize = 500;
/// How near a place has to be where only a postcode is given, in metres.
const PROXIMITY_METRES: f64 = 5_000.0;
/// The furthest that can be asked for, in metres: across the country.
const PROXIMITY_MAX_METRES: f64 = 1_500_000.0;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Catalogue {
    services: Vec<Offered>,
    /// Services at places, each with where that is.
    places: Vec<At>,
    by_id: HashMap<Box<str>, usize>,
    organizations: BTreeMap<String, Box<str>>,
    taxonomies: BTreeMap<String, Value>,
    terms: BTreeMap<String, Value>,
}

#[derive(Debug)]
struct Offered {
    /// All words, in small letters without accents.
    words: Box<str>,
    ages: (Option<f64>, Option<f64>),
    terms: BTreeSet<String>,
    taxonomies: BTreeSet<String>,
    /// Days of the calendar's, and hours in minutes of the day.
    hours: Vec<(String, Option<u16>, Option<u16>)>,
    document: Box<str>,
}

#[derive(Debug)]
struct At {
    id: Box<str>,
    service: usize,
    point: Option<Point>,
    document: Box<str>,
}

/// What is asked of a list.
#[derive(Debug, Default, PartialEq)]
pub struct Asked {
    words: Vec<String>,
    term: Option<String>,
    taxonomy: Option<String>,
    minimum_age: Option<f64>,
    maximum_age: Option<f64>,
    start: Option<u16>,
    end: Option<u16>,
    day: Option<&'static str>,
    postcode: Option<String>,
    metres: Option<f64>,
    page: usize,
    per_page: usize,
}

/// A list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `/services`
    Services,
    /// `/service_at_locations`
    AtLocations,
    /// `/organizations`
    Organizations,
    /// `/taxonomies`
    Taxonomies,
    /// `/taxonomy_terms`
    Terms,
}

// === impl Asked ===

impl Asked {
    /// Reads the parameters of a list.
    ///
    /// # Errors
    /// What is wrong with one of them, and what would be right.
    pub fn read(list: List, parameters: &[(String, String)]) -> Result<Self, String> {
        let mut asked = Self { page: 1, per_page: PER_PAGE, ..Self::default() };
        let understood = list.parameters();
        for (name, value) in parameters {
            if !understood.contains(&name.as_str()) {
                return Err(format!("this list does not understand {name}; it understands: {}", understood.join(", ")));
            }
            if value.is_empty() {
                continue;
            }
            let wrong = |due: &str| format!("{name} is {due}");
            match name.as_str() {
                "search" => asked.words = words_of(value),
                "taxonomy_term_id" => asked.term = Some(value.clone()),
                "taxonomy_id" => asked.taxonomy = Some(value.clone()),
                "minimum_age" => asked.minimum_age = Some(age(value).ok_or_else(|| wrong("an age in years"))?),
                "maximum_age" => asked.maximum_age = Some(age(value).ok_or_else(|| wrong("an age in years"))?),
                "start_time" => asked.start = Some(minutes(value).ok_or_else(|| wrong("a time such as 09:30"))?),
                "end_time" => asked.end = Some(minutes(value).ok_or_else(|| wrong("a time such as 17:00"))?),
                "day" => asked.day = Some(day(value).ok_or_else(|| wrong("a day such as MO or Monday"))?),
                "postcode" => asked.postcode = Some(value.clone()),
                "proximity" => {
                    let due = format!("a distance in metres, up to {PROXIMITY_MAX_METRES}");
                    let metres = value.parse::<f64>().ok().filter(|m| (0.0..=PROXIMITY_MAX_METRES).contains(m));
                    asked.metres = Some(metres.ok_or_else(|| wrong(&due))?);
                }
                "page" => {
                    let page = value.parse::<usize>().ok().filter(|page| *page > 0);
                    asked.page = page.ok_or_else(|| wrong("a number from 1"))?;
                }
                _ => {
                    let due = format!("a number from 1 to {PER_PAGE_MAX}");
                    let count = value.parse::<usize>().ok().filter(|count| (1..=PER_PAGE_MAX).contains(count));
                    asked.per_page = count.ok_or_else(|| wrong(&due))?;
                }
            }
        }
        if asked.metres.is_some() && asked.postcode.is_none() {
            return Err("proximity needs a postcode beside it".to_owned());
        }
        Ok(asked)
    }

    /// The postcode that the list is to be near.
    pub fn postcode(&self) -> Option<&str> {
        self.postcode.as_deref()
    }

    fn suits(&self, service: &Offered) -> bool {
        let (low, high) = service.ages;
        self.words.iter().all(|word| service.words.contains(word.as_str()))
            && self.term.as_ref().is_none_or(|term| service.terms.contains(term))
            && self.taxonomy.as_ref().is_none_or(|taxonomy| service.taxonomies.contains(taxonomy))
            && self.minimum_age.is_none_or(|age| low.is_some_and(|low| low >= age))
            && self.maximum_age.is_none_or(|age| high.is_some_and(|high| high <= age))
            && (self.day.is_none() && self.start.is_none() && self.end.is_none()
                || service.hours.iter().any(|hours| self.suits_hours(hours)))
    }

    /// Day, begin and end are those of one and the same opening.
    fn suits_hours(&self, (days, opens, closes): &(String, Option<u16>, Option<u16>)) -> bool {
        self.day.is_none_or(|day| days.split(',').any(|one| one.trim().ends_with(day)))
            && self.start.is_none_or(|start| opens.is_some_and(|opens| opens >= start))
            && self.end.is_none_or(|end| closes.is_some_and(|closes| closes <= end))
    }

    fn suits_place(&self, place: &At, from: Option<Point>) -> Option<f64> {
        let Some(from) = from else { return self.postcode.is_none().then_some(0.0) };
        let metres = place.point?.metres_to(from);
        (metres <= self.metres.unwrap_or(PROXIMITY_METRES)).then_some(metres)
    }
}

// === impl List ===

impl List {
    /// What it may be asked with.
    pub fn parameters(self) -> &'static [&'static str] {
        // what a service is found by finds it at its places; what a place is found by comes last
        const ALL: [&str; 12] = [
            "page",
            "per_page",
            "search",
            "taxonomy_term_id",
            "taxonomy_id",
            "minimum_age",
            "maximum_age",
            "start_time",
            "end_time",
            "day",
            "postcode",
            "proximity",
        ];
        let (pages, services) = (2, 10);
        match self {
            Self::AtLocations => &ALL,
            Self::Services => ALL.split_at(services).0,
            Self::Organizations | Self::Taxonomies | Self::Terms => ALL.split_at(pages).0,
        }
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// The catalogue of these entries: of those that are active, and so is their organisation. `centre` says where a postcode lies.
    pub fn of(entries: &[Entry<'_>], centre: &dyn Fn(&str) -> Option<Point>) -> Self {
        let active: Vec<_> = entries.iter().filter(|entry| is_active(entry)).copied().collect();
        let records = Records::of(&active);
        let mut catalogue = Self::default();
        for id in records.ids(Table::Service) {
            let Some(document) = records.service(id) else { continue };
            catalogue.by_id.insert(id.into(), catalogue.services.len());
            catalogue.services.push(Offered::of(&document));
        }
        for (id, of) in records.at_locations() {
            let (Some(document), Some(service)) = (records.at_location(of, id), catalogue.by_id.get(of)) else {
                continue;
            };
            let point = document.get("location").and_then(Value::as_object).and_then(|place| point_of(place, centre));
            let document = document.to_string().into();
            catalogue.places.push(At { id: id.into(), service: *service, point, document });
        }
        let organizations = records.ids(Table::Organization);
        let organizations =
            organizations.filter_map(|id| Some((id.to_owned(), records.organization(id)?.to_string().into())));
        catalogue.organizations = organizations.collect();
        let values = |all: BTreeMap<String, Map<String, Value>>| {
            all.into_iter().map(|(id, one)| (id, Value::Object(one))).collect()
        };
        catalogue.taxonomies = values(records.taxonomies());
        catalogue.terms = values(records.terms());
        catalogue
    }

    /// A page of a list. `from` is where the postcode lies that is asked for.
    pub fn list(&self, list: List, asked: &Asked, from: Option<Point>) -> Value {
        match list {
            List::Services => {
                let found = self.services.iter().filter(|service| asked.suits(service));
                page(found.map(|service| &*service.document).collect(), asked, read_listed)
            }
            List::AtLocations => {
                let suits = |place: &&At| self.services.get(place.service).is_some_and(|service| asked.suits(service));
                let mut found: Vec<_> = self
                    .places
                    .iter()
                    .filter(suits)
                    .filter_map(|place| Some((asked.suits_place(place, from)?, place)))
                    .collect();
                // the nearest first; in the order of ids where nothing is asked of distance
                found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
                page(found.into_iter().map(|(_, place)| &*place.document).collect(), asked, read_listed)
            }
            List::Organizations => page(self.organizations.values().map(|text| &**text).collect(), asked, read_listed),
            List::Taxonomies => page(self.taxonomies.values().collect(), asked, listed),
            List::Terms => page(self.terms.values().collect(), asked, listed),
        }
    }

    /// One record in full.
    pub fn one(&self, list: List, id: &str) -> Option<Value> {
        match list {
            List::Services => read(&self.services.get(*self.by_id.get(id)?)?.document),
            List::AtLocations => read(&self.places.iter().find(|place| &*place.id == id)?.document),
            List::Organizations => read(self.organizations.get(id)?),
            List::Taxonomies => self.taxonomies.get(id).cloned(),
            List::Terms => self.terms.get(id).cloned(),
        }
    }
}

// === impl Offered ===

impl Offered {
    fn of(document: &Value) -> Self {
        let nothing = Map::new();
        let row = document.as_object().unwrap_or(&nothing);
        let terms: Vec<_> =
            objects(row, "attributes").filter_map(|attribute| attribute.get("taxonomy_term")?.as_object()).collect();
        let of_term = |key| terms.iter().filter_map(move |term| text(term, key));
        let organization = row.get("organization").and_then(Value::as_object);
        let words =
            ["name", "description", "alert", "eligibility_description"].into_iter().filter_map(|key| text(row, key));
        let words = words.chain(organization.and_then(|one| text(one, "name"))).chain(of_term("name"));
        let words: Vec<_> = words.map(folded).collect();
        let degrees = |key| number(row, key).and_then(serde_json::Number::as_f64);
        let hours = objects(row, "schedules").map(|one| {
            let at = |key| text(one, key).and_then(minutes);
            (text(one, "byday").unwrap_or_default().to_owned(), at("opens_at"), at("closes_at"))
        });
        Self {
            words: words.join(" ").into(),
            ages: (degrees("minimum_age"), degrees("maximum_age")),
            terms: of_term("id").map(str::to_owned).collect(),
            taxonomies: of_term("taxonomy_id").chain(of_term("taxonomy")).map(str::to_owned).collect(),
            hours: hours.collect(),
            document: document.to_string().into(),
        }
    }
}

fn is_active(entry: &Entry<'_>) -> bool {
    match entry.kind {
        EntryKind::Organization | EntryKind::HealthcareService => entry.body.get("active") != Some(&Value::Bool(false)),
        EntryKind::Location => entry.body.get("status").is_none_or(|status| status == "active"),
        EntryKind::Endpoint => entry.body.get("status").is_some_and(|status| status == "active"),
    }
}

fn point_of(place: &Map<String, Value>, centre: &dyn Fn(&str) -> Option<Point>) -> Option<Point> {
    let degrees = |key| number(place, key).and_then(serde_json::Number::as_f64);
    let own = degrees("latitude").zip(degrees("longitude")).and_then(|(north, east)| Point::of_degrees(north, east));
    own.or_else(|| objects(place, "addresses").find_map(|address| centre(text(address, "postal_code")?)))
}

/// A page (`openapi.json`, Page).
fn page<T>(found: Vec<T>, asked: &Asked, one: impl Fn(T) -> Value) -> Value {
    let total = found.len();
    let pages = total.div_ceil(asked.per_page);
    let skipped = asked.page.saturating_sub(1).saturating_mul(asked.per_page);
    let contents: Vec<_> = found.into_iter().skip(skipped).take(asked.per_page).map(one).collect();
    json!({
        "total_items": total,
        "total_pages": pages,
        "page_number": asked.page,
        "size": contents.len(),
        "first_page": asked.page == 1,
        "last_page": asked.page >= pages,
        "empty": contents.is_empty(),
        "contents": contents,
    })
}

fn read(document: &str) -> Option<Value> {
    serde_json::from_str(document).ok()
}

fn read_listed(document: &str) -> Value {
    read(document).map_or(Value::Null, |document| listed(&document))
}

/// In small letters without accents, as names are compared.
fn folded(text: &str) -> String {
    text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

fn words_of(text: &str) -> Vec<String> {
    folded(text).split_whitespace().map(str::to_owned).collect()
}

fn age(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|age| (0.0..=150.0).contains(age))
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, rest) = text.split_once(':')?;
    let minute = rest.get(..2)?;
    let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
    (hour < 24 && minute < 60).then(|| hour * 60 + minute)
}

fn day(text: &str) -> Option<&'static str> {
    const DAYS: [(&str, &str); 7] = [
        ("MO", "monday"),
        ("TU", "tuesday"),
        ("WE", "wednesday"),
        ("TH", "thursday"),
        ("FR", "friday"),
        ("SA", "saturday"),
        ("SU", "sunday"),
    ];
    let said = text.to_lowercase();
    let is = |(code, name): &&(&str, &str)| {
        said.eq_ignore_ascii_case(code) || said == *name || name.starts_with(&said) && said.len() == 3
    };
    DAYS.iter().find(is).map(|(code, _)| *code)
}

#[cfg(test)]
mod tests;
