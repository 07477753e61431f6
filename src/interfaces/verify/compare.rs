//! What differs between the payments of one reference in our books and at the gateway. Pure.

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::domain::integrity::Severity;
use crate::domain::word::words;
use crate::gateway::outcome::Payment;
use crate::store::charges::{BookedRow, ComparedRow};

/// A live attempt whose next look is later than this long ago is at work on what differs.
const LOOKS_WITHIN: TimeDelta = TimeDelta::hours(1);

words! {
    /// In what the two sides differ.
    DifferenceKind is a "difference" {
        /// Two payments of the period hold money at the gateway.
        CapturedTwice = "captured_twice",
        /// The gateway has a payment that the books do not know.
        NotHere = "not_here",
        /// The gateway has a payment of a period that has begun and that the books have not opened.
        NotOpened = "not_opened",
        /// The books know a payment that the gateway does not show.
        NotThere = "not_there",
        /// The status is another.
        StatusDiffers = "status_differs",
        /// The amount or the currency is another.
        AmountDiffers = "amount_differs",
        /// What was taken is another sum.
        CapturedDiffers = "captured_differs",
        /// What was given back is another sum.
        RefundDiffers = "refund_differs",
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what.
    pub kind: DifferenceKind,
    /// Of which payment.
    pub payment_id: String,
    /// Both figures, in words.
    pub detail: String,
}

impl DifferenceKind {
    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            DifferenceKind::CapturedTwice
            | DifferenceKind::NotHere
            | DifferenceKind::NotOpened
            | DifferenceKind::NotThere
            | DifferenceKind::AmountDiffers
            | DifferenceKind::CapturedDiffers => Severity::Critical,
            DifferenceKind::StatusDiffers => Severity::Error,
            DifferenceKind::RefundDiffers => Severity::Warning,
        }
    }

    /// What to do first.
    pub const fn next_step(self) -> &'static str {
        match self {
            DifferenceKind::CapturedTwice => "refund the payment that does not count, at the gateway",
            DifferenceKind::NotHere => {
                "was an old backup restored, or does another system use this account? Read `dues ledger show`"
            }
            DifferenceKind::NotOpened => {
                "was an old backup restored? Then go on as docs/restore.md says: a daemon adopts it before it would charge the period"
            }
            DifferenceKind::NotThere => "check that gateway.url and the key belong to the account of this payment",
            DifferenceKind::StatusDiffers | DifferenceKind::CapturedDiffers => {
                "read `dues charge show`: dues looks at it no more, so a person must settle it with the gateway's support"
            }
            DifferenceKind::AmountDiffers => "compare the payment in the gateway's dashboard with the charge",
            DifferenceKind::RefundDiffers => {
                "a refund was made at the gateway that dues has not read yet; note it for finance"
            }
        }
    }
}

impl Difference {
    /// Whether a daemon is about to learn of it: an attempt is live and looked at in time, or the payment is so young that the
    /// gateway need not show it yet. Money that was taken twice is never let pass.
    pub(super) fn may_pass(
        &self,
        charge: &ComparedRow,
        ours: &[BookedRow],
        now: Instant,
        settle_wait: TimeDelta,
    ) -> bool {
        let young =
            |row: &BookedRow| row.gateway_payment_id == self.payment_id && row.first_seen_at + settle_wait > now;
        match self.kind {
            DifferenceKind::CapturedTwice | DifferenceKind::AmountDiffers | DifferenceKind::RefundDiffers => false,
            DifferenceKind::NotThere if ours.iter().any(young) => true,
            DifferenceKind::NotThere | DifferenceKind::NotOpened => false,
            DifferenceKind::NotHere | DifferenceKind::StatusDiffers | DifferenceKind::CapturedDiffers => {
                charge.live_next_at.is_some_and(|next| next + LOOKS_WITHIN >= now)
            }
        }
    }
}

