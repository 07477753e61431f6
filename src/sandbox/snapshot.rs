//! What the sandbox keeps from one run to the next, as one JSON document: payments, keys, revoked sources, the seed. What is not in
//! it: settings and script, which every run is told anew, and every index, which the payments determine.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::State;
use super::keys::Keys;
use super::ledger::Ledger;
use super::payment::Payment;
use crate::clock::Instant;

/// The form of the document. Another form is refused, never guessed at.
const VERSION: u32 = 1;

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Cut off, or never written by a sandbox.
    #[error("it is not the state of a sandbox, or was damaged")]
    Broken(#[source] serde_json::Error),
    /// Written by another version of this program.
    #[error("it has version {found} of the form, and this program reads version {VERSION}")]
    OtherVersion {
        /// The version in the document.
        found: u32,
    },
    /// Two payments have one id.
    #[error("two of its payments have the same id, so that it was not written by one sandbox")]
    Twins,
}

/// What a sandbox goes on with.
#[derive(Debug)]
pub struct Snapshot {
    /// Determines the ids of every run.
    pub(super) seed: u64,
    /// The run that wrote it; the first is number 0.
    pub(super) run: u64,
    pub(super) ledger: Ledger,
    pub(super) keys: Keys,
    pub(super) unknown_fields: BTreeMap<String, u64>,
}

/// The document, read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(rename = "version")]
    _version: u32,
    seed: u64,
    run: u64,
    #[serde(rename = "written_at")]
    _written_at: Instant,
    payments: Vec<Payment>,
    revoked: HashMap<String, Instant>,
    keys: Keys,
    unknown_fields: BTreeMap<String, u64>,
}

/// The same document, borrowed from a sandbox that is at work.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    seed: u64,
    run: u64,
    written_at: Instant,
    payments: &'a [Payment],
    revoked: &'a HashMap<String, Instant>,
    keys: &'a Keys,
    unknown_fields: &'a BTreeMap<String, u64>,
}

impl Snapshot {
    /// Reads a document.
    ///
    /// # Errors
    /// [`SnapshotError`], whole or not at all: nothing of a damaged document is used.
    pub fn read(document: &[u8]) -> Result<Snapshot, SnapshotError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let Head { version } = serde_json::from_slice(document).map_err(SnapshotError::Broken)?;
        if version != VERSION {
            return Err(SnapshotError::OtherVersion { found: version });
        }
        let Read { seed, run, payments, revoked, keys, unknown_fields, .. } =
            serde_json::from_slice(document).map_err(SnapshotError::Broken)?;
        let ledger = Ledger::of(payments, revoked).ok_or(SnapshotError::Twins)?;
        Ok(Snapshot { seed, run, ledger, keys, unknown_fields })
    }

    /// The seed that determines its ids.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

/// The document of a sandbox in its `run`-th run.
pub(super) fn written(state: &State, seed: u64, run: u64, now: Instant) -> Vec<u8> {
    let document = Written {
        version: VERSION,
        seed,
        run,
        written_at: now,
        payments: state.ledger.payments(),
        revoked: state.ledger.revoked(),
        keys: &state.keys,
        unknown_fields: &state.unknown_fields,
    };
    serde_json::to_vec(&document).expect("the sandbox's state has text keys and no failing serializers")
}
