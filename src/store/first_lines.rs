//! The line on which each reference, each source with its plan, and each first payment of a file stands first: a database of its own
//! beside the books, in a temporary file that SQLite removes by itself. However many there are, a few megabytes of them are in memory.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Executor};

use super::StoreError;
use crate::row;

/// The page cache in KiB (negative by SQLite's convention); what does not fit is in the file.
const CACHE: &str = "-8192";

/// What an error says when the file cannot be made or written.
const STEP: &str = "what stands in the file under import, which is kept in a temporary file (TMPDIR says where)";

row! {
    LineRow { key: String, line: i64 }
}

/// What may stand in a file once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// The merchant's own reference.
    Reference,
    /// A source with the plan that it is charged for.
    SourceAndPlan,
    /// A first payment.
    FirstPayment,
}

impl Once {
    fn number(self) -> i64 {
        match self {
            Once::Reference => 0,
            Once::SourceAndPlan => 1,
            Once::FirstPayment => 2,
        }
    }
}

/// What stands in a file with its first lines.
#[derive(Debug)]
pub struct FirstLines {
    connection: SqliteConnection,
}

impl FirstLines {
    /// None yet.
    ///
    /// # Errors
    /// [`StoreError::Database`] where there is no room for a temporary file.
    pub async fn in_temporary_file() -> Result<FirstLines, StoreError> {
        // A database without a name is SQLite's temporary one. After a crash nothing of it is wanted.
        let options = SqliteConnectOptions::new()
            .filename("")
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .pragma("cache_size", CACHE);
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
        let table = "CREATE TABLE first_lines (what INTEGER, key TEXT, line INTEGER NOT NULL, PRIMARY KEY (what, key)) \
                     STRICT, WITHOUT ROWID";
        connection.execute(table).await.map_err(failed)?;
        Ok(FirstLines { connection })
    }

    /// Notes keys of one kind with their lines, in the order of the file; the first line of each.
    ///
    /// # Errors
    /// [`StoreError::Database`] where there is no room in the temporary file any more.
    pub async fn note(&mut self, what: Once, lines: &[(String, u64)]) -> Result<BTreeMap<String, u64>, StoreError> {
        if lines.is_empty() {
            return Ok(BTreeMap::new());
        }
        let cells = |(key, line): &(String, u64)| Json::from_iter([Json::from(key.as_str()), Json::from(*line)]);
        let set = Json::from_iter(lines.iter().map(cells)).to_string();
        // Hardly any key stands in a file twice, so those that do are asked for, and not every one. `CROSS JOIN` keeps to the order in
        // which each is found by its key.
        let text = "SELECT f.key, f.line FROM json_each($1) v CROSS JOIN first_lines f WHERE f.what = $2 AND f.key = v.value ->> 0";
        let before: Vec<LineRow> = sqlx::query_as(text)
            .bind(set.as_str())
            .bind(what.number())
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed)?;
        let text = "INSERT INTO first_lines (what, key, line) SELECT $2, value ->> 0, value ->> 1 FROM json_each($1) \
                    WHERE true ON CONFLICT (what, key) DO NOTHING";
        sqlx::query(text).bind(set).bind(what.number()).execute(&mut self.connection).await.map_err(failed)?;
        let mut first: BTreeMap<String, u64> =
            before.into_iter().map(|row| (row.key, row.line.unsigned_abs())).collect();
        for (key, line) in lines {
            first.entry(key.clone()).or_insert(*line);
        }
        Ok(first)
    }
}

fn failed(source: sqlx::Error) -> StoreError {
    StoreError::Database { step: STEP, source }
}
