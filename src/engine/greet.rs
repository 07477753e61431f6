//! `greet`: one harmless read before anything is billed or sent, so that a clock which was wrong before the daemon started is held
//! against the gateway's. It tells of a refused key, too, before a payment does.

use std::time::Duration;

use crate::engine::gate::Kind;
use crate::engine::reconcile::look_up;
use crate::engine::steady::Wrong;
use crate::engine::{Engine, EngineError};

/// Between two greetings of a gateway that has not answered.
const AGAIN: Duration = Duration::from_secs(1);
/// While the clock is wrong: the gateway's may have been, and nothing else is asked meanwhile.
const AGAIN_WHILE_WRONG: Duration = Duration::from_mins(10);
/// Greetings of a command that needs the gateway, before it gives up.
pub const TRIES_OF_A_COMMAND: u32 = 8;
/// What keeps a daemon from billing and sending meanwhile.
pub const UNHEARD: &str = "the gateway's clock has not been heard yet, nothing is billed or sent before";

/// Why a command enters nothing that is dated by its clock.
#[derive(Debug, thiserror::Error)]
pub enum Untimely {
    /// The gateway says that it is another time.
    #[error("{0}: nothing was changed; set the clock of this machine, or of the database's, and run the command again")]
    Wrong(Wrong),
    /// No answer.
    #[error(
        "the gateway does not answer, so the clock cannot be held against its: nothing was changed; run the command again"
    )]
    Silent,
    /// The books.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Asks the gateway where its clock is not known or ours is not believed, and where the budget grants it. After how long it is to be
    /// greeted again; none where there is no need.
    pub async fn greet(&self) -> Option<Duration> {
        if self.greets_again().is_some() {
            let read = self.gate.ask(Kind::Read, 1, self.clock.now());
            if read.requests() > 0 {
                read.used();
                // No payment bears the ledger's own name as its reference.
                look_up(self, &self.rules.ledger.to_string(), None).await;
            }
        }
        self.greets_again()
    }

    /// After how long the gateway is to be greeted again; none where there is no need.
    pub fn greets_again(&self) -> Option<Duration> {
        if self.steady.awaits_gateway() {
            Some(AGAIN)
        } else {
            // By what the daemon's rounds found with the database's clock, which this machine's says nothing of.
            self.steady.is_told().then_some(AGAIN_WHILE_WRONG)
        }
    }

    /// Holds the books' clock against the gateway's, before a command dates anything by it; so many times, a second apart, it asks.
    ///
    /// # Errors
    /// [`Untimely`].
    pub async fn hear_the_clock(&self, tries: u32) -> Result<(), Untimely> {
        self.steady.await_gateway();
        for place in 0..tries {
            if place > 0 {
                tokio::time::sleep(AGAIN).await;
            }
            self.greet().await;
            if !self.steady.awaits_gateway() {
                let now = self.store.now().await.map_err(EngineError::of("greet"))?;
                return match self.steady.wrong(now, self.clock.since_boot()) {
                    Some(wrong) => Err(Untimely::Wrong(wrong)),
                    None => Ok(()),
                };
            }
        }
        Err(Untimely::Silent)
    }
}
