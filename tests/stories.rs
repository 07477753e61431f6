//! Stories that a billing person can read: dates, acts, and what stands in the books afterwards. Each runs on both databases.

mod support;

#[path = "stories/declines.rs"]
mod declines;
#[path = "stories/everyday.rs"]
mod everyday;
#[path = "stories/looking_first.rs"]
mod looking_first;
#[path = "stories/lost_answers.rs"]
mod lost_answers;
#[path = "stories/outages.rs"]
mod outages;
