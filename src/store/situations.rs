//! Everything a decision about a charge needs, read at once: the charge, all its attempts, its subscription, source and dunning
//! case.

use super::StoreError;
use super::db::{Statement, Tx, ids};
use crate::clock::Instant;
use crate::row;

row! {
    /// One attempt, with all that stands around it.
    pub SituationRow {
        /// The attempt.
        attempt_id: i64,
        /// Its number.
        n: i64,
        /// `first` or `recurring`.
        kind: String,
        /// Its state.
        attempt_state: String,
        /// The fencing token.
        lease_epoch: i64,
        /// Until when it belongs to whoever leased it.
        lease_until: Instant,
        /// The payment it waits for or ended with.
        payment_id: Option<String>,
        /// When it is sent or looked at next.
        next_at: Option<Instant>,
        /// How often it may have been sent.
        sends: i64,
        /// Looks since it entered its state.
        looks: i64,
        /// Look-ups since its key is over.
        late_looks: i64,
        /// From when its key may live.
        first_sent_at: Option<Instant>,
        /// When it may have been sent last.
        last_sent_at: Option<Instant>,
        /// From when its outcome was unknown.
        unknown_since: Option<Instant>,
        /// Whether a 5xx hid the outcome.
        server_error: i64,
        /// Whether it is unknown because an answer was lost.
        answer_lost: i64,
        /// From when the gateway did not know its payment.
        missing_since: Option<Instant>,
        /// When the intent was committed.
        created_at: Instant,
        /// The charge.
        charge_id: i64,
        /// Its shown id.
        charge_public_id: String,
        /// The period's number.
        period_index: i64,
        /// The reference at the gateway.
        reference: String,
        /// From when it was owed.
        due_at: Instant,
        /// What is owed.
        amount_minor: i64,
        /// In which currency.
        currency: String,
        /// The charge's state.
        charge_state: String,
        /// Why it is in that state.
        reason: Option<String>,
        /// When it was paid.
        paid_at: Option<Instant>,
        /// Which payment counts.
        paid_by: Option<String>,
        /// The name of the plan's dunning policy.
        dunning: String,
        /// The subscription's zone in this period.
        zone: Option<String>,
        /// The subscription.
        subscription_id: i64,
        /// The merchant's own reference.
        subscription_reference: String,
        /// The subscription's state.
        subscription_state: String,
        /// The source.
        source_id: Option<i64>,
        /// The source's state.
        source_state: Option<String>,
        /// The policy version of the dunning case.
        case_policy_id: Option<i64>,
        /// The state of the dunning case.
        case_state: Option<String>,
        /// Retries spent.
        case_steps: Option<i64>,
        /// When the next retry is opened.
        case_next_step_at: Option<Instant>,
        /// When the case was opened.
        case_opened_at: Option<Instant>,
        /// Open dunning cases of the subscription's other charges, where it is behind.
        other_open_cases: i64,
    }
}

impl Tx {
    /// The situations of these charges: one row for each of their attempts.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn situations(&mut self, charge_ids: Vec<i64>) -> Result<Vec<SituationRow>, StoreError> {
        self.all(Statement::new(SITUATIONS).rows("v", ids(charge_ids))).await
    }
}

const SITUATIONS: &str = "SELECT a.id AS attempt_id, a.n, a.kind, a.state AS attempt_state, a.lease_epoch, a.lease_until, a.payment_id, a.next_at, \
     a.sends, a.looks, a.late_looks, a.first_sent_at, a.last_sent_at, a.unknown_since, a.server_error, a.answer_lost, a.missing_since, a.created_at, \
     c.id AS charge_id, c.public_id AS charge_public_id, c.period_index, c.reference, c.due_at, c.amount_minor, c.currency, \
     c.state AS charge_state, c.reason, c.paid_at, c.paid_by, p.dunning, \
     (SELECT g.zone FROM segments g WHERE g.subscription_id = s.id AND g.first_index <= CASE WHEN c.period_index < 0 THEN 0 \
         ELSE c.period_index END ORDER BY g.first_index DESC LIMIT 1) AS zone, \
     s.id AS subscription_id, s.reference AS subscription_reference, s.state AS subscription_state, s.source_id, \
     o.state AS source_state, d.policy_id AS case_policy_id, d.state AS case_state, d.steps AS case_steps, \
     d.next_step_at AS case_next_step_at, d.opened_at AS case_opened_at, \
     CAST(CASE WHEN s.state IN ('past_due', 'unpaid') THEN (SELECT COUNT(*) FROM dunning_cases e JOIN charges f \
         ON f.id = e.charge_id WHERE f.subscription_id = s.id AND e.state = 'open' AND f.id <> c.id) ELSE 0 END AS BIGINT) \
         AS other_open_cases \
     FROM {v} JOIN attempts a ON a.charge_id = v.id JOIN charges c ON c.id = a.charge_id JOIN plans p ON p.id = c.plan_id \
     JOIN subscriptions s ON s.id = c.subscription_id LEFT JOIN sources o ON o.id = s.source_id \
     LEFT JOIN dunning_cases d ON d.charge_id = c.id ORDER BY c.id, a.n";
