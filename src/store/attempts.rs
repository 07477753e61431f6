//! Attempts: intents committed before anything is sent, and the leases under which daemons work on them.

use super::StoreError;
use super::db::{Rows, Statement, Tx, ids};
use crate::cells;
use crate::clock::Instant;
use crate::row;

/// An intent that is about to be committed.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    /// What it tries to collect.
    pub charge_id: i64,
    /// Its number.
    pub n: i64,
    /// Computed from the reference and `n`.
    pub idempotency_key: String,
    /// `first` or `recurring`.
    pub kind: &'static str,
    /// Whose name and e-mail complete the body.
    pub customer_id: i64,
    /// The request without personal data.
    pub body: String,
    /// SHA-256 of the whole body.
    pub body_digest: String,
    /// Not sent before.
    pub next_at: Instant,
}

row! {
    /// A row that now belongs to this daemon.
    pub LeasedRow {
        /// The attempt.
        id: i64,
        /// Its charge.
        charge_id: i64,
        /// The fencing token.
        lease_epoch: i64,
        /// Its state.
        state: String,
        /// The payment it waits for.
        payment_id: Option<String>,
        /// How often it may have been sent.
        sends: i64,
        /// Look-ups since its key is over.
        late_looks: i64,
        /// When it may have been sent last.
        last_sent_at: Option<Instant>,
    }
}

row! {
    /// Everything a POST is made of.
    pub SendableRow {
        /// The attempt.
        id: i64,
        /// Its charge.
        charge_id: i64,
        /// The fencing token.
        lease_epoch: i64,
        /// The key.
        idempotency_key: String,
        /// The request without personal data.
        body: String,
        /// SHA-256 of the whole body.
        body_digest: String,
        /// Personal data.
        customer_name: Option<String>,
        /// Personal data.
        customer_email: Option<String>,
        /// The reference it carries.
        reference: String,
        /// What is owed.
        amount_minor: i64,
        /// In which currency.
        currency: String,
    }
}

row! {
    /// The reference of a leased attempt.
    pub ReferenceRow {
        /// The attempt.
        id: i64,
        /// The reference of its period.
        reference: String,
    }
}

row! {
    StandInRow { charge_id: i64, id: i64 }
}

row! {
    WitnessRow { reference: String }
}

row! {
    /// When each verb has something to do next; none where nothing is open for it.
    pub NextRow {
        /// `bill`
        bill_at: Option<Instant>,
        /// `collect`
        send_at: Option<Instant>,
        /// `reconcile`
        look_at: Option<Instant>,
        /// `dun`
        step_at: Option<Instant>,
        /// `audit`
        audit_at: Option<Instant>,
    }
}

/// The due scan of collect: an index scan over created rows alone. It only locks them: the same transaction decides, and writes the
/// lease together with `sending`.
pub const CLAIM_TO_SEND: &str = "SELECT a.id, a.charge_id, a.lease_epoch, a.state, a.payment_id, a.sends, a.late_looks, \
     a.last_sent_at FROM attempts a WHERE a.state = 'created' AND a.next_at <= $1 AND a.lease_until <= $1 \
     AND ($2 IS NULL OR a.charge_id = $2) ORDER BY a.next_at, a.id LIMIT $3 {lock a}";

/// The due scan of reconcile: an index scan over rows whose outcome is open. The rows are chosen in a materialized step of their own,
/// because PostgreSQL may otherwise run a subquery with LIMIT once for every row it is compared with, and lease more than asked for.
pub const LEASE_TO_LOOK_AT: &str = "WITH due AS MATERIALIZED (SELECT a.id AS due_id FROM attempts a \
     WHERE a.state IN ('sending', 'unknown', 'pending') AND a.next_at <= $3 AND a.lease_until <= $3 \
     AND ($4 IS NULL OR a.charge_id = $4) ORDER BY a.next_at, a.id LIMIT $5 {lock a}) \
     UPDATE attempts SET lease_owner = $1, lease_until = $2, lease_epoch = lease_epoch + 1 FROM due WHERE id = due_id \
     RETURNING id, charge_id, lease_epoch, state, payment_id, sends, late_looks, last_sent_at";

/// Who leases, until when, and of what.
#[derive(Debug, Clone)]
pub struct Lease<'a> {
    /// The daemon.
    pub owner: &'a str,
    /// Now, by the database's clock.
    pub now: Instant,
    /// Until when the rows belong to it.
    pub until: Instant,
    /// Of this charge alone.
    pub charge_id: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// What waits on the wire by another clock, and what is leased beyond `$2`.
