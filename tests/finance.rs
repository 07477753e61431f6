//! What finance reads: empty of exceptions while the books are sound, a row for every rule that is broken, amounts exact to the
//! last digit, and a dictionary that leaves no column out. Every promise is kept on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking")]

mod support;

#[path = "finance/amounts.rs"]
mod amounts;
#[path = "finance/answers.rs"]
mod answers;
#[path = "finance/breaches.rs"]
mod breaches;
#[path = "finance/dictionary.rs"]
mod dictionary;
#[path = "finance/sound.rs"]
mod sound;
#[path = "finance/story.rs"]
mod story;
