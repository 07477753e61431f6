//! What a person or a test asks of the sandbox itself, under `/sandbox/`: its books, and at run time the part of the customer, of the
//! wallet and of fate. JSON in and out. Checkout.com has nothing of the kind; a shop that calls it in production finds a 404.

use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::exchange::{Answer, HttpRequest, Method};
use super::fields::is_id;
use super::payment::Status;
use super::script::Script;
use super::script::cast::RuleCount;
use super::{BookedPayment, Sandbox};
use crate::clock::Instant;

/// So many characters of a request's text are repeated in an error.
const LONGEST_SHOWN: usize = 64;

/// A request that is not obeyed, and the field that is wrong.
struct Refused {
    status: u16,
    field: String,
    error: String,
}

/// What decides about all requests at once.
#[derive(Serialize)]
struct Controls {
    taken_at: Instant,
    unauthorised: bool,
    rules: Vec<RuleCount>,
    payments: usize,
    merchant_name: String,
    settle_after_ms: u128,
    approval_life_ms: u128,
    key_life_ms: u128,
    lookup_lag_ms: u128,
    read_lag_ms: u128,
    show_source_id_in_get: bool,
    accept_unknown_sources: bool,
    writes_per_second: Option<u32>,
    reads_per_second: Option<u32>,
    seed: u64,
}

/// One request below `/sandbox/`.
pub(super) fn answer(sandbox: &Sandbox, request: &HttpRequest<'_>, parts: &[&str]) -> Answer {
    let token = sandbox.settings().control_token.as_ref();
    if token.is_some_and(|token| request.bearer() != Some(token.expose_secret())) {
        let error = "this sandbox asks for `Authorization: Bearer` and its control token";
        return Refused::here(401, "authorization", error).answer();
    }
    let done = match (request.method, parts) {
        (Method::Get, ["books"]) => return Answer::json(200, &sandbox.books()),
        (Method::Get, ["books", "summary"]) => return Answer::json(200, &sandbox.summary()),
        (Method::Get, ["state"]) => return Answer::json(200, &Controls::of(sandbox)),
        (Method::Get, ["payments", id]) => booked(sandbox, id),
        (Method::Post, ["payments", id, verb @ ("approve" | "refuse" | "overturn")]) => {
            nothing_in(request).and_then(|()| decide(sandbox, id, verb))
        }
        (Method::Post, ["sources", id, "revoke"]) => revoke(sandbox, id, request.body),
        (Method::Post, ["script"]) => set_script(sandbox, request.body),
        (Method::Post, ["unauthorised"]) => set_unauthorised(sandbox, request.body),
        _ => Err(Refused::here(
            404,
            "path",
            "there is nothing here to ask for; `dues sandbox --help` lists what there is",
        )),
    };
    done.unwrap_or_else(Refused::answer)
}

fn booked(sandbox: &Sandbox, id: &str) -> Result<Answer, Refused> {
    let now = sandbox.0.clock.now();
    let state = sandbox.state();
    let unknown = || Refused::here(404, "id", &format!("there is no payment {}", shown(id)));
    let payment = state.ledger.payment(id).ok_or_else(unknown)?;
    Ok(Answer::json(200, &BookedPayment::of(payment, now)))
}

fn decide(sandbox: &Sandbox, id: &str, verb: &str) -> Result<Answer, Refused> {
    let (done, wanted) = match verb {
        "approve" => (sandbox.approve(id), "a first payment that waits for its customer"),
        "refuse" => (sandbox.refuse(id), "a first payment that waits for its customer"),
        _ => (sandbox.overturn(id), "a declined payment"),
    };
    let answer = booked(sandbox, id)?;
    if done {
        return Ok(answer);
    }
    let now = sandbox.0.clock.now();
    let status = sandbox.state().ledger.payment(id).map_or(Status::Pending, |payment| payment.status(now));
    Err(Refused::here(409, "id", &format!("{verb} needs {wanted}; this one is {}", status.as_str())))
}

