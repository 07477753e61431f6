//! What dues does about an outcome that it does not know: stories of lost, spoilt and late answers, each on both databases.

mod beside;
mod frozen;
mod lost;
mod pending;
mod tokens;
