//! Where postcodes lie: a table such as the ONS's National Statistics Postcode Lookup, held in memory.

use std::{
    collections::HashMap,
    fmt,
    io::{BufRead, BufReader, Read},
};

use super::{
    centre::{Centre, Mean, coarse},
    postcode::outward_of,
};
use crate::domain::Point;

/// More postcodes than this no table holds; the United Kingdom has 2.7 million, ended ones included.
const ROWS_MAX: usize = 4_000_000;
const POSTCODE_COLUMNS: [&str; 4] = ["pcds", "pcd", "pcd7", "postcode"];
const LSOA_COLUMNS: [&str; 5] = ["lsoa21", "lsoa21cd", "lsoa11", "lsoa11cd", "lsoa"];
const LATITUDE_COLUMNS: [&str; 2] = ["lat", "latitude"];
const LONGITUDE_COLUMNS: [&str; 3] = ["long", "lon", "longitude"];

/// Postcodes, and for each what is known of it.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// In the order of the first.
    rows: Vec<Row>,
    lsoas: Vec<Box<str>>,
    /// Outward codes, each with the mean of its postcodes.
    outward: HashMap<[u8; 4], Mean>,
    passed_over: [PassedOver; 3],
}

/// Rows of a table of which nothing is kept, for one reason.
#[derive(Debug, Clone, Copy, Default)]
struct PassedOver {
    rows: usize,
    /// The first of them, from 1.
    line: u64,
}

/// Why a row is passed over; the place of each in `passed_over`.
#[derive(Debug, Clone, Copy)]
enum Why {
    NoPostcode,
    NoPlace,
    Again,
}

/// How many postcodes were read, and how many rows were passed over and why, for people.
#[derive(Debug)]
pub struct Tally<'p>(&'p Places);

/// What is known of a postcode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The census area it lies in.
    pub lsoa: Option<String>,
    /// Its middle.
    pub point: Option<Point>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// The postcode without a space, filled up with zeros.
    postcode: [u8; 8],
    /// The place in `lsoas`, from 1.
    lsoa: u32,
    point: Option<Point>,
    /// Where it stood.
    line: u32,
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// It has no such column.
    #[error("no column is called {0}")]
    NoColumn(String),
    /// It is no CSV.
    #[error("line {line}: {what}")]
    NotCsv {
        /// From 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// Nothing of it is of use.
    #[error("no row of it has a postcode and where that lies: {0}")]
    Nothing(String),
    /// It has more rows than it may.
    #[error("it has more than {ROWS_MAX} postcodes")]
    TooMany,
}

// === impl Places ===

impl Places {
    /// Reads a table with a header line: a column of postcodes, and of LSOA codes, or of latitudes and longitudes in degrees, or all.
    /// Between its cells stand commas, semicolons or tabs. What is no postcode or no place is passed over, which [`Self::tally`] tells.
    ///
    /// # Errors
    /// [`PlacesError`]
    pub fn read(csv: impl Read) -> Result<Self, PlacesError> {
        let mut csv = BufReader::new(csv);
        // what cannot be read is told below, with its line
        let separator = separator(csv.fill_buf().unwrap_or_default());
        let mut reader = csv::ReaderBuilder::new().flexible(true).delimiter(separator).from_reader(csv);
        let not_csv = |error: csv::Error| PlacesError::NotCsv {
            line: error.position().map_or(0, csv::Position::line),
            what: match error.kind() {
                csv::ErrorKind::Utf8 { .. } => "no UTF-8".to_owned(),
                csv::ErrorKind::Io(error) => error.to_string(),
                _ => "no CSV".to_owned(),
            },
        };
        let header = reader.headers().map_err(not_csv)?.clone();
        let column = |names: &[&str]| {
            names.iter().find_map(|name| header.iter().position(|at| at.trim().eq_ignore_ascii_case(name)))
        };
        let named = |names: &[&str]| column(names).ok_or_else(|| PlacesError::NoColumn(names.join(" or ")));
        let postcode_at = named(&POSTCODE_COLUMNS)?;
        let (lsoa_at, latitude_at, longitude_at) =
            (column(&LSOA_COLUMNS), column(&LATITUDE_COLUMNS), column(&LONGITUDE_COLUMNS));
        if lsoa_at.is_none() && latitude_at.is_none() {
            named(&LSOA_COLUMNS)?;
        }
        if latitude_at.is_some() {
            named(&LONGITUDE_COLUMNS)?;
        }
        let (mut places, mut known) = (Self::default(), HashMap::<Box<str>, u32>::new());
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(not_csv)? {
            let field = |at: Option<usize>| at.and_then(|at| record.get(at)).map(str::trim);
            let line = record.position().map_or(0, csv::Position::line);
            let Some(postcode) = field(Some(postcode_at)).and_then(packed) else {
                places.pass_over(Why::NoPostcode, line);
                continue;
            };
            let code = field(lsoa_at).and_then(lsoa).filter(|code| code.len() == 9).map(String::into_boxed_str);
            let lsoa = code.map_or(0, |code| {
                *known.entry(code).or_insert_with_key(|code| {
                    places.lsoas.push(code.clone());
                    u32::try_from(places.lsoas.len()).unwrap_or_default()
                })
            });
            let degrees = |at| field(at).and_then(|text| text.parse::<f64>().ok());
            // the lookup gives 99.999999 where it does not know
            let latitude = degrees(latitude_at).filter(|latitude| *latitude < 90.0);
            let point = latitude.and_then(|latitude| Point::of_degrees(latitude, degrees(longitude_at)?));
            if lsoa == 0 && point.is_none() {
                places.pass_over(Why::NoPlace, line);
                continue;
            }
            if places.rows.len() == ROWS_MAX {
                return Err(PlacesError::TooMany);
            }
            places.rows.push(Row { postcode, lsoa, point, line: u32::try_from(line).unwrap_or(u32::MAX) });
        }
        if places.rows.is_empty() {
            return Err(PlacesError::Nothing(places.tally().to_string()));
        }
        places.rows.sort_by_key(|row| row.postcode);
        let mut again = Vec::new();
        places.rows.dedup_by(|row, before| {
            let is_again = row.postcode == before.postcode;
            if is_again {
                again.push(row.line);
            }
            is_again
        });
        again.sort_unstable();
        again.into_iter().for_each(|line| places.pass_over(Why::Again, line.into()));
        places.rows.shrink_to_fit();
        for row in &places.rows {
            if let Some((point, outward)) = row.point.zip(outward(&row.postcode)) {
                places.outward.entry(outward).or_default().add(point);
            }
        }
        Ok(places)
    }

