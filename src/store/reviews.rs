//! Review cases: what a person must decide. One open case for each reason and subject, however often it is seen.

use super::db::{Rows, Statement, Tx};
use super::{Store, StoreError};
use crate::cells;
use crate::clock::Instant;
use crate::domain::id::ReviewId;
use crate::domain::review::ReviewReason;
use crate::row;

/// A review case that is about to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReview {
    /// Its shown id.
    pub public_id: ReviewId,
    /// What is wrong.
    pub reason: ReviewReason,
    /// What it is about: with the reason, unique among open cases.
    pub subject: String,
    /// Whose.
    pub subscription_id: Option<i64>,
    /// Of which period.
    pub charge_id: Option<i64>,
    /// Of which payment.
    pub payment_id: Option<String>,
    /// What was seen, in one sentence.
    pub evidence: String,
}

row! {
    /// A review case as it was opened.
    pub OpenedRow {
        /// Its shown id.
        public_id: String,
        /// What is wrong.
        reason: String,
    }
}

row! {
    CountRow { count: i64 }
}

row! {
    /// A review case that a person resolves.
    pub ToResolveRow {
        /// Inside.
        id: i64,
        /// Its shown id.
        public_id: String,
        /// What is wrong.
        reason: String,
        /// What it is about.
        subject: String,
        /// Whose.
        subscription_id: Option<i64>,
        /// Of which period.
        charge_id: Option<i64>,
        /// The charge's shown id.
        charge: Option<String>,
        /// Where it is about the first payment that a subscription waits for: the merchant's own reference of that subscription.
        waits_for_it: Option<String>,
        /// How it was closed.
        resolution: Option<String>,
        /// By whom.
        resolved_by: Option<String>,
    }
}

/// What people see of a review case; its conditions follow.
macro_rules! shown {
    () => {
        "SELECT r.public_id, r.reason, r.subject, s.public_id AS subscription_public_id, s.reference AS subscription, \
         r.subscription_id, r.charge_id, c.public_id AS charge, c.period_index, r.payment_id, r.evidence, r.suggestion, \
         r.opened_at, r.resolved_at, r.resolution, r.resolved_by FROM review_cases r \
         LEFT JOIN subscriptions s ON s.id = r.subscription_id LEFT JOIN charges c ON c.id = r.charge_id"
    };
}

