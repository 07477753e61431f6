//! Pauses: which periods of a subscription are skipped because it stood still.

use super::StoreError;
use super::db::{Statement, Tx};
use crate::clock::Instant;
use crate::domain::subscription::SubscriptionState;
use crate::row;
use crate::store::journal::Entry;

row! {
    CountRow { count: i64 }
}

impl Tx {
    /// Pauses a subscription from its period `from_index` on.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Moved`].
    pub async fn pause_subscription(
        &mut self,
        id: i64,
        (was, state): (SubscriptionState, SubscriptionState),
        from_index: i64,
        reason: &str,
        actor: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.move_subscription(id, was, state, reason, actor, now).await?;
        self.run(
            Statement::new("INSERT INTO pauses (subscription_id, from_index, paused_at) VALUES ($1, $2, $3)")
                .bind(id)
                .bind(from_index)
                .bind(now),
        )
        .await?;
        Ok(())
    }

    /// Resumes it: period `to_index` and those after it are billed again, and what waited to be sent may go now.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Moved`].
    pub async fn resume_subscription(
        &mut self,
        id: i64,
        (was, state): (SubscriptionState, SubscriptionState),
        to_index: i64,
        reason: &str,
        actor: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.move_subscription(id, was, state, reason, actor, now).await?;
        self.run(
            // Paused and resumed before a period began, it skips none.
            Statement::new(
                "UPDATE pauses SET to_index = CASE WHEN from_index > $2 THEN from_index ELSE $2 END, resumed_at = $3 \
                 WHERE subscription_id = $1 AND to_index IS NULL",
            )
            .bind(id)
            .bind(to_index)
            .bind(now),
        )
        .await?;
        self.run(
            Statement::new(
                "UPDATE attempts SET next_at = $2, lease_until = $2 WHERE state = 'created' AND next_at > $2 \
                 AND charge_id IN (SELECT c.id FROM charges c WHERE c.subscription_id = $1)",
            )
            .bind(id)
            .bind(now),
        )
        .await?;
        Ok(())
    }

    /// How many of a subscription's charges are in dunning.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open_cases_of(&mut self, id: i64) -> Result<i64, StoreError> {
        let row: CountRow = self
            .one(
                Statement::new(
                    "SELECT COUNT(*) AS count FROM dunning_cases d JOIN charges c ON c.id = d.charge_id \
                     WHERE c.subscription_id = $1 AND d.state = 'open'",
                )
                .bind(id),
            )
            .await?;
        Ok(row.count)
    }

    async fn move_subscription(
        &mut self,
        id: i64,
        was: SubscriptionState,
        state: SubscriptionState,
        reason: &str,
        actor: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.run_guarded(
            "subscriptions",
            1,
            Statement::new("UPDATE subscriptions SET state = $3 WHERE id = $1 AND state = $2")
                .bind(id)
                .bind(was.as_str())
                .bind(state.as_str()),
        )
        .await?;
        let entry = Entry {
            act: "subscription",
            subscription_id: Some(id),
            was: Some(was.as_str()),
            now: Some(state.as_str()),
            detail: Some(reason.to_owned()),
            ..Entry::default()
        };
        self.write_journal(actor, now, &[entry]).await
    }
}
