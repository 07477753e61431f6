//! How fast this daemon sends, and what follows from outcomes that stay unknown: beyond a limit one request at a time probes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;

use crate::clock::Instant;

/// Sends are remembered for so long.
const REMEMBERED: TimeDelta = TimeDelta::hours(1);
/// Between two probes while too many outcomes are unknown.
const PROBE_EVERY: TimeDelta = TimeDelta::seconds(30);
/// Of a hundred sends of the last hour so many may be unknown.
const UNKNOWN_PER_HUNDRED: i64 = 1;

/// Sends of the last hour, and the last probe.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    sends: VecDeque<(Instant, i64)>,
    sent_at: Option<Instant>,
    /// What holds it back.
    held_back: Option<HeldBack>,
}

/// More outcomes are unknown than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBack {
    /// So many.
    pub not_found: i64,
    /// And so many may be.
    pub limit: i64,
}

impl Pace {
    /// Notes sends that were committed.
    pub(super) fn note(&self, count: i64, now: Instant) {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inside.sends.push_back((now, count));
        inside.forget(now);
        if count > 0 {
            inside.sent_at = Some(now);
        }
    }

    /// How many may be sent at once while `not_found` outcomes are unknown although a look-up has shown nothing of them; none where
    /// that is no reason to hold back.
    pub(super) fn limit(&self, not_found: i64, at_least: i64, now: Instant) -> Option<u32> {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inside.forget(now);
        let last_hour: i64 = inside.sends.iter().map(|(_, count)| count).sum();
        let limit = unknown_limit(at_least, last_hour);
        if not_found <= limit {
            if inside.held_back.take().is_some() {
                tracing::info!(not_found, limit, "so few outcomes are unknown again that sending goes on");
            }
            return None;
        }
        // Said when the limit is passed, not at every look at it.
        if inside.held_back.replace(HeldBack { not_found, limit }).is_none() {
            tracing::warn!(
                not_found,
                limit,
                "too many outcomes are unknown: sending pauses, one request probes every half minute"
            );
        }
        // Whatever was sent last, since the limit was passed or before, is the probe that is waited for.
        let waits = inside.sent_at.is_some_and(|at| now >= at && now < at + PROBE_EVERY);
        Some(u32::from(!waits))
    }

    /// What holds it back, as of the last look; none where nothing does.
    pub fn held_back(&self) -> Option<HeldBack> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held_back
    }
}

/// How many outcomes may be unknown: so many at least, and one of a hundred that were sent in the last hour.
pub fn unknown_limit(at_least: i64, sent_last_hour: i64) -> i64 {
    at_least.max(sent_last_hour * UNKNOWN_PER_HUNDRED / 100)
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} outcomes are unknown, and {} may be: sending pauses, one request probes every half minute",
            self.not_found, self.limit
        )
    }
}

impl Inside {
    fn forget(&mut self, now: Instant) {
        while self.sends.front().is_some_and(|(at, _)| *at <= now - REMEMBERED) {
            self.sends.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant_from_micros;

    fn at(seconds: i64) -> Instant {
        instant_from_micros((1_800_000_000 + seconds) * 1_000_000)
    }

    #[test]
    fn beyond_the_limit_one_request_probes_now_and_then() {
        let pace = Pace::default();
        assert_eq!(pace.limit(5, 5, at(0)), None);
        assert_eq!(pace.held_back(), None);
        assert_eq!(pace.limit(6, 5, at(0)), Some(1));
        let held_back = pace.held_back();
        assert_eq!(held_back, Some(HeldBack { not_found: 6, limit: 5 }));
        assert!(held_back.unwrap().to_string().starts_with("6 outcomes are unknown, and 5 may be: "));
        assert_eq!(pace.limit(6, 5, at(0)), Some(1), "who has nothing to send takes no probe");
        pace.note(1, at(0));
        assert_eq!(pace.limit(6, 5, at(29)), Some(0));
        pace.note(0, at(29));
        assert_eq!(pace.limit(6, 5, at(30)), Some(1), "who sent nothing is no probe");
        pace.note(1_000, at(31));
        assert_eq!(pace.limit(10, 5, at(31)), None, "one of a hundred");
        assert_eq!(pace.limit(11, 5, at(61)), Some(1));
        assert_eq!(pace.limit(6, 5, at(31 + 3_600)), Some(1), "what was sent longer ago no longer counts");
        assert_eq!(pace.limit(0, 5, at(31 + 3_600)), None);
        assert_eq!(pace.held_back(), None);
    }
}
