//! A connection to PostgreSQL as the pool lends it. A server that keeps silent is waited for only so long, and a connection on which an
//! answer is still to come is closed: given back, it would hand that answer to whoever asks next, or keep the pool waiting for ever.

use std::io;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Executor, PgConnection, PgPool, Postgres};

/// A daemon waits so long for one answer of PostgreSQL's: longer than for any lock, so that a lock is told of by its name, and, with the
/// wait for a free connection before it, shorter than a loop that hangs (`daemon/health.rs`).
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// A connection that says nothing for so long when it is given back is not kept.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(20);

/// The connection, given back when it is dropped; work that is not committed is rolled back.
pub(super) struct Lent {
    connection: Option<PoolConnection<Postgres>>,
    /// How long an answer is waited for; none: for ever.
    within: Option<Duration>,
    /// Whether something was asked whose answer was not heard to its end.
    awaits: bool,
    in_transaction: bool,
}

impl Lent {
    /// Takes a connection, which the pool waits for only so long.
    pub(super) async fn by(pool: &PgPool, within: Option<Duration>) -> sqlx::Result<Lent> {
        let connection = Some(pool.acquire().await?);
        Ok(Lent { connection, within, awaits: false, in_transaction: false })
    }

    /// How long an answer is waited for.
    pub(super) fn within(&self) -> Option<Duration> {
        self.within
    }

    /// The connection, to ask something on it: until [`Lent::heard`] it is not given back.
    pub(super) fn asking(&mut self) -> sqlx::Result<&mut PgConnection> {
        self.awaits = true;
        let closed =
            || sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, "the connection was closed before"));
        self.connection.as_deref_mut().ok_or_else(closed)
    }

    /// The whole answer was heard, or waited for in vain: then the connection is closed at once.
    pub(super) fn heard<T>(&mut self, answer: sqlx::Result<T>) -> sqlx::Result<T> {
        self.awaits = matches!(&answer, Err(sqlx::Error::Io(_)));
        if self.awaits {
            self.cut();
        }
        answer
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> sqlx::Result<()> {
        self.tell("BEGIN").await?;
        self.in_transaction = true;
        Ok(())
    }

    /// Commits it. Where no answer came it is not known whether it was committed.
    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        self.tell("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn tell(&mut self, command: &'static str) -> sqlx::Result<()> {
        let within = self.within;
        let answer = answer(within, self.asking()?.execute(command)).await;
        self.heard(answer).map(|_| ())
    }

    /// Closes the connection without a word, and lets the pool open another.
    fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Ok(runtime), false) = (tokio::runtime::Handle::try_current(), self.awaits) else {
            // The server rolls back what it can no longer tell anybody of.
            return self.cut();
        };
        let Some(mut connection) = self.connection.take() else { return };
        if self.in_transaction {
            let within = Some(GIVEN_BACK_WITHIN);
            let mut rest = Lent { connection: Some(connection), within, awaits: true, in_transaction: false };
            runtime.spawn(async move {
                // Where it fails the connection is closed, which rolls back as well.
                let _closed_instead = rest.tell("ROLLBACK").await;
            });
        } else {
            // The pool asks it for a sign of life first. What this makes is made now, so that a runtime that ends closes the connection.
            let given_back = connection.return_to_pool();
            runtime.spawn(async move { tokio::time::timeout(GIVEN_BACK_WITHIN, given_back).await });
        }
    }
}

/// The answer, or after so long that none came.
pub(super) async fn answer<T>(
    within: Option<Duration>,
    answer: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let Some(within) = within else { return answer.await };
    let silent = |_| {
        let why = format!("no answer within {} s; is the server overloaded, frozen or cut off?", within.as_secs());
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, why)))
    };
    tokio::time::timeout(within, answer).await.unwrap_or_else(silent)
}
