//! Counts the reads of one question, and notes the gateway's clock. A question may take more reads than it shows: a decline's code, a
//! list's next page, the probe after a 403. Whoever keeps the budget reads the meter afterwards.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::transport::{Exchange, Method, Request, Transport};
use crate::clock::Instant;

/// A transport that counts what goes through it.
#[derive(Debug)]
pub struct Meter {
    inner: Arc<dyn Transport>,
    reads: AtomicU32,
    rate_limited: AtomicBool,
    answered: Mutex<Option<Answered>>,
}

/// That there was an answer, whatever it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// When the last one that says so was made, by the gateway's clock; none where none did.
    pub date: Option<Instant>,
}

/// What a meter shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// How many were made.
    pub made: u32,
    /// Whether one of them met the gateway's rate limit.
    pub rate_limited: bool,
}

impl Meter {
    pub(super) fn over(inner: Arc<dyn Transport>) -> Meter {
        Meter { inner, reads: AtomicU32::new(0), rate_limited: AtomicBool::new(false), answered: Mutex::default() }
    }

    /// What was read until now.
    pub fn reads(&self) -> Reads {
        Reads { made: self.reads.load(Ordering::Relaxed), rate_limited: self.rate_limited.load(Ordering::Relaxed) }
    }

    /// What the answers say of the time; none where no answer came.
    pub fn answered(&self) -> Option<Answered> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Meter {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            let is_read = request.method == Method::Get;
            self.reads.fetch_add(u32::from(is_read), Ordering::Relaxed);
            let came = self.inner.exchange(request).await;
            if let Ok(reply) = &came {
                let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
                let heard = answered.and_then(|answered| answered.date);
                *answered = Some(Answered { date: reply.date.or(heard) });
                if is_read && reply.status == 429 {
                    self.rate_limited.store(true, Ordering::Relaxed);
                }
            }
            came
        })
    }
}
