//! Reads `[places]`: where postcodes lie.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use crate::{places::Places, toml_reader::Table};

/// A file as it lay when it was read.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    changed: Option<SystemTime>,
    bytes: u64,
}

/// The table that was read last: a changed configuration does not read millions of postcodes anew.
static LAST: Mutex<Option<(Stamp, Arc<Places>)>> = Mutex::new(None);

/// `[places]`; the file is added to those that are watched.
pub(super) fn read(mut table: Table<'_>, folder: &Path, files: &mut Vec<PathBuf>) -> Arc<Places> {
    const FILE: &str = "the path of a CSV file of postcodes, such as the ONS Postcode Directory";
    let named = table.get("file");
    table.finish();
    let Some((node, name)) = named.and_then(|node| node.text(FILE).map(|name| (node.clone(), name))) else {
        return Arc::default();
    };
    let path = folder.join(name);
    files.push(path.clone());
    match load(&path) {
        Ok(places) => places,
        Err(why) => {
            node.fault(&format!("{}, which cannot be used: {why}", path.display()), FILE);
            Arc::default()
        }
    }
}

fn load(path: &Path) -> Result<Arc<Places>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let about = file.metadata().map_err(|error| error.to_string())?;
    let stamp = Stamp { path: path.to_owned(), changed: about.modified().ok(), bytes: about.len() };
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, places)) = &*last
        && *known == stamp
    {
        return Ok(Arc::clone(places));
    }
    let places = Arc::new(Places::read(BufReader::new(file)).map_err(|error| error.to_string())?);
    *last = Some((stamp, Arc::clone(&places)));
    Ok(places)
}
