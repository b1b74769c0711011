use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn faults_of(text: &str, walk: impl Fn(&mut Table<'_>)) -> Vec<String> {
    let (reader, table) = read("f.toml", text);
    let mut root = reader.root(&table);
    walk(&mut root);
    root.finish();
    reader.finish().0.iter().map(ToString::to_string).collect()
}

#[test]
fn every_fault_has_its_place() {
    let text = "a = 1\nb = \"é\"\n[t]\nx = \"é\"\ny = 2\n[[l]]\nz = \"q\"\n[[l]]\n";
    let faults = faults_of(text, |root| {
        assert_eq!(root.get("a").and_then(|a| a.number(0, 9)), Some(1));
        assert_eq!(root.get("b").and_then(|b| b.number(0, 9)), None);
        let mut t = root.section("t");
        assert!(t.get("x").and_then(|x| x.bool()).is_none());
        t.finish();
        for mut item in root.tables("l") {
            item.need("z", "a word").and_then(|z| z.choice(&[("p", 1)]));
            item.finish();
        }
    });
    assert_eq!(
        faults,
        [
            "f.toml:2:5 b: found a text; allowed: a whole number from 0 to 9",
            "f.toml:4:5 t.x: found a text; allowed: true or false",
            "f.toml:5:1 t.y: found an unknown key; allowed: x",
            "f.toml:7:5 l[0].z: found \"q\"; allowed: \"p\"",
            "f.toml:8:1 l[1].z: found nothing; needed: a word",
        ]
    );
}

#[test]
fn what_is_not_toml_is_told_without_repeating_the_line() {
    let (reader, _) = read("f.toml", "a = 1\ntoken = sesame-open-up-please\nb = [1\n");
    let faults = reader.finish().0;
    assert!(!faults.is_empty());
    assert_eq!(faults.first().map(|fault| fault.line), Some(2));
    assert!(faults.iter().all(|fault| !fault.to_string().contains("sesame")), "{faults:?}");
}

#[test]
fn a_variable_stands_in_for_a_key() {
    let (mut reader, mut table) = read("f.toml", "[t]\nn = 1\n[[l]]\n");
    let path = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    reader.put(&mut table, &path(&["t", "n"]), "V__T__N", "7");
    reader.put(&mut table, &path(&["u", "b"]), "V__U__B", "true");
    reader.put(&mut table, &path(&["u", "what"]), "V__U__WHAT", "1");
    reader.put(&mut table, &path(&["l", "x"]), "V__L__X", "1");
    let mut root = reader.root(&table);
    assert_eq!(root.section("t").get("n").and_then(|n| n.number(0, 9)), Some(7));
    let mut u = root.section("u");
    assert_eq!(u.get("b").and_then(|b| b.bool()), Some(true));
    u.finish();
    let faults: Vec<String> = reader.finish().0.iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "environment V__L__X: found a variable for a list or a whole table; allowed: one key of a table",
            "environment V__U__WHAT: found an unknown key; allowed: b",
        ]
    );
}

#[test]
fn times_and_sizes_as_people_write_them() {
    let ms = Duration::from_millis;
    for (text, span) in [("250ms", 250), ("2s", 2_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("0s", 0)] {
        assert_eq!(duration_from(text), Some(ms(span)), "{text}");
    }
    for bad in ["", "5", "s", "5 s", "1m1h", "1s1s", "-1s", "1.5s", "9999999999999999999d", "1w"] {
        assert_eq!(duration_from(bad), None, "{bad}");
    }
    assert_eq!((size_from("5MiB"), size_from("512 KiB"), size_from("7B")), (Some(5 << 20), Some(512 << 10), Some(7)));
    for bad in ["", "5", "5MB", "MiB", "99999999999999999GiB"] {
        assert_eq!(size_from(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn a_time_reads_back(ms in 0u64..10_000_000_000) {
        let span = Duration::from_millis(ms);
        prop_assert_eq!(duration_from(&duration_text(span)), Some(span));
    }

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,80}") {
        let (reader, table) = read("f.toml", &text);
        let mut root = reader.root(&table);
        root.tables("a");
        root.finish();
        reader.finish();
    }
}
