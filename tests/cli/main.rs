//! The `dues` command as an operator runs it: the real program on real books, its words, its JSON and its exit codes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail as loudly as tests")]

#[path = "../support/mod.rs"]
mod support;

mod acts;
mod backup;
mod cancel;
mod check;
mod customer;
mod database;
mod demo;
mod doctor;
mod doors;
mod failures;
mod finance;
mod first_payments;
mod import;
mod ledger;
mod manual;
mod pages;
mod plans;
mod qr_code;
mod report;
mod sandbox;
mod sandbox_help;
mod screens;
mod shop;
mod spreadsheets;
mod status;
mod subscribe;
