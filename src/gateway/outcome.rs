//! What an exchange proves, and nothing more: pure functions from what came back to an outcome. The rules are the protocol's;
//! no caller looks at a status code again.

use super::circuit::{Failure, Signal, Trouble};
use super::payment::bounded;
use super::transport::{Lost, Reply};
use super::wire::{ErrorAnswer, PaymentAnswer, parse};

pub use super::payment::{DeclineCode, Expected, Payment, PaymentStatus, differences};

/// What a `POST /payments` proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostOutcome {
    /// The payment exists and is the one we asked for; its status says how it stands.
    Answered(Payment),
    /// A payment exists that differs from what we asked for: stored, shown to a person, never sent again.
    AnsweredWrong {
        /// The payment.
        payment: Payment,
        /// In what it differs.
        differences: Vec<String>,
    },
    /// Not charged, and the same request would be refused again.
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The gateway's words for it: never free text.
        error_codes: Vec<String>,
        /// To quote to the gateway's support.
        request_id: Option<String>,
    },
    /// Not charged, and it is our key or account that is refused, not this payment.
    OurFault {
        /// 401 or 403.
        status: u16,
        /// To quote to the gateway's support.
        request_id: Option<String>,
    },
    /// Not charged: the request was not taken.
    Unsent {
        /// Why.
        reason: Reason,
        /// Whether the gateway asks for a pause.
        pause: bool,
    },
    /// Nothing is proven: it may have been charged. Only a look-up resolves this.
    Unknown {
        /// Why.
        reason: Reason,
        /// Whether it was a 5xx, behind which an effect is believed longer.
        server_error: bool,
        /// To quote to the gateway's support.
        request_id: Option<String>,
    },
}

/// What a `GET /payments/{id}` proves.
#[expect(clippy::large_enum_variant, reason = "nearly every look sees a payment; a box would save nothing")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookOutcome {
    /// So it stands. Whether it is the payment we asked for, [`differences`] tells.
    Seen(Payment),
    /// The gateway does not know this id (now: a fresh payment may show later).
    NotFound,
    /// Our key or account is refused.
    OurFault {
        /// 401 or 403.
        status: u16,
    },
    /// Too many reads: pause.
    RateLimited,
    /// Look again later.
    NoConclusion {
        /// Why.
        reason: Reason,
        /// Whether it was a 5xx.
        server_error: bool,
    },
}

/// What a look-up by reference proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUpOutcome {
    /// Every payment of this reference, newest first; empty: there is none that the gateway shows now.
    Listed(Vec<Payment>),
    /// Our key or account is refused.
    OurFault {
        /// 401 or 403.
        status: u16,
    },
    /// Too many reads: pause.
    RateLimited,
    /// Nothing follows, absence least of all. Look again later.
    NoConclusion {
        /// Why.
        reason: Reason,
        /// Whether it was a 5xx.
        server_error: bool,
    },
}

/// Why an exchange proved less than hoped for. Holds no body, no URL and no secret: fit for logs and for the books.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not a byte was written.
    #[error("no connection was made: {0}")]
    NotSent(String),
    /// Nothing came in time, or the answer broke off.
    #[error("no whole answer came: {0}")]
    NoAnswer(String),
    /// More than we read.
    #[error("the answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// 429.
    #[error("the gateway limits our rate (HTTP 429)")]
    RateLimited,
    /// 409, or a 429 that says so.
    #[error("a request with the same key is under way (HTTP {status})")]
    DuplicateInFlight {
        /// 409 or 429.
        status: u16,
    },
    /// A status that proves nothing.
    #[error("HTTP {0}")]
    Status(u16),
    /// A good status with a body that is not what was asked for.
    #[error("HTTP {0} with a body that cannot be read as its answer")]
    Unreadable(u16),
    /// A good status without a payment's id.
    #[error("HTTP {0} without a payment's id")]
    NoId(u16),
    /// Another payment than the one asked for.
    #[error("the answer tells of another payment")]
    AnotherPayment,
    /// An id that cannot be asked for.
    #[error("this id cannot stand in a path")]
    BadId,
    /// A list that is not whole or not consistent.
    #[error("the list cannot be relied on: {0}")]
    List(&'static str),
}

