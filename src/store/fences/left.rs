//! What a fence wants looked up at the gateway and is not looked up yet.

use crate::clock::Instant;
use crate::row;
use crate::store::db::Statement;
use crate::store::{Store, StoreError};

row! {
    /// An audit that stands in the near future.
    pub NearAuditRow {
        /// When its charge was opened.
        opened_at: Instant,
        /// When it stands.
        audit_at: Instant,
    }
}

row! { CountRow { count: i64 } }

/// `$1` is now, `$2` the fence. What was opened before the fence is looked up by its audit, which the fence has brought forward; what the
/// books had forgotten is opened after it and looked up before its first send, and until it is opened its subscription tells of it.
const LEFT: &str = "SELECT (SELECT COUNT(*) FROM charges c WHERE c.audit_at <= $1) \
     + (SELECT COUNT(*) FROM attempts a JOIN charges c ON c.id = a.charge_id \
         WHERE a.state = 'created' AND a.looks = 0 AND (a.missing_since IS NULL OR a.missing_since < $2) AND c.due_at < $2 \
         AND (c.audit_at IS NULL OR c.audit_at > $1 AND c.opened_at >= $2)) \
     + (SELECT COUNT(*) FROM subscriptions s WHERE s.next_charge_at < $2 \
         AND s.state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused') \
         AND (s.cancel_at_index IS NULL OR s.next_index < s.cancel_at_index)) AS count";

impl Store {
    /// Charges that are to be looked up at `now` on account of a fence raised at `fence`, and subscriptions with a period from before it
    /// that has no row yet. Audits under way are not among them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn left_to_look_up(&self, now: Instant, fence: Option<Instant>) -> Result<i64, StoreError> {
        let row: CountRow = self.read_one(Statement::new(LEFT).bind(now).bind(fence)).await?;
        Ok(row.count)
    }

    /// Audits that stand after `now`, by `until`: those that come by themselves, and those under way, which stand at the end of their
    /// lease.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn near_audits(&self, now: Instant, until: Instant) -> Result<Vec<NearAuditRow>, StoreError> {
        let text = "SELECT c.opened_at, c.audit_at FROM charges c WHERE c.audit_at > $1 AND c.audit_at <= $2";
        self.read(Statement::new(text).bind(now).bind(until)).await
    }
}
