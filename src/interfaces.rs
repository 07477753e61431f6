//! The doors: command line, daemon, HTTP, systemd, telemetry.

pub mod systemd;
pub mod telemetry;