pub const BRING_BACK: [&str; 2] = [
    "UPDATE attempts SET next_at = $1, unknown_since = NULL WHERE state IN ('sending', 'unknown', 'pending') AND next_at > $1 AND lease_until <= $1",
    "UPDATE attempts SET next_at = $1, lease_until = $1, lease_epoch = lease_epoch + 1, unknown_since = NULL \
     WHERE state IN ('created', 'sending', 'unknown', 'pending') AND lease_until > $2",
];

impl Tx {
    /// Commits intents.
    ///
    /// # Errors
    /// [`StoreError::Database`]; a unique violation where a charge has a live attempt.
    pub async fn create_attempts(&mut self, new: &[NewAttempt], now: Instant) -> Result<(), StoreError> {
        let mut rows = Rows::new(&["charge_id", "n", "idempotency_key", "kind", "customer_id", "next_at"], "iitti@");
        let mut requests = Rows::new(&["charge_id", "n", "body", "body_digest"], "iitt");
        for it in new {
            rows.push(cells![it.charge_id, it.n, it.idempotency_key.as_str(), it.kind, it.customer_id, it.next_at,]);
            requests.push(cells![it.charge_id, it.n, it.body.as_str(), it.body_digest.as_str()]);
        }
        self.run(
            Statement::new(
                "INSERT INTO attempts (charge_id, n, idempotency_key, kind, state, customer_id, next_at, \
                 lease_until, lease_epoch, sends, looks, late_looks, server_error, created_at) \
                 SELECT v.charge_id, v.n, v.idempotency_key, v.kind, 'created', v.customer_id, \
                 v.next_at, $1, 0, 0, 0, 0, 0, $1 FROM {v}",
            )
            .bind(now)
            .rows("v", rows),
        )
        .await?;
        self.run(
            Statement::new(
                "INSERT INTO requests (charge_id, n, body, body_digest) \
                 SELECT v.charge_id, v.n, v.body, v.body_digest FROM {v}",
            )
            .rows("v", requests),
        )
        .await?;
        Ok(())
    }

    /// Takes hold of created attempts whose time has come, until this unit of work ends; in their order, the longest due first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn claim_to_send(&mut self, claim: &Lease<'_>) -> Result<Vec<LeasedRow>, StoreError> {
        let statement = Statement::new(CLAIM_TO_SEND).bind(claim.now).bind(claim.charge_id).bind(claim.limit);
        self.all(statement).await
    }

    /// Leases attempts whose outcome is open and whose next look has come, the longest due first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn lease_to_look_at(&mut self, lease: &Lease<'_>) -> Result<Vec<LeasedRow>, StoreError> {
        let statement = Statement::new(LEASE_TO_LOOK_AT)
            .bind(lease.owner)
            .bind(lease.until)
            .bind(lease.now)
            .bind(lease.charge_id)
            .bind(lease.limit);
        let mut rows: Vec<LeasedRow> = self.all(statement).await?;
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    /// Puts off the live attempts of these charges until `until`, and gives their leases back.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn put_off(&mut self, charge_ids: &[i64], until: Instant, now: Instant) -> Result<(), StoreError> {
        if charge_ids.is_empty() {
            return Ok(());
        }
        self.run(
            Statement::new(
                "UPDATE attempts SET next_at = $1, lease_until = $2 WHERE charge_id IN (SELECT v.id FROM {v}) \
                 AND state IN ('created', 'sending', 'unknown', 'pending')",
            )
            .bind(until)
            .bind(now)
            .rows("v", ids(charge_ids.iter().copied())),
        )
        .await?;
        Ok(())
    }

    /// Ends intents that were made only so that a payment which the gateway has is somebody's: `absent`, and never sent. Their ids, by
    /// charge.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn never_to_be_sent(
        &mut self,
        charge_ids: Vec<i64>,
        now: Instant,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let rows: Vec<StandInRow> = self
            .all(
                Statement::new(
                    "UPDATE attempts SET state = 'absent', next_at = NULL, settled_at = $1, lease_epoch = lease_epoch + 1 FROM {v} \
                     WHERE attempts.charge_id = v.id AND attempts.state = 'created' AND attempts.sends = 0 \
                     RETURNING attempts.charge_id, attempts.id",
                )
                .bind(now)
                .rows("v", ids(charge_ids)),
            )
            .await?;
        Ok(rows.into_iter().map(|row| (row.charge_id, row.id)).collect())
    }

    /// Brings forward what was put off until an operator lets things go on: its count of looks tells it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(super) async fn bring_forward(&mut self, now: Instant) -> Result<u64, StoreError> {
        self.run(
            Statement::new("UPDATE attempts SET next_at = $1, lease_until = $1 WHERE state = 'created' AND looks > 0 AND next_at > $1")
                .bind(now),
        )
        .await
    }

    /// After the clock was set back: what waits on the wire by the other clock is looked at now, and a lease beyond `lease_until`, which
    /// none can reach by this one, is over. Absence is watched anew: from when it was unknown is not known any more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn bring_back(&mut self, now: Instant, lease_until: Instant) -> Result<u64, StoreError> {
        let [unleased, leased] = BRING_BACK;
        let unleased = self.run(Statement::new(unleased).bind(now)).await?;
        let leased = self.run(Statement::new(leased).bind(now).bind(lease_until)).await?;
        Ok(unleased + leased)
    }

    /// What the POSTs of these attempts are made of.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn sendables(&mut self, attempt_ids: Vec<i64>) -> Result<Vec<SendableRow>, StoreError> {
        self.all(
            Statement::new(
                "SELECT a.id, a.charge_id, a.lease_epoch, a.idempotency_key, r.body, r.body_digest, \
                 k.name AS customer_name, k.email AS customer_email, c.reference, c.amount_minor, c.currency \
                 FROM attempts a JOIN {v} ON a.id = v.id JOIN requests r ON r.charge_id = a.charge_id AND r.n = a.n \
                 JOIN charges c ON c.id = a.charge_id JOIN customers k ON k.id = a.customer_id ORDER BY a.id",
            )
            .rows("v", ids(attempt_ids)),
        )
        .await
    }

    /// The references of these attempts.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn references(&mut self, attempt_ids: Vec<i64>) -> Result<Vec<ReferenceRow>, StoreError> {
        self.all(
            Statement::new(
                "SELECT a.id, c.reference FROM attempts a JOIN {v} ON a.id = v.id JOIN charges c ON c.id = a.charge_id",
            )
            .rows("v", ids(attempt_ids)),
        )
        .await
    }

    /// The reference of another period whose payment was made after `after`: a look-up that finds it is a witness that look-ups
    /// work.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn witness(&mut self, after: Instant, not_of: i64) -> Result<Option<String>, StoreError> {
        let rows: Vec<WitnessRow> = self
            .all(
                Statement::new(
                    "SELECT c.reference FROM payments p JOIN charges c ON c.id = p.charge_id \
                     WHERE p.first_seen_at > $1 AND c.id <> $2 ORDER BY p.id DESC LIMIT 1",
                )
                .bind(after)
                .bind(not_of),
            )
            .await?;
        Ok(rows.into_iter().next().map(|row| row.reference))
    }
}

