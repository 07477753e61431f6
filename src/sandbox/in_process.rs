//! The sandbox as a transport in this process: the client's requests reach it without a socket, and nothing sleeps.
//! What a real transport would wait for is decided at once: an answer that would come too late does not come.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::Sandbox;
use super::exchange::{Fate, HttpRequest};
use crate::gateway::transport::{Exchange, Lost, Reply, Request, Transport, date};

/// A client waits this long for an answer.
const PATIENCE: Duration = Duration::from_secs(45);
/// A client reads this much of a body.
const LIMIT_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
struct InProcess(Sandbox);

impl Sandbox {
    /// A transport that ends in this sandbox.
    pub fn in_process(&self) -> Arc<dyn Transport> {
        Arc::new(InProcess(self.clone()))
    }
}

impl Transport for InProcess {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(std::future::ready(self.carry(&request)))
    }
}

impl InProcess {
    fn carry(&self, request: &Request) -> Result<Reply, Lost> {
        let answer = self.0.handle(HttpRequest {
            method: request.method,
            path: &request.path,
            authorization: Some(request.authorization.expose_secret()),
            idempotency_key: request.idempotency_key.as_deref(),
            body: request.body.as_deref().unwrap_or_default().as_bytes(),
        });
        match answer.fate {
            Fate::Never => return Err(Lost::NoAnswer("the simulated gateway kept silent".to_owned())),
            Fate::After(delay) if delay > PATIENCE => {
                return Err(Lost::NoAnswer(format!("the simulated gateway would have taken {} s", delay.as_secs())));
            }
            Fate::After(_) | Fate::Deliver => {}
        }
        if answer.body.len() > LIMIT_BYTES {
            return Err(Lost::TooLarge { limit_bytes: LIMIT_BYTES });
        }
        let header = |wanted| answer.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let (request_id, date) = (header("cko-request-id").cloned(), header("date").and_then(|it| date(it)));
        Ok(Reply { status: answer.status, request_id, date, body: answer.body })
    }
}
