//! The one place that posts a payment. A [`Cleared`] attempt can only be made of rows whose `sending` is committed, and only a
//! `Cleared` can be posted, once.

use std::time::Duration;

use crate::domain::money::Currency;
use crate::engine::Engine;
use crate::engine::observation::{Observation, Seen};
use crate::gateway::outcome::Expected;
use crate::gateway::payments::{Customer, FrozenBody, digest};
use crate::store::attempts::SendableRow;

/// An attempt that may be sent now.
#[derive(Debug)]
pub(super) struct Cleared {
    row: SendableRow,
    /// Time since boot just before its `sending` was committed.
    committing: Duration,
}

impl Cleared {
    /// For settle and collect alone, after their commit.
    pub(super) fn after_commit(row: SendableRow, committing: Duration) -> Cleared {
        Cleared { row, committing }
    }

    /// Sends it, once. None: it was not sent, and nothing is claimed of it; its row is looked up when its lease is over.
    pub(super) async fn post(self, engine: Engine) -> Option<Observation> {
        let row = self.row;
        let seen =
            |seen| Some(Observation { attempt_id: row.id, charge_id: row.charge_id, epoch: row.lease_epoch, seen });
        let waited = engine.clock.since_boot().saturating_sub(self.committing);
        if waited > engine.rules.protocol.send_within {
            tracing::warn!(attempt.id = row.id, waited_seconds = waited.as_secs(), "this process was frozen; not sent");
            return None;
        }
        let customer = Customer { name: row.customer_name, email: row.customer_email };
        let (Ok(frozen), Ok(currency)) = (FrozenBody::from_stored(row.body), row.currency.parse::<Currency>()) else {
            return seen(Seen::BodyChanged);
        };
        let body = frozen.with_customer(&customer);
        if digest(&body) != row.body_digest {
            return seen(Seen::BodyChanged);
        }
        let expected = Expected { reference: row.reference, amount_minor: row.amount_minor, currency };
        let (client, meter) = engine.client.metered();
        let outcome = client.create_payment(&row.idempotency_key, body, &expected).await;
        engine.hear(&meter);
        seen(Seen::Posted(engine.gate.note_post(row.charge_id, outcome, meter.reads(), engine.clock.now())))
    }
}
