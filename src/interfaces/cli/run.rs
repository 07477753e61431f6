//! `dues run`: the daemon.

use std::process::ExitCode;

use super::{Ground, WrongConfig};
use crate::config::{self, Sources, secret};
use crate::interfaces::{daemon, telemetry};

/// Arguments of `dues run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Signals: TERM or INT stops (answers under way are awaited; a second one stops at once), \
    HUP takes up a changed config. --json writes the log as JSON, as log.format does.\n\nExamples:\n  dues run --config /etc/dues/dues.toml\n  dues run --set log.format=json")]
pub struct Args {
    /// Looks every due charge up at the gateway before it is sent, as after a restore
    #[arg(long)]
    verify_first: bool,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let mut sources = ground.sources.clone();
        if ground.json() {
            // A flag like any other, so that a reload finds nothing changed.
            sources.flags.push(("log.format".to_owned(), "json".to_owned()));
        }
        let loaded = config::load(&sources).map_err(|faults| WrongConfig(faults.to_string()))?;
        let secret_key = secret::secret_key(&loaded.settings, &Sources::process_environment())?;
        telemetry::start(&loaded.settings.log, telemetry::Surroundings::of_this_process())?;
        daemon::run(loaded.settings, sources, &secret_key, self.verify_first).await?;
        Ok(ExitCode::SUCCESS)
    }
}
