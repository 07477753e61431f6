//! Charges: one row a billing period, billed or not, never two.

mod compared;
mod show;

use std::collections::BTreeMap;

use super::StoreError;
use super::db::{Rows, Statement, Tx, ids};
use crate::cells;
use crate::clock::Instant;
use crate::domain::charge::ChargeState;
use crate::domain::id::ChargeId;
use crate::domain::money::Money;
use crate::row;

pub use compared::{BookedRow, ComparedRow};
pub use show::{Filter, ShownAttemptRow, ShownCaseRow, ShownPaymentRow, ShownRow};

/// A charge that is about to be opened.
#[derive(Debug, Clone)]
pub struct NewCharge {
    /// Its shown id.
    pub public_id: ChargeId,
    /// Who owes.
    pub subscription_id: i64,
    /// The period's number.
    pub period_index: i64,
    /// The period's first instant.
    pub period_start_at: Instant,
    /// The first instant after it.
    pub period_end_at: Instant,
    /// The plan version that gave the price.
    pub plan_id: i64,
    /// The reference at the gateway.
    pub reference: String,
    /// What is owed.
    pub amount: Money,
    /// `due`, `skipped` or `held`.
    pub state: ChargeState,
    /// Why it is skipped or held.
    pub reason: Option<&'static str>,
}

row! {
    OpenedRow { id: i64, public_id: String }
}

row! {
    /// All that a new attempt of a charge is made of.
    pub CollectableRow {
        /// The charge.
        charge_id: i64,
        /// Its subscription.
        subscription_id: i64,
        /// The merchant's own reference.
        subscription_reference: String,
        /// The period's number.
        period_index: i64,
        /// The reference at the gateway.
        reference: String,
        /// What is owed.
        amount_minor: i64,
        /// In which currency.
        currency: String,
        /// The plan's name.
        plan_name: String,
        /// What the customer reads.
        description: String,
        /// Who pays.
        customer_id: i64,
        /// Personal data.
        customer_name: Option<String>,
        /// Personal data.
        customer_email: Option<String>,
        /// ISO 3166 alpha-2.
        country: String,
        /// What is charged.
        gateway_source_id: Option<String>,
        /// The number of its last attempt.
        last_n: i64,
    }
}

impl Tx {
    /// Opens charges; the id of each by its shown id.
    ///
    /// # Errors
    /// [`StoreError::Database`]; a unique violation where a period has its row already.
    pub async fn open_charges(&mut self, new: &[NewCharge], now: Instant) -> Result<BTreeMap<String, i64>, StoreError> {
        let mut rows = Rows::new(
            &[
                "public_id",
                "subscription_id",
                "period_index",
                "period_start_at",
                "period_end_at",
                "plan_id",
                "reference",
                "amount_minor",
                "currency",
                "state",
                "reason",
            ],
            "tii@@itittt",
        );
        for it in new {
            rows.push(cells![
                it.public_id.to_string(),
                it.subscription_id,
                it.period_index,
                it.period_start_at,
                it.period_end_at,
                it.plan_id,
                it.reference.as_str(),
                it.amount.amount_minor,
                it.amount.currency.code(),
                it.state.as_str(),
                it.reason,
            ]);
        }
        let opened: Vec<OpenedRow> = self
            .all(
                Statement::new(
                    "INSERT INTO charges (public_id, subscription_id, period_index, period_start_at, period_end_at, plan_id, \
                     reference, amount_minor, currency, state, reason, due_at, opened_at) \
                     SELECT v.public_id, v.subscription_id, v.period_index, v.period_start_at, v.period_end_at, v.plan_id, \
                     v.reference, v.amount_minor, v.currency, v.state, v.reason, v.period_start_at, $1 FROM {v} \
                     RETURNING id, public_id",
                )
                .bind(now)
                .rows("v", rows),
            )
            .await?;
        Ok(opened.into_iter().map(|row| (row.public_id, row.id)).collect())
    }

    /// What the next attempt of each of these charges is made of.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn collectables(&mut self, charge_ids: Vec<i64>) -> Result<Vec<CollectableRow>, StoreError> {
        self.all(
            Statement::new(
                "SELECT c.id AS charge_id, s.id AS subscription_id, s.reference AS subscription_reference, c.period_index, \
                 c.reference, c.amount_minor, c.currency, p.name AS plan_name, p.description, s.customer_id, \
                 k.name AS customer_name, k.email AS customer_email, k.country, o.gateway_source_id, \
                 CAST((SELECT COALESCE(MAX(a.n), 0) FROM attempts a WHERE a.charge_id = c.id) AS BIGINT) AS last_n \
                 FROM charges c JOIN {v} ON c.id = v.id JOIN subscriptions s ON s.id = c.subscription_id \
                 JOIN plans p ON p.id = c.plan_id JOIN customers k ON k.id = s.customer_id \
                 LEFT JOIN sources o ON o.id = s.source_id ORDER BY c.id",
            )
            .rows("v", ids(charge_ids)),
        )
        .await
    }
}
