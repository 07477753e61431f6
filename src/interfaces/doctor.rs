//! The doctor: looks at everything that dues stands on, and says of each part how it is and what to do next. It changes nothing. One
//! part's fault keeps no other from being looked at, and no part is waited for without a limit.

mod config;
mod database;
mod gateway;
mod high_water;
mod systemd;
mod zones;

use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Faults, Loaded};

/// A database that has said nothing for so long is not waited for any longer.
const DATABASE_WAIT: Duration = Duration::from_secs(15);
/// Two clocks that are further apart are told of: more than a request takes, and than a time service leaves.
const CLOCKS_APART_AT_MOST: chrono::TimeDelta = chrono::TimeDelta::seconds(10);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// The daemon may run; somebody should look.
    Warning,
    /// The daemon cannot run so, or money is at risk.
    Fault,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Files, environment, flags, the secret key, and whether they belong to these books.
    Config,
    /// The books.
    Database,
    /// Checkout.com.
    Gateway,
    /// Rules of time zones.
    TimeZones,
    /// The service manager.
    Systemd,
    /// The mark outside the books.
    HighWater,
}

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Of what.
    pub part: Part,
    /// What was seen, in one line.
    pub text: String,
    /// What to do next; none where there is nothing to do.
    pub next: Option<String>,
}

/// What the doctor is told.
#[derive(Debug)]
pub struct Patient<'a> {
    /// The config, or what is wrong with it.
    pub config: &'a Result<Loaded, Faults>,
    /// The environment of this process.
    pub environment: &'a [(String, String)],
    /// Where the file system begins; `/`, but for tests.
    pub root: &'a Path,
    /// Whether the gateway is left out.
    pub offline: bool,
}

impl Level {
    /// The word that is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Fault => "fault",
        }
    }
}

impl Part {
    /// The word that is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Config => "config",
            Part::Database => "database",
            Part::Gateway => "gateway",
            Part::TimeZones => "time_zones",
            Part::Systemd => "systemd",
            Part::HighWater => "high_water",
        }
    }

    fn ok(self, text: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, part: self, text: text.into(), next: None }
    }

    fn note(self, text: impl Into<String>) -> Finding {
        Finding { level: Level::Note, part: self, text: text.into(), next: None }
    }

    fn warning(self, text: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, part: self, text: text.into(), next: Some(next.into()) }
    }

    fn fault(self, text: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding { level: Level::Fault, part: self, text: text.into(), next: Some(next.into()) }
    }
}

/// Looks at everything. Without a config there are no books and no gateway to look at.
pub async fn examine(patient: Patient<'_>) -> Vec<Finding> {
    let clock = Clock::system();
    let (mut findings, secret_key) = config::examine(patient.config, patient.environment);
    let mut zones = Default::default();
    if let Ok(loaded) = patient.config {
        let seen = database::examine(loaded, &clock).await;
        findings.extend(seen.findings);
        zones = seen.zones;
        findings.extend(high_water::examine(&loaded.settings));
        findings.extend(if patient.offline {
            vec![Part::Gateway.note("not asked: --offline")]
        } else {
            gateway::examine(&loaded.settings, secret_key.as_ref(), seen.store.as_ref(), &clock).await
        });
    } else {
        let unseen = "not looked at: the config does not say which";
        findings.extend([Part::Database, Part::Gateway].map(|part| part.note(unseen)));
    }
    findings.extend(zones::examine(&zones, clock.now()));
    let settings = patient.config.as_ref().ok().map(|loaded| &loaded.settings);
    findings.extend(systemd::examine(patient.root, patient.environment, settings));
    findings
}

/// An error and its causes in one line.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
