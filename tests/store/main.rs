//! What the books promise: leases, guards, versions, and one schema in two dialects. Every statement of the store runs on both
//! databases here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod acts;
mod backup;
mod beginnings;
mod bring_up;
mod customers;
mod doubles;
mod durability;
mod endings;
mod figures;
mod first_lines;
mod guards;
mod leases;
mod ledger;
mod nodes;
mod reads;
mod reports;
mod scans;
mod schema;
mod shown;
mod silence;
mod statements;
mod unpaid;
mod versions;
