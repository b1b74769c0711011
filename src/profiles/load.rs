//! StructureDefinitions, ValueSets and CodeSystems out of folders: the one place of this room that reads files, at start.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{ProfileError, Validator};
use crate::fhir::{Limits, gate};

/// No published package has a larger one.
const FILE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Nor more of them.
const FILES_MAX: usize = 10_000;

/// A folder of definitions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It, or a file in it, cannot be read.
    #[error("{}: cannot be read: {why}", path.display())]
    Unreadable {
        /// The folder or the file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// There are more files than any package has.
    #[error("{}: has more than {FILES_MAX} files: name the folder of one package", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// A file is no JSON within bounds.
    #[error("{}: is not the JSON of a resource: {why}", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where it has one.
        why: String,
    },
    /// A StructureDefinition cannot be used.
    #[error("{name}: {why}")]
    Profile {
        /// The file.
        name: String,
        /// Why.
        why: ProfileError,
    },
}

/// A validator that knows what stands in these folders, beside R4 and our own profiles. Every file whose name ends with `.json` is read,
/// in subfolders, too; of those that hold something else than definitions nothing is made.
///
/// # Errors
/// Everything that cannot be used.
pub fn validator(folders: &[PathBuf]) -> Result<Validator, Vec<LoadError>> {
    let (mut resources, mut errors) = (Vec::new(), Vec::new());
    for folder in folders {
        match files(folder) {
            Ok(files) => {
                for file in files {
                    match read(&file) {
                        Ok(resource) => resources.push((file.display().to_string(), resource)),
                        Err(error) => errors.push(error),
                    }
                }
            }
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let unusable = |faults: Vec<(String, ProfileError)>| {
        faults.into_iter().map(|(name, why)| LoadError::Profile { name, why }).collect::<Vec<_>>()
    };
    Validator::new(definitions(resources)).map_err(unusable)
}

/// What stands alone and what stands in Bundles, as far as it defines something.
fn definitions(resources: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, mut resource) in resources {
        match resource.get("resourceType").and_then(Value::as_str) {
            Some("StructureDefinition" | "ValueSet" | "CodeSystem") => found.push((name, resource)),
            Some("Bundle") => {
                let entries = resource.get_mut("entry").and_then(Value::as_array_mut).map(std::mem::take);
                let inner = entries
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|mut entry| Some(entry.get_mut("resource")?.take()));
                found.extend(definitions(inner.map(|resource| (name.clone(), resource)).collect()));
            }
            _ => {}
        }
    }
    found
}

/// The JSON files below a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder_here) = open.pop() {
        let unreadable = |why| LoadError::Unreadable { path: folder_here.clone(), why };
        for entry in fs::read_dir(&folder_here).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            // a link is not followed: it may lead in a circle
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if entry.path().extension().is_some_and(|end| end == "json") {
                found.push(entry.path());
            }
            if found.len() + open.len() > FILES_MAX {
                return Err(LoadError::TooMany { path: folder.to_owned() });
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(file: &Path) -> Result<Value, LoadError> {
    let bytes = fs::read(file).map_err(|why| LoadError::Unreadable { path: file.to_owned(), why })?;
    let limits = Limits { bytes: FILE_MAX_BYTES, values: usize::MAX, ..Limits::default() };
    gate::read_any(&bytes, &limits).map_err(|issue| {
        let at = issue.at.map_or_else(String::new, |(line, column)| format!(" (line {line}, column {column})"));
        LoadError::NotJson { path: file.to_owned(), why: issue.diagnostics + &at }
    })
}
