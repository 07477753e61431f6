//! Requests under way: they fly on their own and land here; a tick takes what has landed and never waits.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::clock::Clock;

/// Requests of one kind, and their outcomes that nobody has recorded yet.
#[derive(Debug)]
pub struct Flights<T: 'static> {
    flying: JoinSet<T>,
    landed: Vec<T>,
    in_turn: bool,
}

impl<T: Send + 'static> Flights<T> {
    /// None under way. Under a clock that is turned by hand they go in turn, so that a run is repeated by its seed.
    pub fn new(clock: &Clock) -> Self {
        Flights { flying: JoinSet::new(), landed: Vec::new(), in_turn: clock.is_manual() }
    }

    /// Sends one off. What goes in turn lands at once where its transport answers at once.
    pub fn launch(&mut self, flight: impl Future<Output = T> + Send + 'static) {
        if !self.in_turn {
            self.flying.spawn(flight);
            return;
        }
        let mut flight = Box::pin(flight);
        match flight.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => self.landed.push(outcome),
            Poll::Pending => drop(self.flying.spawn(flight)),
        }
    }

    /// How many are under way or wait to be recorded.
    pub fn len(&self) -> usize {
        self.flying.len() + self.landed.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has landed by now. It stays until [`Flights::recorded`] says that it is safe in the books.
    pub fn landed(&mut self) -> &[T] {
        while let Some(done) = self.flying.try_join_next() {
            self.landed.extend(outcome(done));
        }
        &self.landed
    }

    /// Forgets what [`Flights::landed`] showed.
    pub fn recorded(&mut self, count: usize) {
        self.landed.drain(..count.min(self.landed.len()));
    }

    /// Waits until one has landed, then up to `linger` for `enough` of them: answers are recorded in sets. Losing this future
    /// loses no outcome.
    pub async fn gather(&mut self, linger: Duration, enough: usize) {
        if self.landed.is_empty() {
            match self.flying.join_next().await {
                Some(done) => self.landed.extend(outcome(done)),
                None => return,
            }
        }
        let company = async {
            while self.landed.len() < enough {
                match self.flying.join_next().await {
                    Some(done) => self.landed.extend(outcome(done)),
                    None => return,
                }
            }
        };
        // A lapsed linger is the usual end of the wait, not a failure.
        let _lapsed = tokio::time::timeout(linger, company).await;
    }
}

/// A flight that panicked has no outcome: its row stays leased and is looked up when the lease is over, as after a crash.
fn outcome<T>(done: Result<T, tokio::task::JoinError>) -> Option<T> {
    match done {
        Ok(outcome) => Some(outcome),
        Err(error) => {
            tracing::error!(error.panic = error.is_panic(), "a request's task broke off; its row is looked up later");
            None
        }
    }
}
