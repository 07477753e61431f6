//! The gateway client, through the real transport, against servers that misbehave: what each exchange proves, and that each
//! takes exactly one request.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail as loudly as tests")]

mod bodies;
mod listings;
mod looks;
mod posts;
mod proofs;
mod sandbox;
mod server;
