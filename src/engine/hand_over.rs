//! `hand over`: enters subscriptions whose first payment was made elsewhere, in sets. What is there already stays as it is, so the
//! same file may be handed over again.

mod doubles;
mod rehearsal;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::clock::Instant;
use crate::domain::calendar::{CalendarError, Period, Schedule, Segment, Zone, local_date};
use crate::domain::catch_up::{CatchUp, Decision};
use crate::domain::id::SubscriptionId;
use crate::domain::money::Money;
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;
use crate::engine::grants::Grants;
use crate::engine::{Engine, EngineError};
use crate::store::StoreError;
use crate::store::customers::NewCustomer;
use crate::store::journal::Entry;
use crate::store::plans::StoredPlan;
use crate::store::subscriptions::NewSubscription;
use doubles::{Known, Verdicts};

pub use crate::engine::grants::BeyondPlan;
pub use rehearsal::Rehearsal;

/// Periods that may have begun by now and were not charged by dues. More are a slip of the pen in a date far more often than a wish,
/// and the catch-up rule must see all of them at once.
pub const MOST_PERIODS_BEGUN: usize = 1_000;

/// One subscription to hand over.
#[derive(Debug, Clone)]
pub struct HandOver {
    /// The merchant's own reference.
    pub reference: String,
    /// The plan's name.
    pub plan: String,
    /// What is charged.
    pub source_id: String,
    /// The first payment, as evidence.
    pub first_payment_id: Option<String>,
    /// Who pays.
    pub customer: NewCustomer,
    /// The first day of period 0.
    pub anchor_on: NaiveDate,
    /// The customer's time zone.
    pub zone: Zone,
    /// The first period that dues charges begins on this day; where none is given the catch-up rule decides over past periods.
    pub next_charge_on: Option<NaiveDate>,
}

/// Why one subscription cannot be handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The plan is not in the books.
    #[error("plan {0:?} is not in the config")]
    NoPlan(String),
    /// Its price is not agreed on.
    #[error(
        "the price of plan {0} changes by more than limits.price_change_percent in the config: `dues plans` shows it, and \
         `dues plans --accept {0} --reason TEXT` takes it up"
    )]
    Withheld(String),
    /// The calendar has no such date.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// The day is no first day of a period.
    #[error("next_charge_on {on} is not the first day of a period counted from anchor_on {anchor_on}")]
    NotAPeriod {
        /// What was asked for.
        on: NaiveDate,
        /// Where periods are counted from.
        anchor_on: NaiveDate,
    },
    /// Nothing can be charged to the source.
    #[error("source_id is {state} in the books and cannot be charged: {}", uncharged(*state))]
    Source {
        /// Where the source stands.
        state: SourceState,
    },
    /// One payment begins one subscription.
    #[error("first_payment_id began a subscription of the books already, {by:?}: one payment begins one subscription")]
    Begun {
        /// The merchant's own reference of that one.
        by: String,
    },
    /// Two on the same source and plan are one too many, unless it is meant.
    #[error("source_id is charged for this plan already, by {by:?}: import with --another where one more is meant")]
    Stands {
        /// The merchant's own reference of that one.
        by: String,
    },
    /// Too far back.
    #[error("more than {MOST_PERIODS_BEGUN} periods have begun since anchor_on {anchor_on}: give next_charge_on")]
    TooFarBack {
        /// Where periods are counted from.
        anchor_on: NaiveDate,
    },
}

/// What to do about a source that cannot be charged.
fn uncharged(state: SourceState) -> &'static str {
    match state {
        SourceState::Revoked => "ask the customer for a new authorisation",
        SourceState::Failed => "its first payment was never captured, ask the customer to approve anew",
        SourceState::Provisional => "its first payment is not captured yet, import the row again once it is",
        SourceState::Active => "it is ready, import the row again",
    }
}

/// Whether a source that the books know may be charged.
fn chargeable(state: SourceState) -> Result<(), Refusal> {
    match state {
        SourceState::Active => Ok(()),
        SourceState::Provisional | SourceState::Revoked | SourceState::Failed => Err(Refusal::Source { state }),
    }
}

/// What whoever hands over has said yes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// To whatever is added to days that are planned already. Without it nothing is entered of a set for which their plans have no room.
    pub acknowledged: bool,
    /// To one more subscription on a source and plan that are charged already.
    pub another: bool,
}

/// What became of a set. Whatever stands in neither of the first two was there already, unless it goes beyond the plans.
#[derive(Debug, Default)]
pub struct HandedOver {
    /// The references that were entered.
    pub entered: BTreeSet<String>,
    /// Why others were not, by reference.
    pub refused: BTreeMap<String, Refusal>,
    /// Those that stand beside one on the same source and plan.
    pub beside: BTreeSet<String>,
    /// Charges for which the plans of today and tomorrow have no room. Where there are any, nothing of the set was entered.
    pub beyond_plan: BeyondPlan,
}

