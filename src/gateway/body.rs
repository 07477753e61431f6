//! The bodies of payments. A body is frozen with its attempt and sent the same, byte for byte, each time; but a customer's name
//! and address of e-mail may stand in one table only, so the frozen text lacks them and they are put in before each send.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::wire;
use crate::domain::money::Currency;

/// What both kinds of payment say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Minor units.
    pub amount_minor: i64,
    /// The currency.
    pub currency: Currency,
    /// Ours, one per billing period, at most 50 characters.
    pub reference: String,
    /// What the customer reads, as the payment's description and as its item's name; at most 100 characters.
    pub description: String,
    /// The plan's name: the item's reference.
    pub plan: String,
    /// The customer's country, ISO 3166-1 alpha-2.
    pub country: String,
    /// `pc_…`; none where the key is bound to one channel.
    pub processing_channel_id: Option<String>,
    /// Which ledger charges.
    pub ledger: String,
    /// The merchant's own reference of the subscription.
    pub subscription: String,
    /// The period's index.
    pub period: i64,
    /// The attempt's number.
    pub attempt: i64,
}

/// A payment that the customer approves in the wallet, and that leaves a source to charge later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstPayment {
    /// What is charged.
    pub order: Order,
    /// Where the customer approves.
    pub terminal: Terminal,
    /// Where the wallet returns to.
    pub success_url: String,
    /// Where the wallet returns to after a failure.
    pub failure_url: String,
}

/// A payment without the customer, from a saved source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaterPayment {
    /// What is charged.
    pub order: Order,
    /// `src_…`
    pub source_id: String,
    /// Whether the body says `merchant_initiated: true`.
    pub merchant_initiated: bool,
}

/// Where the customer approves a first payment. Without a browser on a computer the gateway must know the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// A browser on a computer.
    Web,
    /// A browser on a phone.
    Wap(Os),
    /// The merchant's own app.
    App(Os),
}

/// A phone's system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// iOS.
    Ios,
    /// Android.
    Android,
}

impl Terminal {
    /// The one that the frozen body of a first payment names.
    pub fn of_body(body: &str) -> Option<Terminal> {
        let body: serde_json::Value = serde_json::from_str(body).ok()?;
        let processing = body.get("processing")?;
        let os = match processing.get("os_type").and_then(serde_json::Value::as_str) {
            Some("IOS") => Some(Os::Ios),
            Some("ANDROID") => Some(Os::Android),
            _ => None,
        };
        match (processing.get("terminal_type")?.as_str()?, os) {
            ("WEB", _) => Some(Terminal::Web),
            ("WAP", Some(os)) => Some(Terminal::Wap(os)),
            ("APP", Some(os)) => Some(Terminal::App(os)),
            _ => None,
        }
    }
}

/// Whom the gateway is told of.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Customer {
    /// A name.
    pub name: Option<String>,
    /// An address of e-mail.
    pub email: Option<String>,
}

/// A payment's body without its customer: JSON text of an object, fit for the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenBody(String);

/// A stored text that is no frozen body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotABody {
    /// Not a JSON object.
    #[error("the stored body is not a JSON object")]
    NotAnObject,
    /// It holds a customer, which may not stand there.
    #[error("the stored body holds a customer, who belongs into the customers' table only")]
    HoldsACustomer,
}

impl FrozenBody {
    /// The body of a first payment.
    pub fn first(payment: &FirstPayment) -> FrozenBody {
        let (terminal_type, os) = match payment.terminal {
            Terminal::Web => ("WEB", None),
            Terminal::Wap(os) => ("WAP", Some(os)),
            Terminal::App(os) => ("APP", Some(os)),
        };
        let os_type = os.map(|os| match os {
            Os::Ios => "IOS",
            Os::Android => "ANDROID",
        });
        freeze(wire::PaymentRequest {
            processing: Some(wire::ProcessingRequest { terminal_type, os_type }),
            success_url: Some(payment.success_url.clone()),
            failure_url: Some(payment.failure_url.clone()),
            capture: Some(true),
            ..request(&payment.order, wire::SourceRequest::AlipayHk)
        })
    }

    /// The body of a later payment.
    pub fn later(payment: &LaterPayment) -> FrozenBody {
        let source = wire::SourceRequest::Saved { id: payment.source_id.clone() };
        let merchant_initiated = payment.merchant_initiated.then_some(true);
        freeze(wire::PaymentRequest { merchant_initiated, ..request(&payment.order, source) })
    }

    /// A body as it was stored.
    ///
    /// # Errors
    /// [`NotABody`] where the text is not one that [`FrozenBody::as_str`] gave.
    pub fn from_stored(text: String) -> Result<FrozenBody, NotABody> {
        let fields: BTreeMap<String, Value> = serde_json::from_str(&text).map_err(|_| NotABody::NotAnObject)?;
        if fields.contains_key("customer") { Err(NotABody::HoldsACustomer) } else { Ok(FrozenBody(text)) }
    }

    /// The text to store.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text to send: the same bytes each time for the same customer. A customer without name and e-mail is left out.
    pub fn with_customer(&self, customer: &Customer) -> String {
        let mut fields: BTreeMap<String, Value> =
            serde_json::from_str(&self.0).expect("a frozen body was written from, or read as, a JSON object");
        if customer.name.is_some() || customer.email.is_some() {
            let told = wire::CustomerRequest { email: customer.email.clone(), name: customer.name.clone() };
            fields.insert("customer".to_owned(), value(&told));
        }
        text(&fields)
    }
}

