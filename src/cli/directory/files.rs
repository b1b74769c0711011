//! What lies in files: documents and tables of Open Referral, within bounds.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;

use crate::{
    directory::open_referral::{Feed, Told, add_tables},
    fhir::{Issue, Limits, gate},
};

/// So many files of one folder and those in it are read.
const FILES_MAX: usize = 100_000;
/// How deep folders may lie in one another.
const DEPTH_MAX: usize = 8;
/// The longest file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 32 * 1024 * 1024;
/// All of them together, in bytes.
const ALL_MAX_BYTES: u64 = 512 * 1024 * 1024;
/// So many values a document may have.
const VALUES_MAX: usize = 4_000_000;

/// Takes a file, or all files of a folder, into a feed.
pub(super) fn take(path: &Path, feed: &mut Feed) -> anyhow::Result<()> {
    let (mut files, mut bytes) = (Vec::new(), 0);
    find(path, 0, &mut files)?;
    // what is whole comes before what tells of it in part: that says in which order things stand
    let is_service = |file: &PathBuf| file.parent().and_then(Path::file_name).is_some_and(|name| name == "services");
    files.sort_by(|a, b| is_service(b).cmp(&is_service(a)).then_with(|| a.cmp(b)));
    files.retain(|file| file.file_name().is_none_or(|name| name != super::parts::FILE));
    // the tables of one folder belong together
    let mut tables: Vec<(String, Vec<u8>)> = Vec::new();
    let mut folder = None;
    for file in files {
        let parent = file.parent().map(Path::to_owned);
        if folder != parent {
            add_tables(&std::mem::take(&mut tables), feed);
            folder = parent;
        }
        let read = read(&file)?;
        bytes += read.len() as u64;
        anyhow::ensure!(
            bytes <= ALL_MAX_BYTES,
            "the files are longer than {ALL_MAX_BYTES} bytes together: take them in parts"
        );
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if is(&file, "csv") {
            tables.push((name, read));
        } else {
            // the folder says what its files are where their names do not
            let within = file.strip_prefix(path).ok().filter(|within| within.components().count() > 1);
            document(&read, &within.map_or(name, |within| within.display().to_string()), feed);
        }
    }
    add_tables(&tables, feed);
    Ok(())
}

/// The bytes of a file.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let about = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let long = about.len() > FILE_MAX_BYTES;
    anyhow::ensure!(!long, "{} is longer than {FILE_MAX_BYTES} bytes: take it in parts", path.display());
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A JSON document, or what is wrong with it.
pub(super) fn parsed(bytes: &[u8]) -> Result<Value, Issue> {
    let bytes_max = usize::try_from(FILE_MAX_BYTES).unwrap_or(usize::MAX);
    let limits = Limits { bytes: bytes_max, values: VALUES_MAX, ..Limits::default() };
    gate::read_any(bytes, &limits)
}

/// Takes a JSON document into a feed, or tells why it is none.
pub(super) fn document(bytes: &[u8], name: &str, feed: &mut Feed) {
    match parsed(bytes) {
        Ok(document) => feed.add(document, name),
        Err(issue) => {
            let at = issue.at.map(|(line, column)| format!("line {line}, column {column}: ")).unwrap_or_default();
            feed.tell(Told::new("file", name, format!("it is passed over: {at}{}", issue.diagnostics)));
        }
    }
}

fn find(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let about = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !about.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    anyhow::ensure!(depth < DEPTH_MAX, "{}: folders lie more than {DEPTH_MAX} deep in one another", path.display());
    let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    for entry in entries.with_context(|| format!("cannot read {}", path.display()))? {
        let path = entry.path();
        if path.is_dir() {
            find(&path, depth + 1, files)?;
        } else if is(&path, "json") || is(&path, "csv") {
            anyhow::ensure!(files.len() < FILES_MAX, "there are more than {FILES_MAX} files: take them in parts");
            files.push(path);
        }
    }
    Ok(())
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|other| other.eq_ignore_ascii_case(extension))
}
