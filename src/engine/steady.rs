//! A clock that jumps or is wrong: the wall clock is held against the time since boot, which neither jumps nor stands still, and against
//! what the gateway's answers say of the time. While they disagree nothing is billed and nothing is sent.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::engine::clock_watch::Verdict;

/// Further back than a time service steps a clock that runs.
const BACK_AT_MOST: TimeDelta = TimeDelta::seconds(10);
/// Further forward than a late correction, or a switch of the database's host, explains.
const FORWARD_AT_MOST: TimeDelta = TimeDelta::hours(1);
/// Further from the gateway's clock than any answer is old.
const FROM_GATEWAY_AT_MOST: TimeDelta = TimeDelta::hours(1);
/// A smaller step forward is not told from the time that a statement takes.
pub(super) const STEP_AT_MOST: TimeDelta = TimeDelta::seconds(1);
/// So many answers that do not say when they were made, and it is not waited any longer for one that does.
const UNDATED_AT_MOST: u32 = 5;

/// What the wall clock showed at which time since boot, and whether a wrong one was told of.
#[derive(Debug, Default)]
pub struct Steady {
    inside: Mutex<Inside>,
    told: AtomicBool,
}

#[derive(Debug, Default)]
struct Inside {
    /// When the wall clock was taken for right.
    base: Option<(Instant, Duration)>,
    /// What the wall clock showed, not before which time since boot: later it is never further ahead, unless it was set forward.
    latest: Option<(Instant, Duration)>,
    /// When it was first seen, or had been set forward, by the time since boot.
    steady_since: Duration,
    /// When it had been set forward.
    stepped_at: Option<Duration>,
    /// What the gateway's clock showed last.
    gateway: Option<(Instant, Duration)>,
    /// So far ahead of it an operator has said that ours may be.
    accepted: TimeDelta,
    /// When this daemon came round last; none where nobody expects it to.
    came_round: Option<Duration>,
    /// No dated answer of the gateway's has come yet, and one is waited for.
    awaits: bool,
    /// Answers without a date that came meanwhile.
    undated: u32,
}

/// What is wrong with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It jumped so far.
    Jumped(TimeDelta),
    /// It is so far ahead of the gateway's.
    Ahead(TimeDelta),
}

