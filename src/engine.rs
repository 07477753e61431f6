//! What happens, and when. Each verb is a tick: idempotent, without input, never waiting for the gateway; the next tick is the
//! retry. Requests fly on their own ([`flights`]) and what they bring is recorded by a later tick.

pub mod asked;
pub mod audit;
pub mod beat;
pub mod begin;
pub mod bill;
pub mod cancel;
pub mod collect;
pub mod dun;
pub mod erase;
pub mod flights;
pub mod greet;
pub mod hand_over;
pub mod high_water;
pub mod left;
pub mod lift;
pub mod observation;
pub mod open;
pub mod pause;
pub mod reconcile;
pub mod round;
pub mod rules;
pub mod schedule;
pub mod settle;

mod books;
mod clock_watch;
mod decide;
mod desk;
mod fence;
mod gate;
mod grants;
mod intent;
mod pace;
mod post;
mod process;
mod refusals;
mod share;
mod standing;
mod steady;
mod turns;
mod ways;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::Notify;

use crate::chance::Chance;
use crate::clock::{Clock, Instant};
use crate::gateway::meter::{Answered, Meter};
use crate::gateway::payments::Client;
use crate::store::{Store, StoreError};

pub use gate::{BudgetFigures, Gate, GateFigures, GateState};
pub use pace::{HeldBack, Pace, unknown_limit};
pub use rules::Rules;
pub use share::Share;
pub use steady::Steady;

/// In place of a process, where commands count what they send.
pub const COMMAND: &str = "command";

/// What stops a tick. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The books could not be read or written.
    #[error("{verb} could not use the books")]
    Store {
        /// Which tick.
        verb: &'static str,
        /// Why.
        source: StoreError,
    },
}

impl EngineError {
    pub(crate) fn of(verb: &'static str) -> impl FnOnce(StoreError) -> EngineError {
        move |source| EngineError::Store { verb, source }
    }
}

/// What a tick came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tick {
    /// Rows that it moved.
    pub done: usize,
    /// Whether there is more to do at once.
    pub more: bool,
    /// When it is worth another try although nothing else wakes it: a token, a probe.
    pub wake_at: Option<Instant>,
}

/// Bells between the ticks: work for another verb rings, so that nothing waits for the next cron line.
#[derive(Debug, Default)]
pub struct Bells {
    /// Attempts were created.
    pub collect: Arc<Notify>,
    /// Attempts want a look at once.
    pub reconcile: Arc<Notify>,
    /// Review cases were opened.
    pub review: Arc<Notify>,
}

/// What every verb works with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The books.
    pub store: Store,
    /// The gateway.
    pub client: Client,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub chance: Arc<Chance>,
    /// What decisions go by.
    pub rules: Arc<Rules>,
    /// Budget and circuit.
    pub gate: Arc<Gate>,
    /// Bells between the ticks.
    pub bells: Arc<Bells>,
    /// This daemon's name in leases and journal.
    pub node: Arc<str>,
    /// Which run of it this is.
    pub process: Arc<str>,
    /// How many sends it has committed, kept outside the books.
    pub high_water: high_water::HighWater,
    /// Whether the clock goes on as it should.
    pub steady: Arc<Steady>,
    /// How fast it sends.
    pub pace: Arc<Pace>,
    /// Whether what fell due before the fence is still being looked up, as was seen last; nothing is sent meanwhile.
    pub surveying: Arc<AtomicBool>,
    /// From when it has its part of the budget.
    pub share: Arc<Share>,
    /// What its audits have come to.
    pub audited: Arc<audit::AuditCount>,
}

impl Engine {
    /// The engine of a command that sends for itself, beside the daemon: it counts its sends under a name that all commands of this
    /// node share, and keeps no mark outside the books.
    pub fn of_a_command(mut self) -> Engine {
        self.node = format!("{}/command", self.node).into();
        self.process = COMMAND.into();
        self.high_water = high_water::HighWater::nowhere();
        self
    }

    /// Whether what the database's clock shows is not to be believed. What is due, and how old anything is, is not known then: nothing is
    /// billed, sent, looked at or recorded, for it would be dated by that clock.
    fn doubts_the_clock(&self, database_now: Instant) -> bool {
        self.steady.wrong(database_now, self.clock.since_boot()).is_some() || self.steady.awaits_gateway()
    }

    /// Hears what the answer to a question says of the time.
    fn hear(&self, meter: &Meter) {
        if let Some(Answered { date }) = meter.answered()
            && self.steady.hear(date, self.clock.since_boot())
        {
            tracing::warn!(
                "the gateway's answers bear no date: the clock cannot be held against its, and is taken for right"
            );
        }
    }
}
