//! How a subscription ends, now or when its next period would begin.

use crate::clock::Instant;
use crate::domain::subscription::SubscriptionState;
use crate::row;
use crate::store::db::{Statement, Tx};
use crate::store::journal::Entry;
use crate::store::{StoreError, parse};

/// What ending a subscription came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Charges that are no longer owed.
    pub voided: u64,
    /// Charges whose payment may be on the wire.
    pub on_the_wire: u64,
    /// Whether one of these is a first payment, which its customer may still approve.
    pub first_on_the_wire: bool,
    /// Review cases that have nothing to ask any more.
    pub closed: u64,
}

row! {
    NamedRow { id: i64, state: String }
}
row! {
    NextRow { next_index: i64 }
}
row! {
    EndRow { cancel_at_index: Option<i64> }
}
row! {
    WireRow { count: i64, first: i64 }
}

/// Which charges of a subscription, named so in the statement, have nothing at the gateway and end with it: those that wait, and those
/// in review of which no payment was ever seen and no attempt can have made one. What decides is read of the row itself, so that a row
/// that another hand has just moved is not taken for what it was.
macro_rules! unsent {
    ($charge:literal, $states:literal) => {
        concat!(
            $charge,
            ".subscription_id = $1 AND (",
            $charge,
            ".state IN (",
            $states,
            ") OR ",
            $charge,
            ".state = 'in_review' AND ",
            $charge,
            ".reason IN ('rejected', 'configuration', 'over_limit', 'body_changed', 'calendar') \
             AND NOT EXISTS (SELECT 1 FROM attempts b WHERE b.charge_id = ",
            $charge,
            ".id AND b.state NOT IN ('created', 'rejected', 'withdrawn')) \
             AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.charge_id = ",
            $charge,
            ".id))"
        )
    };
}

impl Tx {
    /// The subscription with this shown id or merchant's reference, locked.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Inconsistent`].
    pub async fn subscription_named(&mut self, name: &str) -> Result<Option<(i64, SubscriptionState)>, StoreError> {
        let rows: Vec<NamedRow> = self
            .all(
                Statement::new(
                    "SELECT s.id, s.state FROM subscriptions s WHERE s.public_id = $1 OR s.reference = $1 {hold s}",
                )
                .bind(name),
            )
            .await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        Ok(Some((row.id, parse("subscriptions", row.id, "state", &row.state)?)))
    }

