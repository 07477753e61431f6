//! How the daemon is: what every loop, the database and the gateway last said. Readiness, the status line and the watchdog read it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
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
    store: OnceLock<Store>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    database: Option<String>,
    stands: Option<String>,
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
            store: OnceLock::new(),
            inside: Mutex::new(inside),
        }
    }

    /// The gateway's gate, its clock and the books, from when there is an engine.
    pub fn watch(&self, engine: &Engine) {
        let gate = self.gate.set(Arc::clone(&engine.gate));
        let steady = self.steady.set(Arc::clone(&engine.steady));
        let _set_once = (gate, steady, self.store.set(engine.store.clone()));
    }

    /// The books, from when there are any.
    pub fn store(&self) -> Option<&Store> {
        self.store.get()
    }

    /// How requests go, from when there is an engine.
    pub fn gate_figures(&self) -> Option<GateFigures> {
        self.gate.get().map(|gate| gate.figures(self.clock.now()))
    }

    /// Rows that each verb has moved since the start.
    pub fn rows_moved(&self) -> Vec<(&'static str, usize)> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.loops.iter().map(|(verb, it)| (*verb, it.done)).collect()
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

    /// Whether every loop came round lately. A failed or idle tick counts: an outage is no reason to be killed.
    pub fn loops_come_round(&self) -> bool {
        let now = self.clock.since_boot();
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.loops.values().all(|it| now.saturating_sub(it.came_round) < HANGS_AFTER)
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
        if !self.loops_come_round() {
            missing.push("engine: a loop does not come round".to_owned());
        }
        missing
    }

    /// One line for `systemctl status`.
    pub fn line(&self) -> String {
        let missing = self.not_ready();
        if !missing.is_empty() {
            return missing.join("; ");
        }
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let loops: Vec<String> = inside.loops.iter().map(|(verb, it)| format!("{verb} {}", it.done)).collect();
        format!("ready; rows moved since the start: {}", loops.join(", "))
    }
}
