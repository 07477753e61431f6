//! Dunning cases: one charge's run through a policy, pinned to the version it began with.

use super::StoreError;
use super::db::{Rows, Statement, Tx};
use crate::cells;
use crate::clock::Instant;
use crate::row;

row! {
    /// A case whose next step has come.
    pub DueCaseRow {
        /// Its charge.
        charge_id: i64,
        /// The charge's subscription.
        subscription_id: i64,
        /// Retries spent before this one.
        steps: i64,
        /// Why the charge waits.
        reason: Option<String>,
    }
}

impl Tx {
    /// Up to `limit` open cases whose step has come and whose charge still waits for it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn cases_to_step(&mut self, now: Instant, limit: u32) -> Result<Vec<DueCaseRow>, StoreError> {
        self.all(
            Statement::new(
                "SELECT d.charge_id, c.subscription_id, d.steps, c.reason FROM dunning_cases d JOIN charges c ON c.id = d.charge_id \
                 WHERE d.state = 'open' AND d.next_step_at IS NOT NULL AND d.next_step_at <= $1 AND c.state = 'retrying' \
                 ORDER BY d.next_step_at, d.id LIMIT $2 {lock d, c}",
            )
            .bind(now)
            .bind(limit),
        )
        .await
    }

    /// The retries of these charges are on their way: each case waits for its outcome, with so many steps spent.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn take_steps(&mut self, steps: &[(i64, i64)]) -> Result<(), StoreError> {
        let mut rows = Rows::new(&["charge_id", "steps"], "ii");
        for (charge_id, spent) in steps {
            rows.push(cells![*charge_id, *spent]);
        }
        self.run_guarded(
            "dunning_cases",
            rows.len(),
            Statement::new(
                "UPDATE dunning_cases SET steps = v.steps, next_step_at = NULL FROM {v} \
                 WHERE dunning_cases.charge_id = v.charge_id AND dunning_cases.state = 'open'",
            )
            .rows("v", rows),
        )
        .await
    }
}
