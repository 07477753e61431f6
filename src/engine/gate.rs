//! The way out to the gateway: how many requests may go now, by budget and circuit. Shared by all verbs of one daemon.

use std::sync::{Mutex, PoisonError};

use crate::clock::Instant;
use crate::config;
use crate::gateway::budget::TokenBucket;
use crate::gateway::circuit::{Circuit, Permit, Signal, State};

/// After the gateway said that we ask too much, nothing is sent for so long.
const PAUSE_AFTER_RATE_LIMIT: chrono::TimeDelta = chrono::TimeDelta::seconds(1);

/// Budget and circuit of one gateway host.
#[derive(Debug)]
pub struct Gate(Mutex<Inside>);

#[derive(Debug)]
struct Inside {
    writes: TokenBucket,
    reads: TokenBucket,
    circuit: Circuit,
    /// The circuit let one request probe, and whoever was given it had nothing to send: the next who asks has it.
    spare_probe: bool,
}

/// What readiness and status show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateState {
    /// Whether requests go.
    pub closed: bool,
    /// Why not, and what to do.
    pub cause: Option<String>,
}

/// Requests of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Read,
}

/// What the gate grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub requests: u32,
    pub wake_at: Option<Instant>,
}

impl Gate {
    /// A gate with full buckets and a closed circuit.
    pub fn new(budget: &config::Budget, circuit: &config::Circuit) -> Self {
        Gate(Mutex::new(Inside {
            writes: TokenBucket::new(budget.writes_per_second),
            reads: TokenBucket::new(budget.reads_per_second),
            circuit: Circuit::new(circuit),
            spare_probe: false,
        }))
    }

    /// Up to `wanted` requests of a kind, taken from the budget. While the circuit is open a single request probes now and then,
    /// of whichever kind asks first and has something to send.
    pub(super) fn ask(&self, kind: Kind, wanted: u32, now: Instant) -> Grant {
        if wanted == 0 {
            return Grant { requests: 0, wake_at: None };
        }
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let permit = inside.circuit.allows(now);
        let spare = std::mem::take(&mut inside.spare_probe) && matches!(inside.circuit.state(), State::Probing { .. });
        let (wanted, probes) = match permit {
            Permit::All => (wanted, false),
            Permit::Probe => (1, true),
            Permit::None if spare => (1, true),
            Permit::None => {
                let wake_at = match inside.circuit.state() {
                    State::Closed { .. } => None,
                    State::Open { probe_at, .. } => Some(*probe_at),
                    State::Probing { next_probe_at, .. } => Some(*next_probe_at),
                };
                return Grant { requests: 0, wake_at };
            }
        };
        let bucket = match kind {
            Kind::Write => &mut inside.writes,
            Kind::Read => &mut inside.reads,
        };
        let requests = bucket.take(now, wanted);
        let wake_at = bucket.next_at(now);
        inside.spare_probe = probes && requests == 0;
        Grant { requests, wake_at }
    }

    /// Gives back what was granted and not used.
    pub(super) fn give_back(&self, kind: Kind, unused: u32) {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Kind::Write => inside.writes.give_back(unused),
            Kind::Read => inside.reads.give_back(unused),
        }
        // A probe that nobody sent would otherwise hold the circuit until it is taken for lost, and a verb that has nothing to send
        // could take every probe from one that has.
        inside.spare_probe |= unused > 0 && matches!(inside.circuit.state(), State::Probing { .. });
    }

    /// Notes what a request of a kind came to.
    pub(super) fn note(&self, kind: Kind, signal: Signal, rate_limited: bool, now: Instant) {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_closed = matches!(inside.circuit.state(), State::Closed { .. });
        inside.circuit.note(now, signal);
        if rate_limited {
            match kind {
                Kind::Write => inside.writes.pause_until(now + PAUSE_AFTER_RATE_LIMIT),
                Kind::Read => inside.reads.pause_until(now + PAUSE_AFTER_RATE_LIMIT),
            }
        }
        let state = inside.circuit.state().clone();
        match (was_closed, &state) {
            (true, State::Open { cause, .. }) => tracing::error!(circuit.cause = %cause, "sending pauses"),
            (false, State::Closed { .. }) => tracing::info!("sending goes on"),
            _ => {}
        }
    }

    /// How it stands.
    pub fn state(&self) -> GateState {
        let inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inside.circuit.state() {
            State::Closed { .. } => GateState { closed: true, cause: None },
            State::Open { cause, .. } | State::Probing { cause, .. } => {
                GateState { closed: false, cause: Some(cause.to_string()) }
            }
        }
    }
}
