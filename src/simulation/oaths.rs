//! What a careful client has sworn about its sends, held against each send as it leaves: never two of one key at once, never one too
//! soon or too often, never before it is due, never beside an attempt whose outcome is not known.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;

use super::gateway::Post;
use crate::clock::Instant;

/// A key is not sent again sooner.
const REST: TimeDelta = TimeDelta::seconds(30);
/// A key is not sent more often.
const MOST_SENDS: u32 = 5;

/// All sends so far.
#[derive(Debug, Default)]
pub(super) struct Oaths {
    by_key: BTreeMap<String, Key>,
    by_reference: BTreeMap<String, Period>,
}

#[derive(Debug)]
struct Key {
    first_at: Instant,
    last_at: Instant,
    sends: u32,
}

/// The attempts of one period.
#[derive(Debug, Default)]
struct Period {
    last_attempt: i64,
    /// The last send, while its client has not heard an answer.
    unanswered_of: Option<usize>,
}

/// What was broken, and how.
pub(super) type Broken = (&'static str, String);

impl Oaths {
    /// A send leaves daemon `daemon` at `now`. `due_at` is when its period begins by the calendar, `life` how long a key is remembered.
    pub fn leaves(
        &mut self,
        daemon: usize,
        post: &Post,
        due_at: Option<Instant>,
        life: Duration,
        now: Instant,
    ) -> Vec<Broken> {
        let mut broken = Vec::new();
        let Post { key, reference, attempt, .. } = post;
        match self.by_key.get_mut(key) {
            None => drop(self.by_key.insert(key.clone(), Key { first_at: now, last_at: now, sends: 1 })),
            Some(known) => {
                if now < known.last_at + REST {
                    broken.push(("a key rests 30 s", format!("{reference} was sent again too soon")));
                }
                if now > known.first_at + life {
                    broken.push(("a key is not sent past its life", format!("{reference} was sent with an old key")));
                }
                known.sends += 1;
                known.last_at = now;
                if known.sends > MOST_SENDS {
                    let seen = format!("{reference} attempt {attempt} was sent {} times", known.sends);
                    broken.push(("a key is sent five times at most", seen));
                }
            }
        }
        match due_at {
            Some(due_at) if due_at <= now => {}
            Some(due_at) => {
                broken.push(("nothing is charged before it is due", format!("{reference} is due at {due_at}")));
            }
            None => broken.push(("nothing is charged that nobody owes", format!("{reference} is nobody's period"))),
        }
        let period = self.by_reference.entry(reference.clone()).or_default();
        if *attempt < period.last_attempt {
            let seen = format!("{reference} attempt {attempt} was sent after attempt {}", period.last_attempt);
            broken.push(("attempts follow one another", seen));
        }
        period.last_attempt = *attempt;
        period.unanswered_of = Some(daemon);
        broken
    }

    /// The client was told that this send was not taken, or could not make it: it does not count.
    pub fn given_back(&mut self, key: &str) {
        if let Some(known) = self.by_key.get_mut(key) {
            known.sends = known.sends.saturating_sub(1);
            if known.sends == 0 {
                self.by_key.remove(key);
            }
        }
    }

    /// The client heard a whole answer about a payment.
    pub fn answered(&mut self, reference: &str) {
        if let Some(period) = self.by_reference.get_mut(reference) {
            period.unanswered_of = None;
        }
    }

    /// The client's books were set back: what it has forgotten it cannot have sworn.
    pub fn forget_all(&mut self) {
        *self = Oaths::default();
    }

    /// Whether daemon `daemon` asks about a period that another sent and had no answer to.
    pub fn is_taken_over_by(&self, daemon: usize, reference: &str) -> bool {
        self.by_reference.get(reference).and_then(|it| it.unanswered_of).is_some_and(|sender| sender != daemon)
    }

    /// Whether a key was sent before.
    pub fn knows(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }
}
