//! The binary over PostgreSQL: every simulated loop is closed, and commands work beside it.

use super::*;
use crate::store::postgres::Place;

#[test]
fn the_demonstration_closes_every_loop_over_postgres() {
    let Some(place) = Place::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = onward(folder.path(), &["demo", "--once", "--json", "--referrals", "40"]);
    command.env("ONWARD__STORE__URL", &place.url);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let told = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{told}");
    let summary: Value =
        serde_json::from_slice(stdout.rsplit(|b| *b == b'\n').find(|l| !l.is_empty()).unwrap()).unwrap();
    println!("{summary}");
    assert_eq!(place.sql("SELECT 1 FROM outbox").len(), 0, "nothing is left to be sent");
    assert!(place.sql("SELECT count(*) FROM task")[0].get::<_, i64>(0) >= 40);
    assert_eq!(place.sql("SELECT 1 FROM replica WHERE ended IS NULL").len(), 0, "it has said that it ends");
}

#[test]
fn a_store_that_cannot_be_opened_is_told_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    for (url, told) in [
        ("postgres://u:sesame@127.0.0.1:1/d", "refused"),
        ("postgres://u:sesame@127.0.0.1:1/d?sslmode=prefer", "sslmode"),
    ] {
        let mut command = onward(folder.path(), &["referral", "show", "x"]);
        command.env("ONWARD__STORE__URL", url);
        let Output { status, stderr, .. } = command.output().unwrap();
        let text = String::from_utf8_lossy(&stderr);
        assert!(!status.success() && text.contains(told) && !text.contains("sesame"), "{text}");
    }
}

#[test]
fn check_looks_at_the_database_and_changes_nothing() {
    let Some(place) = Place::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let check = || {
        let mut command = onward(folder.path(), &["check", "--connect"]);
        command.env("ONWARD__STORE__URL", &place.url);
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    };
    let told = check();
    assert!(told.contains("good: store") && told.contains("made at the first start"), "{told}");
    assert!(place.sql("SELECT to_regclass('task')::text")[0].get::<_, Option<String>>(0).is_none());
    drop(place.open().unwrap());
    let told = check();
    assert!(told.contains("a store of this version"), "{told}");
}
