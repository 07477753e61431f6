//! The two formats: CSV with a header, and JSON Lines. In both a line is a row, so that a row's number is the one that an editor shows and
//! a quote that nobody closed spoils one row only.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::path::Path;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::columns::{self, Cells, IGNORED, REASON};
use super::lines::{LONGEST_LINE_BYTES, Lines, Text};
use super::mapping::Mapping;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Cells with commas between them, under a header.
    Csv,
    /// A JSON object on each line.
    Jsonl,
}

impl Format {
    /// The format that a file's name tells.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Format::Csv),
            "jsonl" | "ndjson" => Some(Format::Jsonl),
            _ => None,
        }
    }

    /// The end of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
        }
    }
}

/// How the rows of one file are laid out.
#[derive(Debug)]
pub enum Layout {
    /// The columns of the header, in order.
    Csv(Vec<Heading>),
    /// Each row names its own, by these names.
    Jsonl(Mapping),
}

/// A column of the header.
#[derive(Debug)]
pub struct Heading {
    /// What the file calls it.
    pub name: String,
    /// Our column, or [`IGNORED`].
    pub column: &'static str,
}

/// A row as it was read, so that it can be written into the rejects file.
#[derive(Debug, PartialEq)]
pub enum Record {
    /// The cells of a CSV line, as many as there were.
    Cells(Vec<String>),
    /// The fields of an object.
    Fields(BTreeMap<String, Value>),
    /// A line that cannot be taken apart, or its beginning.
    Text(String),
}

