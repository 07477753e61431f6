//! Copies of the books: what SQLite writes of itself while a daemon goes on, how such a copy is opened and checked, and what a program of
//! PostgreSQL's is told so that it finds the same database.

use std::ffi::OsString;
use std::path::Path;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, sqlite};

use super::db::Statement;
use super::{DatabaseUrl, Store, StoreError};
use crate::clock::Clock;
use crate::row;

/// Faults of a file that are told; a broken file may have one a page.
const FAULTS_TOLD: u32 = 5;

/// SQLite's code for a full disk.
const SQLITE_FULL: &str = "13";
/// How a SQLite file begins (sqlite.org/fileformat2.html, "The Database Header").
const SQLITE_FILE: &[u8] = b"SQLite format 3\0";
/// Where in it the number stands that says whose file it is.
const APPLICATION_ID: std::ops::Range<usize> = 68..72;
/// The number of a copy without personal data, in letters, and the statement that sets it. The books themselves have none.
const COPY_WITHOUT_PEOPLE: [u8; 4] = *b"dues";
const MARK_COPY: &str = "PRAGMA application_id = 0x64756573";
/// How a dump of PostgreSQL's in the custom format begins.
const CUSTOM_DUMP: &[u8] = b"PGDMP";

/// Whether a file that begins so is what [`Store::copy_without_people`] writes.
pub fn is_snapshot(head: &[u8]) -> bool {
    head.starts_with(SQLITE_FILE) && head.get(APPLICATION_ID) == Some(&COPY_WITHOUT_PEOPLE)
}

/// Whether a file that begins so may be a backup: a SQLite file that is no snapshot, or a dump.
pub fn is_backup(head: &[u8]) -> bool {
    head.starts_with(CUSTOM_DUMP) || head.starts_with(SQLITE_FILE) && !is_snapshot(head)
}

row! {
    /// How many rows the books hold, by table.
    pub RowsKept {
        /// Versions of customers: the table with personal data.
        customers: i64,
        /// Subscriptions.
        subscriptions: i64,
        /// Charges, whatever became of them.
        charges: i64,
        /// Attempts to collect them.
        attempts: i64,
        /// Payments that were seen at the gateway.
        payments: i64,
        /// Lines of the journal.
        journal: i64,
    }
}

row! { FaultRow { fault: String } }
row! { NumberRow { number: i64 } }

impl Store {
    /// Has SQLite write itself, as it is at one instant, into the file `to`, which must be empty or absent. The daemon goes on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`], [`StoreError::Database`], also where this is no SQLite file.
    pub async fn copy_into(&self, to: &Path) -> Result<(), StoreError> {
        let name = to.to_string_lossy().into_owned();
        let copied: Result<Vec<NumberRow>, StoreError> = self.read(Statement::new("VACUUM INTO $1").bind(name)).await;
        match copied {
            Err(error) if error.has_code(SQLITE_FULL) => {
                let size = "SELECT page_count * page_size AS number FROM pragma_page_count, pragma_page_size";
                let NumberRow { number } = self.read_one(Statement::new(size)).await?;
                Err(StoreError::NoRoom { path: to.to_owned(), bytes: number })
            }
            copied => copied.map(|_| ()),
        }
    }

    /// Opens a copy that [`Store::copy_into`] made, to read it.
    ///
    /// # Errors
    /// [`StoreError::Unopened`].
    pub async fn open_copy(path: &Path, clock: Clock) -> Result<Store, StoreError> {
        let options = sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
        Store::open_file(path, options, clock).await
    }

    /// The same copy without personal data: the name and e-mail address of every customer are gone from its bytes. It is one file, without a
    /// log beside it.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`], [`StoreError::Database`], [`StoreError::Unopened`].
    pub async fn copy_without_people(&self, to: &Path) -> Result<(), StoreError> {
        self.copy_into(to).await?;
        let options = sqlite::SqliteConnectOptions::new().filename(to).pragma("secure_delete", "ON");
        let options = options.journal_mode(sqlite::SqliteJournalMode::Memory);
        let copy = Store::open_file(to, options, self.clock().clone()).await?;
        let mut tx = copy.begin("copy without people").await?;
        tx.run(Statement::new("UPDATE customers SET name = NULL, email = NULL")).await?;
        tx.run(Statement::new(MARK_COPY)).await?;
        tx.commit().await?;
        copy.close().await;
        Ok(())
    }

