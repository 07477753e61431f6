//! The bodies we send, held against published examples: every difference is listed, all else is equal.

use dues::gateway::payments::{Customer, FirstPayment, FrozenBody, LaterPayment, Order, Terminal};
use serde_json::{Value, json};

const FIRST: &str = include_str!("alipayhk_first_recurring_request.json");
const LATER: &str = include_str!("alipayhk_subsequent_request.json");

/// An order of the example's amount, currency, country and channel.
fn order_like(sample: &Value) -> Order {
    Order {
        amount_minor: sample["amount"].as_i64().unwrap(),
        currency: sample["currency"].as_str().unwrap().parse().unwrap(),
        reference: "d1-0123456789abcdef-4".to_owned(),
        description: "Tea of the month".to_owned(),
        plan: "tea".to_owned(),
        country: sample["shipping"]["address"]["country"].as_str().unwrap().to_owned(),
        processing_channel_id: Some(sample["processing_channel_id"].as_str().unwrap().to_owned()),
        ledger: "ledger-1".to_owned(),
        subscription: "merchant-7".to_owned(),
        period: 4,
        attempt: 1,
    }
}

fn customer_of(sample: &Value) -> Customer {
    let text = |field: &str| sample["customer"][field].as_str().map(str::to_owned);
    Customer { name: text("name"), email: text("email") }
}

/// Takes a listed difference out of both, after it was found to be what it should.
fn differs(ours: &mut Value, sample: &mut Value, field: &str, our_value: Value, sample_value: Option<Value>) {
    assert_eq!(ours.as_object_mut().unwrap().remove(field), Some(our_value), "ours: {field}");
    assert_eq!(sample.as_object_mut().unwrap().remove(field), sample_value, "the example's: {field}");
}

fn our_metadata() -> Value {
    json!({"ledger": "ledger-1", "subscription": "merchant-7", "period": "4", "attempt": "1"})
}

fn our_items(amount_minor: i64) -> Value {
    json!([{"reference": "tea", "name": "Tea of the month", "unit_price": amount_minor, "quantity": 1}])
}

#[test]
fn a_first_payment_is_the_published_example_but_for_the_listed_differences() {
    let mut sample: Value = serde_json::from_str(FIRST).unwrap();
    let payment = FirstPayment {
        order: order_like(&sample),
        terminal: Terminal::Web,
        success_url: sample["success_url"].as_str().unwrap().to_owned(),
        failure_url: sample["failure_url"].as_str().unwrap().to_owned(),
    };
    let text = FrozenBody::first(&payment).with_customer(&customer_of(&sample));
    let mut ours: Value = serde_json::from_str(&text).unwrap();

    // The example writes the boolean as a text; the specification and every other example say boolean.
    differs(&mut ours, &mut sample, "capture", json!(true), Some(json!("true")));
    differs(&mut ours, &mut sample, "reference", json!("d1-0123456789abcdef-4"), Some(json!("ORD-5023-4E89")));
    // Ours bears the real price and the quantity; the example's does not add up.
    let sample_items = json!([{"reference": "1st item reference", "name": "1st item name", "unit_price": 10}]);
    differs(&mut ours, &mut sample, "items", our_items(1100), Some(sample_items));
    differs(&mut ours, &mut sample, "description", json!("Tea of the month"), None);
    differs(&mut ours, &mut sample, "metadata", our_metadata(), None);
    assert_eq!(ours, sample);
}

#[test]
fn a_later_payment_is_the_published_example_but_for_the_listed_differences() {
    let mut sample: Value = serde_json::from_str(LATER).unwrap();
    let payment = LaterPayment {
        order: order_like(&sample),
        source_id: sample["source"]["id"].as_str().unwrap().to_owned(),
        merchant_initiated: true,
    };
    let text = FrozenBody::later(&payment).with_customer(&customer_of(&sample));
    let mut ours: Value = serde_json::from_str(&text).unwrap();

    // The specification demands it of every payment without the customer; the example leaves it out.
    differs(&mut ours, &mut sample, "merchant_initiated", json!(true), None);
    differs(&mut ours, &mut sample, "reference", json!("d1-0123456789abcdef-4"), Some(json!("ORD-5023-4E89-1234")));
    let sample_items =
        json!([{"reference": "1st item reference", "name": "1st item name", "unit_price": 43, "quantity": 1}]);
    differs(&mut ours, &mut sample, "items", our_items(44), Some(sample_items));
    differs(&mut ours, &mut sample, "description", json!("Tea of the month"), None);
    differs(&mut ours, &mut sample, "metadata", our_metadata(), None);
    assert_eq!(ours, sample);
}
