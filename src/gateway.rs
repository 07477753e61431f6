//! What is asked of Checkout.com. The only HTTP client.

pub mod transport;
