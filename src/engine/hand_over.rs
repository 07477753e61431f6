//! `hand over`: enters subscriptions whose first payment was made elsewhere, in sets. What is there already stays as it is, so the
//! same file may be handed over again.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::clock::Instant;
use crate::config::Settings;
use crate::domain::calendar::{CalendarError, Schedule, Segment, Zone};
use crate::domain::catch_up::{CatchUp, Decision};
use crate::domain::id::SubscriptionId;
use crate::domain::money::Money;
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;
use crate::engine::grants::Grants;
use crate::engine::{Engine, EngineError};
use crate::store::customers::NewCustomer;
use crate::store::journal::Entry;
use crate::store::plans::StoredPlan;
use crate::store::sources::KnownSource;
use crate::store::subscriptions::NewSubscription;
use crate::store::{Store, StoreError};

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

/// What became of a set. Whatever stands in neither was there already.
#[derive(Debug, Default)]
pub struct HandedOver {
    /// The references that were entered.
    pub entered: BTreeSet<String>,
    /// Why others were not, by reference.
    pub refused: BTreeMap<String, Refusal>,
    /// Charges of today and tomorrow for which the days' plans have no room: they were not granted.
    pub beyond_plan: i64,
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

    /// Charges this source, where only the first payment could tell it.
    pub fn charge_to(&mut self, source_id: String) {
        self.hand_over.source_id = source_id;
    }
}

/// The checks of a hand-over for who only wants to know: an engine would pin the books and bring the config's plans into them.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    plans: BTreeMap<String, StoredPlan>,
    catch_up: CatchUp,
}

impl Rehearsal {
    /// The plans of the books, and over them those of the config as they would be brought in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn new(settings: &Settings, store: &Store) -> Result<Rehearsal, StoreError> {
        let stored = store.plans().await?.into_iter().map(|it| (it.name.clone(), it));
        let configured = settings.plans.iter().map(|(name, plan)| {
            // Nothing is entered under this id.
            (name.clone(), StoredPlan { id: 0, name: name.clone(), version: 0, plan: plan.clone() })
        });
        Ok(Rehearsal { plans: stored.chain(configured).collect(), catch_up: settings.catch_up.clone() })
    }

    /// Checks one subscription against plans and calendar.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn acceptable(&self, hand_over: HandOver, now: Instant) -> Result<Acceptable, Refusal> {
        let plan = self.plans.get(&hand_over.plan);
        accept(hand_over, plan, &self.catch_up, now)
    }

    /// Why the books would refuse some of a set, by reference: what [`Engine::hand_over`] finds when it enters them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refused(&self, set: &[Acceptable], store: &Store) -> Result<BTreeMap<String, Refusal>, StoreError> {
        if set.is_empty() {
            return Ok(BTreeMap::new());
        }
        let known = store.known_sources(set.iter().map(|it| it.hand_over.source_id.clone())).await?;
        Ok(refused(set, &known))
    }

    /// The names of all plans.
    pub fn plan_names(&self) -> impl Iterator<Item = &str> {
        self.plans.keys().map(String::as_str)
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

    /// Enters a set. Nothing is entered of a row whose source cannot be charged; a reference that is there already is left as it
    /// is, whatever became of its source since.
    ///
    /// # Errors
    /// [`EngineError::Store`]: nothing of the set was entered.
    pub async fn hand_over(&self, set: &[Acceptable]) -> Result<HandedOver, EngineError> {
        self.enter_set(set, true).await.map_err(EngineError::of("import"))
    }

    /// The same by whoever has not acknowledged what it adds to days that are planned already: what a plan has no room for is entered,
    /// and stops collecting when it would be charged.
    ///
    /// # Errors
    /// [`EngineError::Store`]: nothing of the set was entered.
    pub async fn hand_over_within_plan(&self, set: &[Acceptable]) -> Result<HandedOver, EngineError> {
        self.enter_set(set, false).await.map_err(EngineError::of("import"))
    }

    async fn enter_set(&self, set: &[Acceptable], acknowledged: bool) -> Result<HandedOver, StoreError> {
        if set.is_empty() {
            return Ok(HandedOver::default());
        }
        let mut tx = self.store.begin("hand over").await?;
        let now = tx.now().await?;
        let sources = set.iter().map(|it| it.hand_over.source_id.clone());
        let sources = tx.know_sources(sources, SourceState::Active, now).await?;
        let mut refused = refused(set, &sources);
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
            let next_at = if it.falls_due.charges > 0 { now } else { it.next_charge_at };
            grants.add_next(next_at, it.segment.interval, &it.falls_due.price);
        }
        let beyond_plan = grants.give(&mut tx, &self.rules.brake, acknowledged).await?;
        tx.commit().await?;
        Ok(HandedOver { entered: entered.into_keys().collect(), refused, beyond_plan })
    }
}

fn refused(set: &[Acceptable], known: &BTreeMap<String, KnownSource>) -> BTreeMap<String, Refusal> {
    let refusal = |it: &Acceptable| {
        let source = known.get(&it.hand_over.source_id)?;
        Some((it.hand_over.reference.clone(), chargeable(source.state).err()?))
    };
    set.iter().filter_map(refusal).collect()
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
    Ok(Acceptable { plan_id: stored.id, segment, next_index, next_charge_at, falls_due, hand_over })
}
