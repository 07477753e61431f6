//! Told to stop: SIGTERM, or Ctrl-C at the terminal. Both mean the same.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, listened for from the moment it is made: from then on neither ends the process by itself.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Begins to listen.
    ///
    /// # Errors
    /// Where the system lets nobody listen.
    pub fn listen() -> anyhow::Result<Stop> {
        Ok(Stop {
            terminate: signal(SignalKind::terminate()).context("SIGTERM could not be listened for")?,
            interrupt: signal(SignalKind::interrupt()).context("Ctrl-C could not be listened for")?,
        })
    }

    /// Ready at the next of them; one that came before is not lost.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
