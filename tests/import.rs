//! Handing subscriptions over from a file: what goes in, what is refused and why, and that the same file may be imported again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail as loudly as tests")]

mod support;

#[path = "import/doors.rs"]
mod doors;
#[path = "import/doubles.rs"]
mod doubles;
#[path = "import/evidence.rs"]
mod evidence;
#[path = "import/files.rs"]
mod files;
#[path = "import/names.rs"]
mod names;
#[path = "import/plan.rs"]
mod plan;
#[path = "import/price.rs"]
mod price;
#[path = "import/program.rs"]
mod program;
#[path = "import/shop.rs"]
mod shop;
#[path = "import/size.rs"]
mod size;
