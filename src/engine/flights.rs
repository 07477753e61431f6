//! Requests under way: they fly on their own and land here; a tick takes what has landed and never waits.

use std::fmt;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::clock::Clock;

/// How many requests may set out together beside those `under_way`. None where that is less than half of what may: a set stays a set,
/// although answers come one by one and each frees one place.
pub(super) fn places(under_way: usize, in_flight: NonZeroU32, batch: NonZeroU32) -> u32 {
    let under_way = u32::try_from(under_way).unwrap_or(u32::MAX);
    let places = in_flight.get().saturating_sub(under_way).min(batch.get());
    if places < in_flight.get().min(batch.get()) / 2 { 0 } else { places }
}

/// Requests of one kind, and their outcomes that nobody has recorded yet.
pub struct Flights<T: 'static> {
    flying: JoinSet<T>,
    /// Those that go in turn. The mutex is never locked by two: it makes the whole shareable between threads.
    in_turn: Mutex<Vec<Flight<T>>>,
    landed: Vec<T>,
    is_in_turn: bool,
}

type Flight<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Send + 'static> Flights<T> {
    /// None under way. Under a clock that is turned by hand they go in turn, in the order in which they were launched, so that a run
    /// is repeated by its seed.
    pub fn new(clock: &Clock) -> Self {
        Flights { flying: JoinSet::new(), in_turn: Mutex::default(), landed: Vec::new(), is_in_turn: clock.is_manual() }
    }

    /// Sends one off. What goes in turn lands at once where its transport answers at once; else it is asked again whenever
    /// somebody looks at what has landed.
    pub fn launch(&mut self, flight: impl Future<Output = T> + Send + 'static) {
        if !self.is_in_turn {
            self.flying.spawn(flight);
            return;
        }
        let mut flight: Flight<T> = Box::pin(flight);
        match poll(&mut flight) {
            Poll::Ready(outcome) => self.landed.push(outcome),
            Poll::Pending => self.waiting().push(flight),
        }
    }

    /// How many are under way or wait to be recorded.
    pub fn len(&self) -> usize {
        let in_turn = self.in_turn.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.flying.len() + in_turn + self.landed.len()
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
        self.take_turns();
        &self.landed
    }

    /// Forgets what [`Flights::landed`] showed.
    pub fn recorded(&mut self, count: usize) {
        self.landed.drain(..count.min(self.landed.len()));
    }

    /// Waits until one has landed, then up to `linger` for `enough` of them: answers are recorded in sets. Says whether any has
    /// landed. What goes in turn is not waited for, because only who turns the clock can make it land. Losing this future loses no
    /// outcome.
    pub async fn gather(&mut self, linger: Duration, enough: usize) -> bool {
        if self.is_in_turn {
            self.take_turns();
            return !self.landed.is_empty();
        }
        if self.landed.is_empty() {
            match self.flying.join_next().await {
                Some(done) => self.landed.extend(outcome(done)),
                None => return false,
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
        !self.landed.is_empty()
    }

    fn take_turns(&mut self) {
        let mut waiting = std::mem::take(self.waiting());
        waiting.retain_mut(|flight| match poll(flight) {
            Poll::Ready(outcome) => {
                self.landed.push(outcome);
                false
            }
            Poll::Pending => true,
        });
        *self.waiting() = waiting;
    }

    fn waiting(&mut self) -> &mut Vec<Flight<T>> {
        self.in_turn.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody wakes what goes in turn: it is asked again.
fn poll<T>(flight: &mut Flight<T>) -> Poll<T> {
    flight.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

impl<T: 'static> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("landed", &self.landed.len()).finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn requests_set_out_in_sets_of_half_a_flight_at_least() {
        let places = |under_way, in_flight, batch| {
            places(under_way, NonZeroU32::new(in_flight).unwrap(), NonZeroU32::new(batch).unwrap())
        };
        assert_eq!([0, 1, 32, 33, 64, 65].map(|under_way| places(under_way, 64, 200)), [64, 63, 32, 0, 0, 0]);
        assert_eq!([0, 40, 54, 59, 60, 64].map(|under_way| places(under_way, 64, 10)), [10, 10, 10, 5, 0, 0]);
        assert_eq!([0, 1].map(|under_way| places(under_way, 1, 1)), [1, 0]);
    }

    #[tokio::test]
    async fn what_has_landed_stays_until_it_is_recorded() {
        let mut flights = Flights::new(&Clock::system());
        assert!(!flights.gather(LONG, 1).await, "nothing flies");
        flights.launch(async { 1 });
        flights.launch(async { 2 });
        assert_eq!(flights.len(), 2);
        assert!(flights.gather(LONG, 2).await);
        let mut landed = flights.landed().to_vec();
        landed.sort_unstable();
        assert_eq!(landed, [1, 2]);
        assert_eq!(format!("{flights:?}"), "Flights { landed: 2, .. }");
        flights.recorded(1);
        assert_eq!((flights.len(), flights.is_empty()), (1, false));
        flights.recorded(9);
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn answers_wait_for_company_no_longer_than_is_asked() {
        let mut flights = Flights::new(&Clock::system());
        flights.launch(async { 1 });
        flights.launch(std::future::pending());
        let enough = tokio::time::timeout(LONG / 2, flights.gather(LONG, 1));
        assert!(enough.await.expect("one is enough, and it has landed"));
        assert!(flights.gather(SHORT, 2).await, "the linger lapsed, and one has landed");
        assert_eq!((flights.landed().len(), flights.len()), (1, 2));

        let mut flights = Flights::new(&Clock::system());
        flights.launch(async { 1 });
        flights.launch(async {
            tokio::time::sleep(SHORT).await;
            2
        });
        assert!(flights.gather(LONG, 2).await);
        assert_eq!(flights.landed().len(), 2, "the second was waited for");
    }

    #[tokio::test]
    async fn a_flight_that_breaks_off_has_no_outcome() {
        let mut flights = Flights::new(&Clock::system());
        flights.launch(async { std::panic::resume_unwind(Box::new("broken off")) });
        flights.launch(async { 1 });
        assert!(flights.gather(LONG, 2).await);
        assert_eq!(flights.landed(), [1]);
    }

    #[tokio::test]
    async fn what_goes_in_turn_lands_when_somebody_looks() {
        let mut flights = Flights::new(&Clock::manual("2026-01-15T00:00:00Z".parse().unwrap()));
        let (there, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let lands = Arc::clone(&there);
        flights.launch(std::future::poll_fn(move |_| {
            seen.store(true, Ordering::Relaxed);
            if lands.load(Ordering::Relaxed) { Poll::Ready(1) } else { Poll::Pending }
        }));
        assert!(!flights.gather(LONG, 1).await, "only the clock makes it land");
        assert_eq!((flights.len(), flights.landed().len()), (1, 0));
        there.store(true, Ordering::Relaxed);
        assert!(flights.gather(LONG, 1).await);
        assert_eq!(flights.landed(), [1]);
        flights.launch(async { 2 });
        assert_eq!(flights.landed(), [1, 2], "it lands at once where it can");
        assert_eq!(flights.len(), 2);
    }
}
