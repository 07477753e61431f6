//! What the sandbox writes: payments, actions and refunds as Checkout.com shows them.

use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::{Map, Value};

use super::payment::{Customer, Payment, Refund, response};
use super::script::Outcome;
use super::settings::Settings;
use crate::clock::Instant;

/// The answer to `POST /payments`.
#[derive(Debug, Serialize)]
pub(super) struct Accepted<'a> {
    id: &'a str,
    status: &'static str,
    reference: &'a str,
    customer: CustomerShown<'a>,
    source: SourceShown<'a>,
    #[serde(rename = "_links")]
    links: Links,
}

/// A payment in full, the answer to a read.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    id: &'a str,
    requested_on: String,
    source: SourceShown<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<&'a Value>,
    amount: i64,
    currency: &'a str,
    payment_type: &'a str,
    reference: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    status: &'a str,
    approved: bool,
    balances: Balances,
    customer: CustomerShown<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping: Option<&'a Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: &'a Map<String, Value>,
    processing: Processing<'a>,
    #[serde(rename = "_links")]
    links: Links,
}

/// One action of a payment.
#[derive(Debug, Serialize)]
pub(super) struct Action<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    processed_on: String,
    amount: i64,
    approved: bool,
    response_code: &'a str,
    response_summary: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
}

/// A page of a look-up.
#[derive(Debug, Serialize)]
pub(super) struct Found<'a> {
    pub(super) limit: usize,
    pub(super) skip: usize,
    pub(super) total_count: usize,
    pub(super) data: Vec<Shown<'a>>,
}

/// The answer to a refund.
#[derive(Debug, Serialize)]
pub(super) struct RefundAccepted<'a> {
    action_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(rename = "_links")]
    links: Links,
}

#[derive(Debug, Serialize)]
struct CustomerShown<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct SourceShown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Balances {
    total_authorized: i64,
    total_voided: i64,
    available_to_void: i64,
    total_captured: i64,
    available_to_capture: i64,
    total_refunded: i64,
    available_to_refund: i64,
}

#[derive(Debug, Serialize)]
struct Processing<'a> {
    partner_customer_id: &'a str,
}

#[derive(Debug, Default, Serialize)]
struct Links {
    #[serde(rename = "self", skip_serializing_if = "Option::is_none")]
    own: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actions: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<Link>,
}

#[derive(Debug, Serialize)]
struct Link {
    href: String,
}

impl<'a> Accepted<'a> {
    /// A payment that was just made: pending, whatever will become of it.
    pub(super) fn of(payment: &'a Payment, settings: &Settings) -> Self {
        let redirect = payment.returns.as_ref().map(|_| link(settings, "pay", &payment.id, ""));
        Accepted {
            id: &payment.id,
            status: "Pending",
            reference: &payment.reference,
            customer: CustomerShown::of(&payment.customer),
            source: SourceShown { id: payment.source_id.as_deref(), kind: "alipay_hk" },
            links: Links { own: Some(link(settings, "payments", &payment.id, "")), redirect, ..Links::default() },
        }
    }
}

impl<'a> Shown<'a> {
    /// The payment as it stands at `now`; `status` where a rule makes one up.
    pub(super) fn of(payment: &'a Payment, status: Option<&'a str>, settings: &Settings, now: Instant) -> Self {
        let captured = payment.captured_minor(now);
        let refundable = payment.refundable_minor(now).max(0);
        let refund = (refundable > 0).then(|| link(settings, "payments", &payment.id, "/refunds"));
        Shown {
            id: &payment.id,
            requested_on: written(payment.requested_at),
            source: SourceShown {
                id: payment.source_id.as_deref().filter(|_| settings.show_source_id_in_get),
                kind: "alipay_hk",
            },
            items: payment.items.as_ref(),
            amount: payment.amount_minor,
            currency: &payment.currency,
            payment_type: payment.payment_type.as_str(),
            reference: &payment.reference,
            description: payment.description.as_deref(),
            status: status.unwrap_or_else(|| payment.status(now).as_str()),
            approved: captured > 0,
            balances: Balances {
                total_authorized: captured,
                total_voided: 0,
                available_to_void: 0,
                total_captured: captured,
                available_to_capture: 0,
                total_refunded: payment.refunded_minor(now),
                available_to_refund: refundable,
            },
            customer: CustomerShown::of(&payment.customer),
            shipping: payment.shipping.as_ref(),
            metadata: &payment.metadata,
            processing: Processing { partner_customer_id: &payment.customer.partner_id },
            links: Links {
                own: Some(link(settings, "payments", &payment.id, "")),
                actions: Some(link(settings, "payments", &payment.id, "/actions")),
                refund,
                ..Links::default()
            },
        }
    }
}

impl<'a> Action<'a> {
    /// What was done about a payment by `now`, newest first. Only here is a decline's code to be had.
    pub(super) fn all_of(payment: &'a Payment, now: Instant) -> Vec<Action<'a>> {
        let refunds = payment.refunds.iter().rev().filter(|refund| refund.settles_at <= now);
        let mut actions: Vec<_> = refunds.map(Action::refund).collect();
        // A payment has at least one action from the start, says the specification of the API. That it is an authorisation
        // that waits is our reading.
        let (at, outcome) = payment.ended(now).unwrap_or((payment.requested_at, &Outcome::Pending));
        let (response_code, response_summary) = response(outcome);
        let approved = *outcome == Outcome::Capture;
        let of_kind = |kind, id| Action {
            id,
            kind,
            processed_on: written(at),
            amount: payment.amount_minor,
            approved,
            response_code,
            response_summary,
            reference: Some(&payment.reference),
        };
        if approved {
            actions.push(of_kind("Capture", &payment.capture_id));
        }
        actions.push(of_kind("Authorization", &payment.authorization_id));
        actions
    }

    fn refund(refund: &'a Refund) -> Self {
        Action {
            id: &refund.action_id,
            kind: "Refund",
            processed_on: written(refund.settles_at),
            amount: refund.amount_minor,
            approved: true,
            response_code: "10000",
            response_summary: "Approved",
            reference: refund.reference.as_deref(),
        }
    }
}

impl<'a> RefundAccepted<'a> {
    /// A refund that was just accepted.
    pub(super) fn of(payment: &Payment, refund: &'a Refund, settings: &Settings) -> Self {
        let payment = Some(link(settings, "payments", &payment.id, ""));
        RefundAccepted {
            action_id: &refund.action_id,
            reference: refund.reference.as_deref(),
            links: Links { payment, ..Links::default() },
        }
    }
}

impl<'a> CustomerShown<'a> {
    fn of(customer: &'a Customer) -> Self {
        CustomerShown { id: &customer.id, email: customer.email.as_deref(), name: customer.name.as_deref() }
    }
}

fn link(settings: &Settings, folder: &str, id: &str, rest: &str) -> Link {
    Link { href: format!("{}/{folder}/{id}{rest}", settings.public_url.trim_end_matches('/')) }
}

fn written(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
