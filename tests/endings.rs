//! The life of a subscription as a billing person knows it: declines and what follows from them, first payments, arrears,
//! downtime, and the end. Every story runs on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking")]

mod support;

#[path = "endings/dates.rs"]
mod dates;
#[path = "endings/declines.rs"]
mod declines;
#[path = "endings/ends.rs"]
mod ends;
#[path = "endings/helpers.rs"]
mod helpers;
#[path = "endings/unreadable.rs"]
mod unreadable;
