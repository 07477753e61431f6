//! Stories that a billing person can read: dates, acts, and what stands in the books afterwards. Each runs on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod crash_points;
mod declines;
mod endings;
mod erasure;
mod everyday;
mod fence;
mod first_answers;
mod first_payments;
mod journal;
mod life;
mod looking_first;
mod lost_answers;
mod operator;
mod outages;
mod read_budget;
mod sets;
mod taken_back;
mod troubles;
mod unknown;
mod verify;