/// What the POST of a payment proves. A 403 is taken for this payment's alone; the client asks whether it is everyone's.
pub fn of_post(came: Result<Reply, Lost>, expected: &Expected) -> PostOutcome {
    let reply = match came {
        Ok(reply) => reply,
        Err(Lost::NotSent(why)) => return PostOutcome::Unsent { reason: Reason::NotSent(why), pause: false },
        Err(lost) => return PostOutcome::Unknown { reason: lost.into(), server_error: false, request_id: None },
    };
    let status = reply.status;
    let unknown = |reason, request_id| PostOutcome::Unknown { reason, server_error: status >= 500, request_id };
    match status {
        200..=299 => match payment_in(&reply) {
            Ok(payment) => match differences(&payment, expected) {
                none if none.is_empty() => PostOutcome::Answered(payment),
                differences => PostOutcome::AnsweredWrong { payment, differences },
            },
            Err(reason) => unknown(reason, reply.request_id),
        },
        400 | 403 | 404 | 405 | 413 | 415 | 422 => {
            let (error_codes, request_id) = refusal(reply);
            PostOutcome::Rejected { status, error_codes, request_id }
        }
        401 => PostOutcome::OurFault { status, request_id: refusal(reply).1 },
        429 if !may_be_duplicate(&reply.body) => PostOutcome::Unsent { reason: Reason::RateLimited, pause: true },
        409 | 429 => unknown(Reason::DuplicateInFlight { status }, refusal(reply).1),
        _ => unknown(Reason::Status(status), refusal(reply).1),
    }
}

/// What the GET of the payment `id` proves.
pub fn of_look(came: Result<Reply, Lost>, id: &str) -> LookOutcome {
    match read(came) {
        Read::Whole(reply) => match payment_in(&reply) {
            Ok(payment) if payment.id == id => LookOutcome::Seen(payment),
            Ok(_) => LookOutcome::NoConclusion { reason: Reason::AnotherPayment, server_error: false },
            Err(reason) => LookOutcome::NoConclusion { reason, server_error: false },
        },
        Read::NotFound => LookOutcome::NotFound,
        Read::OurFault { status } => LookOutcome::OurFault { status },
        Read::RateLimited => LookOutcome::RateLimited,
        Read::NoConclusion { reason, server_error } => LookOutcome::NoConclusion { reason, server_error },
    }
}

/// What any GET proves before its body is read.
pub(super) enum Read {
    /// A 200 with its body.
    Whole(Reply),
    /// 404.
    NotFound,
    /// 401 or 403.
    OurFault { status: u16 },
    /// 429.
    RateLimited,
    /// Anything else.
    NoConclusion { reason: Reason, server_error: bool },
}

pub(super) fn read(came: Result<Reply, Lost>) -> Read {
    match came {
        Ok(reply) => match reply.status {
            200 => Read::Whole(reply),
            404 => Read::NotFound,
            status @ (401 | 403) => Read::OurFault { status },
            429 => Read::RateLimited,
            status => Read::NoConclusion { reason: Reason::Status(status), server_error: status >= 500 },
        },
        Err(lost) => Read::NoConclusion { reason: lost.into(), server_error: false },
    }
}

impl From<Lost> for Reason {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NotSent(why) => Reason::NotSent(why),
            Lost::NoAnswer(why) => Reason::NoAnswer(why),
            Lost::TooLarge { limit_bytes } => Reason::TooLarge { limit_bytes },
        }
    }
}

impl PostOutcome {
    /// What the circuit is to hear of it.
    pub fn signal(&self) -> Signal {
        match self {
            PostOutcome::Answered(_) | PostOutcome::AnsweredWrong { .. } | PostOutcome::Rejected { .. } => {
                Signal::Success
            }
            PostOutcome::OurFault { status, .. } => Signal::Failure(Failure::OurFault { status: *status }),
            PostOutcome::Unsent { reason, .. } | PostOutcome::Unknown { reason, .. } => reason.signal(),
        }
    }
}

