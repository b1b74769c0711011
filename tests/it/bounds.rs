//! Nothing grows without a bound: every queue, channel, set of tasks and cache has a row in `src/README.md`, and the bound that
//! the row names is the one in the code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What makes something that holds things.
const MAKERS: [&str; 10] = [
    "mpsc::channel",
    "sync_channel",
    "unbounded_channel",
    "broadcast::Sender::new",
    "broadcast::channel",
    "Semaphore::new",
    "TaskTracker::new",
    "JoinSet::new",
    "FuturesUnordered::new",
    "VecDeque",
];

struct Row {
    bound: String,
    file: String,
}

fn rows() -> Vec<Row> {
    let readme = include_str!("../../src/README.md");
    let section = readme.split("## Bounds").nth(1).expect("src/README.md has a section on bounds");
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| ")).map(cells).collect();
    // the first is the head
    rows.into_iter()
        .skip(1)
        .map(|cells| {
            assert_eq!(cells.len(), 6, "{cells:?}");
            Row { bound: cells[2].clone(), file: cells[3].trim_matches('`').to_owned() }
        })
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_bound_in_the_table_is_the_one_in_the_code() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let example = fs::read_to_string(src.join("../deploy/onward.example.toml")).unwrap();
    for Row { bound, file } in rows() {
        let code = fs::read_to_string(src.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        // `NAME` = value, or `key` = value of the configuration
        // where it is set elsewhere, the table says so in words
        let Some((name, _)) = bound.strip_prefix('`').and_then(|rest| rest.split_once('`')) else { continue };
        let value = bound.rsplit('=').next().unwrap().trim().replace(',', "");
        if let Some(key) = name.strip_prefix("limits.").or_else(|| name.strip_prefix("broker.")) {
            let line = example.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
            let line = line.unwrap_or_else(|| panic!("{key} is no key of the configuration"));
            assert!(line.replace('"', "").ends_with(&format!("= {value}")), "{bound}: the example says {line}");
        } else {
            let squeezed = code.replace('_', "");
            let declared = squeezed.lines().find(|line| {
                let name = name.replace('_', "");
                line.contains(&format!("const {name}: "))
                    || line.trim_start().starts_with(&format!("{name}: "))
                    || line.contains(&format!("{{ {name}: "))
            });
            let declared = declared.unwrap_or_else(|| panic!("{file} has no {name}"));
            assert!(declared.contains(&value), "{bound}: {file} says {declared}");
        }
    }
}

#[test]
fn whatever_holds_things_has_a_row() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let listed: BTreeSet<String> = rows().into_iter().map(|row| row.file).collect();
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut missing = Vec::new();
    for path in files {
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        // what is simulated and what is measured is no part of the service
        if name.starts_with("demo") || name.starts_with("bench") || name.starts_with("cli") {
            continue;
        }
        let code = fs::read_to_string(&path).unwrap();
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code: String =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        assert!(!code.contains("unbounded_channel"), "{name} has a channel without a bound");
        if MAKERS.iter().any(|maker| code.contains(maker)) && !listed.contains(&name) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "no row under \"Bounds\" in src/README.md for {missing:?}");
}
