//! `dues subscription`

use std::process::ExitCode;

use super::Ground;

/// Arguments of `dues subscription`.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Runs it.
    pub async fn run(self, _ground: &Ground) -> anyhow::Result<ExitCode> {
        anyhow::bail!("being written")
    }
}
