//! The rejects file: every row that was refused, in the input's own format and with its reason, to be mended and imported again.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::columns::REASON;
use super::format::{Format, Heading, LOST, Layout, Record};

/// Whether a file that begins so holds rejected rows: their reason is the last column of CSV, and a key of the first JSON object.
pub fn is_rejects(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    match serde_json::from_slice::<Map<String, Value>>(first) {
        Ok(object) => object.contains_key(REASON),
        Err(_) => first.rsplit(|byte| *byte == b',').next().is_some_and(|last| last == REASON.as_bytes()),
    }
}

/// So many names are tried for a file that does not exist yet.
const MOST_FILES: u32 = 1_000;

/// Where rejected rows go.
#[derive(Debug, Clone)]
pub enum Place {
    /// This file, whatever it held. It is opened before the first row, and made empty by the first that is rejected.
    At(PathBuf),
    /// A new file beside the input, or an empty one that a killed import left: one that somebody may be mending is never written over.
    Beside(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// The file. One that nobody named is made when the first row comes.
#[derive(Debug)]
pub struct Rejects {
    place: Place,
    format: Format,
    /// The named one, until a row comes.
    named: Option<Named>,
    open: Option<(PathBuf, Sink)>,
}

#[derive(Debug)]
struct Named {
    path: PathBuf,
    file: File,
    /// Whether it was not there before.
    is_new: bool,
}

#[derive(Debug)]
enum Sink {
    Csv(Box<csv::Writer<File>>),
    Jsonl(BufWriter<File>),
}

impl Rejects {
    /// No row yet.
    ///
    /// # Errors
    /// Where a named file cannot be written.
    pub fn new(place: Place, format: Format) -> io::Result<Self> {
        let named = match &place {
            Place::At(path) => {
                let is_new = !path.exists();
                let file = options().create(true).truncate(false).open(path)?;
                Some(Named { path: path.clone(), file, is_new })
            }
            Place::Beside(_) | Place::Nowhere => None,
        };
        Ok(Rejects { place, format, named, open: None })
    }

    /// Adds the row of a line.
    ///
    /// # Errors
    /// Where the file cannot be made or written.
    pub fn add(&mut self, layout: &Layout, line: u64, record: Record, reason: &str) -> io::Result<()> {
        // What cannot be taken apart is found by its line only; other rows bear their reference.
        let reason = match &record {
            Record::Text(_) => format!("line {line}: {reason}"),
            Record::Cells(_) | Record::Fields(_) => reason.to_owned(),
        };
        if self.open.is_none() {
            let Some((path, file)) = self.make()? else { return Ok(()) };
            let sink = match layout {
                Layout::Csv(headings) => {
                    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(file);
                    // By the file's own names, so that the same --map fits it.
                    let names = headings.iter().map(|it| it.name.as_str()).filter(|name| *name != REASON);
                    writer.write_record(names.chain([REASON]))?;
                    writer.flush()?;
                    Sink::Csv(Box::new(writer))
                }
                Layout::Jsonl(_) => Sink::Jsonl(BufWriter::new(file)),
            };
            self.open = Some((path, sink));
        }
        match (&mut self.open, layout) {
            (Some((_, Sink::Csv(writer))), Layout::Csv(headings)) => {
                writer.write_record(with_reason(headings, record, reason))?;
            }
            (Some((_, Sink::Jsonl(writer))), _) => {
                let mut object: Map<String, Value> = match record {
                    Record::Fields(fields) => fields.into_iter().collect(),
                    // No column is called so: a line that nobody mended is refused again.
                    Record::Text(line) => Map::from_iter([("line".to_owned(), Value::String(line))]),
                    Record::Cells(_) => Map::new(),
                };
                object.insert(REASON.to_owned(), Value::String(reason));
                serde_json::to_writer(&mut *writer, &object)?;
                writer.write_all(b"\n")?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Hands what was added to the system.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.open {
            Some((_, Sink::Csv(writer))) => writer.flush(),
            Some((_, Sink::Jsonl(writer))) => writer.flush(),
            None => Ok(()),
        }
    }

    /// Writes everything down, and says where. A named file that was made and stayed empty is taken away.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(mut self) -> io::Result<Option<PathBuf>> {
        self.flush()?;
        if let Some(Named { path, is_new: true, .. }) = self.named {
            std::fs::remove_file(path)?;
        }
        Ok(self.open.map(|(path, _)| path))
    }

    fn make(&mut self) -> io::Result<Option<(PathBuf, File)>> {
        match &self.place {
            Place::Nowhere => Ok(None),
            Place::At(_) => {
                let Some(Named { path, file, .. }) = self.named.take() else { return Ok(None) };
                // A pipe or a terminal has no length.
                if file.metadata()?.is_file() {
                    file.set_len(0)?;
                }
                Ok(Some((path, file)))
            }
            Place::Beside(input) => {
                for n in 1..=MOST_FILES {
                    let path = beside(input, self.format, n);
                    match options().create_new(true).open(&path) {
                        Ok(file) => return Ok(Some((path, file))),
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        Err(error) => return Err(error),
                    }
                    let is_ours = |it: Metadata| it.is_file() && it.len() == 0 && it.permissions().mode() & 0o077 == 0;
                    if std::fs::symlink_metadata(&path).is_ok_and(is_ours) {
                        return Ok(Some((path.clone(), options().open(&path)?)));
                    }
                }
                Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many rejects files stand beside the input"))
            }
        }
    }
}

/// The rows name people: nobody but the owner reads them.
fn options() -> OpenOptions {
    OpenOptions::new().write(true).mode(0o600).clone()
}

/// The cells under the rejects file's header. A row that did not fit the input's header must not fit this one by chance: of a short row
/// the first missing cell holds U+FFFD, the mark of something lost, which is refused until a person has decided what stands there (where
/// only an old reason is missing, the last cell ends in it); a long row stays too long.
fn with_reason(headings: &[Heading], record: Record, reason: String) -> Vec<String> {
    let mut cells = match record {
        Record::Cells(cells) => cells,
        Record::Text(line) => vec![line],
        Record::Fields(_) => Vec::new(),
    };
    let old_reason = headings.iter().position(|it| it.column == REASON);
    let given = cells.len();
    if given < headings.len() {
        cells.resize(headings.len(), String::new());
        let marked =
            (given..headings.len()).find(|place| Some(*place) != old_reason).unwrap_or(given.saturating_sub(1));
        cells[marked].push(LOST);
    }
    let fitted = cells.len() == headings.len();
    if let (true, Some(place)) = (fitted, old_reason) {
        cells.remove(place);
    }
    cells.push(reason);
    if !fitted && cells.len() == headings.len() + usize::from(old_reason.is_none()) {
        cells.push(String::new());
    }
    cells
}

fn beside(input: &Path, format: Format, n: u32) -> PathBuf {
    let extension = format.extension();
    let number = if n == 1 { String::new() } else { format!("-{n}") };
    input.with_extension(format!("rejects{number}.{extension}"))
}
