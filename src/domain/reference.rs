//! References and idempotency keys: computed, never drawn, so that a restored database or a fresh import finds its own payments.
//! The forms are those of the charging protocol: one reference per billing period, one key per attempt.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::domain::id::base32;

/// Whose books these are: equal after any restore or re-import, different for another installation, environment or channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerId(String);

impl LedgerId {
    /// Derives it from the installation's name, the environment's word and the processing channel.
    pub fn new(installation: &str, environment: &str, channel: &str) -> Self {
        LedgerId(base32(&digest(&[installation, environment, channel]))[..26].to_owned())
    }

    /// The ledger id that a database remembers.
    pub fn from_stored(text: String) -> Self {
        LedgerId(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reference under which every payment of one billing period stands at the gateway; at most 50 characters.
    pub fn reference(&self, subscription_reference: &str, period_index: i64) -> String {
        let hash = base32(&digest(&[&self.0, subscription_reference, &period_index.to_string()]));
        format!("d1-{}-{period_index}", &hash[..26])
    }

    /// The idempotency key of attempt `n` under `reference`: a UUID v8 (RFC 9562), so that no other scheme claims its bits.
    pub fn idempotency_key(&self, reference: &str, n: i64) -> String {
        let hash = digest(&[&self.0, reference, &n.to_string()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string()
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 over the parts, each behind its length, so that no two lists of parts run together into one text.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_keys_are_the_same_for_ever() {
        let ledger = LedgerId::new("acme", "live", "pc_x");
        assert_eq!(
            (ledger.as_str(), ledger.to_string().as_str()),
            ("ue6uamjb4ochmk176glp3dbren", "ue6uamjb4ochmk176glp3dbren")
        );
        let reference = ledger.reference("ORD-1", 12);
        assert_eq!(ledger, LedgerId::new("acme", "live", "pc_x"));
        // Computed once by another program; a change here means that old payments are no longer found.
        assert_eq!(reference, "d1-189nui4gqm2efdo9pdql1tbdqi-12");
        assert_eq!(ledger.idempotency_key(&reference, 1), "d2023de6-91c0-8fce-b0c3-173972df3076");
    }

    #[test]
    fn nothing_runs_together() {
        let ledger = LedgerId::new("acme", "live", "");
        let mut seen = std::collections::BTreeSet::new();
        for subscription in ["a", "a1", "a-1", "", "1"] {
            for period in [-1, 0, 1, 11] {
                let reference = ledger.reference(subscription, period);
                assert!(reference.len() <= 50);
                assert!(seen.insert(ledger.idempotency_key(&reference, 1)));
                assert!(seen.insert(ledger.idempotency_key(&reference, 11)));
                assert!(seen.insert(reference));
            }
        }
        assert_ne!(LedgerId::new("ab", "c", ""), LedgerId::new("a", "bc", ""));
    }
}
