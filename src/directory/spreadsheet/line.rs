//! A line becomes records: the service, its organisation and its place.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{
    Line, cells,
    cells::{Cost, slug},
    columns::Column,
    hours,
};
use crate::directory::{
    element::{set, set_text},
    open_referral::{OWN, Row, Table},
};

/// What earlier lines had: by which id, on which line.
#[derive(Default)]
pub(super) struct Seen {
    services: HashMap<String, u64>,
    others: HashMap<(Table, String), (u64, Map<String, Value>)>,
}

impl Line<'_> {
    /// The records of this line, as far as it has no fault.
    pub(super) fn records(&mut self, seen: &mut Seen, source: &str) -> Vec<Row> {
        let name = self.get(Column::Name).unwrap_or_default();
        if self.cells.get(&Column::Name).is_none_or(|cell| cell.trim().is_empty()) {
            self.fault(Column::Name, "it is empty", "what the service is called");
        }
        let organisation = self.get(Column::Organisation);
        let postcode = self.read(Column::Postcode, cells::postcode);
        let own = self.get(Column::Id);
        // nothing is the same as what has neither an id nor a name
        let is_known = own.is_some() || !name.is_empty();
        let id = own.unwrap_or_else(|| {
            let of =
                [name.as_str(), organisation.as_deref().unwrap_or_default(), postcode.as_deref().unwrap_or_default()];
            of.map(slug).join("/")
        });
        if let Some(line) = seen.services.insert(id.clone(), self.number).filter(|_| is_known) {
            let column = if self.cells.contains_key(&Column::Id) { Column::Id } else { Column::Name };
            let what = format!("it is the same service as on line {line}");
            self.fault(column, &what, "one line a service: another id, or another name, organisation or postcode");
        }
        let mut service = Map::new();
        set(&mut service, "id", id.as_str());
        set(&mut service, "name", name);
        set_text(&mut service, "description", self.get(Column::Description).as_deref());
        let active = self.read(Column::Active, cells::yes_or_no).unwrap_or(true);
        set(&mut service, "status", if active { "active" } else { "inactive" });
        self.contact(&mut service);
        self.times(&mut service);
        self.ages(&mut service);
        self.cost(&mut service);
        self.words(&mut service, source);
        let today = self.here.today;
        let checked = self.read(Column::LastChecked, |cell| cells::past_day(cell, today));
        set_text(&mut service, "assured_date", checked.as_deref());
        set_text(&mut service, "assurer_email", self.read(Column::CheckedBy, cells::email).as_deref());
        let own = self.own();
        service.insert(OWN.to_owned(), own.into());
        let place = self.place(postcode);
        let mut rows = Vec::new();
        if let Some(organisation) = organisation {
            let id = slug(&organisation);
            set(&mut service, "organization", json!({"id": id}));
            let mut fields = Map::new();
            set(&mut fields, "id", id.as_str());
            set(&mut fields, "name", organisation);
            fields.insert(OWN.to_owned(), json!({}));
            rows.extend(self.once(seen, Table::Organization, id, fields));
        }
        if let Some((id, place)) = place {
            set(&mut service, "service_at_locations", vec![json!({"location": {"id": id}})]);
            rows.extend(self.once(seen, Table::Location, id, place));
        }
        rows.push(Row { table: Table::Service, id, fields: service, partial: false });
        rows
    }

    /// An organisation or a place that several lines name is told once, by the first of them.
    fn once(&mut self, seen: &mut Seen, table: Table, id: String, fields: Map<String, Value>) -> Option<Row> {
        if !self.faults.is_empty() {
            // the line is not taken, so another one has to tell of it
            return None;
        }
        if let Some((line, before)) = seen.others.get(&(table, id.clone())) {
            if *before != fields {
                let column = if table == Table::Location { Column::Venue } else { Column::Organisation };
                let what = format!("the same place is told otherwise on line {line}, which is taken");
                self.note(column, &what, "the same position and the same words on access wherever the place is named");
            }
            return None;
        }
        seen.others.insert((table, id.clone()), (self.number, fields.clone()));
        Some(Row { table, id, fields, partial: false })
    }

    fn contact(&mut self, service: &mut Map<String, Value>) {
        set_text(service, "email", self.read(Column::Email, cells::email).as_deref());
        set_text(service, "url", self.read(Column::Website, cells::website).as_deref());
        let phones = self.read(Column::Phone, cells::phones).unwrap_or_default();
        let phones: Vec<_> = phones.into_iter().map(|number| json!({"number": number})).collect();
        if !phones.is_empty() {
            set(service, "contacts", vec![json!({"phones": phones})]);
        }
    }

    /// Days and times stand in one column or in two.
    fn times(&mut self, service: &mut Map<String, Value>) {
        let (days, times) = (self.get(Column::Days), self.get(Column::Times));
        let (column, said) = match (days, times) {
            (None, None) => return,
            (Some(days), None) => (Column::Days, days),
            (None, Some(times)) => (Column::Times, times),
            (Some(days), Some(times)) if hours::names_a_day(&times) => (Column::Times, format!("{times}\n({days})")),
            (Some(days), Some(times)) => (Column::Times, format!("{days} {times}")),
        };
        match hours::read(&said) {
            Some(schedules) => set(service, "schedules", schedules),
            None => {
                let due = "days and hours such as Mon-Fri 09:00-17:00; Sat 10:00-12:00";
                self.note(column, "the opening times are kept as words, by which nobody can search", due);
                set(service, "schedules", vec![json!({"description": said})]);
            }
        }
    }

    fn ages(&mut self, service: &mut Map<String, Value>) {
        let (low, high) = self.read(Column::Ages, cells::ages).unwrap_or_default();
        let low = self.read(Column::MinimumAge, cells::age).or(low);
        let high = self.read(Column::MaximumAge, cells::age).or(high);
        if low.zip(high).is_some_and(|(low, high)| low > high) {
            self.fault(Column::MaximumAge, "the oldest is younger than the youngest", "the younger age first");
        }
        for (key, age) in [("minimum_age", low), ("maximum_age", high)] {
            set(service, key, age.map_or(Value::Null, Value::from));
        }
    }

    fn cost(&mut self, service: &mut Map<String, Value>) {
        match self.read(Column::Cost, cells::cost) {
            None => {}
            Some(Cost::Words(words)) => set(service, "fees", words),
            Some(Cost::Pounds(amount, words)) => {
                let mut option = Map::new();
                set(&mut option, "amount", Value::Number(amount));
                set(&mut option, "amount_description", words);
                set(service, "cost_options", vec![Value::Object(option)]);
            }
        }
    }

    fn words(&mut self, service: &mut Map<String, Value>, source: &str) {
        let mut attributes = Vec::new();
        for (column, taxonomy) in [(Column::Category, "categories"), (Column::Needs, "needs")] {
            let phrases = self.get(column).map(|cell| cells::phrases(&cell)).unwrap_or_default();
            let taxonomy = format!("{}/taxonomies/{taxonomy}", source.trim_end_matches('/'));
            attributes.extend(phrases.iter().filter(|phrase| !slug(phrase).is_empty()).map(|phrase| {
                let term = json!({"id": slug(phrase), "name": phrase, "taxonomy": taxonomy});
                json!({"link_type": "service_type", "taxonomy_term": term})
            }));
        }
        set(service, "attributes", attributes);
        set_text(service, "eligibility_description", self.get(Column::WhoFor).as_deref());
        let areas = self.get(Column::Area).map(|cell| cells::phrases(&cell)).unwrap_or_default();
        set(service, "service_areas", areas.iter().map(|area| json!({"name": area})).collect::<Vec<_>>());
        let languages = self.get(Column::Languages).map(|cell| cells::languages(&cell)).unwrap_or_default();
        set(service, "languages", languages);
    }

    /// What Open Referral has no word for.
    fn own(&mut self) -> Map<String, Value> {
        let mut own = Map::new();
        set_text(&mut own, "capacity", self.read(Column::Capacity, cells::capacity));
        set(&mut own, "waiting_time", self.read(Column::WaitingTime, cells::waiting).unwrap_or_default());
        if let Some(accepts) = self.read(Column::AcceptsReferrals, cells::yes_or_no) {
            set(&mut own, "accepts_referrals", accepts);
        }
        let has_inbox = self.here.has_inbox;
        set_text(&mut own, "inbox", self.read(Column::Inbox, |cell| cells::inbox(cell, has_inbox)).as_deref());
        let mut story = Map::new();
        let parts = [("problem", Column::StoryProblem), ("done", Column::StoryDone), ("result", Column::StoryResult)];
        for (part, column) in parts {
            set_text(&mut story, part, self.get(column).as_deref());
        }
        let told = parts.iter().filter(|(part, _)| story.contains_key(*part)).count();
        if told > 0 && told < parts.len() {
            self.fault(Column::StoryProblem, "the story is told in part", "the problem, what was done and the result");
        }
        set_text(&mut story, "document", self.read(Column::StoryDocument, cells::secure_page).as_deref());
        if told > 0 {
            set(&mut own, "stories", vec![Value::Object(story)]);
        }
        own
    }

    fn place(&mut self, postcode: Option<String>) -> Option<(String, Map<String, Value>)> {
        let (venue, address, town) = (self.get(Column::Venue), self.get(Column::Address), self.get(Column::Town));
        let position = self.position();
        let mut accessible = Vec::new();
        // a cell that says more than yes or no is taken as it is
        if let Some(cell) = self.get(Column::Wheelchair) {
            accessible.push(match cells::yes_or_no(&cell) {
                Ok(true) => "Wheelchair access".to_owned(),
                Ok(false) => "No wheelchair access".to_owned(),
                Err(_) => format!("Wheelchair access: {cell}"),
            });
        }
        accessible.extend(self.get(Column::Accessibility));
        if venue.is_none() && address.is_none() && postcode.is_none() && position.is_none() {
            return None;
        }
        let part = |of: &Option<String>| slug(of.as_deref().unwrap_or_default());
        let id = [part(&venue), part(&address), part(&town), part(&postcode)].join("/");
        let mut fields = Map::new();
        set(&mut fields, "id", id.as_str());
        set(&mut fields, "location_type", "physical");
        let name = venue.or_else(|| address.clone()).or_else(|| town.clone()).or_else(|| postcode.clone());
        set_text(&mut fields, "name", name.as_deref());
        if let Some((latitude, longitude)) = position {
            set(&mut fields, "latitude", Value::Number(latitude));
            set(&mut fields, "longitude", Value::Number(longitude));
        }
        let of = |text: Option<String>| text.unwrap_or_default();
        let address = json!({
            "address_1": of(address), "city": of(town), "state_province": "", "postal_code": of(postcode),
            "country": "GB", "address_type": "physical"
        });
        set(&mut fields, "addresses", vec![address]);
        set(
            &mut fields,
            "accessibility",
            accessible.iter().map(|words| json!({"description": words})).collect::<Vec<_>>(),
        );
        fields.insert(OWN.to_owned(), json!({}));
        Some((id, fields))
    }

    fn position(&mut self) -> Option<(serde_json::Number, serde_json::Number)> {
        const DUE: &str = "a place in these islands, such as latitude 53.41 and longitude -2.98";
        let latitude = self.read(Column::Latitude, cells::degree);
        let longitude = self.read(Column::Longitude, cells::degree);
        let filled = |column| self.cells.get(&column).is_some_and(|cell: &&str| !cell.trim().is_empty());
        match (latitude, longitude) {
            (Some(latitude), Some(longitude)) => {
                let (north, east) = (latitude.as_f64()?, longitude.as_f64()?);
                let is_here = |north: f64, east: f64| (49.0..=61.5).contains(&north) && (-11.0..=2.5).contains(&east);
                if is_here(north, east) {
                    return Some((latitude, longitude));
                }
                let what =
                    if is_here(east, north) { "latitude and longitude are exchanged" } else { "this lies elsewhere" };
                self.fault(Column::Latitude, what, DUE);
                None
            }
            (Some(_), None) if !filled(Column::Longitude) => {
                self.fault(Column::Latitude, "there is no longitude beside it", DUE);
                None
            }
            (None, Some(_)) if !filled(Column::Latitude) => {
                self.fault(Column::Longitude, "there is no latitude beside it", DUE);
                None
            }
            _ => None,
        }
    }
}
