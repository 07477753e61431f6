//! What several test programs need to stand on. Each uses its own part.

#![allow(dead_code, reason = "each test program uses its own part of this module")]

pub mod postgres;
pub mod world;
