//! A plan: price, currency and interval. A change makes a new version; subscribers keep theirs.

use crate::domain::calendar::{Interval, IntervalUnit};
use crate::domain::catch_up::CatchUpRule;
use crate::domain::money::Money;

/// What a plan says. Equal plans are one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The price of one period.
    pub price: Money,
    /// The length of one period.
    pub interval: Interval,
    /// The local hour at which a period begins.
    pub billing_hour: u8,
    /// What the customer reads, at most 100 characters.
    pub description: String,
    /// The name of its dunning policy.
    pub dunning: String,
    /// Its own catch-up rule for periods missed by downtime.
    pub catch_up: Option<CatchUpRule>,
}

/// Months in a year.
const MONTHS: i128 = 12;

impl Plan {
    /// What a subscriber pays in a month on the average, in minor units, rounded: a year has 365 days, 52 weeks or 12 months.
    pub fn monthly_minor(&self) -> i128 {
        let (sum, years) = self.of_years();
        (sum + years * MONTHS / 2) / (years * MONTHS)
    }

    /// Whether `new` costs more or less than this plan by more than so many hundredths, however long its interval, or is of another
    /// currency: what an operator must mean.
    pub fn changes_beyond(&self, new: &Plan, percent: i64) -> bool {
        if self.price.currency != new.price.currency {
            return true;
        }
        let ((was, was_years), (now, now_years)) = (self.of_years(), new.of_years());
        let (was, now) = (was * now_years, now * was_years);
        (now - was).abs() * 100 > i128::from(percent) * was
    }

    /// The sum of so many years, both whole.
    fn of_years(&self) -> (i128, i128) {
        let in_a_year = match self.interval.unit {
            IntervalUnit::Day => 365,
            IntervalUnit::Week => 52,
            IntervalUnit::Month => MONTHS,
            IntervalUnit::Year => 1,
        };
        (i128::from(self.price.amount_minor) * in_a_year, i128::from(self.interval.count.get()))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn plan(amount_minor: i64, currency: &str, unit: IntervalUnit, count: u32) -> Plan {
        Plan {
            price: Money::new(amount_minor, currency.parse().unwrap()),
            interval: Interval::new(unit, NonZeroU32::new(count).unwrap()),
            billing_hour: 10,
            description: "a plan".to_owned(),
            dunning: "standard".to_owned(),
            catch_up: None,
        }
    }

    #[test]
    fn a_plan_comes_to_a_months_average_whatever_its_interval() {
        for (amount_minor, unit, count, wanted) in [
            (12_800, IntervalUnit::Month, 1, 12_800),
            (38_400, IntervalUnit::Month, 3, 12_800),
            (120_000, IntervalUnit::Year, 1, 10_000),
            (100, IntervalUnit::Day, 1, 3_042),
            (300, IntervalUnit::Week, 2, 650),
        ] {
            assert_eq!(plan(amount_minor, "HKD", unit, count).monthly_minor(), wanted, "{amount_minor} {unit:?}");
        }
    }

    #[test]
    fn a_change_is_measured_by_the_year_and_by_the_currency() {
        let was = plan(10_000, "HKD", IntervalUnit::Month, 1);
        for (new, wanted) in [
            (plan(15_000, "HKD", IntervalUnit::Month, 1), false),
            (plan(15_001, "HKD", IntervalUnit::Month, 1), true),
            (plan(5_000, "HKD", IntervalUnit::Month, 1), false),
            (plan(4_999, "HKD", IntervalUnit::Month, 1), true),
            (plan(10_000, "HKD", IntervalUnit::Day, 1), true),
            (plan(30_000, "HKD", IntervalUnit::Month, 3), false),
            (plan(120_000, "HKD", IntervalUnit::Year, 1), false),
            (plan(10_000, "SGD", IntervalUnit::Month, 1), true),
        ] {
            assert_eq!(was.changes_beyond(&new, 50), wanted, "{new:?}");
        }
        let free_of_it = plan(10_000, "HKD", IntervalUnit::Month, 1);
        assert!(!was.changes_beyond(&free_of_it, 0));
    }
}
