//! Why a database cannot be opened, in an operator's words: which one, the cause, and what to do next. The password is never shown.

use std::path::Path;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteError;

use crate::store::StoreError;

/// SQLite's code for a file that is no database.
const SQLITE_NOT_A_DATABASE: &str = "26";
/// SQLite's codes for a file that cannot be opened, and for one that can only be read.
const SQLITE_NOT_WRITABLE: &[i64] = &[14, SQLITE_READ_ONLY];
/// The second of them alone.
const SQLITE_READ_ONLY: i64 = 8;
/// And where it is the directory that may not be written.
const SQLITE_READ_ONLY_DIRECTORY: i64 = 8 | (6 << 8);
/// SQLite says more of some codes in the bits above these (<https://sqlite.org/rescode.html>).
const SQLITE_PRIMARY: i64 = 0xff;

/// A SQLite file that could not be opened.
pub(super) fn sqlite(path: &Path, error: &sqlx::Error) -> StoreError {
    if let Some(error) = directory_missing(path) {
        return error;
    }
    let code = error.as_database_error().and_then(|it| it.code()).unwrap_or_default().into_owned();
    let why = if path.is_dir() {
        "opened: it is a directory; name a file in it".to_owned()
    } else if is_not_writable(error) {
        return StoreError::NotWritable { database: shown_file(path) };
    } else if code == SQLITE_NOT_A_DATABASE {
        "opened: the file is no SQLite database; name another".to_owned()
    } else {
        format!("opened: {}", words(error))
    };
    StoreError::Unopened { database: shown_file(path), why }
}

/// Whether a SQLite file could not be opened for want of rights.
pub(super) fn is_not_writable(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|it| it.code()).and_then(|code| code.parse::<i64>().ok());
    code.is_some_and(|code| SQLITE_NOT_WRITABLE.contains(&(code & SQLITE_PRIMARY)))
}

/// Whether a statement failed because a SQLite file may only be read.
pub fn is_read_only(error: &sqlx::Error) -> bool {
    let sqlite = error.as_database_error().and_then(|it| it.try_downcast_ref::<SqliteError>());
    let code = sqlite.and_then(DatabaseError::code).and_then(|code| code.parse::<i64>().ok());
    // Others of its kind say something else, such as that the file was taken away under the process.
    code.is_some_and(|code| [SQLITE_READ_ONLY, SQLITE_READ_ONLY_DIRECTORY].contains(&code))
}

/// That the directory of a SQLite file is missing, where it is.
pub(super) fn directory_missing(path: &Path) -> Option<StoreError> {
    // A path of one part stands in the directory that the process stands in.
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty() && !it.is_dir())?;
    let why = format!("opened: the directory {} is missing; make it, or name another", directory.display());
    Some(StoreError::Unopened { database: shown_file(path), why })
}

/// A PostgreSQL that refused, or could not be reached.
pub(super) fn postgres(options: &PgConnectOptions, error: &sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|it| it.code()).unwrap_or_default().into_owned();
    let words = words(error);
    let why = match (error, code.as_str()) {
        (sqlx::Error::Io(_), _) => format!("reached: {words}; is the server up?"),
        (_, "3D000") => format!("opened: {words}; make it with createdb"),
        (_, "28000" | "28P01") => format!("opened: {words}; are user and password right?"),
        (_, "57P03") => format!("opened: {words}; try again in a moment"),
        _ => format!("opened: {words}"),
    };
    StoreError::Unopened { database: shown(options), why }
}

/// A PostgreSQL that kept silent.
pub(super) fn no_answer(options: &PgConnectOptions, limit: Duration) -> StoreError {
    let why =
        format!("reached: no answer within {} s; is the server up, and are host and port right?", limit.as_secs_f32());
    StoreError::Unopened { database: shown(options), why }
}

/// The cause alone: sqlx puts words of its own before it, and the system its number behind it.
fn words(error: &sqlx::Error) -> String {
    let words = match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    words.split(" (os error").next().unwrap_or_default().to_owned()
}

fn shown_file(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

fn shown(options: &PgConnectOptions) -> String {
    let (user, database) = (options.get_username(), options.get_database().unwrap_or(options.get_username()));
    match options.get_socket() {
        Some(directory) => format!("postgres://{user}:***@/{database}?host={}", directory.display()),
        None => format!("postgres://{user}:***@{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn a_file_that_may_only_be_read_is_told_from_any_other_fault() {
        let mut books = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query("CREATE TABLE t (a)").execute(&mut books).await.unwrap();
        sqlx::query("PRAGMA query_only = 1").execute(&mut books).await.unwrap();
        let closed = sqlx::query("INSERT INTO t VALUES (1)").execute(&mut books).await.unwrap_err();
        assert!(is_read_only(&closed), "{closed}");
        let wrong = sqlx::query("SELECT nothing").fetch_all(&mut books).await.unwrap_err();
        assert!(!is_read_only(&wrong) && !is_read_only(&sqlx::Error::PoolTimedOut));
    }
}
