//! What a payment or refund request asks for, read strictly: a known field of the wrong type is refused, as the real gateway does.
//! An unknown field is not, because the real gateway ignores it; it is noted, so that a misspelt name shows in the books.
//! These are the sandbox's own readers, never the client's types: a mistake made there cannot cancel itself out here.

use serde_json::{Map, Value};

use super::exchange::Refusal;
use super::fields::{Fields, is_id};
use super::payment::PaymentType;
use super::script::cast::Facts;
use crate::domain::money::LARGEST_AMOUNT_MINOR;

/// A payment request that passed.
#[derive(Debug)]
pub(super) struct PaymentOrder {
    pub(super) source: OrderSource,
    pub(super) amount_minor: i64,
    pub(super) currency: String,
    pub(super) payment_type: PaymentType,
    pub(super) reference: String,
    pub(super) description: Option<String>,
    pub(super) customer: OrderCustomer,
    pub(super) items: Option<Value>,
    pub(super) shipping: Option<Value>,
    pub(super) metadata: Map<String, Value>,
    pub(super) unknown_fields: Vec<String>,
}

/// Where the money comes from.
#[derive(Debug)]
pub(super) enum OrderSource {
    /// A customer who is present and is sent to the wallet.
    Wallet { success_url: String, failure_url: String },
    /// A source kept from a first payment.
    Kept { source_id: String },
}

/// The customer, as far as the request names one.
#[derive(Debug)]
pub(super) struct OrderCustomer {
    pub(super) id: Option<String>,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
}

/// A refund request that passed.
#[derive(Debug)]
pub(super) struct RefundOrder {
    /// None: the payment's full amount.
    pub(super) amount_minor: Option<i64>,
    pub(super) reference: Option<String>,
    pub(super) unknown_fields: Vec<String>,
}

impl PaymentOrder {
    /// Reads the body of `POST /payments`.
    pub(super) fn read(body: &[u8]) -> Result<PaymentOrder, Refusal> {
        let mut unknown_fields = Vec::new();
        let mut fields = Fields::of_body(body)?;
        let payment_type = payment_type(&mut fields)?;
        let source = source(&mut fields, payment_type, &mut unknown_fields)?;
        let amount_minor = fields.take("amount", "amount_invalid")?.ok_or(Refusal::invalid("amount_required"))?;
        if !(1..=LARGEST_AMOUNT_MINOR).contains(&amount_minor) {
            return Err(Refusal::invalid("amount_invalid"));
        }
        let currency: String =
            fields.take("currency", "currency_invalid")?.ok_or(Refusal::invalid("currency_required"))?;
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(Refusal::invalid("currency_invalid"));
        }
        let reference = fields.take_text("reference", 50, "reference_invalid")?.filter(|text| !text.is_empty());
        check_channel(&mut fields)?;
        fields.take_text("previous_payment_id", 100, "previous_payment_id_invalid")?;
        fields.take_text("payment_ip", 45, "payment_ip_invalid")?;
        for (object, code) in [("risk", "risk_invalid"), ("subscription", "subscription_invalid")] {
            fields.take_echo::<Map<String, Value>>(object, code)?;
        }
        let order = PaymentOrder {
            source,
            amount_minor,
            currency,
            payment_type,
            reference: reference.ok_or(Refusal::invalid("reference_invalid"))?,
            description: fields.take_text("description", 100, "description_invalid")?,
            customer: customer(&mut fields, &mut unknown_fields)?,
            items: items(&mut fields, &mut unknown_fields)?,
            shipping: fields.take_echo::<Map<String, Value>>("shipping", "shipping_invalid")?,
            metadata: metadata(&mut fields)?,
            unknown_fields: Vec::new(),
        };
        fields.note_left(&mut unknown_fields);
        Ok(PaymentOrder { unknown_fields, ..order })
    }

    /// What a rule may ask about.
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            customer: self.customer.email.as_deref(),
            source: match &self.source {
                OrderSource::Kept { source_id } => Some(source_id),
                OrderSource::Wallet { .. } => None,
            },
            reference: Some(&self.reference),
            amount_minor: Some(self.amount_minor),
            subscription: self.metadata.get("subscription").and_then(Value::as_str),
        }
    }
}

impl RefundOrder {
    /// Reads the body of `POST /payments/{id}/refunds`; an empty one asks for everything.
    pub(super) fn read(body: &[u8]) -> Result<RefundOrder, Refusal> {
        let mut fields = Fields::of_body(body)?;
        let amount_minor = fields.take("amount", "amount_invalid")?;
        if amount_minor.is_some_and(|amount: i64| !(1..=LARGEST_AMOUNT_MINOR).contains(&amount)) {
            return Err(Refusal::invalid("amount_invalid"));
        }
        let reference = fields.take_text("reference", 50, "reference_invalid")?;
        metadata(&mut fields)?;
        let mut unknown_fields = Vec::new();
        fields.note_left(&mut unknown_fields);
        Ok(RefundOrder { amount_minor, reference, unknown_fields })
    }
}

fn payment_type(fields: &mut Fields) -> Result<PaymentType, Refusal> {
    let wrong = Refusal::invalid("payment_type_invalid");
    let payment_type = match fields.take_text("payment_type", 20, "payment_type_invalid")?.as_deref() {
        None | Some("Regular") => PaymentType::Regular,
        Some("Recurring") => PaymentType::Recurring,
        Some(_) => return Err(wrong),
    };
    let merchant_initiated = fields.take("merchant_initiated", "merchant_initiated_invalid")?.unwrap_or(false);
    if merchant_initiated && payment_type == PaymentType::Regular {
        return Err(wrong);
    }
    // The wallet knows no separate capture: a request that asks for one is a mistake worth hearing about.
    if !fields.take("capture", "capture_invalid")?.unwrap_or(true) {
        return Err(Refusal::invalid("capture_invalid"));
    }
    Ok(payment_type)
}

