//! The door to the gateway's side of the books: every charge that something happened to is looked up by its reference, and every
//! difference is told. Nothing is changed, here or there.

mod compare;
mod look_ups;

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::gateway::outcome::LookUpOutcome;
use crate::store::charges::{BookedRow, ComparedRow};
use crate::store::{Store, StoreError};

pub use compare::{Difference, DifferenceKind};
pub use look_ups::{LookUps, Refused};

/// Charges that are held in memory at one time.
const SET: u32 = 500;

/// What a comparison came to.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Charges that were looked up.
    pub compared: u64,
    /// What no daemon will mend by itself.
    pub differences: Vec<Found>,
    /// What the next look of a daemon should mend: it stands only in the charge's future.
    pub not_learned_yet: Vec<Found>,
    /// Charges of which the gateway gave no whole list, and why.
    pub not_compared: Vec<(ComparedRow, String)>,
}

/// A difference, and of which charge.
#[derive(Debug)]
pub struct Found {
    /// The charge.
    pub charge: ComparedRow,
    /// The difference.
    pub difference: Difference,
}

/// Why a comparison ended early.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The books.
    #[error("the comparison could not read the books")]
    Store(#[from] StoreError),
    /// The gateway.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Compares every charge that something happened to since `since`; `progress` is told of each set that is done.
///
/// # Errors
/// [`CompareError`].
pub async fn compare(
    store: &Store,
    look_ups: &mut LookUps,
    since: Instant,
    settle_wait: TimeDelta,
    progress: impl Fn(u64),
) -> Result<Comparison, CompareError> {
    let mut comparison = Comparison::default();
    let mut after = i64::MIN;
    loop {
        let page = store.charges_moved_page(since, after, SET).await?;
        let Some(last) = page.last() else { return Ok(comparison) };
        after = last.id;
        comparison.compared += u64::try_from(page.len()).unwrap_or_default();
        let first = one_set(store, look_ups, page, settle_wait).await?;
        // What differs may have moved while it was looked up: it counts where it still differs at a second look.
        let again: Vec<i64> = first.differing();
        if !again.is_empty() {
            let charges = store.charges_compared(again).await?;
            comparison.add(one_set(store, look_ups, charges, settle_wait).await?);
        }
        comparison.not_compared.extend(first.not_compared);
        progress(comparison.compared);
    }
}

async fn one_set(
    store: &Store,
    look_ups: &mut LookUps,
    charges: Vec<ComparedRow>,
    settle_wait: TimeDelta,
) -> Result<Comparison, CompareError> {
    let booked = store.payments_booked(charges.iter().map(|charge| charge.id).collect()).await?;
    let mut ours: BTreeMap<i64, Vec<BookedRow>> = BTreeMap::new();
    for row in booked {
        ours.entry(row.charge_id).or_default().push(row);
    }
    let references = charges.iter().map(|charge| (charge.id, charge.reference.clone())).collect();
    let mut theirs = look_ups.look(references).await?;
    let now = store.now().await?;
    let mut found = Comparison::default();
    for charge in charges {
        let ours = ours.remove(&charge.id).unwrap_or_default();
        let theirs = match theirs.remove(&charge.id) {
            Some(LookUpOutcome::Listed(theirs)) => theirs,
            other => {
                found.not_compared.push((charge, look_ups::why(other.as_ref())));
                continue;
            }
        };
        for difference in compare::differences(&ours, &theirs) {
            let waits = difference.may_pass(&charge, &ours, now, settle_wait);
            let place = if waits { &mut found.not_learned_yet } else { &mut found.differences };
            place.push(Found { charge: charge.clone(), difference });
        }
    }
    Ok(found)
}

impl Comparison {
    /// Whether both sides are the same, as far as they can be by now.
    pub fn is_whole(&self) -> bool {
        self.differences.is_empty() && self.not_compared.is_empty()
    }

    fn differing(&self) -> Vec<i64> {
        let mut ids: Vec<i64> =
            self.differences.iter().chain(&self.not_learned_yet).map(|found| found.charge.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn add(&mut self, other: Comparison) {
        self.differences.extend(other.differences);
        self.not_learned_yet.extend(other.not_learned_yet);
        self.not_compared.extend(other.not_compared);
    }
}
