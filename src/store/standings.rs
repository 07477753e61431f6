//! How everything stands, read by whoever checks the books against something else: one row a charge, and what the journal counts.

use super::db::Statement;
use super::{Store, StoreError};
use crate::clock::Instant;
use crate::row;

row! {
    /// One charge, and what will happen to it next.
    pub StandingRow {
        /// The merchant's own reference of the subscription.
        subscription: String,
        /// Where the subscription stands.
        subscription_state: String,
        /// The period's number.
        period_index: i64,
        /// The reference at the gateway.
        reference: String,
        /// The charge's state.
        state: String,
        /// Why it is in that state.
        reason: Option<String>,
        /// What is owed, in minor units.
        amount_minor: i64,
        /// Which payment counts.
        paid_by: Option<String>,
        /// How many attempts it has.
        attempts: i64,
        /// Its live attempts.
        live: i64,
        /// Its live attempts that may be on the wire and whose outcome is not known.
        unsettled: i64,
        /// When its live attempt is sent or looked at next.
        next_at: Option<Instant>,
        /// Attempts that were sent although an earlier one is live.
        overtaken: i64,
        /// The most sends of one attempt.
        most_sends: i64,
        /// When its dunning case opens the next attempt.
        step_at: Option<Instant>,
        /// Open review cases about it.
        reviews: i64,
    }
}

row! {
    /// How often the journal tells of one step of one machine.
    pub TransitionRow {
        /// `attempt`, `charge`, …
        act: String,
        /// The state before; empty where there was none.
        was: String,
        /// The state after; empty where there is none.
        now: String,
        /// How often.
        times: i64,
    }
}

row! {
    SumRow { sum: i64 }
}

impl Store {
    /// Every charge, by subscription and period.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn standings(&self) -> Result<Vec<StandingRow>, StoreError> {
        self.read(Statement::new(
            "SELECT s.reference AS subscription, s.state AS subscription_state, c.period_index, \
             c.reference, c.state, c.reason, c.amount_minor, c.paid_by, \
             CAST(COUNT(a.id) AS BIGINT) AS attempts, \
             CAST(COALESCE(SUM(CASE WHEN a.next_at IS NOT NULL THEN 1 ELSE 0 END), 0) AS BIGINT) AS live, \
             CAST(COALESCE(SUM(CASE WHEN a.state IN ('sending', 'unknown') THEN 1 ELSE 0 END), 0) AS BIGINT) AS unsettled, \
             MIN(a.next_at) AS next_at, \
             CAST(COALESCE(SUM(CASE WHEN a.sends > 0 AND EXISTS (SELECT 1 FROM attempts e WHERE e.charge_id = c.id AND e.n < a.n \
                 AND e.state IN ('created', 'sending', 'unknown', 'pending')) THEN 1 ELSE 0 END), 0) AS BIGINT) AS overtaken, \
             CAST(COALESCE(MAX(a.sends), 0) AS BIGINT) AS most_sends, \
             (SELECT d.next_step_at FROM dunning_cases d WHERE d.charge_id = c.id AND d.state = 'open') AS step_at, \
             (SELECT COUNT(*) FROM review_cases r WHERE r.charge_id = c.id AND r.resolved_at IS NULL) AS reviews \
             FROM charges c JOIN subscriptions s ON s.id = c.subscription_id LEFT JOIN attempts a ON a.charge_id = c.id \
             GROUP BY c.id, s.reference, s.state, c.period_index, c.reference, c.state, c.reason, c.amount_minor, c.paid_by \
             ORDER BY s.reference, c.period_index",
        ))
        .await
    }

    /// How often each step of each machine was taken.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn transitions(&self) -> Result<Vec<TransitionRow>, StoreError> {
        self.read(Statement::new(
            "SELECT act, COALESCE(was, '') AS was, COALESCE(now, '') AS now, COUNT(*) AS times FROM journal \
             GROUP BY act, COALESCE(was, ''), COALESCE(now, '') ORDER BY 1, 2, 3",
        ))
        .await
    }

    /// Attempts whose key's life was over before their outcome was known.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn attempts_past_their_key(&self) -> Result<i64, StoreError> {
        let text = "SELECT COUNT(*) AS sum FROM attempts WHERE late_looks > 0";
        let row: SumRow = self.read_one(Statement::new(text)).await?;
        Ok(row.sum)
    }
}
