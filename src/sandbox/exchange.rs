//! One exchange with the sandbox: what came in, what goes out, and whether it goes out at all. Knows nothing of payments.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Instant;
pub use crate::gateway::transport::Method;

/// A request, borrowed from whichever door it came through.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    /// `GET` or `POST`; the doors answer 405 to anything else.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The value of the `Cko-Idempotency-Key` header.
    pub idempotency_key: Option<&'a str>,
    /// The body; empty where there was none.
    pub body: &'a [u8],
}

impl HttpRequest<'_> {
    /// What the `Authorization` header carries as a bearer.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.authorization.and_then(|value| value.strip_prefix("Bearer "))
    }
}

/// What becomes of an answer on its way to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Deliver,
    /// It arrives after this long.
    After(Duration),
    /// The client never hears anything.
    Never,
}

/// An answer, and its fate. Only a door may wait: the core that makes answers never sleeps.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// Headers beside the content type.
    pub headers: Vec<(&'static str, String)>,
    /// The content type, where there is a body.
    pub content_type: Option<&'static str>,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
    /// What becomes of it.
    pub fate: Fate,
}

impl Answer {
    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Answer { status, headers: Vec::new(), content_type: None, body: Vec::new(), fate: Fate::Deliver }
    }

    /// An answer in JSON.
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("the sandbox's replies have text keys and no failing serializers");
        Answer { content_type: Some(JSON), body, ..Answer::empty(status) }
    }

    /// A page for a browser.
    pub fn html(status: u16, page: String) -> Self {
        Answer { content_type: Some("text/html; charset=utf-8"), body: page.into_bytes(), ..Answer::empty(status) }
    }

    /// Sends the browser elsewhere.
    pub fn see_other(url: String) -> Self {
        Answer { headers: vec![("location", url)], ..Answer::empty(303) }
    }

    /// With the headers every answer carries: the request's id, the version and the date of the sandbox's clock.
    pub(super) fn stamped(mut self, request_id: String, now: Instant) -> Self {
        self.headers.push(("date", now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()));
        self.headers.push(("cko-request-id", request_id));
        self.headers.push(("cko-version", "3.30.0+simulated".to_owned()));
        self
    }
}

/// A request that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The code in the body; none: no body at all, as with 401, 403 and 404.
    pub(super) error_code: Option<&'static str>,
}

impl Refusal {
    /// A refusal without a body.
    pub(super) fn bare(status: u16) -> Self {
        Refusal { status, error_code: None }
    }

    /// A 422 with its reason.
    pub(super) fn invalid(error_code: &'static str) -> Self {
        Refusal { status: 422, error_code: Some(error_code) }
    }

    /// A 429 with its reason.
    pub(super) fn too_many(error_code: &'static str) -> Self {
        Refusal { status: 429, error_code: Some(error_code) }
    }

    /// The answer in the gateway's form.
    pub(super) fn answer(self, request_id: &str) -> Answer {
        #[derive(Serialize)]
        struct Body<'a> {
            request_id: &'a str,
            error_type: &'a str,
            error_codes: [&'a str; 1],
        }
        match self.error_code {
            None => Answer::empty(self.status),
            Some(code) => {
                let body = Body { request_id, error_type: "request_invalid", error_codes: [code] };
                Answer::json(self.status, &body)
            }
        }
    }
}

/// The content type of every API reply.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// Path, query and nothing else of a request's target.
pub(super) fn split_target(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// The pairs of a query or of a form, decoded; none where they are not well formed.
pub(super) fn pairs(encoded: &str) -> Option<Vec<(String, String)>> {
    let uri = format!("/?{encoded}").parse().ok()?;
    axum::extract::Query::try_from_uri(&uri).ok().map(|axum::extract::Query(pairs)| pairs)
}
