//! First payments: how the one that begins a subscription stands, where its customer approves it, and whether it would be one too many.

use std::collections::BTreeMap;

use super::customers::NewCustomer;
use super::db::{Statement, Tx, ids};
use super::{Store, StoreError};
use crate::clock::Instant;
use crate::row;

row! {
    /// How a first payment stands.
    pub FirstPaymentRow {
        /// The subscription's state.
        subscription_state: String,
        /// The charge's state.
        charge_state: String,
        /// Why the charge is in that state.
        reason: Option<String>,
        /// The attempt's state.
        attempt_state: String,
        /// The payment that it waits for or ended with.
        payment_id: Option<String>,
        /// When it is sent or looked at next.
        next_at: Option<Instant>,
        /// How often it may have been sent.
        sends: i64,
        /// Look-ups since its key is over.
        late_looks: i64,
        /// From when its key may live.
        first_sent_at: Option<Instant>,
        /// When it may have been sent last.
        last_sent_at: Option<Instant>,
        /// Whether a 5xx hid the outcome.
        server_error: i64,
        /// Whether the subscription has a source.
        has_source: i64,
        /// The open review case of the charge, the one of its reason first.
        review: Option<String>,
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
        /// Whether it has ended, and its first payment can still be made.
        payable: i64,
    }
}

row! {
    /// How a first payment was begun: what a resume is held against.
    pub BeginningRow {
        /// The plan's name.
        plan: String,
        /// The merchant's own reference of the customer.
        customer: String,
        /// Personal data.
        name: Option<String>,
        /// Personal data.
        email: Option<String>,
        /// ISO 3166 alpha-2.
        country: String,
        /// The zone of its periods.
        zone: String,
        /// The first day of its first period.
        anchor_on: String,
        /// Its request without personal data.
        body: String,
    }
}

row! { NewerRow { id: i64, reference: String } }
row! { HeldRow { held: i64 } }

/// So many of the newest subscriptions are looked at again while no other can begin: whatever was entered since the first look is among
/// them, although ids of several daemons do not come in order.
const NEWEST: i64 = 10_000;
/// The customer's own reference, or e-mail, tells that it is the same customer. What has ended stands in nobody's way, unless its first
/// payment can still be made.
macro_rules! other {
    ($among:literal) => {
        concat!(
            "SELECT s.reference, s.state, CAST(CASE WHEN s.state IN ('canceled', 'completed', 'incomplete_expired') THEN 1 \
             ELSE 0 END AS BIGINT) AS payable FROM subscriptions s JOIN customers k ON k.id = s.customer_id \
             JOIN segments g ON g.subscription_id = s.id JOIN plans p ON p.id = g.plan_id WHERE ",
            $among,
            "(k.reference = $1 OR LOWER(k.email) = LOWER($2)) AND p.name = $3 AND s.reference <> $4 \
             AND (s.state NOT IN ('canceled', 'completed', 'incomplete_expired') OR EXISTS (SELECT 1 FROM charges c \
             JOIN attempts a ON a.charge_id = c.id WHERE c.subscription_id = s.id AND a.kind = 'first' \
             AND a.state IN ('sending', 'unknown', 'pending'))) ORDER BY s.id DESC LIMIT 1"
        )
    };
}
const OTHER: &str = other!("");
const OTHER_NEW: &str = other!("s.id > (SELECT COALESCE(MAX(id), 0) FROM subscriptions) - $5 AND ");
/// By the same signs of one customer: what was begun after a subscription and has not ended.
const BEGUN_SINCE: &str = "SELECT s.id, MAX(t.reference) AS reference FROM {v} JOIN subscriptions s ON s.id = v.id \
     JOIN customers k ON k.id = s.customer_id JOIN segments g ON g.subscription_id = s.id JOIN plans p ON p.id = g.plan_id \
     JOIN customers l ON l.id = k.id OR LOWER(l.email) = LOWER(k.email) \
     JOIN subscriptions t ON t.customer_id = l.id AND t.id > s.id \
     JOIN segments h ON h.subscription_id = t.id JOIN plans q ON q.id = h.plan_id AND q.name = p.name \
     WHERE t.state NOT IN ('canceled', 'completed', 'incomplete_expired') GROUP BY s.id";
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

    /// Of each of these subscriptions: one of the same customer and plan that was begun after it and has not ended, by its reference.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn begun_since(&mut self, subscription_ids: &[i64]) -> Result<BTreeMap<i64, String>, StoreError> {
        if subscription_ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows: Vec<NewerRow> =
            self.all(Statement::new(BEGUN_SINCE).rows("v", ids(subscription_ids.iter().copied()))).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.reference)).collect())
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
                "SELECT s.state AS subscription_state, c.state AS charge_state, c.reason, a.state AS attempt_state, a.payment_id, \
                 a.next_at, a.sends, a.late_looks, a.first_sent_at, a.last_sent_at, a.server_error, \
                 CAST(CASE WHEN s.source_id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS has_source, \
                 COALESCE((SELECT MAX(r.public_id) FROM review_cases r WHERE r.charge_id = c.id AND r.resolved_at IS NULL \
                 AND r.reason = c.reason), (SELECT MAX(r.public_id) FROM review_cases r WHERE r.charge_id = c.id \
                 AND r.resolved_at IS NULL)) AS review, \
                 p.redirect_url, p.response_code FROM charges c JOIN subscriptions s ON s.id = c.subscription_id \
                 JOIN attempts a ON a.charge_id = c.id LEFT JOIN payments p ON p.attempt_id = a.id \
                 WHERE c.id = $1 ORDER BY a.n DESC, CASE WHEN p.gateway_payment_id = a.payment_id THEN 0 ELSE 1 END LIMIT 1",
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

    /// How the first payment of this charge was begun.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn beginning(&self, charge_id: i64) -> Result<BeginningRow, StoreError> {
        self.read_one(
            Statement::new(
                "SELECT p.name AS plan, k.reference AS customer, k.name, k.email, k.country, g.zone, g.anchor_on, r.body \
                 FROM charges c JOIN subscriptions s ON s.id = c.subscription_id JOIN customers k ON k.id = s.customer_id \
                 JOIN plans p ON p.id = c.plan_id JOIN segments g ON g.subscription_id = s.id AND g.first_index = 0 \
                 JOIN attempts a ON a.charge_id = c.id AND a.kind = 'first' \
                 JOIN requests r ON r.charge_id = a.charge_id AND r.n = a.n WHERE c.id = $1 ORDER BY a.n DESC LIMIT 1",
            )
            .bind(charge_id),
        )
        .await
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
