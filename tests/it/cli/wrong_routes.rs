//! Each way a route set can be wrong, with what a person sees of it: `fixtures/wrong-routes/NN-name.toml` and `.txt`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{Ran, run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wrong-routes")
}

fn checked(name: &str) -> Ran {
    run(&folder(), &["routes", "check", name, "--config", "../merseyside/onward.toml"])
}

#[test]
fn each_wrong_set_is_refused_with_its_message() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() > 30, "{files:?}");
    let mut other = Vec::new();
    for path in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let ran = checked(name);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{name}: {ran:?}");
        let expected = path.with_extension("txt");
        if std::env::var_os("ONWARD_WRITE_EXPECTED").is_some() {
            fs::write(&expected, &ran.err).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if expected != ran.err {
            other.push(format!("{name}: expected\n{expected}\nfound\n{}", ran.err));
        }
    }
    assert!(other.is_empty(), "{}", other.join("\n\n"));
    // what is expected of none is no fixture
    let names = |of: &str| -> BTreeSet<PathBuf> {
        let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == of))
            .map(|path| path.with_extension(""))
            .collect()
    };
    assert_eq!(names("toml"), names("txt"));
}
