//! That one process alone follows a first payment. It is given back when the process ends, however it ends, and protects no money: leases
//! do. It keeps two people from waiting for one customer, each with their own advice.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::connect::beside;
use super::{Db, Store};
use crate::store::StoreError;

/// The claim, held until it is dropped.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "held, not read")] Held);

#[derive(Debug)]
enum Held {
    File(#[expect(dead_code, reason = "held, not read")] LockedFile),
    /// A connection of its own: a pool would lend it to others.
    Session(#[expect(dead_code, reason = "held, not read")] Box<PgConnection>),
}

/// A file beside a SQLite database, removed while its lock is still held.
#[derive(Debug)]
struct LockedFile {
    file: File,
    path: PathBuf,
}

impl Store {
    /// Claims the first payment of a charge for this process; none where another has it.
    ///
    /// # Errors
    /// [`StoreError::Lock`], [`StoreError::Database`].
    pub async fn claim_first_payment(&self, charge_id: i64) -> Result<Option<Claim>, StoreError> {
        match &self.db {
            Db::Sqlite { write, .. } => {
                let path = beside(write.connect_options().get_filename(), &format!(".first-{charge_id}"));
                let locked = LockedFile::take(&path).map_err(|source| StoreError::Lock { path, source })?;
                Ok(locked.map(|it| Claim(Held::File(it))))
            }
            Db::Postgres(pool) => {
                let failed = |source| StoreError::Database { step: "claim a first payment", source };
                let mut session = PgConnection::connect_with(&pool.connect_options()).await.map_err(failed)?;
                let claim = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(charge_id);
                let claimed: bool = claim.fetch_one(&mut session).await.map_err(failed)?;
                Ok(claimed.then(|| Claim(Held::Session(Box::new(session)))))
            }
        }
    }
}

impl LockedFile {
    /// Locks the file, which is made where it is missing; none where another has it.
    fn take(path: &Path) -> std::io::Result<Option<LockedFile>> {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        // Who had it before may have removed it between our opening and our locking: then others lock another file of that name.
        let named = std::fs::metadata(path).is_ok_and(|it| file.metadata().is_ok_and(|own| own.ino() == it.ino()));
        Ok(named.then(|| LockedFile { file, path: path.to_owned() }))
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // A file that stays is no harm: its lock is given back, and the next claim takes it.
        let _stays = std::fs::remove_file(&self.path);
        let _given_back_by_closing = self.file.unlock();
    }
}
