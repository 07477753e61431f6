//! The books: what the sandbox really did, for a test to hold against what the client believes. Snapshots, not views.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::State;
use super::keys::RuleBreaches;
use super::payment::{Payment, Status, response};
use crate::clock::Instant;

/// Everything, at one instant.
#[derive(Debug, Clone, Serialize)]
pub struct Books {
    /// The instant, by the sandbox's clock.
    pub taken_at: Instant,
    /// Every payment, oldest first.
    pub payments: Vec<BookedPayment>,
    /// How often each idempotency key was sent.
    pub key_sends: BTreeMap<String, u32>,
    /// Request fields the sandbox does not know, with how often they came: usually misspelt names.
    pub unknown_fields: BTreeMap<String, u64>,
    /// Sends that a careful client never makes.
    pub rule_breaches: RuleBreaches,
}

/// One payment in the books.
#[derive(Debug, Clone, Serialize)]
pub struct BookedPayment {
    /// `pay_…`.
    pub id: String,
    /// The merchant's reference.
    pub reference: String,
    /// The status.
    pub status: Status,
    /// The response code, once it has ended.
    pub response_code: Option<String>,
    /// What was asked, in minor units.
    pub amount_minor: i64,
    /// What was taken; refunds are not deducted.
    pub captured_minor: i64,
    /// What was given back.
    pub refunded_minor: i64,
    /// Three letters.
    pub currency: String,
    /// `Regular` or `Recurring`.
    pub payment_type: String,
    /// The source it made or used.
    pub source_id: Option<String>,
    /// The customer's e-mail address.
    pub customer_email: Option<String>,
    /// The request's metadata.
    pub metadata: Map<String, Value>,
    /// The key that made it.
    pub idempotency_key: Option<String>,
    /// When it was made.
    pub requested_at: Instant,
}

/// Counts and sums only.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The instant, by the sandbox's clock.
    pub taken_at: Instant,
    /// How many payments there are.
    pub payments: u64,
    /// By status and currency.
    pub lines: Vec<SummaryLine>,
    /// How many references were captured more than once: double charges.
    pub references_captured_twice: u64,
    /// How many unknown request fields came.
    pub unknown_fields: u64,
    /// Sends that a careful client never makes.
    pub rule_breaches: RuleBreaches,
}

/// The payments of one status and currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SummaryLine {
    /// The status.
    pub status: Status,
    /// Three letters.
    pub currency: String,
    /// How many.
    pub count: u64,
    /// What was asked, in minor units.
    pub amount_minor: i64,
    /// What was taken; refunds are not deducted.
    pub captured_minor: i64,
    /// What was given back.
    pub refunded_minor: i64,
}

impl Books {
    pub(super) fn of(state: &State, now: Instant) -> Books {
        Books {
            taken_at: now,
            payments: state.ledger.payments().iter().map(|payment| BookedPayment::of(payment, now)).collect(),
            key_sends: state.keys.sends().map(|(key, sends)| (key.to_owned(), sends)).collect(),
            unknown_fields: state.unknown_fields.clone(),
            rule_breaches: state.keys.breaches.clone(),
        }
    }

    /// How many payments each reference captured; those with none are left out.
    pub fn captures_by_reference(&self) -> BTreeMap<&str, usize> {
        let mut captures = BTreeMap::new();
        for payment in self.payments.iter().filter(|payment| payment.captured_minor > 0) {
            *captures.entry(payment.reference.as_str()).or_default() += 1;
        }
        captures
    }

    /// What was taken in a currency, refunds not deducted.
    pub fn captured_minor(&self, currency: &str) -> i64 {
        self.in_currency(currency).map(|payment| payment.captured_minor).sum()
    }

    /// What was given back in a currency.
    pub fn refunded_minor(&self, currency: &str) -> i64 {
        self.in_currency(currency).map(|payment| payment.refunded_minor).sum()
    }

    fn in_currency(&self, currency: &str) -> impl Iterator<Item = &BookedPayment> {
        self.payments.iter().filter(move |payment| payment.currency == currency)
    }
}

impl BookedPayment {
    pub(super) fn of(payment: &Payment, now: Instant) -> Self {
        BookedPayment {
            id: payment.id.clone(),
            reference: payment.reference.clone(),
            status: payment.status(now),
            response_code: payment.ended(now).map(|(_, outcome)| response(outcome).0.to_owned()),
            amount_minor: payment.amount_minor,
            captured_minor: payment.captured_minor(now),
            refunded_minor: payment.refunded_minor(now),
            currency: payment.currency.clone(),
            payment_type: payment.payment_type.as_str().to_owned(),
            source_id: payment.source_id.clone(),
            customer_email: payment.customer.email.clone(),
            metadata: payment.metadata.clone(),
            idempotency_key: payment.idempotency_key.clone(),
            requested_at: payment.requested_at,
        }
    }
}

impl Summary {
    /// One pass over the payments that copies none of them.
    pub(super) fn of(state: &State, now: Instant) -> Summary {
        let mut lines: Vec<SummaryLine> = Vec::new();
        for payment in state.ledger.payments() {
            let status = payment.status(now);
            let index = lines.iter().position(|line| line.status == status && line.currency == payment.currency);
            let index = index.unwrap_or_else(|| {
                lines.push(SummaryLine::empty(status, payment.currency.clone()));
                lines.len() - 1
            });
            let line = &mut lines[index];
            line.count += 1;
            line.amount_minor += payment.amount_minor;
            line.captured_minor += payment.captured_minor(now);
            line.refunded_minor += payment.refunded_minor(now);
        }
        lines.sort_by(|a, b| (a.status, &a.currency).cmp(&(b.status, &b.currency)));
        let twice = |payments: &mut dyn Iterator<Item = &Payment>| {
            payments.filter(|payment| payment.captured_minor(now) > 0).nth(1).is_some()
        };
        let reused = state.ledger.reused_references();
        let captured_twice = reused.filter_map(|(_, mut payments)| twice(&mut payments).then_some(())).count();
        Summary {
            taken_at: now,
            payments: lines.iter().map(|line| line.count).sum(),
            lines,
            references_captured_twice: u64::try_from(captured_twice).unwrap_or(u64::MAX),
            unknown_fields: state.unknown_fields.values().sum(),
            rule_breaches: state.keys.breaches.clone(),
        }
    }
}

impl SummaryLine {
    fn empty(status: Status, currency: String) -> Self {
        SummaryLine { status, currency, count: 0, amount_minor: 0, captured_minor: 0, refunded_minor: 0 }
    }
}
