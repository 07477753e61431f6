//! The journal: every transition and every act of an operator, appended and never changed.

use super::db::{Rows, Statement, Tx};
use super::{Store, StoreError};
use crate::cells;
use crate::clock::Instant;
use crate::row;

/// One line of the journal, but for its time and actor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// What happened: `attempt.sending`, `charge.paid`.
    pub act: &'static str,
    /// Whose.
    pub subscription_id: Option<i64>,
    /// Of which period.
    pub charge_id: Option<i64>,
    /// In which attempt.
    pub attempt_n: Option<i64>,
    /// The state before.
    pub was: Option<&'static str>,
    /// The state after.
    pub now: Option<&'static str>,
    /// Ids, codes and reasons; never personal data.
    pub detail: Option<String>,
}

row! {
    /// One line of the journal, as it is read.
    pub EntryRow {
        /// When it happened.
        at: Instant,
        /// The daemon's or the operator's name.
        actor: String,
        /// What happened.
        act: String,
        /// In which attempt.
        attempt_n: Option<i64>,
        /// The state before.
        was: Option<String>,
        /// The state after.
        now: Option<String>,
        /// Ids, codes and reasons.
        detail: Option<String>,
    }
}

impl Tx {
    /// Appends `entries`, all of one instant and actor.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn write_journal(&mut self, actor: &str, at: Instant, entries: &[Entry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(
            &["place", "act", "subscription_id", "charge_id", "attempt_n", "was", "now", "detail"],
            "itiiittt",
        );
        for (place, entry) in entries.iter().enumerate() {
            rows.push(cells![
                i64::try_from(place).unwrap_or(i64::MAX),
                entry.act,
                entry.subscription_id,
                entry.charge_id,
                entry.attempt_n,
                entry.was,
                entry.now,
                entry.detail.clone(),
            ]);
        }
        self.run(
            Statement::new(
                "INSERT INTO journal (at, actor, act, subscription_id, charge_id, attempt_n, was, now, detail) \
                 SELECT $1, $2, v.act, v.subscription_id, v.charge_id, v.attempt_n, v.was, v.now, v.detail \
                 FROM {v} ORDER BY v.place",
            )
            .bind(at)
            .bind(actor)
            .rows("v", rows),
        )
        .await?;
        Ok(())
    }
}

impl Store {
    /// The journal of one subscription, oldest first; of one charge where `charge_id` is given.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn journal_of(&self, subscription_id: i64, charge_id: Option<i64>) -> Result<Vec<EntryRow>, StoreError> {
        self.read(
            Statement::new(
                "SELECT at, actor, act, attempt_n, was, now, detail FROM journal \
                 WHERE subscription_id = $1 AND ($2 IS NULL OR charge_id = $2) ORDER BY id",
            )
            .bind(subscription_id)
            .bind(charge_id),
        )
        .await
    }
}

row! {
    /// One line of the journal, with the charge that it is about.
    pub ShownRow {
        /// When it happened.
        at: Instant,
        /// The daemon's or the operator's name.
        actor: String,
        /// What happened.
        act: String,
        /// The charge's shown id.
        charge: Option<String>,
        /// The number of its period.
        period_index: Option<i64>,
        /// In which attempt.
        attempt_n: Option<i64>,
        /// The state before.
        was: Option<String>,
        /// The state after.
        now: Option<String>,
        /// Ids, codes and reasons.
        detail: Option<String>,
    }
}

impl Store {
    /// The last `limit` lines of one subscription's journal, oldest first; of one charge where `charge_id` is given.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn journal_tail(
        &self,
        subscription_id: i64,
        charge_id: Option<i64>,
        limit: u32,
    ) -> Result<Vec<ShownRow>, StoreError> {
        let mut rows: Vec<ShownRow> = self
            .read(
                Statement::new(
                    "SELECT j.at, j.actor, j.act, c.public_id AS charge, c.period_index, j.attempt_n, j.was, j.now, j.detail \
                     FROM journal j LEFT JOIN charges c ON c.id = j.charge_id \
                     WHERE j.subscription_id = $1 AND ($2 IS NULL OR j.charge_id = $2) ORDER BY j.id DESC LIMIT $3",
                )
                .bind(subscription_id)
                .bind(charge_id)
                .bind(limit),
            )
            .await?;
        rows.reverse();
        Ok(rows)
    }
}
