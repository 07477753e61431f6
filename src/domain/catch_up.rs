//! Catch-up: which of several periods that are due at once are billed. Every one that is not stands as a row with its reason.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::domain::calendar::Period;
use crate::domain::word::words;

words! {
    /// What happens to several periods due at once.
    CatchUpRule is a "catch-up rule" {
        /// Every one within `max_periods` and `max_age`; the rest is held.
        BillAll = "bill_all",
        /// The latest; the others are skipped.
        BillLatest = "bill_latest",
        /// None.
        Skip = "skip",
        /// None until a person decides.
        Hold = "hold",
    }
}

/// The rules and their limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatchUp {
    /// For periods from before the subscription was handed over.
    pub handed_over: CatchUpRule,
    /// For periods missed by downtime.
    pub missed: CatchUpRule,
    /// `bill_all` bills at most so many.
    pub max_periods: NonZeroU32,
    /// `bill_all` bills none older.
    pub max_age: Duration,
    /// Between the sending of two of them.
    pub spread: Duration,
}

/// What becomes of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Charged, not before this instant.
    Bill(Instant),
    /// A row that says why not.
    Skip,
    /// A row that waits for a person.
    Hold,
}

impl CatchUp {
    /// What says which periods of a handed-over subscription are billed and when, in the words of the config: who goes by an equal text
    /// decides alike.
    pub fn of_handed_over(&self) -> String {
        format!(
            "handed_over = {:?}, max_periods = {}, max_age = \"{}s\", spread = \"{}s\"",
            self.handed_over.as_str(),
            self.max_periods,
            self.max_age.as_secs(),
            self.spread.as_secs()
        )
    }

    /// Decides over `periods`, which have all begun by `now` and stand in order. A single missed period is billed whatever its
    /// age: downtime changes nothing but lateness. `missed` is the plan's own rule where it has one.
    pub fn decide(
        &self,
        periods: &[Period],
        handed_over_at: Instant,
        missed: Option<CatchUpRule>,
        now: Instant,
    ) -> Vec<Decision> {
        let split = periods.partition_point(|period| period.start_at < handed_over_at);
        let (before, after) = periods.split_at(split);
        let mut decisions = self.group(before, self.handed_over, now);
        decisions.extend(match after {
            [_] => vec![Decision::Bill(now)],
            several => self.group(several, missed.unwrap_or(self.missed), now),
        });
        let spread = TimeDelta::from_std(self.spread).unwrap_or(TimeDelta::MAX);
        let mut next = now;
        for decision in &mut decisions {
            if let Decision::Bill(at) = decision {
                *at = next;
                next = next.checked_add_signed(spread).unwrap_or(Instant::MAX_UTC);
            }
        }
        decisions
    }

