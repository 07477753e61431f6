//! Opening the two databases: URLs, pools, and the settings on which durability rests. Why one cannot be opened stands in
//! [`super::unopened`].

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
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
/// Rows that SQLite's thread hands over before it waits for whoever asked: all of a usual set, so that the two do not take turns.
const SQLITE_ROWS_AHEAD: usize = 1_000;
/// Pages in the write-ahead log before SQLite moves them into the file: larger than its default, which costs throughput.
const SQLITE_PAGES_BEFORE_CHECKPOINT: &str = "4000";
/// A reader's page cache, in KiB (negative by SQLite's convention).
const SQLITE_READERS_CACHE: &str = "-2048";
/// The writer's page cache, in KiB.
const SQLITE_CACHE: &str = "-16384";
/// The first connection to PostgreSQL is waited for so long, or as long as `busy_timeout` says if that is shorter.
const FIRST_CONNECTION: Duration = Duration::from_secs(5);
/// PostgreSQL gives up waiting for a lock after so long. With the wait for a free connection before it, it stays below what a daemon's loop
/// takes to be told from one that hangs: a locked database is no reason to be killed.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(11);
/// PostgreSQL ends a transaction whose daemon has said nothing for so many milliseconds. No transaction waits for the gateway, so such a
/// daemon is frozen or cut off, and what it has locked holds up every other. Shorter than their patience.
const IDLE_IN_TRANSACTION_MS: &str = "10000";
/// A new SQLite file is its owner's to write and its group's to read, whoever makes it: customers' names stand in it.
const SQLITE_MODE: u32 = 0o640;
/// SQLite's write-ahead log, which is there while somebody has the database open.
const LOG: &str = "-wal";
/// What the write-ahead log is cut back to after a checkpoint.
const SQLITE_LOG_BYTES: &str = "67108864";

/// The form of a PostgreSQL URL, for whoever missed it.
const POSTGRES_FORM: &str = "postgres: is followed by //user:password@host:port/database";
/// What a `#`, `/` or `?` in a password does, and how it is written.
const PASSWORD_UNENCODED: &str = "user and password end at the first / ? or #, so that no host follows them; special characters in a \
     password are percent-encoded: # is %23, / is %2F, ? is %3F, @ is %40, : is %3A, % is %25";
/// What is wrong with a port. What stands there may be the rest of a password.
const PORT: &str = "the port is no number from 1 to 65535; postgres: is followed by //user:password@host:port/database, and special \
     characters in a password are percent-encoded: : is %3A, @ is %40, # is %23, / is %2F, ? is %3F, % is %25";

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
            if let Some(why) = misshapen(url) {
                return Err(StoreError::Url(why));
            }
            PgConnectOptions::from_str(url).map_err(|_| StoreError::Url(POSTGRES_FORM))?;
            Ok(DatabaseUrl::Postgres(SecretString::from(url)))
        } else {
            Err(StoreError::Url("a database URL begins with sqlite: or postgres:"))
        }
    }
}