impl Tx {
    /// Opens cases that are not open yet; those that were opened.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open_reviews(&mut self, new: &[NewReview], now: Instant) -> Result<Vec<OpenedRow>, StoreError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = Rows::new(
            &["public_id", "reason", "subject", "subscription_id", "charge_id", "payment_id", "evidence", "suggestion"],
            "tttiittt",
        );
        for it in new {
            rows.push(cells![
                it.public_id.to_string(),
                it.reason.as_str(),
                it.subject.as_str(),
                it.subscription_id,
                it.charge_id,
                it.payment_id.clone(),
                it.evidence.as_str(),
                it.reason.next_step(),
            ]);
        }
        self.all(
            Statement::new(
                "INSERT INTO review_cases (public_id, reason, subject, subscription_id, charge_id, payment_id, evidence, \
                 suggestion, opened_at) SELECT v.public_id, v.reason, v.subject, v.subscription_id, v.charge_id, \
                 v.payment_id, v.evidence, v.suggestion, $1 FROM {v} \
                 WHERE true ON CONFLICT (reason, subject) WHERE resolved_at IS NULL DO NOTHING RETURNING public_id, reason",
            )
            .bind(now)
            .rows("v", rows),
        )
        .await
    }

    /// Closes the open cases of one reason, whatever they are about; how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn close_reviews_of(
        &mut self,
        reason: ReviewReason,
        resolution: &str,
        by: &str,
        now: Instant,
    ) -> Result<u64, StoreError> {
        self.run(
            Statement::new(
                "UPDATE review_cases SET resolved_at = $1, resolution = $2, resolved_by = $3 \
                 WHERE resolved_at IS NULL AND reason = $4",
            )
            .bind(now)
            .bind(resolution)
            .bind(by)
            .bind(reason.as_str()),
        )
        .await
    }

    /// The case with this shown id, with what stands around it, locked.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn review_to_resolve(&mut self, public_id: &str) -> Result<Option<ToResolveRow>, StoreError> {
        let rows = self
            .all(
                Statement::new(
                    "SELECT r.id, r.public_id, r.reason, r.subject, r.subscription_id, r.charge_id, \
                     (SELECT c.public_id FROM charges c WHERE c.id = r.charge_id) AS charge, \
                     (SELECT s.reference FROM subscriptions s WHERE s.id = r.subscription_id AND s.state = 'incomplete' \
                     AND EXISTS (SELECT 1 FROM attempts a WHERE a.charge_id = r.charge_id AND a.kind = 'first')) AS waits_for_it, \
                     r.resolution, r.resolved_by FROM review_cases r WHERE r.public_id = $1 {hold r}",
                )
                .bind(public_id),
            )
            .await?;
        Ok(rows.into_iter().next())
    }

    /// How many cases of the charge with this shown id are open.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open_reviews_of_charge(&mut self, charge: &str) -> Result<i64, StoreError> {
        let text = "SELECT COUNT(*) AS count FROM review_cases r JOIN charges c ON c.id = r.charge_id \
                    WHERE c.public_id = $1 AND r.resolved_at IS NULL";
        let row: CountRow = self.one(Statement::new(text).bind(charge)).await?;
        Ok(row.count)
    }

    /// Closes one case.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Moved`] where it is closed.
    pub async fn resolve_review(
        &mut self,
        id: i64,
        resolution: &str,
        by: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.run_guarded(
            "review_cases",
            1,
            Statement::new(
                "UPDATE review_cases SET resolved_at = COALESCE(resolved_at, $2), resolution = COALESCE(resolution, $3), \
                 resolved_by = COALESCE(resolved_by, $4) WHERE id = $1",
            )
            .bind(id)
            .bind(now)
            .bind(resolution)
            .bind(by),
        )
        .await
    }

    /// Closes the open cases of these reasons on these charges, because a person answered them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn answer_reviews(
        &mut self,
        charges: &[i64],
        reasons: &[ReviewReason],
        resolution: &str,
        by: &str,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let mut words = Rows::new(&["reason"], "t");
        for reason in reasons {
            words.push(cells![reason.as_str()]);
        }
        self.run(
            Statement::new(
                "UPDATE review_cases SET resolved_at = $1, resolution = $2, resolved_by = $3 WHERE resolved_at IS NULL \
                 AND charge_id IN (SELECT v.id FROM {v}) AND reason IN (SELECT w.reason FROM {w})",
            )
            .bind(now)
            .bind(resolution)
            .bind(by)
            .rows("v", super::db::ids(charges.iter().copied()))
            .rows("w", words),
        )
        .await
    }

    /// Closes the open cases of these reasons on these charges, because a later outcome answered them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn close_reviews(
        &mut self,
        charges: &[i64],
        resolution: &str,
        actor: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        if charges.is_empty() {
            return Ok(());
        }
        self.run(
            Statement::new(
                "UPDATE review_cases SET resolved_at = $1, resolution = $2, resolved_by = $3 \
                 WHERE resolved_at IS NULL AND reason IN ('pending_too_long', 'not_found', 'unresolved', 'source_unknown') \
                 AND charge_id IN (SELECT v.id FROM {v})",
            )
            .bind(now)
            .bind(resolution)
            .bind(actor)
            .rows("v", super::db::ids(charges.iter().copied())),
        )
        .await?;
        Ok(())
    }
}

row! {
    /// A review case as people see it.
    pub ShownRow {
        /// Its shown id.
        public_id: String,
        /// What is wrong.
        reason: String,
        /// What it is about.
        subject: String,
        /// The subscription's shown id.
        subscription_public_id: Option<String>,
        /// The merchant's own reference of the subscription.
        subscription: Option<String>,
        /// Inside, for the journal.
        subscription_id: Option<i64>,
        /// Inside, for the journal.
        charge_id: Option<i64>,
        /// The charge's shown id.
        charge: Option<String>,
        /// The period's number.
        period_index: Option<i64>,
        /// Where it is about a payment.
        payment_id: Option<String>,
        /// What was seen.
        evidence: String,
        /// The next step.
        suggestion: String,
        /// When it was opened.
        opened_at: Instant,
        /// When it was closed.
        resolved_at: Option<Instant>,
        /// How.
        resolution: Option<String>,
        /// By whom.
        resolved_by: Option<String>,
    }
}

impl Store {
    /// Review cases, the newest first: those that are open, or all.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn review_list(&self, closed_too: bool, limit: u32) -> Result<Vec<ShownRow>, StoreError> {
        let text = concat!(shown!(), " WHERE r.resolved_at IS NULL OR $1 = 1 ORDER BY r.id DESC LIMIT $2");
        self.read(Statement::new(text).bind(closed_too).bind(limit)).await
    }

    /// The review cases of one subscription that are open, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open_reviews_of(&self, subscription_id: i64) -> Result<Vec<ShownRow>, StoreError> {
        let text = concat!(shown!(), " WHERE r.subscription_id = $1 AND r.resolved_at IS NULL ORDER BY r.id");
        self.read(Statement::new(text).bind(subscription_id)).await
    }

    /// The review case with this shown id.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn review_shown(&self, public_id: &str) -> Result<Option<ShownRow>, StoreError> {
        let text = concat!(shown!(), " WHERE r.public_id = $1");
        Ok(self.read(Statement::new(text).bind(public_id)).await?.into_iter().next())
    }
}
