use super::*;
use crate::directory::{
    open_referral::feed::tests::{SOURCE, corpus, records},
    plan::{Beside, Import},
};

fn files(tables: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    tables.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

#[test]
fn the_published_tables_are_the_published_records() {
    let (Some(folder), Some(examples)) = (corpus("examples/csv"), corpus("examples")) else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    let mut feed = Feed::default();
    add_tables(&files, &mut feed);
    let (rows, told) = feed.into_rows();
    let why: Vec<_> = told.iter().map(|told| (told.what.as_str(), told.id.as_str())).collect();
    assert_eq!(
        why,
        [
            ("file", "meta_table_descriptions.csv"),
            ("file", "programs.csv"),
            ("file", "required_documents.csv"),
            ("attributes", "ae58cc39-8b70-4ab1-8aea-786882e5ac8e"),
        ]
    );
    let mut next = 0;
    let import =
        Import { source: SOURCE, rows, known: Vec::new(), beside: Beside::default(), whole: true, retire: false };
    let planned = import.plan(&mut || {
        next += 1;
        uuid::Uuid::from_u128(next)
    });
    let records = records(&planned.created);
    let full: Value = serde_json::from_slice(&std::fs::read(examples.join("service_full.json")).unwrap()).unwrap();
    let made = records.service("ac148810-d857-441c-9679-408f346de14b").unwrap();
    // all that the record says, the tables say, but for the attribute that belongs to nothing there
    assert_says(&made, &full, "service");
    // and what they say more is there: the columns that join them, and the telephone
    assert_eq!(made["contacts"][0]["phones"][0]["number"], "\"+44 1234 234567\"");
    assert_eq!(made["schedules"][0]["byweekno"], "41,42");
    let service = planned.created.iter().find(|one| one.body["resourceType"] == "HealthcareService").unwrap();
    assert_eq!(service.body["telecom"][0]["value"], "+44 1234 234567");
}

fn assert_says(made: &Value, record: &Value, at: &str) {
    match (made, record) {
        (Value::Object(made), Value::Object(record)) => {
            for (key, value) in record.iter().filter(|(key, _)| *key != "attributes") {
                let there = made.get(key).unwrap_or_else(|| panic!("{at}.{key} is not there"));
                assert_says(there, value, &format!("{at}.{key}"));
            }
        }
        (Value::Array(made), Value::Array(record)) => {
            assert_eq!(made.len(), record.len(), "{at}");
            made.iter().zip(record).for_each(|(made, record)| assert_says(made, record, at));
        }
        _ => assert_eq!(made, record, "{at}"),
    }
}

#[test]
fn what_belongs_to_nothing_and_what_is_no_csv_is_told_of() {
    let mut feed = Feed::default();
    let services = "id,organization_id,name,status\ns1,o1,A,active\n,o1,B,active\n";
    add_tables(
        &files(&[
            ("services.csv", services),
            ("schedules.csv", "id,service_id,freq\n1,s1,WEEKLY\n2,s9,WEEKLY\n"),
            ("notes.csv", "id\n1\n"),
        ]),
        &mut feed,
    );
    add_tables(&[("organizations.csv".to_owned(), b"id,name\n1,\xff\n".to_vec())], &mut feed);
    let (rows, told) = feed.into_rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].fields["schedules"][0]["freq"], "WEEKLY");
    let ids: Vec<_> = told.iter().map(|told| (told.what.as_str(), told.id.as_str())).collect();
    assert_eq!(
        ids,
        [("file", "services.csv"), ("file", "notes.csv"), ("schedules", "2"), ("file", "organizations.csv")]
    );
}
