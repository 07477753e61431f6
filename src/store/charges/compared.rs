//! Charges as they are held against the gateway's payments of the same reference.

use crate::clock::Instant;
use crate::row;
use crate::store::db::{Statement, ids};
use crate::store::{Store, StoreError};

row! {
    /// A charge with what a comparison needs to know of it.
    pub ComparedRow {
        /// The order of the pages.
        id: i64,
        /// Its shown id.
        public_id: String,
        /// The merchant's own reference of the subscription.
        subscription: String,
        /// The period's number.
        period_index: i64,
        /// The reference that its payments carry.
        reference: String,
        /// When its live attempt is sent or looked at next; none where it has none.
        live_next_at: Option<Instant>,
    }
}

row! {
    /// A payment as the books have it.
    pub BookedRow {
        /// Of which charge.
        charge_id: i64,
        /// `pay_…`
        gateway_payment_id: String,
        /// The gateway's own word when it was seen last.
        status: String,
        /// The gateway's figure.
        amount_minor: Option<i64>,
        /// The gateway's figure.
        currency: Option<String>,
        /// What was taken.
        captured_minor: i64,
        /// What was given back.
        refunded_minor: i64,
        /// When it was learned of.
        first_seen_at: Instant,
    }
}

row! { CountRow { count: i64 } }

/// The columns of a [`ComparedRow`].
macro_rules! compared {
    () => {
        "SELECT c.id, c.public_id, s.reference AS subscription, c.period_index, c.reference, (SELECT MIN(a.next_at) FROM attempts a \
         WHERE a.charge_id = c.id AND a.state IN ('created', 'sending', 'unknown', 'pending')) AS live_next_at \
         FROM charges c JOIN subscriptions s ON s.id = c.subscription_id"
    };
}

/// Something happened to the charge since `$1`.
macro_rules! moved_since {
    () => {
        " (c.opened_at >= $1 OR c.paid_at >= $1 \
         OR EXISTS (SELECT 1 FROM attempts a WHERE a.charge_id = c.id AND (a.last_sent_at >= $1 OR a.settled_at >= $1)) \
         OR EXISTS (SELECT 1 FROM payments p WHERE p.charge_id = c.id AND p.status_at >= $1))"
    };
}

impl Store {
    /// How many charges something happened to since `since`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn charges_moved(&self, since: Instant) -> Result<u64, StoreError> {
        let text = concat!("SELECT COUNT(*) AS count FROM charges c WHERE", moved_since!());
        let row: CountRow = self.read_one(Statement::new(text).bind(since)).await?;
        Ok(u64::try_from(row.count).unwrap_or_default())
    }

    /// The next page of them, after the one with this number.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn charges_moved_page(
        &self,
        since: Instant,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ComparedRow>, StoreError> {
        let text = concat!(compared!(), " WHERE c.id > $2 AND", moved_since!(), " ORDER BY c.id LIMIT $3");
        self.read(Statement::new(text).bind(since).bind(after).bind(limit)).await
    }

    /// These charges, as they are now.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn charges_compared(&self, charge_ids: Vec<i64>) -> Result<Vec<ComparedRow>, StoreError> {
        let text = concat!(compared!(), " JOIN {v} ON c.id = v.id ORDER BY c.id");
        self.read(Statement::new(text).rows("v", ids(charge_ids))).await
    }

    /// Every payment of these charges, in the order of their first sight.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn payments_booked(&self, charge_ids: Vec<i64>) -> Result<Vec<BookedRow>, StoreError> {
        let text = "SELECT p.charge_id, p.gateway_payment_id, p.status, p.amount_minor, p.currency, p.captured_minor, \
                    p.refunded_minor, p.first_seen_at FROM payments p JOIN {v} ON p.charge_id = v.id ORDER BY p.id";
        self.read(Statement::new(text).rows("v", ids(charge_ids))).await
    }
}