/// A source that was never heard of is more often misspelt than imported, so that one must be said to be.
fn revoke(sandbox: &Sandbox, id: &str, body: &[u8]) -> Result<Answer, Refused> {
    if !is_id(id, "src_", 1..=64) {
        return Err(Refused::here(422, "id", "a source is src_ and letters or digits"));
    }
    let mut fields = if body.is_empty() { Map::new() } else { object(body)? };
    let imported = match fields.remove("imported") {
        None => false,
        Some(value) => {
            value.as_bool().ok_or_else(|| Refused::here(422, "imported", "`imported` must be true or false"))?
        }
    };
    nothing_left(&fields)?;
    if !imported && !sandbox.state().ledger.has_seen_source(id) {
        let error = format!(
            "no source {} was made or charged here; where one is imported and was not charged yet, send {{\"imported\": true}}",
            shown(id)
        );
        return Err(Refused::here(404, "id", &error));
    }
    sandbox.revoke_source(id);
    Ok(Answer::json(200, &json!({ "source_id": id, "revoked_at": sandbox.0.clock.now() })))
}

fn set_script(sandbox: &Sandbox, body: &[u8]) -> Result<Answer, Refused> {
    let refused = |error| Refused::here(422, "rule", &with_causes(&error));
    sandbox.set_script(Script::from_json(body).map_err(refused)?);
    Ok(Answer::json(200, &Controls::of(sandbox)))
}

fn set_unauthorised(sandbox: &Sandbox, body: &[u8]) -> Result<Answer, Refused> {
    let mut fields = object(body)?;
    let wanted = || Refused::here(422, "unauthorised", "`unauthorised` must be true or false");
    let unauthorised = fields.remove("unauthorised").and_then(|value| value.as_bool()).ok_or_else(wanted)?;
    nothing_left(&fields)?;
    sandbox.set_unauthorised(unauthorised);
    Ok(Answer::json(200, &Controls::of(sandbox)))
}

fn nothing_in(request: &HttpRequest<'_>) -> Result<(), Refused> {
    if request.body.is_empty() { Ok(()) } else { nothing_left(&object(request.body)?) }
}

fn nothing_left(fields: &Map<String, Value>) -> Result<(), Refused> {
    match fields.keys().next() {
        None => Ok(()),
        Some(field) => Err(Refused::here(422, &shown(field), "this field is not known here")),
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refused> {
    serde_json::from_slice(body).map_err(|_| Refused::here(422, "body", "the body must be a JSON object"))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {}", cause.to_string().trim_end()))
}

/// A text of the request as an answer repeats it: of bounded length.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST_SHOWN).collect()
}

impl Controls {
    fn of(sandbox: &Sandbox) -> Self {
        let settings = sandbox.settings();
        let state = sandbox.state();
        Controls {
            taken_at: sandbox.0.clock.now(),
            unauthorised: state.unauthorised,
            rules: state.cast.counts(),
            payments: state.ledger.payments().len(),
            merchant_name: settings.merchant_name.clone(),
            settle_after_ms: settings.settle_after.as_millis(),
            approval_life_ms: settings.approval_life.as_millis(),
            key_life_ms: settings.key_life.as_millis(),
            lookup_lag_ms: settings.lookup_lag.as_millis(),
            read_lag_ms: settings.read_lag.as_millis(),
            show_source_id_in_get: settings.show_source_id_in_get,
            accept_unknown_sources: settings.accept_unknown_sources,
            writes_per_second: settings.writes_per_second,
            reads_per_second: settings.reads_per_second,
            seed: sandbox.seed(),
        }
    }
}

impl Refused {
    fn here(status: u16, field: &str, error: &str) -> Self {
        Refused { status, field: field.to_owned(), error: error.to_owned() }
    }

    fn answer(self) -> Answer {
        Answer::json(self.status, &json!({ "error": self.error, "field": self.field }))
    }
}
