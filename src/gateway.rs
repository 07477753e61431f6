//! What is asked of Checkout.com. The only HTTP client.
//!
//! A request goes down [`payments`] (what we ask) → [`wire`] (its JSON) → [`transport`] (the seam) → [`http`]; its answer comes back
//! up through [`outcome`], which says what the exchange proves. [`budget`] and [`circuit`] decide whether a request may go at all; [`meter`] tells the
//! budget what went without being asked for.

pub mod body;
pub mod budget;
pub mod circuit;
pub mod http;
pub mod listing;
pub mod meter;
pub mod outcome;
pub mod payment;
pub mod payments;
pub mod transport;
pub mod wire;
