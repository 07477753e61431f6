//! Fences: when the books could not be trusted to be the latest, why, and who has read it. The fence itself stands in the
//! installation's row, so that every daemon sees it in the transaction that sends.

mod left;

use chrono::TimeDelta;

use super::db::{Statement, Tx};
use super::{Store, StoreError};
use crate::clock::Instant;
use crate::domain::review::ReviewReason;
use crate::row;

pub use left::NearAuditRow;

/// A fence that is about to be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFence {
    /// What was seen, in one word of the table's CHECK.
    pub reason: &'static str,
    /// The figures, in one sentence.
    pub detail: String,
    /// Sends that the books have forgotten.
    pub lost_sends: i64,
    /// Whether nothing is sent until it is acknowledged.
    pub holds: bool,
}

row! {
    /// The fence as it stands.
    pub FenceStateRow {
        /// When these books were begun.
        started_at: Instant,
        /// When a daemon last came round.
        heartbeat_at: Instant,
        /// PostgreSQL's timeline then.
        timeline: Option<String>,
        /// What fell due before is looked up before its first send.
        continuity_from: Option<Instant>,
        /// From when an operator is waited for.
        held_at: Option<Instant>,
        /// Why.
        held_reason: Option<String>,
        /// From when collecting is stopped.
        braked_at: Option<Instant>,
        /// By how much a day's plan was exceeded.
        braked_reason: Option<String>,
    }
}

row! {
    /// A fence that was raised.
    pub FenceRow {
        /// The order of raising.
        id: i64,
        /// When.
        raised_at: Instant,
        /// By which daemon.
        node: String,
        /// What was seen.
        reason: String,
        /// The figures.
        detail: String,
        /// Sends that the books have forgotten.
        lost_sends: i64,
        /// Whether it holds.
        holds: i64,
        /// When it was acknowledged.
        acknowledged_at: Option<Instant>,
        /// By whom.
        acknowledged_by: Option<String>,
        /// When a daemon had come round last before it was raised.
        heartbeat_at: Option<Instant>,
    }
}

row! {
    /// A payment that the gateway had and the books did not know of.
    pub AdoptedRow {
        /// When it was adopted.
        at: Instant,
        /// The merchant's own reference of the subscription.
        subscription: String,
        /// The period.
        period_index: i64,
        /// What it is about.
        detail: Option<String>,
        /// The charge's amount.
        amount_minor: i64,
        /// In which currency.
        currency: String,
    }
}

row! {
    /// The last trace that the books have of acts which no look-up at the gateway can bring back.
    pub LastKnownRow {
        /// A cancellation.
        canceled_at: Option<Instant>,
        /// Whose.
        canceled: Option<String>,
        /// A payment of which something was given back; when its status was learned last.
        refunded_at: Option<Instant>,
        /// Which.
        refunded: Option<String>,
        /// A version of a plan.
        priced_at: Option<Instant>,
        /// Which plan.
        priced: Option<String>,
        /// A subscription that was entered.
        entered_at: Option<Instant>,
        /// Which.
        entered: Option<String>,
    }
}

/// A period that was not billed is audited after a fence where it fell due so lately; one that is held whatever its age, for it may yet be
/// released.
pub const NOT_BILLED_AUDITED_FOR: TimeDelta = TimeDelta::days(35);

row! { LastRow { id: i64 } }

/// `$1` is the instant from which on the books lack what was done.
const LAST_KNOWN: &str = "SELECT s.ended_at AS canceled_at, s.reference AS canceled, y.status_at AS refunded_at, \
     y.gateway_payment_id AS refunded, p.created_at AS priced_at, p.name AS priced, e.created_at AS entered_at, e.reference AS entered \
     FROM (SELECT 1 AS one) o \
     LEFT JOIN subscriptions s ON s.id = (SELECT t.id FROM subscriptions t WHERE t.state = 'canceled' AND t.ended_at <= $1 \
         ORDER BY t.ended_at DESC, t.id DESC LIMIT 1) \
     LEFT JOIN payments y ON y.id = (SELECT t.id FROM payments t WHERE t.refunded_minor > 0 AND t.status_at <= $1 \
         ORDER BY t.status_at DESC, t.id DESC LIMIT 1) \
     LEFT JOIN plans p ON p.id = (SELECT t.id FROM plans t WHERE t.created_at <= $1 ORDER BY t.created_at DESC, t.id DESC LIMIT 1) \
     LEFT JOIN subscriptions e ON e.id = (SELECT t.id FROM subscriptions t WHERE t.created_at <= $1 \
         ORDER BY t.created_at DESC, t.id DESC LIMIT 1)";

