//! What befalls a world's books and clocks as a whole: books that are set back to a copy of other days, a clock on the wall that jumps,
//! and payments that the gateway turns from declined to captured when nobody waits for them any more.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;

use super::faults::Kind;
use crate::chance::Chance;
use crate::clock::Instant;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incident {
    /// The books are copied, the mark outside them too.
    BackUp,
    /// They are put back; with the mark, as where a whole machine is restored.
    Restore { with_mark: bool },
    /// The clock on the wall is set by so much.
    Jump(TimeDelta),
    /// The gateway captures a payment that it had declined.
    Flip,
}

impl Incident {
    /// The fault that it is counted as; none for what is no fault by itself.
    pub fn kind(&self) -> Kind {
        match self {
            Incident::BackUp | Incident::Restore { .. } => Kind::Restore,
            Incident::Jump(_) => Kind::ClockJump,
            Incident::Flip => Kind::StatusFlip,
        }
    }
}

/// Which of them a world can bear.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bears {
    /// One daemon on a file of its own, which can be copied and put back.
    pub alone: bool,
    /// Look-ups show within minutes what was paid, so that forgotten payments are found.
    pub look_ups: bool,
    /// A stop longer than this is a gap.
    pub gap: TimeDelta,
}

/// The incidents of a world, in their order.
pub(super) fn draw(begins: Instant, ends: Instant, bears: Bears, chance: &Chance) -> Vec<(Instant, Incident)> {
    let minutes_of_all = (ends - begins).num_minutes();
    let at = |chance: &Chance| begins + minutes(chance, 0, minutes_of_all);
    let mut all = Vec::new();
    for _ in 0..2 * (ends - begins).num_days() / 30 {
        all.push((at(chance), Incident::Flip));
    }
    let dice = chance.below(2);
    if bears.alone && bears.look_ups && dice == 0 {
        for _ in 0..4 {
            let copied_at = at(chance);
            let age = match chance.below(4) {
                0 => minutes(chance, 10, 2 * 60),
                1 => minutes(chance, 2 * 60, 24 * 60),
                2 => minutes(chance, 24 * 60, 5 * 24 * 60),
                _ => minutes(chance, 5 * 24 * 60, 20 * 24 * 60),
            };
            // Books and mark that are set back together by less than a gap cannot be told from the latest.
            let with_mark = chance.below(2) == 0 && age > bears.gap + TimeDelta::hours(1);
            let restored_at = copied_at + age;
            let overlaps = all.iter().any(|(at, it): &(Instant, Incident)| {
                matches!(it, Incident::BackUp | Incident::Restore { .. }) && copied_at <= *at
            });
            if restored_at < ends && !overlaps {
                all.push((copied_at, Incident::BackUp));
                all.push((restored_at, Incident::Restore { with_mark }));
            }
        }
    }
    if bears.alone && dice == 1 {
        let mut from = begins;
        loop {
            from += minutes(chance, 24 * 60, 15 * 24 * 60);
            let by = match chance.below(3) {
                0 => -minutes(chance, 1, 90),
                1 => minutes(chance, 65, 24 * 60),
                _ => minutes(chance, 24 * 60, 10 * 24 * 60),
            };
            let until = from + minutes(chance, 60, 24 * 60);
            if until >= ends {
                break;
            }
            all.push((from, Incident::Jump(by)));
            all.push((until, Incident::Jump(-by)));
            from = until;
        }
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

fn minutes(chance: &Chance, from: i64, below: i64) -> TimeDelta {
    let drawn = chance.below(u64::try_from(below - from).unwrap_or(1).max(1));
    TimeDelta::minutes(from + i64::try_from(drawn).unwrap_or_default())
}

/// A copy of books and mark, which nobody has open.
#[derive(Debug)]
pub(super) struct Copy {
    books: PathBuf,
    mark: PathBuf,
}

impl Copy {
    /// Of the books in `directory`.
    pub fn of(directory: &Path) -> Copy {
        Copy { books: directory.join("dues.db"), mark: directory.join("sends-1") }
    }

    /// Makes it.
    pub fn take(&self) -> std::io::Result<()> {
        std::fs::copy(&self.books, beside(&self.books))?;
        if self.mark.exists() {
            std::fs::copy(&self.mark, beside(&self.mark))?;
        }
        Ok(())
    }

    /// Puts it back.
    pub fn put_back(&self, with_mark: bool) -> std::io::Result<()> {
        for log in ["dues.db-wal", "dues.db-shm"] {
            let log = self.books.with_file_name(log);
            if log.exists() {
                std::fs::remove_file(log)?;
            }
        }
        std::fs::copy(beside(&self.books), &self.books)?;
        if with_mark && beside(&self.mark).exists() {
            std::fs::copy(beside(&self.mark), &self.mark)?;
        }
        Ok(())
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_added_extension("copy")
}
