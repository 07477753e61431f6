//! What an operator's act needs of charges.

use crate::clock::Instant;
use crate::row;
use crate::store::StoreError;
use crate::store::db::{Statement, Tx, ids};

row! {
    /// A charge that an operator names.
    pub NamedRow {
        /// Inside.
        id: i64,
        /// Its shown id.
        public_id: String,
        /// Its subscription.
        subscription_id: i64,
        /// Its state.
        state: String,
    }
}

row! {
    /// A charge that the catch-up rule held back.
    pub HeldRow {
        /// Inside.
        id: i64,
        /// Its shown id.
        public_id: String,
        /// Its subscription.
        subscription_id: i64,
        /// The subscription's state.
        subscription_state: String,
        /// The state of what is charged.
        source_state: Option<String>,
    }
}

impl Tx {
    /// The charge with this shown id or reference, locked.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn charge_named(&mut self, name: &str) -> Result<Option<NamedRow>, StoreError> {
        let text = "SELECT c.id, c.public_id, c.subscription_id, c.state FROM charges c \
                    WHERE c.public_id = $1 OR c.reference = $1 {hold c}";
        Ok(self.all(Statement::new(text).bind(name)).await?.into_iter().next())
    }

    /// The held charges of a subscription, in the order of `collectables`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn held_charges(&mut self, subscription_id: i64) -> Result<Vec<HeldRow>, StoreError> {
        self.all(
            Statement::new(
                "SELECT c.id, c.public_id, c.subscription_id, s.state AS subscription_state, o.state AS source_state \
                 FROM charges c JOIN subscriptions s ON s.id = c.subscription_id LEFT JOIN sources o ON o.id = s.source_id \
                 WHERE c.subscription_id = $1 AND c.state = 'held' ORDER BY c.id {hold c}",
            )
            .bind(subscription_id),
        )
        .await
    }

    /// These charges are audited, the first time at `audit_at`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn audit_from(&mut self, charge_ids: Vec<i64>, audit_at: Option<Instant>) -> Result<(), StoreError> {
        self.run(
            Statement::new("UPDATE charges SET audit_at = $1 FROM {v} WHERE charges.id = v.id")
                .bind(audit_at)
                .rows("v", ids(charge_ids)),
        )
        .await?;
        Ok(())
    }

    /// Bill looks at this subscription at once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn wake_subscription(&mut self, id: i64, now: Instant) -> Result<(), StoreError> {
        self.run(
            Statement::new("UPDATE subscriptions SET bill_at = $2 WHERE id = $1 AND bill_at > $2").bind(id).bind(now),
        )
        .await?;
        Ok(())
    }
}