    /// The number of the first period that has no row yet.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn next_index(&mut self, id: i64) -> Result<i64, StoreError> {
        let row: NextRow =
            self.one(Statement::new("SELECT next_index FROM subscriptions WHERE id = $1").bind(id)).await?;
        Ok(row.next_index)
    }

    /// The period with whose beginning it is canceled; none where no end was asked for.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn ends_at_index(&mut self, id: i64) -> Result<Option<i64>, StoreError> {
        let row: EndRow =
            self.one(Statement::new("SELECT cancel_at_index FROM subscriptions WHERE id = $1").bind(id)).await?;
        Ok(row.cancel_at_index)
    }

    /// Takes back that it is canceled when period `index` would begin.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Moved`] where it is in another state, or ends with another period.
    pub async fn take_end_back(
        &mut self,
        id: i64,
        was: SubscriptionState,
        index: i64,
        reason: &str,
        actor: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.run_guarded(
            "subscriptions",
            1,
            Statement::new(
                "UPDATE subscriptions SET cancel_at_index = NULL, cancel_reason = NULL \
                 WHERE id = $1 AND state = $2 AND cancel_at_index = $3",
            )
            .bind(id)
            .bind(was.as_str())
            .bind(index),
        )
        .await?;
        let entry = Entry {
            act: "cancel taken back",
            subscription_id: Some(id),
            detail: Some(reason.to_owned()),
            ..Default::default()
        };
        self.write_journal(actor, now, &[entry]).await
    }

    /// Cancels when period `index` would begin.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn cancel_at_period_end(
        &mut self,
        id: i64,
        index: i64,
        reason: &str,
        actor: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.run(
            // Who asks again, or is asked again for, ends no later.
            Statement::new(
                "UPDATE subscriptions SET cancel_reason = $3, \
                 cancel_at_index = CASE WHEN cancel_at_index < $2 THEN cancel_at_index ELSE $2 END WHERE id = $1",
            )
            .bind(id)
            .bind(index)
            .bind(reason),
        )
        .await?;
        let entry = Entry {
            act: "cancel at period end",
            subscription_id: Some(id),
            detail: Some(reason.to_owned()),
            ..Default::default()
        };
        self.write_journal(actor, now, &[entry]).await
    }

    /// Ends a subscription: intents not sent are withdrawn and their charges void, dunning cases stopped.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Moved`].
    pub async fn end_subscription(
        &mut self,
        id: i64,
        was: SubscriptionState,
        state: SubscriptionState,
        reason: &str,
        actor: &str,
        now: Instant,
    ) -> Result<Ended, StoreError> {
        self.run_guarded(
            "subscriptions",
            1,
            Statement::new(
                "UPDATE subscriptions SET state = $3, ended_at = $4, cancel_reason = $5 WHERE id = $1 AND state = $2",
            )
            .bind(id)
            .bind(was.as_str())
            .bind(state.as_str())
            .bind(now)
            .bind(reason),
        )
        .await?;
        self.run(
            Statement::new(concat!(
                "UPDATE attempts SET state = 'withdrawn', next_at = NULL, settled_at = $2, lease_epoch = lease_epoch + 1 \
                 WHERE state = 'created' AND charge_id IN (SELECT c.id FROM charges c WHERE ",
                unsent!("c", "'due', 'retrying'"),
                ")"
            ))
            .bind(id)
            .bind(now),
        )
        .await?;
        self.run(
            Statement::new(concat!(
                "INSERT INTO journal (at, actor, act, subscription_id, charge_id, was, now, detail) \
                 SELECT $2, $3, 'charge', c.subscription_id, c.id, c.state, 'void', 'canceled' FROM charges c WHERE ",
                unsent!("c", "'due', 'retrying', 'held'")
            ))
            .bind(id)
            .bind(now)
            .bind(actor),
        )
        .await?;
        self.run(
            Statement::new(concat!(
                "UPDATE dunning_cases SET state = 'stopped', next_step_at = NULL, closed_at = $2 WHERE state = 'open' \
                 AND charge_id IN (SELECT c.id FROM charges c WHERE ",
                unsent!("c", "'due', 'retrying'"),
                ")"
            ))
            .bind(id)
            .bind(now),
        )
        .await?;
        let voided = self
            .run(
                Statement::new(concat!(
                    "UPDATE charges SET state = 'void', reason = 'canceled' WHERE ",
                    unsent!("charges", "'due', 'retrying', 'held'")
                ))
                .bind(id),
            )
            .await?;
        // What asked whether, or how, they are sent. A case about money that was seen stays open.
        let closed = self
            .run(
                Statement::new(
                    "UPDATE review_cases SET resolved_at = $2, resolution = 'the subscription was canceled', resolved_by = $3 \
                     WHERE resolved_at IS NULL AND reason IN ('rejected', 'configuration', 'over_limit', 'body_changed', \
                     'calendar') AND charge_id IN (SELECT c.id FROM charges c WHERE c.subscription_id = $1 AND c.state = 'void' \
                     AND c.reason = 'canceled')",
                )
                .bind(id)
                .bind(now)
                .bind(actor),
            )
            .await?;
        let on_the_wire: WireRow = self
            .one(
                Statement::new(
                    "SELECT COUNT(*) AS count, COUNT(CASE WHEN a.kind = 'first' THEN 1 END) AS first \
                     FROM charges c JOIN attempts a ON a.charge_id = c.id \
                     WHERE c.subscription_id = $1 AND a.state IN ('sending', 'unknown', 'pending')",
                )
                .bind(id),
            )
            .await?;
        let entry = Entry {
            act: "subscription",
            subscription_id: Some(id),
            was: Some(was.as_str()),
            now: Some(state.as_str()),
            detail: Some(reason.to_owned()),
            ..Default::default()
        };
        self.write_journal(actor, now, &[entry]).await?;
        Ok(Ended {
            voided,
            on_the_wire: u64::try_from(on_the_wire.count).unwrap_or_default(),
            first_on_the_wire: on_the_wire.first > 0,
            closed,
        })
    }
}
