//! The client: which requests are made of payments. What their answers prove is judged in [`super::outcome`].

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::listing::{self, Listing, PAGE_SIZE};
use super::meter::Meter;
use super::outcome::{self, LookOutcome, LookUpOutcome, PostOutcome, Read, Reason};
use super::payment::{DeclineCode, Expected, PaymentStatus, decline_code, is_id};
use super::transport::{Lost, Method, Reply, Request, Transport};
use super::wire::{ActionAnswer, object};

pub use super::body::{Customer, FirstPayment, FrozenBody, LaterPayment, NotABody, Order, Os, Terminal, digest};

/// Asks the gateway of payments. Cheap to clone; never retries.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    authorization: SecretString,
}

/// What the actions of a declined payment told of its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codes {
    /// Read; the code may still be missing there.
    Read(DeclineCode),
    /// Not read this time; a later look may tell.
    Unread(Reason),
}

impl Client {
    /// A client with the account's secret key.
    pub fn new(transport: Arc<dyn Transport>, secret_key: &SecretString) -> Client {
        Client { transport, authorization: format!("Bearer {}", secret_key.expose_secret()).into() }
    }

    /// The same client for one question, and the meter that counts its reads.
    pub fn metered(&self) -> (Client, Arc<Meter>) {
        let meter = Arc::new(Meter::over(Arc::clone(&self.transport)));
        (
            Client { transport: Arc::clone(&meter) as Arc<dyn Transport>, authorization: self.authorization.clone() },
            meter,
        )
    }

    /// Sends one payment, once. `key` is the attempt's idempotency key, `body` what [`FrozenBody::with_customer`] gave.
    /// A 403 is followed by one look-up, which tells whether this payment is refused or everything of ours.
    pub async fn create_payment(&self, key: &str, body: String, expected: &Expected) -> PostOutcome {
        let request = Request {
            method: Method::Post,
            path: "/payments".to_owned(),
            authorization: self.authorization.clone(),
            idempotency_key: Some(key.to_owned()),
            body: Some(body),
        };
        match outcome::of_post(self.transport.exchange(request).await, expected) {
            PostOutcome::Rejected { status: 403, request_id, .. } if !self.is_admitted(&expected.reference).await => {
                PostOutcome::OurFault { status: 403, request_id }
            }
            outcome => outcome,
        }
    }

    /// Reads one payment by the id that the gateway gave it. The code of a declined one takes a second read.
    pub async fn payment(&self, id: &str) -> LookOutcome {
        if !is_id(id) {
            return LookOutcome::NoConclusion { reason: Reason::BadId, server_error: false };
        }
        let mut outcome = outcome::of_look(self.get(format!("/payments/{id}")).await, id);
        if let LookOutcome::Seen(payment) = &mut outcome
            && payment.status == PaymentStatus::Declined
            && payment.response_code.is_none()
        {
            match self.codes_of(id).await {
                Codes::Read(code) => {
                    payment.response_code = code.response_code;
                    payment.response_summary = code.response_summary.or(payment.response_summary.take());
                }
                Codes::Unread(_) => payment.code_unread = true,
            }
        }
        outcome
    }

    /// Why a payment was declined: the code of its newest declined authorisation or capture.
    pub async fn codes_of(&self, id: &str) -> Codes {
        if !is_id(id) {
            return Codes::Unread(Reason::BadId);
        }
        match outcome::read(self.get(format!("/payments/{id}/actions")).await) {
            Read::Whole(reply) => match actions_in(&reply) {
                Some(actions) => Codes::Read(decline_code(actions)),
                None => Codes::Unread(Reason::Unreadable(reply.status)),
            },
            Read::NotFound => Codes::Unread(Reason::Status(404)),
            Read::OurFault { status } => Codes::Unread(Reason::Status(status)),
            Read::RateLimited => Codes::Unread(Reason::RateLimited),
            Read::NoConclusion { reason, .. } => Codes::Unread(reason),
        }
    }

    /// Every payment that bears `reference`, or no conclusion: a list of which a part is missing is no list. The codes of
    /// declined ones are not read here; ask [`Client::codes_of`].
    pub async fn payments_by_reference(&self, reference: &str) -> LookUpOutcome {
        let mut listing = Listing::of(reference);
        loop {
            let page = self.get(listing::path(reference, PAGE_SIZE, listing.skip())).await;
            match listing.add(page) {
                None => {}
                Some(outcome) => return outcome,
            }
        }
    }

    /// Whether the gateway takes our key at all. Only an answer that is neither 401 nor 403 and no failure of the gateway's
    /// proves it: where the probe is lost too, the fault is taken for everyone's, because that is tried again by itself
    /// while a rejected payment waits for a person.
    async fn is_admitted(&self, reference: &str) -> bool {
        match self.get(listing::path(reference, 1, 0)).await {
            Ok(reply) => matches!(reply.status, 200..=299 | 404 | 422),
            Err(_) => false,
        }
    }

    async fn get(&self, path: String) -> Result<Reply, Lost> {
        let authorization = self.authorization.clone();
        self.transport
            .exchange(Request { method: Method::Get, path, authorization, idempotency_key: None, body: None })
            .await
    }
}

/// Every entry or none: an odd one may be the very decline that is asked for.
fn actions_in(reply: &Reply) -> Option<Vec<ActionAnswer>> {
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&reply.body).ok()?;
    entries.into_iter().map(object).collect()
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("transport", &self.transport).finish_non_exhaustive()
    }
}
