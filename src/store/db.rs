//! The one module that knows there are two databases. A [`Store`] holds pools, a [`Tx`] is one unit of work, and both run
//! [`Statement`]s: one text, rendered for the database at hand.

mod claim;
mod connect;
mod hook;
mod lent;
mod owner;
mod purge;
mod statement;
mod unopened;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use crate::clock::{Clock, Instant};
use crate::store::StoreError;
use hook::ask;
use lent::{Lent, answer};
use statement::{Column, Value};

pub use claim::Claim;
pub use connect::{DatabaseUrl, LOCK_TIMEOUT};
pub use hook::{Asked, Hook, Moment, Step, Trouble};
pub use lent::ANSWER_WITHIN;
pub use owner::{directory_of, two_owners};
pub use purge::Purged;
pub use statement::{Bind, BoundValue, Rows, Statement, ids, sqlite_text};
pub(super) use unopened::is_read_only;

/// SQLite's code for a file that another program has locked.
const SQLITE_BUSY: &str = "5";
const SQLITE_IS_BUSY: &str = "another program holds a lock on the file for longer than database.busy_timeout: `fuser -v` on it tells which; let it finish, or end it";
const POSTGRES_IS_BUSY: &str = "no connection came free within database.busy_timeout: is the server up, and does another session hold a \
    lock? pg_stat_activity tells";

/// The books. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    clock: Clock,
    round_trips: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    hook: Option<Arc<dyn Hook>>,
    /// How long an answer of PostgreSQL's is waited for; none: for ever. SQLite has its `busy_timeout`.
    answers_within: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Db {
    /// One writer and several readers, as SQLite wants it; the file lock lives as long as the store.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// One unit of work. Dropped without [`Tx::commit`] it is rolled back.
pub struct Tx {
    unit: Unit,
    work: &'static str,
    trips: u64,
    round_trips: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    clock: Clock,
    hook: Option<Arc<dyn Hook>>,
}

enum Unit {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Lent),
}

/// A row type that both databases can fill; [`row!`](crate::row) makes one.
pub trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for R {}

