//! What every part of a simulated world shares: the true time, whether faults strike, what was told, counted and broken.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;

use super::faults::{Kind, Kinds};
use super::story::Story;
use crate::clock::{Clock, Instant};
use crate::engine::beat::Beat;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which promise, in one phrase.
    pub promise: &'static str,
    /// What was seen, with the payment's reference where it is about one.
    pub seen: String,
    /// The reference, or the subscription, that it is about.
    pub subject: Option<String>,
    /// When, in the world's true time.
    pub at: Instant,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: broken at {}: {}", self.promise, self.at.format("%Y-%m-%d %H:%M:%S"), self.seen)
    }
}

/// Shared by all parts of one world.
#[derive(Debug)]
pub(super) struct Stage {
    /// The true time: the gateway's.
    pub clock: Clock,
    /// The clock on the daemons' wall and the database's: the true time, unless it has jumped.
    pub wall: Clock,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    kinds: Kinds,
    story: Story,
    counts: BTreeMap<&'static str, u64>,
    breaches: Vec<Breach>,
    held: Option<String>,
}

impl Stage {
    pub fn new(begins: Instant, kinds: Kinds, keep_story: bool) -> Self {
        let inside =
            Inside { kinds, story: Story::new(keep_story), counts: BTreeMap::new(), breaches: Vec::new(), held: None };
        let (clock, wall) = (Clock::manual(begins), Clock::manual(begins));
        Stage { clock, wall, inside: Mutex::new(inside) }
    }

    /// Lets time pass until `at`, on the wall as well.
    pub fn advance_to(&self, at: Instant) {
        if let Ok(by) = (at - self.clock.now()).to_std() {
            self.clock.advance(by);
            self.wall.advance(by);
        }
    }

    /// How far the clock on the wall is ahead of the true time.
    pub fn ahead(&self) -> TimeDelta {
        self.wall.now() - self.clock.now()
    }

    /// A daemon came round and saw this.
    pub fn hears(&self, daemon: usize, beat: &Beat) {
        if let Some(fence) = &beat.raised {
            self.tell(format_args!("daemon {daemon} raises the fence: {}: {}", fence.reason, fence.detail));
        }
        if let Some(plan) = &beat.braked {
            self.broken("an ordinary day trips no brake", None, plan.clone());
        }
        self.inside().held.clone_from(&beat.held);
    }

    /// Why nothing is sent until an operator acknowledges, as a daemon saw it last.
    pub fn held(&self) -> Option<String> {
        self.inside().held.clone()
    }

    /// The operator has lifted the hold.
    pub fn lifted(&self) {
        self.inside().held = None;
    }

    /// Whether a kind of fault may strike now.
    pub fn knows(&self, kind: Kind) -> bool {
        self.inside().kinds.has(kind)
    }

    /// From now on nothing goes wrong any more.
    pub fn calm(&self) {
        self.inside().kinds = Kinds::none();
    }

    pub fn tell(&self, what: std::fmt::Arguments<'_>) {
        let now = self.clock.now();
        self.inside().story.tell(now, what);
    }

    /// Counts a fault, under the name of its kind.
    pub fn strikes(&self, kind: Kind) {
        let mut inside = self.inside();
        *inside.counts.entry("faults").or_default() += 1;
        *inside.counts.entry(kind.as_str()).or_default() += 1;
    }

    /// Counts something that a whole run must have seen.
    pub fn count(&self, what: &'static str, times: u64) {
        *self.inside().counts.entry(what).or_default() += times;
    }

    pub fn broken(&self, promise: &'static str, subject: Option<&str>, seen: String) {
        let at = self.clock.now();
        let breach = Breach { promise, seen, subject: subject.map(str::to_owned), at };
        let mut inside = self.inside();
        inside.story.tell(at, format_args!("BROKEN: {breach}"));
        inside.breaches.push(breach);
    }

    pub fn breaches(&self) -> Vec<Breach> {
        self.inside().breaches.clone()
    }

    pub fn is_broken(&self) -> bool {
        !self.inside().breaches.is_empty()
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.inside().counts.clone()
    }

    pub fn hash(&self) -> u64 {
        self.inside().story.hash()
    }

    pub fn story_about(&self, subjects: &[String]) -> Vec<String> {
        self.inside().story.about(subjects)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
