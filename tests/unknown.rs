//! What dues does about an outcome that it does not know: stories of lost, spoilt and late answers, each on both databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking")]

mod support;

#[path = "unknown/beside.rs"]
mod beside;
#[path = "unknown/frozen.rs"]
mod frozen;
#[path = "unknown/lost.rs"]
mod lost;
#[path = "unknown/pending.rs"]
mod pending;