    /// What is wrong with a SQLite file: its own check of every page and index, and rows that point to none. Empty where it is sound.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn faults_of_file(&self) -> Result<Vec<String>, StoreError> {
        let pages: Vec<FaultRow> = self
            .read(
                Statement::new("SELECT integrity_check AS fault FROM pragma_integrity_check WHERE integrity_check <> 'ok' LIMIT $1")
                    .bind(FAULTS_TOLD),
            )
            .await?;
        let strays: Vec<FaultRow> = self
            .read(
                Statement::new(
                    "SELECT 'a row of ' || [table] || ' points to no row of ' || parent AS fault FROM pragma_foreign_key_check LIMIT $1",
                )
                .bind(FAULTS_TOLD),
            )
            .await?;
        Ok(pages.into_iter().chain(strays).map(|row| row.fault).collect())
    }

    /// How many rows the books hold.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn rows_kept(&self) -> Result<RowsKept, StoreError> {
        self.read_one(Statement::new(
            "SELECT (SELECT COUNT(*) FROM customers) AS customers, (SELECT COUNT(*) FROM subscriptions) AS subscriptions, \
             (SELECT COUNT(*) FROM charges) AS charges, (SELECT COUNT(*) FROM attempts) AS attempts, \
             (SELECT COUNT(*) FROM payments) AS payments, (SELECT COUNT(*) FROM journal) AS journal",
        ))
        .await
    }

    /// The major version of the PostgreSQL that answers.
    ///
    /// # Errors
    /// [`StoreError::Database`], also where this is SQLite.
    pub async fn postgres_version(&self) -> Result<i64, StoreError> {
        let text = "SELECT CAST(current_setting('server_version_num') AS BIGINT) / 10000 AS number";
        let row: NumberRow = self.read_one(Statement::new(text)).await?;
        Ok(row.number)
    }
}

impl DatabaseUrl {
    /// What a program of PostgreSQL's finds this database by: its environment, as libpq reads it, and the password apart from it. None for
    /// SQLite.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn libpq(&self) -> Result<Option<Libpq>, StoreError> {
        let DatabaseUrl::Postgres(url) = self else { return Ok(None) };
        let options = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|_| StoreError::Url("postgres: is followed by //user:password@host:port/database"))?;
        let host =
            options.get_socket().map_or_else(|| options.get_host().into(), |socket| socket.clone().into_os_string());
        let database = options.get_database().unwrap_or(options.get_username());
        let mut variables: Vec<(&'static str, OsString)> = vec![
            ("PGHOST", host),
            ("PGPORT", options.get_port().to_string().into()),
            ("PGUSER", options.get_username().into()),
            ("PGDATABASE", database.into()),
        ];
        // What has no getter stands in the URL that sqlx makes of it.
        let url = options.to_url_lossy();
        for (key, value) in url.query_pairs() {
            let name = match &*key {
                "sslmode" => "PGSSLMODE",
                "sslrootcert" => "PGSSLROOTCERT",
                "sslcert" => "PGSSLCERT",
                "sslkey" => "PGSSLKEY",
                _ => continue,
            };
            // sqlx says of a certificate that it is a file; libpq wants its path alone.
            let value = value.strip_prefix("file: ").unwrap_or(&value).to_owned();
            variables.push((name, value.into()));
        }
        let password =
            url.password().map(|it| percent_encoding::percent_decode_str(it).decode_utf8_lossy().into_owned());
        Ok(Some(Libpq { variables, password: password.map(SecretString::from) }))
    }
}

/// Where a PostgreSQL database is, in the words of libpq.
#[derive(Debug)]
pub struct Libpq {
    /// Variables of the environment, such as `PGHOST`. No secret is among them.
    pub variables: Vec<(&'static str, OsString)>,
    /// For `PGPASSWORD`; none where the URL has none and no password file names one.
    pub password: Option<SecretString>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpq_hears_what_the_url_says_and_its_password_apart() {
        let url = "postgres://billing:p%40ss%25%2Fword@db.example:5433/dues?sslmode=require&sslrootcert=/etc/ca.pem";
        let libpq = DatabaseUrl::parse(url).unwrap().libpq().unwrap().unwrap();
        let wanted = [
            ("PGHOST", "db.example"),
            ("PGPORT", "5433"),
            ("PGUSER", "billing"),
            ("PGDATABASE", "dues"),
            ("PGSSLMODE", "require"),
            ("PGSSLROOTCERT", "/etc/ca.pem"),
        ];
        assert_eq!(libpq.variables, wanted.map(|(name, value)| (name, value.into())));
        assert_eq!(libpq.password.as_ref().map(ExposeSecret::expose_secret), Some("p@ss%/word"));
        assert!(!format!("{libpq:?}").contains("ss%/"));
        let socket = DatabaseUrl::parse("postgres:///books?host=/run/postgresql&user=dues").unwrap().libpq().unwrap();
        assert_eq!(socket.unwrap().variables[0], ("PGHOST", "/run/postgresql".into()));
        assert!(DatabaseUrl::parse("sqlite:/x.db").unwrap().libpq().unwrap().is_none());
    }
}