    /// What is known of a postcode, however it is written.
    pub fn find(&self, postcode: &str) -> Option<Place> {
        let wanted = packed(postcode)?;
        let at = self.rows.binary_search_by_key(&wanted, |row| row.postcode).ok()?;
        let row = self.rows.get(at)?;
        let lsoa = (row.lsoa as usize).checked_sub(1).and_then(|at| self.lsoas.get(at)).map(|code| code.to_string());
        Some(Place { lsoa, point: row.point })
    }

    /// About where a postcode, an outward code or a postcode area lies: as exactly as is known. None where the text is none of these,
    /// or one that no table knows.
    pub fn centre(&self, postcode: &str) -> Option<Centre> {
        let exact = self.find(postcode).and_then(|place| place.point).map(Centre::exact);
        let mean = || self.outward.get(&filled(outward_of(postcode)?.as_bytes())?)?.centre();
        exact.or_else(mean).or_else(|| coarse(postcode))
    }

    /// What was read, and what was not.
    pub fn tally(&self) -> Tally<'_> {
        Tally(self)
    }

    fn pass_over(&mut self, why: Why, line: u64) {
        if let Some(over) = self.passed_over.get_mut(why as usize) {
            over.line = if over.rows == 0 { line } else { over.line };
            over.rows += 1;
        }
    }

    /// How many postcodes it knows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Tally<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WHYS: [(Why, &str); 3] = [
            (Why::NoPostcode, "no postcode"),
            (Why::NoPlace, "neither a census area nor a latitude and longitude"),
            (Why::Again, "a postcode that an earlier line has"),
        ];
        let Self(places) = self;
        let over: Vec<_> = WHYS
            .iter()
            .filter_map(|(why, told)| Some((places.passed_over.get(*why as usize)?, told)))
            .filter(|(over, _)| over.rows > 0)
            .collect();
        write!(
            f,
            "{} postcodes were read, {} rows passed over",
            places.len(),
            over.iter().map(|(o, _)| o.rows).sum::<usize>()
        )?;
        for (at, (PassedOver { rows, line }, told)) in over.into_iter().enumerate() {
            let mark = if at == 0 { ':' } else { ',' };
            write!(f, "{mark} {rows} with {told} (the first on line {line})")?;
        }
        Ok(())
    }
}

