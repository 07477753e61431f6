//! Idempotency keys: which answers are replayed, which are refused as duplicates, and which sends broke the client's own rules.
//! A key counts for the whole account, whatever the path: the strictest reading of what Checkout.com leaves open.

use std::collections::HashMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Instant;

/// A key must rest this long before it is sent again.
const REST: TimeDelta = TimeDelta::seconds(30);

/// What a key means for the request that carries it.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Unknown, expired, or only ever answered with an error: the request runs.
    Run,
    /// The saved status and body are the answer.
    Replay(u16, Vec<u8>),
    /// An earlier request with this key has not been answered yet.
    InFlight,
}

/// Sends that a careful client never makes, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleBreaches {
    /// A known key came with another path or body.
    pub other_body: u64,
    /// A key came while it was in flight.
    pub in_flight: u64,
    /// A key came again within 30 seconds of its last send.
    pub resent_too_soon: u64,
}

impl RuleBreaches {
    /// All kinds together.
    pub fn total(&self) -> u64 {
        self.other_body + self.in_flight + self.resent_too_soon
    }
}

/// All keys ever seen. They are never forgotten, because the books count their sends; what expires is what they saved.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    by_key: HashMap<String, Key>,
    /// What the client did wrong so far.
    pub(super) breaches: RuleBreaches,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    sends: u32,
    last_sent_at: Instant,
    fingerprint: u64,
    in_flight_until: Option<Instant>,
    saved: Option<Saved>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    status: u16,
    /// JSON that the sandbox wrote itself.
    body: String,
    until: Instant,
}

impl Keys {
    /// Writes down that `key` was sent, and what broke a rule about it.
    pub(super) fn note_send(&mut self, key: &str, fingerprint: u64, now: Instant) {
        let Some(known) = self.by_key.get_mut(key) else {
            let first = Key { sends: 1, last_sent_at: now, fingerprint, in_flight_until: None, saved: None };
            self.by_key.insert(key.to_owned(), first);
            return;
        };
        self.breaches.other_body += u64::from(known.fingerprint != fingerprint);
        self.breaches.resent_too_soon += u64::from(now < known.last_sent_at + REST);
        known.sends = known.sends.saturating_add(1);
        known.last_sent_at = now;
    }

    /// What `key` means at `now`.
    pub(super) fn verdict(&mut self, key: &str, now: Instant) -> Verdict {
        let Some(known) = self.by_key.get(key) else { return Verdict::Run };
        if known.in_flight_until.is_some_and(|until| now < until) {
            self.breaches.in_flight += 1;
            return Verdict::InFlight;
        }
        match &known.saved {
            Some(saved) if now < saved.until => Verdict::Replay(saved.status, saved.body.clone().into_bytes()),
            Some(_) | None => Verdict::Run,
        }
    }

    /// Saves the answer to `key` until `until`.
    pub(super) fn save(&mut self, key: &str, status: u16, body: &[u8], until: Instant) {
        if let Some(known) = self.by_key.get_mut(key) {
            known.saved = Some(Saved { status, body: String::from_utf8_lossy(body).into_owned(), until });
        }
    }

    /// Holds `key` in flight until `until`.
    pub(super) fn hold(&mut self, key: &str, until: Instant) {
        if let Some(known) = self.by_key.get_mut(key) {
            known.in_flight_until = Some(until);
        }
    }

    /// Every key with the number of its sends, in no order.
    pub(super) fn sends(&self) -> impl Iterator<Item = (&str, u32)> {
        self.by_key.iter().map(|(key, known)| (key.as_str(), known.sends))
    }
}

/// A number that two requests share only when path and body are the same. It stands in state files, so that it must be the
/// same in every build: the standard library's hasher does not promise that.
pub(super) fn fingerprint(path: &str, body: &[u8]) -> u64 {
    let digest = Sha256::new().chain_update(path).chain_update([0]).chain_update(body).finalize();
    let (first, _) = digest.split_first_chunk().expect("a SHA-256 is longer than eight bytes");
    u64::from_be_bytes(*first)
}
