//! Which column is which: by the words of its header, whatever their case and whatever stands between them.

use std::collections::HashMap;

use csv::StringRecord;

use super::{COLUMNS_MAX, Fault, Sheet};

/// What a column is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Column {
    Id,
    Name,
    Organisation,
    Description,
    Needs,
    Category,
    WhoFor,
    Venue,
    Address,
    Town,
    Postcode,
    Area,
    Phone,
    Email,
    Website,
    Days,
    Times,
    Ages,
    MinimumAge,
    MaximumAge,
    Cost,
    Capacity,
    WaitingTime,
    AcceptsReferrals,
    Inbox,
    Wheelchair,
    Accessibility,
    Languages,
    Latitude,
    Longitude,
    Active,
    LastChecked,
    CheckedBy,
    StoryProblem,
    StoryDone,
    StoryResult,
    StoryDocument,
}

/// Every header that is understood, in letters and digits alone.
const HEADERS: [(Column, &[&str]); 37] = [
    (Column::Id, &["id", "serviceid", "ref", "reference", "uniqueid", "number", "no"]),
    (
        Column::Name,
        &[
            "name",
            "servicename",
            "service",
            "nameofservice",
            "title",
            "project",
            "projectname",
            "activity",
            "activityname",
        ],
    ),
    (
        Column::Organisation,
        &[
            "organisation",
            "organization",
            "organisationname",
            "organizationname",
            "provider",
            "providername",
            "providedby",
            "org",
            "charity",
            "runby",
            "group",
            "leadorganisation",
        ],
    ),
    (
        Column::Description,
        &["description", "about", "whatitis", "summary", "details", "servicedescription", "whattheydo", "whatitoffers"],
    ),
    (
        Column::Needs,
        &[
            "need",
            "needs",
            "needsmet",
            "whatithelpswith",
            "helpswith",
            "whatithelps",
            "themes",
            "theme",
            "keywords",
            "tags",
            "helpwith",
            "reason",
            "reasons",
        ],
    ),
    (Column::Category, &["category", "categories", "type", "servicetype", "typeofservice", "kind"]),
    (
        Column::WhoFor,
        &[
            "whoitisfor",
            "whofor",
            "for",
            "eligibility",
            "whocancome",
            "criteria",
            "audience",
            "targetgroup",
            "referralcriteria",
        ],
    ),
    (Column::Venue, &["venue", "place", "location", "building", "where", "venuename", "site"]),
    (Column::Address, &["address", "streetaddress", "street", "addressline1", "address1", "venueaddress"]),
    (Column::Town, &["town", "city", "towncity", "locality", "posttown"]),
    (Column::Postcode, &["postcode", "postalcode", "zip", "venuepostcode", "pcode"]),
    (
        Column::Area,
        &["area", "areacovered", "areascovered", "coverage", "wherefrom", "catchment", "borough", "areaserved"],
    ),
    (
        Column::Phone,
        &[
            "phone",
            "telephone",
            "tel",
            "telno",
            "phonenumber",
            "telephonenumber",
            "contactnumber",
            "mobile",
            "telephoneno",
            "contactphone",
        ],
    ),
    (Column::Email, &["email", "emailaddress", "mail", "contactemail", "referralemail"]),
    (Column::Website, &["website", "web", "url", "link", "webaddress", "webpage", "homepage"]),
    (Column::Days, &["days", "day", "openingdays", "daysopen", "whichdays", "daysoftheweek"]),
    (
        Column::Times,
        &[
            "openingtimes",
            "openinghours",
            "times",
            "time",
            "hours",
            "opening",
            "when",
            "daysandtimes",
            "dayandtime",
            "daystimes",
            "sessiontimes",
            "open",
        ],
    ),
    (Column::Ages, &["ages", "age", "agerange", "agegroup", "agegroups", "agelimit"]),
    (Column::MinimumAge, &["minimumage", "minage", "agefrom", "fromage", "youngest", "agemin"]),
    (Column::MaximumAge, &["maximumage", "maxage", "ageto", "toage", "oldest", "agemax"]),
    (Column::Cost, &["cost", "costs", "price", "fee", "fees", "charge", "charges", "howmuch"]),
    (Column::Capacity, &["capacity", "availability", "spaces", "places", "placesavailable", "spacesavailable"]),
    (Column::WaitingTime, &["waitingtime", "wait", "waittime", "waitinglist", "howlongisthewait", "currentwait"]),
    (
        Column::AcceptsReferrals,
        &[
            "acceptsreferrals",
            "referrals",
            "takesreferrals",
            "referralsaccepted",
            "acceptingreferrals",
            "canbereferredto",
            "professionalreferral",
            "opentoreferrals",
        ],
    ),
    (Column::Inbox, &["inbox", "onwardinbox", "referralinbox"]),
    (
        Column::Wheelchair,
        &[
            "wheelchair",
            "wheelchairaccess",
            "wheelchairaccessible",
            "wheelchairaccessibility",
            "stepfree",
            "stepfreeaccess",
        ],
    ),
    (
        Column::Accessibility,
        &["accessibility", "access", "accessible", "accessinformation", "accessinfo", "accessnotes"],
    ),
    (Column::Languages, &["languages", "language", "languagesspoken", "spokenlanguages"]),
    (Column::Latitude, &["latitude", "lat"]),
    (Column::Longitude, &["longitude", "long", "lon", "lng"]),
    (Column::Active, &["active", "status", "stillrunning", "running", "current"]),
    (
        Column::LastChecked,
        &[
            "lastchecked",
            "checked",
            "datechecked",
            "lastverified",
            "verified",
            "lastupdated",
            "dateupdated",
            "updated",
            "lastreviewed",
            "assured",
            "dateassured",
            "checkedon",
        ],
    ),
    (Column::CheckedBy, &["checkedby", "verifiedby", "assuredby", "updatedby"]),
    (Column::StoryProblem, &["storyproblem", "problem", "storythesituation"]),
    (Column::StoryDone, &["storydone", "storywhatwasdone", "whatwasdone", "done"]),
    (Column::StoryResult, &["storyresult", "result", "outcome", "whatchanged"]),
    (Column::StoryDocument, &["storydocument", "storylink", "document"]),
];

