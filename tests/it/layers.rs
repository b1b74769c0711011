//! The arrows between rooms are those of `src/README.md`, and none other: one that runs back up fails here and not in a review.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The table of `src/README.md`.
fn published() -> Arrows {
    let readme = include_str!("../../src/README.md");
    readme
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
            let [room, _, knows, ""] = cells[..] else { return None };
            let knows = knows.split(',').map(str::trim).filter(|k| !k.is_empty()).map(str::to_owned).collect();
            Some((room.trim_end_matches('`').to_owned(), knows))
        })
        .collect()
}

/// Every room that a source file names as `crate::room`, its tests apart.
fn named(source: &str) -> BTreeSet<String> {
    let code: String = source
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if !rest.starts_with('{') {
            rooms.insert(word(rest));
            continue;
        }
        let mut depth = 0;
        let mut start_of_item = true;
        for (i, c) in rest.char_indices() {
            match c {
                '{' => {
                    depth += 1;
                    start_of_item = depth == 1;
                }
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                ',' => start_of_item = depth == 1,
                c if start_of_item && !c.is_whitespace() => {
                    rooms.insert(word(&rest[i..]));
                    start_of_item = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

fn sources(path: &Path, found: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
        found.push(fs::read_to_string(path).unwrap());
    }
}

fn drawn() -> Arrows {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut arrows = Arrows::new();
    for entry in fs::read_dir(&src).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if file.extension().is_none_or(|e| e != "rs") || name == "lib" || name == "main" {
            continue;
        }
        let mut files = Vec::new();
        sources(&file, &mut files);
        let folder = src.join(&name);
        if folder.is_dir() {
            sources(&folder, &mut files);
        }
        let mut knows: BTreeSet<String> = files.iter().flat_map(|source| named(source)).collect();
        knows.remove(&name);
        arrows.insert(name, knows);
    }
    arrows
}

#[test]
fn no_room_knows_more_than_its_row_says() {
    let (published, drawn) = (published(), drawn());
    let rooms = |arrows: &Arrows| arrows.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(rooms(&published), rooms(&drawn), "src/README.md must have a row for every room");
    let mut too_much = Vec::new();
    for (room, knows) in &drawn {
        let extra: Vec<_> = knows.difference(&published[room]).collect();
        if !extra.is_empty() {
            too_much.push(format!("{room} must not know {extra:?}"));
        }
    }
    assert!(too_much.is_empty(), "{}", too_much.join("\n"));
}

#[test]
fn the_arrows_form_no_ring() {
    let mut left = published();
    while !left.is_empty() {
        let free: Vec<String> = left
            .iter()
            .filter(|(_, knows)| !knows.iter().any(|k| left.contains_key(k)))
            .map(|(r, _)| r.clone())
            .collect();
        assert!(!free.is_empty(), "a ring among {:?}", left.keys().collect::<Vec<_>>());
        for room in free {
            left.remove(&room);
        }
    }
}

/// Whoever is tried as one who may not is tried at every route of the pages' table: so no route is made beside it.
#[test]
fn the_routes_of_pages_are_made_in_their_table_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src.join("web"), &mut files);
    sources(&src.join("web.rs"), &mut files);
    let makes =
        |source: &String| source.contains(".route(\"") || source.contains(".route(&") || source.contains(".route(path");
    let makers: Vec<&String> = files.iter().filter(|source| makes(source)).collect();
    assert_eq!(makers.len(), 1, "{:?}", makers.iter().map(|source| source.lines().next()).collect::<Vec<_>>());
    assert!(makers[0].starts_with("//! The table of the pages' routes"));
}

#[test]
fn names_are_found_in_every_form() {
    let source =
        "use crate::{\n    domain::{self, Side},\n    store::Store,\n};\nfn f() { crate::fhir::x() }\n// crate::http\n";
    let expected: BTreeSet<String> = ["domain", "store", "fhir"].map(str::to_owned).into();
    assert_eq!(named(source), expected);
}
