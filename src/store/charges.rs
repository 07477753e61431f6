//! Charges: one row a billing period, billed or not, never two.

mod acted;
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

pub use acted::{HeldRow, NamedRow};
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
    /// When it is audited first; none where nothing is sent for it, and nothing can have been.
    pub audit_at: Option<Instant>,
}

/// An audit that came to its end.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The charge.
    pub charge_id: i64,
    /// Until when it was this daemon's to audit.
    pub leased_until: Instant,
    /// When it is audited next; none: never again.
    pub audit_at: Option<Instant>,
}

row! {
    /// A charge to audit.
    pub ToAuditRow {
        /// The charge.
        id: i64,
        /// The reference at the gateway.
        reference: String,
        /// When it was opened.
        opened_at: Instant,
        /// How often it was audited.
        audits: i64,
        /// Its last attempt; none where it was never billed.
        attempt_id: Option<i64>,
        /// That attempt's fencing token.
        lease_epoch: Option<i64>,
        /// Until when it is this daemon's to audit.
        leased_until: Instant,
    }
}

/// The scan of audit: an index scan over charges whose time has come.
pub const TO_AUDIT: &str = "WITH due AS MATERIALIZED (SELECT c.id AS due_id FROM charges c WHERE c.audit_at <= $1 \
     ORDER BY c.audit_at, c.id LIMIT $2 {lock c}), \
     last AS (SELECT due_id, MAX(a.n) AS n FROM due LEFT JOIN attempts a ON a.charge_id = due_id GROUP BY due_id) \
     SELECT c.id, c.reference, c.opened_at, c.audits, a.id AS attempt_id, a.lease_epoch, c.audit_at AS leased_until FROM last \
     JOIN charges c ON c.id = due_id LEFT JOIN attempts a ON a.charge_id = due_id AND a.n = last.n ORDER BY c.id";

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
                "audit_at",
            ],
            "tii@@itittt@",
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
                it.audit_at,
            ]);
        }
        let opened: Vec<OpenedRow> = self
            .all(
                Statement::new(
                    "INSERT INTO charges (public_id, subscription_id, period_index, period_start_at, period_end_at, plan_id, \
                     reference, amount_minor, currency, state, reason, due_at, opened_at, audit_at) \
                     SELECT v.public_id, v.subscription_id, v.period_index, v.period_start_at, v.period_end_at, v.plan_id, \
                     v.reference, v.amount_minor, v.currency, v.state, v.reason, v.period_start_at, $1, v.audit_at FROM {v} \
                     RETURNING id, public_id",
                )
                .bind(now)
                .rows("v", rows),
            )
            .await?;
        Ok(opened.into_iter().map(|row| (row.public_id, row.id)).collect())
    }

    /// Charges whose audit has come, the longest due first. They come back at `until` unless their audit is noted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn charges_to_audit(
        &mut self,
        now: Instant,
        until: Instant,
        limit: u32,
    ) -> Result<Vec<ToAuditRow>, StoreError> {
        let mut rows: Vec<ToAuditRow> = self.all(Statement::new(TO_AUDIT).bind(now).bind(limit)).await?;
        rows.iter_mut().for_each(|row| row.leased_until = until);
        self.run(
            Statement::new("UPDATE charges SET audit_at = $1 FROM {v} WHERE charges.id = v.id")
                .bind(until)
                .rows("v", ids(rows.iter().map(|row| row.id))),
        )
        .await?;
        Ok(rows)
    }

    /// Notes audits that came to their end. One that a fence has brought forward meanwhile, or another daemon has taken, is left to come.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn note_audits(&mut self, done: &[Audited]) -> Result<(), StoreError> {
        if done.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(&["id", "leased_until", "audit_at"], "i@@");
        for it in done {
            rows.push(cells![it.charge_id, it.leased_until, it.audit_at]);
        }
        self.run(
            Statement::new(
                "UPDATE charges SET audit_at = v.audit_at, audits = audits + 1 FROM {v} \
                 WHERE charges.id = v.id AND charges.audit_at = v.leased_until",
            )
            .rows("v", rows),
        )
        .await?;
        Ok(())
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
