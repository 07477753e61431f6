//! The `dues` command.

fn main() {}