/// The sheet that is given to those who have none, with an example.
pub(super) const TEMPLATE: [(&str, &str); 35] = [
    ("ID", "garden-1"),
    ("Name", "Walled garden group"),
    ("Organisation", "Mersey Green Hands"),
    ("Description", "Growing vegetables together. Tools, boots and tea are there."),
    ("What it helps with", "loneliness; low mood; being active"),
    ("Category", "gardening"),
    ("Who it is for", "Adults who feel isolated"),
    ("Venue", "The Walled Garden"),
    ("Address", "1 Example Lane"),
    ("Town", "Liverpool"),
    ("Postcode", "L17 9ZZ"),
    ("Area covered", "South Liverpool"),
    ("Phone", "0151 496 0123"),
    ("Email", "garden@greenhands.example"),
    ("Website", "https://greenhands.example/garden"),
    ("Days", "Tue, Thu"),
    ("Opening times", "10:00-12:30"),
    ("Ages", "18+"),
    ("Cost", "Free"),
    ("Capacity", "yes"),
    ("Waiting time", "2 weeks"),
    ("Accepts referrals", "yes"),
    ("Inbox", ""),
    ("Wheelchair access", "yes"),
    ("Accessibility", "Raised beds, accessible toilet, hearing loop"),
    ("Languages", "English, Polish"),
    ("Latitude", "53.38"),
    ("Longitude", "-2.94"),
    ("Active", "yes"),
    ("Last checked", "2026-11-02"),
    ("Checked by", "linkworkers@mersey.example"),
    ("Story: problem", ""),
    ("Story: what was done", ""),
    ("Story: result", ""),
    ("Story: document", ""),
];

/// Where each column stands.
pub(super) struct Columns {
    at: HashMap<Column, (usize, String)>,
}

// === impl Columns ===

impl Columns {
    /// Reads the first line. What is wrong with it is a fault of the sheet; what is not understood is told.
    pub(super) fn read(header: &StringRecord, sheet: &mut Sheet) -> Self {
        let mut at: HashMap<Column, (usize, String)> = HashMap::new();
        for (place, cell) in header.iter().enumerate().filter(|(_, cell)| !cell.trim().is_empty()) {
            let name = cell.trim();
            if place >= COLUMNS_MAX {
                sheet.fault(1, name, format!("there are more than {COLUMNS_MAX} columns"), "fewer columns");
                break;
            }
            let word: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
            match HEADERS.iter().find(|(_, words)| words.contains(&word.as_str())) {
                Some((column, _)) => {
                    if let Some((_, other)) = at.get(column) {
                        let what = format!("it means the same as the column “{other}”");
                        sheet.fault(1, name, what, "one column for it");
                    } else {
                        at.insert(*column, (place, name.to_owned()));
                    }
                }
                None => {
                    let (column, what) =
                        (name.to_owned(), "the column is not understood; it is passed over".to_owned());
                    let due = "one of the columns of `onward directory template`, if it is one".to_owned();
                    sheet.notes.push(Fault { line: 1, column, what, due });
                }
            }
        }
        if !at.contains_key(&Column::Name) {
            let found: Vec<_> = header.iter().map(str::trim).filter(|name| !name.is_empty()).take(10).collect();
            let what = format!("no column has the name of the service; there are: {}", found.join(", "));
            sheet.fault(1, "", what, "a column called Name; `onward directory template` shows all");
        }
        Self { at }
    }

    /// The cells of a line by what they are about.
    pub(super) fn cells<'r>(&self, record: &'r StringRecord) -> HashMap<Column, &'r str> {
        self.at.iter().filter_map(|(column, (place, _))| Some((*column, record.get(*place)?))).collect()
    }

    /// What the file calls a column.
    pub(super) fn name(&self, column: Column) -> &str {
        self.at.get(&column).map_or("", |(_, name)| name)
    }
}
