//! The JSON on the wire and nothing else: exact field names of what we send, and lenient shapes of what comes back.
//!
//! Answers grow fields, and fields change their type, without notice. A field of an unexpected type therefore reads as absent
//! instead of making the whole answer unreadable: an unreadable answer to a charge could never be resolved.

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;

/// `POST /payments`, without its customer. Absent fields are left out.
#[derive(Debug, Clone, Serialize)]
pub struct PaymentRequest {
    /// Minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// What is charged.
    pub source: SourceRequest,
    /// On which device the customer approves; a first payment only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing: Option<ProcessingRequest>,
    /// Where the wallet returns to; a first payment only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_url: Option<String>,
    /// Where the wallet returns to after a failure; a first payment only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_url: Option<String>,
    /// Always `Recurring`, in this very case.
    pub payment_type: &'static str,
    /// Whether the merchant starts the payment; left out where not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merchant_initiated: Option<bool>,
    /// Ours, one per billing period.
    pub reference: String,
    /// A boolean, not the text that one published example shows; a first payment only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<bool>,
    /// Where the goods go: the country is asked of every wallet payment.
    pub shipping: Shipping,
    /// One line, because one period is sold.
    pub items: Vec<Item>,
    /// `pc_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_channel_id: Option<String>,
    /// What the customer reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What finds the payment's place in our books again.
    pub metadata: BTreeMap<&'static str, String>,
}

/// `source` of a request.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type")]
pub enum SourceRequest {
    /// A first payment: the wallet is asked.
    #[serde(rename = "alipay_hk")]
    AlipayHk,
    /// A later payment: the saved source.
    #[serde(rename = "id")]
    Saved {
        /// `src_…`.
        id: String,
    },
}

/// `processing` of a request.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessingRequest {
    /// `WEB`, `WAP` or `APP`.
    pub terminal_type: &'static str,
    /// `IOS` or `ANDROID`; mandatory unless the terminal is `WEB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_type: Option<&'static str>,
}

/// `shipping` of a request.
#[derive(Debug, Clone, Serialize)]
pub struct Shipping {
    /// Nothing but the country is told.
    pub address: Address,
}

/// `shipping.address`.
#[derive(Debug, Clone, Serialize)]
pub struct Address {
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// One of `items`.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// The plan's name.
    pub reference: String,
    /// What the customer reads.
    pub name: String,
    /// Minor units.
    pub unit_price: i64,
    /// One.
    pub quantity: u32,
}

/// `customer` of a request.
#[derive(Debug, Clone, Serialize)]
pub struct CustomerRequest {
    /// Left out where unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Left out where unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A payment as the gateway writes it: the answer to a POST, to a GET, and an entry of a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PaymentAnswer {
    /// `pay_…`.
    #[serde(deserialize_with = "lenient")]
    pub id: Option<String>,
    /// Capitalised words: `Pending`, `Partially Captured`.
    #[serde(deserialize_with = "lenient")]
    pub status: Option<String>,
    /// Echo of ours.
    #[serde(deserialize_with = "lenient")]
    pub reference: Option<String>,
    /// Minor units.
    #[serde(deserialize_with = "lenient")]
    pub amount: Option<i64>,
    /// ISO 4217.
    #[serde(deserialize_with = "lenient")]
    pub currency: Option<String>,
    /// RFC 3339, with three to seven fractional digits.
    #[serde(deserialize_with = "lenient")]
    pub requested_on: Option<String>,
    /// In a synchronous answer only; a GET never has it.
    #[serde(deserialize_with = "lenient")]
    pub response_code: Option<Scalar>,
    /// Words to `response_code`.
    #[serde(deserialize_with = "lenient")]
    pub response_summary: Option<String>,
    /// What was charged.
    #[serde(deserialize_with = "part")]
    pub source: Option<SourceAnswer>,
    /// The authoritative money figures.
    #[serde(deserialize_with = "part")]
    pub balances: Option<Balances>,
    /// What the wallet's side said.
    #[serde(deserialize_with = "part")]
    pub processing: Option<ProcessingAnswer>,
    /// Present where the gateway retries by itself.
    #[serde(deserialize_with = "part")]
    pub retry: Option<Retry>,
    /// Ours; values come back as text, whatever was sent, or as what was sent.
    #[serde(deserialize_with = "lenient")]
    pub metadata: Option<BTreeMap<String, Value>>,
    /// Where the customer is to be sent.
    #[serde(rename = "_links", deserialize_with = "part")]
    pub links: Option<Links>,
}

