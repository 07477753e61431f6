//! What the gate grants, and how it goes back.

use std::sync::PoisonError;

use super::{Gate, Kind};
use crate::clock::Instant;

/// What the gate grants. What is not used of it goes back when it is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Grant<'a> {
    pub(super) gate: &'a Gate,
    pub(super) kind: Kind,
    pub(super) requests: u32,
    /// When more may be asked for.
    pub wake_at: Option<Instant>,
}

impl Grant<'_> {
    /// So many requests may be made.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Gives back all but so many, before the rest is used.
    pub fn keep(&mut self, needed: u32) {
        let unused = self.requests.saturating_sub(needed);
        self.requests -= unused;
        self.gate.0.lock().unwrap_or_else(PoisonError::into_inner).give_back(self.kind, unused);
    }

    /// The requests are being made.
    pub fn used(mut self) {
        let mut inside = self.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = &mut *inside;
        let (bucket, spent) = match self.kind {
            Kind::Write | Kind::Resend => (&mut inside.writes, &mut inside.writes_spent),
            Kind::Read => (&mut inside.reads, &mut inside.reads_spent),
        };
        if self.requests > 0 {
            bucket.used();
        }
        *spent += u64::from(self.requests);
        self.requests = 0;
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        self.keep(0);
    }
}
