//! A clock that jumps: the wall clock is held against the time since boot, which neither jumps nor stands still. While the two
//! disagree nothing is billed and nothing is sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Instant;

/// Further back than a time service steps a clock that runs.
const BACK_AT_MOST: TimeDelta = TimeDelta::seconds(10);
/// Further forward than a late correction, or a switch of the database's host, explains.
const FORWARD_AT_MOST: TimeDelta = TimeDelta::hours(1);

/// What the wall clock showed at which time since boot, and whether a jump was told of.
#[derive(Debug, Default)]
pub struct Steady {
    base: Mutex<Option<(Instant, Duration)>>,
    told: AtomicBool,
}

impl Steady {
    /// How far the wall clock has jumped; none where it goes on as it should.
    pub fn jump(&self, wall: Instant, since_boot: Duration) -> Option<TimeDelta> {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        let (then, booted) = *base.get_or_insert((wall, since_boot));
        let passed = TimeDelta::from_std(since_boot.saturating_sub(booted)).unwrap_or(TimeDelta::MAX);
        let jump = (wall - then) - passed;
        (jump < -BACK_AT_MOST || jump > FORWARD_AT_MOST).then_some(jump)
    }

    /// Whether a jump was told of and is not yet settled.
    pub fn is_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    /// Remembers that it was, or that it is settled.
    pub fn tell(&self, told: bool) {
        self.told.store(told, Ordering::SeqCst);
    }

    /// Takes the wall clock for right as it is: slow corrections do not add up, and an operator has looked at a jump.
    pub fn trust(&self, wall: Instant, since_boot: Duration) {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Some((wall, since_boot));
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
    fn only_a_jump_is_told_and_one_that_is_undone_is_none() {
        let steady = Steady::default();
        let boot = |seconds: u64| Duration::from_secs(1_000 + seconds);
        assert_eq!(steady.jump(at(0), boot(0)), None);
        assert_eq!(steady.jump(at(86_400), boot(86_400)), None);
        assert_eq!(steady.jump(at(86_395), boot(86_400)), None, "a step of a time service");
        assert_eq!(steady.jump(at(86_400 + 3_000), boot(86_400)), None);
        assert_eq!(steady.jump(at(86_400 - 60), boot(86_400)), Some(TimeDelta::seconds(-60)));
        assert_eq!(steady.jump(at(86_400 + 7_200), boot(86_400)), Some(TimeDelta::hours(2)));
        assert_eq!(steady.jump(at(86_401), boot(86_401)), None);
        steady.trust(at(200_000), boot(86_402));
        assert_eq!(steady.jump(at(200_001), boot(86_403)), None);
    }
}