const STATE: &str = "SELECT started_at, heartbeat_at, timeline, continuity_from, held_at, held_reason, braked_at, braked_reason \
     FROM installation i WHERE id = 1";

impl Tx {
    /// The fence, held until this unit of work ends: no daemon sends meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn fence(&mut self) -> Result<FenceStateRow, StoreError> {
        self.one(Statement::new(
            "SELECT started_at, heartbeat_at, timeline, continuity_from, held_at, held_reason, braked_at, braked_reason \
             FROM installation i WHERE id = 1 {hold i}",
        ))
        .await
    }

    /// Notes that a daemon came round.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn beat_installation(&mut self, timeline: Option<&str>, now: Instant) -> Result<(), StoreError> {
        self.run(
            Statement::new("UPDATE installation SET heartbeat_at = $1, timeline = $2 WHERE id = 1")
                .bind(now)
                .bind(timeline),
        )
        .await?;
        Ok(())
    }

    /// Raises the fence: everything due by now is looked up before its first send, every charge of the last weeks is audited, and,
    /// where it holds, nothing is sent.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn raise_fence(&mut self, fence: &NewFence, node: &str, now: Instant) -> Result<(), StoreError> {
        self.run(
            Statement::new(
                "INSERT INTO fences (raised_at, node, reason, detail, lost_sends, holds, heartbeat_at) \
                 SELECT $1, $2, $3, $4, $5, $6, i.heartbeat_at FROM installation i WHERE i.id = 1",
            )
            .bind(now)
            .bind(node)
            .bind(fence.reason)
            .bind(fence.detail.as_str())
            .bind(fence.lost_sends)
            .bind(fence.holds),
        )
        .await?;
        self.run(
            Statement::new(
                "UPDATE installation SET continuity_from = $1, \
                 strangers_left = CASE WHEN $2 = 1 THEN 0 ELSE strangers_left + $3 END, \
                 held_at = CASE WHEN $2 = 1 THEN COALESCE(held_at, $1) ELSE held_at END, \
                 held_reason = CASE WHEN $2 = 1 THEN COALESCE(held_reason, $4) ELSE held_reason END WHERE id = 1",
            )
            .bind(now)
            .bind(fence.holds)
            .bind(fence.lost_sends)
            .bind(fence.reason),
        )
        .await?;
        self.run(Statement::new("UPDATE charges SET audit_at = $1 WHERE audit_at IS NOT NULL").bind(now)).await?;
        // What was not billed may have been, in what the books have forgotten.
        let since = now - NOT_BILLED_AUDITED_FOR;
        self.run(
            Statement::new(
                "UPDATE charges SET audit_at = $1 WHERE state IN ('held', 'skipped', 'void') AND due_at >= $2 AND audit_at IS NULL",
            )
            .bind(now)
            .bind(since),
        )
        .await?;
        self.run(
            Statement::new(
                // The first condition is the index's, word for word: SQLite does not see that the second implies it.
                "UPDATE charges SET audit_at = $1 WHERE state IN ('held', 'skipped', 'void') AND state = 'held' AND due_at < $2 \
                 AND audit_at IS NULL",
            )
            .bind(now)
            .bind(since),
        )
        .await?;
        Ok(())
    }

    /// Payments turned up that a fail-over had made the books forget: so many fewer are expected.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn expect_fewer_strangers(&mut self, count: i64) -> Result<(), StoreError> {
        self.run(
            Statement::new(
                "UPDATE installation SET strangers_left = CASE WHEN strangers_left > $1 THEN strangers_left - $1 ELSE 0 END \
                 WHERE id = 1",
            )
            .bind(count),
        )
        .await?;
        Ok(())
    }

    /// The number of the fence that was raised last; 0 where none ever was.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn last_fence(&mut self) -> Result<i64, StoreError> {
        let row: LastRow = self.one(Statement::new("SELECT COALESCE(MAX(id), 0) AS id FROM fences")).await?;
        Ok(row.id)
    }

    /// Lifts the hold: what waited for it is sent, each after its look-up; and closes the review case about it. How many fences were
    /// acknowledged.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn acknowledge_fences(&mut self, by: &str, reason: &str, now: Instant) -> Result<u64, StoreError> {
        let acknowledged = self
            .run(
                Statement::new(
                    "UPDATE fences SET acknowledged_at = $1, acknowledged_by = $2, acknowledged_reason = $3 \
                     WHERE holds = 1 AND acknowledged_at IS NULL",
                )
                .bind(now)
                .bind(by)
                .bind(reason),
            )
            .await?;
        self.run(Statement::new(
            "UPDATE installation SET held_at = NULL, held_reason = NULL, acknowledged_until = continuity_from WHERE id = 1",
        ))
        .await?;
        self.close_reviews_of(ReviewReason::Hold, reason, by, now).await?;
        self.bring_forward(now).await?;
        Ok(acknowledged)
    }
}