/// Declares a row type: a struct whose fields are read by name from either database.
#[macro_export]
macro_rules! row {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name { $($(#[$fdoc])* pub $field: $type),* }

        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            &'static str: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>),*
        {
            fn from_row(row: &'r R) -> sqlx::Result<Self> {
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}

impl Store {
    fn on(db: Db, clock: Clock) -> Store {
        Store { db, clock, round_trips: Arc::default(), hook: None, answers_within: None }
    }

    /// The same books for who must never hang: PostgreSQL is given up on after [`ANSWER_WITHIN`], at every single answer. Commands may wait
    /// longer, for there are questions that take long.
    #[must_use]
    pub fn impatient(self) -> Store {
        Store { answers_within: Some(ANSWER_WITHIN), ..self }
    }

    /// Which database this is, in one word.
    pub fn kind(&self) -> &'static str {
        match &self.db {
            Db::Sqlite { .. } => "sqlite",
            Db::Postgres(_) => "postgres",
        }
    }

    /// The clock that was handed in.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The database's own time, as [`Tx::now`] has it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn now(&self) -> Result<Instant, StoreError> {
        if self.clock.is_manual() || matches!(self.db, Db::Sqlite { .. }) {
            return Ok(self.clock.now());
        }
        let (now,): (Instant,) = self.read_one(Statement::new("SELECT clock_timestamp()")).await?;
        Ok(now)
    }

    /// Begins a unit of work that writes; `work` names it in the count of round trips.
    ///
    /// # Errors
    /// [`StoreError::Database`] where the database does not answer or stays locked.
    pub async fn begin(&self, work: &'static str) -> Result<Tx, StoreError> {
        ask(self.hook.as_ref(), Moment { work, step: Step::Begin, statement: "" }).await?;
        let unit = match &self.db {
            Db::Sqlite { write, .. } => write.begin_with("BEGIN IMMEDIATE").await.map(Unit::Sqlite),
            Db::Postgres(pool) => match Lent::by(pool, self.answers_within).await {
                Ok(mut lent) => lent.begin().await.map(|()| Unit::Postgres(lent)),
                Err(error) => Err(error),
            },
        };
        let unit = unit.map_err(|source| self.failed("begin a transaction", source))?;
        let (round_trips, clock, hook) = (Arc::clone(&self.round_trips), self.clock.clone(), self.hook.clone());
        Ok(Tx { unit, work, trips: 1, round_trips, clock, hook })
    }

    /// Reads without a transaction.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn read<R: Row>(&self, statement: Statement) -> Result<Vec<R>, StoreError> {
        ask(self.hook.as_ref(), Moment { work: "read", step: Step::Read, statement: statement.text() }).await?;
        let step = statement.text();
        let rows = match &self.db {
            Db::Sqlite { read, .. } => {
                let (text, values) = statement.for_sqlite();
                bind_as_sqlite(sqlx::query_as::<Sqlite, R>(AssertSqlSafe(text)), values).fetch_all(read).await
            }
            Db::Postgres(pool) => match Lent::by(pool, self.answers_within).await {
                Ok(mut lent) => all_of(&mut lent, statement).await,
                Err(error) => Err(error),
            },
        };
        count(&self.round_trips, "read", 1);
        rows.map_err(|source| self.failed(step, source))
    }

    /// Reads without a transaction, and hands over each row as it comes, until `each` breaks off: for answers that do not fit into
    /// memory. A connection is taken for as long as it lasts.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(super) async fn read_each<R: Row>(
        &self,
        statement: Statement,
        mut each: impl FnMut(R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        ask(self.hook.as_ref(), Moment { work: "read", step: Step::Read, statement: statement.text() }).await?;
        let step = statement.text();
        count(&self.round_trips, "read", 1);
        let failed = |source| self.failed(step, source);
        match &self.db {
            Db::Sqlite { read, .. } => {
                let (text, values) = statement.for_sqlite();
                let mut rows = bind_as_sqlite(sqlx::query_as::<Sqlite, R>(AssertSqlSafe(text)), values).fetch(read);
                while let Some(row) = rows.try_next().await.map_err(failed)? {
                    if each(row).is_break() {
                        break;
                    }
                }
            }
            Db::Postgres(pool) => {
                let mut lent = Lent::by(pool, self.answers_within).await.map_err(failed)?;
                let within = lent.within();
                let (text, values, columns) = statement.for_postgres();
                let query = bind_as_postgres(sqlx::query_as::<Postgres, R>(AssertSqlSafe(text)), values, columns);
                let mut rows = query.fetch(lent.asking().map_err(failed)?);
                while let Some(row) = answer(within, rows.try_next()).await.map_err(failed)? {
                    if each(row).is_break() {
                        // The rest of the answer is not waited for.
                        return Ok(());
                    }
                }
                drop(rows);
                lent.heard(Ok(())).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// What an error means that may be the pool's.
    fn failed(&self, step: &'static str, source: sqlx::Error) -> StoreError {
        let locked = || source.as_database_error().and_then(|it| it.code()).as_deref() == Some(SQLITE_BUSY);
        match &self.db {
            Db::Sqlite { .. } if matches!(source, sqlx::Error::PoolTimedOut) || locked() => {
                StoreError::Busy { step, why: SQLITE_IS_BUSY }
            }
            Db::Postgres(_) if matches!(source, sqlx::Error::PoolTimedOut) => {
                StoreError::Busy { step, why: POSTGRES_IS_BUSY }
            }
            Db::Sqlite { .. } | Db::Postgres(_) => StoreError::at(step, source),
        }
    }

    /// Reads the row that must be there.
    ///
    /// # Errors
    /// [`StoreError::Database`], also where no row came.
    pub async fn read_one<R: Row>(&self, statement: Statement) -> Result<R, StoreError> {
        let step = statement.text();
        let row = self.read(statement).await?.into_iter().next();
        row.ok_or(StoreError::Database { step, source: sqlx::Error::RowNotFound })
    }

    pub(super) async fn run_migrator(
        &self,
        migrator: &sqlx::migrate::Migrator,
    ) -> Result<(), sqlx::migrate::MigrateError> {
        match &self.db {
            Db::Sqlite { write, .. } => migrator.run(write).await,
            Db::Postgres(pool) => migrator.run(pool).await,
        }
    }

    /// Round trips to the database since the store was opened, by the name of the work.
    pub fn round_trips(&self) -> BTreeMap<&'static str, u64> {
        self.round_trips.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes every connection, after the work under way.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Whether this is PostgreSQL.
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.unit, Unit::Postgres(_))
    }

    /// The database's own time, by which leases, looks and the age of keys are measured. On SQLite, and under a clock that is
    /// turned by hand, the Clock is the database's time.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn now(&mut self) -> Result<Instant, StoreError> {
        if self.clock.is_manual() || matches!(self.unit, Unit::Sqlite(_)) {
            return Ok(self.clock.now());
        }
        let (now,): (Instant,) = self.one(Statement::new("SELECT clock_timestamp()")).await?;
        Ok(now)
    }

    /// Every row of the answer.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn all<R: Row>(&mut self, statement: Statement) -> Result<Vec<R>, StoreError> {
        ask(self.hook.as_ref(), Moment { work: self.work, step: Step::Statement, statement: statement.text() }).await?;
        self.trips += 1;
        let step = statement.text();
        let rows = match &mut self.unit {
            Unit::Sqlite(tx) => {
                let (text, values) = statement.for_sqlite();
                bind_as_sqlite(sqlx::query_as::<Sqlite, R>(AssertSqlSafe(text)), values).fetch_all(&mut **tx).await
            }
            Unit::Postgres(lent) => all_of(lent, statement).await,
        };
        rows.map_err(|source| StoreError::at(step, source))
    }

    /// The row that must be there.
    ///
    /// # Errors
    /// [`StoreError::Database`], also where no row came.
    pub async fn one<R: Row>(&mut self, statement: Statement) -> Result<R, StoreError> {
        let step = statement.text();
        let row = self.all(statement).await?.into_iter().next();
        row.ok_or(StoreError::Database { step, source: sqlx::Error::RowNotFound })
    }

    /// Runs a statement that answers nothing; how many rows it touched.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn run(&mut self, statement: Statement) -> Result<u64, StoreError> {
        ask(self.hook.as_ref(), Moment { work: self.work, step: Step::Statement, statement: statement.text() }).await?;
        self.trips += 1;
        let step = statement.text();
        let done = match &mut self.unit {
            Unit::Sqlite(tx) => {
                let (text, values) = statement.for_sqlite();
                bind_sqlite(sqlx::query(AssertSqlSafe(text)), values)
                    .execute(&mut **tx)
                    .await
                    .map(|done| done.rows_affected())
            }
            Unit::Postgres(lent) => touched_by(lent, statement).await,
        };
        done.map_err(|source| StoreError::at(step, source))
    }

    /// Runs a statement that must touch exactly `rows` rows, because its guards hold what was read before.
    ///
    /// # Errors
    /// [`StoreError::Moved`] where it touched fewer; the caller then drops this unit of work.
    pub async fn run_guarded(
        &mut self,
        table: &'static str,
        rows: usize,
        statement: Statement,
    ) -> Result<(), StoreError> {
        if rows == 0 {
            return Ok(());
        }
        let touched = self.run(statement).await?;
        if usize::try_from(touched) == Ok(rows) { Ok(()) } else { Err(StoreError::Moved { table }) }
    }

    /// Makes everything done in this unit of work durable.
    ///
    /// # Errors
    /// [`StoreError::Database`]: whether it was committed is then not known, and the caller reads again before it acts.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.trips += 1;
        count(&self.round_trips, self.work, self.trips);
        let at = |step| Moment { work: self.work, step, statement: "" };
        ask(self.hook.as_ref(), at(Step::Commit)).await?;
        let done = match self.unit {
            Unit::Sqlite(tx) => tx.commit().await,
            Unit::Postgres(lent) => lent.commit().await,
        };
        done.map_err(|source| StoreError::Database { step: "commit", source })?;
        ask(self.hook.as_ref(), at(Step::Committed)).await
    }
}

