//! One payment as the sandbox keeps it. Nothing happens to it by itself: what it is, is computed from its course and the time asked for.

use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::script::Outcome;
use super::script::cast::Facts;
use crate::clock::Instant;

/// A payment, its refunds, and its future.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) session_id: String,
    pub(super) authorization_id: String,
    pub(super) capture_id: String,
    pub(super) amount_minor: i64,
    pub(super) currency: String,
    pub(super) payment_type: PaymentType,
    pub(super) reference: String,
    pub(super) description: Option<String>,
    pub(super) customer: Customer,
    pub(super) items: Option<Value>,
    pub(super) shipping: Option<Value>,
    pub(super) metadata: Map<String, Value>,
    /// The source it made (first payment, `Recurring`) or used (later payment).
    pub(super) source_id: Option<String>,
    /// Where a present customer is sent afterwards; none for a later payment.
    pub(super) returns: Option<Returns>,
    pub(super) idempotency_key: Option<String>,
    pub(super) requested_at: Instant,
    pub(super) course: Course,
    pub(super) read_from: Instant,
    pub(super) lookup_from: Instant,
    pub(super) refunds: Vec<Refund>,
}

/// Whether a payment's source may be charged again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PaymentType {
    /// It may not.
    Regular,
    /// It may: a first payment makes a source, a later one uses it.
    Recurring,
}

impl PaymentType {
    /// The gateway's word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            PaymentType::Regular => "Regular",
            PaymentType::Recurring => "Recurring",
        }
    }
}

/// The customer, with the ids the gateway and the wallet gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
    pub(super) partner_id: String,
}

/// Where the wallet sends the customer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Returns {
    pub(super) success_url: String,
    pub(super) failure_url: String,
}

/// What will become of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Course {
    /// The customer has until this instant to decide.
    Awaits { until: Instant },
    /// It ends so, at this instant.
    Ends { at: Instant, outcome: Outcome },
}

/// A refund that was accepted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refund {
    pub(super) action_id: String,
    pub(super) amount_minor: i64,
    pub(super) reference: Option<String>,
    pub(super) settles_at: Instant,
}

/// A payment's status, as the gateway spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Status {
    /// No outcome yet.
    Pending,
    /// The money was taken.
    Captured,
    /// Refused.
    Declined,
    /// The customer went back.
    Canceled,
    /// Nobody acted in time.
    Expired,
    /// A part was given back.
    #[serde(rename = "Partially Refunded")]
    PartiallyRefunded,
    /// All was given back.
    Refunded,
}

impl Status {
    /// The gateway's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "Pending",
            Status::Captured => "Captured",
            Status::Declined => "Declined",
            Status::Canceled => "Canceled",
            Status::Expired => "Expired",
            Status::PartiallyRefunded => "Partially Refunded",
            Status::Refunded => "Refunded",
        }
    }
}

impl Payment {
    /// How it has ended by `now`, and when; none while it is pending.
    pub(super) fn ended(&self, now: Instant) -> Option<(Instant, &Outcome)> {
        match &self.course {
            Course::Awaits { until } => (*until <= now).then_some((*until, &Outcome::Expire)),
            Course::Ends { outcome: Outcome::Pending, .. } => None,
            Course::Ends { at, outcome } => (*at <= now).then_some((*at, outcome)),
        }
    }

    /// Whether the customer may still decide at `now`.
    pub(super) fn awaits_customer(&self, now: Instant) -> bool {
        matches!(self.course, Course::Awaits { until } if now < until)
    }

    /// The status at `now`.
    pub(super) fn status(&self, now: Instant) -> Status {
        match self.ended(now) {
            None => Status::Pending,
            Some((_, Outcome::Pending)) => Status::Pending,
            Some((_, Outcome::Decline(_))) => Status::Declined,
            Some((_, Outcome::Cancel)) => Status::Canceled,
            Some((_, Outcome::Expire)) => Status::Expired,
            Some((_, Outcome::Capture)) => match self.refunded_minor(now) {
                0 => Status::Captured,
                refunded if refunded < self.amount_minor => Status::PartiallyRefunded,
                _ => Status::Refunded,
            },
        }
    }

    /// What was taken by `now`, refunds not deducted.
    pub(super) fn captured_minor(&self, now: Instant) -> i64 {
        if matches!(self.ended(now), Some((_, Outcome::Capture))) { self.amount_minor } else { 0 }
    }

    /// What was given back by `now`.
    pub(super) fn refunded_minor(&self, now: Instant) -> i64 {
        self.refunds.iter().filter(|refund| refund.settles_at <= now).map(|refund| refund.amount_minor).sum()
    }

    /// What can still be given back at `now`: accepted refunds count from their acceptance.
    pub(super) fn refundable_minor(&self, now: Instant) -> i64 {
        self.captured_minor(now) - self.refunds.iter().map(|refund| refund.amount_minor).sum::<i64>()
    }

    /// What a rule may ask about.
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            customer: self.customer.email.as_deref(),
            source: self.source_id.as_deref(),
            reference: Some(&self.reference),
            amount_minor: Some(self.amount_minor),
            subscription: self.metadata.get("subscription").and_then(Value::as_str),
        }
    }
}

/// The response code of an outcome, and the gateway's words for it.
pub(super) fn response(outcome: &Outcome) -> (&str, &'static str) {
    match outcome {
        Outcome::Capture => ("10000", "Approved"),
        Outcome::Cancel => ("20017", "Customer Cancellation"),
        Outcome::Expire => ("20068", "Response Received Too Late / Timeout"),
        Outcome::Pending => ("20118", "Transaction Pending"),
        Outcome::Decline(code) => (
            code,
            match code.as_str() {
                "20005" => "Declined - Do Not Honour",
                "20017" => "Customer Cancellation",
                "20051" => "Insufficient Funds",
                "20061" => "Activity Amount Limit Exceeded",
                "20101" => "Invalid Token",
                "20120" => "Invalid Customer",
                "200R1" | "200R3" => "Stop Payment Order",
                _ => "Declined",
            },
        ),
    }
}

/// `at` and a while; the end of time where that is too far.
pub(super) fn later(at: Instant, by: Duration) -> Instant {
    TimeDelta::from_std(by).ok().and_then(|by| at.checked_add_signed(by)).unwrap_or(Instant::MAX_UTC)
}
