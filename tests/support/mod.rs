//! What several test programs need to stand on. Each uses its own part.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test stands on may end it")]
#![allow(dead_code, reason = "each test program uses its own part of this module")]

pub mod postgres;
pub mod process;
pub mod world;