async fn all_of<R: Row>(lent: &mut Lent, statement: Statement) -> sqlx::Result<Vec<R>> {
    let (text, values, columns) = statement.for_postgres();
    let query = bind_as_postgres(sqlx::query_as::<Postgres, R>(AssertSqlSafe(text)), values, columns);
    let rows = answer(lent.within(), query.fetch_all(lent.asking()?)).await;
    lent.heard(rows)
}

async fn touched_by(lent: &mut Lent, statement: Statement) -> sqlx::Result<u64> {
    let (text, values, columns) = statement.for_postgres();
    let query = bind_postgres(sqlx::query(AssertSqlSafe(text)), values, columns);
    let done = answer(lent.within(), query.execute(lent.asking()?)).await;
    lent.heard(done).map(|done| done.rows_affected())
}

fn count(round_trips: &Mutex<BTreeMap<&'static str, u64>>, work: &'static str, trips: u64) {
    *round_trips.lock().unwrap_or_else(PoisonError::into_inner).entry(work).or_default() += trips;
}

/// Binds values and columns in order; sqlx's `Query` and `QueryAs` have the same method without a common trait.
macro_rules! bound {
    ($query:expr, $values:expr, $columns:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Int(it) => query.bind(it),
                Value::Text(it) => query.bind(it),
                Value::Time(it) => query.bind(it),
            };
        }
        for column in $columns {
            query = match column {
                Column::Ints(cells) => query.bind(cells),
                Column::Texts(cells) => query.bind(cells),
                Column::Times(cells) => query.bind(cells),
            };
        }
        query
    }};
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Int(it) => query.bind(it),
                Value::Text(it) => query.bind(it),
                Value::Time(it) => query.bind(it),
            };
        }
        query
    }};
}

type SqliteArgs = sqlx::sqlite::SqliteArguments;
type PgArgs = sqlx::postgres::PgArguments;

fn bind_sqlite<'q>(query: Query<'q, Sqlite, SqliteArgs>, values: Vec<Value>) -> Query<'q, Sqlite, SqliteArgs> {
    bound!(query, values)
}

fn bind_as_sqlite<'q, R>(
    query: QueryAs<'q, Sqlite, R, SqliteArgs>,
    values: Vec<Value>,
) -> QueryAs<'q, Sqlite, R, SqliteArgs> {
    bound!(query, values)
}

fn bind_postgres<'q>(
    query: Query<'q, Postgres, PgArgs>,
    values: Vec<Value>,
    columns: Vec<Column>,
) -> Query<'q, Postgres, PgArgs> {
    bound!(query, values, columns)
}

fn bind_as_postgres<'q, R>(
    query: QueryAs<'q, Postgres, R, PgArgs>,
    values: Vec<Value>,
    columns: Vec<Column>,
) -> QueryAs<'q, Postgres, R, PgArgs> {
    bound!(query, values, columns)
}
