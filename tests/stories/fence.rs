//! Books that are not the latest, clocks that jump, days that would charge too much, and outcomes that stay unknown: what dues does
//! before any money moves. Each story runs on both databases.

mod audit;
mod brake;
mod clock;
mod grants;
mod names;
mod restore;
mod wrong_times;
