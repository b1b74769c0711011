//! The spreadsheet of a community team, saved as CSV: each line a service. What is wrong is told by line and column, all of it at
//! once, with what would be right; nothing is guessed.
//!
//! A line becomes the records that Open Referral would have of it, so that everything after that is the same for both.

use std::collections::HashMap;

use encoding_rs::{Encoding, WINDOWS_1252};
use jiff::civil::Date;
use serde::Serialize;

use super::open_referral::Row;

mod cells;
mod columns;
mod hours;
mod line;
mod quotes;

use columns::{Column, Columns};

/// The largest file that is read, in bytes.
pub const SHEET_MAX_BYTES: usize = 16 * 1024 * 1024;
/// So many lines may be services.
pub const LINES_MAX: usize = 20_000;
/// So many columns are looked at.
const COLUMNS_MAX: usize = 100;
/// The longest cell, in characters.
const CELL_MAX_CHARS: usize = 4_000;
/// So many faults are told; a last one says that there are more.
const FAULTS_MAX: usize = 1_000;

/// What is wrong with a cell, or with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The line of the file, from 1, where the row begins.
    pub line: u64,
    /// The column as its header calls it; empty where it is about the line as a whole.
    pub column: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub due: String,
}

/// A sheet as it was read.
#[derive(Debug, Default)]
pub struct Sheet {
    /// The records of all lines without a fault.
    pub rows: Vec<Row>,
    /// On which line each of them stands, by its id.
    pub lines: HashMap<String, u64>,
    /// How many services these are.
    pub services: usize,
    /// How many lines have a fault.
    pub faulty: usize,
    /// What is wrong, in the order of lines.
    pub faults: Vec<Fault>,
    /// What a person may want to know of what was read.
    pub notes: Vec<Fault>,
}

/// What a sheet is held against beside itself, so that all that is wrong with it is told at once.
#[derive(Clone, Copy)]
pub struct Here<'h> {
    /// The day in London.
    pub today: Date,
    /// Whether the configuration has an inbox of this id.
    pub has_inbox: &'h dyn Fn(&str) -> bool,
}

/// The cells of a line, and what is found wrong with them.
struct Line<'r> {
    number: u64,
    cells: HashMap<Column, &'r str>,
    columns: &'r Columns,
    here: Here<'r>,
    faults: Vec<Fault>,
    notes: Vec<Fault>,
}

// === impl Sheet ===

impl Sheet {
    /// Reads a sheet: CSV with commas, semicolons or tabs, in UTF-8, UTF-16 with its mark, or as Windows writes it.
    /// `source` names it: by that, and by its id, a line is known again.
    pub fn read(bytes: &[u8], source: &str, here: Here<'_>) -> Self {
        let mut sheet = Self::default();
        if bytes.len() > SHEET_MAX_BYTES {
            sheet.fault(1, "", format!("the file is longer than {SHEET_MAX_BYTES} bytes"), "several smaller files");
            return sheet;
        }
        let text = decoded(bytes);
        let separator = separator(&text);
        // what stands after a quote that nothing closes is in no cell of its own
        let open = quotes::open(&text, separator);
        let text = open.and_then(|open| text.get(..open.row)).unwrap_or(&text);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .has_headers(false)
            .from_reader(text.as_bytes());
        let mut records = reader.records();
        let Some(Ok(header)) = records.next() else {
            if let Some(open) = open {
                sheet.open_quote(open.line);
                return sheet;
            }
            sheet.fault(1, "", "the file is empty or no CSV".to_owned(), "a first line with the names of the columns");
            return sheet;
        };
        let columns = Columns::read(&header, &mut sheet);
        if !sheet.faults.is_empty() {
            return sheet;
        }
        let mut known = line::Seen::default();
        for record in records {
            let Ok(record) = record else {
                sheet.fault(0, "", "the file is no CSV from here on".to_owned(), "cells with quotes in pairs");
                break;
            };
            if record.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            if sheet.services + sheet.faulty == LINES_MAX {
                sheet.fault(0, "", format!("there are more than {LINES_MAX} lines"), "several smaller files");
                break;
            }
            let number = record.position().map_or(0, |at| line_of(text, at));
            let cells = columns.cells(&record);
            let mut line = Line { number, cells, columns: &columns, here, faults: Vec::new(), notes: Vec::new() };
            line.surplus(&header, &record);
            let rows = line.records(&mut known, source);
            sheet.notes.append(&mut line.notes);
            if line.faults.is_empty() {
                sheet.services += 1;
                sheet.lines.extend(rows.iter().map(|row| (row.id.clone(), number)));
                sheet.rows.extend(rows);
            } else {
                sheet.faulty += 1;
                sheet.told(line.faults);
            }
        }
        if let Some(open) = open {
            sheet.faulty += 1;
            sheet.open_quote(open.line);
        }
        sheet.rows.sort_by(|a, b| (a.table, &a.id).cmp(&(b.table, &b.id)));
        sheet
    }

