//! The only place that asks the time. Production asks the system; a test, the demo and a simulation turn a clock by hand.
//! Instants are UTC, truncated to microseconds, because that is what both databases keep.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};

/// An instant in UTC, in whole microseconds.
pub type Instant = DateTime<Utc>;

/// Wall time and time since boot, of the system or turned by hand. Cheap to clone; clones of a manual clock turn together.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<Hands>),
}

#[derive(Debug)]
struct Hands {
    wall_micros: AtomicI64,
    boot_micros: AtomicI64,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that stands at `start` until it is turned.
    pub fn manual(start: Instant) -> Self {
        Clock(Source::Manual(Arc::new(Hands {
            wall_micros: AtomicI64::new(start.timestamp_micros()),
            boot_micros: AtomicI64::new(0),
        })))
    }

    /// Now, in whole microseconds.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => Utc::now().trunc_subsecs(6),
            Source::Manual(hands) => instant_from_micros(hands.wall_micros.load(Ordering::SeqCst)),
        }
    }

    /// Time since boot, time asleep included: it neither jumps nor stands still while the process is frozen.
    pub fn since_boot(&self) -> Duration {
        match &self.0 {
            Source::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(
                    u64::try_from(time.tv_sec).unwrap_or_default(),
                    u32::try_from(time.tv_nsec).unwrap_or_default(),
                )
            }
            Source::Manual(hands) => {
                Duration::from_micros(u64::try_from(hands.boot_micros.load(Ordering::SeqCst)).unwrap_or_default())
            }
        }
    }

    /// Whether this clock is turned by hand. The store then takes it for the database's clock too.
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// Turns a manual clock forward by `by`. The system's clock cannot be turned: nothing happens.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(hands) = &self.0 {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            hands.wall_micros.fetch_add(micros, Ordering::SeqCst);
            hands.boot_micros.fetch_add(micros, Ordering::SeqCst);
        }
    }

    /// Sets the wall of a manual clock by `by`, forwards or back, while no time passes: a clock that jumps.
    pub fn jump(&self, by: chrono::TimeDelta) {
        if let Source::Manual(hands) = &self.0 {
            hands.wall_micros.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// Turns a manual clock forward to `at`; never backwards.
    pub fn advance_to(&self, at: Instant) {
        if let Ok(by) = (at - self.now()).to_std() {
            self.advance(by);
        }
    }
}

/// The instant `micros` microseconds after 1970-01-01T00:00:00Z.
///
/// # Panics
/// Where the instant lies outside chrono's range of some 262,000 years.
pub fn instant_from_micros(micros: i64) -> Instant {
    DateTime::from_timestamp_micros(micros).expect("a manual clock stays within chrono's range")
}
