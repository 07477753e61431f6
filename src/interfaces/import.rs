//! The door of handed-over subscriptions: reads a file row by row, turns rows into hand-overs, and enters them in sets. However long the
//! file is, one set is in memory; the references of the rows before it are in a temporary file.

mod columns;
mod evidence;
mod format;
mod lines;
mod mapping;
mod price;
mod rejects;
mod row;
mod summary;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate};

use crate::clock::Clock;
use crate::engine::hand_over::{Acceptable, HandOver, HandedOver, Refusal, Rehearsal};
use crate::engine::{Engine, EngineError};
use crate::store::first_lines::FirstLines;
use crate::store::{Store, StoreError};

pub use columns::COLUMNS;
pub use evidence::{Desk, Evidence};
pub use format::{Format, Unreadable};
pub use mapping::{Mapping, Renamed};
pub use rejects::Place;
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

/// A start of a period is looked for so far from a day that is none: half a year, the furthest that one can be in a yearly plan.
const FURTHEST_START_DAYS: u64 = 183;

/// Where good rows go.
#[derive(Debug)]
pub enum Books {
    /// They are entered.
    Enter {
        /// What enters them.
        engine: Box<Engine>,
        /// Whether somebody has acknowledged what they add to the plans of today and tomorrow.
        acknowledged: bool,
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
    #[error("the rejects file cannot be written; name another place with --rejects")]
    Rejects(#[source] io::Error),
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
    /// Opens a file.
    ///
    /// # Errors
    /// [`ImportError::Unreadable`].
    pub fn open(path: &Path, format: Format, mapping: Mapping) -> Result<Self, ImportError> {
        let file = File::open(path)
            .map_err(|error| ImportError::Unreadable { path: path.to_owned(), source: Unreadable::Io(error) })?;
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
    rejected: BTreeMap<u64, (Record, String)>,
}

/// One import under way.
#[derive(Debug)]
pub struct Import {
    books: Books,
    evidence: Evidence,
    rejects: Rejects,
    summary: Summary,
}

impl Import {
    /// An import into `books`, with rejected rows in `place`.
    pub fn new(books: Books, evidence: Evidence, place: Place, format: Format) -> Self {
        let summary = Summary::new(matches!(books, Books::Rehearse { .. }));
        Import { books, evidence, rejects: Rejects::new(place, format), summary }
    }

    /// Imports the whole file. `progress` is told after every set how far it is.
    ///
    /// # Errors
    /// [`ImportError`]; what was entered until then stays, and the same file may be imported again.
    pub async fn run<R: BufRead>(
        mut self,
        mut source: Source<R>,
        progress: impl Fn(Progress),
    ) -> Result<Summary, ImportError> {
        let failed = |entered, source: BooksError| ImportError::Books { entered, source };
        self.summary.mapped = source.mapped;
        let mut first_lines = FirstLines::in_temporary_file().await.map_err(|error| failed(0, error.into()))?;
        loop {
            let rows = self.read_rows(&mut source)?;
            if rows.is_empty() {
                break;
            }
            let entered = self.summary.entered;
            let set = check(rows, &mut first_lines).await.map_err(|error| failed(entered, error.into()))?;
            let rejected = self.enter(set).await.map_err(|source| failed(entered, source))?;
            for (line, (record, reason)) in rejected {
                self.rejects.add(&source.layout, line, record, &reason).map_err(ImportError::Rejects)?;
                self.summary.reject(line, reason);
            }
            progress(Progress { rows: self.summary.read, bytes: source.lines.read_bytes() });
        }
        if self.summary.read == 0 {
            return Err(ImportError::Unreadable { path: source.path, source: Unreadable::Empty });
        }
        self.summary.rejects_file = self.rejects.finish().map_err(ImportError::Rejects)?;
        Ok(self.summary)
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
    async fn enter(&mut self, set: Set) -> Result<BTreeMap<u64, (Record, String)>, BooksError> {
        let Set { rows, mut rejected } = set;
        let references: Vec<&str> = rows.iter().map(|row| row.hand_over.reference.as_str()).collect();
        let taken = if rows.is_empty() { BTreeSet::new() } else { self.store().taken_references(&references).await? };
        // What is there already is left as it is, whatever its row says, and costs no look-up.
        let (there, fresh): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| taken.contains(&row.hand_over.reference));
        self.summary.already_there += length(&there);
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
            Evidence::Nowhere(_) | Evidence::Barred(_) => None,
        };
        let (mut good, mut proven) = (Vec::new(), Vec::new());
        for (row, mut accepted) in acceptable {
            let proof = match (&row.hand_over.first_payment_id, &looked_up) {
                (None, _) => Ok(None),
                (Some(id), Some(found)) => evidence::judge(&row.hand_over, found.get(id)),
                (Some(_), None) => self.unproven(&row.hand_over),
            };
            match proof {
                Err(why) => drop(rejected.insert(row.line, (row.record, why))),
                Ok(source) => {
                    if let (Some(source), true) = (source, row.hand_over.source_id.is_empty()) {
                        accepted.charge_to(source);
                    }
                    let unproven = row.hand_over.first_payment_id.is_some() && looked_up.is_none();
                    good.push(accepted);
                    proven.push((row, unproven));
                }
            }
        }
        rejected.extend(self.hand_over(&good, proven).await?);
        Ok(rejected)
    }

    /// Hands a set over, of which `rows` tells each row and whether its first payment was not looked up; the rows that the books
    /// refuse, by line.
    async fn hand_over(
        &mut self,
        set: &[Acceptable],
        rows: Vec<(Row, bool)>,
    ) -> Result<BTreeMap<u64, (Record, String)>, BooksError> {
        let (entered, refused) = match &self.books {
            Books::Enter { engine, acknowledged } => {
                let handed_over = if *acknowledged {
                    engine.hand_over(set).await?
                } else {
                    engine.hand_over_within_plan(set).await?
                };
                let HandedOver { entered, refused, beyond_plan } = handed_over;
                self.summary.beyond_plan += beyond_plan;
                (Some(entered), refused)
            }
            Books::Rehearse { store, rehearsal, .. } => (None, rehearsal.refused(set, store).await?),
        };
        let mut rejected = BTreeMap::new();
        for (accepted, (row, unproven)) in set.iter().zip(rows) {
            let reference = accepted.reference();
            if let Some(refusal) = refused.get(reference) {
                rejected.insert(row.line, (row.record, refusal.to_string()));
            } else if entered.as_ref().is_some_and(|entered| !entered.contains(reference)) {
                // Somebody else has entered it since we looked.
                self.summary.already_there += 1;
            } else {
                self.summary.entered += 1;
                self.summary.not_looked_up += u64::from(unproven);
                self.summary.falls_due(accepted.falls_due());
            }
        }
        Ok(rejected)
    }

    /// A row whose first payment nobody looks up.
    fn unproven(&self, hand_over: &HandOver) -> Result<Option<String>, String> {
        match &self.evidence {
            Evidence::Nowhere(why) if hand_over.source_id.is_empty() => {
                Err(format!("source_id is missing and first_payment_id was not looked up, because {why}"))
            }
            Evidence::Barred(why) => evidence::later(why),
            Evidence::Nowhere(_) | Evidence::Gateway(_) => Ok(None),
        }
    }

    /// Checks a row against plans and calendar, and the price that it states against the plan's.
    fn acceptable(&self, hand_over: HandOver, stated: &Stated) -> Result<Acceptable, String> {
        let accepted = self.checked(hand_over.clone()).map_err(|refusal| match refusal {
            Refusal::NotAPeriod { on, anchor_on } => {
                let nearest = self.nearest_start(&hand_over, on, anchor_on);
                let nearest = nearest.map(|day| format!("; the nearest is {day}")).unwrap_or_default();
                format!("{refusal}{nearest}")
            }
            // The cell may hold anything, so the plans are named instead of it.
            Refusal::NoPlan(_) => {
                let names: Vec<&str> = match &self.books {
                    Books::Enter { engine, .. } => engine.rules.plan_names().collect(),
                    Books::Rehearse { rehearsal, .. } => rehearsal.plan_names().collect(),
                };
                format!("plan is none of: {}", names.join(", "))
            }
            other => other.to_string(),
        })?;
        stated.agrees(accepted.falls_due().price)?;
        Ok(accepted)
    }

    fn checked(&self, hand_over: HandOver) -> Result<Acceptable, Refusal> {
        match &self.books {
            Books::Enter { engine, .. } => engine.acceptable(hand_over),
            Books::Rehearse { rehearsal, clock, .. } => rehearsal.acceptable(hand_over, clock.now()),
        }
    }

    /// The start of a period that is nearest to a day, the earlier of two; none where it is further than [`FURTHEST_START_DAYS`]. The
    /// engine's own check is asked day by day, so that no second calendar can tell another day.
    fn nearest_start(&self, hand_over: &HandOver, on: NaiveDate, anchor_on: NaiveDate) -> Option<NaiveDate> {
        if on < anchor_on {
            return Some(anchor_on);
        }
        let is_start = |day: &NaiveDate| {
            let moved = HandOver { next_charge_on: Some(*day), ..hand_over.clone() };
            !matches!(self.checked(moved), Err(Refusal::NotAPeriod { .. }))
        };
        (1..=FURTHEST_START_DAYS)
            .flat_map(|days| [on.checked_sub_days(Days::new(days)), on.checked_add_days(Days::new(days))])
            .flatten()
            .find(is_start)
    }

    fn store(&self) -> &Store {
        match &self.books {
            Books::Enter { engine, .. } => &engine.store,
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
    let first_lines = first_lines.note(&references).await?;
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
