//! `onward directory import`

use std::{collections::HashMap, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::{ConfigFile, Ended, Finding, feed, files, open, operator, print_json};
use crate::{
    client::FhirClient,
    config::Env,
    directory::{
        open_referral::{Feed, Row, Told},
        plan::{Import as Plan, Planned},
        spreadsheet::{Fault, Sheet},
    },
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
        #[command(flatten)]
        how: How,
    },
}

#[derive(Args, Debug)]
pub(in crate::cli) struct How {
    /// A URI that names where this comes from, always the same one: by it and by its id there an entry is known again.
    #[arg(long, value_name = "URI", value_parser = source)]
    source: String,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
    /// Makes inactive what its source no longer tells of.
    #[arg(long)]
    retire: bool,
    /// With --retire: even where that is most of what is there.
    #[arg(long, requires = "retire")]
    retire_most: bool,
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
        Import::OpenReferral { from, how } => {
            let mut feed = Feed::default();
            let mut whole = how.retire;
            for from in from {
                if from.starts_with("https://") || from.starts_with("http://") {
                    whole = true;
                    let outbound = how.file.load(&Env::of_process())?.outbound;
                    feed::take(from, &FhirClient::new(&outbound)?, &mut feed).await?;
                } else {
                    let path = PathBuf::from(from);
                    whole |= path.is_dir();
                    files::take(&path, &mut feed)?;
                }
            }
            let (rows, told) = feed.into_rows();
            carry_out(Read { rows, told, whole, ..Read::default() }, how).await
        }
        Import::Csv { from, skip_faulty, how } => {
            let sheet = Sheet::read(&files::read(from)?, &how.source);
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
            carry_out(Read { rows, faults, notes, lines, whole, all_or_nothing, ..Read::default() }, how).await
        }
    }
}

async fn carry_out(read: Read, how: &How) -> Ended {
    let (_, directory) = open(&how.file).await?;
    let source = directory.source(&how.source).await?;
    let known = source.known()?;
    let (before, whole, nothing_read) = (known.len(), read.whole, read.rows.is_empty());
    let plan = Plan { source: &how.source, rows: read.rows, known, whole, retire: how.retire };
    let mut planned = plan.plan(&mut Uuid::now_v7);
    let retired = planned.retired.len();
    if retired > RETIRED_UNASKED && retired * 2 > before && !how.retire_most {
        directory.store.close().await;
        let why = format!(
            "nothing was stored: {retired} of {before} entries would become inactive. Is this all that the source has? \
             --retire-most says that it is"
        );
        return Err(Finding(why).into());
    }
    planned.skipped.splice(0..0, read.told);
    if retired > 0 && !planned.skipped.is_empty() {
        directory.store.close().await;
        planned.skipped.iter().for_each(|told| say!("skipped: {} {}: {}", told.what, told.id, told.why));
        let why = format!(
            "nothing was stored: {} could not be read, and what stands there is not gone; put that right, or leave --retire out",
            planned.skipped.len()
        );
        return Err(Finding(why).into());
    }
    let mut passed = directory.pass(&planned, &source, &how.source, how.story_checked).await?;
    planned.skipped.append(&mut passed.refused);
    if read.all_or_nothing && !planned.skipped.is_empty() {
        directory.store.close().await;
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
    let by = format!("{}, import of {}", operator(), how.source);
    let told = Report { planned: &planned, faults: &read.faults, notes: &read.notes, how, passed: passed.len() };
    if !how.dry_run {
        let taken = directory.take(passed, &by).await;
        directory.store.close().await;
        taken?;
    } else {
        directory.store.close().await;
    }
    told.tell();
    if nothing_read && !planned.skipped.is_empty() {
        return Err(Finding("nothing could be read, for the reasons above".to_owned()).into());
    }
    Ok(())
}

/// What was done, for people or as JSON.
struct Report<'r> {
    planned: &'r Planned,
    faults: &'r [Fault],
    notes: &'r [Fault],
    how: &'r How,
    passed: usize,
}

impl Report<'_> {
    fn tell(&self) {
        let Self { planned, faults, notes, how, passed } = self;
        if how.json {
            let mut report = planned.as_json();
            report["written"] = if how.dry_run { 0.into() } else { (*passed).into() };
            report["dryRun"] = how.dry_run.into();
            report["faults"] = json!(faults);
            report["notes"] = json!(notes);
            return print_json(&report);
        }
        faults.iter().chain(*notes).for_each(tell_fault);
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
fn source(text: &str) -> Result<String, String> {
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
