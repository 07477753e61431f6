//! The door of handed-over subscriptions: reads a file row by row, turns rows into hand-overs, and enters them in sets. However long the
//! file is, one set is in memory; what may stand in it once is kept in a temporary file.

mod check;
mod columns;
mod evidence;
mod format;
mod input;
mod lines;
mod mapping;
mod once;
mod price;
mod rejects;
mod row;
mod summary;
mod template;
mod there;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Clock;
use crate::engine::hand_over::{Acceptable, BeyondPlan, HandOver, HandedOver, Rehearsal, Terms};
use crate::engine::{Engine, EngineError};
use crate::store::first_lines::{FirstLines, Once};
use crate::store::{Store, StoreError};

pub use columns::COLUMNS;
pub use evidence::{Desk, Evidence};
pub use format::{Format, Unreadable};
pub use input::Input;
pub use mapping::{Mapping, Renamed};
pub use rejects::{Place, is_rejects};
pub use summary::{Rejected, Summary};
pub use template::template;

use columns::Cells;
use format::{Layout, Record};
use lines::Lines;
use price::Stated;
use rejects::Rejects;

/// Rows that are entered in one transaction.
const SET: usize = 1_000;

/// A set whose rows are longer than so many bytes together ends before it is full.
const SET_BYTES: u64 = 4 * 1024 * 1024;

/// Where good rows go.
#[derive(Debug)]
pub enum Books {
    /// They are entered.
    Enter {
        /// What enters them.
        engine: Box<Engine>,
    },
    /// They are held against the books, and nothing is written.
    Rehearse {
        /// The books.
        store: Store,
        /// The checks.
        rehearsal: Box<Rehearsal>,
        /// The time.
        clock: Clock,
    },
}

/// Why an import ended before its file did.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{} cannot be imported", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Unreadable,
    },
    /// The rejects file cannot be written.
    #[error(
        "the rejects file cannot be written, and the import stopped after {entered} rows were entered; name another place with \
         --rejects and run it again, what is there is left as it is"
    )]
    Rejects {
        /// How far it came.
        entered: u64,
        /// Why.
        source: io::Error,
    },
    /// The books failed.
    #[error("the import stopped after {entered} rows were entered; run it again, what is there is left as it is")]
    Books {
        /// How far it came.
        entered: u64,
        /// Why.
        source: BooksError,
    },
}

/// What failed in the books.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// Reading.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Writing.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What was planned or entered meanwhile left no room, and nobody has acknowledged it.
    #[error(
        "the next rows go beyond the plans of today (by {} charges) and tomorrow (by {}); look at them, and say --accept to enter \
         them all the same",
        _0.today, _0.tomorrow
    )]
    BeyondPlan(BeyondPlan),
}

/// A file whose header was read and found good.
#[derive(Debug)]
pub struct Source<R> {
    path: PathBuf,
    format: Format,
    mapped: bool,
    layout: Layout,
    lines: Lines<R>,
}

impl Source<BufReader<File>> {
    /// Reads a file from its beginning; `path` is what messages call it.
    ///
    /// # Errors
    /// [`ImportError::Unreadable`].
    pub fn open(path: &Path, file: &File, format: Format, mapping: Mapping) -> Result<Self, ImportError> {
        let unreadable = |error| ImportError::Unreadable { path: path.to_owned(), source: Unreadable::Io(error) };
        let mut file = file.try_clone().map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        Source::new(path, format, mapping, BufReader::new(file))
    }
}

impl<R: BufRead> Source<R> {
    /// Reads the header from `reader`, whose columns are called as `mapping` says; `path` is what messages call it.
    ///
    /// # Errors
    /// [`ImportError::Unreadable`].
    pub fn new(path: &Path, format: Format, mapping: Mapping, reader: R) -> Result<Self, ImportError> {
        let mut lines = Lines::new(reader);
        let mapped = !mapping.is_empty();
        let layout = Layout::read(format, mapping, &mut lines)
            .map_err(|source| ImportError::Unreadable { path: path.to_owned(), source })?;
        Ok(Source { path: path.to_owned(), format, mapped, layout, lines })
    }
}

/// A row that was read and is good so far.
#[derive(Debug)]
struct Row {
    line: u64,
    record: Record,
    hand_over: HandOver,
    stated: Stated,
}

/// A row as it was read.
#[derive(Debug)]
struct Unchecked {
    line: u64,
    record: Record,
    cells: Result<Cells, String>,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows that are done with.
    pub rows: u64,
    /// Bytes of the file that are.
    pub bytes: u64,
}

/// The rows of one set by what is to become of them.
#[derive(Debug, Default)]
struct Set {
    rows: Vec<Row>,
    rejected: RejectedRows,
}

/// A row that is good as far as the file and the gateway tell.
#[derive(Debug)]
struct Good {
    row: Row,
    accepted: Acceptable,
    /// Whether its first payment was not looked up.
    unproven: bool,
    /// Whether a row before it is on the same source and plan.
    another: bool,
}

/// The rows of a set that do not go in, with their reasons, by line.
type RejectedRows = BTreeMap<u64, (Record, String)>;