/// What the catch-up rule makes of the periods that have begun already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallsDue {
    /// Periods that are charged at once.
    pub charges: usize,
    /// Periods that wait for a person's decision.
    pub held: usize,
    /// The price of each.
    pub price: Money,
}

/// A subscription that can be handed over.
#[derive(Debug, Clone)]
pub struct Acceptable {
    hand_over: HandOver,
    plan_id: i64,
    segment: Segment,
    next_index: i64,
    next_charge_at: Instant,
    falls_due: FallsDue,
    at_once: Option<AtOnce>,
}

/// The days of the periods that are charged at once.
#[derive(Debug, Clone, Copy)]
struct AtOnce {
    /// The first day of the earliest; none where that is the subscription's first period, which a payment before it has paid as well.
    from_on: Option<NaiveDate>,
    /// The first day after the latest.
    until_on: NaiveDate,
}

impl Acceptable {
    /// When its first charge falls due.
    pub fn next_charge_at(&self) -> Instant {
        self.next_charge_at
    }

    /// What is charged at once.
    pub fn falls_due(&self) -> FallsDue {
        self.falls_due
    }

    /// The merchant's own reference.
    pub fn reference(&self) -> &str {
        &self.hand_over.reference
    }

    /// Whether a period that is charged at once was paid at this instant, by the first payment, and nobody has said which period comes
    /// next: charged now, it would be paid twice.
    pub fn is_paid_by(&self, paid_at: Instant) -> bool {
        let paid_on = local_date(&self.hand_over.zone, paid_at);
        let covers = |days: AtOnce| days.from_on.is_none_or(|from_on| from_on <= paid_on) && paid_on < days.until_on;
        self.hand_over.next_charge_on.is_none() && self.at_once.is_some_and(covers)
    }

    /// Counts what it adds to the days' plans.
    fn granted(&self, now: Instant, grants: &mut Grants) {
        let next_at = if self.falls_due.charges > 0 { now } else { self.next_charge_at };
        grants.add_next(next_at, self.segment.interval, &self.falls_due.price);
    }

    /// The plan's name.
    pub fn plan(&self) -> &str {
        &self.hand_over.plan
    }

    /// What is charged; empty where only the first payment could tell it.
    pub fn source_id(&self) -> &str {
        &self.hand_over.source_id
    }

    /// Charges this source, where only the first payment could tell it.
    pub fn charge_to(&mut self, source_id: String) {
        self.hand_over.source_id = source_id;
    }
}

