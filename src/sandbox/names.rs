//! The ids the sandbox gives, and the dice its rules throw: two generators of one seed, so that a new id never moves a throw.

use crate::chance::Chance;
use crate::domain::id::base32;

/// Both generators.
#[derive(Debug)]
pub(super) struct Names {
    ids: Chance,
    dice: Chance,
}

impl Names {
    /// The generators that `seed` determines.
    pub(super) fn seeded(seed: u64) -> Self {
        Names { ids: Chance::seeded(seed), dice: Chance::seeded(seed.rotate_left(32) ^ 0x5eed) }
    }

    /// The generators of one run of several on the same books; the first run is number 0. Each run has its own, because a run
    /// that was killed may have given ids that were never written down.
    pub(super) fn of_run(seed: u64, run: u64) -> Self {
        // The odd constant is that of Fibonacci hashing: runs of one seed land far from each other and from other seeds.
        Names::seeded(seed ^ run.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// `prefix` and 26 characters, as Checkout.com's ids are today.
    pub(super) fn id(&self, prefix: &str) -> String {
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(&self.ids.ten_bytes());
        bytes[10..].copy_from_slice(&self.ids.ten_bytes()[..6]);
        let mut id = String::with_capacity(prefix.len() + 26);
        id.push_str(prefix);
        id.push_str(&base32(&bytes));
        id
    }

    /// The id of one request.
    pub(super) fn request_id(&self) -> String {
        base32(&self.ids.ten_bytes()).to_uppercase()
    }

    /// Whether a thing that happens `per_mille` times in a thousand happens now.
    pub(super) fn happens(&self, per_mille: u16) -> bool {
        self.dice.below(1000) < u64::from(per_mille)
    }
}