impl LookOutcome {
    /// What the circuit is to hear of it.
    pub fn signal(&self) -> Signal {
        match self {
            LookOutcome::Seen(_) | LookOutcome::NotFound => Signal::Success,
            LookOutcome::OurFault { status } => Signal::Failure(Failure::OurFault { status: *status }),
            LookOutcome::RateLimited => Signal::Nothing,
            LookOutcome::NoConclusion { reason, .. } => reason.signal(),
        }
    }
}

impl LookUpOutcome {
    /// What the circuit is to hear of it.
    pub fn signal(&self) -> Signal {
        match self {
            LookUpOutcome::Listed(_) => Signal::Success,
            LookUpOutcome::OurFault { status } => Signal::Failure(Failure::OurFault { status: *status }),
            LookUpOutcome::RateLimited => Signal::Nothing,
            LookUpOutcome::NoConclusion { reason, .. } => reason.signal(),
        }
    }
}

impl Reason {
    /// A stable word for metrics and for the books.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::NotSent(_) => "not_sent",
            Reason::NoAnswer(_) => "no_answer",
            Reason::TooLarge { .. } => "too_large",
            Reason::RateLimited => "rate_limited",
            Reason::DuplicateInFlight { .. } => "duplicate_in_flight",
            Reason::Status(_) => "status",
            Reason::Unreadable(_) => "unreadable",
            Reason::NoId(_) => "no_id",
            Reason::AnotherPayment => "another_payment",
            Reason::BadId => "bad_id",
            Reason::List(_) => "list",
        }
    }

    fn signal(&self) -> Signal {
        let trouble = |trouble| Signal::Failure(Failure::ServerTrouble(trouble));
        match self {
            Reason::NotSent(why) => trouble(Trouble::NoConnection(concrete(why))),
            Reason::NoAnswer(why) if why.contains("timed out") => trouble(Trouble::TimeOut),
            Reason::NoAnswer(why) => trouble(Trouble::BrokenOff(concrete(why))),
            Reason::Status(status) if *status >= 500 => trouble(Trouble::Status(*status)),
            // The gateway answered, if not what we hoped for: this says nothing of the next request.
            Reason::TooLarge { .. }
            | Reason::RateLimited
            | Reason::DuplicateInFlight { .. }
            | Reason::Status(_)
            | Reason::Unreadable(_)
            | Reason::NoId(_)
            | Reason::AnotherPayment
            | Reason::BadId
            | Reason::List(_) => Signal::Nothing,
        }
    }
}

/// What the system, TLS or the other end said, without the HTTP library's words around it for where that was.
fn concrete(why: &str) -> String {
    let inner = why.split_once("client error (").and_then(|(_, rest)| rest.split_once("): ")).map_or(why, |(_, it)| it);
    let inner = inner.strip_prefix("tcp connect error: ").unwrap_or(inner);
    bounded(inner.split(" (os error").next().unwrap_or(inner), 200)
}

fn payment_in(reply: &Reply) -> Result<Payment, Reason> {
    let answer = parse::<PaymentAnswer>(&reply.body).ok_or(Reason::Unreadable(reply.status))?;
    Payment::from_wire(answer, reply.request_id.clone()).ok_or(Reason::NoId(reply.status))
}

/// The error codes and the request id. Only words of the gateway's own kind are kept: what else stands in an error's body may
/// echo the request, and with it the customer.
fn refusal(reply: Reply) -> (Vec<String>, Option<String>) {
    let answer: ErrorAnswer = parse(&reply.body).unwrap_or_default();
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-');
    let codes = answer.error_codes.unwrap_or_default().into_iter().map(|code| code.0);
    let kept = codes.filter(|code| (1..=64).contains(&code.len()) && code.bytes().all(word)).take(20).collect();
    let told = answer.request_id.filter(|id| id.bytes().all(|byte| byte.is_ascii_graphic()));
    (kept, reply.request_id.or(told).map(|id| bounded(&id, 64)))
}

/// Whether a 429 may mean that the same key is under way. A rate limit in front of the gateway answers with nothing or with a
/// page; but JSON that cannot be read may have held the word.
fn may_be_duplicate(body: &[u8]) -> bool {
    const WORD: &[u8] = b"duplicate_request";
    let names_it = body.windows(WORD.len()).any(|window| window == WORD);
    let broken_json = body.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'['))
        && serde_json::from_slice::<serde_json::Value>(body).is_err();
    names_it || broken_json
}
