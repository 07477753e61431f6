//! What the books promise: leases, guards, versions, and one schema in two dialects. Every statement of the store runs on both
//! databases here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail by panicking")]

mod support;

#[path = "store/acts.rs"]
mod acts;
#[path = "store/backup.rs"]
mod backup;
#[path = "store/beginnings.rs"]
mod beginnings;
#[path = "store/bring_up.rs"]
mod bring_up;
#[path = "store/customers.rs"]
mod customers;
#[path = "store/doubles.rs"]
mod doubles;
#[path = "store/durability.rs"]
mod durability;
#[path = "store/endings.rs"]
mod endings;
#[path = "store/figures.rs"]
mod figures;
#[path = "store/first_lines.rs"]
mod first_lines;
#[path = "store/guards.rs"]
mod guards;
#[path = "store/leases.rs"]
mod leases;
#[path = "store/ledger.rs"]
mod ledger;
#[path = "store/nodes.rs"]
mod nodes;
#[path = "store/reads.rs"]
mod reads;
#[path = "store/reports.rs"]
mod reports;
#[path = "store/scans.rs"]
mod scans;
#[path = "store/schema.rs"]
mod schema;
#[path = "store/shown.rs"]
mod shown;
#[path = "store/silence.rs"]
mod silence;
#[path = "store/statements.rs"]
mod statements;
#[path = "store/unpaid.rs"]
mod unpaid;
#[path = "store/versions.rs"]
mod versions;
