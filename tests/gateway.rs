//! The gateway client, through the real transport, against servers that misbehave: what each exchange proves, and that each
//! takes exactly one request.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail as loudly as tests")]

#[path = "gateway/bodies.rs"]
mod bodies;
#[path = "gateway/listings.rs"]
mod listings;
#[path = "gateway/looks.rs"]
mod looks;
#[path = "gateway/posts.rs"]
mod posts;
#[path = "gateway/proofs.rs"]
mod proofs;
#[path = "gateway/server.rs"]
mod server;
