//! How many requests a second are granted: a ring of the instants of those that were.

use std::collections::VecDeque;

use chrono::TimeDelta;

use crate::clock::Instant;

/// A sliding second.
#[derive(Debug)]
pub(super) struct SlidingSecond {
    granted: VecDeque<Instant>,
    limit: Option<usize>,
}

impl SlidingSecond {
    /// At most `limit` in any second; none: unlimited, and nothing is remembered.
    pub(super) fn new(limit: Option<u32>) -> Self {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        SlidingSecond { granted: VecDeque::with_capacity(limit.unwrap_or_default().min(10_000)), limit }
    }

    /// Whether one more request is granted at `now`. A refused one costs nothing.
    pub(super) fn grant(&mut self, now: Instant) -> bool {
        let Some(limit) = self.limit else { return true };
        let second_ago = now - TimeDelta::seconds(1);
        while self.granted.front().is_some_and(|at| *at <= second_ago) {
            self.granted.pop_front();
        }
        if self.granted.len() >= limit {
            return false;
        }
        self.granted.push_back(now);
        true
    }
}
