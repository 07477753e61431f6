//! Putting an engine together: books brought up and pinned, rules loaded, the gateway's client on its transport.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::Settings;
use crate::engine::high_water::HighWater;
use crate::engine::rules::{environment_of, ledger_of};
use crate::engine::{Bells, Engine, Gate, Rules};
use crate::gateway::payments::Client;
use crate::gateway::transport::Transport;
use crate::store::installation::Pins;
use crate::store::{DatabaseUrl, Store, StoreError};

/// Opens the books that the settings name; a SQLite file is created where there is none, unless `database.migrate` forbids it: a file
/// without tables is of no use.
///
/// # Errors
/// [`StoreError`]; [`StoreError::NoDatabase`] where there is no such file, and none may be made.
pub async fn books(settings: &Settings, clock: &Clock) -> Result<Store, StoreError> {
    if settings.database.migrate { new_books(settings, clock).await } else { existing_books(settings, clock).await }
}

/// The same for who was asked to bring the schema up: the file is created whatever the config says.
///
/// # Errors
/// [`StoreError`].
pub async fn new_books(settings: &Settings, clock: &Clock) -> Result<Store, StoreError> {
    let database = &settings.database;
    let url = DatabaseUrl::parse(database.url.expose_secret())?;
    Store::open(&url, database.max_connections.get(), database.busy_timeout, clock.clone()).await
}

/// The same where nothing is created.
///
/// # Errors
/// [`StoreError`]; [`StoreError::NoDatabase`] where there is no such file.
pub async fn existing_books(settings: &Settings, clock: &Clock) -> Result<Store, StoreError> {
    let database = &settings.database;
    let url = DatabaseUrl::parse(database.url.expose_secret())?;
    Store::open_existing(&url, database.max_connections.get(), database.busy_timeout, clock.clone()).await
}

/// The same for a person who only looks: as whoever may write, if this user may, so that nothing is left behind beside the file; else as a
/// reader.
///
/// # Errors
/// As [`existing_books`].
pub async fn books_to_show(settings: &Settings, clock: &Clock) -> Result<Store, StoreError> {
    match existing_books(settings, clock).await {
        Err(StoreError::NotWritable { .. }) => readable_books(settings, clock).await,
        opened => opened,
    }
}

/// The same where nothing may be written: a reader who may only read the file, or a login that may only read the views.
///
/// # Errors
/// As [`existing_books`].
pub async fn readable_books(settings: &Settings, clock: &Clock) -> Result<Store, StoreError> {
    let database = &settings.database;
    let url = DatabaseUrl::parse(database.url.expose_secret())?;
    Store::open_to_read(&url, database.max_connections.get(), database.busy_timeout, clock.clone()).await
}

/// The same for who changes nothing at all: no connection can write.
///
/// # Errors
/// As [`existing_books`].
pub async fn books_to_look(settings: &Settings, clock: &Clock) -> Result<Store, StoreError> {
    let url = DatabaseUrl::parse(settings.database.url.expose_secret())?;
    Store::open_to_look(&url, settings.database.busy_timeout, clock.clone()).await
}

/// Makes an engine on open books: brings the schema up where `migrate` says so, holds the config against the pins, and loads plans
/// and policies.
///
/// # Errors
/// [`StoreError`].
pub async fn engine(
    settings: &Settings,
    store: Store,
    transport: Arc<dyn Transport>,
    secret_key: &SecretString,
    chance: Chance,
    migrate: bool,
) -> Result<Engine, StoreError> {
    if migrate {
        store.migrate().await?;
    }
    store.check_schema().await?;
    store.pin(&pins_of(settings), store.clock().now()).await?;
    let rules = Rules::load(settings, &store).await?;
    Ok(Engine {
        client: Client::new(transport, secret_key),
        clock: store.clock().clone(),
        chance: Arc::new(chance),
        rules: Arc::new(rules),
        gate: Arc::new(Gate::new(&settings.budget, &settings.circuit)),
        bells: Arc::new(Bells::default()),
        high_water: HighWater::of(settings, &ledger_of(settings), &node_name(settings)),
        steady: Arc::default(),
        pace: Arc::default(),
        surveying: Arc::default(),
        share: Arc::default(),
        audited: Arc::default(),
        process: crate::engine::process::this().into(),
        node: node_name(settings).into(),
        store,
    })
}

/// What the config says of the installation, to be held against what the books have pinned.
pub fn pins_of(settings: &Settings) -> Pins {
    Pins {
        name: settings.installation.name.clone(),
        ledger_id: ledger_of(settings).to_string(),
        environment: environment_of(settings).to_owned(),
        gateway_host: host_of(&settings.gateway.url).to_owned(),
        channel: settings.gateway.processing_channel_id.clone().unwrap_or_default(),
    }
}

/// This daemon's name: as configured, else the host's.
pub fn node_name(settings: &Settings) -> String {
    if settings.installation.node.is_empty() {
        let host = rustix::system::uname();
        host.nodename().to_string_lossy().into_owned()
    } else {
        settings.installation.node.clone()
    }
}

/// The host without its port: a sandbox may move to another port, an account does not move to another host.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_without_scheme_port_and_path() {
        for url in [
            "https://api.checkout.com",
            "https://api.checkout.com/",
            "https://api.checkout.com:443/v1",
            "api.checkout.com",
        ] {
            assert_eq!(host_of(url), "api.checkout.com", "{url}");
        }
    }
}
