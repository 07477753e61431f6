//! Books that are not the latest, clocks that jump, days that would charge too much, and outcomes that stay unknown: what dues does
//! before any money moves. Each story runs on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking")]

mod support;

#[path = "fence/audit.rs"]
mod audit;
#[path = "fence/brake.rs"]
mod brake;
#[path = "fence/clock.rs"]
mod clock;
#[path = "fence/names.rs"]
mod names;
#[path = "fence/restore.rs"]
mod restore;
#[path = "fence/wrong_times.rs"]
mod wrong_times;