    fn open_quote(&mut self, line: u64) {
        let what = "a quote begins a cell and does not end it; nothing from there on is read".to_owned();
        self.fault(line, "", what, "cells with quotes in pairs, and a quote within such a cell twice");
    }

    fn fault(&mut self, line: u64, column: &str, what: String, due: &str) {
        self.told(vec![Fault { line, column: column.to_owned(), what, due: due.to_owned() }]);
    }

    fn told(&mut self, faults: Vec<Fault>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.extend(faults);
        } else if self.faults.last().is_none_or(|last| last.line != 0) {
            let due = "these first; the others are told then".to_owned();
            self.faults.push(Fault { line: 0, column: String::new(), what: "there are more faults".to_owned(), due });
        }
    }
}

// === impl Line ===

impl Line<'_> {
    /// A cell under no header: what stands before it may have slipped, too.
    fn surplus(&mut self, header: &csv::StringRecord, record: &csv::StringRecord) {
        if record.iter().skip(header.len()).any(|cell| !cell.trim().is_empty()) {
            let what = format!("it has {} cells, and the header has {}", record.len(), header.len());
            let due = "a cell for each column; one that has the separator in it stands in quotes".to_owned();
            self.faults.push(Fault { line: self.number, column: String::new(), what, due });
        }
    }

    /// What a cell says; none where it is empty or too long.
    fn get(&mut self, column: Column) -> Option<String> {
        let cell = self.cells.get(&column)?.trim();
        if cell.chars().count() > CELL_MAX_CHARS {
            self.fault(column, "it is too long", &format!("{CELL_MAX_CHARS} characters at most"));
            return None;
        }
        if cell.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            self.fault(column, "it has a character that cannot be shown", "plain text");
            return None;
        }
        (!cell.is_empty()).then(|| cell.to_owned())
    }

    /// A cell read by `read`, which says what would be right where it is wrong.
    fn read<T>(&mut self, column: Column, read: impl FnOnce(&str) -> Result<T, &'static str>) -> Option<T> {
        let cell = self.get(column)?;
        match read(&cell) {
            Ok(value) => Some(value),
            Err(due) => {
                let shown: String = cell.chars().take(40).collect();
                let dots = if shown.len() < cell.len() { "…" } else { "" };
                self.fault(column, &format!("“{shown}{dots}” cannot be read"), due);
                None
            }
        }
    }

    fn fault(&mut self, column: Column, what: &str, due: &str) {
        self.faults.push(self.about(column, what, due));
    }

    fn note(&mut self, column: Column, what: &str, due: &str) {
        let note = self.about(column, what, due);
        self.notes.push(note);
    }

    fn about(&self, column: Column, what: &str, due: &str) -> Fault {
        let column = self.columns.name(column).to_owned();
        Fault { line: self.number, column, what: what.to_owned(), due: due.to_owned() }
    }
}

/// The line where a record begins: empty lines before it are counted with it by the reader.
fn line_of(text: &str, at: &csv::Position) -> u64 {
    let start = usize::try_from(at.byte()).ok().and_then(|byte| text.get(byte..)).unwrap_or_default();
    let empty = start.bytes().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| *b == b'\n').count();
    at.line() + empty as u64
}

/// The text of a file. A mark at its beginning says how it is encoded; without one it is UTF-8 if it can be, and else what
/// spreadsheets in this country save as CSV.
fn decoded(bytes: &[u8]) -> String {
    match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => {
            let rest = bytes.get(mark..).unwrap_or_default();
            encoding.decode_without_bom_handling(rest).0.into_owned()
        }
        None => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
        },
    }
}

/// What stands between the cells: whatever the first line has most of, outside quotes.
fn separator(text: &str) -> u8 {
    let (mut counts, mut quoted) = ([(b',', 0_usize), (b';', 0), (b'\t', 0)], false);
    for byte in text.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if !quoted => counts.iter_mut().filter(|(of, _)| *of == byte).for_each(|(_, count)| *count += 1),
            _ => {}
        }
    }
    // the first of those that are equal
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(of, _)| *of)
}

/// An empty sheet with every column, and one line that shows how it is filled.
pub fn template() -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let columns = columns::TEMPLATE;
    // writing into memory does not fail
    let _ = writer.write_record(columns.iter().map(|(name, _)| *name));
    let _ = writer.write_record(columns.iter().map(|(_, example)| *example));
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
