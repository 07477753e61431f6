//! The `dues` command as an operator runs it: the real program on real books, its words, its JSON and its exit codes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail as loudly as tests")]

mod support;

#[path = "cli/acts.rs"]
mod acts;
#[path = "cli/backup.rs"]
mod backup;
#[path = "cli/cancel.rs"]
mod cancel;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/customer.rs"]
mod customer;
#[path = "cli/database.rs"]
mod database;
#[path = "cli/demo.rs"]
mod demo;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/doors.rs"]
mod doors;
#[path = "cli/failures.rs"]
mod failures;
#[path = "cli/first_payments.rs"]
mod first_payments;
#[path = "cli/ledger.rs"]
mod ledger;
#[path = "cli/manual.rs"]
mod manual;
#[path = "cli/pages.rs"]
mod pages;
#[path = "cli/plans.rs"]
mod plans;
#[path = "cli/qr_code.rs"]
mod qr_code;
#[path = "cli/report.rs"]
mod report;
#[path = "cli/sandbox.rs"]
mod sandbox;
#[path = "cli/sandbox_help.rs"]
mod sandbox_help;
#[path = "cli/screens.rs"]
mod screens;
#[path = "cli/shop.rs"]
mod shop;
#[path = "cli/spreadsheets.rs"]
mod spreadsheets;
#[path = "cli/status.rs"]
mod status;
#[path = "cli/subscribe.rs"]
mod subscribe;
