//! The periods that have begun and that the books have not opened. Their references are computed, so books that were set back find the
//! payments of what they have forgotten, before any daemon has run on them.

use std::collections::BTreeMap;

use super::{CompareError, Compared, Found, Sides, compare, look_ups};
use crate::clock::Instant;
use crate::domain::reference::LedgerId;
use crate::gateway::outcome::LookUpOutcome;
use crate::store::StoreError;
use crate::store::subscriptions::{StoredSchedule, UnopenedRow};

/// Periods of one subscription that are gone through, from the first that the books have not opened.
const PERIODS_AT_MOST: usize = 5_000;

/// A period to look up.
#[derive(Debug)]
struct Unopened {
    subscription_id: i64,
    compared: Compared,
}

impl Sides<'_> {
    /// Looks up every period that began within the span and that the books have not opened.
    pub(super) async fn compare_unopened(&mut self, ledger: &LedgerId) -> Result<(), CompareError> {
        let now = self.store.now().await?;
        let mut after = i64::MIN;
        loop {
            let page = self.store.unopened_page(now, after, super::SET).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let mut schedules = self.store.schedules(page.iter().map(|row| row.id).collect()).await?;
            let mut unopened = Vec::new();
            for row in page {
                match begun(&row, schedules.remove(&row.id), self.span.since, now) {
                    Ok(indexes) => unopened.extend(
                        indexes
                            .into_iter()
                            .map(|index| Unopened { subscription_id: row.id, compared: compared(ledger, &row, index) }),
                    ),
                    Err(why) => self.comparison.not_compared.push((compared(ledger, &row, row.next_index), why)),
                }
            }
            self.expect(unopened.len());
            let set = usize::try_from(super::SET).unwrap_or(usize::MAX);
            while !unopened.is_empty() {
                let rest = unopened.split_off(unopened.len().min(set));
                self.one_set_of_unopened(std::mem::replace(&mut unopened, rest)).await?;
            }
        }
    }

    async fn one_set_of_unopened(&mut self, set: Vec<Unopened>) -> Result<(), CompareError> {
        let count = set.len();
        let references = (0_i64..).zip(&set).map(|(number, it)| (number, it.compared.reference.clone())).collect();
        let mut theirs = self.look(references).await?;
        // A daemon may have opened one meanwhile: then it is compared with the other charges, which come after these.
        let next: BTreeMap<i64, i64> =
            self.store.next_indexes(set.iter().map(|it| it.subscription_id).collect()).await?;
        for (number, it) in (0_i64..).zip(set) {
            if next.get(&it.subscription_id).is_none_or(|next| *next > it.compared.period_index) {
                continue;
            }
            match theirs.remove(&number) {
                Some(LookUpOutcome::Listed(theirs)) => {
                    let found = |difference| Found { compared: it.compared.clone(), difference };
                    self.comparison.differences.extend(compare::not_opened(&theirs).into_iter().map(found));
                }
                other => self.comparison.not_compared.push((it.compared, look_ups::why(other.as_ref()))),
            }
        }
        self.comparison.unopened += u64::try_from(count).unwrap_or_default();
        self.done(count);
        Ok(())
    }
}

/// The periods of a subscription that began since `since` and have no row, or why they are not known.
fn begun(
    row: &UnopenedRow,
    schedule: Option<Result<StoredSchedule, StoreError>>,
    since: Instant,
    now: Instant,
) -> Result<Vec<i64>, String> {
    let schedule = match schedule {
        Some(Ok(schedule)) => schedule.schedule,
        Some(Err(unreadable)) => return Err(unreadable.to_string()),
        None => return Err("it has no schedule".to_owned()),
    };
    let periods = schedule.begun_by(row.next_index, now, PERIODS_AT_MOST).map_err(|error| error.to_string())?;
    Ok(periods.into_iter().filter(|period| period.start_at >= since).map(|period| period.index).collect())
}

fn compared(ledger: &LedgerId, row: &UnopenedRow, period_index: i64) -> Compared {
    Compared {
        subscription: row.reference.clone(),
        period_index,
        reference: ledger.reference(&row.reference, period_index),
        charge_id: None,
    }
}
