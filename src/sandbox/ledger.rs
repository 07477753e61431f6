//! Everything the sandbox has promised: payments by id and by reference, sources, customers. Found by index, never by search.

use std::collections::HashMap;

use super::exchange::Refusal;
use super::names::Names;
use super::order::{OrderCustomer, OrderSource, PaymentOrder, RefundOrder};
use super::payment::{Course, Customer, Payment, PaymentType, Refund, Returns, Status, later};
use super::script::Outcome;
use super::script::cast::Cast;
use super::settings::Settings;
use crate::clock::Instant;

/// The response code of a charge on a source that is not, or no longer, authorised.
pub(super) const NO_SUCH_SOURCE: &str = "20101";
/// The response code where the customer declined on the wallet's page.
pub(super) const REFUSED_BY_CUSTOMER: &str = "20017";
/// So many refunds a payment takes.
const MOST_REFUNDS: usize = 150;

/// Payments in the order in which they came, and the ways to find them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    payments: Vec<Payment>,
    by_id: HashMap<String, usize>,
    by_session: HashMap<String, usize>,
    by_reference: HashMap<String, Vec<usize>>,
    /// Sources made here, with the first payment each came from.
    sources: HashMap<String, usize>,
    revoked: HashMap<String, Instant>,
    customers_by_email: HashMap<String, Customer>,
}

impl Ledger {
    /// The ledger that these payments made, in the order in which they came. None where two bear the same id.
    pub(super) fn of(payments: Vec<Payment>, revoked: HashMap<String, Instant>) -> Option<Ledger> {
        let mut ledger = Ledger { revoked, ..Ledger::default() };
        for payment in payments {
            let index = ledger.payments.len();
            if ledger.by_id.insert(payment.id.clone(), index).is_some() {
                return None;
            }
            if payment.returns.is_some() {
                ledger.by_session.insert(payment.session_id.clone(), index);
                ledger.sources.extend(payment.source_id.clone().map(|source_id| (source_id, index)));
            }
            ledger.by_reference.entry(payment.reference.clone()).or_default().push(index);
            if let Some(email) = &payment.customer.email
                && ledger.customers_by_email.get(email).is_none_or(|known| known.id != payment.customer.id)
            {
                ledger.customers_by_email.insert(email.clone(), payment.customer.clone());
            }
            ledger.payments.push(payment);
        }
        Some(ledger)
    }

    /// Makes a payment. All that will become of it is decided here, so that nothing depends on who looks when.
    pub(super) fn open(
        &mut self,
        order: PaymentOrder,
        key: Option<&str>,
        cast: &mut Cast,
        settings: &Settings,
        names: &Names,
        now: Instant,
    ) -> &Payment {
        let course = self.course(&order, cast, settings, names, now);
        let (lookup_lag, read_lag) = cast.lag(&order.facts(), now, names);
        let index = self.payments.len();
        let id = names.id("pay_");
        let session_id = names.id("sid_");
        let (returns, source_id) = match order.source {
            OrderSource::Kept { source_id } => (None, Some(source_id)),
            OrderSource::Wallet { success_url, failure_url } => {
                self.by_session.insert(session_id.clone(), index);
                let source_id = (order.payment_type == PaymentType::Recurring).then(|| names.id("src_"));
                if let Some(source_id) = &source_id {
                    self.sources.insert(source_id.clone(), index);
                }
                (Some(Returns { success_url, failure_url }), source_id)
            }
        };
        let customer = self.customer(order.customer, names);
        self.by_id.insert(id.clone(), index);
        match self.by_reference.get_mut(&order.reference) {
            Some(indexes) => indexes.push(index),
            None => drop(self.by_reference.insert(order.reference.clone(), vec![index])),
        }
        self.payments.push(Payment {
            id,
            session_id,
            authorization_id: names.id("act_"),
            capture_id: names.id("act_"),
            amount_minor: order.amount_minor,
            currency: order.currency,
            payment_type: order.payment_type,
            reference: order.reference,
            description: order.description,
            customer,
            items: order.items,
            shipping: order.shipping,
            metadata: order.metadata,
            source_id,
            returns,
            idempotency_key: key.map(str::to_owned),
            requested_at: now,
            course,
            read_from: later(now, read_lag.unwrap_or(settings.read_lag)),
            lookup_from: later(now, lookup_lag.unwrap_or(settings.lookup_lag)),
            refunds: Vec::new(),
        });
        &self.payments[index]
    }

    fn course(
        &self,
        order: &PaymentOrder,
        cast: &mut Cast,
        settings: &Settings,
        names: &Names,
        now: Instant,
    ) -> Course {
        let (outcome, after) = cast.settlement(&order.facts(), now, names);
        let ends = |outcome| Course::Ends { at: later(now, after.unwrap_or(settings.settle_after)), outcome };
        match (&order.source, outcome) {
            (OrderSource::Wallet { .. }, None) => Course::Awaits { until: later(now, settings.approval_life) },
            (OrderSource::Wallet { .. }, Some(outcome)) => ends(outcome),
            (OrderSource::Kept { source_id }, outcome) => match outcome {
                // A dead authorisation cannot be scripted alive; every other outcome can be scripted.
                Some(Outcome::Capture) | None if !self.is_active(source_id, settings, now) => {
                    ends(Outcome::Decline(NO_SUCH_SOURCE.to_owned()))
                }
                outcome => ends(outcome.unwrap_or(Outcome::Capture)),
            },
        }
    }

