//! Bringing the schema up. The twins in `migrations/` are compiled in.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use super::db::Statement;
use super::{Store, StoreError};
use crate::row;

struct Twin {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! twins {
    ($($version:literal $name:literal),* $(,)?) => {
        &[$(Twin {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        }),*]
    };
}

static TWINS: &[Twin] = twins![
    1 "0001_books", 2 "0002_finance", 3 "0003_nodes", 4 "0004_verify", 5 "0005_standing", 6 "0006_pauses", 7 "0007_handed_over", 8 "0008_checkouts",
    9 "0009_catch_up",
];

/// PostgreSQL's code where a login may not read a table.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

fn wanted() -> i64 {
    TWINS.iter().map(|twin| twin.version).max().unwrap_or(0)
}

row! {
    TableRow { name: String }
}
row! {
    VersionRow { version: Option<i64> }
}

impl Store {
    /// Brings the schema up to what this program wants; does nothing where it is there already. Several daemons may do it at
    /// once: sqlx takes a lock on PostgreSQL.
    ///
    /// # Errors
    /// [`StoreError::Migrate`] where a migration failed, or one that ran was edited since; [`StoreError::Schema`] where a newer program has
    /// brought it up further; [`StoreError::Foreign`] where a SQLite file is another program's.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.is_ours().await?;
        let migration = |twin: &Twin| {
            let text = if self.kind() == "sqlite" { twin.sqlite } else { twin.postgres };
            Migration::new(twin.version, twin.name.into(), MigrationType::Simple, text.into_sql_str(), false)
        };
        let migrator = Migrator::with_migrations(TWINS.iter().map(migration).collect());
        let wanted = wanted();
        self.run_migrator(&migrator).await.map_err(|source| match source {
            MigrateError::VersionMissing(found) if found > wanted => StoreError::Schema { found, wanted },
            source => StoreError::Migrate(Box::new(source)),
        })
    }

    /// Refuses a SQLite file with tables of which none is of the books. A database of a server is made for its user, and may hold more.
    async fn is_ours(&self) -> Result<(), StoreError> {
        let Some(path) = self.file() else { return Ok(()) };
        let others = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             AND name <> '_sqlx_migrations' AND NOT EXISTS (SELECT 1 FROM sqlite_schema o WHERE o.name = 'installation') \
             ORDER BY name LIMIT 1";
        let tables: Vec<TableRow> = self.read(Statement::new(others)).await?;
        match tables.into_iter().next() {
            Some(TableRow { name: table }) => Err(StoreError::Foreign { path, table }),
            None => Ok(()),
        }
    }

    /// The highest migration that ran; 0 in an empty database.
    ///
    /// # Errors
    /// [`StoreError::TablesClosed`], [`StoreError::Database`].
    pub async fn schema_version(&self) -> Result<i64, StoreError> {
        let there = match self.kind() {
            "sqlite" => "SELECT MAX(1) AS version FROM sqlite_schema WHERE name = '_sqlx_migrations'",
            _ => "SELECT MAX(1)::bigint AS version FROM pg_tables WHERE tablename = '_sqlx_migrations'",
        };
        let there: VersionRow = self.read_one(Statement::new(there)).await?;
        if there.version.is_none() {
            return Ok(0);
        }
        let ran = "SELECT MAX(version) AS version FROM _sqlx_migrations WHERE success";
        match self.read_one::<VersionRow>(Statement::new(ran)).await {
            Ok(row) => Ok(row.version.unwrap_or(0)),
            Err(error) if error.has_code(INSUFFICIENT_PRIVILEGE) => Err(StoreError::TablesClosed),
            Err(error) => Err(error),
        }
    }

    /// Refuses a schema that this program was not written for.
    ///
    /// # Errors
    /// [`StoreError::Schema`].
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let wanted = wanted();
        let found = self.schema_version().await?;
        if found == wanted { Ok(()) } else { Err(StoreError::Schema { found, wanted }) }
    }
}
