//! What the database says of itself to who looks: whether a commit outlives a crash, whether its file is whole, and who may read it.
//! Nothing here writes.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::db::Statement;
use super::{Store, StoreError};
use crate::row;

/// The role of `docs/postgres-finance-role.sql`.
pub const FINANCE_ROLE: &str = "dues_finance";
/// Where a SQLite file says how it is written and how it is read: two bytes, each 2 for a write-ahead log
/// (<https://www.sqlite.org/fileformat2.html>, section 1.3.3). A connection that changes nothing cannot tell.
const FORMAT_AT: u64 = 18;
const WRITE_AHEAD: [u8; 2] = [2, 2];

/// On what durability rests.
#[derive(Debug, Clone, PartialEq)]
pub enum Durability {
    /// SQLite.
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// Whether the file is kept with a write-ahead log.
        write_ahead: bool,
        /// `PRAGMA synchronous` as connections of dues have it: 2 is `FULL`.
        synchronous: i64,
    },
    /// PostgreSQL.
    Postgres(PostgresRow),
}

row! {
    /// What a PostgreSQL server says, as connections of dues have it.
    pub PostgresRow {
        /// `15.14`, perhaps with the packager's words behind it.
        version: String,
        /// 10000 times the major version, plus the minor one.
        version_number: i64,
        /// Whether a commit waits for the disk.
        synchronous_commit: String,
        /// Whether the disk is waited for at all.
        fsync: String,
        /// Whether a page that is half written can be mended.
        full_page_writes: String,
        /// 1 where the server only follows another.
        standby: i64,
    }
}

row! {
    /// What finance's role cannot read although it should, and can write although it must not: names, joined by commas.
    pub FinanceRoleRow {
        /// Views.
        unreadable: String,
        /// Tables and views.
        writable: String,
        /// Whether it reads personal data: 1 where it does.
        reads_customers: i64,
    }
}

row! { SynchronousRow { synchronous: i64 } }
row! { QuickCheckRow { quick_check: String } }
row! { ZoneRow { zone: String } }

impl Store {
    /// On what durability rests, read back from the database.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn durability(&self) -> Result<Durability, StoreError> {
        let Some(path) = self.file() else {
            let text = "SELECT current_setting('server_version') AS version, \
                 CAST(current_setting('server_version_num') AS BIGINT) AS version_number, \
                 current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync, \
                 current_setting('full_page_writes') AS full_page_writes, \
                 CAST(CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END AS BIGINT) AS standby";
            return Ok(Durability::Postgres(self.read_one(Statement::new(text)).await?));
        };
        let row: SynchronousRow = self.read_one(Statement::new("PRAGMA synchronous")).await?;
        let mut format = [0; 2];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut format, FORMAT_AT))
            .map_err(|error| StoreError::Database { step: "read the head of the file", source: error.into() })?;
        Ok(Durability::Sqlite { path, write_ahead: format == WRITE_AHEAD, synchronous: row.synchronous })
    }

    /// The first thing that is wrong with the structure of a SQLite file; none where it is whole, and on PostgreSQL. It reads the whole
    /// file, which takes as long as that takes.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn quick_check(&self) -> Result<Option<String>, StoreError> {
        if self.file().is_none() {
            return Ok(None);
        }
        let row: QuickCheckRow = self.read_one(Statement::new("PRAGMA quick_check(1)")).await?;
        Ok((row.quick_check != "ok").then_some(row.quick_check))
    }

    /// How finance's role stands; none where there is no such role, and on SQLite.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn finance_role(&self) -> Result<Option<FinanceRoleRow>, StoreError> {
        if self.file().is_some() {
            return Ok(None);
        }
        let text = "SELECT COALESCE(string_agg(c.relname, ', ' ORDER BY c.relname) FILTER (WHERE c.relkind = 'v' \
             AND c.relname LIKE 'finance\\_%' AND NOT has_table_privilege(r.oid, c.oid, 'SELECT')), '') AS unreadable, \
             COALESCE(string_agg(c.relname, ', ' ORDER BY c.relname) \
             FILTER (WHERE has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')), '') AS writable, \
             CAST(COUNT(*) FILTER (WHERE c.relname = 'customers' AND has_table_privilege(r.oid, c.oid, 'SELECT')) AS BIGINT) \
             AS reads_customers \
             FROM pg_roles r CROSS JOIN pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE r.rolname = $1 AND n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v') GROUP BY r.oid";
        Ok(self.read(Statement::new(text).bind(FINANCE_ROLE)).await?.into_iter().next())
    }

    /// The time zones in which subscriptions are billed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn zones_in_use(&self) -> Result<BTreeSet<String>, StoreError> {
        let rows: Vec<ZoneRow> = self.read(Statement::new("SELECT DISTINCT g.zone FROM segments g")).await?;
        Ok(rows.into_iter().map(|row| row.zone).collect())
    }
}
