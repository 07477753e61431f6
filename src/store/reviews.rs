//! Review cases: what a person must decide. One open case for each reason and subject, however often it is seen.

use super::StoreError;
use super::db::{Rows, Statement, Tx};
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
                 WHERE resolved_at IS NULL AND reason IN ('pending_too_long', 'not_found', 'unresolved') \
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