/// What is wrong with a PostgreSQL URL, in words that name the mistake and show nothing of the URL: its password stands in it.
fn misshapen(url: &str) -> Option<&'static str> {
    let (_, rest) = url.split_once("://")?;
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = before.split('/').next().unwrap_or_default();
    // A password that broke off has left its @ behind it, in the path or in what then looks like a first parameter.
    let behind =
        before[authority.len()..].contains('@') || query.split(['=', '&']).next().unwrap_or_default().contains('@');
    if rest.contains('#') || behind && !authority.contains('@') {
        return Some(PASSWORD_UNENCODED);
    }
    let host = authority.rsplit('@').next().unwrap_or_default();
    let port = match host.rsplit_once(']') {
        Some((_, after_address)) => after_address.strip_prefix(':'),
        None => host.rsplit_once(':').map(|(_, port)| port),
    };
    port.filter(|port| port.parse::<u16>().map_or(!port.is_empty(), |port| port == 0)).map(|_| PORT)
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
                // SQLite would leave it to the umask; an error is told by SQLite in a moment. The files beside it are as it is.
                let _there_or_told = File::options().write(true).create_new(true).mode(SQLITE_MODE).open(path);
                let write = one_writer(busy_timeout)
                    .connect_with(options.clone())
                    .await
                    .map_err(|error| unopened::sqlite(path, &error))?;
                let read = readers(busy_timeout).connect_lazy_with(read_only(options));
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
        Ok(Store::on(db, clock))
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
            DatabaseUrl::Sqlite(path) if !path.exists() => Err(absent(path)),
            _ => Store::open(url, max_connections, busy_timeout, clock).await,
        }
    }

    /// The same for who may only read: of a SQLite file no connection that writes is opened unless it is asked for. Where this user may not
    /// make the log's companion files either, the file is read as it stands, as long as nobody has it open.
    ///
    /// # Errors
    /// Those of [`Store::open_existing`].
    pub async fn open_to_read(
        url: &DatabaseUrl,
        max_connections: u32,
        busy_timeout: Duration,
        clock: Clock,
    ) -> Result<Store, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) if path.exists() => {
                let options = sqlite_options(path, busy_timeout).create_if_missing(false);
                let as_it_stands = sqlite_options_to_look(path, busy_timeout).immutable(true);
                let read = match readers(busy_timeout).connect_with(read_only(options.clone())).await {
                    Err(error) if unopened::is_not_writable(&error) && !beside(path, LOG).exists() => {
                        readers(busy_timeout).connect_with(read_only(as_it_stands)).await
                    }
                    opened => opened,
                };
                let read = read.map_err(|error| unopened::sqlite(path, &error))?;
                let db = Db::Sqlite { write: one_writer(busy_timeout).connect_lazy_with(options), read };
                Ok(Store::on(db, clock))
            }
            _ => Store::open_existing(url, max_connections, busy_timeout, clock).await,
        }
    }

    /// The same for who changes nothing at all, not even the files beside a SQLite database: no connection can write.
    ///
    /// # Errors
    /// Those of [`Store::open_existing`].
    pub async fn open_to_look(url: &DatabaseUrl, busy_timeout: Duration, clock: Clock) -> Result<Store, StoreError> {
        let db = match url {
            DatabaseUrl::Sqlite(path) => {
                if !path.exists() {
                    return Err(absent(path));
                }
                // Without a log nobody has the file open, and one that a reader made would stay behind: it cannot clear up.
                let options = sqlite_options_to_look(path, busy_timeout).immutable(!beside(path, LOG).exists());
                let read = SqlitePoolOptions::new()
                    .max_connections(1)
                    .acquire_timeout(busy_timeout)
                    .connect_with(options.read_only(true))
                    .await
                    .map_err(|error| unopened::sqlite(path, &error))?;
                Db::Sqlite { write: read.clone(), read }
            }
            DatabaseUrl::Postgres(url) => {
                let options = postgres_options(url)?.options([("default_transaction_read_only", "on")]);
                greet(&options, busy_timeout.min(FIRST_CONNECTION)).await?;
                Db::Postgres(
                    PgPoolOptions::new().max_connections(1).acquire_timeout(busy_timeout).connect_lazy_with(options),
                )
            }
        };
        Ok(Store::on(db, clock))
    }

    /// The file of a SQLite database; none on PostgreSQL.
    pub(in crate::store) fn file(&self) -> Option<PathBuf> {
        match &self.db {
            Db::Sqlite { read, .. } => Some(read.connect_options().get_filename().to_owned()),
            Db::Postgres(_) => None,
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
        Ok(Store::on(db, clock))
    }

    /// Makes this process the one daemon on a SQLite file. On PostgreSQL there may be several, and nothing is locked.
    ///
    /// # Errors
    /// [`StoreError::SecondDaemon`] where another process holds the lock; [`StoreError::Unopened`] where the file's directory is
    /// missing.
    pub fn lock_file(url: &DatabaseUrl) -> Result<Option<FileLock>, StoreError> {
        let DatabaseUrl::Sqlite(path) = url else { return Ok(None) };
        let lock = beside(path, ".lock");
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

/// One writer: SQLite has one anyway, and here it queues in the process instead of in the busy handler.
fn one_writer(busy_timeout: Duration) -> SqlitePoolOptions {
    let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
    pool.test_before_acquire(false).acquire_timeout(busy_timeout)
}

fn readers(busy_timeout: Duration) -> SqlitePoolOptions {
    let pool = SqlitePoolOptions::new().max_connections(SQLITE_READERS);
    pool.test_before_acquire(false).acquire_timeout(busy_timeout)
}

fn read_only(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.pragma("cache_size", SQLITE_READERS_CACHE).read_only(true)
}

/// That a SQLite file is not there, or its directory is not.
fn absent(path: &Path) -> StoreError {
    unopened::directory_missing(path).unwrap_or_else(|| StoreError::NoDatabase { path: path.to_owned() })
}

/// A file beside a SQLite database, by what its name ends in.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(ending);
    PathBuf::from(name)
}

fn postgres_options(url: &SecretString) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| StoreError::Url(POSTGRES_FORM))?;
    let lock_timeout = format!("{}ms", LOCK_TIMEOUT.as_millis());
    let settings = [
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
        ("lock_timeout", lock_timeout.as_str()),
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
    sqlite_options_to_look(path, busy_timeout).create_if_missing(true).journal_mode(SqliteJournalMode::Wal)
}

/// All of them but what changes a file.
fn sqlite_options_to_look(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(busy_timeout)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .row_buffer_size(SQLITE_ROWS_AHEAD)
        .pragma("wal_autocheckpoint", SQLITE_PAGES_BEFORE_CHECKPOINT)
        .pragma("cache_size", SQLITE_CACHE)
        .pragma("journal_size_limit", SQLITE_LOG_BYTES)
        .pragma("trusted_schema", "OFF")
}