/// One import under way.
#[derive(Debug)]
pub struct Import {
    books: Books,
    terms: Terms,
    evidence: Evidence,
    rejects: Rejects,
    summary: Summary,
}

impl Import {
    /// An import into `books` on these terms, with rejected rows in `place`.
    ///
    /// # Errors
    /// [`ImportError::Rejects`] where `place` names a file that cannot be written.
    pub fn new(
        books: Books,
        terms: Terms,
        evidence: Evidence,
        place: Place,
        format: Format,
    ) -> Result<Self, ImportError> {
        let summary = Summary::new(matches!(books, Books::Rehearse { .. }), terms);
        let rejects = Rejects::new(place, format).map_err(|source| ImportError::Rejects { entered: 0, source })?;
        Ok(Import { books, terms, evidence, rejects, summary })
    }

    /// Imports the whole file, or until `stop` is set: the set under way is finished then. `progress` is told after every set how far it is.
    ///
    /// # Errors
    /// [`ImportError`]; what was entered until then stays, and the same file may be imported again.
    pub async fn run<R: BufRead>(
        mut self,
        mut source: Source<R>,
        stop: &AtomicBool,
        progress: impl Fn(Progress),
    ) -> Result<Summary, ImportError> {
        let failed = |entered, source: BooksError| ImportError::Books { entered, source };
        self.summary.mapped = source.mapped;
        let mut first_lines = FirstLines::in_temporary_file().await.map_err(|error| failed(0, error.into()))?;
        loop {
            if stop.load(Ordering::SeqCst) {
                self.summary.stopped = true;
                break;
            }
            let rows = self.read_rows(&mut source)?;
            if rows.is_empty() {
                break;
            }
            let entered = self.entered();
            let set = check(rows, &mut first_lines).await.map_err(|error| failed(entered, error.into()))?;
            let rejected = self.enter(set, &mut first_lines).await.map_err(|source| failed(entered, source))?;
            let entered = self.entered();
            let unwritten = |source| ImportError::Rejects { entered, source };
            for (line, (record, reason)) in rejected {
                self.rejects.add(&source.layout, line, record, &reason).map_err(unwritten)?;
                self.summary.reject(line, reason);
            }
            // So that whoever kills it finds what was rejected until then.
            self.rejects.flush().map_err(unwritten)?;
            progress(Progress { rows: self.summary.read, bytes: source.lines.read_bytes() });
        }
        if self.summary.read == 0 && !self.summary.stopped {
            return Err(ImportError::Unreadable { path: source.path, source: Unreadable::Empty });
        }
        let entered = self.entered();
        if let Books::Rehearse { store, rehearsal, .. } = &self.books {
            let beyond = rehearsal.beyond_plan(store).await.map_err(|error| failed(entered, error.into()))?;
            self.summary.beyond_plan = beyond;
        }
        let unwritten = |source| ImportError::Rejects { entered, source };
        self.summary.rejects_file = self.rejects.finish().map_err(unwritten)?;
        Ok(self.summary)
    }

    /// Ends it before its first row.
    ///
    /// # Errors
    /// [`ImportError::Rejects`] where a rejects file that was made for it cannot be taken away.
    pub fn abandon(self) -> Result<(), ImportError> {
        self.rejects.finish().map(drop).map_err(|source| ImportError::Rejects { entered: 0, source })
    }

    /// The rows that went in until now.
    fn entered(&self) -> u64 {
        if self.summary.dry_run { 0 } else { self.summary.entered }
    }

    /// The rows of the next set; none at the end of the file.
    fn read_rows<R: BufRead>(&mut self, source: &mut Source<R>) -> Result<Vec<Unchecked>, ImportError> {
        let mut rows = Vec::new();
        let begun_at = source.lines.read_bytes();
        while rows.len() < SET && source.lines.read_bytes() - begun_at < SET_BYTES {
            let line = source
                .lines
                .next_line()
                .map_err(|error| ImportError::Unreadable { path: source.path.clone(), source: error.into() })?;
            let Some(line) = line else { break };
            if let Some((record, cells)) = source.layout.row(line.text) {
                rows.push(Unchecked { line: line.number, record, cells });
            }
        }
        self.summary.read += length(&rows);
        Ok(rows)
    }

