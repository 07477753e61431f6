//! What a browser is shown: the customer's page, as a wallet would show it but plainly marked as simulated, and a page to come back
//! to. They need no script and load nothing from elsewhere, and a header forbids them to.

use chrono::SecondsFormat;

use super::Sandbox;
use super::exchange::{Answer, HttpRequest, Method, pairs};
use super::ledger::REFUSED_BY_CUSTOMER;
use super::payment::{Course, Payment, PaymentType, Returns, Status};
use super::script::Outcome;
use crate::clock::Instant;
use crate::domain::money::Money;

const STYLE: &str = include_str!("page.css");

/// The page of one payment, or what the customer decided on it.
pub(super) fn answer(sandbox: &Sandbox, request: &HttpRequest<'_>, id: &str, now: Instant) -> Answer {
    let mut state = sandbox.state();
    // A later payment has no page: no customer is present.
    if state.ledger.payment(id).is_none_or(|payment| payment.returns.is_none()) {
        return page(404, "Not found", "<h1>No such payment</h1><p>Open the link of a first payment.</p>");
    }
    if request.method == Method::Post {
        let form = std::str::from_utf8(request.body).ok().and_then(pairs).unwrap_or_default();
        let action = form.iter().find(|(field, _)| field == "action").map(|(_, value)| value.as_str());
        let outcome = match action {
            Some("pay") => Outcome::Capture,
            Some("decline") => Outcome::Decline(REFUSED_BY_CUSTOMER.to_owned()),
            _ => return page(422, "Not understood", "<h1>Pay or decline?</h1><p>Go back and press a button.</p>"),
        };
        // A second press of a button changes nothing and leads where the first one led.
        state.ledger.decide(id, outcome, now);
    }
    let Some(payment) = state.ledger.payment(id) else { return Answer::empty(404) };
    match (request.method, &payment.returns) {
        (Method::Post, Some(returns)) => {
            Answer::see_other(with_session(where_to(payment, returns, now), &payment.session_id))
        }
        (Method::Get, Some(returns)) => shown(payment, returns, &sandbox.settings().merchant_name, now),
        (Method::Get | Method::Post, None) => Answer::empty(404),
    }
}

/// The page at the root, for shops that have none of their own to return to.
pub(super) fn returned(sandbox: &Sandbox, query: &str, now: Instant) -> Answer {
    let pairs = pairs(query).unwrap_or_default();
    let session = pairs.iter().find(|(field, _)| field == "cko-session-id").map(|(_, value)| value.as_str());
    let state = sandbox.state();
    let seen = match session.and_then(|session| state.ledger.payment_of_session(session)) {
        Some(payment) => {
            let (reference, status) = (escaped(&payment.reference), payment.status(now).as_str());
            format!("<p>Payment <strong>{reference}</strong> is <strong>{status}</strong>.</p>")
        }
        None => String::new(),
    };
    let body = format!(
        "<h1>Back at the shop</h1>{seen}<p>Your shop's own page stands here: give it as <code>success_url</code> and \
         <code>failure_url</code>. That a customer comes back is no proof of payment: read the payment.</p>"
    );
    page(200, "Back at the shop", &body)
}

fn where_to<'a>(payment: &Payment, returns: &'a Returns, now: Instant) -> &'a str {
    match payment.status(now) {
        Status::Captured | Status::PartiallyRefunded | Status::Refunded => &returns.success_url,
        Status::Pending | Status::Declined | Status::Canceled | Status::Expired => &returns.failure_url,
    }
}

fn with_session(url: &str, session_id: &str) -> String {
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let joint = if url.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{url}{joint}cko-session-id={session_id}{fragment}")
}

fn shown(payment: &Payment, returns: &Returns, merchant: &str, now: Instant) -> Answer {
    let amount = payment.currency.parse().map_or_else(
        |_| format!("{} minor units of {}", payment.amount_minor, payment.currency),
        |currency| Money::new(payment.amount_minor, currency).to_string(),
    );
    let (amount, merchant) = (escaped(&amount), escaped(merchant));
    let line = |name, text: &str| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escaped(text));
    let id = |name, text: &str| format!("<div><dt>{name}</dt><dd class=\"id\">{}</dd></div>", escaped(text));
    let details = [
        payment.description.as_deref().map(|text| line("For", text)),
        Some(id("Reference", &payment.reference)),
        Some(id("Payment", &payment.id)),
    ];
    let details: String = details.into_iter().flatten().collect();
    let below = if payment.awaits_customer(now) { choice(payment) } else { ended(payment, returns, now) };
    let body = format!(
        "<h1><span class=\"to\">To {merchant}</span> <span class=\"amount\">{amount}</span></h1><dl>{details}</dl>{below}"
    );
    page(200, &format!("{amount} to {merchant}"), &body)
}

fn choice(payment: &Payment) -> String {
    let again = match payment.payment_type {
        PaymentType::Recurring => "<p>By paying you also let this merchant charge your wallet again later.</p>",
        PaymentType::Regular => "",
    };
    let until = match payment.course {
        Course::Awaits { until } => {
            let exact = until.to_rfc3339_opts(SecondsFormat::Secs, true);
            let read = until.format("%-d %b %Y, %H:%M");
            format!("<p class=\"small\">You can decide until <time datetime=\"{exact}\">{read} UTC</time>.</p>")
        }
        Course::Ends { .. } => String::new(),
    };
    format!(
        "{again}<form method=\"post\"><button class=\"pay\" name=\"action\" value=\"pay\">Pay</button>\
         <button name=\"action\" value=\"decline\">Decline</button></form>{until}"
    )
}

fn ended(payment: &Payment, returns: &Returns, now: Instant) -> String {
    let url = escaped(&with_session(where_to(payment, returns, now), &payment.session_id));
    format!(
        "<p role=\"status\"><strong>There is nothing to decide: this payment is {}.</strong></p>\
         <p><a href=\"{url}\">Back to the shop</a></p>",
        payment.status(now).as_str()
    )
}

/// A whole page; `title` and `body` are HTML.
fn page(status: u16, title: &str, body: &str) -> Answer {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} (simulated)</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\
         <body><header><p><strong>Simulated AlipayHK</strong> No wallet is involved and no money moves.</p></header>\
         <main>{body}</main></body></html>\n"
    );
    let mut answer = Answer::html(status, html);
    answer.headers.extend([
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
    ]);
    answer
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
