//! What finance reads first: months and currencies, and whether any rule is broken. The views themselves stand in the migrations.

use super::db::Statement;
use super::{Store, StoreError};
use crate::row;

/// The sums of a month, the same on both databases.
macro_rules! month_sums {
    () => {
        "c.currency, CAST(SUM(CASE WHEN c.state NOT IN ('skipped', 'void') THEN 1 ELSE 0 END) AS BIGINT) AS charges, \
         CAST(SUM(CASE WHEN c.state NOT IN ('skipped', 'void') THEN c.amount_minor ELSE 0 END) AS BIGINT) AS due_minor, \
         CAST(SUM(CASE WHEN c.state = 'paid' THEN c.amount_minor ELSE 0 END) AS BIGINT) AS collected_minor, \
         CAST(SUM(CASE WHEN c.state = 'paid' AND EXISTS (SELECT 1 FROM attempts a WHERE a.charge_id = c.id \
             AND a.state IN ('declined', 'canceled', 'expired')) THEN c.amount_minor ELSE 0 END) AS BIGINT) AS recovered_minor, \
         CAST(SUM(CASE WHEN c.state IN ('due', 'collecting', 'retrying') THEN c.amount_minor ELSE 0 END) AS BIGINT) AS open_minor, \
         CAST(SUM(CASE WHEN c.state IN ('held', 'in_review') THEN c.amount_minor ELSE 0 END) AS BIGINT) AS flagged_minor, \
         CAST(SUM(CASE WHEN c.state = 'uncollectible' THEN c.amount_minor ELSE 0 END) AS BIGINT) AS uncollectible_minor \
         FROM charges c GROUP BY 1, 2 ORDER BY 1, 2"
    };
}

row! {
    /// One month of one currency, by the start of the billing periods (UTC). All amounts in minor units.
    pub MonthRow {
        /// `2026-01`
        month: String,
        /// The currency.
        currency: String,
        /// Charges that fell due, skipped and void ones left out.
        charges: i64,
        /// What they owe, skipped and void ones left out.
        due_minor: i64,
        /// What was taken.
        collected_minor: i64,
        /// The part of it that a retry brought after a decline.
        recovered_minor: i64,
        /// What may still come by itself.
        open_minor: i64,
        /// What waits for a person.
        flagged_minor: i64,
        /// What was given up.
        uncollectible_minor: i64,
    }
}

row! {
    /// What our books say was taken, in one currency.
    pub TakenRow {
        /// The currency.
        currency: String,
        /// Minor units.
        captured_minor: i64,
    }
}

row! {
    /// A broken rule.
    pub ExceptionRow {
        /// The rule's word.
        rule: String,
        /// The subscription's shown id.
        subscription_id: Option<String>,
        /// The merchant's own reference of the subscription.
        subscription_reference: Option<String>,
        /// The charge's shown id.
        charge_id: Option<String>,
        /// Where it is about a payment.
        payment_id: Option<String>,
        /// What is wrong, in words.
        detail: String,
    }
}

row! {
    CountRow { count: i64 }
}

impl Store {
    /// Every month in which a charge fell due, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn months(&self) -> Result<Vec<MonthRow>, StoreError> {
        // The two databases cut a month out of an instant in their own ways.
        let text = match self.kind() {
            "sqlite" => concat!("SELECT substr(c.due_at, 1, 7) AS month, ", month_sums!()),
            _ => concat!("SELECT to_char(c.due_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, ", month_sums!()),
        };
        self.read(Statement::new(text)).await
    }

    /// What was taken, by currency.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn taken(&self) -> Result<Vec<TakenRow>, StoreError> {
        self.read(Statement::new(
            "SELECT currency, CAST(SUM(captured_minor) AS BIGINT) AS captured_minor FROM payments \
             WHERE currency IS NOT NULL GROUP BY currency ORDER BY currency",
        ))
        .await
    }

    /// Rows in `finance_exceptions`: each is a broken rule.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn exceptions(&self) -> Result<i64, StoreError> {
        let row: CountRow = self.read_one(Statement::new("SELECT COUNT(*) AS count FROM finance_exceptions")).await?;
        Ok(row.count)
    }

    /// The rows of `finance_exceptions`, by rule and subscription.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn exception_list(&self, limit: u32) -> Result<Vec<ExceptionRow>, StoreError> {
        self.read(
            Statement::new(
                "SELECT rule, subscription_id, subscription_reference, charge_id, payment_id, detail FROM finance_exceptions \
                 ORDER BY rule, subscription_reference, charge_id, payment_id LIMIT $1",
            )
            .bind(limit),
        )
        .await
    }

    /// Open review cases.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open_reviews(&self) -> Result<i64, StoreError> {
        let text = "SELECT COUNT(*) AS count FROM review_cases WHERE resolved_at IS NULL";
        let row: CountRow = self.read_one(Statement::new(text)).await?;
        Ok(row.count)
    }
}
