//! What is remembered. The only SQL. Every method is one transaction, or part of one that its caller opened.

pub mod attempts;
pub mod backup;
pub mod changes;
pub mod charges;
pub mod customers;
pub mod daily_plans;
pub mod db;
pub mod dunning_cases;
pub mod durability;
pub mod fences;
pub mod figures;
pub mod finance;
pub mod first_lines;
pub mod first_payments;
pub mod installation;
pub mod journal;
pub mod migrations;
pub mod nodes;
pub mod pauses;
pub mod plans;
pub mod reports;
pub mod reviews;
pub mod situations;
pub mod sources;
pub mod standings;
pub mod subscriptions;

use std::path::PathBuf;
use std::str::FromStr;

pub use db::{DatabaseUrl, Store, Tx};

/// What can go wrong in the books.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL in the config is none.
    #[error("database.url: {0}")]
    Url(&'static str),
    /// There is no such SQLite file, and who asks only reads.
    #[error("there is no database {} (database.url): run `dues migrate`", path.display())]
    NoDatabase {
        /// The database file.
        path: PathBuf,
    },
    /// The database could not be opened. What to do depends on the cause, which therefore stands within the text.
    #[error("the database {database} (database.url) cannot be {why}")]
    Unopened {
        /// Its URL without the password.
        database: String,
        /// What cannot be done with it, the cause, and the next step.
        why: String,
    },
    /// A SQLite file that this user may not write, or not in that directory.
    #[error(
        "the database {database} (database.url) cannot be opened: the file or its directory is not writable for this user; run dues as the \
         user that owns them"
    )]
    NotWritable {
        /// Its URL.
        database: String,
    },
    /// The same, found out at a statement.
    #[error("the database (database.url) cannot be written by this user; run dues as the user that owns its file")]
    ReadOnly {
        /// Its own words.
        source: sqlx::Error,
    },
    /// The database refused, or did not answer.
    #[error("the database failed at: {}", brief(step))]
    Database {
        /// The statement's text, or what was tried.
        step: &'static str,
        /// Its own words.
        source: sqlx::Error,
    },
    /// Another program keeps it busy. The next step depends on the database, and stands within the text.
    #[error("the database is busy at: {}: {why}", brief(step))]
    Busy {
        /// The statement's text, or what was tried.
        step: &'static str,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The schema could not be brought up.
    #[error("the schema could not be brought up; is another version of dues at work on this database?")]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// The schema is older or newer than this program.
    #[error("the database holds schema {found}, this dues wants {wanted}: {}", schema_next(*found, *wanted))]
    Schema {
        /// The highest migration that ran.
        found: i64,
        /// The highest this program knows.
        wanted: i64,
    },
    /// The SQLite file holds the tables of another program.
    #[error(
        "the SQLite file {} (database.url) holds the tables of another program, {table} among them: nothing was changed; name a file of \
         its own for dues",
        path.display()
    )]
    Foreign {
        /// The database file.
        path: PathBuf,
        /// One of the tables.
        table: String,
    },
    /// The login may not read the finance views, or they are not there.
    #[error(
        "this login of the database may not read the finance views: let an administrator run docs/postgres-finance-role.sql in this \
         database, and then GRANT dues_finance to the login"
    )]
    ViewsClosed,
    /// The login may read the views, but no table.
    #[error(
        "this login of the database reads the finance views alone: use `dues report`, or give database.url the login of the daemon"
    )]
    TablesClosed,
    /// A copy of the books does not fit on the disk.
    #[error("the disk of {} is full: a copy needs {bytes} bytes there, as many as the books", path.display())]
    NoRoom {
        /// Where the copy was to stand.
        path: PathBuf,
        /// What it needs.
        bytes: i64,
    },
    /// A table that must be one's own for a moment is being read for long.
    #[error("somebody has been reading {table} for a while, as a backup by pg_dump does: try again when it has ended")]
    BeingRead {
        /// The table.
        table: &'static str,
    },
    /// Another hand changed a row between our reading and our writing; nothing was written, and the next tick reads anew.
    #[error("{table} changed under our hands; the next tick reads anew")]
    Moved {
        /// The table.
        table: &'static str,
    },
    /// The database was failed over or restored, and no daemon has come round since: what it forgot may have been sent.
    #[error(
        "the database went from timeline {was} to {is}, by a fail-over or a restore: nothing is sent until a daemon has come round, \
         which takes some seconds while `dues run` runs"
    )]
    OtherTimeline {
        /// When a daemon came round last.
        was: String,
        /// Now.
        is: String,
    },
    /// The books know fewer sends than this very process has made: they were set back in time while it ran.
    #[error(
        "the books know {known} sends of this daemon, which has made {written}: they were set back in time; nothing is sent until it \
         has come round, which takes some seconds"
    )]
    Rewound {
        /// What the books know.
        known: i64,
        /// What the process knows.
        written: i64,
    },
    /// A row holds what no version of dues writes.
    #[error(
        "{table} row {row}: {column} holds {value:?}, which {why}; run `dues verify` and restore the row from a backup"
    )]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// Its id.
        row: i64,
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// A daemon of the same name is alive.
    #[error(
        "a daemon named {name:?} runs already ({process}, seen {seconds} s ago): give each daemon its own installation.node; \
         after a crash on another machine its name is free half a minute later"
    )]
    NodeTaken {
        /// The name.
        name: String,
        /// Which process has it.
        process: String,
        /// When it last came round.
        seconds: i64,
    },
    /// Another daemon works on this SQLite file.
    #[error("another dues daemon works on {}: on SQLite there is one daemon a file; use PostgreSQL for several", path.display())]
    SecondDaemon {
        /// The database file.
        path: PathBuf,
    },
    /// The lock file could not be made.
    #[error("the lock file {} could not be taken", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The config does not belong to these books.
    #[error(
        "{what} is {configured:?} in the config, but these books were begun with {pinned:?}: use the right database, or begin new books"
    )]
    Pinned {
        /// Which pin.
        what: &'static str,
        /// What the config says.
        configured: String,
        /// What the books say.
        pinned: String,
    },
    /// The config's name is not that of these books, which keep what is computed from theirs alone.
    #[error(
        "these books were begun under another name than installation.name = {name:?}: put the old name back, or use the right database"
    )]
    OtherName {
        /// The name in the config.
        name: String,
    },
}

