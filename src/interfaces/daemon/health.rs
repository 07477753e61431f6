//! How the daemon is: what every loop, the database and the gateway last said. Readiness, the status line and the watchdog read it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Instant};
use crate::engine::audit::{AuditCount, AuditFigures};
use crate::engine::beat::Beat;
use crate::engine::greet::UNHEARD;
use crate::engine::{Engine, Gate, GateFigures, Pace, Steady};
use crate::store::{Store, StoreError};

/// A loop that has not come round for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(35);
/// The name of the daemon's own loop, beside those of the verbs.
pub(super) const BEAT: &str = "beat";

/// How the daemon is.
#[derive(Debug)]
pub(super) struct Health {
    clock: Clock,
    started_at: Instant,
    gate: OnceLock<Arc<Gate>>,
    steady: OnceLock<Arc<Steady>>,
    pace: OnceLock<Arc<Pace>>,
    audited: OnceLock<Arc<AuditCount>>,
    store: OnceLock<Store>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    database: Option<String>,
    stands: Option<String>,
    refused: Option<String>,
    withheld: BTreeSet<String>,
    loops: BTreeMap<&'static str, Loop>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Loop {
    came_round: Duration,
    done: usize,
}

impl Health {
    pub fn new(clock: Clock) -> Self {
        let inside = Inside { database: Some("not reached yet".to_owned()), ..Inside::default() };
        Health {
            started_at: clock.now(),
            clock,
            gate: OnceLock::new(),
            steady: OnceLock::new(),
            pace: OnceLock::new(),
            audited: OnceLock::new(),
            store: OnceLock::new(),
            inside: Mutex::new(inside),
        }
    }

    /// The gateway's gate, its clock, the limit on unknown outcomes and the books, from when there is an engine.
    pub fn watch(&self, engine: &Engine) {
        let gate = self.gate.set(Arc::clone(&engine.gate));
        let steady = self.steady.set(Arc::clone(&engine.steady));
        let audited = self.audited.set(Arc::clone(&engine.audited));
        let pace = self.pace.set(Arc::clone(&engine.pace));
        let _set_once = (gate, steady, audited, pace, self.store.set(engine.store.clone()));
    }

    /// The books, from when there are any.
    pub fn store(&self) -> Option<&Store> {
        self.store.get()
    }

    /// How requests go, from when there is an engine.
    pub fn gate_figures(&self) -> Option<GateFigures> {
        self.gate.get().map(|gate| gate.figures(self.clock.now()))
    }

    /// What audits have come to, from when there is an engine.
    pub fn audit_figures(&self) -> Option<AuditFigures> {
        self.audited.get().map(|audited| audited.figures())
    }

    /// Whether the limit on unknown outcomes holds sending back, from when there is an engine.
    pub fn unknown_limit_is_passed(&self) -> Option<bool> {
        self.pace.get().map(|pace| pace.held_back().is_some())
    }

    /// What the gateway's clock shows now; none where it was not heard.
    pub fn gateway_now(&self) -> Option<Instant> {
        self.steady.get().and_then(|steady| steady.gateway_now(self.clock.since_boot()))
    }

    /// Rows that each verb has moved since the start.
    pub fn rows_moved(&self) -> Vec<(&'static str, usize)> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).rows_moved()
    }

    /// When this process began.
    pub fn started_at(&self) -> Instant {
        self.started_at
    }

