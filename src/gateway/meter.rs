//! Counts the reads of one question. A question may take more of them than it shows: a decline's code, a list's next page, the probe
//! after a 403. Whoever keeps the budget reads the meter afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::transport::{Exchange, Method, Request, Transport};

/// A transport that counts what goes through it.
#[derive(Debug)]
pub struct Meter {
    inner: Arc<dyn Transport>,
    reads: AtomicU32,
    rate_limited: AtomicBool,
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
        Meter { inner, reads: AtomicU32::new(0), rate_limited: AtomicBool::new(false) }
    }

    /// What was read until now.
    pub fn reads(&self) -> Reads {
        Reads { made: self.reads.load(Ordering::Relaxed), rate_limited: self.rate_limited.load(Ordering::Relaxed) }
    }
}

impl Transport for Meter {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        if request.method == Method::Post {
            return self.inner.exchange(request);
        }
        Box::pin(async move {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let came = self.inner.exchange(request).await;
            if came.as_ref().is_ok_and(|reply| reply.status == 429) {
                self.rate_limited.store(true, Ordering::Relaxed);
            }
            came
        })
    }
}
