//! How the daemon is: what every loop, the database and the gateway last said. Readiness, the status line and the watchdog read it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Instant};
use crate::engine::audit::{AuditCount, AuditFigures};
use crate::engine::beat::Beat;
use crate::engine::greet::UNHEARD;
use crate::engine::{Engine, Gate, GateFigures, Steady};
use crate::store::{Store, StoreError};

/// A loop that has not come round for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(20);

/// How the daemon is.
#[derive(Debug)]
pub(super) struct Health {
    clock: Clock,
    gate: OnceLock<Arc<Gate>>,
    steady: OnceLock<Arc<Steady>>,
    audited: OnceLock<Arc<AuditCount>>,
    store: OnceLock<Store>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    database: Option<String>,
    stands: Option<String>,
    refused: Option<String>,
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
            clock,
            gate: OnceLock::new(),
            steady: OnceLock::new(),
            audited: OnceLock::new(),
            store: OnceLock::new(),
            inside: Mutex::new(inside),
        }
    }

    /// The gateway's gate, its clock and the books, from when there is an engine.
    pub fn watch(&self, engine: &Engine) {
        let gate = self.gate.set(Arc::clone(&engine.gate));
        let steady = self.steady.set(Arc::clone(&engine.steady));
        let audited = self.audited.set(Arc::clone(&engine.audited));
        let _set_once = (gate, steady, audited, self.store.set(engine.store.clone()));
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

    /// What the gateway's clock shows now; none where it was not heard.
    pub fn gateway_now(&self) -> Option<Instant> {
        self.steady.get().and_then(|steady| steady.gateway_now(self.clock.since_boot()))
    }

    /// Rows that each verb has moved since the start.
    pub fn rows_moved(&self) -> Vec<(&'static str, usize)> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.loops.iter().map(|(verb, it)| (*verb, it.done)).collect()
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
            tracing::error!(error = text, "the database fails; dues waits and goes on, nothing is lost");
        }
        inside.database = Some(text);
    }

    /// What the books say of sending, seen when the daemon came round.
    pub fn stands(&self, beat: &Beat) {
        let held = beat.held.as_ref().map(|why| format!("books: HELD ({why}), see dues ledger show"));
        let braked = beat.braked.as_ref().map(|why| format!("books: collecting is stopped ({why})"));
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).stands = held.or(braked);
    }

    /// The last reload was refused, and why; none where it was taken up.
    pub fn reload_was_refused(&self, why: Option<String>) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).refused = why;
    }

    /// Whether every loop came round lately. A failed or idle tick counts: an outage is no reason to be killed.
    pub fn loops_come_round(&self) -> bool {
        self.hanging().is_empty()
    }

    /// The loops that do not come round.
    pub fn hanging(&self) -> Vec<&'static str> {
        let now = self.clock.since_boot();
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = |it: &Loop| now.saturating_sub(it.came_round) >= HANGS_AFTER;
        inside.loops.iter().filter(|(_, it)| hangs(it)).map(|(verb, _)| *verb).collect()
    }

    /// What is not ready; empty: all is.
    pub fn not_ready(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if let Some(error) = &self.inside.lock().unwrap_or_else(PoisonError::into_inner).database {
            missing.push(format!("database: {error}"));
        }
        missing.extend(self.inside.lock().unwrap_or_else(PoisonError::into_inner).stands.clone());
        if let Some(gate) = self.gate.get()
            && let Some(cause) = gate.state().cause
        {
            missing.push(format!("gateway: {cause}"));
        } else if self.steady.get().is_some_and(|steady| steady.awaits_gateway()) {
            missing.push(format!("gateway: {UNHEARD}"));
        }
        let hanging = self.hanging();
        if !hanging.is_empty() {
            missing.push(format!("engine: {} does not come round", hanging.join(", ")));
        }
        missing
    }

    /// One line for `systemctl status`.
    pub fn line(&self) -> String {
        let mut said = self.not_ready();
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() {
            let loops: Vec<String> = inside.loops.iter().map(|(verb, it)| format!("{verb} {}", it.done)).collect();
            said.push(format!("ready; rows moved since the start: {}", loops.join(", ")));
        }
        // No part is missing by it: the daemon goes on as before.
        said.extend(
            inside.refused.as_ref().map(|why| format!("the last reload was refused, the old config stays: {why}")),
        );
        said.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::verbs::AFTER_FAILURE;
    use super::*;
    use crate::config::{self, Sources};
    use crate::store::db::LOCK_TIMEOUT;

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
        assert!(health.loops_come_round(), "it has just begun");
        health.came_round("bill", 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(health.hanging(), ["collect"]);
        assert_eq!(health.not_ready(), ["engine: collect does not come round"]);
        assert_eq!(health.line(), "engine: collect does not come round");
        clock.advance(HANGS_AFTER);
        assert_eq!(health.hanging(), ["bill", "collect"]);
        health.came_round("bill", 0);
        health.ended("collect");
        assert!(health.loops_come_round(), "what has ended need not come round");
    }

    #[test]
    fn a_locked_database_is_no_hang() {
        let waits = |busy_timeout: &str| {
            let flags = [("installation.name", "books"), ("database.busy_timeout", busy_timeout)];
            let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
            config::load(&Sources::of_flags(flags.to_vec())).map(|loaded| loaded.settings.database.busy_timeout)
        };
        let longest = waits("7s").expect("it is allowed");
        assert!(waits("7001ms").is_err(), "nothing longer is");
        // A tick that fails has waited for a free connection and for a lock; then its loop rests.
        for lock in [longest, LOCK_TIMEOUT] {
            assert!(longest + lock + AFTER_FAILURE < HANGS_AFTER, "{lock:?}");
        }
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
    }
}
