//! The one seeded generator. Ids and jitter draw from it, so that a run is repeated by its seed.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// A seeded source of randomness, shared by reference.
#[derive(Debug)]
pub struct Chance(Mutex<StdRng>);

impl Chance {
    /// The generator that `seed` determines.
    pub fn seeded(seed: u64) -> Self {
        Chance(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// A generator seeded by the operating system, for production.
    pub fn from_system() -> Self {
        Chance(Mutex::new(rand::make_rng()))
    }

    /// Ten random bytes: what a UUID v7 needs beside its time.
    pub fn ten_bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// A whole number in `0..below`; 0 where `below` is 0.
    pub fn below(&self, below: u64) -> u64 {
        if below == 0 {
            return 0;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..below)
    }
}