    fn is_active(&self, source_id: &str, settings: &Settings, now: Instant) -> bool {
        if self.revoked.get(source_id).is_some_and(|at| *at <= now) {
            return false;
        }
        match self.sources.get(source_id) {
            None => settings.accept_unknown_sources,
            Some(first) => self.payments[*first].captured_minor(now) > 0,
        }
    }

    fn customer(&mut self, asked: OrderCustomer, names: &Names) -> Customer {
        let OrderCustomer { id, email, name } = asked;
        let known = email.as_ref().and_then(|email| self.customers_by_email.get(email));
        if let Some(known) = known.filter(|known| id.is_none() || id.as_ref() == Some(&known.id)) {
            return Customer { name: name.or_else(|| known.name.clone()), ..known.clone() };
        }
        let partner_id = format!("2102{:017}", self.payments.len());
        let customer = Customer { id: id.unwrap_or_else(|| names.id("cus_")), email: email.clone(), name, partner_id };
        if let Some(email) = email {
            self.customers_by_email.insert(email, customer.clone());
        }
        customer
    }

    /// The payment with this id, seen or not.
    pub(super) fn payment(&self, id: &str) -> Option<&Payment> {
        self.by_id.get(id).map(|index| &self.payments[*index])
    }

    /// The payment of a customer's session.
    pub(super) fn payment_of_session(&self, session_id: &str) -> Option<&Payment> {
        self.by_session.get(session_id).map(|index| &self.payments[*index])
    }

    /// The payments with this reference, newest first, those that are not yet visible left out.
    pub(super) fn with_reference(&self, reference: &str, now: Instant) -> impl DoubleEndedIterator<Item = &Payment> {
        let indexes = self.by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        indexes.iter().rev().map(|index| &self.payments[*index]).filter(move |payment| payment.lookup_from <= now)
    }

    /// The payments with this reference, oldest first, visible or not.
    pub(super) fn all_with_reference(&self, reference: &str) -> impl Iterator<Item = &Payment> {
        let indexes = self.by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        indexes.iter().map(|index| &self.payments[*index])
    }

    /// Every payment, in the order in which they came.
    pub(super) fn payments(&self) -> &[Payment] {
        &self.payments
    }

    /// The references that were used more than once, with their payments.
    pub(super) fn reused_references(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &Payment>)> {
        let reused = self.by_reference.iter().filter(|(_, indexes)| indexes.len() > 1);
        reused.map(|(reference, indexes)| (reference.as_str(), indexes.iter().map(|index| &self.payments[*index])))
    }

    /// The customer decides, where there is still something to decide. Says whether there was.
    pub(super) fn decide(&mut self, id: &str, outcome: Outcome, now: Instant) -> bool {
        let Some(payment) = self.by_id.get(id).map(|index| &mut self.payments[*index]) else { return false };
        let open = payment.awaits_customer(now);
        if open {
            payment.course = Course::Ends { at: now, outcome };
        }
        open
    }

    /// A payment that was declined is captured after all. Says whether it was.
    pub(super) fn overturn(&mut self, id: &str, now: Instant) -> bool {
        let Some(payment) = self.by_id.get(id).map(|index| &mut self.payments[*index]) else { return false };
        let declined = payment.status(now) == Status::Declined;
        if declined {
            payment.course = Course::Ends { at: now, outcome: Outcome::Capture };
        }
        declined
    }

    /// Whether this source was made or charged here. Asked so rarely that it needs no index of its own.
    pub(super) fn has_seen_source(&self, source_id: &str) -> bool {
        self.sources.contains_key(source_id)
            || self.revoked.contains_key(source_id)
            || self.payments.iter().any(|payment| payment.source_id.as_deref() == Some(source_id))
    }

    /// From `now` on, every new charge on this source is declined.
    pub(super) fn revoke(&mut self, source_id: &str, now: Instant) {
        self.revoked.insert(source_id.to_owned(), now);
    }

    /// The sources that were revoked, and when.
    pub(super) fn revoked(&self) -> &HashMap<String, Instant> {
        &self.revoked
    }

    /// Accepts a refund, and gives the payment with the refund as its last.
    pub(super) fn refund(
        &mut self,
        id: &str,
        order: RefundOrder,
        settings: &Settings,
        names: &Names,
        now: Instant,
    ) -> Result<(&Payment, &Refund), Refusal> {
        let index = *self.by_id.get(id).ok_or(Refusal::bare(404))?;
        let payment = &mut self.payments[index];
        match payment.status(now) {
            Status::Captured | Status::PartiallyRefunded => {}
            Status::Refunded => return Err(Refusal::invalid("amount_exceeds_balance")),
            Status::Pending | Status::Declined | Status::Canceled | Status::Expired => return Err(Refusal::bare(403)),
        }
        let amount_minor = order.amount_minor.unwrap_or(payment.amount_minor);
        if amount_minor > payment.refundable_minor(now) {
            return Err(Refusal::invalid("amount_exceeds_balance"));
        }
        if payment.refunds.len() >= MOST_REFUNDS {
            return Err(Refusal::bare(403));
        }
        payment.refunds.push(Refund {
            action_id: names.id("act_"),
            amount_minor,
            reference: order.reference,
            settles_at: later(now, settings.settle_after),
        });
        let payment = &self.payments[index];
        let refund = payment.refunds.last().expect("a refund was pushed a moment ago");
        Ok((payment, refund))
    }
}
