//! Settings: compiled-in defaults < file < drop-in files < environment < flags, parsed into domain types.

mod settings;

pub use settings::*;
