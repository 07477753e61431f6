//! The one row that says whose books these are. What is pinned at the first start never changes.

use super::db::Statement;
use super::{Store, StoreError};
use crate::cells;
use crate::clock::Instant;
use crate::row;

/// What the config says of the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// What the ledger's id is computed from; the books do not keep it.
    pub name: String,
    /// Part of every reference and key.
    pub ledger_id: String,
    /// `sandbox` or `live`.
    pub environment: String,
    /// The gateway's host and port.
    pub gateway_host: String,
    /// The processing channel; empty where the key implies it.
    pub channel: String,
}

row! {
    /// What the books say of the installation.
    pub InstallationRow {
        /// Part of every reference and key.
        ledger_id: String,
        /// `sandbox` or `live`.
        environment: String,
        /// The gateway's host and port.
        gateway_host: String,
        /// The processing channel.
        channel: String,
    }
}

impl InstallationRow {
    /// Holds a config against what was pinned.
    ///
    /// # Errors
    /// [`StoreError::Pinned`] for the first that differs, [`StoreError::OtherName`] where it is the name.
    pub fn admit(&self, pins: &Pins) -> Result<(), StoreError> {
        for (what, configured, pinned) in [
            ("installation.environment", &pins.environment, &self.environment),
            ("the host of gateway.url", &pins.gateway_host, &self.gateway_host),
            ("gateway.processing_channel_id", &pins.channel, &self.channel),
        ] {
            if configured != pinned {
                return Err(StoreError::Pinned { what, configured: configured.clone(), pinned: pinned.clone() });
            }
        }
        if pins.ledger_id == self.ledger_id { Ok(()) } else { Err(StoreError::OtherName { name: pins.name.clone() }) }
    }
}

impl Store {
    /// Pins the installation at the first start, and holds the config against the pins at every other. Books that begin know nothing of
    /// what earlier ones may have charged under the same references: what fell due before is looked up before its first send.
    ///
    /// # Errors
    /// [`StoreError::Pinned`] where one differs, [`StoreError::OtherName`] where it is the name.
    pub async fn pin(&self, pins: &Pins, now: Instant) -> Result<(), StoreError> {
        let mut tx = self.begin("pin").await?;
        tx.run(
            Statement::new(
                "INSERT INTO installation (id, ledger_id, environment, gateway_host, channel, started_at, heartbeat_at, \
                 continuity_from) VALUES (1, $1, $2, $3, $4, $5, $5, $5) ON CONFLICT (id) DO NOTHING",
            )
            .bind(pins.ledger_id.as_str())
            .bind(pins.environment.as_str())
            .bind(pins.gateway_host.as_str())
            .bind(pins.channel.as_str())
            .bind(now),
        )
        .await?;
        let row: InstallationRow = tx
            .one(Statement::new("SELECT ledger_id, environment, gateway_host, channel FROM installation WHERE id = 1"))
            .await?;
        tx.commit().await?;
        row.admit(pins)
    }

    /// Whose books these are; none where nobody has begun them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn installation(&self) -> Result<Option<InstallationRow>, StoreError> {
        let text = "SELECT ledger_id, environment, gateway_host, channel FROM installation WHERE id = 1";
        Ok(self.read(Statement::new(text)).await?.into_iter().next())
    }

    /// Notes that a daemon came round.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn heartbeat(&self, now: Instant) -> Result<(), StoreError> {
        let mut tx = self.begin("heartbeat").await?;
        tx.run(Statement::new("UPDATE installation SET heartbeat_at = $1 WHERE id = 1").bind(now)).await?;
        tx.commit().await
    }

    /// Makes sure that these currencies stand in the table of exponents.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn know_currencies(&self, currencies: &[crate::domain::money::Currency]) -> Result<(), StoreError> {
        let mut rows = super::db::Rows::new(&["code", "exponent"], "ti");
        for currency in currencies {
            rows.push(cells![currency.code(), i64::from(currency.exponent())]);
        }
        let mut tx = self.begin("currencies").await?;
        tx.run(
            Statement::new(
                "INSERT INTO currencies (code, exponent) SELECT v.code, v.exponent FROM {v} WHERE true ON CONFLICT (code) DO NOTHING",
            )
            .rows("v", rows),
        )
        .await?;
        tx.commit().await
    }
}
