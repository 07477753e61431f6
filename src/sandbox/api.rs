//! The payments API: who may call, what goes wrong, whether the key was seen, and only then what is asked.

use secrecy::ExposeSecret;

use super::exchange::{Answer, Fate, HttpRequest, Method, Refusal, pairs};
use super::keys::{Verdict, fingerprint};
use super::ledger::Ledger;
use super::order::{PaymentOrder, RefundOrder};
use super::payment::{Payment, later};
use super::replies::{Accepted, Action, Found, RefundAccepted, Shown};
use super::script::Fault;
use super::script::cast::Facts;
use super::{Sandbox, State};
use crate::clock::Instant;

/// The size of a huge body.
const HUGE_BYTES: usize = 50 * 1024 * 1024;
/// So many different unknown fields are told apart in the books.
const MOST_UNKNOWN_FIELDS: usize = 200;

/// What is asked.
enum Call<'a> {
    Pay(Box<PaymentOrder>),
    Refund { id: &'a str, order: RefundOrder },
    Read { id: &'a str },
    Actions { id: &'a str },
    Find { reference: String, limit: usize, skip: usize },
}

/// One request to the API, with what was found out about it on the way.
pub(super) fn answer(
    sandbox: &Sandbox,
    request: &HttpRequest<'_>,
    parts: &[&str],
    query: &str,
    request_id: &str,
    forced: Option<Fault>,
    now: Instant,
) -> Answer {
    // Reading needs no lock, and is most of the work.
    let call = read(request, parts, query);
    let mut state = sandbox.state();
    if state.unauthorised || !is_authorised(sandbox, request) {
        return Answer::empty(401);
    }
    let window = match request.method {
        Method::Get => &mut state.reads,
        Method::Post => &mut state.writes,
    };
    if !window.grant(now) {
        return Refusal::too_many("too_many_requests").answer(request_id);
    }
    let fault = forced.or_else(|| fault(sandbox, &mut state, request.method, call.as_ref().ok(), now));
    let key = request.idempotency_key.filter(|_| request.method == Method::Post);
    match fault {
        Some(Fault::Unauthorised) => return Answer::empty(401),
        Some(Fault::Forbidden) => return Answer::empty(403),
        Some(Fault::RateLimited) => return Refusal::too_many("too_many_requests").answer(request_id),
        _ => {}
    }
    if let Some(key) = key {
        state.keys.note_send(key, fingerprint(request.path, request.body), now);
    }
    match fault {
        Some(Fault::LostRequest) => return Answer { fate: Fate::Never, ..Answer::empty(504) },
        Some(Fault::ErrorBefore(status)) => return Refusal::bare(status).answer(request_id),
        _ => {}
    }
    let shown_status = match &fault {
        Some(Fault::Status(status)) => Some(status.as_str()),
        _ => None,
    };
    let verdict = key.map_or(Verdict::Run, |key| state.keys.verdict(key, now));
    let answer = match verdict {
        Verdict::InFlight => return Refusal::too_many("duplicate_request").answer(request_id),
        Verdict::Replay(status, body) => {
            Answer { content_type: Some(super::exchange::JSON), body, ..Answer::empty(status) }
        }
        Verdict::Run => {
            let done = call.and_then(|call| perform(sandbox, &mut state, call, key, shown_status, now));
            // What is saved is what was processed, and only if the key survives.
            if let (Ok(answer), Some(key)) = (&done, key)
                && !matches!(fault, Some(Fault::ErrorAfter(_)))
            {
                state.keys.save(key, answer.status, &answer.body, later(now, sandbox.settings().key_life));
            }
            done.unwrap_or_else(|refusal| refusal.answer(request_id))
        }
    };
    if let (Some(Fault::Slow(delay)), Some(key)) = (&fault, key) {
        state.keys.hold(key, later(now, *delay));
    }
    drop(state);
    spoilt(answer, fault)
}

fn is_authorised(sandbox: &Sandbox, request: &HttpRequest<'_>) -> bool {
    request.bearer() == Some(sandbox.settings().secret_key.expose_secret())
}

fn read<'a>(request: &HttpRequest<'a>, parts: &[&'a str], query: &str) -> Result<Call<'a>, Refusal> {
    match (request.method, parts) {
        (Method::Post, []) => PaymentOrder::read(request.body).map(|order| Call::Pay(Box::new(order))),
        (Method::Post, [id, "refunds"]) => RefundOrder::read(request.body).map(|order| Call::Refund { id, order }),
        // The wallet knows neither.
        (Method::Post, [_, "captures" | "voids"]) => Err(Refusal::bare(403)),
        (Method::Get, []) => find(query),
        (Method::Get, [id]) => Ok(Call::Read { id }),
        (Method::Get, [id, "actions"]) => Ok(Call::Actions { id }),
        _ => Err(Refusal::bare(404)),
    }
}

fn find<'a>(query: &str) -> Result<Call<'a>, Refusal> {
    let pairs = pairs(query).ok_or(Refusal::invalid("request_query_malformed"))?;
    let value = |name: &str| pairs.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    let number = |name, otherwise| value(name).map_or(Ok(otherwise), str::parse);
    let wrong = |_| Refusal::invalid("paging_limit_invalid");
    let limit = number("limit", 10).map_err(wrong)?;
    let skip = number("skip", 0).map_err(wrong)?;
    if !(1..=100).contains(&limit) {
        return Err(Refusal::invalid("paging_limit_invalid"));
    }
    let reference = value("reference").filter(|reference| !reference.is_empty());
    let reference = reference.ok_or(Refusal::invalid("reference_invalid"))?.to_owned();
    Ok(Call::Find { reference, limit, skip })
}

fn fault(sandbox: &Sandbox, state: &mut State, method: Method, call: Option<&Call<'_>>, now: Instant) -> Option<Fault> {
    let State { ledger, cast, .. } = state;
    let facts = match call {
        None => Facts::default(),
        Some(Call::Pay(order)) => order.facts(),
        Some(Call::Refund { id, .. } | Call::Read { id } | Call::Actions { id }) => {
            found(ledger, id).map(Payment::facts).unwrap_or_default()
        }
        Some(Call::Find { reference, .. }) => {
            let newest = ledger.with_reference(reference, now).next().map(Payment::facts);
            newest.unwrap_or(Facts { reference: Some(reference), ..Facts::default() })
        }
    };
    cast.fault(method, &facts, now, sandbox.names())
}

fn perform(
    sandbox: &Sandbox,
    state: &mut State,
    call: Call<'_>,
    key: Option<&str>,
    shown_status: Option<&str>,
    now: Instant,
) -> Result<Answer, Refusal> {
    let settings = sandbox.settings();
    let readable = |id| found(&state.ledger, id).filter(|p| p.read_from <= now).ok_or(Refusal::bare(404));
    match call {
        Call::Pay(mut order) => {
            let unknown = std::mem::take(&mut order.unknown_fields);
            note_unknown(state, "", unknown);
            let payment = state.ledger.open(*order, key, &mut state.cast, settings, sandbox.names(), now);
            Ok(Answer::json(202, &Accepted::of(payment, settings)))
        }
        Call::Refund { id, mut order } => {
            let unknown = std::mem::take(&mut order.unknown_fields);
            note_unknown(state, "refund.", unknown);
            let (payment, refund) = state.ledger.refund(id, order, settings, sandbox.names(), now)?;
            Ok(Answer::json(202, &RefundAccepted::of(payment, refund, settings)))
        }
        Call::Read { id } => Ok(Answer::json(200, &Shown::of(readable(id)?, shown_status, settings, now))),
        Call::Actions { id } => {
            let payment = readable(id)?;
            // What is shown as ended and has not tells no code.
            let untold = shown_status.is_some() && payment.ended(now).is_none();
            let actions = if untold { Vec::new() } else { Action::all_of(payment, now) };
            Ok(Answer::json(200, &actions))
        }
        Call::Find { reference, limit, skip } => {
            let total_count = state.ledger.with_reference(&reference, now).count();
            let page = state.ledger.with_reference(&reference, now).skip(skip).take(limit);
            let data = page.map(|payment| Shown::of(payment, shown_status, settings, now)).collect();
            Ok(Answer::json(200, &Found { limit, skip, total_count, data }))
        }
    }
}

fn found<'a>(ledger: &'a Ledger, id: &str) -> Option<&'a Payment> {
    if id.starts_with("sid_") { ledger.payment_of_session(id) } else { ledger.payment(id) }
}

fn note_unknown(state: &mut State, place: &str, fields: Vec<String>) {
    for field in fields {
        let room = state.unknown_fields.len() < MOST_UNKNOWN_FIELDS;
        let name = format!("{place}{field}");
        let name = if room || state.unknown_fields.contains_key(&name) { name } else { "…".to_owned() };
        *state.unknown_fields.entry(name).or_default() += 1;
    }
}

/// The answer after what goes wrong on its way back.
fn spoilt(answer: Answer, fault: Option<Fault>) -> Answer {
    match fault {
        Some(Fault::LostResponse) => Answer { fate: Fate::Never, ..answer },
        Some(Fault::ErrorAfter(status)) => Answer::empty(status),
        Some(Fault::Slow(delay)) => Answer { fate: Fate::After(delay), ..answer },
        Some(Fault::TruncatedBody) => {
            let mut body = answer.body;
            body.truncate(body.len() / 2);
            Answer { body, ..answer }
        }
        Some(Fault::HtmlBody) => Answer {
            content_type: Some("text/html"),
            body: b"<html><body><h1>Service temporarily unavailable</h1></body></html>".to_vec(),
            ..answer
        },
        Some(Fault::Huge) => Answer { body: vec![b' '; HUGE_BYTES], ..answer },
        // These were answered before anything was done, or changed what was shown.
        Some(
            Fault::LostRequest
            | Fault::ErrorBefore(_)
            | Fault::Unauthorised
            | Fault::Forbidden
            | Fault::RateLimited
            | Fault::Status(_),
        )
        | None => answer,
    }
}
