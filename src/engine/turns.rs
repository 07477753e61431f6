//! When what the budget does not grant now is worth another try: each its own instant, as many a second as the budget brings, behind
//! those that were told before. So a crowd comes back one by one, and is not put off again and again. Pure on instants.

use chrono::TimeDelta;

use crate::clock::Instant;

/// Nobody is put off for longer; whoever comes later is put off again then.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(10);
/// While somebody waits for a turn, it is worth coming round so often.
const COMES_ROUND: TimeDelta = TimeDelta::milliseconds(100);

/// The turns that were told.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: Option<Instant>,
}

impl Turns {
    /// The next turn: not before `first`, and `pace` after the last one that was told.
    pub fn next(&mut self, now: Instant, first: Instant, pace: TimeDelta) -> Instant {
        let first = first.max(now + pace);
        // A last turn beyond the longest wait means a very long queue, or that the clock was set back.
        let behind = self.last.map(|last| last + pace).filter(|turn| *turn <= now + LONGEST_WAIT);
        let turn = behind.map_or(first, |behind| behind.max(first));
        self.last = Some(turn);
        turn
    }

    /// When to come round, while there are turns to come.
    pub fn comes_round_at(&self, now: Instant) -> Option<Instant> {
        self.last.filter(|last| now < *last && *last <= now + LONGEST_WAIT).map(|last| last.min(now + COMES_ROUND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant_from_micros;

    const PACE: TimeDelta = TimeDelta::milliseconds(10);

    fn at(millis: i64) -> Instant {
        instant_from_micros(1_800_000_000_000_000 + millis * 1_000)
    }

    #[test]
    fn a_crowd_gets_turns_one_after_the_other_and_latecomers_stand_behind_it() {
        let mut turns = Turns::default();
        assert_eq!(turns.comes_round_at(at(0)), None);
        let told: Vec<Instant> = (0..3).map(|_| turns.next(at(0), at(5), PACE)).collect();
        assert_eq!(told, [at(10), at(20), at(30)]);
        assert_eq!(turns.next(at(15), at(16), PACE), at(40));
        assert_eq!(turns.comes_round_at(at(15)), Some(at(40)));
        assert_eq!(turns.comes_round_at(at(40)), None);
        assert_eq!(turns.next(at(900), at(1_000), PACE), at(1_000), "a pause is waited for");
        assert_eq!(turns.comes_round_at(at(800)), Some(at(900)));
    }

    #[test]
    fn nobody_waits_longer_than_the_longest_wait_whatever_the_clock_does() {
        let mut turns = Turns::default();
        for _ in 0..100_000 {
            assert!(turns.next(at(0), at(0), PACE) <= at(0) + LONGEST_WAIT);
        }
        assert_eq!(turns.next(at(-86_400_000), at(0) - TimeDelta::days(1), PACE), at(-86_400_000) + PACE);
        assert!(turns.comes_round_at(at(-2 * 86_400_000)).is_none());
    }
}
