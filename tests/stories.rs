//! Stories that a billing person can read: dates, acts, and what stands in the books afterwards. Each runs on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking")]

mod support;

#[path = "stories/declines.rs"]
mod declines;
#[path = "stories/everyday.rs"]
mod everyday;
#[path = "stories/first_answers.rs"]
mod first_answers;
#[path = "stories/first_payments.rs"]
mod first_payments;
#[path = "stories/journal.rs"]
mod journal;
#[path = "stories/looking_first.rs"]
mod looking_first;
#[path = "stories/lost_answers.rs"]
mod lost_answers;
#[path = "stories/operator.rs"]
mod operator;
#[path = "stories/outages.rs"]
mod outages;
#[path = "stories/read_budget.rs"]
mod read_budget;
#[path = "stories/taken_back.rs"]
mod taken_back;
