//! The life of a subscription as a billing person knows it: declines and what follows from them, first payments, arrears,
//! downtime, and the end. Every story runs on both databases.

mod dates;
mod declines;
mod ends;
mod helpers;
mod unreadable;
