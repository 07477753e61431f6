//! The secret key of the gateway: where it is found, and whether it fits the environment. It is never part of the settings, and no
//! error shows it.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::{Environment, Settings};

/// The name of the systemd credential.
pub const CREDENTIAL: &str = "checkout-secret-key";

/// Why there is no usable secret key.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No place holds a key.
    #[error(
        "no secret key: name its file in gateway.secret_key_file, hand it over as the systemd credential {CREDENTIAL}, \
         or set the environment variable DUES_SECRET_KEY"
    )]
    Missing,
    /// The file is there, or should be, but cannot be read.
    #[error("the secret key cannot be read from {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was found is no key.
    #[error(
        "{place} holds no secret key: {why}; one line that begins with sk_ is expected, as the gateway's dashboard shows it"
    )]
    NotAKey {
        /// Where it was found.
        place: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A live key would charge test data for real, or the reverse.
    #[error("{place} holds a {kind} key, but installation.environment is {environment}; no request was sent")]
    WrongEnvironment {
        /// Where it was found.
        place: String,
        /// What the key's prefix says.
        kind: &'static str,
        /// What the settings say.
        environment: &'static str,
    },
}

/// Finds the secret key: the file of the settings, else the credential in `$CREDENTIALS_DIRECTORY`, else `DUES_SECRET_KEY`.
///
/// # Errors
/// [`SecretError`], which never shows the key.
pub fn secret_key(settings: &Settings, environment: &[(String, String)]) -> Result<SecretString, SecretError> {
    let (place, text) = found(settings, environment)?;
    let key = text.strip_suffix('\n').unwrap_or(&text);
    let key = key.strip_suffix('\r').unwrap_or(key);
    if let Some(why) = no_key(key) {
        return Err(SecretError::NotAKey { place, why });
    }
    // A sandbox key of the older platform is named `sk_test_`; it must not pass for a live one either.
    let is_sandbox = key.starts_with("sk_sbox_") || key.starts_with("sk_test_");
    match (settings.installation.environment, is_sandbox) {
        (Environment::Live, true) => Err(SecretError::WrongEnvironment { place, kind: "sandbox", environment: "live" }),
        (Environment::Sandbox, false) => {
            Err(SecretError::WrongEnvironment { place, kind: "live", environment: "sandbox" })
        }
        (Environment::Live, false) | (Environment::Sandbox, true) => Ok(SecretString::from(key)),
    }
}

/// The first place that holds something, and its text.
fn found(settings: &Settings, environment: &[(String, String)]) -> Result<(String, String), SecretError> {
    let variable =
        |name: &str| environment.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value);
    if let Some(path) = &settings.gateway.secret_key_file {
        return read(path);
    }
    if let Some(directory) = variable("CREDENTIALS_DIRECTORY") {
        let path = Path::new(directory).join(CREDENTIAL);
        // Other credentials may be there without this one.
        if path.exists() {
            return read(&path);
        }
    }
    match variable("DUES_SECRET_KEY") {
        Some(key) => Ok(("the environment variable DUES_SECRET_KEY".to_owned(), key.clone())),
        None => Err(SecretError::Missing),
    }
}

fn read(path: &Path) -> Result<(String, String), SecretError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(source) => Err(SecretError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Why a text is no key. Lenient about the rest of one, whose form the gateway may change; strict about what a header cannot carry.
fn no_key(text: &str) -> Option<&'static str> {
    let prefixes = ["sk_sbox_", "sk_test_", "sk_"];
    let Some(rest) = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) else {
        return Some(if text.trim().is_empty() { "it is empty" } else { "it does not begin with sk_" });
    };
    if !rest.bytes().all(|b| b.is_ascii_graphic()) {
        return Some("it holds blanks, more lines, or letters that no key has");
    }
    match rest.len() {
        ..8 => Some("it is too short to be a whole one"),
        8..=200 => None,
        _ => Some("it is too long to be one"),
    }
}
