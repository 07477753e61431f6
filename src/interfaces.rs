//! The doors: command line, daemon, doctor, HTTP, systemd, telemetry.

pub mod cli;
pub mod daemon;
pub mod demo;
pub mod doctor;
pub mod import;
pub mod kept_files;
pub mod systemd;
pub mod telemetry;
pub mod verify;
pub mod whole_file;
