//! The proof with real processes: `dues run` is killed, stopped, replaced and cut off from its database while it charges, and the
//! sandbox's books say that each period was charged once.
//!
//! `DUES_KILLS` is how often the daemon is killed in all, half of it on each database (100 where it is not set); `DUES_SEED` repeats
//! the instants of a run. `tests/soak/kills` runs a thousand.

mod crashes;
mod ground;
mod kills;
mod several;
mod standby;
