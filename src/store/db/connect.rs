//! Opening the two databases: URLs, pools, and the settings on which durability rests. Why one cannot be opened stands in
//! [`super::unopened`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Db, Store, unopened};
use crate::clock::Clock;
use crate::store::StoreError;

/// A connection keeps so many statements prepared: all that the engine has, with room.
const STATEMENTS_KEPT: usize = 400;
/// Readers beside the one writer of a SQLite file.
const SQLITE_READERS: u32 = 4;
/// Pages in the write-ahead log before SQLite moves them into the file: larger than its default, which costs throughput.
const SQLITE_PAGES_BEFORE_CHECKPOINT: &str = "4000";
/// A reader's page cache, in KiB (negative by SQLite's convention).
const SQLITE_READERS_CACHE: &str = "-2048";
/// The writer's page cache, in KiB.
const SQLITE_CACHE: &str = "-16384";
/// The first connection to PostgreSQL is waited for so long, or as long as `busy_timeout` says if that is shorter.
const FIRST_CONNECTION: Duration = Duration::from_secs(5);
/// PostgreSQL gives up waiting for a lock after this many milliseconds.
const LOCK_TIMEOUT_MS: &str = "30000";
/// PostgreSQL ends a transaction whose daemon has said nothing for so many milliseconds. No transaction waits for the gateway, so such a
/// daemon is frozen or cut off, and what it has locked holds up every other. Shorter than their patience.
const IDLE_IN_TRANSACTION_MS: &str = "10000";
/// What the write-ahead log is cut back to after a checkpoint.
const SQLITE_LOG_BYTES: &str = "67108864";

/// A database URL, taken apart.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `postgres://…`, with its password.
    Postgres(SecretString),
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH` or `postgres://…`.
    ///
    /// # Errors
    /// [`StoreError::Url`] for anything else.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains(":memory:") || path.contains('?') {
                return Err(StoreError::Url(
                    "sqlite: is followed by the path of a file, as in sqlite:/var/lib/dues/dues.db",
                ));
            }
            Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            PgConnectOptions::from_str(url)
                .map_err(|_| StoreError::Url("postgres: is followed by //user:password@host:port/database"))?;
            Ok(DatabaseUrl::Postgres(SecretString::from(url)))
        } else {
            Err(StoreError::Url("a database URL begins with sqlite: or postgres:"))
        }
    }
}

/// That this process is the one daemon on a SQLite file; given back when dropped, or when the process ends however it ends.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "held, not read")] File);

impl Store {
    /// Opens the pools. PostgreSQL is greeted once, so that an error says what is wrong with it; a SQLite file is created.
    ///
    /// # Errors
    /// [`StoreError::Unopened`] where the database cannot be reached or its file not be opened.
    pub async fn open(
        url: &DatabaseUrl,
        max_connections: u32,
        busy_timeout: Duration,
        clock: Clock,
    ) -> Result<Store, StoreError> {
        let db = match url {
            DatabaseUrl::Sqlite(path) => {
                let options = sqlite_options(path, busy_timeout);
                // One writer: SQLite has one anyway, and here it queues in the process instead of in the busy handler.
                let write = SqlitePoolOptions::new()
                    .max_connections(1)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .test_before_acquire(false)
                    .acquire_timeout(busy_timeout)
                    .connect_with(options.clone())
                    .await
                    .map_err(|error| unopened::sqlite(path, &error))?;
                let read = SqlitePoolOptions::new()
                    .max_connections(SQLITE_READERS)
                    .test_before_acquire(false)
                    .acquire_timeout(busy_timeout)
                    .connect_lazy_with(options.pragma("cache_size", SQLITE_READERS_CACHE).read_only(true));
                Db::Sqlite { write, read }
            }
            DatabaseUrl::Postgres(url) => {
                let options = postgres_options(url)?;
                greet(&options, busy_timeout.min(FIRST_CONNECTION)).await?;
                let pool = PgPoolOptions::new()
                    .max_connections(max_connections)
                    .test_before_acquire(false)
                    .acquire_timeout(busy_timeout)
                    .connect_lazy_with(options);
                Db::Postgres(pool)
            }
        };
        Ok(Store { db, clock, round_trips: Arc::new(Mutex::default()), hook: None })
    }

    /// The same for who only reads: a SQLite file that does not exist is not created.
    ///
    /// # Errors
    /// [`StoreError::NoDatabase`], and those of [`Store::open`].
    pub async fn open_existing(
        url: &DatabaseUrl,
        max_connections: u32,
        busy_timeout: Duration,
        clock: Clock,
    ) -> Result<Store, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) if !path.exists() => Err(match unopened::directory_missing(path) {
                Some(error) => error,
                None => StoreError::NoDatabase { path: path.clone() },
            }),
            _ => Store::open(url, max_connections, busy_timeout, clock).await,
        }
    }

    /// Opens a SQLite file that nobody else writes, on one connection.
    pub(in crate::store) async fn open_file(
        path: &Path,
        options: SqliteConnectOptions,
        clock: Clock,
    ) -> Result<Store, StoreError> {
        let options = options.create_if_missing(false).foreign_keys(true).pragma("trusted_schema", "OFF");
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await.map_err(|error| unopened::sqlite(path, &error))?;
        let db = Db::Sqlite { write: pool.clone(), read: pool };
        Ok(Store { db, clock, round_trips: Arc::new(Mutex::default()), hook: None })
    }

    /// Makes this process the one daemon on a SQLite file. On PostgreSQL there may be several, and nothing is locked.
    ///
    /// # Errors
    /// [`StoreError::SecondDaemon`] where another process holds the lock; [`StoreError::Unopened`] where the file's directory is
    /// missing.
    pub fn lock_file(url: &DatabaseUrl) -> Result<Option<FileLock>, StoreError> {
        let DatabaseUrl::Sqlite(path) = url else { return Ok(None) };
        let mut lock = path.clone().into_os_string();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let refused = |source| StoreError::Lock { path: lock.clone(), source };
        if let Some(error) = unopened::directory_missing(path) {
            return Err(error);
        }
        let file = File::options().create(true).truncate(false).write(true).open(&lock).map_err(refused)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FileLock(file))),
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::SecondDaemon { path: path.clone() }),
            Err(std::fs::TryLockError::Error(source)) => Err(refused(source)),
        }
    }
}

fn postgres_options(url: &SecretString) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|_| StoreError::Url("postgres: is followed by //user:password@host:port/database"))?;
    let settings = [
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
        ("lock_timeout", LOCK_TIMEOUT_MS),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MS),
        ("jit", "off"),
    ];
    Ok(options.application_name("dues").statement_cache_capacity(STATEMENTS_KEPT).options(settings))
}

/// Makes one connection and closes it. A pool tries again until its time is up, and then knows no more than that.
async fn greet(options: &PgConnectOptions, limit: Duration) -> Result<(), StoreError> {
    match tokio::time::timeout(limit, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => connection.close().await.map_err(|error| unopened::postgres(options, &error)),
        Ok(Err(error)) => Err(unopened::postgres(options, &error)),
        Err(_) => Err(unopened::no_answer(options, limit)),
    }
}

fn sqlite_options(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(busy_timeout)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .pragma("wal_autocheckpoint", SQLITE_PAGES_BEFORE_CHECKPOINT)
        .pragma("cache_size", SQLITE_CACHE)
        .pragma("journal_size_limit", SQLITE_LOG_BYTES)
        .pragma("trusted_schema", "OFF")
}