impl Engine {
    /// Checks one subscription against plans and calendar.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn acceptable(&self, hand_over: HandOver) -> Result<Acceptable, Refusal> {
        let plan = self.rules.plan_named(&hand_over.plan);
        if self.rules.withheld.contains(&hand_over.plan) {
            return Err(Refusal::Withheld(hand_over.plan));
        }
        accept(hand_over, plan, &self.rules.catch_up, self.clock.now())
    }

    /// Enters a set on all terms, for whoever has looked at it. Nothing is entered of a row whose source cannot be charged, or whose first
    /// payment began another; a reference that is there already is left as it is, whatever became of its source since.
    ///
    /// # Errors
    /// [`EngineError::Store`]: nothing of the set was entered.
    pub async fn hand_over(&self, set: &[Acceptable]) -> Result<HandedOver, EngineError> {
        self.hand_over_on(set, Terms { acknowledged: true, another: true }).await
    }

    /// The same on these terms.
    ///
    /// # Errors
    /// [`EngineError::Store`]: nothing of the set was entered.
    pub async fn hand_over_on(&self, set: &[Acceptable], terms: Terms) -> Result<HandedOver, EngineError> {
        self.enter_set(set, terms).await.map_err(EngineError::of("import"))
    }

    async fn enter_set(&self, set: &[Acceptable], terms: Terms) -> Result<HandedOver, StoreError> {
        if set.is_empty() {
            return Ok(HandedOver::default());
        }
        // Sources are looked for before anything is held up, and again in the unit of work.
        let asked = doubles::asked(set);
        let sources_of = |it: &Acceptable| it.hand_over.source_id.clone();
        let mut known = Known {
            sources: self.store.known_sources(set.iter().map(sources_of)).await?,
            begun_by: BTreeMap::new(),
            beside: BTreeMap::new(),
        };
        let mut tx = self.store.begin("hand over").await?;
        tx.one_beginning_at_a_time().await?;
        let now = tx.now().await?;
        known.beside = tx.beside(&asked).await?;
        known.begun_by = tx.begun_by(&asked).await?;
        // Of what is refused already no source goes in; the others are held from here on, and may have been revoked meanwhile.
        let Verdicts { mut refused, .. } = doubles::judge(set, &known, terms.another);
        let wanted = set.iter().filter(|it| !refused.contains_key(it.reference())).map(sources_of);
        let sources = tx.know_sources(wanted, SourceState::Active, now).await?;
        known.sources.extend(sources.iter().map(|(id, source)| (id.clone(), *source)));
        let Verdicts { refused: held, beside } = doubles::judge(set, &known, terms.another);
        refused.extend(held);
        let good: Vec<&Acceptable> = set.iter().filter(|it| !refused.contains_key(it.reference())).collect();
        let there = tx.taken_references(&refused.keys().map(String::as_str).collect::<Vec<&str>>()).await?;
        refused.retain(|reference, _| !there.contains(reference));
        if good.is_empty() {
            tx.commit().await?;
            return Ok(HandedOver { refused, ..HandedOver::default() });
        }
        let customers: Vec<NewCustomer> = good.iter().map(|it| it.hand_over.customer.clone()).collect();
        let customers = tx.know_customers(&customers, now).await?;
        let new: Vec<NewSubscription> = good
            .iter()
            .filter_map(|it| {
                Some(NewSubscription {
                    public_id: SubscriptionId::new(now, self.chance.ten_bytes()),
                    reference: it.hand_over.reference.clone(),
                    customer_id: *customers.get(&it.hand_over.customer.reference)?,
                    source_id: Some(sources.get(&it.hand_over.source_id)?.id),
                    state: SubscriptionState::Active,
                    plan_id: it.plan_id,
                    segment: it.segment.clone(),
                    next_index: it.next_index,
                    next_charge_at: it.next_charge_at,
                    first_payment_id: it.hand_over.first_payment_id.clone(),
                })
            })
            .collect();
        let entered = tx.enter_subscriptions(&new, now).await?;
        let journal: Vec<Entry> = entered
            .values()
            .map(|id| Entry {
                act: "subscription",
                subscription_id: Some(*id),
                now: Some(SubscriptionState::Active.as_str()),
                detail: Some("handed over".to_owned()),
                ..Entry::default()
            })
            .collect();
        tx.write_journal(&self.node, now, &journal).await?;
        let mut grants = Grants::default();
        for it in good.iter().filter(|it| entered.contains_key(it.reference())) {
            it.granted(now, &mut grants);
        }
        let beyond = grants.give(&mut tx, &self.rules.brake, terms.acknowledged).await?;
        if !beyond.is_empty() {
            // Dropped, and with it all that was entered.
            return Ok(HandedOver { beyond_plan: BeyondPlan::of(&beyond, now), ..HandedOver::default() });
        }
        tx.commit().await?;
        Ok(HandedOver { entered: entered.into_keys().collect(), refused, beside, ..HandedOver::default() })
    }
}

fn accept(
    hand_over: HandOver,
    plan: Option<&StoredPlan>,
    catch_up: &CatchUp,
    now: Instant,
) -> Result<Acceptable, Refusal> {
    let Some(stored) = plan else {
        return Err(Refusal::NoPlan(hand_over.plan));
    };
    let segment = Segment {
        first_index: 0,
        anchor_on: hand_over.anchor_on,
        hour: stored.plan.billing_hour,
        zone: hand_over.zone.clone(),
        interval: stored.plan.interval,
    };
    let schedule = Schedule::new(vec![segment.clone()])?;
    let next_index = match hand_over.next_charge_on {
        None => 0,
        Some(on) => schedule.index_starting_on(on).ok_or(Refusal::NotAPeriod { on, anchor_on: hand_over.anchor_on })?,
    };
    let next_charge_at = schedule.start_of(next_index)?;
    let begun = schedule.begun_by(next_index, now, MOST_PERIODS_BEGUN + 1)?;
    if begun.len() > MOST_PERIODS_BEGUN {
        return Err(Refusal::TooFarBack { anchor_on: hand_over.anchor_on });
    }
    let decisions = catch_up.decide(&begun, now, stored.plan.catch_up, now);
    let falls_due = FallsDue {
        charges: decisions.iter().filter(|it| matches!(it, Decision::Bill(_))).count(),
        held: decisions.iter().filter(|it| matches!(it, Decision::Hold)).count(),
        price: stored.plan.price,
    };
    let at_once = at_once(&begun, &decisions);
    Ok(Acceptable { plan_id: stored.id, segment, next_index, next_charge_at, falls_due, at_once, hand_over })
}

/// The days of those periods that are billed.
fn at_once(begun: &[Period], decisions: &[Decision]) -> Option<AtOnce> {
    let mut billed = begun.iter().zip(decisions).filter(|(_, it)| matches!(it, Decision::Bill(_))).map(|(it, _)| it);
    let first = billed.next()?;
    let last = billed.next_back().unwrap_or(first);
    Some(AtOnce { from_on: (first.index > 0).then_some(first.start_on), until_on: last.end_on })
}