/// What stands between the cells: whatever the first line has most of; a comma where that is nothing.
fn separator(start: &[u8]) -> u8 {
    let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

/// The beginning of an LSOA code: a letter of the nation (E, W, S, N, or 9 for Northern Ireland's data zones is none), then digits.
pub fn lsoa(text: &str) -> Option<String> {
    let tidy = text.trim().to_ascii_uppercase();
    let (nation, digits) = tidy.split_at_checked(1)?;
    let fits = matches!(nation, "E" | "W" | "S" | "N") && digits.len() <= 8 && digits.len() >= 2;
    (fits && digits.bytes().all(|b| b.is_ascii_digit())).then_some(tidy)
}

/// The outward code of a postcode that was packed: all but its last three.
fn outward(packed: &[u8; 8]) -> Option<[u8; 4]> {
    let letters = packed.iter().take_while(|letter| **letter != 0).count();
    filled(packed.get(..letters.checked_sub(3)?)?)
}

/// An outward code, filled up with zeros.
fn filled(code: &[u8]) -> Option<[u8; 4]> {
    let mut filled = [0; 4];
    filled.get_mut(..code.len())?.copy_from_slice(code);
    Some(filled)
}

/// A whole postcode in capitals without its space.
fn packed(postcode: &str) -> Option<[u8; 8]> {
    let mut packed = [0; 8];
    let mut places = packed.iter_mut();
    for letter in postcode.bytes().filter(|b| !b.is_ascii_whitespace()) {
        *places.next().filter(|_| letter.is_ascii_alphanumeric())? = letter.to_ascii_uppercase();
    }
    // the shortest is such as M1 1AA
    let is_long = packed.get(4).is_some_and(|fifth| *fifth != 0);
    (is_long && packed.iter().any(u8::is_ascii_digit)).then_some(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postcodes_are_found_however_they_are_written() {
        let table = "pcds,doterm,lsoa21cd,lat,long\n\
            L1 9ZZ,,E01006512,53.404,-2.98\n\
            CH41 7ZZ,,E01007128,99.999999,0\n\
            nowhere,,E01007128,53,-3\n\
            L1 9ZZ,,E01000000,1,1\n\
            \"M1 1ZZ\",,,53.48,-2.24\n";
        let places = Places::read(table.as_bytes()).unwrap();
        assert_eq!(places.len(), 3);
        let tally = "3 postcodes were read, 2 rows passed over: 1 with no postcode (the first on line 4), 1 with a postcode that an \
                     earlier line has (the first on line 5)";
        assert_eq!(places.tally().to_string(), tally);
        for separator in [";", "\t"] {
            let other = Places::read(table.replace(',', separator).as_bytes()).unwrap();
            assert_eq!(other.tally().to_string(), tally);
            assert_eq!(other.find("L1 9ZZ"), places.find("L1 9ZZ"));
        }
        let liverpool = Place { lsoa: Some("E01006512".to_owned()), point: Point::of_degrees(53.404, -2.98) };
        for written in ["L1 9ZZ", "l19zz", " L19 ZZ"] {
            assert_eq!(places.find(written), Some(liverpool.clone()), "{written}");
        }
        assert_eq!(places.find("CH41 7ZZ"), Some(Place { lsoa: Some("E01007128".to_owned()), point: None }));
        assert_eq!(places.find("M11ZZ").map(|place| place.lsoa), Some(None));
        for unknown in ["L1 9ZY", "L1", "", "L1-9ZZ", "L1 9ZZ 9ZZ"] {
            assert_eq!(places.find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_no_lsoa() {
        assert_eq!(lsoa(" e01006512 ").as_deref(), Some("E01006512"));
        assert_eq!(lsoa("E01").as_deref(), Some("E01"));
        for bad in ["", "E", "E0", "L01006512", "E010065123", "E01A"] {
            assert_eq!(lsoa(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_table_that_cannot_be_used_says_why() {
        let told = |table: &str| Places::read(table.as_bytes()).unwrap_err().to_string();
        assert_eq!(told("a,b\n"), "no column is called pcds or pcd or pcd7 or postcode");
        assert_eq!(told("pcds,b\n"), "no column is called lsoa21 or lsoa21cd or lsoa11 or lsoa11cd or lsoa");
        assert_eq!(told("pcds,lat\n"), "no column is called long or lon or longitude");
        assert_eq!(
            told("pcds;lat;long\nnowhere;53;-3\nL1 9ZZ;53,4;-2,98\nL1 9ZY;;\n"),
            "no row of it has a postcode and where that lies: 0 postcodes were read, 3 rows passed over: 1 with no postcode (the first \
             on line 2), 2 with neither a census area nor a latitude and longitude (the first on line 3)"
        );
        let not_text = Places::read(&b"pcds,lsoa\nL1 9ZZ,\xff\n"[..]).unwrap_err();
        assert_eq!(not_text.to_string(), "line 2: no UTF-8");
    }
}
