//! An export of several sources: how it names them, and how it is told apart again.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::files;
use crate::directory::open_referral::{Feed, folder_id};

/// The file that names the source of a folder.
pub(super) const FILE: &str = "source.json";
/// The field that names a source.
pub(super) const NAME: &str = "source";
/// The field of a document that holds one document for each source.
pub(super) const ALL: &str = "sources";
/// Letters of a source's name that a folder's name has.
const LETTERS_MAX: usize = 60;

/// What comes from one source.
pub(super) struct Part {
    pub(super) source: String,
    pub(super) feed: Feed,
    /// Whether it is all that the source has.
    pub(super) whole: bool,
}

/// What the folder of a source is called: as the source, as far as a folder can be, and as no other.
pub(super) fn folder_of(source: &str) -> String {
    let name = source.split_once("://").map_or(source, |(_, rest)| rest);
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' });
    let plain: String = plain.take(LETTERS_MAX).collect();
    format!("{}-{}", plain.trim_matches(['-', '.']), folder_id(source))
}

/// The parts of what lies there, each with the source that it names; none where it names none.
///
/// # Errors
/// What cannot be read.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Part>> {
    if path.is_file() {
        return Ok(documents(&files::read(path)?, path));
    }
    let mut folders: Vec<PathBuf> = if path.join(FILE).is_file() {
        vec![path.to_owned()]
    } else {
        let cannot = || format!("cannot read {}", path.display());
        let inner = std::fs::read_dir(path).with_context(cannot)?;
        let inner = inner.map(|one| one.map(|one| one.path())).collect::<Result<Vec<_>, _>>().with_context(cannot)?;
        inner.into_iter().filter(|inner| inner.join(FILE).is_file()).collect()
    };
    folders.sort();
    let mut parts = Vec::with_capacity(folders.len());
    for folder in folders {
        let file = folder.join(FILE);
        let named: Option<Value> = serde_json::from_slice(&files::read(&file)?).ok();
        let source = named.as_ref().and_then(|named| named.get(NAME)?.as_str());
        let source = source.with_context(|| format!("{} names no source: {{\"{NAME}\": \"…\"}}", file.display()))?;
        let source = super::import::source(source).map_err(|due| anyhow::anyhow!("{}: {due}", file.display()))?;
        let mut feed = Feed::default();
        files::take(&folder, &mut feed)?;
        parts.push(Part { source, feed, whole: true });
    }
    Ok(parts)
}

/// The documents in one that names their sources.
fn documents(bytes: &[u8], path: &Path) -> Vec<Part> {
    let Ok(Value::Object(mut document)) = files::parsed(bytes) else { return Vec::new() };
    let all = match document.get_mut(ALL).map(Value::take) {
        Some(Value::Array(all)) => all,
        _ => vec![document.into()],
    };
    let part = |mut one: Value| {
        let source = one.as_object_mut()?.shift_remove(NAME)?;
        let source = super::import::source(source.as_str()?).ok()?;
        let mut feed = Feed::default();
        feed.add(one, &path.display().to_string());
        Some(Part { source, feed, whole: true })
    };
    all.into_iter().filter_map(part).collect()
}
