//! What a decision writes, in sets: one statement a table, whatever the number of rows. Every row is guarded by what was read.

use super::StoreError;
use super::db::{Rows, Statement, Tx};
use super::journal::Entry;
use super::reviews::{NewReview, OpenedRow};
use crate::cells;
use crate::clock::Instant;
use crate::domain::attempt::AttemptState;
use crate::domain::charge::ChargeState;
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;

/// Everything that follows from a set of observations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Payments seen.
    pub payments: Vec<PaymentChange>,
    /// Attempts as they stand now.
    pub attempts: Vec<AttemptChange>,
    /// Charges as they stand now.
    pub charges: Vec<ChargeChange>,
    /// Subscriptions as they stand now.
    pub subscriptions: Vec<SubscriptionChange>,
    /// Sources as they stand now.
    pub sources: Vec<SourceChange>,
    /// Sources named by a first payment's answer.
    pub new_sources: Vec<NewSource>,
    /// Dunning cases as they stand now.
    pub cases: Vec<CaseChange>,
    /// Review cases to open.
    pub reviews: Vec<NewReview>,
    /// Charges whose open questions an outcome answered.
    pub answered: Vec<i64>,
    /// Lines of the journal.
    pub journal: Vec<Entry>,
}

/// A payment as the gateway showed it.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentChange {
    /// `pay_…`
    pub gateway_payment_id: String,
    /// The attempt it answers.
    pub attempt_id: Option<i64>,
    /// The period whose reference it carries.
    pub charge_id: Option<i64>,
    /// `first`, `recurring`, `one_time` or `foreign`.
    pub kind: &'static str,
    /// The reference it carries.
    pub reference: Option<String>,
    /// The gateway's own word.
    pub status: String,
    /// The gateway's figure.
    pub amount_minor: Option<i64>,
    /// The gateway's figure.
    pub currency: Option<String>,
    /// What was taken.
    pub captured_minor: i64,
    /// What was given back.
    pub refunded_minor: i64,
    /// Why it was declined.
    pub response_code: Option<String>,
    /// What the table of codes made of it.
    pub decline_class: Option<&'static str>,
    /// Where the customer approves it.
    pub redirect_url: Option<String>,
    /// To quote to the gateway's support.
    pub request_id: Option<String>,
}

/// An attempt as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptChange {
    /// Which.
    pub id: i64,
    /// Its state before, as a guard.
    pub was: AttemptState,
    /// The lease it was read under, as a guard.
    pub epoch: i64,
    /// The lease from now on: higher where it is leased by this change.
    pub leased_epoch: i64,
    /// Its state.
    pub state: AttemptState,
    /// The payment it waits for or ended with.
    pub payment_id: Option<String>,
    /// When it is sent or looked at next.
    pub next_at: Option<Instant>,
    /// Until when it belongs to its daemon.
    pub lease_until: Instant,
    /// How often it may have been sent.
    pub sends: i64,
    /// Looks since it entered its state.
    pub looks: i64,
    /// Look-ups since its key is over.
    pub late_looks: i64,
    /// From when its key may live.
    pub first_sent_at: Option<Instant>,
    /// When it may have been sent last.
    pub last_sent_at: Option<Instant>,
    /// From when its outcome was unknown.
    pub unknown_since: Option<Instant>,
    /// Whether a 5xx hid the outcome.
    pub server_error: bool,
    /// Whether it is unknown because an answer was lost.
    pub answer_lost: bool,
    /// From when the gateway did not know its payment.
    pub missing_since: Option<Instant>,
    /// When its outcome was known.
    pub settled_at: Option<Instant>,
}

/// A charge as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct ChargeChange {
    /// Which.
    pub id: i64,
    /// Its state before, as a guard.
    pub was: ChargeState,
    /// Its state.
    pub state: ChargeState,
    /// Why it is in that state.
    pub reason: Option<String>,
    /// When it was paid.
    pub paid_at: Option<Instant>,
    /// Which payment counts.
    pub paid_by: Option<String>,
}

