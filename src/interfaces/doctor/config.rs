//! The config: what `dues check` finds in it, and whether the secret key fits its environment.

use std::io::ErrorKind;

use secrecy::SecretString;

use super::{Finding, Part};
use crate::config::secret::{SecretError, secret_key};
use crate::config::{Environment, Faults, Loaded};

/// What a missing key means, and how the doctor is given one.
const NO_KEY: &str = "nothing, where systemd hands the key to the daemon alone; else set gateway.secret_key_file. To ask the gateway \
    with it: systemd-run --pipe --wait -p User=dues -p LoadCredential=checkout-secret-key:/etc/dues/checkout-secret-key dues doctor";

/// What to do about a key's file that cannot be read.
fn unreadable_next(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PermissionDenied => {
            "run the doctor as the daemon's user, or give the file to that user alone (mode 0400)"
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            "write the key there, for the daemon's user alone (mode 0400), or name the right file in gateway.secret_key_file"
        }
        ErrorKind::IsADirectory => "name a file in it in gateway.secret_key_file",
        ErrorKind::InvalidData => {
            "the file is no text: copy the secret key from the gateway's dashboard (Developers, Keys) anew, as one line"
        }
        _ => "see whether the disk that it stands on is sound; then ask again",
    }
}

/// What stands in it, and the secret key where there is a good one.
pub(super) fn examine(
    config: &Result<Loaded, Faults>,
    environment: &[(String, String)],
) -> (Vec<Finding>, Option<SecretString>) {
    let loaded = match config {
        Ok(loaded) => loaded,
        Err(faults) => {
            let next = "mend it; `dues check` says when it is right";
            return (faults.iter().map(|fault| Part::Config.fault(fault.to_string(), next)).collect(), None);
        }
    };
    let settings = &loaded.settings;
    let mut findings = vec![Part::Config.ok(format!(
        "right: installation {}, plans: {}",
        settings.installation.name,
        settings.plans.len()
    ))];
    let kind = match settings.installation.environment {
        Environment::Live => "live",
        Environment::Sandbox => "sandbox",
    };
    let key = match secret_key(settings, environment) {
        Ok(key) => {
            findings.push(Part::Config.ok(format!("the secret key is of the kind that {kind} needs")));
            Some(key)
        }
        Err(error) => {
            findings.push(match &error {
                SecretError::Missing => Part::Config.warning("there is no secret key here", NO_KEY),
                SecretError::Unreadable { source, .. } => {
                    Part::Config.fault(super::told(&error), unreadable_next(source.kind()))
                }
                SecretError::NotAKey { .. } => Part::Config.fault(
                    error.to_string(),
                    "copy the secret key from the gateway's dashboard (Developers, Keys) anew, as one line",
                ),
                SecretError::WrongEnvironment { .. } => Part::Config
                    .fault(error.to_string(), format!("put the {kind} key there, or change installation.environment")),
            });
            None
        }
    };
    (findings, key)
}