    /// Enters what is good in a set; the rejected rows, by line.
    async fn enter(&mut self, set: Set, first_lines: &mut FirstLines) -> Result<RejectedRows, BooksError> {
        let Set { rows, mut rejected } = set;
        let fresh = self.fresh(rows, &mut rejected).await?;
        let mut acceptable = Vec::new();
        let mut to_look_up = Vec::new();
        for row in fresh {
            match self.acceptable(row.hand_over.clone(), &row.stated) {
                Err(why) => drop(rejected.insert(row.line, (row.record, why))),
                Ok(accepted) => {
                    to_look_up.extend(row.hand_over.first_payment_id.clone());
                    acceptable.push((row, accepted));
                }
            }
        }
        let looked_up = match &mut self.evidence {
            Evidence::Gateway(desk) => {
                to_look_up.sort_unstable();
                to_look_up.dedup();
                Some(desk.look(to_look_up).await)
            }
            Evidence::Nowhere(_) | Evidence::Barred(_) | Evidence::Presumed => None,
        };
        let mut good = Vec::new();
        for (row, mut accepted) in acceptable {
            let proof = match (&row.hand_over.first_payment_id, &looked_up) {
                (None, _) => Ok(None),
                (Some(id), Some(found)) => evidence::judge(&row.hand_over, &accepted, found.get(id)),
                (Some(_), None) => self.unproven(&row.hand_over),
            };
            match proof {
                Err(why) => drop(rejected.insert(row.line, (row.record, why))),
                Ok(source) => {
                    if let (Some(source), true) = (source, row.hand_over.source_id.is_empty()) {
                        accepted.charge_to(source);
                    }
                    let unproven = row.hand_over.first_payment_id.is_some() && looked_up.is_none();
                    good.push(Good { row, accepted, unproven, another: false });
                }
            }
        }
        let good = self.once(good, first_lines, &mut rejected).await?;
        rejected.extend(self.hand_over(good).await?);
        Ok(rejected)
    }

    /// The rows that are not in the books. What is there is left as it is and costs no look-up.
    async fn fresh(&mut self, rows: Vec<Row>, rejected: &mut RejectedRows) -> Result<Vec<Row>, BooksError> {
        let references: Vec<&str> = rows.iter().map(|row| row.hand_over.reference.as_str()).collect();
        let there = self.store().subscriptions_there(&references).await?;
        let mut fresh = Vec::new();
        for row in rows {
            match there.get(&row.hand_over.reference).map(|there| there::otherwise(&row.hand_over, there)) {
                None => fresh.push(row),
                Some(None) => self.summary.already_there += 1,
                Some(Some(why)) => {
                    self.summary.there_otherwise += 1;
                    rejected.insert(row.line, (row.record, why));
                }
            }
        }
        Ok(fresh)
    }

    /// Hands a set over; the rows that the books refuse, by line.
    async fn hand_over(&mut self, good: Vec<Good>) -> Result<RejectedRows, BooksError> {
        let (set, rows): (Vec<Acceptable>, Vec<(Row, bool, bool)>) =
            good.into_iter().map(|it| (it.accepted, (it.row, it.unproven, it.another))).unzip();
        let (entered, refused, beside) = match &mut self.books {
            Books::Enter { engine } => {
                let HandedOver { entered, refused, beside, beyond_plan } =
                    engine.hand_over_on(&set, self.terms).await?;
                if beyond_plan.count() > 0 {
                    return Err(BooksError::BeyondPlan(beyond_plan));
                }
                (Some(entered), refused, beside)
            }
            Books::Rehearse { store, rehearsal, .. } => {
                let (refused, beside) = rehearsal.judge(&set, self.terms.another, store).await?;
                (None, refused, beside)
            }
        };
        let mut rejected = BTreeMap::new();
        for (accepted, (row, unproven, another)) in set.iter().zip(rows) {
            let reference = accepted.reference();
            if let Some(refusal) = refused.get(reference) {
                rejected.insert(row.line, (row.record, refusal.to_string()));
            } else if entered.as_ref().is_some_and(|entered| !entered.contains(reference)) {
                // Somebody else has entered it since we looked.
                self.summary.already_there += 1;
            } else {
                self.summary.entered += 1;
                self.summary.not_looked_up += u64::from(unproven);
                self.summary.another += u64::from(another || beside.contains(reference));
                self.summary.falls_due(accepted.falls_due());
            }
        }
        Ok(rejected)
    }

    fn store(&self) -> &Store {
        match &self.books {
            Books::Enter { engine } => &engine.store,
            Books::Rehearse { store, .. } => store,
        }
    }
}

impl<R> Source<R> {
    /// The file's format.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// Turns rows into hand-overs, of every reference the first in the file.
async fn check(rows: Vec<Unchecked>, first_lines: &mut FirstLines) -> Result<Set, StoreError> {
    // SQLite's JSON would end a text at a zero, and no reference with one is good.
    let whole = |reference: &&str| !reference.contains('\0');
    let noted = |row: &Unchecked| {
        let reference = row.cells.as_ref().ok()?.get("reference").filter(whole)?;
        Some((reference.to_owned(), row.line))
    };
    let references: Vec<(String, u64)> = rows.iter().filter_map(noted).collect();
    let first_lines = first_lines.note(Once::Reference, &references).await?;
    let mut set = Set::default();
    for Unchecked { line, record, cells } in rows {
        let read = cells.and_then(|cells| {
            let first = cells.get("reference").and_then(|reference| first_lines.get(reference));
            match (row::hand_over(&cells), first.filter(|first| **first != line)) {
                (read, None) => read,
                (Ok(_), Some(first)) => Err(format!("reference stands on line {first} already")),
                (Err(why), Some(first)) => Err(format!("reference stands on line {first} already; {why}")),
            }
        });
        match read {
            Ok((hand_over, stated)) => set.rows.push(Row { line, record, hand_over, stated }),
            Err(why) => drop(set.rejected.insert(line, (record, why))),
        }
    }
    Ok(set)
}

fn length<T>(rows: &[T]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}