/// Why the file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system refused.
    #[error("the file cannot be read")]
    Io(#[from] std::io::Error),
    /// Of two bytes a letter, or four.
    #[error("the file is UTF-16: save it as UTF-8, or convert it with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    /// There is no line in it.
    #[error("the file holds no row")]
    Empty,
    /// The first line is not what it must be.
    #[error("line {line}: {why}")]
    Header {
        /// Where it stands.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

impl Layout {
    /// Reads the header, where the format has one.
    ///
    /// # Errors
    /// [`Unreadable`]; nothing was imported.
    pub fn read<R: BufRead>(format: Format, mapping: Mapping, lines: &mut Lines<R>) -> Result<Layout, Unreadable> {
        if lines.are_utf16()? {
            return Err(Unreadable::Utf16);
        }
        if format == Format::Jsonl {
            return Ok(Layout::Jsonl(mapping));
        }
        while let Some(line) = lines.next_line()? {
            let refused = |why: String| Unreadable::Header { line: line.number, why };
            match line.text {
                Text::Whole(text) if text.trim().is_empty() => {}
                Text::Whole(text) => {
                    let names = cells_of(&text).map_err(|why| refused(why.to_owned()))?;
                    return columns_of(&names, &mapping, &text).map(Layout::Csv).map_err(refused);
                }
                Text::NotUtf8(_) => return Err(refused("the header is not UTF-8".to_owned())),
                Text::TooLong(_) => {
                    return Err(refused(format!("the header is longer than {LONGEST_LINE_BYTES} bytes")));
                }
            }
        }
        Err(Unreadable::Empty)
    }

    /// The row on a line, and its cells or the reason why it has none. A blank line is no row.
    pub fn row(&self, text: Text) -> Option<(Record, Result<Cells, String>)> {
        let (text, is_utf8) = match text {
            Text::Whole(text) if text.trim().is_empty() => return None,
            Text::Whole(text) => (text, true),
            Text::NotUtf8(text) => (text, false),
            Text::TooLong(beginning) => {
                let why = format!("the line is longer than {LONGEST_LINE_BYTES} bytes");
                return Some((Record::Text(beginning), Err(why)));
            }
        };
        let (record, cells) = match self {
            Layout::Csv(headings) => csv_row(headings, text),
            Layout::Jsonl(mapping) => json_row(mapping, text),
        };
        let cells = if is_utf8 { cells } else { Err("the line is not UTF-8".to_owned()) };
        Some((record, cells))
    }
}

fn columns_of(names: &[String], mapping: &Mapping, text: &str) -> Result<Vec<Heading>, String> {
    let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    let heading = |name: &&str| Some(Heading { name: (*name).to_owned(), column: mapping.column(name)? });
    let found: Vec<Heading> = names.iter().filter_map(heading).collect();
    if let ([_], true) = (names.as_slice(), text.contains([';', '\t'])) {
        return Err(format!("the columns must stand between commas; {}", columns::all()));
    }
    let is_header = !found.is_empty() || names.iter().any(|name| columns::unknown(name, 0).contains('?'));
    if !is_header {
        // Very likely the first row, which may name a person.
        return Err(format!("this is no header; {}", columns::all()));
    }
    let unknown =
        |(place, name): (usize, &&str)| mapping.column(name).is_none().then(|| columns::unknown(name, place + 1));
    let mut faults: Vec<String> = names.iter().enumerate().filter_map(unknown).collect();
    faults.extend(mapping.faults(names.iter().copied()));
    let present: Vec<&str> = found.iter().map(|heading| heading.column).collect();
    faults.extend(columns::missing(&present).into_iter().map(|column| format!("{column} is missing")));
    if faults.is_empty() { Ok(found) } else { Err(format!("{}; {}", faults.join("; "), columns::all())) }
}

fn csv_row(headings: &[Heading], text: String) -> (Record, Result<Cells, String>) {
    let cells = match cells_of(&text) {
        Ok(cells) => cells,
        Err(why) => return (Record::Text(text), Err(why.to_owned())),
    };
    if cells.len() != headings.len() {
        let why = format!("the row has {} cells, the header {}", cells.len(), headings.len());
        return (Record::Cells(cells), Err(why));
    }
    let mut row = Cells::default();
    for (Heading { name, column }, cell) in headings.iter().zip(&cells) {
        if *column != IGNORED {
            row.put(column, cell);
        } else if cell.contains(LOST) {
            // The mark of a short row, which must not fit by chance.
            let why =
                format!("{name} holds U+FFFD, which stands for what was lost: write what belongs there, or nothing");
            return (Record::Cells(cells), Err(why));
        }
    }
    (Record::Cells(cells), Ok(row))
}

fn cells_of(text: &str) -> Result<Vec<String>, &'static str> {
    // The reader would take what follows as part of the cell.
    if text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1 {
        return Err("a quote is opened and not closed on the same line");
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(text.len() + 1)
        .from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    let whole =
        reader.read_record(&mut record).is_ok() && !matches!(reader.read_record(&mut Default::default()), Ok(true));
    if whole { Ok(record.iter().map(str::to_owned).collect()) } else { Err("the line holds a carriage return") }
}

fn json_row(mapping: &Mapping, text: String) -> (Record, Result<Cells, String>) {
    let Fields(fields) = match serde_json::from_str(&text) {
        Ok(fields) => fields,
        // Its own words would quote the line.
        Err(error) if error.is_data() && error.to_string().starts_with(TWICE) => {
            return (Record::Text(text), Err(TWICE.to_owned()));
        }
        Err(error) => {
            let why = format!("the line is no JSON object: see character {}", error.column().max(1));
            return (Record::Text(text), Err(why));
        }
    };
    let mut row = Cells::default();
    let mut faults = Vec::new();
    for (place, (name, value)) in fields.iter().enumerate() {
        match (mapping.column(name), value) {
            (None, _) => faults.push(columns::unknown(name, place + 1)),
            (Some(REASON | IGNORED), _) | (Some(_), Value::Null) => {}
            (Some(column), Value::String(text)) => row.put(column, text),
            (Some(column), value) => match whole_number(column, value) {
                Ok(digits) => row.put(column, &digits),
                Err(what) => faults.push(format!("{column} {what}")),
            },
        }
    }
    faults.extend(mapping.faults(fields.keys().map(String::as_str)));
    let cells = if faults.is_empty() { Ok(row) } else { Err(faults.join("; ")) };
    (Record::Fields(fields), cells)
}

/// The columns that hold a number.
const NUMBERS: [&str; 2] = ["amount_minor", "amount"];

/// The digits of a number in a column that holds one. A number with a point or an exponent is not taken: what is read as a binary fraction
/// is not what was written.
fn whole_number(column: &str, value: &Value) -> Result<String, &'static str> {
    match value {
        Value::Number(number) if NUMBERS.contains(&column) => match number.as_u64() {
            Some(whole) => Ok(whole.to_string()),
            None => Err("is no whole number; write it in quotes, as in \"128.00\""),
        },
        Value::Number(_) => Err("is a number and no text in quotes"),
        Value::Bool(_) => Err("is true or false and no text in quotes"),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => Err("is no text in quotes"),
    }
}

/// Stands where a cell is missing, and where a letter could not be read.
pub const LOST: char = '\u{fffd}';

const TWICE: &str = "a field stands there twice";

/// An object of which no field is lost: the usual reader keeps the last of two fields with one name.
struct Fields(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.insert(name, value).is_some() {
                        return Err(de::Error::custom(TWICE));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
