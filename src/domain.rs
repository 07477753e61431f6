//! What billing means. No I/O, no clock, nothing async: what it needs it is given.

pub mod attempt;
pub mod calendar;
pub mod catch_up;
pub mod charge;
pub mod customer;
pub mod dunning;
pub mod id;
pub mod integrity;
pub mod money;
pub mod own_reference;
pub mod plan;
pub mod reference;
pub mod review;
pub mod shell;
pub mod source;
pub mod subscription;
pub mod word;
