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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn at(day: u32) -> Instant {
        format!("2026-01-{day}T02:00:00Z").parse().unwrap()
    }

    fn price() -> Money {
        Money::new(12_800, "HKD".parse().unwrap())
    }

    #[test]
    fn what_charges_each_day_is_granted_for_tomorrow_as_well() {
        let days = |unit, count| {
            let mut grants = Grants::default();
            grants.add_next(at(20), Interval { unit, count: NonZeroU32::new(count).unwrap() }, &price());
            grants.0.into_iter().map(|(day, amounts)| (day.to_string(), amounts["HKD"])).collect::<Vec<_>>()
        };
        let today = ("2026-01-20".to_owned(), (1, 12_800));
        let tomorrow = ("2026-01-21".to_owned(), (1, 12_800));
        assert_eq!(days(IntervalUnit::Day, 1), [today.clone(), tomorrow]);
        for (unit, count) in [(IntervalUnit::Day, 2), (IntervalUnit::Week, 1), (IntervalUnit::Month, 1)] {
            assert_eq!(days(unit, count), std::slice::from_ref(&today), "{count} {unit:?}");
        }
    }

    #[test]
    fn charges_of_one_day_and_currency_add_up() {
        let mut grants = Grants::default();
        grants.add(at(20), &price());
        grants.add(at(20), &price());
        grants.add(at(20), &Money::new(900, "CNY".parse().unwrap()));
        assert_eq!(
            grants.0[&at(20).date_naive()],
            [("CNY".to_owned(), (1, 900)), ("HKD".to_owned(), (2, 25_600))].into()
        );
    }

    #[test]
    fn what_is_beyond_is_told_by_today_and_tomorrow() {
        let counts = [(19, 1), (20, 2), (21, 4)].map(|(day, count)| (at(day).date_naive(), count)).into();
        let beyond = BeyondPlan::of(&counts, at(20));
        assert_eq!((beyond, beyond.count()), (BeyondPlan { today: 3, tomorrow: 4 }, 7));
    }

    #[test]
    fn a_plan_takes_what_its_part_and_the_margin_leave() {
        let brake = Brake { percent: 150, margin: 20 };
        let plan = |granted_count| DailyPlanRow {
            day: "2026-01-20".to_owned(),
            currency: "HKD".to_owned(),
            planned_count: 100,
            planned_minor: 0,
            granted_count,
            granted_minor: 0,
            sent_count: 0,
            sent_minor: 0,
            usual_minor: 0,
            carried_count: 0,
            carried_minor: 0,
        };
        for (granted, count, room) in [(0, 70, true), (0, 71, false), (69, 1, true), (70, 1, false), (70, 0, true)] {
            assert_eq!(has_room(&plan(granted), count, &brake), room, "{granted} {count}");
        }
    }
}
