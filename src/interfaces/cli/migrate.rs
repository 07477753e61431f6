//! `dues migrate`: brings the database's schema up.

use std::process::ExitCode;

use serde_json::json;

use super::{Ground, exit, output};
use crate::clock::Clock;
use crate::engine::open;

/// Arguments of `dues migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The daemon does it too at its start, unless database.migrate = false.\n\n\
    Examples:\n  dues migrate\n  dues migrate --set database.url=sqlite:dues.db")]
pub struct Args {}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let loaded = ground.load()?;
        let store = open::books(&loaded.settings, &Clock::system()).await?;
        let from = store.schema_version().await?;
        store.migrate().await?;
        let to = store.schema_version().await?;
        store.close().await;
        if ground.json {
            output::json(&json!({"database": store.kind(), "from": from, "to": to}))?;
        } else if from == to {
            output::line(&format!("The schema is at version {to} already."))?;
        } else {
            output::line(&format!("The schema went from version {from} to version {to}."))?;
        }
        Ok(ExitCode::from(exit::OK))
    }
}
