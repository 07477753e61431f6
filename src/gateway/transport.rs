//! The seam to the gateway: one HTTP exchange. Production sends it with `reqwest`; the demo and a simulation hand it to the
//! sandbox's own router in this process. The client above is the same code in both.

use std::future::Future;
use std::pin::Pin;

use crate::clock::Instant;

/// One request, ready to be sent. The secret is in `authorization` and nowhere else.
#[derive(Clone)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: Method,
    /// Path and query, `/payments?reference=…`; the host belongs to the transport.
    pub path: String,
    /// The value of the `Authorization` header.
    pub authorization: secrecy::SecretString,
    /// The value of `Cko-Idempotency-Key`, for a `POST`.
    pub idempotency_key: Option<String>,
    /// The JSON body, for a `POST`.
    pub body: Option<String>,
}

/// The two verbs we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Writes.
    Post,
}

/// A whole answer: status line, the headers we read, and a body within the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status code.
    pub status: u16,
    /// `Cko-Request-Id`, to quote to the gateway's support.
    pub request_id: Option<String>,
    /// `Date`: the gateway's own clock, in whole seconds; none where it did not say, or not in a form that can be read.
    pub date: Option<Instant>,
    /// The body; empty where there was none.
    pub body: Vec<u8>,
}

/// The instant of a `Date` header (RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`).
pub(crate) fn date(text: &str) -> Option<Instant> {
    chrono::DateTime::parse_from_rfc2822(text).ok().map(|at| at.to_utc())
}

/// An exchange that gave no whole answer, by what it proves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// No connection was made: not a byte of the request was written.
    #[error("no connection to the gateway: {0}")]
    NotSent(String),
    /// Nothing came in time, or the answer broke off: the request may have been executed.
    #[error("no answer from the gateway: {0}")]
    NoAnswer(String),
    /// The answer was larger than we read: the request may have been executed.
    #[error("the gateway's answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit that was passed.
        limit_bytes: usize,
    },
}

/// The future of one exchange.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Reply, Lost>> + Send + 'a>>;

/// Whoever carries a request to a gateway and brings back what came.
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// Sends `request` once and waits for the whole answer, within the transport's limits. Never retries, never redirects.
    fn exchange(&self, request: Request) -> Exchange<'_>;
}
