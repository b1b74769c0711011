//! `onward directory import`

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ConfigFile, Directory, Ended, Finding, feed, files, open, operator, parts, print_json};
use crate::{
    client::FhirClient,
    config::Env,
    directory::{
        day,
        open_referral::{Feed, Row, Told, alias_of, told_id},
        plan::{Import as Plan, Planned},
        spreadsheet::{Fault, Here, Sheet},
    },
    domain::{EntryKind, ProviderId},
};

/// Of more entries than this, so many may become inactive at once without being asked about: half.
const RETIRED_UNASKED: usize = 10;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum Import {
    /// Open Referral UK 3.0: files or folders of JSON or of CSV tables, or the address of an API.
    OpenReferral {
        /// Files, folders, or an address that begins with https://.
        #[arg(required = true)]
        from: Vec<String>,
        /// A URI that names where this comes from, always the same one: by it and by its id there an entry is known again. An export of
        /// Onward's names its sources itself.
        #[arg(long, value_name = "URI", value_parser = source)]
        source: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// A spreadsheet saved as CSV, each line a service. `onward directory template` gives an empty one.
    Csv {
        /// The file.
        from: PathBuf,
        /// Takes the lines without a fault even where others have one.
        #[arg(long)]
        skip_faulty: bool,
        /// A URI that names where this comes from, always the same one: by it and by its id there an entry is known again.
        #[arg(long, value_name = "URI", value_parser = source)]
        source: String,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Args, Debug)]
pub(in crate::cli) struct How {
    /// Says what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
    /// Makes inactive what its source no longer tells of.
    #[arg(long)]
    retire: bool,
    /// With --retire: even where that is most of what is there.
    #[arg(long, requires = "retire")]
    retire_most: bool,
    /// What is new and belongs to nobody is this provider's own: it proposes its changes. `onward directory adopt` says so of what is there.
    #[arg(long, value_name = "ID")]
    provider: Option<ProviderId>,
    /// Says that in the practice stories of this import nobody can be recognised.
    #[arg(long)]
    story_checked: bool,
    #[command(flatten)]
    file: ConfigFile,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What was read, before anything is decided.
#[derive(Default)]
struct Read {
    rows: Vec<Row>,
    told: Vec<Told>,
    faults: Vec<Fault>,
    notes: Vec<Fault>,
    /// On which line an entry stands, by its id, where it stands on one.
    lines: HashMap<String, u64>,
    /// Whether it is all that the source has.
    whole: bool,
    /// Whether nothing is stored where something is refused.
    all_or_nothing: bool,
}

pub(super) async fn run(asked: &Import) -> Ended {
    match asked {
        Import::OpenReferral { from, source: Some(source), how } => {
            let mut feed = Feed::default();
            let mut whole = how.retire;
            for from in from {
                if is_address(from) {
                    whole = true;
                    let outbound = how.file.load(&Env::of_process())?.outbound;
                    feed::take(from, &FhirClient::new(&outbound)?, &mut feed).await?;
                } else {
                    let path = PathBuf::from(from);
                    if parts::read(&path)?.len() > 1 {
                        let why =
                            format!("{from} names its sources itself: leave --source out, or name one folder of it");
                        return Err(Finding(why).into());
                    }
                    whole |= path.is_dir();
                    files::take(&path, &mut feed)?;
                }
            }
            let (rows, told) = feed.into_rows();
            let read = Read { rows, told, whole, ..Read::default() };
            let (_, directory) = open(&how.file).await?;
            let done = carry_out(&directory, read, source, how, HashSet::new()).await;
            directory.store.close().await;
            done?.tell(how);
            Ok(())
        }
        Import::OpenReferral { from, source: None, how } => {
            let mut all = Vec::new();
            for from in from {
                let named = if is_address(from) { Vec::new() } else { parts::read(&PathBuf::from(from))? };
                if named.is_empty() {
                    let why = format!("{from} does not say where it comes from: --source names that");
                    return Err(Finding(why).into());
                }
                all.extend(named);
            }
            let (_, directory) = open(&how.file).await?;
            let done = several(&directory, all, how).await;
            directory.store.close().await;
            let done = done?;
            if how.json {
                let of = |(source, done): (String, Done)| json!({"source": source, "report": done.as_json(how)});
                print_json(&json!({"sources": done.into_iter().map(of).collect::<Vec<_>>()}));
            } else {
                for (source, done) in done {
                    say!("{source}:");
                    done.tell(how);
                }
            }
            Ok(())
        }
        Import::Csv { from, skip_faulty, source, how } => {
            let inboxes = how.file.load(&Env::of_process())?.registry.inboxes;
            let has_inbox = |id: &str| inboxes.keys().any(|inbox| inbox.as_str() == id);
            let here = Here { today: day(jiff::Timestamp::now()), has_inbox: &has_inbox };
            let sheet = Sheet::read(&files::read(from)?, source, here);
            if !sheet.faults.is_empty() && !skip_faulty {
                tell_faults(&sheet, how.json);
                let lines =
                    if sheet.faulty == 1 { "1 line has".to_owned() } else { format!("{} lines have", sheet.faulty) };
                let why =
                    if sheet.faulty == 0 { "the file cannot be used".to_owned() } else { format!("{lines} a fault") };
                return Err(Finding(format!("nothing was stored: {why}")).into());
            }
            // a line with a fault is told of, too: it is not gone
            let whole = sheet.faults.is_empty();
            let Sheet { rows, faults, notes, lines, .. } = sheet;
            let all_or_nothing = !skip_faulty;
            let read = Read { rows, faults, notes, lines, whole, all_or_nothing, ..Read::default() };
            let (_, directory) = open(&how.file).await?;
            let done = carry_out(&directory, read, source, how, HashSet::new()).await;
            directory.store.close().await;
            done?.tell(how);
            Ok(())
        }
    }
}

fn is_address(from: &str) -> bool {
    from.starts_with("https://") || from.starts_with("http://")
}

/// Carries out an import of several sources. One may refer to what another brings: that is known once both are there.
async fn several(directory: &Directory, parts: Vec<parts::Part>, how: &How) -> anyhow::Result<Vec<(String, Done)>> {
    let read: Vec<_> = parts
        .into_iter()
        .map(|parts::Part { source, feed, whole }| {
            let (rows, told) = feed.into_rows();
            (source, rows, told, whole)
        })
        .collect();
    // under which names they are told of in each other
    let names = |source: &str| -> HashSet<(EntryKind, String)> {
        let others = read.iter().filter(|(other, ..)| other != source);
        let rows = others.flat_map(|(other, rows, ..)| rows.iter().map(move |row| (other, row)));
        rows.map(|(of, row)| (row.table.kind(), alias_of(of, row.table, &told_id(of, row.table, &row.id)))).collect()
    };
    let mut all = Vec::with_capacity(read.len());
    for (source, rows, told, whole) in &read {
        let part = Read { rows: rows.clone(), told: told.clone(), whole: *whole, ..Read::default() };
        let coming = names(source);
        let done = carry_out(directory, part, source, how, coming).await.with_context(|| source.clone())?;
        all.push((source.clone(), done));
    }
    if how.dry_run {
        return Ok(all);
    }
    let early = all.iter().zip(&read).filter(|((_, done), _)| done.was_early);
    for (_, (source, rows, _, _)) in early {
        let part = Read { rows: rows.clone(), ..Read::default() };
        carry_out(directory, part, source, how, HashSet::new()).await.with_context(|| source.clone())?;
    }
    Ok(all)
}

/// Plans and writes. `coming` are names of what other sources bring as well.
async fn carry_out(
    directory: &Directory,
    read: Read,
    name: &str,
    how: &How,
    coming: HashSet<(EntryKind, String)>,
) -> anyhow::Result<Done> {
    let mut source = directory.source(name).await?;
    let (known, mut beside) = (source.known()?, source.beside());
    let mut was_early = false;
    for key in coming {
        let is_named = || read.rows.iter().any(|row| row.table.kind() == key.0 && row.id == key.1);
        if !beside.elsewhere.contains_key(&key) && is_named() {
            was_early = true;
            beside.elsewhere.insert(key, None);
        }
    }
    let (before, whole, nothing_read) = (known.len(), read.whole, read.rows.is_empty());
    let plan = Plan { source: name, rows: read.rows, known, beside, whole, retire: how.retire };
    let mut planned = plan.plan(&mut Uuid::now_v7);
    if let Some(provider) = &how.provider {
        super::adopt::is_known(directory, provider)?;
        planned.give_to(provider);
    }
    let retired = planned.retired.len();
    if retired > RETIRED_UNASKED && retired * 2 > before && !how.retire_most {
        let why = format!(
            "nothing was stored: {retired} of {before} entries would become inactive. Is this all that the source has? \
             --retire-most says that it is"
        );
        return Err(Finding(why).into());
    }
    planned.skipped.splice(0..0, read.told);
    if retired > 0 && !planned.skipped.is_empty() {
        planned.skipped.iter().for_each(|told| say!("skipped: {} {}: {}", told.what, told.id, told.why));
        let why = format!(
            "nothing was stored: {} could not be read, and what stands there is not gone; put that right, or leave --retire out",
            planned.skipped.len()
        );
        return Err(Finding(why).into());
    }
    let mut passed = directory.pass(&planned, &source, name, how.story_checked).await?;
    planned.skipped.append(&mut passed.refused);
    if read.all_or_nothing && !planned.skipped.is_empty() {
        if how.json {
            let mut report = planned.as_json();
            report["written"] = 0.into();
            print_json(&report);
        } else {
            for told in &planned.skipped {
                let line = read.lines.get(&told.id).map(|line| format!("line {line}: ")).unwrap_or_default();
                say!("{line}{} {}: {}", told.what, told.id, told.why);
            }
        }
        let why = format!("nothing was stored: {} refused; --skip-faulty takes the others", planned.skipped.len());
        return Err(Finding(why).into());
    }
    let by = format!("{}, import of {name}", operator());
    let written = passed.len();
    if !how.dry_run {
        directory.take(passed, &by).await?;
    }
    let done = Done { planned, faults: read.faults, notes: read.notes, written, was_early };
    if nothing_read && !done.planned.skipped.is_empty() {
        done.tell(how);
        return Err(Finding("nothing could be read, for the reasons above".to_owned()).into());
    }
    Ok(done)
}

/// What was done, for people or as JSON.
struct Done {
    planned: Planned,
    faults: Vec<Fault>,
    notes: Vec<Fault>,
    written: usize,
    /// Whether it refers to what comes from another source, and was not there yet.
    was_early: bool,
}

impl Done {
    fn as_json(&self, how: &How) -> Value {
        let mut report = self.planned.as_json();
        report["written"] = if how.dry_run { 0.into() } else { self.written.into() };
        report["dryRun"] = how.dry_run.into();
        report["faults"] = json!(self.faults);
        report["notes"] = json!(self.notes);
        report
    }

    fn tell(&self, how: &How) {
        if how.json {
            return print_json(&self.as_json(how));
        }
        let Self { planned, faults, notes, .. } = self;
        faults.iter().chain(notes).for_each(tell_fault);
        for (what, list) in [("skipped", &planned.skipped), ("note", &planned.noted), ("gone", &planned.gone)] {
            list.iter().for_each(|told| say!("{what}: {} {}: {}", told.what, told.id, told.why));
        }
        let verb = if how.dry_run { "would be " } else { "" };
        say!(
            "{} {verb}new, {} {verb}changed, {} {verb}made inactive, {} as they were, {} skipped",
            planned.created.len() - refused(planned, true),
            planned.updated.len() - refused(planned, false),
            planned.retired.len(),
            planned.unchanged,
            planned.skipped.len()
        );
    }
}

/// How many of the planned entries were refused; they are told of as skipped.
fn refused(planned: &Planned, new: bool) -> usize {
    let list = if new { &planned.created } else { &planned.updated };
    let is = |name: &str, kind: &str| planned.skipped.iter().any(|told| told.id == name && told.what == kind);
    list.iter().filter(|one| is(&one.name, one.kind.code())).count()
}

fn tell_faults(sheet: &Sheet, as_json: bool) {
    if as_json {
        print_json(&json!({"faults": sheet.faults, "notes": sheet.notes, "written": 0}));
    } else {
        sheet.faults.iter().chain(&sheet.notes).for_each(tell_fault);
    }
}

fn tell_fault(fault: &Fault) {
    let line = if fault.line > 0 { format!("line {}", fault.line) } else { "the file".to_owned() };
    let column = if fault.column.is_empty() { String::new() } else { format!(", column {}", fault.column) };
    say!("{line}{column}: {}; right would be {}", fault.what, fault.due);
}

/// The name of a source: a URI that others may read.
pub(super) fn source(text: &str) -> Result<String, String> {
    const CHARS_MAX: usize = 200;
    let good = text.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && !scheme.is_empty()
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"|<>\"".contains(c));
    if good && plain && text.chars().count() <= CHARS_MAX {
        Ok(text.to_owned())
    } else {
        Err(format!("an absolute URI of at most {CHARS_MAX} characters, such as https://directory.example/services"))
    }
}
