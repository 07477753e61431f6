//! The door to the gateway's side of the books: every charge that something happened to, and every period that the books have not opened,
//! is looked up by its reference, and every difference is told. Nothing is changed, here or there.

mod compare;
mod look_ups;
mod pace;
mod unopened;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::domain::reference::LedgerId;
use crate::gateway::outcome::LookUpOutcome;
use crate::store::charges::{BookedRow, ComparedRow};
use crate::store::{Store, StoreError};

pub use compare::{Difference, DifferenceKind};
pub use look_ups::{LookUps, Refused};
pub use pace::Pace;

/// References that are held in memory at one time.
const SET: u32 = 500;

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// What something happened to since then, and periods that began since then.
    pub since: Instant,
    /// A payment that was first seen so lately need not be shown by the gateway yet.
    pub settle_wait: TimeDelta,
    /// The configured budget of reads, of which a living daemon needs its part.
    pub reads_per_second: Option<NonZeroU32>,
}

/// What a comparison came to.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Charges that were looked up.
    pub compared: u64,
    /// Periods that were looked up although the books have not opened them.
    pub unopened: u64,
    /// What no daemon will mend by itself.
    pub differences: Vec<Found>,
    /// What the next look of a daemon should mend: it stands only in the charge's future.
    pub not_learned_yet: Vec<Found>,
    /// What the gateway gave no whole list of, and why.
    pub not_compared: Vec<(Compared, String)>,
}

/// What was looked up.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The merchant's own reference of the subscription.
    pub subscription: String,
    /// The period's number.
    pub period_index: i64,
    /// The reference that its payments carry.
    pub reference: String,
    /// The shown id of its charge; none where the books have not opened it.
    pub charge_id: Option<String>,
}

/// A difference, and of what.
#[derive(Debug)]
pub struct Found {
    /// The period.
    pub compared: Compared,
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

/// Both sides, and how far they are compared.
struct Sides<'a> {
    store: &'a Store,
    look_ups: &'a mut LookUps,
    span: Span,
    progress: &'a dyn Fn(u64, u64),
    comparison: Comparison,
    done: u64,
    expected: u64,
}

/// Compares every charge that something happened to within the span, and every period that began within it and has no row; `progress` is
/// told how much is done, of how much that is known by then.
///
/// # Errors
/// [`CompareError`].
pub async fn compare(
    store: &Store,
    look_ups: &mut LookUps,
    span: Span,
    progress: impl Fn(u64, u64),
) -> Result<Comparison, CompareError> {
    let expected = store.charges_moved(span.since).await?;
    let comparison = Comparison::default();
    let mut sides = Sides { store, look_ups, span, progress: &progress, comparison, done: 0, expected };
    // Books that nobody has begun have no subscriptions either.
    if let Some(installation) = store.installation().await? {
        sides.compare_unopened(&LedgerId::from_stored(installation.ledger_id)).await?;
    }
    sides.compare_charges().await?;
    Ok(sides.comparison)
}

impl Sides<'_> {
    async fn compare_charges(&mut self) -> Result<(), CompareError> {
        let mut after = i64::MIN;
        loop {
            let page = self.store.charges_moved_page(self.span.since, after, SET).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let count = page.len();
            self.comparison.compared += u64::try_from(count).unwrap_or_default();
            let first = self.one_set(page).await?;
            // What differs may have moved while it was looked up: it counts where it still differs at a second look.
            if !first.differing.is_empty() {
                let charges = self.store.charges_compared(first.differing.into_iter().collect()).await?;
                let second = self.one_set(charges).await?;
                self.comparison.differences.extend(second.differences);
                self.comparison.not_learned_yet.extend(second.not_learned_yet);
                self.comparison.not_compared.extend(second.not_compared);
            }
            self.comparison.not_compared.extend(first.not_compared);
            self.done(count);
        }
    }

    async fn one_set(&mut self, charges: Vec<ComparedRow>) -> Result<OneSet, CompareError> {
        let booked = self.store.payments_booked(charges.iter().map(|charge| charge.id).collect()).await?;
        let mut ours: BTreeMap<i64, Vec<BookedRow>> = BTreeMap::new();
        for row in booked {
            ours.entry(row.charge_id).or_default().push(row);
        }
        let references = charges.iter().map(|charge| (charge.id, charge.reference.clone())).collect();
        let mut theirs = self.look(references).await?;
        let now = self.store.now().await?;
        let mut found = OneSet::default();
        for charge in charges {
            let ours = ours.remove(&charge.id).unwrap_or_default();
            let theirs = match theirs.remove(&charge.id) {
                Some(LookUpOutcome::Listed(theirs)) => theirs,
                other => {
                    found.not_compared.push((Compared::of(&charge), look_ups::why(other.as_ref())));
                    continue;
                }
            };
            for difference in compare::differences(&ours, &theirs) {
                found.differing.insert(charge.id);
                let waits = difference.may_pass(&charge, &ours, now, self.span.settle_wait);
                let place = if waits { &mut found.not_learned_yet } else { &mut found.differences };
                place.push(Found { compared: Compared::of(&charge), difference });
            }
        }
        Ok(found)
    }

    /// Looks these up, no faster than leaves a living daemon its part: one may have started or ended since the last set.
    async fn look(&mut self, references: Vec<(i64, String)>) -> Result<BTreeMap<i64, LookUpOutcome>, CompareError> {
        let pace = Pace::of(self.store, self.span.reads_per_second).await?;
        self.look_ups.keep_to(pace.per_second);
        Ok(self.look_ups.look(references).await?)
    }

    fn expect(&mut self, more: usize) {
        self.expected += u64::try_from(more).unwrap_or_default();
    }

    fn done(&mut self, more: usize) {
        self.done += u64::try_from(more).unwrap_or_default();
        (self.progress)(self.done, self.expected);
    }
}

/// What one set of charges came to.
#[derive(Default)]
struct OneSet {
    differing: BTreeSet<i64>,
    differences: Vec<Found>,
    not_learned_yet: Vec<Found>,
    not_compared: Vec<(Compared, String)>,
}

impl Comparison {
    /// Whether both sides are the same, as far as they can be by now.
    pub fn is_whole(&self) -> bool {
        self.differences.is_empty() && self.not_compared.is_empty()
    }
}

impl Compared {
    fn of(charge: &ComparedRow) -> Compared {
        Compared {
            subscription: charge.subscription.clone(),
            period_index: charge.period_index,
            reference: charge.reference.clone(),
            charge_id: Some(charge.public_id.clone()),
        }
    }
}