    /// Whether the last reload was taken up; true before the first.
    pub fn last_reload_was_taken_up(&self) -> bool {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).refused.is_none()
    }

    /// How many plans of the config wait for an operator.
    pub fn plans_withheld(&self) -> usize {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).withheld.len()
    }

    /// A loop begins: from now on it must come round, its first tick included.
    pub fn expects(&self, verb: &'static str) {
        let came_round = self.clock.since_boot();
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.loops.entry(verb).or_default().came_round = came_round;
    }

    /// A loop came round, whether its tick went well or not.
    pub fn came_round(&self, verb: &'static str, done: usize) {
        let now = self.clock.since_boot();
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let it = inside.loops.entry(verb).or_default();
        it.came_round = now;
        it.done += done;
    }

    /// A loop has ended: it no longer comes round, and need not.
    pub fn ended(&self, verb: &'static str) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).loops.remove(verb);
    }

    pub fn database_answers(&self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.database.take().is_some() {
            tracing::info!("the database answers");
        }
    }

    /// Says once that the database fails, not at every tick.
    pub fn database_fails(&self, error: &StoreError) {
        let text = super::chain(error);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.database.is_none() {
            tracing::error!(error = text, "the database fails, dues waits and goes on, nothing is lost: {text}");
        }
        inside.database = Some(text);
    }

    /// What the books say of sending, seen when the daemon came round.
    pub fn stands(&self, beat: &Beat) {
        let held = beat.held.as_ref().map(|why| format!("HELD ({why}), see dues ledger show"));
        let braked = beat.braked.as_ref().map(|why| format!("collecting is stopped ({why})"));
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).stands = held.or(braked);
    }

    /// The last reload was refused, and why; none where it was taken up.
    pub fn reload_was_refused(&self, why: Option<String>) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).refused = why;
    }

    /// The plans of the config whose price waits for an operator.
    pub fn withholds(&self, names: BTreeSet<String>) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).withheld = names;
    }

    /// The loops that do not come round. A failed or idle tick counts as one that does: an outage is no reason to be killed.
    pub fn hanging(&self) -> Vec<&'static str> {
        let now = self.clock.since_boot();
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = |it: &Loop| now.saturating_sub(it.came_round) >= HANGS_AFTER;
        inside.loops.iter().filter(|(_, it)| hangs(it)).map(|(verb, _)| *verb).collect()
    }

    /// What is not ready, in words; empty: all is.
    pub fn not_ready(&self) -> Vec<String> {
        self.missing().into_iter().map(|(part, why)| format!("{part}: {why}")).collect()
    }

    /// Each part of a daemon, and whether it is ready.
    pub fn parts(&self) -> [(&'static str, bool); 5] {
        let missing = self.missing();
        ["database", "books", "gateway", "outcomes", "engine"]
            .map(|part| (part, missing.iter().all(|(it, _)| *it != part)))
    }

    /// What is not ready, by its part.
    fn missing(&self) -> Vec<(&'static str, String)> {
        let mut missing = Vec::new();
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        missing.extend(inside.database.clone().map(|error| ("database", error)));
        missing.extend(inside.stands.clone().map(|why| ("books", why)));
        drop(inside);
        if let Some(gate) = self.gate.get()
            && let Some(cause) = gate.state().cause
        {
            missing.push(("gateway", cause));
        } else if self.steady.get().is_some_and(|steady| steady.awaits_gateway()) {
            missing.push(("gateway", UNHEARD.to_owned()));
        }
        if let Some(held_back) = self.pace.get().and_then(|pace| pace.held_back()) {
            missing.push(("outcomes", held_back.to_string()));
        }
        let hanging = self.hanging();
        if !hanging.is_empty() {
            missing.push(("engine", format!("{} does not come round", hanging.join(", "))));
        }
        missing
    }

    /// One line for `systemctl status`.
    pub fn line(&self) -> String {
        let mut said = self.not_ready();
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() {
            let loops: Vec<String> = inside.rows_moved().iter().map(|(verb, done)| format!("{verb} {done}")).collect();
            said.push(format!("ready; rows moved since the start: {}", loops.join(", ")));
        }
        // No part is missing by it: the daemon goes on as before.
        if let Some(why) = &inside.refused {
            said.push(format!("the last reload was refused, the old config stays: {why}"));
        } else if !inside.withheld.is_empty() {
            said.push(super::withheld(&inside.withheld));
        }
        said.join("; ")
    }
}