/// Every difference between what is booked for a charge and what the gateway lists under its reference.
pub(super) fn differences(ours: &[BookedRow], theirs: &[Payment]) -> Vec<Difference> {
    let mut found = Vec::new();
    let kept: Vec<&Payment> = theirs.iter().filter(|it| kept_minor(it) > 0).collect();
    if kept.len() > 1 {
        let ids: Vec<&str> = kept.iter().map(|it| it.id.as_str()).collect();
        for payment in &kept {
            let detail = format!("{} payments of this period hold money: {}", kept.len(), ids.join(", "));
            found.push(Difference { kind: DifferenceKind::CapturedTwice, payment_id: payment.id.clone(), detail });
        }
    }
    for payment in theirs {
        match ours.iter().find(|row| row.gateway_payment_id == payment.id) {
            Some(row) => found.extend(between(row, payment)),
            None => found.push(Difference {
                kind: DifferenceKind::NotHere,
                payment_id: payment.id.clone(),
                detail: format!("the gateway has it as {}, {}", payment.status.word(), figures(payment)),
            }),
        }
    }
    for row in ours.iter().filter(|row| !theirs.iter().any(|payment| payment.id == row.gateway_payment_id)) {
        let detail = format!("the books have it as {}, and the gateway does not list it", row.status);
        let payment_id = row.gateway_payment_id.clone();
        found.push(Difference { kind: DifferenceKind::NotThere, payment_id, detail });
    }
    found
}

/// Every difference where the gateway lists these payments for a period that has no row in the books.
pub(super) fn not_opened(theirs: &[Payment]) -> Vec<Difference> {
    let mut found = differences(&[], theirs);
    found.retain(|it| it.kind == DifferenceKind::CapturedTwice);
    found.extend(theirs.iter().map(|payment| Difference {
        kind: DifferenceKind::NotOpened,
        payment_id: payment.id.clone(),
        detail: format!(
            "the gateway has {} as {}, {}, for a period that these books have not opened",
            payment.id,
            payment.status.word(),
            figures(payment)
        ),
    }));
    found
}

fn between(row: &BookedRow, payment: &Payment) -> Vec<Difference> {
    let differs = |kind, what: &str, ours: &str, theirs: &str| {
        let detail = format!("{what} is {ours} here, {theirs} there");
        Some(Difference { kind, payment_id: payment.id.clone(), detail }).filter(|_| ours != theirs)
    };
    let minor = |kind, what, ours: Option<i64>, theirs: Option<i64>| {
        let (ours, theirs) = ours.zip(theirs)?;
        differs(kind, what, &ours.to_string(), &theirs.to_string())
    };
    // A refund moves the status too; it is one difference.
    let refunded = payment.refunded_minor.is_some_and(|theirs| theirs != row.refunded_minor);
    let taken = Some(payment.taken_minor().unwrap_or(0));
    let status = if refunded && taken == Some(row.captured_minor) { payment.status.word() } else { &row.status };
    let currency = row.currency.as_deref().zip(payment.currency.as_deref());
    [
        differs(DifferenceKind::StatusDiffers, "the status", status, payment.status.word()),
        minor(DifferenceKind::AmountDiffers, "the amount", row.amount_minor, payment.amount_minor),
        currency.and_then(|(ours, theirs)| differs(DifferenceKind::AmountDiffers, "the currency", ours, theirs)),
        minor(DifferenceKind::CapturedDiffers, "what was taken", Some(row.captured_minor), taken),
        minor(DifferenceKind::RefundDiffers, "what was given back", Some(row.refunded_minor), payment.refunded_minor),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the merchant still holds of a payment.
fn kept_minor(payment: &Payment) -> i64 {
    payment.taken_minor().unwrap_or(0).saturating_sub(payment.refunded_minor.unwrap_or(0))
}

fn figures(payment: &Payment) -> String {
    let currency = payment.currency.as_deref().unwrap_or("unknown currency");
    let amount = payment.amount_minor.map_or("unknown amount".to_owned(), |minor| minor.to_string());
    format!("{currency} {amount} (minor units), {} taken", payment.taken_minor().unwrap_or(0))
}
