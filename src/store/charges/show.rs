//! Charges as people see them: lists, and one with its attempts, payments and dunning case.

use super::super::db::{Statement, ids};
use super::super::{Store, StoreError};
use crate::clock::Instant;
use crate::domain::charge::ChargeState;
use crate::row;

/// Which charges are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that stand so.
    pub state: Option<ChargeState>,
    /// Only those of the subscription with this shown id or merchant's reference.
    pub subscription: Option<String>,
    /// Only those owed from this instant on.
    pub due_from: Option<Instant>,
    /// Only those owed before this instant.
    pub due_before: Option<Instant>,
    /// So many at most.
    pub limit: u32,
}

row! {
    /// A charge as people see it.
    pub ShownRow {
        /// Inside.
        id: i64,
        /// Its shown id.
        public_id: String,
        /// Inside.
        subscription_id: i64,
        /// The subscription's shown id.
        subscription_public_id: String,
        /// The merchant's own reference of the subscription.
        subscription: String,
        /// The number of the billing period.
        period_index: i64,
        /// The period's first instant.
        period_start_at: Instant,
        /// The first instant after it.
        period_end_at: Instant,
        /// The plan's name.
        plan: String,
        /// The plan's version.
        plan_version: i64,
        /// What stands on every payment of this period.
        reference: String,
        /// What is owed.
        amount_minor: i64,
        /// In which currency.
        currency: String,
        /// Where it stands.
        state: String,
        /// Why.
        reason: Option<String>,
        /// From when it was owed.
        due_at: Instant,
        /// When the row was made.
        opened_at: Instant,
        /// When we learned that the money was taken.
        paid_at: Option<Instant>,
        /// By which payment.
        paid_by: Option<String>,
    }
}

row! {
    /// An attempt as people see it. Its body and its key's lease stay inside.
    pub ShownAttemptRow {
        /// Its charge.
        charge_id: i64,
        /// Its number.
        n: i64,
        /// `first` or `recurring`.
        kind: String,
        /// Where it stands.
        state: String,
        /// Its idempotency key.
        idempotency_key: String,
        /// The payment it waits for or ended with.
        payment_id: Option<String>,
        /// How often it may have been sent.
        sends: i64,
        /// Looks since it entered its state.
        looks: i64,
        /// When the intent was committed.
        created_at: Instant,
        /// From when its key may live at the gateway.
        first_sent_at: Option<Instant>,
        /// When it may have been sent last.
        last_sent_at: Option<Instant>,
        /// When it is sent or looked at next.
        next_at: Option<Instant>,
        /// When its outcome was known.
        settled_at: Option<Instant>,
    }
}

row! {
    /// A payment as people see it.
    pub ShownPaymentRow {
        /// The gateway's id.
        gateway_payment_id: String,
        /// The attempt that it answers.
        attempt_n: Option<i64>,
        /// What it was made for.
        kind: String,
        /// The gateway's own word.
        status: String,
        /// The gateway's figure.
        amount_minor: Option<i64>,
        /// The gateway's figure.
        currency: Option<String>,
        /// What was taken.
        captured_minor: i64,
        /// What was given back.
        refunded_minor: i64,
        /// Why it was declined.
        response_code: Option<String>,
        /// What the table of codes made of it.
        decline_class: Option<String>,
        /// To quote to the gateway's support.
        request_id: Option<String>,
        /// When we first learned of it.
        first_seen_at: Instant,
        /// When we last learned a new status.
        status_at: Instant,
    }
}

row! {
    /// A dunning case as people see it.
    pub ShownCaseRow {
        /// The policy's name.
        policy: String,
        /// The policy's version.
        policy_version: i64,
        /// How it stands.
        state: String,
        /// Retries spent.
        steps: i64,
        /// When the next retry is opened.
        next_step_at: Option<Instant>,
        /// The first decline.
        opened_at: Instant,
        /// When it ended.
        closed_at: Option<Instant>,
    }
}

/// What people see of a charge; the conditions follow.
macro_rules! shown {
    () => {
        "SELECT c.id, c.public_id, c.subscription_id, s.public_id AS subscription_public_id, s.reference AS subscription, \
         c.period_index, c.period_start_at, c.period_end_at, p.name AS plan, p.version AS plan_version, c.reference, \
         c.amount_minor, c.currency, c.state, c.reason, c.due_at, c.opened_at, c.paid_at, c.paid_by \
         FROM charges c JOIN subscriptions s ON s.id = c.subscription_id JOIN plans p ON p.id = c.plan_id"
    };
}

impl Store {
    /// Charges, the latest due first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn charge_list(&self, filter: &Filter) -> Result<Vec<ShownRow>, StoreError> {
        let text = concat!(
            shown!(),
            " WHERE ($1 IS NULL OR c.state = $1) AND ($2 IS NULL OR s.public_id = $2 OR s.reference = $2) \
             AND ($3 IS NULL OR c.due_at >= $3) AND ($4 IS NULL OR c.due_at < $4) \
             ORDER BY c.due_at DESC, c.id DESC LIMIT $5"
        );
        self.read(
            Statement::new(text)
                .bind(filter.state.map(ChargeState::as_str))
                .bind(filter.subscription.as_deref())
                .bind(filter.due_from)
                .bind(filter.due_before)
                .bind(filter.limit),
        )
        .await
    }

    /// The charge with this shown id or reference.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn charge_shown(&self, name: &str) -> Result<Option<ShownRow>, StoreError> {
        let text = concat!(shown!(), " WHERE c.public_id = $1 OR c.reference = $1");
        Ok(self.read(Statement::new(text).bind(name)).await?.into_iter().next())
    }

    /// The attempts of these charges, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn attempts_shown(
        &self,
        charge_ids: impl IntoIterator<Item = i64>,
    ) -> Result<Vec<ShownAttemptRow>, StoreError> {
        self.read(
            Statement::new(
                "SELECT a.charge_id, a.n, a.kind, a.state, a.idempotency_key, a.payment_id, a.sends, a.looks, a.created_at, \
                 a.first_sent_at, a.last_sent_at, a.next_at, a.settled_at \
                 FROM {v} JOIN attempts a ON a.charge_id = v.id ORDER BY a.charge_id, a.n",
            )
            .rows("v", ids(charge_ids)),
        )
        .await
    }

    /// Every payment that carries a charge's reference, in the order in which we learned of them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn payments_shown(&self, charge_id: i64) -> Result<Vec<ShownPaymentRow>, StoreError> {
        self.read(
            Statement::new(
                "SELECT m.gateway_payment_id, a.n AS attempt_n, m.kind, m.status, m.amount_minor, m.currency, m.captured_minor, \
                 m.refunded_minor, m.response_code, m.decline_class, m.request_id, m.first_seen_at, m.status_at \
                 FROM payments m LEFT JOIN attempts a ON a.id = m.attempt_id WHERE m.charge_id = $1 ORDER BY m.id",
            )
            .bind(charge_id),
        )
        .await
    }

    /// A charge's dunning case, where it was ever declined.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn dunning_case_shown(&self, charge_id: i64) -> Result<Option<ShownCaseRow>, StoreError> {
        let rows = self.read(
            Statement::new(
                "SELECT y.name AS policy, y.version AS policy_version, d.state, d.steps, d.next_step_at, d.opened_at, d.closed_at \
                 FROM dunning_cases d JOIN dunning_policies y ON y.id = d.policy_id WHERE d.charge_id = $1",
            )
            .bind(charge_id),
        );
        Ok(rows.await?.into_iter().next())
    }
}
