use serde_json::{Value, json};
use uuid::Uuid;

use super::{cells, *};
use crate::{
    directory::plan::{Beside, Import, Planned},
    domain::EntryKind,
};

const SOURCE: &str = "https://team.example/services";

/// On a day of 2026, beside a configuration with one inbox.
fn read(bytes: &[u8], source: &str) -> Sheet {
    let here = Here { today: jiff::civil::date(2026, 11, 26), has_inbox: &|id| id == "garden-group" };
    Sheet::read(bytes, source, here)
}

fn plan(sheet: Sheet) -> Planned {
    assert_eq!(sheet.faults, []);
    let mut next = 0_u128;
    Import {
        source: SOURCE,
        rows: sheet.rows,
        known: Vec::new(),
        beside: Beside::default(),
        whole: true,
        retire: false,
    }
    .plan(&mut || {
        next += 1;
        Uuid::from_u128(next)
    })
}

fn only(kind: EntryKind, planned: &Planned) -> Value {
    let of: Vec<_> = planned.created.iter().filter(|one| one.kind == kind).collect();
    assert_eq!(of.len(), 1);
    of[0].body.clone()
}

fn extension(body: &Value, name: &str) -> Value {
    let url = format!("https://onward.example/fhir/StructureDefinition/{name}");
    let all = body["extension"].as_array().unwrap();
    all.iter().find(|one| one["url"] == url).unwrap_or_else(|| panic!("no {name}")).clone()
}

#[test]
fn the_template_is_a_sheet_and_says_what_it_says() {
    let sheet = read(template().as_bytes(), SOURCE);
    assert_eq!((&sheet.notes, sheet.services), (&vec![], 1));
    let planned = plan(sheet);
    let service = only(EntryKind::HealthcareService, &planned);
    assert_eq!(service["name"], "Walled garden group");
    let names: Vec<_> = service["type"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap()).collect();
    assert_eq!(names, ["gardening", "loneliness", "low mood", "being active"]);
    let coding =
        json!({"system": "https://team.example/services/taxonomies/needs", "code": "low-mood", "display": "low mood"});
    assert_eq!(service["type"][2]["coding"][0], coding);
    let hours = json!({"daysOfWeek": ["tue", "thu"], "availableStartTime": "10:00:00", "availableEndTime": "12:30:00"});
    assert_eq!(service["availableTime"], json!([hours]));
    assert_eq!(extension(&service, "capacity")["valueCode"], "capacity");
    assert_eq!(extension(&service, "accepts-referrals")["valueBoolean"], true);
    assert_eq!(extension(&service, "waiting-time")["valueDuration"]["code"], "wk");
    assert_eq!(extension(&service, "cost")["extension"][0], json!({"url": "free", "valueBoolean": true}));
    assert_eq!(extension(&service, "eligible-age")["valueRange"]["low"]["value"], json!(18));
    assert_eq!(extension(&service, "assured")["extension"][0]["valueDate"], "2026-11-02");
    let place = only(EntryKind::Location, &planned);
    assert_eq!(place["position"]["latitude"].to_string(), "53.38");
    assert_eq!(place["address"]["postalCode"], "L17 9ZZ");
    assert_eq!(
        extension(&place, "accessibility")["valueString"],
        "Wheelchair access\nRaised beds, accessible toilet, hearing loop"
    );
    assert_eq!(only(EntryKind::Organization, &planned)["name"], "Mersey Green Hands");
}

