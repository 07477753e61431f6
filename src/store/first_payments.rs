//! First payments: how the one that begins a subscription stands, and where its customer approves it.

use super::db::Statement;
use super::{Store, StoreError};
use crate::row;

row! {
    /// How a first payment stands.
    pub FirstPaymentRow {
        /// The subscription's state.
        subscription_state: String,
        /// The charge's state.
        charge_state: String,
        /// The attempt's state.
        attempt_state: String,
        /// Where the customer approves it.
        redirect_url: Option<String>,
        /// Why it was declined.
        response_code: Option<String>,
    }
}

row! {
    BegunRow { subscription_id: i64, charge_id: i64 }
}

row! {
    PublicRow { public_id: String }
}

impl Store {
    /// How the first payment of a charge stands.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn first_payment(&self, charge_id: i64) -> Result<FirstPaymentRow, StoreError> {
        self.read_one(
            Statement::new(
                "SELECT s.state AS subscription_state, c.state AS charge_state, a.state AS attempt_state, p.redirect_url, \
                 p.response_code FROM charges c JOIN subscriptions s ON s.id = c.subscription_id \
                 JOIN attempts a ON a.charge_id = c.id LEFT JOIN payments p ON p.attempt_id = a.id \
                 WHERE c.id = $1 ORDER BY a.n DESC LIMIT 1",
            )
            .bind(charge_id),
        )
        .await
    }

    /// Subscription and charge of the first payment begun under this merchant's reference.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn begun(&self, reference: &str) -> Result<Option<(i64, i64)>, StoreError> {
        let rows: Vec<BegunRow> = self
            .read(
                Statement::new(
                    "SELECT s.id AS subscription_id, c.id AS charge_id FROM subscriptions s \
                     JOIN charges c ON c.subscription_id = s.id JOIN attempts a ON a.charge_id = c.id \
                     WHERE s.reference = $1 AND a.kind = 'first' ORDER BY a.id DESC LIMIT 1",
                )
                .bind(reference),
            )
            .await?;
        Ok(rows.into_iter().next().map(|row| (row.subscription_id, row.charge_id)))
    }

    /// The shown id of a subscription.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn subscription_id_text(&self, id: i64) -> Result<String, StoreError> {
        let text = "SELECT public_id FROM subscriptions WHERE id = $1";
        let row: PublicRow = self.read_one(Statement::new(text).bind(id)).await?;
        Ok(row.public_id)
    }
}
