//! Taking a customer's data out of the books: name and e-mail of every version. Ids, references, amounts and the journal stay.

use super::super::db::Statement;
use super::super::{Store, StoreError, Tx};
use crate::clock::Instant;
use crate::row;
use crate::store::journal::Entry;

/// PostgreSQL's code where a lock was not given in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// So many attempts that bar an erasure are named; the first tells enough.
const BARS_NAMED: u32 = 20;

row! {
    /// A customer without personal data.
    pub ShownCustomerRow {
        /// The merchant's own reference.
        reference: String,
        /// How many versions of the data the books have.
        versions: i64,
        /// How many of them hold a name or an e-mail address.
        with_data: i64,
        /// ISO 3166 alpha-2, of the latest version.
        country: String,
        /// When it was first seen.
        created_at: Instant,
    }
}

row! {
    /// An attempt that may still be sent or sent again, and so must stay the same to the byte.
    pub BarRow {
        /// The charge's shown id.
        charge: String,
        /// The state of the attempt.
        state: String,
        /// When it is sent, or looked at next.
        next_at: Instant,
        /// From when its key may live at the gateway.
        first_sent_at: Option<Instant>,
    }
}

row! { OwnRow { id: i64 } }

/// A customer by reference; what holds `$1`.
const SHOWN: &str = "SELECT c.reference, t.versions, t.with_data, c.country, t.created_at FROM customers c \
     JOIN (SELECT k.reference, COUNT(*) AS versions, MAX(k.version) AS latest, MIN(k.created_at) AS created_at, \
         COUNT(CASE WHEN k.name IS NOT NULL OR k.email IS NOT NULL THEN 1 END) AS with_data \
         FROM customers k WHERE k.reference = $1 GROUP BY k.reference) t \
     ON c.reference = t.reference AND c.version = t.latest";

impl Store {
    /// The customer with this reference.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn customer_shown(&self, reference: &str) -> Result<Option<ShownCustomerRow>, StoreError> {
        Ok(self.read(Statement::new(SHOWN).bind(reference)).await?.into_iter().next())
    }
}

impl Tx {
    /// The customer with this reference, whom nobody reads until this unit of work is over: no daemon that has read name and e-mail is still
    /// about to freeze them into a request.
    ///
    /// # Errors
    /// [`StoreError::BeingRead`] where somebody reads customers for long, as a backup does, [`StoreError::Database`].
    pub async fn customer_to_erase(&mut self, reference: &str) -> Result<Option<ShownCustomerRow>, StoreError> {
        if self.is_postgres() {
            // Whoever comes behind waits as well, so the wait is short.
            self.run(Statement::new("SET LOCAL lock_timeout = '2s'")).await?;
            let locked = self.run(Statement::new("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")).await;
            match locked {
                Err(error) if error.has_code(LOCK_NOT_AVAILABLE) => {
                    return Err(StoreError::BeingRead { table: "customers" });
                }
                other => other?,
            };
        } else {
            // This unit of work is the only one that writes. What it deletes is to be gone from the bytes of the file.
            self.run(Statement::new("PRAGMA secure_delete = ON")).await?;
        }
        Ok(self.all(Statement::new(SHOWN).bind(reference)).await?.into_iter().next())
    }

    /// The attempts of a customer that may still be sent, or sent again: those whose key was first sent at or before `key_over` are not.
    /// Among them are pending first payments of which no answer has named the source yet: their key is sent again to hear it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn bars_to_erasure(&mut self, reference: &str, key_over: Instant) -> Result<Vec<BarRow>, StoreError> {
        self.all(
            Statement::new(
                "SELECT c.public_id AS charge, a.state, a.next_at, a.first_sent_at FROM attempts a \
                 JOIN charges c ON c.id = a.charge_id JOIN customers k ON k.id = a.customer_id \
                 JOIN subscriptions s ON s.id = c.subscription_id \
                 WHERE k.reference = $1 AND a.state IN ('created', 'sending', 'unknown', 'pending') \
                 AND (a.state IN ('created', 'sending') OR a.first_sent_at > $2) \
                 AND (a.state <> 'pending' OR (a.kind = 'first' AND a.server_error = 0 AND a.late_looks = 0 \
                     AND s.source_id IS NULL AND s.state IN ('incomplete', 'incomplete_expired'))) \
                 ORDER BY a.id LIMIT $3",
            )
            .bind(reference)
            .bind(key_over)
            .bind(BARS_NAMED),
        )
        .await
    }

    /// Empties name and e-mail in every version of a customer, and writes it into the journal of each of their subscriptions; how many
    /// versions held data.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn erase_customer(
        &mut self,
        reference: &str,
        reason: &str,
        actor: &str,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let text = "UPDATE customers SET name = NULL, email = NULL WHERE reference = $1 \
             AND (name IS NOT NULL OR email IS NOT NULL)";
        let emptied = self.run(Statement::new(text).bind(reference)).await?;
        let own: Vec<OwnRow> = self
            .all(
                Statement::new(
                    "SELECT s.id FROM subscriptions s JOIN customers k ON k.id = s.customer_id WHERE k.reference = $1 ORDER BY s.id",
                )
                .bind(reference),
            )
            .await?;
        let entry = |subscription_id| Entry {
            act: "customer erased",
            subscription_id,
            detail: Some(reason.to_owned()),
            ..Entry::default()
        };
        let mut entries: Vec<Entry> = own.iter().map(|it| entry(Some(it.id))).collect();
        if entries.is_empty() {
            entries.push(entry(None));
        }
        self.write_journal(actor, now, &entries).await?;
        Ok(emptied)
    }
}
