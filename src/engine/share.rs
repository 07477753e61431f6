//! Among how many daemons the account's budget is shared, and from when this one may take an equal part: not before each of the others has
//! come round and makes do with less. Pure on what the books show.

use std::sync::{Mutex, PoisonError};

use crate::clock::Instant;
use crate::engine::beat::ALIVE_WITHIN;
use crate::store::nodes::{LivingRow, NodeRow};

/// From when the others may know of this daemon; none before it has taken its name.
#[derive(Debug, Default)]
pub struct Share(Mutex<Option<Instant>>);

/// What this daemon may spend of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// As much as each of so many.
    Equal { among: u32 },
    /// As little as it can work with: some daemon still spends a part that leaves none for this one.
    Least,
}

impl Share {
    /// This daemon's part; `me` as the books showed it before it took its name or came round now, and the living `others`.
    pub(super) fn part(&self, me: Option<&NodeRow>, others: &[&LivingRow], now: Instant) -> Part {
        let mut known_from = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = match me.filter(|me| me.stopped_at.is_none() && now - me.heartbeat_at < ALIVE_WITHIN) {
            // It was counted all along, under a former process as well. A clock that was set back must not make it wait for itself.
            Some(me) => known_from.unwrap_or(me.started_at).min(now),
            // It is new, or was away for so long that the others have taken its part. Whoever came round until now did not count it, and may
            // have read the clock a little later than it was written down.
            None => others.iter().map(|other| other.heartbeat_at).fold(now, Instant::max),
        };
        *known_from = Some(from);
        if others.iter().any(|other| other.heartbeat_at <= from) {
            return Part::Least;
        }
        Part::Equal { among: u32::try_from(others.len()).unwrap_or(u32::MAX).saturating_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant_from_micros;

    fn at(seconds: i64) -> Instant {
        instant_from_micros((1_800_000_000 + seconds) * 1_000_000)
    }

    fn me(started: i64, heartbeat: i64) -> NodeRow {
        NodeRow {
            name: "me".to_owned(),
            process: "1".to_owned(),
            started_at: at(started),
            heartbeat_at: at(heartbeat),
            stopped_at: None,
            sends: 0,
            condition: None,
        }
    }

    fn other(heartbeat: i64) -> LivingRow {
        LivingRow { name: "other".to_owned(), heartbeat_at: at(heartbeat) }
    }

    #[test]
    fn alone_it_has_the_whole_from_the_start() {
        assert_eq!(Share::default().part(None, &[], at(0)), Part::Equal { among: 1 });
    }

    #[test]
    fn a_newcomer_waits_until_each_of_the_others_has_come_round() {
        let share = Share::default();
        assert_eq!(share.part(None, &[&other(-3), &other(-1)], at(0)), Part::Least);
        assert_eq!(share.part(Some(&me(0, 0)), &[&other(2), &other(-1)], at(3)), Part::Least);
        assert_eq!(share.part(Some(&me(0, 3)), &[&other(2), &other(4)], at(5)), Part::Equal { among: 3 });
        assert_eq!(share.part(Some(&me(0, 5)), &[&other(2)], at(8)), Part::Equal { among: 2 });
    }

    #[test]
    fn one_that_came_round_while_the_name_was_taken_did_not_see_it() {
        let share = Share::default();
        assert_eq!(share.part(None, &[&other(1)], at(0)), Part::Least);
        assert_eq!(share.part(Some(&me(0, 0)), &[&other(1)], at(5)), Part::Least);
        assert_eq!(share.part(Some(&me(0, 5)), &[&other(6)], at(10)), Part::Equal { among: 2 });
    }

    #[test]
    fn a_restart_within_half_a_minute_finds_its_part_kept() {
        assert_eq!(Share::default().part(Some(&me(-900, -29)), &[&other(-4)], at(0)), Part::Equal { among: 2 });
        assert_eq!(Share::default().part(Some(&me(-900, -30)), &[&other(-4)], at(0)), Part::Least);
        let stopped = NodeRow { stopped_at: Some(at(-2)), ..me(-900, -2) };
        assert_eq!(Share::default().part(Some(&stopped), &[&other(-1)], at(0)), Part::Least);
        let crashed_before_it_was_seen = me(-3, -3);
        assert_eq!(Share::default().part(Some(&crashed_before_it_was_seen), &[&other(-4)], at(0)), Part::Least);
    }

    #[test]
    fn one_that_slept_begins_anew() {
        let share = Share::default();
        share.part(None, &[], at(0));
        assert_eq!(share.part(Some(&me(0, 5)), &[&other(9)], at(10)), Part::Equal { among: 2 });
        assert_eq!(share.part(Some(&me(0, 10)), &[&other(58)], at(60)), Part::Least);
        assert_eq!(share.part(Some(&me(0, 60)), &[&other(63)], at(65)), Part::Equal { among: 2 });
    }

    #[test]
    fn a_clock_set_back_ends_the_wait_all_the_same() {
        let share = Share::default();
        assert_eq!(share.part(None, &[&other(0)], at(0)), Part::Least);
        assert_eq!(share.part(Some(&me(0, 0)), &[&other(-3_600)], at(-3_601)), Part::Equal { among: 2 });
    }
}
