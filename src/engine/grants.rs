//! Grants: what an act adds to the plans of days that are frozen already. An act that somebody acknowledged grants whatever it adds; any
//! other only what a day's plan leaves room for, and the brake stops the rest.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};

use crate::clock::Instant;
use crate::config::Brake;
use crate::domain::calendar::{Interval, IntervalUnit};
use crate::domain::money::Money;
use crate::store::daily_plans::Amounts;
use crate::store::{StoreError, Tx};

/// Charges that an act adds, by day and currency.
#[derive(Debug, Clone, Default)]
pub(super) struct Grants(BTreeMap<NaiveDate, BTreeMap<String, (i64, i64)>>);

impl Grants {
    /// One charge that will be sent for the first time at `at`.
    pub fn add(&mut self, at: Instant, amount: &Money) {
        let day = self.0.entry(at.date_naive()).or_default();
        let (count, minor) = day.entry(amount.currency.code().to_owned()).or_default();
        *count += 1;
        *minor = minor.saturating_add(amount.amount_minor);
    }

    /// A subscription that charges at `at` next; one that does each day does so the day after as well.
    pub fn add_next(&mut self, at: Instant, interval: Interval, price: &Money) {
        self.add(at, price);
        if interval.unit == IntervalUnit::Day && interval.count.get() == 1 {
            self.add(at + Days::new(1), price);
        }
    }

    /// Adds them to the plans. How many charges no plan has room for; they are not granted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn give(self, tx: &mut Tx, brake: &Brake, acknowledged: bool) -> Result<i64, StoreError> {
        let mut refused = 0;
        for (day, amounts) in self.0 {
            let plans = tx.daily_plans(day).await?;
            let mut granted = Vec::new();
            for (currency, (count, amount_minor)) in amounts {
                let Some(plan) = plans.iter().find(|plan| plan.currency == currency) else { continue };
                let most = plan.planned_count.saturating_mul(brake.percent - 100) / 100 + brake.margin;
                if acknowledged || plan.granted_count + count <= most {
                    granted.push(Amounts { currency, count, amount_minor });
                } else {
                    refused += count;
                }
            }
            tx.grant(day, &granted).await?;
        }
        Ok(refused)
    }
}