/// What to do about a schema that this program was not written for.
fn schema_next(found: i64, wanted: i64) -> &'static str {
    if found < wanted {
        "run `dues migrate`"
    } else {
        "a newer dues has brought it up; install that one, or a later one, for this one is too old for these books"
    }
}

/// Letters of a statement that tell which one it is.
const BRIEF: usize = 60;

/// The beginning of a statement, as far as it tells which one it is.
fn brief(step: &str) -> String {
    match step.char_indices().nth(BRIEF) {
        None => step.to_owned(),
        Some((end, _)) => format!("{} …", step[..end].rsplit_once(' ').map_or(&step[..end], |it| it.0)),
    }
}

impl StoreError {
    /// What a database's error means at a statement.
    fn at(step: &'static str, source: sqlx::Error) -> StoreError {
        if db::is_read_only(&source) { StoreError::ReadOnly { source } } else { StoreError::Database { step, source } }
    }

    /// Whether waiting may help: the database is busy, full, away or restarting.
    pub fn may_pass(&self) -> bool {
        let away = |error: &sqlx::Error| {
            matches!(
                error,
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Database(_)
            )
        };
        match self {
            StoreError::Database { .. }
            | StoreError::Busy { .. }
            | StoreError::Unopened { .. }
            | StoreError::NotWritable { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Moved { .. }
            | StoreError::OtherTimeline { .. }
            | StoreError::Rewound { .. } => true,
            StoreError::Migrate(error) => match &**error {
                sqlx::migrate::MigrateError::Execute(error)
                | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => away(error),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the database refused with this code: a SQLSTATE, or one of SQLite's.
    fn has_code(&self, code: &str) -> bool {
        matches!(self, StoreError::Database { source: sqlx::Error::Database(it), .. } if it.code().as_deref() == Some(code))
    }

    /// Whether the config is not that of the books.
    pub fn is_of_other_books(&self) -> bool {
        matches!(self, StoreError::Pinned { .. } | StoreError::OtherName { .. })
    }

    /// Whether a UNIQUE rule refused the statement.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, StoreError::Database { source: sqlx::Error::Database(it), .. } if it.is_unique_violation())
    }
}

/// Reads a word, or a number of one, that a row holds.
///
/// # Errors
/// [`StoreError::Inconsistent`] where it is none.
pub(crate) fn parse<T: FromStr>(
    table: &'static str,
    row: i64,
    column: &'static str,
    text: &str,
) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|why: T::Err| StoreError::Inconsistent {
        table,
        row,
        column,
        value: text.to_owned(),
        why: why.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_statement_only_its_beginning_is_told() {
        let long = "SELECT s.reference, o.gateway_source_id, p.name AS plan, k.email FROM v";
        let failed = StoreError::at(long, sqlx::Error::PoolTimedOut);
        let told = "the database failed at: SELECT s.reference, o.gateway_source_id, p.name AS plan, …";
        assert_eq!(failed.to_string(), told);
        assert_eq!(brief("commit"), "commit");
        // Letters of more than one byte, and no blank.
        assert_eq!(brief(&"é".repeat(61)), format!("{} …", "é".repeat(60)));
    }
}
