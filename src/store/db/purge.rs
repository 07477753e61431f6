//! What was deleted leaves the bytes beside the tables: the write-ahead log of SQLite, the dead rows of PostgreSQL. A reader who began before
//! keeps it there, and is not waited for long.

use std::time::Duration;

use super::{Db, Statement, Store};
use crate::row;
use crate::store::StoreError;

/// So often it is asked whether the readers of before are gone, and so long between two times: a daemon's own reads are over by then.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purged {
    /// It is gone from them.
    Done,
    /// Somebody still reads what was there before: it stays until they have ended.
    BeingRead,
    /// PostgreSQL passes over a table that the login does not own, and only warns. This login does.
    OwnedBy(String),
}

row! { OwnerRow { owner: String, may: i64 } }
row! { XidRow { xid: String } }
row! { ReadersRow { readers: i64 } }

/// Who may clean up customers, and whether this login is among them. The right of its own came with PostgreSQL 17.
const OWNER: &str = "SELECT CAST(pg_get_userbyid(c.relowner) AS TEXT) AS owner, CAST(CASE \
     WHEN pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE') THEN 1 \
     WHEN CAST(current_setting('server_version_num') AS BIGINT) < 170000 THEN 0 \
     WHEN has_table_privilege(c.oid, 'MAINTAIN') THEN 1 ELSE 0 END AS BIGINT) AS may \
     FROM pg_class c, pg_database d WHERE c.oid = to_regclass('customers') AND d.datname = current_database()";
/// A transaction of now: whatever was deleted and committed before has a lower number.
const NOW: &str = "SELECT CAST(txid_current() % 4294967296 AS TEXT) AS xid";
/// Who may still see what was deleted before the transaction `$1`: sessions of this database, standbys, prepared transactions, slots.
const READERS: &str = "SELECT CAST(COUNT(*) AS BIGINT) AS readers FROM ( \
     SELECT a.backend_xmin AS xid FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND (a.datid IS NULL OR a.datname = current_database()) \
     UNION ALL SELECT a.backend_xid FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND a.datname = current_database() \
     UNION ALL SELECT p.transaction FROM pg_prepared_xacts p WHERE p.database = current_database() \
     UNION ALL SELECT s.xmin FROM pg_replication_slots s) held \
     WHERE held.xid IS NOT NULL AND age(held.xid) > age(CAST(CAST($1 AS TEXT) AS xid))";

impl Store {
    /// Makes what was deleted leave the bytes beside the tables: on SQLite the write-ahead log is moved into the file, on PostgreSQL dead rows
    /// of customers are removed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn purge(&self) -> Result<Purged, StoreError> {
        let fault = |source| StoreError::Database { step: "purge", source };
        match &self.db {
            Db::Sqlite { write, .. } => {
                let busy = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(write).await;
                let busy: i64 = busy.map_err(fault)?;
                Ok(if busy == 0 { Purged::Done } else { Purged::BeingRead })
            }
            Db::Postgres(pool) => {
                let OwnerRow { owner, may } = self.read_one(Statement::new(OWNER)).await?;
                if may == 0 {
                    return Ok(Purged::OwnedBy(owner));
                }
                let left = self.left_by_readers().await?;
                // Where somebody is left, what can go goes all the same.
                sqlx::query("VACUUM customers").execute(pool).await.map_err(fault)?;
                Ok(if left { Purged::Done } else { Purged::BeingRead })
            }
        }
    }

    /// Waits a little until nobody sees any more what was deleted before now. PostgreSQL would clean up around them and say nothing.
    async fn left_by_readers(&self) -> Result<bool, StoreError> {
        let XidRow { xid } = self.read_one(Statement::new(NOW)).await?;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            let ReadersRow { readers } = self.read_one(Statement::new(READERS).bind(xid.as_str())).await?;
            if readers == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
