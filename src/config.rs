//! Settings: compiled-in defaults < preset of the environment < file < drop-in files < environment variables < flags, parsed into domain
//! types. The secret key is kept apart, in [`secret`].

mod address;
mod contradiction;
mod duration;
mod effective;
mod fault;
mod layers;
mod named;
mod parse;
pub mod secret;
mod section;
mod settings;

pub use duration::parse_duration;
pub use effective::Effective;
pub use fault::{Fault, Faults};
pub use layers::Sources;
pub use settings::*;

/// A configuration without a fault.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the rest of dues works with.
    pub settings: Settings,
    /// Every key with its value and its origin, without secrets.
    pub effective: Vec<Effective>,
}

impl Loaded {
    /// The fault of a key whose value only another layer can judge, at the place where it stands. The value is not shown.
    pub fn fault(&self, key: &str, allowed: &str) -> Faults {
        let origin = effective::origin_of(&self.effective, key);
        Faults::new(vec![Fault { origin, key: key.to_owned(), value: None, allowed: allowed.to_owned() }])
    }
}

/// Reads all sources.
///
/// # Errors
/// Everything that is wrong with them, found in one reading.
pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
    let layers::Merged { tree, unread, first_file } = layers::merge(sources);
    let is_whole = unread.is_empty();
    let noted = section::Noted::new(unread);
    let settings = parse::settings(&tree, &noted);
    let effective = effective::effective(&tree);
    let mut faults = noted.into_inner();
    if is_whole {
        let origin = |key: &str| effective::origin_of(&effective, key);
        faults.extend(contradiction::contradictions(&settings, &faults, origin));
    }
    // Everything may come from the environment and from flags; only where something is missing is the file missing too.
    if first_file.is_none() && faults.iter().any(is_of_defaults) {
        faults.retain(|fault| !is_of_defaults(fault));
        faults.insert(0, no_file());
    }
    if let Some(file) = first_file {
        faults.iter_mut().filter(|fault| is_of_defaults(fault)).for_each(|fault| is_not_set(fault, &file));
    }
    if faults.is_empty() { Ok(Loaded { settings, effective }) } else { Err(Faults::new(faults)) }
}

fn is_of_defaults(fault: &Fault) -> bool {
    fault.origin.starts_with(layers::BUILT_IN)
}

/// A default that is empty because only the operator knows the value: the place to set it is the file.
fn is_not_set(fault: &mut Fault, file: &str) {
    if fault.value.as_deref() == Some("\"\"") {
        fault.origin = file.to_owned();
        fault.value = None;
        fault.allowed = format!("is not set; it {}", fault.allowed);
    }
}

fn no_file() -> Fault {
    let allowed = format!("{} is not there; write it, or name one with --config", layers::STANDARD_FILE);
    Fault { origin: "no config file".to_owned(), key: String::new(), value: None, allowed }
}
