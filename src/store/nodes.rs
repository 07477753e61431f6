//! Nodes: the daemons on one database, when each last came round, and how many sends each has committed.

use chrono::TimeDelta;

use super::db::{Statement, Tx};
use super::{Store, StoreError};
use crate::clock::Instant;
use crate::row;

row! {
    /// A daemon.
    pub NodeRow {
        /// Its name in leases and journal.
        name: String,
        /// Which run of it.
        process: String,
        /// When that process registered.
        started_at: Instant,
        /// When it last came round.
        heartbeat_at: Instant,
        /// When it stopped in order.
        stopped_at: Option<Instant>,
        /// Its high-water mark: sends it has committed, ever.
        sends: i64,
        /// What keeps it from sending.
        condition: Option<String>,
    }
}

row! {
    /// A daemon that came round lately.
    pub LivingRow {
        /// Its name.
        name: String,
        /// When it last came round, or took its name.
        heartbeat_at: Instant,
    }
}

row! {
    /// By which rules a daemon catches up.
    pub CatchUpRow {
        /// Its name.
        name: String,
        /// The rules, in the words of the config.
        catch_up: String,
    }
}

row! {
    /// Whether anything may be sent now, as the books say.
    pub StandingRow {
        /// What fell due before is looked up before its first send.
        continuity_from: Option<Instant>,
        /// Payments of what fell due before may turn up: an operator has acknowledged that the books are older than they.
        acknowledged_until: Option<Instant>,
        /// Payments that may turn up without an attempt that the books know of.
        strangers_left: i64,
        /// From when an operator is waited for.
        held_at: Option<Instant>,
        /// Why.
        held_reason: Option<String>,
        /// From when collecting is stopped.
        braked_at: Option<Instant>,
        /// The process that has this node's name.
        process: Option<String>,
        /// How many sends the books know of this node.
        sends: Option<i64>,
        /// Attempts whose answer was lost, of which a whole look-up has shown no payment, and whose key still lives: past it they wait for
        /// a person, however long. What a dead daemon left behind says
        /// nothing of the gateway.
        not_found: i64,
        /// Whether something that fell due before the fence was not looked up since, or not even billed: 1. What was leased and
        /// waits for its turn to be looked up is among it; what the catch-up rule has put on a later day, or was put off for a reason of its
        /// own, is not.
        unsurveyed: i64,
        /// PostgreSQL's timeline when a daemon came round last.
        timeline: Option<String>,
        /// PostgreSQL's timeline now; none on SQLite.
        timeline_now: Option<String>,
    }
}

/// A fence that was raised longer ago holds back nothing for what was not looked up since.
const SURVEY_AT_MOST: TimeDelta = TimeDelta::days(1);

/// What waits longer than this does not wait for its turn to be looked up.
const TURN_WITHIN: TimeDelta = TimeDelta::hours(1);

/// What is read of the installation in every transaction that sends. SQLite has no timeline.
macro_rules! standing {
    ($timeline_now:literal) => {
        concat!(
            "SELECT i.continuity_from, i.acknowledged_until, i.strangers_left, i.held_at, i.held_reason, i.braked_at, ",
            "(SELECT n.process FROM nodes n WHERE n.name = $1) AS process, ",
            "(SELECT n.sends FROM nodes n WHERE n.name = $1) AS sends, ",
            "(SELECT COUNT(*) FROM attempts a WHERE a.state = 'unknown' AND a.looks > 0 AND a.answer_lost = 1 AND a.late_looks = 0) AS not_found, ",
            "CAST(CASE WHEN i.continuity_from > $3 AND (EXISTS (SELECT 1 FROM attempts a JOIN charges c ON c.id = a.charge_id \
                WHERE a.state = 'created' AND (a.next_at <= $2 OR a.lease_until <= $2 AND a.lease_epoch > 0 AND a.next_at <= $4) AND c.due_at < i.continuity_from \
                AND (a.missing_since IS NULL OR a.missing_since < i.continuity_from)) \
                OR EXISTS (SELECT 1 FROM subscriptions s WHERE s.bill_at <= $2 AND s.bill_at < i.continuity_from \
                    AND s.state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused'))) THEN 1 ELSE 0 END AS BIGINT) AS unsurveyed, ",
            "i.timeline, ",
            $timeline_now,
            " AS timeline_now FROM installation i WHERE i.id = 1 {share i}"
        )
    };
}
const STANDING_SQLITE: &str = standing!("NULL");
const STANDING_POSTGRES: &str = standing!("substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)");

row! { CountRow { count: i64 } }
row! { SendsRow { sends: i64 } }
row! { TimelineRow { timeline: String } }

impl Tx {
    /// Whether anything may be sent now. Until this unit of work ends no daemon can raise the fence.
    ///
    /// # Errors
    /// [`StoreError::Database`], also where the installation is not pinned yet.
    pub async fn standing(&mut self, node: &str, now: Instant) -> Result<StandingRow, StoreError> {
        let text = if self.is_postgres() { STANDING_POSTGRES } else { STANDING_SQLITE };
        self.one(Statement::new(text).bind(node).bind(now).bind(now - SURVEY_AT_MOST).bind(now + TURN_WITHIN)).await
    }