    fn group(&self, periods: &[Period], rule: CatchUpRule, now: Instant) -> Vec<Decision> {
        let oldest = TimeDelta::from_std(self.max_age).ok().and_then(|age| now.checked_sub_signed(age));
        let latest = periods.len().saturating_sub(1);
        let most = usize::try_from(self.max_periods.get()).unwrap_or(usize::MAX);
        let decide = |(place, period): (usize, &Period)| match rule {
            CatchUpRule::Skip => Decision::Skip,
            CatchUpRule::Hold => Decision::Hold,
            CatchUpRule::BillLatest if place == latest => Decision::Bill(now),
            CatchUpRule::BillLatest => Decision::Skip,
            CatchUpRule::BillAll if place == latest => Decision::Bill(now),
            CatchUpRule::BillAll if latest - place < most && oldest.is_none_or(|oldest| period.start_at >= oldest) => {
                Decision::Bill(now)
            }
            CatchUpRule::BillAll => Decision::Hold,
        };
        periods.iter().enumerate().map(decide).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant_from_micros;

    const DAY: i64 = 86_400_000_000;

    fn at(day: i64) -> Instant {
        instant_from_micros(1_800_000_000_000_000 + day * DAY)
    }

    /// Daily periods that began on these days.
    fn begun(days: std::ops::Range<i64>) -> Vec<Period> {
        days.map(|day| Period {
            index: day,
            start_on: at(day).date_naive(),
            end_on: at(day + 1).date_naive(),
            start_at: at(day),
            end_at: at(day + 1),
        })
        .collect()
    }

    /// Handed-over periods are held; of those missed three are billed, ten days back, an hour apart.
    fn rules(missed: CatchUpRule) -> CatchUp {
        CatchUp {
            handed_over: CatchUpRule::Hold,
            missed,
            max_periods: NonZeroU32::new(3).unwrap(),
            max_age: Duration::from_hours(10 * 24),
            spread: Duration::from_hours(1),
        }
    }

    /// `B` with its hour for what is billed, `s` skipped, `h` held; in order.
    fn decided(rules: &CatchUp, days: std::ops::Range<i64>, handed_over: i64, own: Option<CatchUpRule>) -> String {
        let now = at(days.end) + TimeDelta::hours(2);
        let decisions = rules.decide(&begun(days), at(handed_over), own, now);
        let word = |it: Decision| match it {
            Decision::Bill(at) => format!("B{}", (at - now).num_hours()),
            Decision::Skip => "s".to_owned(),
            Decision::Hold => "h".to_owned(),
        };
        decisions.into_iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_rule_decides_over_what_was_missed() {
        use CatchUpRule::{BillAll, BillLatest, Hold, Skip};
        for (rule, wanted) in
            [(BillAll, "h h B0 B1 B2"), (BillLatest, "s s s s B0"), (Skip, "s s s s s"), (Hold, "h h h h h")]
        {
            assert_eq!(decided(&rules(rule), 0..5, 0, None), wanted, "{rule:?}");
            assert_eq!(decided(&rules(Hold), 0..5, 0, Some(rule)), wanted, "{rule:?}: the plan's own");
        }
    }

    #[test]
    fn one_missed_period_is_billed_whatever_its_age_and_whatever_the_rule() {
        for rule in [CatchUpRule::BillAll, CatchUpRule::Skip, CatchUpRule::Hold, CatchUpRule::BillLatest] {
            assert_eq!(rules(rule).decide(&begun(0..1), at(0), None, at(300)), [Decision::Bill(at(300))], "{rule:?}");
        }
        assert_eq!(rules(CatchUpRule::BillAll).decide(&[], at(0), None, at(1)), []);
    }

    #[test]
    fn what_began_before_the_hand_over_has_its_own_rule() {
        assert_eq!(decided(&rules(CatchUpRule::BillAll), 0..5, 2, None), "h h B0 B1 B2", "from the very instant on");
        assert_eq!(decided(&rules(CatchUpRule::BillAll), 0..5, 4, None), "h h h h B0", "one is left: it is billed");
        assert_eq!(decided(&rules(CatchUpRule::Skip), 0..5, 3, None), "h h h s s");
        let all = CatchUp { handed_over: CatchUpRule::BillLatest, ..rules(CatchUpRule::BillAll) };
        assert_eq!(decided(&all, 0..5, 2, None), "s B0 B1 B2 B3", "spread over both");
    }

    #[test]
    fn none_is_billed_that_is_older_than_the_limit_but_the_latest_and_one_as_old_as_it_is() {
        let old = |max_age| CatchUp { max_age, ..rules(CatchUpRule::BillAll) };
        // The latest began 26 hours ago, the one before it 50, then 74.
        assert_eq!(decided(&old(Duration::from_hours(50)), 0..4, 0, None), "h h B0 B1");
        assert_eq!(decided(&old(Duration::from_hours(49)), 0..4, 0, None), "h h h B0");
        assert_eq!(decided(&old(Duration::from_hours(1)), 0..4, 0, None), "h h h B0");
        assert_eq!(decided(&old(Duration::MAX), 0..4, 0, None), "h B0 B1 B2", "no limit that a calendar holds");
    }
}
