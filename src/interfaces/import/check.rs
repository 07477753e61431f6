//! A row against plans and calendar, against the price that it states, and, where nobody looks its first payment up, what becomes of it.

use chrono::{Days, NaiveDate};

use super::evidence;
use super::price::Stated;
use super::{Books, Evidence, Import};
use crate::engine::hand_over::{Acceptable, HandOver, Refusal};

/// A start of a period is looked for so far from a day that is none: half a year, the furthest that one can be in a yearly plan.
const FURTHEST_START_DAYS: u64 = 183;

impl Import {
    /// A row whose first payment nobody looks up.
    pub(super) fn unproven(&self, hand_over: &HandOver) -> Result<Option<String>, String> {
        match &self.evidence {
            Evidence::Nowhere(why) if hand_over.source_id.is_empty() => {
                Err(format!("source_id is missing and first_payment_id was not looked up, because {why}"))
            }
            Evidence::Barred(why) => evidence::later(why),
            Evidence::Nowhere(_) | Evidence::Gateway(_) | Evidence::Presumed => Ok(None),
        }
    }

    /// Checks a row against plans and calendar, and the price that it states against the plan's.
    pub(super) fn acceptable(&self, hand_over: HandOver, stated: &Stated) -> Result<Acceptable, String> {
        let accepted = self.checked(hand_over.clone()).map_err(|refusal| match refusal {
            Refusal::NotAPeriod { on, anchor_on } => {
                let nearest = self.nearest_start(&hand_over, on, anchor_on);
                let nearest = nearest.map(|day| format!("; the nearest is {day}")).unwrap_or_default();
                format!("{refusal}{nearest}")
            }
            // The cell may hold anything, so the plans are named instead of it.
            Refusal::NoPlan(_) => {
                let names: Vec<&str> = match &self.books {
                    Books::Enter { engine } => engine.rules.plan_names().collect(),
                    Books::Rehearse { rehearsal, .. } => rehearsal.plan_names().collect(),
                };
                format!("plan is none of: {}", names.join(", "))
            }
            other => other.to_string(),
        })?;
        stated.agrees(accepted.falls_due().price)?;
        Ok(accepted)
    }

    fn checked(&self, hand_over: HandOver) -> Result<Acceptable, Refusal> {
        match &self.books {
            Books::Enter { engine } => engine.acceptable(hand_over),
            Books::Rehearse { rehearsal, clock, .. } => rehearsal.acceptable(hand_over, clock.now()),
        }
    }

    /// The start of a period that is nearest to a day, the earlier of two; none where it is further than [`FURTHEST_START_DAYS`]. The
    /// engine's own check is asked day by day, so that no second calendar can tell another day.
    fn nearest_start(&self, hand_over: &HandOver, on: NaiveDate, anchor_on: NaiveDate) -> Option<NaiveDate> {
        if on < anchor_on {
            return Some(anchor_on);
        }
        let is_start = |day: &NaiveDate| {
            let moved = HandOver { next_charge_on: Some(*day), ..hand_over.clone() };
            !matches!(self.checked(moved), Err(Refusal::NotAPeriod { .. }))
        };
        (1..=FURTHEST_START_DAYS)
            .flat_map(|days| [on.checked_sub_days(Days::new(days)), on.checked_add_days(Days::new(days))])
            .flatten()
            .find(is_start)
    }
}
