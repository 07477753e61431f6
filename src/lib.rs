//! dues: a subscription billing daemon that charges AlipayHK wallets through Checkout.com, once per period.
//!
//! The layers, in the order in which data flows; each imports only from those above it:
//!
//! 1. [`clock`], [`chance`]: time and randomness, handed in.
//! 2. [`domain`]: what billing means; pure.
//! 3. [`config`]: settings, parsed into domain types.
//! 4. [`store`]: what is remembered; the only SQL.
//! 5. [`gateway`]: what is asked of Checkout.com; the only HTTP client.
//! 6. [`engine`]: what happens, and when.
//! 7. [`sandbox`]: a Checkout.com that runs here, for demos and tests; knows clock, domain and the gateway's transport only.
//! 8. [`simulation`]: seeded worlds full of faults around engine and sandbox, and checkers that see a broken promise.
//! 9. [`interfaces`]: the doors: command line, daemon, HTTP, systemd, telemetry.

pub mod chance;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod gateway;
pub mod interfaces;
pub mod sandbox;
pub mod simulation;
pub mod store;
