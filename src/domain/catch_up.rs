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