#[test]
fn the_same_sheet_is_read_however_a_spreadsheet_saves_it() {
    let text = "Name;Organisation;Postcode;Beschreibung\r\n\"Café \n“Mersey”\";Ö;l8 9zz;x\r\n";
    let utf16: Vec<u8> = [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let mut marked = b"\xEF\xBB\xBF".to_vec();
    marked.extend_from_slice(text.as_bytes());
    let windows = encoding_rs::WINDOWS_1252.encode(text).0.into_owned();
    let tabs = text.replace(';', "\t").into_bytes();
    let commas = text.replace(';', ",").into_bytes();
    for bytes in [text.as_bytes().to_vec(), utf16, marked, windows, tabs, commas] {
        let sheet = read(&bytes, SOURCE);
        assert_eq!(sheet.faults, []);
        assert_eq!(sheet.notes[0].column, "Beschreibung");
        let service = only(EntryKind::HealthcareService, &plan(sheet));
        assert_eq!(service["name"], "Café \n“Mersey”");
        assert_eq!(service["identifier"][0]["value"], "café-mersey/ö/l8-9zz");
    }
}

#[test]
fn every_fault_is_told_at_once_by_line_and_column() {
    let text = "Name,Postcode,E-mail,Telephone,Age range,Capacity,Latitude,Longitude,Last checked,Referrals\n\
        A,L8 9ZZ,a@b.example,0151 496 0001,18+,yes,53.4,-2.9,2026-01-02,yes\n\
        \n\
        ,Liverpool,a.example,ring us,old,maybe,-2.9,53.4,31/02/2026,ask\n\
        \"B\nB\",L8,a@b.example,,65-18,full,53.4,,,\n\
        A,L8 9ZZ,,,,,,,,\n";
    let sheet = read(text.as_bytes(), SOURCE);
    let told: Vec<_> = sheet.faults.iter().map(|f| (f.line, f.column.as_str(), f.what.as_str())).collect();
    assert_eq!((sheet.services, sheet.faulty), (1, 3));
    assert_eq!(
        told,
        [
            (4, "Name", "it is empty"),
            (4, "Postcode", "“Liverpool” cannot be read"),
            (4, "E-mail", "“a.example” cannot be read"),
            (4, "Telephone", "“ring us” cannot be read"),
            (4, "Age range", "“old” cannot be read"),
            (4, "Last checked", "“31/02/2026” cannot be read"),
            (4, "Capacity", "“maybe” cannot be read"),
            (4, "Referrals", "“ask” cannot be read"),
            (4, "Latitude", "latitude and longitude are exchanged"),
            (5, "Age range", "“65-18” cannot be read"),
            (5, "Latitude", "there is no longitude beside it"),
            (7, "Name", "it is the same service as on line 2"),
        ]
    );
    let told: Vec<_> =
        sheet.faults.iter().filter(|f| f.line == 4).map(|f| (f.column.as_str(), f.due.as_str())).collect();
    assert_eq!(
        told,
        [
            ("Name", "what the service is called"),
            ("Postcode", "a postcode like L8 9ZZ, or its first half like L8"),
            ("E-mail", "one address of mail such as hello@garden.example"),
            ("Telephone", "a telephone number such as 0151 496 0123; several with / between them"),
            ("Age range", "ages such as 18+, 16-25, under 25, over 50 or all"),
            ("Last checked", "a day such as 2026-11-02 or 02/11/2026"),
            ("Capacity", "yes, waiting list or full"),
            ("Referrals", "yes or no"),
            ("Latitude", "a place in these islands, such as latitude 53.41 and longitude -2.98"),
        ]
    );
}

#[test]
fn an_inbox_that_is_named_is_what_the_service_stands_behind() {
    let sheet = read(b"Name,Inbox\nGarden,garden-group\nShed,\n", SOURCE);
    let planned = plan(sheet);
    let endpoint = |at: usize| planned.created[at].body.get("endpoint").cloned();
    assert_eq!(endpoint(0), Some(json!([{"reference": "Endpoint/garden-group"}])));
    assert_eq!(endpoint(1), None);
    let faulty = read(b"Name,Inbox\nGarden,The garden group\n", SOURCE);
    assert_eq!(faulty.faults[0].due, "the id of an inbox in onward.toml");
    // what only the writing would refuse is told with the rest
    let text = b"Name,Inbox,Last checked,Cost\nGarden,shed-group,2026-11-27,-3.50\nShed,garden-group,26/11/2026,Free\n";
    let sheet = read(text, SOURCE);
    let told: Vec<_> = sheet.faults.iter().map(|f| (f.line, f.column.as_str(), f.due.as_str())).collect();
    assert_eq!(
        told,
        [
            (2, "Cost", "Free, or an amount such as £3.50 per session"),
            (2, "Last checked", "today or a day before, such as 2026-11-02"),
            (2, "Inbox", "the id of an inbox in onward.toml"),
        ]
    );
    assert_eq!((sheet.services, sheet.faulty), (1, 1));
}

#[test]
fn what_stands_in_no_cell_of_its_own_is_told_by_its_line() {
    let told = |text: &str| {
        let sheet = read(text.as_bytes(), SOURCE);
        assert_eq!(sheet.faulty, sheet.faults.len());
        let faults: Vec<_> = sheet.faults.iter().map(|f| (f.line, f.what.clone())).collect();
        (sheet.services, faults)
    };
    let slipped = "Name,Postcode\nA,L8 9ZZ\nB,L8 9ZZ,in the park\nC,L8 9ZZ,,\n";
    assert_eq!(told(slipped), (2, vec![(3, "it has 3 cells, and the header has 2".to_owned())]));
    let quote = "a quote begins a cell and does not end it; nothing from there on is read".to_owned();
    assert_eq!(told("Name,Postcode\nA,L8 9ZZ\n\"B,L8 9ZZ\nC,L8 9ZZ\n"), (1, vec![(3, quote.clone())]));
    assert_eq!(told("Name,Venue\nA,\"Hall\nB,\"Barn\"\nC,\n"), (0, vec![(2, quote.clone())]));
    let sheet = read(b"Name,\"Venue\nA,Hall\n", SOURCE);
    assert_eq!((sheet.services, sheet.faults[0].line, &sheet.faults[0].what), (0, 1, &quote));
}

#[test]
fn a_sheet_that_cannot_be_used_says_why() {
    let told = |bytes: &[u8]| read(bytes, SOURCE).faults.into_iter().map(|f| f.what).collect::<Vec<_>>();
    assert_eq!(told(b""), ["the file is empty or no CSV"]);
    assert_eq!(told(b"a,b\n1,2\n"), ["no column has the name of the service; there are: a, b"]);
    assert_eq!(told(b"Name,Service name\n1,2\n"), ["it means the same as the column \u{201c}Name\u{201d}"]);
    let long = format!("Name,Description\nA,{}\n", "x".repeat(CELL_MAX_CHARS + 1));
    assert_eq!(told(long.as_bytes()), ["it is too long"]);
    let many = format!("Name\n{}", (0..=LINES_MAX).map(|n| format!("{n}\n")).collect::<String>());
    assert_eq!(told(many.as_bytes()), ["there are more than 20000 lines"]);
    let faulty = format!("Name,Email\n{}", (0..=FAULTS_MAX).map(|n| format!("{n},x\n")).collect::<String>());
    assert_eq!(told(faulty.as_bytes()).len(), FAULTS_MAX + 1);
    assert_eq!(told(&vec![b' '; SHEET_MAX_BYTES + 1]), ["the file is longer than 16777216 bytes"]);
}

#[test]
fn days_and_hours_are_read_as_people_write_them() {
    let read = |said: &str| {
        hours::read(said).map(|all| {
            let one = |s: &Value| {
                let part = |key: &str| s[key].as_str().unwrap_or("").trim_end_matches(":00").to_owned();
                format!("{} {}-{}", part("byday"), part("opens_at"), part("closes_at"))
            };
            all.iter().map(one).collect::<Vec<_>>().join("; ")
        })
    };
    for (said, is) in [
        ("Mon-Fri 9:00-17:00; Sat 10-12", "MO,TU,WE,TH,FR 09-17; SA 10-12"),
        ("Monday to Friday 9am - 5pm", "MO,TU,WE,TH,FR 09-17"),
        ("Tuesdays and Thursdays 2-4pm", "TU,TH 14-16"),
        ("Weekdays 9-5", "MO,TU,WE,TH,FR 09-17"),
        ("Wed: 10.30am to 12pm.", "WE 10:30-12"),
        ("Sat, Sun", "SA,SU -"),
        ("daily 08:00–20:00", "MO,TU,WE,TH,FR,SA,SU 08-20"),
        ("Thurs 18:30 - 20:00", "TH 18:30-20"),
    ] {
        assert_eq!(read(said).as_deref(), Some(is), "{said}");
    }
    for said in [
        "by appointment",
        "second Tuesday 10-12",
        "Mon 25:00-26:00",
        "Mon 17:00-09:00",
        "Fri-Mon 9-5",
        "Mon 9",
        "10-12",
        "T 9-5",
    ] {
        assert_eq!(read(said), None, "{said}");
    }
}

#[test]
fn cells_are_read_as_people_write_them() {
    for (said, is) in [
        ("18+", (Some(18), None)),
        ("16 to 25", (Some(16), Some(25))),
        ("Under 25s", (None, Some(24))),
        ("over 50", (Some(50), None)),
        ("Ages 11–17 years", (Some(11), Some(17))),
        ("All ages", (None, None)),
        ("55 and over", (Some(55), None)),
    ] {
        assert_eq!(cells::ages(said), Ok(is), "{said}");
    }
    for (said, is) in
        [("l89zz", "L8 9ZZ"), ("CH41 7zz", "CH41 7ZZ"), ("ec1a1bb", "EC1A 1BB"), ("l8", "L8"), ("m1 1aa", "M1 1AA")]
    {
        assert_eq!(cells::postcode(said).as_deref(), Ok(is), "{said}");
    }
    for said in ["", "8L 9ZZ", "L8 ZZ9", "LIVERPOOL", "L", "Ł8 9ZZ", "L888 9ZZ"] {
        assert!(cells::postcode(said).is_err(), "{said}");
    }
    assert_eq!(cells::day("2/11/2026").as_deref(), Ok("2026-11-02"));
    assert_eq!(cells::day("02.11.2026").as_deref(), Ok("2026-11-02"));
    assert!(cells::day("11/26").is_err() && cells::day("02/11/26").is_err());
    assert_eq!(cells::website("garden.example/x").as_deref(), Ok("https://garden.example/x"));
    for said in ["ftp://a.example", "not a page", "https://user@a.example", "javascript:alert(1)", "https://"] {
        assert!(cells::website(said).is_err(), "{said}");
    }
    assert!(
        matches!(cells::cost("£3.50 a session"), Ok(cells::Cost::Pounds(n, w)) if n.to_string() == "3.50" && w == "a session")
    );
    for said in ["£", "£3.5", "-£3.50", "£-3.50", "-3", "− £2.00", "minus 3"] {
        assert!(cells::cost(said).is_err(), "{said}");
    }
}

proptest::proptest! {
    #[test]
    fn no_file_is_too_strange_to_be_told_what_is_wrong(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let mut sheet = b"Name,Postcode,Ages,Days,Cost,Waiting time,Website,Last checked,Latitude,Longitude,Languages\n".to_vec();
        sheet.extend(bytes);
        let sheet = read(&sheet, SOURCE);
        proptest::prop_assert!(sheet.faulty == 0 || !sheet.faults.is_empty());
        proptest::prop_assert!(sheet.faults.iter().all(|fault| !fault.due.is_empty() && !fault.what.is_empty()));
    }

    #[test]
    fn no_cell_panics(cell in "\\PC{0,40}", tidy in "[0-9a-z ,;:.+£–-]{0,20}") {
        for cell in [cell.as_str(), tidy.as_str()] {
            let _ = (cells::ages(cell), cells::postcode(cell), cells::day(cell), cells::waiting(cell), cells::degree(cell));
            let _ = (cells::website(cell), cells::email(cell), cells::phones(cell), cells::cost(cell), hours::read(cell));
            let _ = (cells::languages(cell), cells::phrases(cell), cells::slug(cell));
        }
    }
}
