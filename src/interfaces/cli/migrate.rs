//! `dues migrate`: brings the database's schema up.

use std::process::ExitCode;

use secrecy::ExposeSecret;
use serde_json::json;

use super::{Ground, exit, output};
use crate::clock::Clock;
use crate::engine::open;
use crate::store::db::{directory_of, two_owners};
use crate::store::{DatabaseUrl, StoreError};

/// Arguments of `dues migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "`dues run`, `dues subscribe` and `dues import` do the same first, unless \
    database.migrate is false. To run it again changes nothing. A SQLite file that does not exist is made.\n\n\
    Examples:\n  dues migrate\n  dues migrate --config ./dues.toml --json")]
pub struct Args {}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let loaded = ground.load()?;
        let store = open::new_books(&loaded.settings, &Clock::system()).await?;
        let from = store.schema_version().await?;
        match store.check_schema().await {
            // An older program never touches what a newer one made.
            Err(error @ StoreError::Schema { found, wanted }) if found > wanted => return Err(error.into()),
            Err(StoreError::Schema { .. }) | Ok(()) => store.migrate().await?,
            Err(error) => return Err(error.into()),
        }
        store.check_schema().await?;
        let to = store.schema_version().await?;
        store.close().await;
        if ground.json() {
            output::json(&json!({ "database": store.kind(), "from": from, "to": to }))?;
        } else if from == to {
            output::line(&format!("the schema is {to} already; nothing was changed"))?;
        } else {
            output::line(&format!("the schema was brought from {from} to {to}"))?;
        }
        if let Ok(DatabaseUrl::Sqlite(path)) = DatabaseUrl::parse(loaded.settings.database.url.expose_secret())
            && let Some((file, directory)) = two_owners(&path)
        {
            let (shown, there) = (path.display(), directory_of(&path).display());
            output::remark(&format!(
                "warning: {shown} belongs to {file}, and its directory to {directory}, who may not write it: \
                 chown --reference={there} {shown}*"
            ));
        }
        Ok(ExitCode::from(exit::OK))
    }
}
