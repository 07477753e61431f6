//! First payments: how the one that begins a subscription stands, where its customer approves it, and whether it would be one too many.

use super::customers::NewCustomer;
use super::db::{Statement, Tx};
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

row! {
    /// A subscription that stands beside one which is to begin.
    pub OtherSubscriptionRow {
        /// The merchant's own reference.
        reference: String,
        /// Where it stands.
        state: String,
    }
}

row! { HeldRow { held: i64 } }

/// So many of the newest subscriptions are looked at again while no other can begin: whatever was entered since the first look is among
/// them, although ids of several daemons do not come in order.
const NEWEST: i64 = 10_000;
/// The customer's own reference, or e-mail, tells that it is the same customer. What has ended stands in nobody's way.
const OTHER: &str = "SELECT s.reference, s.state FROM subscriptions s JOIN customers k ON k.id = s.customer_id \
     JOIN segments g ON g.subscription_id = s.id JOIN plans p ON p.id = g.plan_id \
     WHERE (k.reference = $1 OR LOWER(k.email) = LOWER($2)) AND p.name = $3 AND s.reference <> $4 \
     AND s.state NOT IN ('canceled', 'completed', 'incomplete_expired') \
     ORDER BY s.id DESC LIMIT 1";
const OTHER_NEW: &str = "SELECT s.reference, s.state FROM subscriptions s JOIN customers k ON k.id = s.customer_id \
     JOIN segments g ON g.subscription_id = s.id JOIN plans p ON p.id = g.plan_id \
     WHERE s.id > (SELECT COALESCE(MAX(id), 0) FROM subscriptions) - $5 \
     AND (k.reference = $1 OR LOWER(k.email) = LOWER($2)) AND p.name = $3 AND s.reference <> $4 \
     AND s.state NOT IN ('canceled', 'completed', 'incomplete_expired') \
     ORDER BY s.id DESC LIMIT 1";
/// PostgreSQL's lock of who begins a subscription, given back when the unit of work ends: a number of ours, and the first of its uses.
const BEGINNING: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) AS held FROM (SELECT pg_advisory_xact_lock(1685415283, 1)) AS beginning";

impl Tx {
    /// Waits until no other unit of work begins a subscription. On SQLite there is one writer anyway.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn one_beginning_at_a_time(&mut self) -> Result<(), StoreError> {
        if self.is_postgres() {
            self.one::<HeldRow>(Statement::new(BEGINNING)).await?;
        }
        Ok(())
    }

    /// As [`Store::other_subscription`], among the newest subscriptions only.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn other_new_subscription(
        &mut self,
        customer: &NewCustomer,
        plan: &str,
        reference: &str,
    ) -> Result<Option<OtherSubscriptionRow>, StoreError> {
        let statement = Statement::new(OTHER_NEW)
            .bind(customer.reference.as_str())
            .bind(customer.email.clone())
            .bind(plan)
            .bind(reference)
            .bind(NEWEST);
        Ok(self.all(statement).await?.into_iter().next())
    }
}

impl Store {
    /// A subscription of this customer and plan, under another reference, that has not ended: the newest. It reads every subscription.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn other_subscription(
        &self,
        customer: &NewCustomer,
        plan: &str,
        reference: &str,
    ) -> Result<Option<OtherSubscriptionRow>, StoreError> {
        let statement = Statement::new(OTHER)
            .bind(customer.reference.as_str())
            .bind(customer.email.clone())
            .bind(plan)
            .bind(reference);
        Ok(self.read(statement).await?.into_iter().next())
    }

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