/// A subscription as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionChange {
    /// Which.
    pub id: i64,
    /// Its state before, as a guard.
    pub was: SubscriptionState,
    /// Its state.
    pub state: SubscriptionState,
}

/// A source as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceChange {
    /// Which.
    pub id: i64,
    /// Its state.
    pub state: SourceState,
}

/// The source that a first payment's answer named.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSource {
    /// Whose.
    pub subscription_id: i64,
    /// `src_…`
    pub gateway_source_id: String,
    /// `provisional`, or `active` where the payment is captured already.
    pub state: SourceState,
}

/// A dunning case as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseChange {
    /// Its charge.
    pub charge_id: i64,
    /// The policy version it began with.
    pub policy_id: i64,
    /// `open`, `recovered`, `exhausted` or `stopped`.
    pub state: &'static str,
    /// Retries spent.
    pub steps: i64,
    /// When the next retry is opened.
    pub next_step_at: Option<Instant>,
    /// When it was opened.
    pub opened_at: Instant,
    /// When it ended.
    pub closed_at: Option<Instant>,
}

impl Tx {
    /// Writes `changes`; the review cases that were opened by it.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Moved`] where a guard no longer holds. The caller then drops this unit of work.
    pub async fn apply(&mut self, changes: Changes, actor: &str, now: Instant) -> Result<Vec<OpenedRow>, StoreError> {
        self.change_attempts(&changes.attempts, actor).await?;
        self.change_payments(&changes.payments, now).await?;
        self.change_charges(&changes.charges).await?;
        self.name_sources(&changes.new_sources, now).await?;
        self.change_subscriptions(&changes.subscriptions, now).await?;
        self.change_cases(&changes.cases).await?;
        // Last, because it stops whatever the rows above left chargeable on a source that is gone.
        self.change_sources(&changes.sources, actor, now).await?;
        self.close_reviews(&changes.answered, "answered by a later outcome", actor, now).await?;
        self.write_journal(actor, now, &changes.journal).await?;
        self.open_reviews(&changes.reviews, now).await
    }

    async fn change_attempts(&mut self, changes: &[AttemptChange], actor: &str) -> Result<(), StoreError> {
        let mut rows = Rows::new(
            &[
                "id",
                "was",
                "epoch",
                "leased_epoch",
                "state",
                "payment_id",
                "next_at",
                "lease_until",
                "sends",
                "looks",
                "late_looks",
                "first_sent_at",
                "last_sent_at",
                "unknown_since",
                "server_error",
                "missing_since",
                "settled_at",
                "answer_lost",
            ],
            "itiitt@@iii@@@i@@i",
        );
        for it in changes {
            rows.push(cells![
                it.id,
                it.was.as_str(),
                it.epoch,
                it.leased_epoch,
                it.state.as_str(),
                it.payment_id.as_deref(),
                it.next_at,
                it.lease_until,
                it.sends,
                it.looks,
                it.late_looks,
                it.first_sent_at,
                it.last_sent_at,
                it.unknown_since,
                it.server_error,
                it.missing_since,
                it.settled_at,
                it.answer_lost,
            ]);
        }
        self.run_guarded(
            "attempts",
            rows.len(),
            Statement::new(
                "UPDATE attempts SET state = v.state, payment_id = v.payment_id, next_at = v.next_at, \
                 lease_until = v.lease_until, sends = v.sends, looks = v.looks, late_looks = v.late_looks, \
                 first_sent_at = v.first_sent_at, last_sent_at = v.last_sent_at, unknown_since = v.unknown_since, \
                 server_error = v.server_error, missing_since = v.missing_since, settled_at = v.settled_at, \
                 answer_lost = v.answer_lost, lease_epoch = v.leased_epoch, \
                 lease_owner = CASE WHEN v.leased_epoch > v.epoch THEN $1 ELSE attempts.lease_owner END \
                 FROM {v} WHERE attempts.id = v.id AND attempts.state = v.was AND attempts.lease_epoch = v.epoch",
            )
            .bind(actor)
            .rows("v", rows),
        )
        .await
    }