impl Tx {
    /// The clock goes on as it should again: fences that were raised for it alone are over. Whether anything else still holds.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn acknowledge_clock(&mut self, node: &str, now: Instant) -> Result<bool, StoreError> {
        const WHY: &str = "the clock goes on as it should again";
        self.run(
            Statement::new(
                "UPDATE fences SET acknowledged_at = $1, acknowledged_by = $2, acknowledged_reason = $3 \
                 WHERE holds = 1 AND acknowledged_at IS NULL AND reason = 'clock'",
            )
            .bind(now)
            .bind(node)
            .bind(WHY),
        )
        .await?;
        let others: Vec<ReasonRow> = self
            .all(Statement::new(
                "SELECT reason FROM fences WHERE holds = 1 AND acknowledged_at IS NULL ORDER BY id LIMIT 1",
            ))
            .await?;
        let Some(other) = others.into_iter().next() else {
            self.acknowledge_fences(node, WHY, now).await?;
            return Ok(false);
        };
        self.run(Statement::new("UPDATE installation SET held_reason = $1 WHERE id = 1").bind(other.reason)).await?;
        Ok(true)
    }
}

row! { ReasonRow { reason: String } }

impl Store {
    /// The fence as it stands.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn fence_state(&self) -> Result<FenceStateRow, StoreError> {
        self.read_one(Statement::new(STATE)).await
    }

    /// Every fence that was raised, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn fences(&self, limit: u32) -> Result<Vec<FenceRow>, StoreError> {
        self.read(
            Statement::new(
                "SELECT id, raised_at, node, reason, detail, lost_sends, holds, acknowledged_at, acknowledged_by, \
                 heartbeat_at FROM fences ORDER BY id DESC LIMIT $1",
            )
            .bind(limit),
        )
        .await
    }

    /// What the books know last of acts that a restore loses, up to `until`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn last_known(&self, until: Instant) -> Result<LastKnownRow, StoreError> {
        self.read_one(Statement::new(LAST_KNOWN).bind(until)).await
    }

    /// Payments that were adopted since `since` although the books knew of no send.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn adopted_since(&self, since: Instant) -> Result<Vec<AdoptedRow>, StoreError> {
        self.read(
            Statement::new(
                "SELECT j.at, s.reference AS subscription, c.period_index, j.detail, c.amount_minor, c.currency FROM journal j \
                 JOIN charges c ON c.id = j.charge_id JOIN subscriptions s ON s.id = j.subscription_id \
                 WHERE j.act = 'stranger' AND j.at >= $1 ORDER BY j.id",
            )
            .bind(since),
        )
        .await
    }
}
