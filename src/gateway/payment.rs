//! A payment as the gateway tells of it, cleaned: only what we act on, every text bounded, nothing guessed.

use chrono::{DateTime, SubsecRound, Utc};

use super::wire::{ActionAnswer, PaymentAnswer, ProcessingAnswer, Scalar};
use crate::clock::Instant;
use crate::domain::money::Currency;

/// One payment at the gateway. What the answer did not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// `pay_…`
    pub id: String,
    /// How it stands.
    pub status: PaymentStatus,
    /// The reference it carries.
    pub reference: Option<String>,
    /// Minor units.
    pub amount_minor: Option<i64>,
    /// Three letters, as the gateway wrote them.
    pub currency: Option<String>,
    /// `src_…`, the source that later payments charge; the answer to a GET often lacks it.
    pub source_id: Option<String>,
    /// Where the customer approves a first payment.
    pub redirect_url: Option<String>,
    /// Why it was declined: `20051`, `200R1`.
    pub response_code: Option<String>,
    /// Words to `response_code`.
    pub response_summary: Option<String>,
    /// Whether it is declined and its code could not be read this time; a later look may tell.
    pub code_unread: bool,
    /// Money taken, in minor units.
    pub captured_minor: Option<i64>,
    /// Money given back, in minor units.
    pub refunded_minor: Option<i64>,
    /// When the gateway took the request.
    pub requested_on: Option<Instant>,
    /// The attempt's number, from the metadata.
    pub attempt_n: Option<i64>,
    /// The ledger, from the metadata.
    pub ledger: Option<String>,
    /// The merchant's own reference of the subscription, from the metadata.
    pub subscription: Option<String>,
    /// The period's index, from the metadata.
    pub period: Option<i64>,
    /// Whether the gateway says that it will try again by itself. Such a payment is pending, whatever else it says.
    pub retry_scheduled: bool,
    /// `Cko-Request-Id` of the exchange that told.
    pub request_id: Option<String>,
    /// The partner's code, to classify a decline that has no `response_code`.
    pub partner_code: Option<String>,
}

/// How a payment stands. A word that we do not know is neither success nor failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentStatus {
    /// Taken, outcome unknown.
    Pending,
    /// Approved, capture under way.
    Authorized,
    /// Money taken.
    Captured,
    /// A part of the money taken: never expected of this wallet.
    PartiallyCaptured,
    /// Refused.
    Declined,
    /// The customer cancelled on the wallet's page.
    Canceled,
    /// Never completed in time.
    Expired,
    /// A part given back.
    PartiallyRefunded,
    /// All given back.
    Refunded,
    /// Withdrawn before capture.
    Voided,
    /// The gateway will try again by itself.
    RetryScheduled,
    /// Another word, or none (empty).
    Other(String),
}

/// What we asked for, against which an answer is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Our reference.
    pub reference: String,
    /// Minor units.
    pub amount_minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// Why a payment was declined, from its actions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclineCode {
    /// `20051`, `200R1`; none where no declined action bears one.
    pub response_code: Option<String>,
    /// Words to it.
    pub response_summary: Option<String>,
}

/// In what `payment` differs from what we asked for; empty where it does not. One sentence part each, fit for an operator.
///
/// A field that is there must be equal, in every status. Where money moved, reference, amount and currency must be there too,
/// and the captured total, where told, must be the amount: a success that does not say of what is not acted on.
pub fn differences(payment: &Payment, expected: &Expected) -> Vec<String> {
    let mut found = Vec::new();
    let strict = payment.status.took_the_whole();
    let mut compare = |name: &str, theirs: Option<String>, ours: String| match theirs {
        Some(theirs) if theirs == ours => {}
        Some(theirs) => found.push(format!("{name} is {theirs}, expected {ours}")),
        None if strict => found.push(format!("{name} is missing, expected {ours}")),
        None => {}
    };
    compare("reference", payment.reference.clone(), expected.reference.clone());
    compare("amount", payment.amount_minor.map(|amount| amount.to_string()), expected.amount_minor.to_string());
    compare("currency", payment.currency.clone(), expected.currency.code().to_owned());
    if let (true, Some(captured)) = (strict, payment.captured_minor) {
        compare("captured total", Some(captured.to_string()), expected.amount_minor.to_string());
    }
    found
}

impl PaymentStatus {
    /// The status behind the gateway's word.
    pub fn from_word(word: &str) -> Self {
        match word {
            "Pending" => PaymentStatus::Pending,
            "Authorized" => PaymentStatus::Authorized,
            "Captured" => PaymentStatus::Captured,
            "Partially Captured" => PaymentStatus::PartiallyCaptured,
            "Declined" => PaymentStatus::Declined,
            "Canceled" => PaymentStatus::Canceled,
            "Expired" => PaymentStatus::Expired,
            "Partially Refunded" => PaymentStatus::PartiallyRefunded,
            "Refunded" => PaymentStatus::Refunded,
            "Voided" => PaymentStatus::Voided,
            "Retry Scheduled" => PaymentStatus::RetryScheduled,
            other => PaymentStatus::Other(bounded(other, 64)),
        }
    }

