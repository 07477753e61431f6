//! What the process is told from outside. A reload that comes at a bad time is remembered, and nothing that is waited for keeps a stop
//! from being heard.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a daemon listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    reload: bool,
}

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Stop,
    Reload,
}

impl Signals {
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            reload: false,
        })
    }

    /// The next one. A reload is also remembered, for [`Signals::take_reload`].
    pub async fn next(&mut self) -> Told {
        let told = tokio::select! {
            biased;
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        };
        self.reload |= told == Told::Reload;
        told
    }

    /// Waits until it is told to stop.
    pub async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }

    /// Does `work`, and drops it where it is told to stop meanwhile: None.
    pub async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop() => None,
            done = work => Some(done),
        }
    }

    /// Whether a reload was asked for since this was asked last.
    pub fn take_reload(&mut self) -> bool {
        std::mem::take(&mut self.reload)
    }
}
