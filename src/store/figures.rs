//! Figures: how much stands where at one instant, counted for `dues status`. Counts over open rows run on the partial indexes that the
//! daemons' own scans use.

use super::db::Statement;
use super::{Store, StoreError};
use crate::clock::Instant;
use crate::row;

row! {
    /// How much stands where.
    pub FiguresRow {
        /// Subscriptions whose next period has begun and has no row yet.
        periods_due: i64,
        /// Attempts that are owed now and are not sent, whatever puts them off.
        attempts_due: i64,
        /// When the longest waiting of them fell due, or was handed over if that was later.
        oldest_due_at: Option<Instant>,
        /// When the first of them is tried next.
        tried_next_at: Option<Instant>,
        /// Attempts that are to be sent later, or wait for a person: their subscription is paused, or their charge in review.
        attempts_waiting: i64,
        /// Attempts that may be on the wire.
        sending: i64,
        /// Payments whose outcome the gateway has not told.
        pending: i64,
        /// Attempts of which nothing is proven.
        unknown: i64,
        /// Those of them of which a whole look-up has shown nothing.
        not_found: i64,
        /// Those of these that the limit on unknown outcomes is held against: a lost answer, and a key that lives.
        held_back: i64,
        /// Dunning steps that are to come.
        retries_to_come: i64,
        /// Charges that a person must look at.
        charges_in_review: i64,
        /// Review cases that are open.
        reviews: i64,
    }
}

row! {
    /// Since when the oldest of what is open stands so, and what else an alarm goes by.
    pub OldestRow {
        /// When the oldest payment that is pending was sent first.
        pending_since: Option<Instant>,
        /// Since when the oldest outcome that is unknown is so.
        unknown_since: Option<Instant>,
        /// When the oldest open review case was opened.
        review_since: Option<Instant>,
        /// Charges that wait for a person to say whether they are billed.
        charges_held: i64,
        /// When the oldest of them fell due.
        held_since: Option<Instant>,
        /// How often the live attempt that was sent most was sent.
        most_sends: i64,
        /// Fences that were raised since the books were begun.
        fences_raised: i64,
    }
}

row! { SentRow { sent: i64 } }

/// What is counted is open, and stands in an index of its own: the first condition of each is that index's, word for word, for SQLite
/// does not see that another implies it. What waits is asked for its charge one by one, so that no database reads all charges for it.
///
/// An attempt that nobody has taken yet is due at `next_at`, which the catch-up rule may have put on a later day. Once it was taken, `next_at`
/// does not tell, for whatever is in the way pushes it on: it is due since its charge is, a later attempt since its dunning step opened it.
pub const FIGURES: &str = "WITH unsent AS MATERIALIZED (SELECT a.next_at, \
         (SELECT CASE WHEN s.state = 'paused' OR c.state = 'in_review' THEN NULL \
             WHEN a.lease_epoch = 0 THEN a.next_at \
             WHEN a.n > 1 OR a.kind = 'first' THEN a.created_at \
             WHEN c.due_at < s.handed_over_at THEN s.handed_over_at ELSE c.due_at END \
             FROM charges c JOIN subscriptions s ON s.id = c.subscription_id WHERE c.id = a.charge_id) AS due_at \
         FROM attempts a WHERE a.state = 'created' AND a.next_at IS NOT NULL) \
     SELECT \
     (SELECT COUNT(*) FROM subscriptions s WHERE s.bill_at <= $1 \
         AND s.state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused')) AS periods_due, \
     (SELECT COUNT(*) FROM unsent u WHERE u.due_at <= $1) AS attempts_due, \
     (SELECT MIN(u.due_at) FROM unsent u WHERE u.due_at <= $1) AS oldest_due_at, \
     (SELECT MIN(u.next_at) FROM unsent u WHERE u.due_at <= $1) AS tried_next_at, \
     (SELECT COUNT(*) FROM unsent u WHERE u.due_at IS NULL OR u.due_at > $1) AS attempts_waiting, \
     (SELECT COUNT(*) FROM attempts a WHERE a.state IN ('sending', 'unknown', 'pending') AND a.state = 'sending') AS sending, \
     (SELECT COUNT(*) FROM attempts a WHERE a.state IN ('sending', 'unknown', 'pending') AND a.state = 'pending') AS pending, \
     (SELECT COUNT(*) FROM attempts a WHERE a.state IN ('sending', 'unknown', 'pending') AND a.state = 'unknown') AS unknown, \
     (SELECT COUNT(*) FROM attempts a WHERE a.state IN ('sending', 'unknown', 'pending') AND a.state = 'unknown' AND a.looks > 0) \
         AS not_found, \
     (SELECT COUNT(*) FROM attempts a WHERE a.state = 'unknown' AND a.looks > 0 AND a.answer_lost = 1 AND a.late_looks = 0) \
         AS held_back, \
     (SELECT COUNT(*) FROM dunning_cases d WHERE d.state = 'open' AND d.next_step_at IS NOT NULL) AS retries_to_come, \
     (SELECT COUNT(*) FROM charges c WHERE c.state IN ('due', 'collecting', 'retrying', 'held', 'in_review') AND c.state = 'in_review') AS charges_in_review, \
     (SELECT COUNT(*) FROM review_cases r WHERE r.resolved_at IS NULL) AS reviews";

/// As [`FIGURES`]: open rows alone, each by the condition of its index. Of fences there are few.
pub const OLDEST: &str = "SELECT \
     (SELECT MIN(COALESCE(a.first_sent_at, a.created_at)) FROM attempts a \
         WHERE a.state IN ('sending', 'unknown', 'pending') AND a.state = 'pending') AS pending_since, \
     (SELECT MIN(COALESCE(a.unknown_since, a.last_sent_at)) FROM attempts a \
         WHERE a.state IN ('sending', 'unknown', 'pending') AND a.state = 'unknown') AS unknown_since, \
     (SELECT MIN(r.opened_at) FROM review_cases r WHERE r.resolved_at IS NULL) AS review_since, \
     (SELECT COUNT(*) FROM charges c WHERE c.state IN ('due', 'collecting', 'retrying', 'held', 'in_review') AND c.state = 'held') \
         AS charges_held, \
     (SELECT MIN(c.due_at) FROM charges c WHERE c.state IN ('due', 'collecting', 'retrying', 'held', 'in_review') AND c.state = 'held') \
         AS held_since, \
     (SELECT CAST(COALESCE(MAX(a.sends), 0) AS BIGINT) FROM attempts a WHERE a.state IN ('sending', 'unknown', 'pending')) AS most_sends, \
     (SELECT COUNT(*) FROM fences f) AS fences_raised";

impl Store {
    /// Since when the oldest of what is open stands so.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn oldest(&self) -> Result<OldestRow, StoreError> {
        self.read_one(Statement::new(OLDEST)).await
    }

    /// How much stands where at `now`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn figures(&self, now: Instant) -> Result<FiguresRow, StoreError> {
        self.read_one(Statement::new(FIGURES).bind(now)).await
    }

    /// Attempts that were sent since `since`, each counted once. It reads every attempt: a question for a person, not for a scrape.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn sent_since(&self, since: Instant, now: Instant) -> Result<i64, StoreError> {
        let text = "SELECT COUNT(*) AS sent FROM attempts a WHERE a.last_sent_at > $1 AND a.last_sent_at <= $2";
        let row: SentRow = self.read_one(Statement::new(text).bind(since).bind(now)).await?;
        Ok(row.sent)
    }
}
