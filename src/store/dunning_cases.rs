//! Dunning cases: one charge's run through a policy, pinned to the version it began with.

use super::StoreError;
use super::db::{Statement, Tx};
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
                "SELECT d.charge_id, c.subscription_id, d.steps FROM dunning_cases d JOIN charges c ON c.id = d.charge_id \
                 WHERE d.state = 'open' AND d.next_step_at IS NOT NULL AND d.next_step_at <= $1 AND c.state = 'retrying' \
                 ORDER BY d.next_step_at, d.id LIMIT $2 {lock d}",
            )
            .bind(now)
            .bind(limit),
        )
        .await
    }

    /// Spends a step: the retry is on its way and the case waits for its outcome.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn spend_steps(&mut self, charge_ids: Vec<i64>) -> Result<(), StoreError> {
        self.run(
            Statement::new(
                "UPDATE dunning_cases SET steps = steps + 1, next_step_at = NULL \
                 WHERE state = 'open' AND charge_id IN (SELECT v.id FROM {v})",
            )
            .rows("v", super::db::ids(charge_ids)),
        )
        .await?;
        Ok(())
    }
}