    /// The gateway's word.
    pub fn word(&self) -> &str {
        match self {
            PaymentStatus::Pending => "Pending",
            PaymentStatus::Authorized => "Authorized",
            PaymentStatus::Captured => "Captured",
            PaymentStatus::PartiallyCaptured => "Partially Captured",
            PaymentStatus::Declined => "Declined",
            PaymentStatus::Canceled => "Canceled",
            PaymentStatus::Expired => "Expired",
            PaymentStatus::PartiallyRefunded => "Partially Refunded",
            PaymentStatus::Refunded => "Refunded",
            PaymentStatus::Voided => "Voided",
            PaymentStatus::RetryScheduled => "Retry Scheduled",
            PaymentStatus::Other(word) => word,
        }
    }

    /// Whether the whole amount was taken at some time, be it given back since.
    fn took_the_whole(&self) -> bool {
        match self {
            PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded => true,
            PaymentStatus::Pending
            | PaymentStatus::Authorized
            | PaymentStatus::PartiallyCaptured
            | PaymentStatus::Declined
            | PaymentStatus::Canceled
            | PaymentStatus::Expired
            | PaymentStatus::Voided
            | PaymentStatus::RetryScheduled
            | PaymentStatus::Other(_) => false,
        }
    }
}

impl Payment {
    /// What was taken, as far as the answer tells: the total, else the amount where the status says that all of it was.
    pub fn taken_minor(&self) -> Option<i64> {
        self.captured_minor.or_else(|| self.status.took_the_whole().then_some(self.amount_minor).flatten())
    }

    /// The payment in an answer; none where it has no id that can be asked for again.
    pub(super) fn from_wire(answer: PaymentAnswer, request_id: Option<String>) -> Option<Payment> {
        let id = answer.id.filter(|id| is_id(id))?;
        let status = PaymentStatus::from_word(answer.status.as_deref().unwrap_or_default());
        let told = |key: &str| answer.metadata.as_ref()?.get(key).and_then(Scalar::from_value);
        let balances = answer.balances.unwrap_or_default();
        Some(Payment {
            id,
            reference: answer.reference.map(|text| bounded(&text, 100)),
            amount_minor: answer.amount,
            currency: answer.currency.map(|text| bounded(&text, 8)),
            source_id: answer.source.and_then(|source| source.id).filter(|id| is_id(id)),
            redirect_url: answer.links.and_then(|links| links.redirect?.href).filter(|url| is_web_address(url)),
            response_code: answer.response_code.and_then(code),
            response_summary: answer.response_summary.map(|text| bounded(&text, 200)),
            code_unread: false,
            captured_minor: balances.total_captured,
            refunded_minor: balances.total_refunded,
            requested_on: answer.requested_on.as_deref().and_then(instant),
            attempt_n: told("attempt").and_then(|text| text.0.parse().ok()),
            ledger: told("ledger").map(|text| bounded(&text.0, 255)),
            subscription: told("subscription").map(|text| bounded(&text.0, 255)),
            period: told("period").and_then(|text| text.0.parse().ok()),
            retry_scheduled: status == PaymentStatus::RetryScheduled
                || answer.retry.is_some_and(|retry| retry.next_attempt_on.is_some()),
            request_id,
            partner_code: answer.processing.and_then(partner_code),
            status,
        })
    }
}

/// The newest declined authorisation or capture among a payment's actions. They come newest first, but that is checked where
/// they bear times, because an old decline's code would put the next try on the wrong day.
pub(super) fn decline_code(actions: Vec<ActionAnswer>) -> DeclineCode {
    let newest = actions
        .into_iter()
        .rev()
        .filter(was_declined)
        .max_by_key(|action| action.processed_on.as_deref().and_then(instant));
    newest.map_or_else(DeclineCode::default, |action| DeclineCode {
        response_code: action.response_code.and_then(code),
        response_summary: action.response_summary.map(|text| bounded(&text, 200)),
    })
}

/// Whether `text` may stand in a path as an id: ids change their prefix and length, never their alphabet.
pub(super) fn is_id(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// At most `limit` characters, with a mark in place of each control character, so that no two texts are made equal.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    text.chars().take(limit).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

fn was_declined(action: &ActionAnswer) -> bool {
    let charges = matches!(action.kind.as_deref(), Some("Authorization" | "Capture"));
    let approved = match (action.approved, &action.response_code) {
        (Some(approved), _) => approved,
        (None, Some(code)) => code.0.starts_with("10"),
        (None, None) => true,
    };
    charges && !approved
}

/// The most telling code first: the wallet's own reason, then the partner's code, then the gateway's coarse class.
fn partner_code(processing: ProcessingAnswer) -> Option<String> {
    let listed = processing.partner_error_codes.unwrap_or_default();
    let mut candidates = listed.into_iter().chain(processing.partner_response_code).chain(processing.failure_code);
    candidates.find_map(code)
}

fn code(text: Scalar) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    ((1..=64).contains(&text.0.len()) && text.0.bytes().all(plain)).then_some(text.0)
}

fn is_web_address(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://"))
        && url.len() <= 4096
        && url.bytes().all(|byte| byte.is_ascii_graphic())
}

fn instant(text: &str) -> Option<Instant> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc).trunc_subsecs(6))
}
