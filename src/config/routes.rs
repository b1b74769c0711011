//! Where the route set comes from, and how one is read beside those who take part.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{Fault, Registry, read_registry::Ids};
use crate::{
    domain::InboxId,
    routing::{FILES_MAX_BYTES, Known, RouteSet, TEXT_MAX_BYTES},
    toml_reader::{Node, Table},
};

/// Where the route set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the route file, which is looked at for changes.
    File,
    /// From the store: the version that is active there, on every process at once.
    Store,
}

/// `[registry]` and `[routes]`: where the route set comes from.
#[derive(Debug, Clone)]
pub struct Routes {
    /// Default [`Source::File`].
    pub source: Source,
    /// The route file, as it is found. From the store, only what `onward routes apply` takes where it is told no other.
    pub file: Option<PathBuf>,
}

// === impl Routes ===

impl Routes {
    /// Reads both tables, and with [`Source::File`] the file: its text, with the name that its faults have.
    pub(super) fn read<'d>(registry: Table<'d>, mut table: Table<'d>, folder: &Path) -> (Self, Option<Text<'d>>) {
        let source = source(registry);
        let mut routes = Self { source, file: None };
        let Some(node) = table.get("file") else {
            if source == Source::File {
                let told = "no route file: every referral will be refused, because no rule says where it goes";
                table.warn("file", told);
            }
            table.finish();
            return (routes, None);
        };
        table.finish();
        let Some(name) = node.text("the path of a route file") else { return (routes, None) };
        let path = folder.join(name);
        routes.file = Some(path.clone());
        if source == Source::Store {
            // not even read: one that is being edited must not keep a service from starting
            return (routes, None);
        }
        match read_text(&path, TEXT_MAX_BYTES) {
            Ok(text) => (routes, Some(Text { node, path, text })),
            Err(error) => {
                node.fault(&format!("{}, which cannot be read: {error}", path.display()), "the path of a route file");
                (routes, None)
            }
        }
    }
}

/// A route file that was found.
pub(super) struct Text<'d> {
    /// Where it is named.
    node: Node<'d>,
    path: PathBuf,
    text: String,
}

// === impl Text ===

impl Text<'_> {
    /// The route set and what is legal but risky in it; `files` gets all that was read.
    pub(super) fn read(self, ids: &Ids, registry: &Registry, files: &mut Vec<PathBuf>) -> Read {
        let beside = beside(&self.path);
        let known = Known {
            // also what is wrong otherwise: naming it is not a second fault
            inboxes: ids.inboxes.clone(),
            services: ids.services(),
            systems: ids.systems.clone(),
            ..registry.known(&beside)
        };
        let read = RouteSet::read(&self.text, &self.path.display().to_string(), known);
        let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
        files.push(self.path.clone());
        let (routes, warnings) = read?;
        files.extend(routes.files().keys().map(|name| folder.join(name)));
        remarks(&routes, &ids.inboxes).into_iter().for_each(|remark| self.node.warn(remark));
        Ok((routes, warnings))
    }
}

/// What reading a route set ends with: it and what is legal but risky in it, or its faults.
pub type Read = Result<(RouteSet, Vec<Fault>), Vec<Fault>>;

fn source(mut table: Table<'_>) -> Source {
    let source = table.get("source").and_then(|node| node.choice(&[("file", Source::File), ("store", Source::Store)]));
    table.finish();
    source.unwrap_or(Source::File)
}

/// What a route file names beside itself, looked for beside it.
pub fn beside(file: &Path) -> impl Fn(&str) -> Result<String, String> {
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    move |name| read_text(&folder.join(name), FILES_MAX_BYTES)
}

/// A text file, if it is no larger than it may be.
///
/// # Errors
/// Why it cannot be read.
pub fn read_text(path: &Path, max_bytes: usize) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    // to open a pipe would wait for whoever writes to it
    if !std::fs::metadata(path).map_err(told)?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut text = String::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path).map_err(told)?.take(limit).read_to_string(&mut text).map_err(told)?;
    if text.len() > max_bytes { Err(format!("it has more than {max_bytes} bytes")) } else { Ok(text) }
}

/// What is allowed and may still not be meant.
pub fn remarks<'i>(routes: &RouteSet, inboxes: impl IntoIterator<Item = &'i InboxId>) -> Vec<String> {
    let mut remarks = Vec::new();
    if routes.triage().is_none() {
        remarks.push("no [triage] in the route file: a referral that no route matches is refused".to_owned());
    }
    let unreached = inboxes.into_iter().filter(|inbox| !routes.inboxes().any(|named| named == *inbox));
    remarks.extend(unreached.map(|inbox| format!("no route leads to the inbox {inbox}")));
    remarks
}