/// `source` of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SourceAnswer {
    /// `src_…`; the answer to a GET often lacks it.
    #[serde(deserialize_with = "lenient")]
    pub id: Option<String>,
}

/// `balances`, in minor units.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Balances {
    /// Money taken.
    #[serde(deserialize_with = "lenient")]
    pub total_captured: Option<i64>,
    /// Money given back.
    #[serde(deserialize_with = "lenient")]
    pub total_refunded: Option<i64>,
}

/// `processing` of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ProcessingAnswer {
    /// A coarse class; not every payment method fills it.
    #[serde(deserialize_with = "lenient")]
    pub failure_code: Option<Scalar>,
    /// The partner's own codes.
    #[serde(deserialize_with = "lenient")]
    pub partner_error_codes: Option<Vec<Scalar>>,
    /// The partner's own code.
    #[serde(deserialize_with = "lenient")]
    pub partner_response_code: Option<Scalar>,
}

/// `retry`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// When the gateway tries again by itself.
    #[serde(deserialize_with = "lenient")]
    pub next_attempt_on: Option<String>,
}

/// `_links`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Links {
    /// The wallet's page, where the customer must act.
    #[serde(deserialize_with = "part")]
    pub redirect: Option<Link>,
}

/// One of `_links`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Link {
    /// A URL.
    #[serde(deserialize_with = "lenient")]
    pub href: Option<String>,
}

/// One of `GET /payments/{id}/actions`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ActionAnswer {
    /// `Authorization`, `Capture`, `Refund` …
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub kind: Option<String>,
    /// RFC 3339.
    #[serde(deserialize_with = "lenient")]
    pub processed_on: Option<String>,
    /// Whether it succeeded.
    #[serde(deserialize_with = "lenient")]
    pub approved: Option<bool>,
    /// Text, with letters in some: `20051`, `200R1`.
    #[serde(deserialize_with = "lenient")]
    pub response_code: Option<Scalar>,
    /// Words to it.
    #[serde(deserialize_with = "lenient")]
    pub response_summary: Option<String>,
}

/// One page of `GET /payments?reference=`. Nothing is lenient here: absence is concluded from it.
#[derive(Debug, Clone, Deserialize)]
pub struct PageAnswer {
    /// Of all pages together.
    pub total_count: u64,
    /// Newest first; each to be read by [`object`] as a [`PaymentAnswer`].
    pub data: Vec<Value>,
}

/// An error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ErrorAnswer {
    /// To quote to the gateway's support.
    #[serde(deserialize_with = "lenient")]
    pub request_id: Option<String>,
    /// Words in lower case.
    #[serde(deserialize_with = "lenient")]
    pub error_codes: Option<Vec<Scalar>>,
}

/// A value that is text in one answer and a number or a boolean in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar(pub String);

impl Scalar {
    /// The value as text; none for a list, an object or null.
    pub fn from_value(value: &Value) -> Option<Scalar> {
        match value {
            Value::String(text) => Some(Scalar(text.clone())),
            Value::Number(number) => Some(Scalar(number.to_string())),
            Value::Bool(flag) => Some(Scalar(flag.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Scalar::from_value(&value).ok_or_else(|| serde::de::Error::custom("neither text nor number nor boolean"))
    }
}

/// Reads a body that must be a JSON object. The check is needed because serde reads a list into a struct too, field by field.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    object(serde_json::from_slice(body).ok()?)
}

/// Reads a value that must be a JSON object.
pub fn object<T: DeserializeOwned>(value: Value) -> Option<T> {
    if value.is_object() { serde_json::from_value(value).ok() } else { None }
}

fn part<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(object(Value::deserialize(deserializer)?))
}

fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}
