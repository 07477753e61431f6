//! The far side of the wire: requests on their way to the sandbox, answers on their way back, each at its instant of true time.
//! What reaches the sandbox late, or twice, reaches it whether or not the daemon that sent it is still alive.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::ExposeSecret;
use serde_json::Value;

use super::oaths::Oaths;
use crate::clock::Instant;
use crate::gateway::transport::{Lost, Method, Reply, Request, date};
use crate::sandbox::{Answer, Fault, HttpRequest, RuleBreaches, Sandbox};

/// What a client hears at the end of an exchange.
pub(super) type Heard = Result<Reply, Lost>;

/// What a POST says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Post {
    pub key: String,
    pub reference: String,
    pub subscription: String,
    pub period: i64,
    pub attempt: i64,
}

/// One request on its way.
pub(super) struct Delivery {
    pub request: Request,
    /// What goes wrong there.
    pub fault: Option<Fault>,
    /// Whose answer it is, and when it is back; none: nobody hears it.
    pub answers: Option<(u64, Instant)>,
    /// Whether it is a copy that the network made: its breaches of the gateway's rules are not the client's.
    pub is_copy: bool,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("path", &self.request.path).finish_non_exhaustive()
    }
}

/// One exchange as the client sees it.
#[derive(Debug)]
struct Exchange {
    daemon: usize,
    at: Instant,
    /// Set by the delivery that answers it.
    heard: Option<Heard>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gateway {
    pub sandbox: Sandbox,
    /// One request after the other, so that what each of them did can be told apart.
    door: Mutex<()>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    on_the_way: BTreeMap<(Instant, u64), Delivery>,
    exchanges: BTreeMap<u64, Exchange>,
    next_ticket: u64,
    /// Breaches of the gateway's rules that copies made.
    by_copies: u64,
    oaths: Oaths,
}

/// What came of a delivery that reached the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    pub post: Option<Post>,
    pub status: u16,
    /// Payments under the reference that may hold money, before and after it.
    pub alive: (usize, usize),
    /// All payments under the reference, before and after it.
    pub made: (usize, usize),
}

impl Gateway {
    pub fn new(sandbox: Sandbox) -> Self {
        Gateway { sandbox, door: Mutex::default(), inside: Mutex::default() }
    }

    /// Begins an exchange that ends at `at`; `heard` is what its client then hears, unless a delivery brings an answer.
    pub fn begin(&self, daemon: usize, at: Instant, heard: Option<Heard>) -> u64 {
        let mut inside = self.inside();
        inside.next_ticket += 1;
        let ticket = inside.next_ticket;
        inside.exchanges.insert(ticket, Exchange { daemon, at, heard });
        ticket
    }

    /// Puts a request on its way.
    pub fn deliver_at(&self, at: Instant, delivery: Delivery) {
        let mut inside = self.inside();
        inside.next_ticket += 1;
        let number = inside.next_ticket;
        inside.on_the_way.insert((at, number), delivery);
    }

    /// Hands everything over that has arrived by `now`.
    pub fn arrive(&self, now: Instant) -> Vec<Done> {
        let mut done = Vec::new();
        loop {
            let delivery = {
                let mut inside = self.inside();
                match inside.on_the_way.first_key_value() {
                    Some((key, _)) if key.0 <= now => inside.on_the_way.pop_first().map(|(_, delivery)| delivery),
                    _ => None,
                }
            };
            let Some(delivery) = delivery else { return done };
            done.push(self.hand_over(delivery));
        }
    }

