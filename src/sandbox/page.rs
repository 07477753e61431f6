//! The customer's page: what the wallet would show, plainly marked as simulated. One page, two buttons, nothing loaded from elsewhere.

use super::Sandbox;
use super::exchange::{Answer, HttpRequest, Method, pairs};
use super::ledger::REFUSED_BY_CUSTOMER;
use super::payment::{Payment, PaymentType, Status};
use super::script::Outcome;
use crate::clock::Instant;
use crate::domain::money::Money;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;background:#f2f4f7;color:#1a1f29;margin:0;padding:2rem 1rem}\
main{max-width:24rem;margin:auto;background:#fff;border-radius:12px;padding:1.5rem;box-shadow:0 1px 6px #0002}\
.note{background:#fff4d6;border:1px solid #e5c76b;border-radius:8px;padding:.6rem .8rem;font-size:.9rem}\
.amount{font-size:2.2rem;font-weight:600;margin:.6rem 0 0}dl{display:grid;grid-template-columns:auto 1fr;gap:.2rem 1rem}\
dt{color:#5b6472}dd{margin:0;overflow-wrap:anywhere}form{display:flex;gap:.8rem}\
button{flex:1;font:inherit;padding:.7rem;border-radius:8px;border:1px solid #98a2b3;background:#fff;cursor:pointer}\
button.pay{background:#0b5fd8;border-color:#0b5fd8;color:#fff}";

/// The page of one payment, or what the customer decided on it.
pub(super) fn answer(sandbox: &Sandbox, request: &HttpRequest<'_>, id: &str, now: Instant) -> Answer {
    let mut state = sandbox.state();
    // A later payment has no page: no customer is present.
    if state.ledger.payment(id).is_none_or(|payment| payment.returns.is_none()) {
        return Answer::html(404, whole("Not found", "<h1>No such payment</h1>"));
    }
    if request.method == Method::Post {
        let form = std::str::from_utf8(request.body).ok().and_then(pairs).unwrap_or_default();
        let action = form.iter().find(|(field, _)| field == "action").map(|(_, value)| value.as_str());
        let outcome = match action {
            Some("pay") => Outcome::Capture,
            Some("decline") => Outcome::Decline(REFUSED_BY_CUSTOMER.to_owned()),
            _ => return Answer::html(422, whole("Not understood", "<h1>Pay or decline?</h1>")),
        };
        // A second press of a button changes nothing and leads where the first one led.
        state.ledger.decide(id, outcome, now);
    }
    let Some(payment) = state.ledger.payment(id) else { return Answer::empty(404) };
    match (request.method, &payment.returns) {
        (Method::Post, Some(returns)) => {
            let url = match payment.status(now) {
                Status::Captured | Status::PartiallyRefunded | Status::Refunded => &returns.success_url,
                Status::Pending | Status::Declined | Status::Canceled | Status::Expired => &returns.failure_url,
            };
            Answer::see_other(with_session(url, &payment.session_id))
        }
        (Method::Get | Method::Post, _) => Answer::html(200, shown(payment, &sandbox.settings().merchant_name, now)),
    }
}

fn with_session(url: &str, session_id: &str) -> String {
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let joint = if url.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{url}{joint}cko-session-id={session_id}{fragment}")
}

fn shown(payment: &Payment, merchant: &str, now: Instant) -> String {
    let amount = payment.currency.parse().map_or_else(
        |_| format!("{} minor units of {}", payment.amount_minor, payment.currency),
        |currency| Money::new(payment.amount_minor, currency).to_string(),
    );
    let below = if payment.awaits_customer(now) {
        "<form method=\"post\"><button class=\"pay\" name=\"action\" value=\"pay\">Pay</button>\
         <button name=\"action\" value=\"decline\">Decline</button></form>"
            .to_owned()
    } else {
        format!("<p><strong>There is nothing to decide: this payment is {}.</strong></p>", payment.status(now).as_str())
    };
    let recurring = if payment.payment_type == PaymentType::Recurring {
        "<p>By paying you also let this merchant charge the wallet again later.</p>"
    } else {
        ""
    };
    let body = format!(
        "<p class=\"note\"><strong>Simulated AlipayHK page.</strong> No wallet is involved and no money moves.</p>\
         <p class=\"amount\">{amount}</p><dl><dt>Merchant</dt><dd>{merchant}</dd><dt>Reference</dt><dd>{reference}</dd>\
         <dt>Payment</dt><dd>{id}</dd></dl>{recurring}{below}",
        amount = escaped(&amount),
        merchant = escaped(merchant),
        reference = escaped(&payment.reference),
        id = escaped(&payment.id),
    );
    whole("Simulated payment", &body)
}

fn whole(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>"
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