impl Inside {
    fn rows_moved(&self) -> Vec<(&'static str, usize)> {
        self.loops.iter().filter(|(name, _)| **name != BEAT).map(|(verb, it)| (*verb, it.done)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::verbs::{AFTER_FAILURE, AT_LEAST_EVERY};
    use super::*;
    use crate::config::{self, Sources};
    use crate::store::db::{ANSWER_WITHIN, LOCK_TIMEOUT};

    /// A daemon whose database answers, its clock in the test's hand.
    fn healthy() -> (Health, Clock) {
        let clock = Clock::manual(Clock::system().now());
        let health = Health::new(clock.clone());
        health.database_answers();
        (health, clock)
    }

    #[test]
    fn a_loop_that_never_finishes_its_first_tick_hangs() {
        let (health, clock) = healthy();
        health.expects("bill");
        health.expects("collect");
        clock.advance(HANGS_AFTER - Duration::from_secs(1));
        assert!(health.hanging().is_empty(), "it has just begun");
        health.came_round("bill", 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(health.hanging(), ["collect"]);
        assert_eq!(health.not_ready(), ["engine: collect does not come round"]);
        assert_eq!(health.line(), "engine: collect does not come round");
        clock.advance(HANGS_AFTER);
        assert_eq!(health.hanging(), ["bill", "collect"]);
        health.came_round("bill", 0);
        health.ended("collect");
        assert!(health.hanging().is_empty(), "what has ended need not come round");
    }

    #[test]
    fn a_database_that_is_locked_or_silent_is_no_hang() {
        let waits = |busy_timeout: &str| {
            let flags = [("installation.name", "books"), ("database.busy_timeout", busy_timeout)];
            let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
            config::load(&Sources::of_flags(flags.to_vec())).map(|loaded| loaded.settings.database.busy_timeout)
        };
        let longest = waits("7s").expect("it is allowed");
        assert!(waits("7001ms").is_err(), "nothing longer is");
        // A loop rests, and then a tick that fails waits for a free connection, and for a lock or an answer.
        for wait in [longest, LOCK_TIMEOUT, ANSWER_WITHIN] {
            assert!(AT_LEAST_EVERY.max(AFTER_FAILURE) + longest + wait < HANGS_AFTER, "{wait:?}");
        }
        assert!(LOCK_TIMEOUT < ANSWER_WITHIN, "a lock is told of by its name");
    }

    #[test]
    fn a_refused_reload_stands_in_the_status_line_until_one_is_taken_up() {
        let (health, _) = healthy();
        health.came_round("bill", 3);
        assert_eq!(health.line(), "ready; rows moved since the start: bill 3");
        health.reload_was_refused(Some("engine.batch: \"x\"".to_owned()));
        let line = health.line();
        assert!(line.starts_with("ready; ") && line.ends_with("the old config stays: engine.batch: \"x\""), "{line}");
        assert!(health.not_ready().is_empty(), "it charges as before");
        health.reload_was_refused(None);
        assert_eq!(health.line(), "ready; rows moved since the start: bill 3");
        health.withholds(BTreeSet::from(["monthly".to_owned()]));
        assert!(health.line().contains("; the price of monthly changes by more than"), "{}", health.line());
        assert!(health.not_ready().is_empty(), "subscribers keep the price that they have");
    }

    #[test]
    fn the_daemons_own_round_is_watched_and_moves_no_rows() {
        let (health, clock) = healthy();
        health.expects(BEAT);
        assert_eq!((health.rows_moved(), health.line().contains(BEAT)), (Vec::new(), false));
        clock.advance(HANGS_AFTER);
        assert_eq!(health.hanging(), [BEAT]);
        let others = [("database", true), ("books", true), ("gateway", true), ("outcomes", true)];
        assert_eq!((&health.parts()[..4], health.parts()[4]), (&others[..], ("engine", false)));
    }
}
