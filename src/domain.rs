//! What billing means. No I/O, no clock, nothing async: what it needs it is given.

pub mod calendar;
pub mod id;
pub mod money;
