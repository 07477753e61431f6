//! What the books hold that a subscription to be entered would double: one under its reference, one that charges the same source for the
//! same plan, one that was begun by the same first payment. What has ended stands in nobody's way.

use std::collections::BTreeMap;

use super::super::db::{Rows, Statement};
use super::super::{Store, StoreError, Tx};
use crate::cells;
use crate::row;

row! {
    /// A subscription of the books as far as a row to be entered may state otherwise.
    pub ThereRow {
        /// The merchant's own reference.
        reference: String,
        /// What is charged.
        gateway_source_id: Option<String>,
        /// The plan of its periods to come.
        plan: Option<String>,
        /// Personal data.
        email: Option<String>,
    }
}

row! { BesideRow { of: String, reference: String } }
row! { BegunByRow { payment: String, reference: String } }

/// A subscription that is to be entered, as far as it may stand in the books already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ToBegin<'a> {
    /// The merchant's own reference.
    pub reference: &'a str,
    /// What is to be charged; empty where it is not known.
    pub source_id: &'a str,
    /// The plan's name.
    pub plan: &'a str,
    /// The first payment made elsewhere.
    pub first_payment_id: Option<&'a str>,
}

/// The references of subscriptions that a first payment has begun, by payment.
pub type BegunBy = BTreeMap<String, Vec<String>>;

// What is asked for comes first, and each table after it is found by an index: `CROSS JOIN` keeps SQLite, which has no statistics, to that
// order, and leaves PostgreSQL its choice.
const THERE: &str = "SELECT s.reference, o.gateway_source_id, p.name AS plan, k.email FROM {v} CROSS JOIN subscriptions s \
     JOIN customers k ON k.id = s.customer_id LEFT JOIN sources o ON o.id = s.source_id \
     LEFT JOIN segments g ON g.subscription_id = s.id AND g.first_index = (SELECT MAX(h.first_index) FROM segments h \
         WHERE h.subscription_id = s.id) LEFT JOIN plans p ON p.id = g.plan_id WHERE s.reference = v.reference";

/// Of each one the first by name, so that the same is told each time.
const BESIDE: &str = "SELECT v.reference AS of, MIN(s.reference) AS reference FROM {v} \
     CROSS JOIN sources o CROSS JOIN subscriptions s CROSS JOIN segments g CROSS JOIN plans p \
     WHERE o.gateway_source_id = v.source_id AND s.source_id = o.id AND g.subscription_id = s.id AND p.id = g.plan_id \
     AND p.name = v.plan AND s.state NOT IN ('canceled', 'completed', 'incomplete_expired') AND s.reference <> v.reference \
     GROUP BY v.reference";

const HANDED_OVER_BY: &str = "SELECT s.first_payment_id AS payment, s.reference FROM {v} CROSS JOIN subscriptions s \
     WHERE s.first_payment_id = v.payment";

/// A payment that the books made or adopted for a charge began that charge's subscription, or one of its later periods.
const PAID_BY: &str = "SELECT y.gateway_payment_id AS payment, s.reference FROM {v} CROSS JOIN payments y \
     JOIN charges c ON c.id = y.charge_id JOIN subscriptions s ON s.id = c.subscription_id \
     WHERE y.gateway_payment_id = v.payment";

impl Store {
    /// The subscriptions that stand under these references.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn subscriptions_there(&self, references: &[&str]) -> Result<BTreeMap<String, ThereRow>, StoreError> {
        if references.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut rows = Rows::new(&["reference"], "t");
        for reference in references {
            rows.push(cells![*reference]);
        }
        let found: Vec<ThereRow> = self.read(Statement::new(THERE).rows("v", rows)).await?;
        Ok(found.into_iter().map(|row| (row.reference.clone(), row)).collect())
    }

    /// For each of these another subscription that has not ended and charges the same source for the same plan, by reference.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn beside(&self, set: &[ToBegin<'_>]) -> Result<BTreeMap<String, String>, StoreError> {
        match beside(set) {
            Some(statement) => Ok(by_reference(self.read(statement).await?)),
            None => Ok(BTreeMap::new()),
        }
    }

    /// The subscriptions that the first payments of these have begun, or paid for, already.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn begun_by(&self, set: &[ToBegin<'_>]) -> Result<BegunBy, StoreError> {
        let payments = payments_of(set);
        if payments.is_empty() {
            return Ok(BegunBy::new());
        }
        let mut rows: Vec<BegunByRow> = self.read(Statement::new(HANDED_OVER_BY).rows("v", payments.clone())).await?;
        rows.extend(self.read::<BegunByRow>(Statement::new(PAID_BY).rows("v", payments)).await?);
        Ok(by_payment(rows))
    }
}

impl Tx {
    /// As [`Store::beside`].
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn beside(&mut self, set: &[ToBegin<'_>]) -> Result<BTreeMap<String, String>, StoreError> {
        match beside(set) {
            Some(statement) => Ok(by_reference(self.all(statement).await?)),
            None => Ok(BTreeMap::new()),
        }
    }

    /// As [`Store::begun_by`].
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn begun_by(&mut self, set: &[ToBegin<'_>]) -> Result<BegunBy, StoreError> {
        let payments = payments_of(set);
        if payments.is_empty() {
            return Ok(BegunBy::new());
        }
        let mut rows: Vec<BegunByRow> = self.all(Statement::new(HANDED_OVER_BY).rows("v", payments.clone())).await?;
        rows.extend(self.all::<BegunByRow>(Statement::new(PAID_BY).rows("v", payments)).await?);
        Ok(by_payment(rows))
    }
}

fn beside(set: &[ToBegin<'_>]) -> Option<Statement> {
    let mut rows = Rows::new(&["reference", "source_id", "plan"], "ttt");
    for it in set.iter().filter(|it| !it.source_id.is_empty()) {
        rows.push(cells![it.reference, it.source_id, it.plan]);
    }
    (!rows.is_empty()).then(|| Statement::new(BESIDE).rows("v", rows))
}

fn payments_of(set: &[ToBegin<'_>]) -> Rows {
    let mut rows = Rows::new(&["payment"], "t");
    for payment in set.iter().filter_map(|it| it.first_payment_id) {
        rows.push(cells![payment]);
    }
    rows
}

fn by_reference(rows: Vec<BesideRow>) -> BTreeMap<String, String> {
    rows.into_iter().map(|row| (row.of, row.reference)).collect()
}

fn by_payment(rows: Vec<BegunByRow>) -> BegunBy {
    let mut begun = BegunBy::new();
    for row in rows {
        begun.entry(row.payment).or_default().push(row.reference);
    }
    begun
}