impl Steady {
    /// What is wrong with the wall clock; none where it goes on as it should.
    pub fn wrong(&self, wall: Instant, since_boot: Duration) -> Option<Wrong> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let jump = |(then, booted): (Instant, Duration)| {
            (wall - then) - TimeDelta::from_std(since_boot.saturating_sub(booted)).unwrap_or(TimeDelta::MAX)
        };
        let steps = inside.latest.is_some_and(|latest| jump(latest) > STEP_AT_MOST);
        if steps || inside.latest.is_none() {
            inside.latest = Some((wall, since_boot));
            inside.steady_since = since_boot;
            inside.stepped_at = steps.then_some(since_boot);
        }
        if let Some(gateway) = inside.gateway {
            let ahead = jump(gateway);
            if ahead.abs() <= FROM_GATEWAY_AT_MOST {
                // It was put right: what an operator had said of it is over, and so is what it showed then.
                if inside.accepted != TimeDelta::zero() {
                    inside.accepted = TimeDelta::zero();
                    inside.base = None;
                }
            } else if (ahead - inside.accepted).abs() > FROM_GATEWAY_AT_MOST {
                // Where the gateway says that it is wrong, it is nothing to hold a corrected one against.
                inside.base = None;
                return Some(Wrong::Ahead(ahead));
            }
        }
        let jump = jump(*inside.base.get_or_insert((wall, since_boot)));
        (jump < -BACK_AT_MOST || jump > FORWARD_AT_MOST).then_some(Wrong::Jumped(jump))
    }

    /// What is wrong with it beyond doubt, where it was read after `before`, and before `since_boot`: that the statement took long is no
    /// jump backwards.
    pub(super) fn certainly_wrong(&self, wall: Instant, before: Duration, since_boot: Duration) -> Option<Wrong> {
        let took = TimeDelta::from_std(since_boot.saturating_sub(before)).unwrap_or(TimeDelta::MAX);
        self.wrong(wall, since_boot).filter(|wrong| match wrong {
            Wrong::Jumped(jump) if *jump < TimeDelta::zero() => *jump + took < -BACK_AT_MOST,
            Wrong::Jumped(_) | Wrong::Ahead(_) => true,
        })
    }

    /// An answer of the gateway's came, made at `date` by its clock; none where it does not say. Whether it is not waited for a dated one
    /// any longer although none came.
    pub fn hear(&self, date: Option<Instant>, since_boot: Duration) -> bool {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(date) = date {
            inside.gateway = Some((date, since_boot));
            inside.awaits = false;
            return false;
        }
        inside.undated += 1;
        let gives_up = inside.awaits && inside.undated >= UNDATED_AT_MOST;
        inside.awaits &= !gives_up;
        gives_up
    }

    /// Nothing is billed and nothing is sent before a dated answer of the gateway's has come: a clock may be wrong from the start.
    pub fn await_gateway(&self) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).awaits = true;
    }

    /// From now on it comes round by itself, and what it does between two rounds is done by what the last one saw.
    pub fn expect_rounds(&self, since_boot: Duration) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).came_round = Some(since_boot);
    }

    /// It came round.
    pub fn comes_round(&self, since_boot: Duration) {
        if let Some(last) = &mut self.inside.lock().unwrap_or_else(PoisonError::into_inner).came_round {
            *last = since_boot;
        }
    }

    /// Whether it has not come round for longer than `gap`: it was stopped, and the books may be others by now.
    pub fn overslept(&self, since_boot: Duration, gap: Duration) -> bool {
        let last = self.inside.lock().unwrap_or_else(PoisonError::into_inner).came_round;
        last.is_some_and(|last| since_boot.saturating_sub(last) > gap)
    }

    /// What the gateway's clock shows now, to the second of its answers; none where it was not heard.
    pub fn gateway_now(&self, since_boot: Duration) -> Option<Instant> {
        let (date, booted) = self.inside.lock().unwrap_or_else(PoisonError::into_inner).gateway?;
        TimeDelta::from_std(since_boot.saturating_sub(booted)).ok().map(|passed| date + passed)
    }

    /// Whether one is still waited for.
    pub fn awaits_gateway(&self) -> bool {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).awaits
    }

    /// Whether the gateway's clock has been heard and agrees.
    pub fn gateway_agrees(&self, wall: Instant, since_boot: Duration) -> bool {
        let heard = self.inside.lock().unwrap_or_else(PoisonError::into_inner).gateway.is_some();
        heard && !matches!(self.wrong(wall, since_boot), Some(Wrong::Ahead(_)))
    }

    /// Whether a wrong clock was told of and is not yet settled.
    pub fn is_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    /// Remembers what a round found and wrote down of the clock, which showed `wall` after `before`, and before `since_boot`.
    pub(super) fn remember(&self, verdict: Verdict, wall: Instant, before: Duration, since_boot: Duration) {
        let told = |told| self.told.store(told, Ordering::SeqCst);
        match verdict {
            Verdict::Right | Verdict::Lift => {
                told(false);
                self.trust(wall, before, since_boot);
            }
            Verdict::Accept => {
                told(false);
                self.accept(wall, since_boot);
            }
            Verdict::Hold | Verdict::Join => told(true),
            Verdict::Wait => {}
        }
    }

    /// From when on, by the wall clock, whatever was dated before has lasted `span` in true time: what the clock was set forward by since,
    /// or showed to another process, counts for nothing.
    pub fn rested_from(&self, wall: Instant, since_boot: Duration, span: TimeDelta) -> Instant {
        let since = self.inside.lock().unwrap_or_else(PoisonError::into_inner).steady_since;
        let steady_for = TimeDelta::from_std(since_boot.saturating_sub(since)).unwrap_or(span);
        wall + (span - steady_for).max(TimeDelta::zero())
    }

    /// When, by the wall clock as it goes now, it was last seen to have been set forward: what was dated before is younger than it looks.
    pub fn stepped_at(&self, wall: Instant, since_boot: Duration) -> Option<Instant> {
        let stepped_at = self.inside.lock().unwrap_or_else(PoisonError::into_inner).stepped_at?;
        TimeDelta::from_std(since_boot.saturating_sub(stepped_at)).ok().map(|ago| wall - ago)
    }

    /// Takes the wall clock for right as it is: slow corrections do not add up. It was read after `before`, and before `since_boot`.
    pub fn trust(&self, wall: Instant, before: Duration, since_boot: Duration) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.latest.is_none() {
            inside.steady_since = since_boot;
        }
        inside.latest = Some((wall, before));
        inside.base = Some((wall, since_boot));
    }

    /// The same, whatever the gateway's clock says: an operator has looked at it.
    pub fn accept(&self, wall: Instant, since_boot: Duration) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, booted)) = inside.gateway {
            let passed = TimeDelta::from_std(since_boot.saturating_sub(booted)).unwrap_or(TimeDelta::MAX);
            inside.accepted = (wall - then) - passed;
        }
        inside.base = Some((wall, since_boot));
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Jumped(jump) => write!(f, "the clock jumped by {} seconds while the daemon ran", jump.num_seconds()),
            Wrong::Ahead(ahead) if *ahead < TimeDelta::zero() => {
                write!(f, "the clock is {} seconds behind the gateway's", -ahead.num_seconds())
            }
            Wrong::Ahead(ahead) => write!(f, "the clock is {} seconds ahead of the gateway's", ahead.num_seconds()),
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
    fn only_a_jump_is_told_and_one_that_is_undone_is_none() {
        let steady = Steady::default();
        let boot = |seconds: u64| Duration::from_secs(1_000 + seconds);
        assert_eq!(steady.wrong(at(0), boot(0)), None);
        assert_eq!(steady.wrong(at(86_400), boot(86_400)), None);
        assert_eq!(steady.wrong(at(86_395), boot(86_400)), None, "a step of a time service");
        assert_eq!(steady.wrong(at(86_400 + 3_000), boot(86_400)), None);
        assert_eq!(steady.wrong(at(86_400 - 60), boot(86_400)), Some(Wrong::Jumped(TimeDelta::seconds(-60))));
        assert_eq!(steady.wrong(at(86_400 + 7_200), boot(86_400)), Some(Wrong::Jumped(TimeDelta::hours(2))));
        assert_eq!(steady.wrong(at(86_401), boot(86_401)), None);
        steady.trust(at(200_000), boot(86_402), boot(86_402));
        assert_eq!(steady.wrong(at(200_001), boot(86_403)), None);
    }

    #[test]
    fn a_statement_that_took_long_is_no_jump_backwards() {
        let steady = Steady::default();
        let boot = |seconds: u64| Duration::from_secs(1_000 + seconds);
        steady.trust(at(0), boot(0), boot(0));
        let certain = |wall, before, after| steady.certainly_wrong(at(wall), boot(before), boot(after));
        assert_eq!(steady.wrong(at(100), boot(117)), Some(Wrong::Jumped(TimeDelta::seconds(-17))));
        assert_eq!(certain(100, 100, 117), None, "it was read before those 17 seconds");
        assert_eq!(certain(100, 111, 117), Some(Wrong::Jumped(TimeDelta::seconds(-17))), "eleven of them are gone");
        assert_eq!(certain(100, 110, 117), None);
        assert_eq!(certain(7_400, 100, 117), Some(Wrong::Jumped(TimeDelta::seconds(7_283))));
    }

    #[test]
    fn a_daemon_that_comes_round_by_itself_and_was_stopped_has_overslept() {
        let (steady, boot, gap) = (Steady::default(), Duration::from_secs, Duration::from_secs(600));
        steady.comes_round(boot(5));
        assert!(!steady.overslept(boot(9_000), gap), "nobody expects it to");
        steady.expect_rounds(boot(9_000));
        assert!(!steady.overslept(boot(9_600), gap));
        assert!(steady.overslept(boot(9_601), gap));
        steady.comes_round(boot(9_602));
        assert!(!steady.overslept(boot(9_700), gap));
    }

    #[test]
    fn a_step_forward_is_seen_however_small_and_a_slow_statement_is_none() {
        let steady = Steady::default();
        let boot = |millis: u64| Duration::from_millis(1_000_000 + millis);
        let wall = |millis: i64| at(0) + TimeDelta::milliseconds(millis);
        // By how much what was dated before may seem to have lasted longer than it did.
        let hidden = |wall_millis: i64, boot_millis| {
            assert_eq!(
                steady.wrong(wall(wall_millis), boot(boot_millis)),
                None,
                "nothing else is kept from being done"
            );
            let from = steady.rested_from(wall(wall_millis), boot(boot_millis), TimeDelta::seconds(31));
            (from - wall(wall_millis)).num_milliseconds()
        };
        steady.trust(wall(0), boot(0), boot(2_500));
        assert_eq!(hidden(0, 2_500), 31_000, "what it showed to the process before nobody knows");
        assert_eq!(hidden(10_000, 10_000), 23_500);
        assert_eq!(hidden(11_000, 15_000), 18_500, "read, and waited for a lock");
        assert_eq!(hidden(21_000, 20_000), 13_500, "no more than a second");
        assert_eq!(hidden(40_000, 40_000), 0, "it has rested");
        assert_eq!(steady.stepped_at(wall(40_000), boot(40_000)), None, "its first sight is no step");
        assert_eq!(hidden(61_001, 60_000), 31_000, "set forward");
        assert_eq!(hidden(71_500, 70_500), 20_500, "once");
        assert_eq!(steady.stepped_at(wall(71_500), boot(70_500)), Some(wall(61_000)));
        steady.trust(wall(92_000), boot(100_000), boot(100_000));
        assert_eq!(hidden(102_000, 110_000), 0, "set back by nine seconds");
        assert_eq!(hidden(115_100, 120_000), 31_000, "and forward again by three");
    }

    #[test]
    fn a_clock_that_was_wrong_from_the_start_is_told_by_the_gateways_until_it_is_corrected_or_accepted() {
        let steady = Steady::default();
        let boot = |seconds: u64| Duration::from_secs(1_000 + seconds);
        let days = |days: i64| days * 86_400;
        steady.await_gateway();
        steady.trust(at(days(3)), boot(0), boot(0));
        assert!(steady.awaits_gateway() && !steady.gateway_agrees(at(days(3)), boot(0)));
        assert_eq!(steady.gateway_now(boot(0)), None);
        steady.hear(Some(at(0)), boot(0));
        assert_eq!(steady.gateway_now(boot(60)), Some(at(60)));
        assert!(!steady.awaits_gateway());
        assert_eq!(steady.wrong(at(days(3) + 60), boot(60)), Some(Wrong::Ahead(TimeDelta::days(3))));
        assert_eq!(steady.wrong(at(90), boot(90)), None, "corrected: that is no jump");
        assert!(steady.gateway_agrees(at(90), boot(90)));
        assert_eq!(
            steady.wrong(at(days(-2)), boot(100)).unwrap().to_string(),
            "the clock is 172900 seconds behind the gateway's"
        );
        steady.accept(at(days(-2)), boot(100));
        assert_eq!(steady.wrong(at(days(-2) + 10), boot(110)), None, "an operator says so");
        steady.hear(Some(at(120)), boot(120));
        assert_eq!(steady.wrong(at(days(-2) + 120), boot(120)), None, "he still does, whatever the gateway answers");
        assert_eq!(steady.wrong(at(123), boot(123)), None, "put right: that is no jump either");
        assert_eq!(
            steady.wrong(at(days(-2) + 124), boot(124)),
            Some(Wrong::Ahead(TimeDelta::days(-2))),
            "what he said of it is over"
        );
    }

    #[test]
    fn answers_without_a_date_are_no_clock_and_end_the_wait_only_where_nothing_else_comes() {
        let steady = Steady::default();
        let boot = |seconds: u64| Duration::from_secs(1_000 + seconds);
        steady.await_gateway();
        assert!((1..UNDATED_AT_MOST).all(|_| !steady.hear(None, boot(1))));
        assert!(steady.awaits_gateway());
        assert!(steady.hear(None, boot(2)), "said once");
        assert!(!steady.awaits_gateway() && !steady.hear(None, boot(3)));
        assert!(!steady.gateway_agrees(at(0), boot(3)), "that is no agreement");
    }
}