    /// The daemon of this name, held until this unit of work ends.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn node(&mut self, name: &str) -> Result<Option<NodeRow>, StoreError> {
        let rows = self
            .all(
                Statement::new(
                    "SELECT name, process, started_at, heartbeat_at, stopped_at, sends, condition FROM nodes n \
                     WHERE name = $1 {hold n}",
                )
                .bind(name),
            )
            .await?;
        Ok(rows.into_iter().next())
    }

    /// Gives the name to `process`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn register_node(&mut self, name: &str, process: &str, now: Instant) -> Result<(), StoreError> {
        self.run(
            Statement::new(
                "INSERT INTO nodes (name, process, started_at, heartbeat_at, sends) VALUES ($1, $2, $3, $3, 0) \
                 ON CONFLICT (name) DO UPDATE SET process = excluded.process, started_at = excluded.started_at, \
                 heartbeat_at = excluded.heartbeat_at, stopped_at = NULL, condition = NULL",
            )
            .bind(name)
            .bind(process)
            .bind(now),
        )
        .await?;
        Ok(())
    }

    /// Notes that a daemon came round, and what keeps it from sending.
    ///
    /// # Errors
    /// [`StoreError::Moved`] where another process has taken the name.
    pub async fn beat_node(
        &mut self,
        name: &str,
        process: &str,
        condition: Option<&str>,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.run_guarded(
            "nodes",
            1,
            Statement::new("UPDATE nodes SET heartbeat_at = $3, condition = $4 WHERE name = $1 AND process = $2")
                .bind(name)
                .bind(process)
                .bind(now)
                .bind(condition),
        )
        .await
    }

    /// Counts sends that are about to be committed; the node's new high-water mark.
    ///
    /// # Errors
    /// [`StoreError::Moved`] where another process has taken the name: nothing of this unit of work may be sent.
    pub async fn count_sends(&mut self, name: &str, process: &str, sends: i64) -> Result<i64, StoreError> {
        let rows: Vec<SendsRow> = self
            .all(
                Statement::new("UPDATE nodes SET sends = sends + $3 WHERE name = $1 AND process = $2 RETURNING sends")
                    .bind(name)
                    .bind(process)
                    .bind(sends),
            )
            .await?;
        rows.into_iter().next().map(|row| row.sends).ok_or(StoreError::Moved { table: "nodes" })
    }

    /// Raises a node's mark to what is known outside the database, so that one loss is told once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn raise_mark(&mut self, name: &str, sends: i64) -> Result<(), StoreError> {
        self.run(Statement::new("UPDATE nodes SET sends = $2 WHERE name = $1 AND sends < $2").bind(name).bind(sends))
            .await?;
        Ok(())
    }

    /// The daemons that came round since `since`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn living_nodes(&mut self, since: Instant) -> Result<Vec<LivingRow>, StoreError> {
        self.all(
            Statement::new(
                "SELECT name, heartbeat_at FROM nodes WHERE heartbeat_at >= $1 AND stopped_at IS NULL ORDER BY name",
            )
            .bind(since),
        )
        .await
    }

    /// Gives back the leases of a daemon that is gone; how many. What it was sending is looked up at once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn release_leases_of(&mut self, owner: &str, now: Instant) -> Result<u64, StoreError> {
        self.run(
            Statement::new(
                "UPDATE attempts SET lease_until = $2, lease_epoch = lease_epoch + 1, \
                 next_at = CASE WHEN state = 'sending' THEN $2 ELSE next_at END \
                 WHERE state IN ('created', 'sending', 'unknown', 'pending') AND lease_owner = $1 AND lease_until > $2",
            )
            .bind(owner)
            .bind(now),
        )
        .await
    }

    /// Whether any daemon ever registered.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn has_nodes(&mut self) -> Result<bool, StoreError> {
        let row: CountRow = self.one(Statement::new("SELECT COUNT(*) AS count FROM nodes")).await?;
        Ok(row.count > 0)
    }

    /// PostgreSQL's timeline, which a fail-over changes; none on SQLite.
    ///
    /// # Errors
    /// [`StoreError::Database`], also on a standby, which is no place to write books.
    pub async fn timeline(&mut self) -> Result<Option<String>, StoreError> {
        if !self.is_postgres() {
            return Ok(None);
        }
        let statement = Statement::new("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline");
        Ok(Some(self.one::<TimelineRow>(statement).await?.timeline))
    }
}

impl Store {
    /// Every daemon that ever registered, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.read(Statement::new(
            "SELECT name, process, started_at, heartbeat_at, stopped_at, sends, condition FROM nodes ORDER BY name",
        ))
        .await
    }

    /// A daemon says by which rules it catches up with what was handed over.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn tell_catch_up(&self, name: &str, process: &str, rules: &str) -> Result<(), StoreError> {
        let mut tx = self.begin("node").await?;
        tx.run(
            Statement::new("UPDATE nodes SET catch_up = $3 WHERE name = $1 AND process = $2")
                .bind(name)
                .bind(process)
                .bind(rules),
        )
        .await?;
        tx.commit().await
    }

    /// By which rules the daemons that came round since `since` catch up, where they have said so.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn catch_up_of_living(&self, since: Instant) -> Result<Vec<CatchUpRow>, StoreError> {
        self.read(
            Statement::new(
                "SELECT name, catch_up FROM nodes WHERE heartbeat_at >= $1 AND stopped_at IS NULL AND catch_up IS NOT NULL \
                 ORDER BY name",
            )
            .bind(since),
        )
        .await
    }

    /// Notes that a daemon stopped in order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn node_stopped(&self, name: &str, process: &str, now: Instant) -> Result<(), StoreError> {
        let mut tx = self.begin("node").await?;
        tx.run(
            Statement::new("UPDATE nodes SET stopped_at = $3, heartbeat_at = $3 WHERE name = $1 AND process = $2")
                .bind(name)
                .bind(process)
                .bind(now),
        )
        .await?;
        tx.commit().await
    }
}
