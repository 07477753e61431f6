//! Pauses: which periods of a subscription are skipped because it stood still.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::StoreError;
use super::db::{Statement, Tx, ids};
use crate::clock::Instant;
use crate::domain::subscription::SubscriptionState;
use crate::row;
use crate::store::journal::Entry;

row! {
    /// A pause that has periods without a row.
    pub PauseRow {
        /// Whose.
        subscription_id: i64,
        /// The first period that is skipped.
        from_index: i64,
        /// The first period that is billed again; none while it lasts.
        to_index: Option<i64>,
    }
}

row! {
    /// What became of a subscription while it stood still.
    pub MeanwhileRow {
        /// The state of what is charged.
        source_state: Option<String>,
        /// Its charges that are in dunning.
        open_cases: i64,
    }
}

row! {
    PolicyRow { policy_id: i64 }
}

impl Tx {
    /// The first pause of each of these subscriptions that has periods without a row. Read after their rows are locked, so that no pause
    /// is missed that one of them tells of.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn pauses(&mut self, subscription_ids: Vec<i64>) -> Result<BTreeMap<i64, PauseRow>, StoreError> {
        let rows: Vec<PauseRow> = self
            .all(
                Statement::new(
                    "SELECT u.subscription_id, u.from_index, u.to_index FROM pauses u JOIN {v} ON u.subscription_id = v.id \
                     JOIN subscriptions s ON s.id = u.subscription_id \
                     WHERE u.to_index IS NULL OR u.to_index > s.next_index ORDER BY u.paused_at DESC",
                )
                .rows("v", ids(subscription_ids)),
            )
            .await?;
        // The earliest stands last, and so is the one that stays.
        Ok(rows.into_iter().map(|row| (row.subscription_id, row)).collect())
    }

    /// What became of a subscription while it stood still.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn meanwhile(&mut self, id: i64) -> Result<MeanwhileRow, StoreError> {
        self.one(
            Statement::new(
                "SELECT o.state AS source_state, CAST((SELECT COUNT(*) FROM dunning_cases d JOIN charges c ON c.id = d.charge_id \
                 WHERE c.subscription_id = s.id AND d.state = 'open') AS BIGINT) AS open_cases \
                 FROM subscriptions s LEFT JOIN sources o ON o.id = s.source_id WHERE s.id = $1",
            )
            .bind(id),
        )
        .await
    }

    /// The policy versions of the dunning cases that came to their end without money since the pause that lasts began.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn exhausted_in_pause(&mut self, id: i64) -> Result<Vec<i64>, StoreError> {
        let rows: Vec<PolicyRow> = self
            .all(
                Statement::new(
                    "SELECT d.policy_id FROM dunning_cases d JOIN charges c ON c.id = d.charge_id \
                     JOIN pauses u ON u.subscription_id = c.subscription_id AND u.to_index IS NULL \
                     WHERE c.subscription_id = $1 AND d.state = 'exhausted' AND d.closed_at >= u.paused_at",
                )
                .bind(id),
            )
            .await?;
        Ok(rows.into_iter().map(|row| row.policy_id).collect())
    }
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

    /// Resumes it: period `to_index` and those after it are billed again, and what was put off for it, by `waits` at the most, may go now.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Moved`].
    pub async fn resume_subscription(
        &mut self,
        id: i64,
        (was, state): (SubscriptionState, SubscriptionState),
        (to_index, waits): (i64, TimeDelta),
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
                "UPDATE attempts SET next_at = $2, lease_until = $2 WHERE state = 'created' AND next_at > $2 AND next_at <= $3 \
                 AND charge_id IN (SELECT c.id FROM charges c WHERE c.subscription_id = $1)",
            )
            .bind(id)
            .bind(now)
            .bind(now + waits),
        )
        .await?;
        Ok(())
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