fn source(fields: &mut Fields, payment_type: PaymentType, unknown: &mut Vec<String>) -> Result<OrderSource, Refusal> {
    let mut source = fields.take_object("source", "source_invalid")?;
    let mut processing = fields.take_object("processing", "processing_invalid")?;
    let success_url = fields.take_url("success_url", "success_url_invalid")?;
    let failure_url = fields.take_url("failure_url", "failure_url_invalid")?;
    let terminal = processing.take_text("terminal_type", 10, "terminal_type_invalid")?;
    let system = processing.take_text("os_type", 10, "os_type_invalid")?;
    if system.as_deref().is_some_and(|system| !matches!(system, "IOS" | "ANDROID")) {
        return Err(Refusal::invalid("os_type_invalid"));
    }
    match terminal.as_deref() {
        None | Some("WEB") => {}
        Some("WAP" | "APP") if system.is_some() => {}
        Some("WAP" | "APP") => return Err(Refusal::invalid("os_type_required")),
        Some(_) => return Err(Refusal::invalid("terminal_type_invalid")),
    }
    let required = Refusal::invalid("payment_source_required");
    let read = match source.take_text("type", 50, "payment_source_required")?.ok_or(required)?.as_str() {
        "alipay_hk" => OrderSource::Wallet {
            success_url: success_url.ok_or(Refusal::invalid("success_url_required"))?,
            failure_url: failure_url.ok_or(Refusal::invalid("failure_url_required"))?,
        },
        "id" => {
            source.take_text("payment_method", 50, "source_payment_method_invalid")?;
            let source_id = source.take_text("id", 100, "source_id_invalid")?;
            if payment_type != PaymentType::Recurring {
                return Err(Refusal::invalid("payment_type_invalid"));
            }
            let source_id = source_id.filter(|id| is_id(id, "src_", 1..=64));
            OrderSource::Kept { source_id: source_id.ok_or(Refusal::invalid("source_id_invalid"))? }
        }
        _ => return Err(Refusal::invalid("payment_method_not_supported")),
    };
    source.note_left(unknown);
    processing.note_left(unknown);
    Ok(read)
}

fn check_channel(fields: &mut Fields) -> Result<(), Refusal> {
    let code = "cko_processing_channel_id_invalid";
    match fields.take_text("processing_channel_id", 100, code)? {
        Some(channel) if !is_id(&channel, "pc_", 26..=26) => Err(Refusal::invalid(code)),
        Some(_) | None => Ok(()),
    }
}

fn customer(fields: &mut Fields, unknown: &mut Vec<String>) -> Result<OrderCustomer, Refusal> {
    let mut customer = fields.take_object("customer", "customer_invalid")?;
    let id = customer.take_text("id", 100, "customer_id_invalid")?;
    let email = customer.take_text("email", 255, "customer_email_invalid")?;
    let name = customer.take_text("name", 255, "customer_name_invalid")?;
    customer.take_echo::<Map<String, Value>>("phone", "customer_phone_invalid")?;
    if id.as_deref().is_some_and(|id| !is_id(id, "cus_", 1..=64)) {
        return Err(Refusal::invalid("customer_id_invalid"));
    }
    if email.as_deref().is_some_and(|email| !email.contains('@')) {
        return Err(Refusal::invalid("customer_email_invalid"));
    }
    customer.note_left(unknown);
    Ok(OrderCustomer { id, email, name })
}

fn items(fields: &mut Fields, unknown: &mut Vec<String>) -> Result<Option<Value>, Refusal> {
    let Some(mut items) = fields.take::<Vec<Map<String, Value>>>("items", "items_invalid")? else { return Ok(None) };
    let known = |field: &str| {
        matches!(field, "name" | "reference" | "unit_price" | "quantity" | "total_amount" | "type" | "sub_type")
    };
    for item in &mut items {
        // As everywhere `null` is as good as absent; Checkout.com's SDK for Python sends some.
        item.retain(|_, value| !value.is_null());
        let text = |field| item.get(field).is_none_or(|v: &Value| v.as_str().is_some_and(|t| t.chars().count() <= 255));
        let number = |field, least| item.get(field).is_none_or(|v: &Value| v.as_u64().is_some_and(|n| n >= least));
        if !(text("name") && text("reference") && number("unit_price", 0) && number("quantity", 1)) {
            return Err(Refusal::invalid("items_invalid"));
        }
        unknown.extend(item.keys().filter(|field| !known(field)).map(|field| format!("items.{field}")));
    }
    Ok(Some(items.into_iter().map(Value::Object).collect()))
}

fn metadata(fields: &mut Fields) -> Result<Map<String, Value>, Refusal> {
    let metadata: Map<String, Value> = fields.take("metadata", "metadata_invalid")?.unwrap_or_default();
    let fits = |value: &Value| match value {
        Value::String(text) => text.chars().count() <= 255,
        Value::Number(_) | Value::Bool(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    if metadata.len() > 20 || !metadata.values().all(fits) {
        return Err(Refusal::invalid("metadata_invalid"));
    }
    Ok(metadata)
}
