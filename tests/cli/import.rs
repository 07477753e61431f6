//! Handing subscriptions over from a file: what goes in, what is refused and why, and that the same file may be imported again.

mod doors;
mod doubles;
mod evidence;
mod files;
mod names;
mod plan;
mod price;
mod program;
mod shop;
mod size;
