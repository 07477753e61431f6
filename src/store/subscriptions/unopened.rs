//! Subscriptions with a period that has begun and has no row yet. In books that go on these are few, and for moments; in restored ones
//! they are all whose period began since the backup.

use std::collections::BTreeMap;

use super::{SegmentRow, StoredSchedule, schedules_of, segments_of};
use crate::clock::Instant;
use crate::row;
use crate::store::db::{Statement, ids};
use crate::store::{Store, StoreError};

row! {
    /// A subscription whose next period has begun and has no row.
    pub UnopenedRow {
        /// The order of the pages.
        id: i64,
        /// The merchant's own reference.
        reference: String,
        /// The first period without a row.
        next_index: i64,
    }
}

row! { NextIndexRow { id: i64, next_index: i64 } }

impl Store {
    /// The next page of them at `now`, after the one with this number: every subscription that has not ended, for what these books take
    /// for paused or unpaid may have been charged by books that are lost.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unopened_page(&self, now: Instant, after: i64, limit: u32) -> Result<Vec<UnopenedRow>, StoreError> {
        let text = "SELECT s.id, s.reference, s.next_index FROM subscriptions s WHERE s.id > $2 AND s.next_charge_at <= $1 \
                    AND s.state IN ('incomplete', 'trialing', 'active', 'past_due', 'unpaid', 'paused') ORDER BY s.id LIMIT $3";
        self.read(Statement::new(text).bind(now).bind(after).bind(limit)).await
    }

    /// The first period without a row of each of these subscriptions, as it is now.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn next_indexes(&self, subscription_ids: Vec<i64>) -> Result<BTreeMap<i64, i64>, StoreError> {
        let text = "SELECT s.id, s.next_index FROM subscriptions s JOIN {v} ON s.id = v.id";
        let rows: Vec<NextIndexRow> = self.read(Statement::new(text).rows("v", ids(subscription_ids))).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.next_index)).collect())
    }

    /// The schedules of these subscriptions, as [`super::super::Tx::schedules`] reads them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn schedules(
        &self,
        subscription_ids: Vec<i64>,
    ) -> Result<BTreeMap<i64, Result<StoredSchedule, StoreError>>, StoreError> {
        let rows: Vec<SegmentRow> = self.read(segments_of(subscription_ids)).await?;
        Ok(schedules_of(rows))
    }
}