    fn hand_over(&self, delivery: Delivery) -> Done {
        let Delivery { request, fault, answers, is_copy } = delivery;
        let _through = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        let post = post_of(&request);
        let reference = post.as_ref().map(|post| post.reference.clone());
        let before = self.payments(reference.as_deref());
        let breaches = self.sandbox.rule_breaches().total();
        let answer = self.sandbox.handle_spoilt(
            HttpRequest {
                method: request.method,
                path: &request.path,
                authorization: Some(request.authorization.expose_secret()),
                idempotency_key: request.idempotency_key.as_deref(),
                body: request.body.as_deref().unwrap_or_default().as_bytes(),
            },
            fault,
        );
        let after = self.payments(reference.as_deref());
        let mut answer = answer;
        // The docs give two numbers for the refusal of a duplicate, by version.
        if is_copy && answer.status == 429 && answers.is_some_and(|(ticket, _)| ticket.is_multiple_of(2)) {
            answer.status = 409;
        }
        let status = answer.status;
        let mut inside = self.inside();
        if is_copy {
            inside.by_copies += self.sandbox.rule_breaches().total() - breaches;
        }
        if let Some((ticket, at)) = answers
            && let Some(exchange) = inside.exchanges.get_mut(&ticket)
        {
            exchange.at = at;
            exchange.heard = Some(Ok(reply(answer)));
        }
        Done { post, status, alive: (before.1, after.1), made: (before.0, after.0) }
    }

    /// All payments of a reference, and those that hold money or may come to.
    fn payments(&self, reference: Option<&str>) -> (usize, usize) {
        use crate::sandbox::Status;
        let payments = reference.map(|it| self.sandbox.payments_of(it)).unwrap_or_default();
        let failed = |status| matches!(status, Status::Declined | Status::Canceled | Status::Expired);
        (payments.len(), payments.iter().filter(|it| !failed(it.status)).count())
    }

    /// What the client hears, once it is time.
    pub fn heard(&self, ticket: u64, now: Instant) -> Option<Heard> {
        let mut inside = self.inside();
        if inside.exchanges.get(&ticket).is_none_or(|it| it.at > now || it.heard.is_none()) {
            return None;
        }
        inside.exchanges.remove(&ticket).and_then(|exchange| exchange.heard)
    }

    /// Whether a request for a payment under this reference is on its way.
    pub fn is_on_the_way(&self, reference: &str) -> bool {
        let posts = |it: &Delivery| post_of(&it.request).is_some_and(|post| post.reference == reference);
        self.inside().on_the_way.values().any(posts)
    }

    /// Nobody waits for this daemon's answers any more.
    pub fn forget(&self, daemon: usize) {
        self.inside().exchanges.retain(|_, exchange| exchange.daemon != daemon);
    }

    /// When a request arrives, or an answer, next. An answer that is there waits for its daemon, not for the time.
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        let inside = self.inside();
        let arrival = inside.on_the_way.first_key_value().map(|(key, _)| key.0);
        let answer = inside.exchanges.values().filter(|it| it.heard.is_some() && it.at > now).map(|it| it.at).min();
        [arrival, answer].into_iter().flatten().min()
    }

    /// Whether an answer for this daemon is there.
    pub fn has_answer(&self, daemon: usize, now: Instant) -> bool {
        self.inside().exchanges.values().any(|it| it.daemon == daemon && it.heard.is_some() && it.at <= now)
    }

    /// Breaches of the gateway's rules that are the client's own.
    pub fn breaches(&self) -> (u64, RuleBreaches) {
        let breaches = self.sandbox.rule_breaches();
        (breaches.total().saturating_sub(self.inside().by_copies), breaches)
    }

    /// Holds a send against what a client has sworn.
    pub fn swear<T>(&self, by: impl FnOnce(&mut Oaths) -> T) -> T {
        by(&mut self.inside().oaths)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request to make a payment says of itself; none for anything else.
pub(super) fn post_of(request: &Request) -> Option<Post> {
    if request.method != Method::Post {
        return None;
    }
    let body: Value = serde_json::from_str(request.body.as_deref()?).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &body["metadata"];
    Some(Post {
        key: request.idempotency_key.clone().unwrap_or_default(),
        reference: text(&body["reference"]),
        subscription: text(&metadata["subscription"]),
        period: text(&metadata["period"]).parse().unwrap_or_default(),
        attempt: text(&metadata["attempt"]).parse().unwrap_or_default(),
    })
}

fn reply(answer: Answer) -> Reply {
    let header = |wanted| answer.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let (request_id, date) = (header("cko-request-id").cloned(), header("date").and_then(|it| date(it)));
    Reply { status: answer.status, request_id, date, body: answer.body }
}