    /// What we know of a payment only grows: a later row without a code, a link or an attempt does not take one away. Money that
    /// was taken or given back stays so: a row that knows of less is an older answer that came late, and its status is older too.
    async fn change_payments(&mut self, changes: &[PaymentChange], now: Instant) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(
            &[
                "gateway_payment_id",
                "attempt_id",
                "charge_id",
                "kind",
                "reference",
                "status",
                "amount_minor",
                "currency",
                "captured_minor",
                "refunded_minor",
                "response_code",
                "decline_class",
                "redirect_url",
                "request_id",
            ],
            "tiitttitiitttt",
        );
        for it in changes {
            rows.push(cells![
                it.gateway_payment_id.as_str(),
                it.attempt_id,
                it.charge_id,
                it.kind,
                it.reference.as_deref(),
                it.status.as_str(),
                it.amount_minor,
                it.currency.as_deref(),
                it.captured_minor,
                it.refunded_minor,
                it.response_code.as_deref(),
                it.decline_class,
                it.redirect_url.as_deref(),
                it.request_id.as_deref(),
            ]);
        }
        self.run(
            Statement::new(
                "INSERT INTO payments (gateway_payment_id, attempt_id, charge_id, kind, reference, status, amount_minor, \
                 currency, captured_minor, refunded_minor, response_code, decline_class, redirect_url, request_id, \
                 first_seen_at, status_at) \
                 SELECT v.gateway_payment_id, v.attempt_id, v.charge_id, v.kind, v.reference, v.status, v.amount_minor, \
                 v.currency, v.captured_minor, v.refunded_minor, v.response_code, v.decline_class, v.redirect_url, \
                 v.request_id, $1, $1 FROM {v} WHERE true \
                 ON CONFLICT (gateway_payment_id) DO UPDATE SET \
                 attempt_id = COALESCE(payments.attempt_id, excluded.attempt_id), \
                 charge_id = COALESCE(payments.charge_id, excluded.charge_id), \
                 status_at = CASE WHEN payments.status = excluded.status OR excluded.captured_minor < payments.captured_minor \
                 OR excluded.refunded_minor < payments.refunded_minor THEN payments.status_at ELSE excluded.status_at END, \
                 status = CASE WHEN excluded.captured_minor < payments.captured_minor \
                 OR excluded.refunded_minor < payments.refunded_minor THEN payments.status ELSE excluded.status END, \
                 amount_minor = COALESCE(excluded.amount_minor, payments.amount_minor), \
                 currency = COALESCE(excluded.currency, payments.currency), \
                 captured_minor = CASE WHEN excluded.captured_minor < payments.captured_minor THEN payments.captured_minor \
                 ELSE excluded.captured_minor END, \
                 refunded_minor = CASE WHEN excluded.refunded_minor < payments.refunded_minor THEN payments.refunded_minor \
                 ELSE excluded.refunded_minor END, \
                 response_code = COALESCE(excluded.response_code, payments.response_code), \
                 decline_class = COALESCE(excluded.decline_class, payments.decline_class), \
                 redirect_url = COALESCE(excluded.redirect_url, payments.redirect_url), \
                 request_id = COALESCE(excluded.request_id, payments.request_id)",
            )
            .bind(now)
            .rows("v", rows),
        )
        .await?;
        Ok(())
    }

    async fn change_charges(&mut self, changes: &[ChargeChange]) -> Result<(), StoreError> {
        let mut rows = Rows::new(&["id", "was", "state", "reason", "paid_at", "paid_by"], "ittt@t");
        for it in changes {
            rows.push(cells![
                it.id,
                it.was.as_str(),
                it.state.as_str(),
                it.reason.as_deref(),
                it.paid_at,
                it.paid_by.as_deref(),
            ]);
        }
        self.run_guarded(
            "charges",
            rows.len(),
            Statement::new(
                "UPDATE charges SET state = v.state, reason = v.reason, paid_at = v.paid_at, paid_by = v.paid_by \
                 FROM {v} WHERE charges.id = v.id AND charges.state = v.was",
            )
            .rows("v", rows),
        )
        .await
    }

    async fn change_subscriptions(&mut self, changes: &[SubscriptionChange], now: Instant) -> Result<(), StoreError> {
        let mut rows = Rows::new(&["id", "was", "state"], "itt");
        for it in changes {
            rows.push(cells![it.id, it.was.as_str(), it.state.as_str()]);
        }
        self.run_guarded(
            "subscriptions",
            rows.len(),
            Statement::new(
                "UPDATE subscriptions SET state = v.state, \
                 ended_at = CASE WHEN v.state IN ('canceled', 'completed') THEN $1 ELSE ended_at END \
                 FROM {v} WHERE subscriptions.id = v.id AND subscriptions.state = v.was",
            )
            .bind(now)
            .rows("v", rows),
        )
        .await
    }

    async fn name_sources(&mut self, new: &[NewSource], now: Instant) -> Result<(), StoreError> {
        if new.is_empty() {
            return Ok(());
        }
        let ids =
            self.know_sources(new.iter().map(|it| it.gateway_source_id.clone()), SourceState::Provisional, now).await?;
        let mut owners = Rows::new(&["id", "source_id"], "ii");
        let mut states = Rows::new(&["id", "state"], "it");
        for it in new {
            let id = ids.get(&it.gateway_source_id).map(|source| source.id);
            owners.push(cells![it.subscription_id, id]);
            states.push(cells![id, it.state.as_str()]);
        }
        self.run(
            Statement::new("UPDATE subscriptions SET source_id = v.source_id FROM {v} WHERE subscriptions.id = v.id")
                .rows("v", owners),
        )
        .await?;
        self.run(
            Statement::new(
                "UPDATE sources SET state = v.state FROM {v} WHERE sources.id = v.id AND sources.state = 'provisional'",
            )
            .rows("v", states),
        )
        .await?;
        Ok(())
    }

    async fn change_sources(&mut self, changes: &[SourceChange], actor: &str, now: Instant) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(&["id", "state"], "it");
        for it in changes {
            rows.push(cells![it.id, it.state.as_str()]);
        }
        self.run(
            Statement::new(
                "UPDATE sources SET state = v.state, \
                 revoked_at = CASE WHEN v.state = 'revoked' THEN COALESCE(revoked_at, $1) ELSE NULL END \
                 FROM {v} WHERE sources.id = v.id",
            )
            .bind(now)
            .rows("v", rows),
        )
        .await?;
        let revoked: Vec<i64> = changes.iter().filter(|it| it.state == SourceState::Revoked).map(|it| it.id).collect();
        if revoked.is_empty() { Ok(()) } else { self.stop_sources(&revoked, actor, now).await }
    }

    async fn change_cases(&mut self, changes: &[CaseChange]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(
            &["charge_id", "policy_id", "state", "steps", "next_step_at", "opened_at", "closed_at"],
            "iiti@@@",
        );
        for it in changes {
            rows.push(cells![
                it.charge_id,
                it.policy_id,
                it.state,
                it.steps,
                it.next_step_at,
                it.opened_at,
                it.closed_at
            ]);
        }
        self.run(
            Statement::new(
                "INSERT INTO dunning_cases (charge_id, policy_id, state, steps, next_step_at, opened_at, closed_at) \
                 SELECT v.charge_id, v.policy_id, v.state, v.steps, v.next_step_at, v.opened_at, v.closed_at FROM {v} \
                 WHERE true ON CONFLICT (charge_id) DO UPDATE SET state = excluded.state, steps = excluded.steps, \
                 next_step_at = excluded.next_step_at, closed_at = excluded.closed_at",
            )
            .rows("v", rows),
        )
        .await?;
        Ok(())
    }
}
