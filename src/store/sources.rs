//! Payment sources: the wallet references that can be charged, and the one act that stops everything on a revoked one.

use std::collections::{BTreeMap, BTreeSet};

use super::db::{Rows, Statement, Tx, ids};
use super::{Store, StoreError, parse};
use crate::cells;
use crate::clock::Instant;
use crate::domain::source::SourceState;
use crate::row;

row! {
    SourceRow { id: i64, gateway_source_id: String, state: String }
}

/// A source of the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSource {
    /// Its id.
    pub id: i64,
    /// Where it stands.
    pub state: SourceState,
}

fn by_gateway_id(rows: Vec<SourceRow>) -> Result<BTreeMap<String, KnownSource>, StoreError> {
    let read = |row: SourceRow| {
        let state = parse("sources", row.id, "state", &row.state)?;
        Ok((row.gateway_source_id, KnownSource { id: row.id, state }))
    };
    rows.into_iter().map(read).collect()
}

fn gateway_ids_of(gateway_ids: impl IntoIterator<Item = String>) -> Rows {
    let mut rows = Rows::new(&["gateway_source_id"], "t");
    let distinct: BTreeSet<String> = gateway_ids.into_iter().collect();
    for gateway_id in distinct {
        rows.push(cells![gateway_id]);
    }
    rows
}

impl Store {
    /// Those of these sources that the books know, by the gateway's own ids.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Inconsistent`].
    pub async fn known_sources(
        &self,
        gateway_ids: impl IntoIterator<Item = String>,
    ) -> Result<BTreeMap<String, KnownSource>, StoreError> {
        let rows = self
            .read(
                Statement::new(
                    "SELECT s.id, s.gateway_source_id, s.state FROM sources s JOIN {v} \
                     ON s.gateway_source_id = v.gateway_source_id",
                )
                .rows("v", gateway_ids_of(gateway_ids)),
            )
            .await?;
        by_gateway_id(rows)
    }
}

impl Tx {
    /// Makes sure of these sources, in `state` where they are new; each by the gateway's own id. They are held until this unit of
    /// work ends, so that nobody revokes one meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Inconsistent`].
    pub async fn know_sources(
        &mut self,
        gateway_ids: impl IntoIterator<Item = String>,
        state: SourceState,
        now: Instant,
    ) -> Result<BTreeMap<String, KnownSource>, StoreError> {
        let rows = gateway_ids_of(gateway_ids);
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.run(
            Statement::new(
                "INSERT INTO sources (gateway_source_id, state, created_at) SELECT v.gateway_source_id, $1, $2 FROM {v} \
                 WHERE true ON CONFLICT (gateway_source_id) DO NOTHING",
            )
            .bind(state.as_str())
            .bind(now)
            .rows("v", rows.clone()),
        )
        .await?;
        let found: Vec<SourceRow> = self
            .all(
                Statement::new(
                    "SELECT s.id, s.gateway_source_id, s.state FROM sources s JOIN {v} \
                     ON s.gateway_source_id = v.gateway_source_id ORDER BY s.id {hold s}",
                )
                .rows("v", rows),
            )
            .await?;
        by_gateway_id(found)
    }

    /// Stops everything that would be charged to sources just revoked: their subscriptions become unpaid, intents not yet sent
    /// are withdrawn and their charges given up, dunning cases stopped. What is on the wire is left to its own answer.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn stop_sources(&mut self, source_ids: &[i64], actor: &str, now: Instant) -> Result<(), StoreError> {
        let sources = || ids(source_ids.iter().copied());
        self.run(
            Statement::new(
                "INSERT INTO journal (at, actor, act, subscription_id, was, now, detail) \
                 SELECT $1, $2, 'subscription.unpaid', s.id, s.state, 'unpaid', 'its source was revoked' \
                 FROM subscriptions s JOIN {v} ON s.source_id = v.id WHERE s.state IN ('trialing', 'active', 'past_due')",
            )
            .bind(now)
            .bind(actor)
            .rows("v", sources()),
        )
        .await?;
        self.run(
            Statement::new(
                "UPDATE subscriptions SET state = 'unpaid' \
                 WHERE source_id IN (SELECT v.id FROM {v}) AND state IN ('trialing', 'active', 'past_due')",
            )
            .rows("v", sources()),
        )
        .await?;
        self.run(
            Statement::new(
                "UPDATE attempts SET state = 'withdrawn', next_at = NULL, settled_at = $1 \
                 WHERE state = 'created' AND kind = 'recurring' AND charge_id IN (SELECT c.id FROM charges c \
                 JOIN subscriptions s ON s.id = c.subscription_id JOIN {v} ON s.source_id = v.id \
                 WHERE c.state IN ('due', 'retrying'))",
            )
            .bind(now)
            .rows("v", sources()),
        )
        .await?;
        self.run(
            Statement::new(
                "INSERT INTO journal (at, actor, act, subscription_id, charge_id, was, now, detail) \
                 SELECT $1, $2, 'charge.uncollectible', c.subscription_id, c.id, c.state, 'uncollectible', \
                 'its source was revoked' FROM charges c JOIN subscriptions s ON s.id = c.subscription_id \
                 JOIN {v} ON s.source_id = v.id WHERE c.state IN ('due', 'retrying')",
            )
            .bind(now)
            .bind(actor)
            .rows("v", sources()),
        )
        .await?;
        self.run(
            Statement::new(
                "UPDATE dunning_cases SET state = 'stopped', next_step_at = NULL, closed_at = $1 \
                 WHERE state = 'open' AND charge_id IN (SELECT c.id FROM charges c \
                 JOIN subscriptions s ON s.id = c.subscription_id JOIN {v} ON s.source_id = v.id \
                 WHERE c.state IN ('due', 'retrying'))",
            )
            .bind(now)
            .rows("v", sources()),
        )
        .await?;
        self.run(
            Statement::new(
                "UPDATE charges SET state = 'uncollectible', reason = 'authorisation_gone' \
                 WHERE state IN ('due', 'retrying') AND subscription_id IN (SELECT s.id FROM subscriptions s \
                 JOIN {v} ON s.source_id = v.id)",
            )
            .rows("v", sources()),
        )
        .await?;
        Ok(())
    }
}