impl std::fmt::Debug for Customer {
    /// Never writes who it is: a debug line ends in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Customer(…)")
    }
}

/// SHA-256 of a body's text, in lower-case hex: proves that what is sent again is what was sent.
pub fn digest(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

fn request(order: &Order, source: wire::SourceRequest) -> wire::PaymentRequest {
    wire::PaymentRequest {
        amount: order.amount_minor,
        currency: order.currency.code().to_owned(),
        source,
        processing: None,
        success_url: None,
        failure_url: None,
        payment_type: "Recurring",
        merchant_initiated: None,
        reference: order.reference.clone(),
        capture: None,
        shipping: wire::Shipping { address: wire::Address { country: order.country.clone() } },
        items: vec![wire::Item {
            reference: order.plan.clone(),
            name: order.description.clone(),
            unit_price: order.amount_minor,
            quantity: 1,
        }],
        processing_channel_id: order.processing_channel_id.clone(),
        description: Some(order.description.clone()),
        metadata: BTreeMap::from([
            ("ledger", order.ledger.clone()),
            ("subscription", order.subscription.clone()),
            ("period", order.period.to_string()),
            ("attempt", order.attempt.to_string()),
        ]),
    }
}

/// Through a sorted map, so that the order of fields in the source code is no part of the bytes.
fn freeze(request: wire::PaymentRequest) -> FrozenBody {
    FrozenBody(text(&value(&request)))
}

fn value(part: &impl serde::Serialize) -> Value {
    serde_json::to_value(part).expect("a request holds text, whole numbers and booleans under text keys: always JSON")
}

fn text(part: &impl serde::Serialize) -> String {
    serde_json::to_string(part).expect("a JSON value can always be written as text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            amount_minor: 12_800,
            currency: "HKD".parse().unwrap(),
            reference: "d1-abc-3".to_owned(),
            description: "Monthly \"tea\" \u{8336}".to_owned(),
            plan: "tea".to_owned(),
            country: "HK".to_owned(),
            processing_channel_id: None,
            ledger: "ledger-1".to_owned(),
            subscription: "merchant-7".to_owned(),
            period: 3,
            attempt: 2,
        }
    }

    #[test]
    fn a_resend_is_byte_identical() {
        let payment = LaterPayment { order: order(), source_id: "src_1".to_owned(), merchant_initiated: true };
        let customer = Customer { name: Some("N".to_owned()), email: Some("n@example.com".to_owned()) };
        let frozen = FrozenBody::later(&payment);
        let stored = FrozenBody::from_stored(frozen.as_str().to_owned()).unwrap();
        assert_eq!(stored.with_customer(&customer), FrozenBody::later(&payment).with_customer(&customer));
        assert_eq!(digest(&stored.with_customer(&customer)), digest(&frozen.with_customer(&customer)));
        assert_eq!(
            frozen.with_customer(&customer),
            "{\"amount\":12800,\"currency\":\"HKD\",\"customer\":{\"email\":\"n@example.com\",\"name\":\"N\"},\
             \"description\":\"Monthly \\\"tea\\\" 茶\",\"items\":[{\"name\":\"Monthly \\\"tea\\\" 茶\",\"quantity\":1,\
             \"reference\":\"tea\",\"unit_price\":12800}],\"merchant_initiated\":true,\"metadata\":{\"attempt\":\"2\",\
             \"ledger\":\"ledger-1\",\"period\":\"3\",\"subscription\":\"merchant-7\"},\"payment_type\":\"Recurring\",\
             \"reference\":\"d1-abc-3\",\"shipping\":{\"address\":{\"country\":\"HK\"}},\"source\":{\"id\":\"src_1\",\
             \"type\":\"id\"}}"
        );
    }

    #[test]
    fn a_frozen_body_names_nobody() {
        let payment = LaterPayment { order: order(), source_id: "src_1".to_owned(), merchant_initiated: false };
        let frozen = FrozenBody::later(&payment);
        assert!(!frozen.as_str().contains("customer"));
        assert!(!frozen.as_str().contains("merchant_initiated"));
        assert_eq!(frozen.with_customer(&Customer::default()), frozen.as_str());
        let customer = Customer { name: Some("N".to_owned()), email: None };
        assert_eq!(FrozenBody::from_stored(frozen.with_customer(&customer)), Err(NotABody::HoldsACustomer));
        assert_eq!(FrozenBody::from_stored("[]".to_owned()), Err(NotABody::NotAnObject));
        assert_eq!(format!("{customer:?}"), "Customer(…)");
    }

    #[test]
    fn a_phone_names_its_system_and_a_computer_does_not() {
        for (terminal, processing) in [
            (Terminal::Web, "{\"terminal_type\":\"WEB\"}"),
            (Terminal::Wap(Os::Android), "{\"os_type\":\"ANDROID\",\"terminal_type\":\"WAP\"}"),
            (Terminal::App(Os::Ios), "{\"os_type\":\"IOS\",\"terminal_type\":\"APP\"}"),
        ] {
            let urls = ("https://example.com/yes".to_owned(), "https://example.com/no".to_owned());
            let payment = FirstPayment { order: order(), terminal, success_url: urls.0, failure_url: urls.1 };
            let body: Value = serde_json::from_str(FrozenBody::first(&payment).as_str()).unwrap();
            assert_eq!(body["processing"].to_string(), processing);
            assert_eq!(body["capture"], Value::Bool(true));
        }
    }
}