impl super::Store {
    /// Brings the next look at a pending payment forward: somebody waits for it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn look_now(&self, charge_id: i64, now: Instant) -> Result<(), StoreError> {
        let mut tx = self.begin("look now").await?;
        tx.run(
            Statement::new(
                "UPDATE attempts SET next_at = $2 WHERE charge_id = $1 AND state = 'pending' AND lease_until <= $2 \
                 AND next_at > $2",
            )
            .bind(charge_id)
            .bind(now),
        )
        .await?;
        tx.commit().await
    }

    /// Gives back every lease: on SQLite the file lock proves that whoever held one is gone. What a former process may have been
    /// sending is looked up at once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn release_all_leases(&self, now: Instant) -> Result<u64, StoreError> {
        let mut tx = self.begin("release leases").await?;
        let released = tx
            .run(
                Statement::new(
                    "UPDATE attempts SET lease_until = $1, lease_epoch = lease_epoch + 1, \
                     next_at = CASE WHEN state = 'sending' THEN $1 ELSE next_at END \
                     WHERE state IN ('created', 'sending', 'unknown', 'pending') AND lease_until > $1",
                )
                .bind(now),
            )
            .await?;
        tx.commit().await?;
        Ok(released)
    }

    /// When the engine has something to do next, as far as the books know; none where nothing is open. An audit is never waited for.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn next_work_at(&self) -> Result<Option<Instant>, StoreError> {
        let NextRow { bill_at, send_at, look_at, step_at, .. } = self.next_of_each().await?;
        Ok([bill_at, send_at, look_at, step_at].into_iter().flatten().min())
    }

    /// The same for each verb.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn next_of_each(&self) -> Result<NextRow, StoreError> {
        self.read_one(Statement::new(
            "SELECT (SELECT MIN(bill_at) FROM subscriptions \
                 WHERE state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused')) AS bill_at, \
             (SELECT MIN(next_at) FROM attempts WHERE state = 'created') AS send_at, \
             (SELECT MIN(next_at) FROM attempts WHERE state IN ('sending', 'unknown', 'pending')) AS look_at, \
             (SELECT MIN(next_step_at) FROM dunning_cases WHERE state = 'open' AND next_step_at IS NOT NULL) AS step_at, \
             (SELECT MIN(audit_at) FROM charges WHERE audit_at IS NOT NULL) AS audit_at",
        ))
        .await
    }
}
