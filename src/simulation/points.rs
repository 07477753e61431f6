//! The points of a daemon's work at which something may happen to it: every step on the books and both ends of every exchange.
//! A point lets the work go on, fails it, hands control to another daemon, freezes the process, or kills it.

use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use chrono::TimeDelta;

use super::faults::Kind;
use super::stage::Stage;
use crate::chance::Chance;
use crate::clock::Instant;
use crate::store::db::{Asked, Hook, Moment, Step, Trouble};

/// How a daemon stands between two polls of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// At work, or waiting for the database.
    AtWork,
    /// Another may work now.
    Yields,
    /// Frozen until then.
    Frozen(Instant),
    /// Dead: its work must be dropped.
    Dead,
}

/// The points of one daemon.
#[derive(Debug)]
pub(super) struct Points {
    stage: Arc<Stage>,
    chance: Chance,
    daemon: usize,
    several: bool,
    standing: Mutex<Standing>,
    passed: Mutex<u64>,
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    GoOn,
    Fail(Trouble),
    Yield,
    Freeze(TimeDelta),
    Die,
}

impl Points {
    pub fn new(stage: Arc<Stage>, seed: u64, daemon: usize, several: bool) -> Self {
        let standing = Mutex::new(Standing::AtWork);
        Points { stage, chance: Chance::seeded(seed), daemon, several, standing, passed: Mutex::new(0) }
    }

    pub fn standing(&self) -> Standing {
        *self.lock()
    }

    /// The process is started again, or goes on.
    pub fn revive(&self) {
        *self.lock() = Standing::AtWork;
    }

    /// A point at one end of an exchange: only death strikes here, for freezing and yielding belong to the tick around it.
    pub async fn at_exchange(&self, is_post: bool, after: bool) {
        if self.standing() == Standing::Dead {
            pending::<()>().await;
        }
        // Rare among all points and the most telling of them, so struck more often.
        let rate = Kind::Crash.rate().point * if is_post { 12 } else { 2 };
        if self.stage.knows(Kind::Crash) && self.chance.below(100_000) < rate {
            let count = match (is_post, after) {
                (true, false) => "crash between sending and post",
                (true, true) => "crash after post",
                (false, _) => "crash at a look",
            };
            self.stage.count(count, 1);
            self.die(format_args!("{count}"));
            pending::<()>().await;
        }
    }

    fn draw(&self, moment: Moment) -> Fate {
        let strikes = |kind: Kind, rate: u64| self.stage.knows(kind) && self.chance.below(100_000) < rate;
        if strikes(Kind::Crash, Kind::Crash.rate().point) {
            return Fate::Die;
        }
        let outside = matches!(moment.step, Step::Begin | Step::Committed);
        if outside && strikes(Kind::Pause, Kind::Pause.rate().point) {
            let seconds = [20, 70, 200, 400, 2_000][usize::try_from(self.chance.below(5)).unwrap_or_default()];
            return Fate::Freeze(TimeDelta::seconds(seconds));
        }
        let troubles: &[(Kind, Trouble)] = match moment.step {
            Step::Begin | Step::Read => &[(Kind::BooksBusy, Trouble::Busy)],
            Step::Statement => &[(Kind::StatementFails, Trouble::Cut)],
            Step::Commit => &[(Kind::CommitRefused, Trouble::Cut)],
            Step::Committed => &[(Kind::CommitAnswerLost, Trouble::Cut)],
        };
        for (kind, trouble) in troubles {
            if strikes(*kind, kind.rate().point) {
                self.stage.strikes(*kind);
                return Fate::Fail(*trouble);
            }
        }
        if self.several && outside && self.chance.below(4) == 0 {
            return Fate::Yield;
        }
        Fate::GoOn
    }

    fn die(&self, place: std::fmt::Arguments<'_>) {
        *self.lock() = Standing::Dead;
        self.stage.strikes(Kind::Crash);
        self.stage.tell(format_args!("daemon {} dies: {place}", self.daemon));
    }

    async fn pass(&self, moment: Moment) -> Result<(), Trouble> {
        if self.standing() == Standing::Dead {
            pending::<()>().await;
        }
        let passed = {
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            *passed += 1;
            *passed
        };
        let Moment { work, step, .. } = moment;
        match self.draw(moment) {
            Fate::GoOn => Ok(()),
            Fate::Fail(trouble) => {
                self.stage.tell(format_args!("daemon {}: {work} fails at {step:?} ({trouble:?})", self.daemon));
                Err(trouble)
            }
            Fate::Yield => {
                let mut yielded = false;
                poll_fn(|_| {
                    *self.lock() = if yielded { Standing::AtWork } else { Standing::Yields };
                    if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                Ok(())
            }
            Fate::Freeze(by) => {
                let until = self.stage.clock.now() + by;
                self.stage.strikes(Kind::Pause);
                self.stage.tell(format_args!(
                    "daemon {} freezes in {work} at {step:?} for {} s",
                    self.daemon,
                    by.num_seconds()
                ));
                poll_fn(|_| {
                    let over = self.stage.clock.now() >= until;
                    *self.lock() = if over { Standing::AtWork } else { Standing::Frozen(until) };
                    if over { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                Ok(())
            }
            Fate::Die => {
                self.die(format_args!("point {passed}, {work} at {step:?}"));
                pending().await
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hook for Points {
    fn at(&self, moment: Moment) -> Asked<'_> {
        Box::pin(self.pass(moment))
    }
}
