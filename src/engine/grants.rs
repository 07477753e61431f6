//! Grants: what an act adds to the plans of days that are frozen already. An act that somebody acknowledged grants whatever it adds; any
//! other only what a day's plan leaves room for, and the brake stops the rest.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};

use crate::clock::Instant;
use crate::config::Brake;
use crate::domain::calendar::{Interval, IntervalUnit};
use crate::domain::money::Money;
use crate::store::daily_plans::{Amounts, DailyPlanRow};
use crate::store::{Store, StoreError, Tx};

/// Charges that the plans of their days have no room for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BeyondPlan {
    /// Those of today, which is a day in UTC.
    pub today: i64,
    /// Those of the day after.
    pub tomorrow: i64,
}

impl BeyondPlan {
    /// All of them.
    pub fn count(self) -> i64 {
        self.today.saturating_add(self.tomorrow)
    }

    /// Counts by day, as seen at `now`.
    pub(super) fn of(counts: &BTreeMap<NaiveDate, i64>, now: Instant) -> BeyondPlan {
        let mut beyond = BeyondPlan::default();
        for (day, count) in counts {
            let which = if *day > now.date_naive() { &mut beyond.tomorrow } else { &mut beyond.today };
            *which = which.saturating_add(*count);
        }
        beyond
    }
}

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

    /// Adds them to the plans. How many charges the plan of each day has no room for; they are not granted.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn give(
        self,
        tx: &mut Tx,
        brake: &Brake,
        acknowledged: bool,
    ) -> Result<BTreeMap<NaiveDate, i64>, StoreError> {
        let mut refused = BTreeMap::new();
        for (day, amounts) in self.0 {
            let plans = tx.daily_plans(day).await?;
            let mut granted = Vec::new();
            for (currency, (count, amount_minor)) in amounts {
                let Some(plan) = plans.iter().find(|plan| plan.currency == currency) else { continue };
                if acknowledged || has_room(plan, count, brake) {
                    granted.push(Amounts { currency, count, amount_minor });
                } else {
                    *refused.entry(day).or_default() += count;
                }
            }
            tx.grant(day, &granted).await?;
        }
        Ok(refused)
    }

    /// The same for who only wants to know.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn beyond(&self, store: &Store, brake: &Brake, now: Instant) -> Result<BeyondPlan, StoreError> {
        let mut beyond = BTreeMap::new();
        // No day after tomorrow is planned yet.
        for (day, amounts) in self.0.range(..=now.date_naive() + Days::new(1)) {
            let plans = store.plans_of_day(*day).await?;
            for (currency, (count, _)) in amounts {
                if plans.iter().any(|plan| plan.currency == *currency && !has_room(plan, *count, brake)) {
                    *beyond.entry(*day).or_default() += count;
                }
            }
        }
        Ok(BeyondPlan::of(&beyond, now))
    }
}

/// Whether a plan takes so many more charges that nobody acknowledged.
fn has_room(plan: &DailyPlanRow, count: i64, brake: &Brake) -> bool {
    let most = plan.planned_count.saturating_mul(brake.percent - 100) / 100 + brake.margin;
    plan.granted_count.saturating_add(count) <= most
}
