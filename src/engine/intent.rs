//! The intent to collect a charge: reference, key and body, frozen before anything is sent.

use crate::clock::Instant;
use crate::domain::money::Currency;
use crate::engine::rules::Rules;
use crate::gateway::payments::{Customer, FirstPayment, FrozenBody, LaterPayment, Order, Terminal, digest};
use crate::store::attempts::NewAttempt;
use crate::store::charges::CollectableRow;

/// What every attempt of one charge says.
#[derive(Debug, Clone)]
pub(super) struct Owed<'a> {
    pub charge_id: i64,
    pub subscription_reference: &'a str,
    pub period_index: i64,
    pub reference: &'a str,
    pub amount_minor: i64,
    pub currency: Currency,
    pub plan_name: &'a str,
    pub description: &'a str,
    pub customer_id: i64,
    pub customer_name: Option<&'a str>,
    pub customer_email: Option<&'a str>,
    pub country: &'a str,
}

impl Owed<'_> {
    /// Attempt `n`, charging a saved source.
    pub fn later(&self, rules: &Rules, source_id: &str, n: i64, next_at: Instant) -> NewAttempt {
        let body = FrozenBody::later(&LaterPayment {
            order: self.order(rules, n),
            source_id: source_id.to_owned(),
            merchant_initiated: rules.gateway.merchant_initiated,
        });
        self.attempt(rules, "recurring", body, n, next_at)
    }

    /// Attempt `n`, which the customer approves at `terminal`.
    pub fn first(&self, rules: &Rules, terminal: Terminal, n: i64, next_at: Instant) -> NewAttempt {
        let body = FrozenBody::first(&FirstPayment {
            order: self.order(rules, n),
            terminal,
            success_url: rules.gateway.success_url.clone(),
            failure_url: rules.gateway.failure_url.clone(),
        });
        self.attempt(rules, "first", body, n, next_at)
    }

    fn order(&self, rules: &Rules, n: i64) -> Order {
        Order {
            amount_minor: self.amount_minor,
            currency: self.currency,
            reference: self.reference.to_owned(),
            description: self.description.to_owned(),
            plan: self.plan_name.to_owned(),
            country: self.country.to_owned(),
            processing_channel_id: rules.gateway.processing_channel_id.clone(),
            ledger: rules.ledger.to_string(),
            subscription: self.subscription_reference.to_owned(),
            period: self.period_index,
            attempt: n,
        }
    }

    fn attempt(&self, rules: &Rules, kind: &'static str, body: FrozenBody, n: i64, next_at: Instant) -> NewAttempt {
        let customer =
            Customer { name: self.customer_name.map(str::to_owned), email: self.customer_email.map(str::to_owned) };
        NewAttempt {
            charge_id: self.charge_id,
            n,
            idempotency_key: rules.ledger.idempotency_key(self.reference, n),
            kind,
            customer_id: self.customer_id,
            body_digest: digest(&body.with_customer(&customer)),
            body: body.as_str().to_owned(),
            next_at,
        }
    }
}

impl CollectableRow {
    /// What every further attempt of it says.
    pub(super) fn owed(&self, currency: Currency) -> Owed<'_> {
        Owed {
            charge_id: self.charge_id,
            subscription_reference: &self.subscription_reference,
            period_index: self.period_index,
            reference: &self.reference,
            amount_minor: self.amount_minor,
            currency,
            plan_name: &self.plan_name,
            description: &self.description,
            customer_id: self.customer_id,
            customer_name: self.customer_name.as_deref(),
            customer_email: self.customer_email.as_deref(),
            country: &self.country,
        }
    }
}
