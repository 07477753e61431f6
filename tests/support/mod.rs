//! What several test programs need to stand on. Each uses its own part.

pub mod postgres;
