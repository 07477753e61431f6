//! `bill`: opens a charge and its first attempt for each period that has begun, and moves each subscription on to its next period.
//! Everything of a set is one transaction, so a period is either opened and passed, or neither.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::domain::calendar::{CalendarError, Period};
use crate::domain::catch_up::Decision;
use crate::domain::charge::{ChargeState, SkipReason};
use crate::domain::id::{ChargeId, ReviewId};
use crate::domain::review::ReviewReason;
use crate::domain::subscription::{SubscriptionEvent, SubscriptionState};
use crate::engine::fence::is_for_the_clock;
use crate::engine::grants::Grants;
use crate::engine::intent::Owed;
use crate::engine::rules::{Rules, delta};
use crate::engine::{Engine, EngineError, Tick};
use crate::store::charges::NewCharge;
use crate::store::fences::NOT_BILLED_AUDITED_FOR;
use crate::store::journal::Entry;
use crate::store::pauses::PauseRow;
use crate::store::plans::StoredPlan;
use crate::store::reviews::NewReview;
use crate::store::subscriptions::{Advance, DueRow, StoredSchedule};
use crate::store::{StoreError, parse};

/// Periods of one subscription that are opened at once; more than any catch-up has, so that the rule sees all of them.
pub(super) const PERIODS_AT_ONCE: usize = 5_000;
/// How often bill looks whether a predecessor's outcome has come, or the last charge before an end.
const PREDECESSOR_LOOK: TimeDelta = TimeDelta::minutes(10);
/// When bill looks again at a subscription whose plan version it cannot read.
const AFTER_NO_PLAN: TimeDelta = TimeDelta::minutes(10);
/// From when a period whose plan version cannot be read is a person's question: by then an upgrade under way is over.
const NO_PLAN_REVIEW_AFTER: TimeDelta = TimeDelta::days(1);
/// When bill looks again at a subscription whose dates cannot be computed.
const AFTER_CALENDAR_FAULT: TimeDelta = TimeDelta::days(1);

/// What bill does about one set of subscriptions.
#[derive(Debug, Default)]
struct Plan {
    openings: Vec<Opening>,
    advances: Vec<Advance>,
    reviews: Vec<NewReview>,
    journal: Vec<Entry>,
    /// What fell due before may have been charged by books that are lost.
    continuity_from: Option<Instant>,
}

/// Why a subscription's periods cannot be opened.
#[derive(Debug, thiserror::Error)]
enum Unopenable {
    /// The calendar has no such date.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// A newer version of dues wrote the plan version, or its row is damaged.
    #[error("the plan version of period {index} cannot be read: {why}")]
    NoPlan { index: i64, why: String },
    /// Nothing can be charged.
    #[error("it has no source to charge")]
    NoSource,
    /// Nothing says when its periods begin.
    #[error("it has no schedule")]
    NoSchedule,
    /// The row that says so cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Plan versions: those of the rules, and those that the books have got since the rules were loaded, such as by an import under a
/// newer config.
#[derive(Debug)]
struct Plans<'a> {
    rules: &'a Rules,
    newer: BTreeMap<i64, Result<StoredPlan, StoreError>>,
}

impl Plans<'_> {
    fn get(&self, id: i64) -> Option<&StoredPlan> {
        self.rules.plan(id).or_else(|| self.newer.get(&id)?.as_ref().ok())
    }

    /// Why [`Plans::get`] has none.
    fn why_not(&self, id: Option<i64>) -> String {
        match id.and_then(|id| self.newer.get(&id)) {
            Some(Err(unreadable)) => unreadable.to_string(),
            _ => "the books hold none".to_owned(),
        }
    }
}

/// A period that gets its row.
#[derive(Debug)]
struct Opening {
    /// Place of its subscription in the set.
    due: usize,
    charge: NewCharge,
    /// When its attempt is sent; none where it is not billed.
    send_at: Option<Instant>,
}

impl Engine {
    /// Opens what has begun, one batch of subscriptions.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn bill(&self) -> Result<Tick, EngineError> {
        let (looked_at, opened) = self.open_periods().await.map_err(EngineError::of("bill"))?;
        if opened > 0 {
            self.bells.collect.notify_one();
        }
        let full = usize::try_from(self.rules.engine.batch.get()).is_ok_and(|batch| looked_at == batch);
        Ok(Tick { done: looked_at, more: full, wake_at: None })
    }

    async fn open_periods(&self) -> Result<(usize, usize), StoreError> {
        let mut tx = self.store.begin("bill").await?;
        // A period begins when both the database's clock and ours say so.
        let database_now = tx.now().await?;
        let now = database_now.min(self.clock.now());
        let standing = tx.standing(&self.node, now).await?;
        let held_for_the_clock = is_for_the_clock(standing.held_reason.as_deref());
        if held_for_the_clock || self.doubts_the_clock(database_now) {
            // Which period has begun is not known while the clock is not.
            tx.commit().await?;
            return Ok((0, 0));
        }
        let due = tx.subscriptions_to_bill(now, self.rules.engine.batch.get()).await?;
        if due.is_empty() {
            tx.commit().await?;
            return Ok((0, 0));
        }
        let schedules = tx.schedules(due.iter().map(|row| row.id).collect()).await?;
        let pauses = tx.pauses(due.iter().map(|row| row.id).collect()).await?;
        let mut newer: BTreeSet<i64> = schedules.values().flatten().flat_map(|it| it.plans.values().copied()).collect();
        newer.retain(|id| self.rules.plan(*id).is_none());
        let newer = if newer.is_empty() { BTreeMap::new() } else { tx.plan_versions(newer).await? };
        let plans = Plans { rules: &self.rules, newer };
        let mut plan = Plan { continuity_from: standing.continuity_from, ..Plan::default() };
        for (place, row) in due.iter().enumerate() {
            let schedule = schedules.get(&row.id);
            self.plan_one(&mut plan, &plans, place, row, schedule, pauses.get(&row.id), now)?;
        }
        let Plan { openings, advances, reviews, mut journal, continuity_from: _ } = plan;
        let new: Vec<NewCharge> = openings.iter().map(|opening| opening.charge.clone()).collect();
        let ids = if new.is_empty() { Default::default() } else { tx.open_charges(&new, now).await? };
        let mut attempts = Vec::new();
        let mut grants = Grants::default();
        for opening in &openings {
            let charge = &opening.charge;
            let charge_id = ids.get(&charge.public_id.to_string()).copied();
            journal.push(Entry {
                act: "charge",
                subscription_id: Some(charge.subscription_id),
                charge_id,
                now: Some(charge.state.as_str()),
                detail: charge.reason.map(str::to_owned),
                ..Entry::default()
            });
            let (Some(send_at), Some(charge_id)) = (opening.send_at, charge_id) else { continue };
            let row = &due[opening.due];
            let Some(source) = &row.gateway_source_id else { continue };
            let Some(StoredPlan { name, plan, .. }) = plans.get(charge.plan_id) else { continue };
            let owed = Owed {
                charge_id,
                subscription_reference: &row.reference,
                period_index: charge.period_index,
                reference: &charge.reference,
                amount_minor: charge.amount.amount_minor,
                currency: charge.amount.currency,
                plan_name: name,
                description: &plan.description,
                customer_id: row.customer_id,
                customer_name: row.customer_name.as_deref(),
                customer_email: row.customer_email.as_deref(),
                country: &row.country,
            };
            attempts.push(owed.later(&self.rules, source, 1, send_at));
            if send_at.date_naive() > now.date_naive() {
                // The catch-up rule puts it on a later day, whose plan may be frozen already.
                grants.add(send_at, &charge.amount);
            }
        }
        grants.give(&mut tx, &self.rules.brake, true).await?;
        if !attempts.is_empty() {
            tx.create_attempts(&attempts, now).await?;
        }
        tx.advance_subscriptions(&advances).await?;
        tx.write_journal(&self.node, now, &journal).await?;
        self.tell(&tx.open_reviews(&reviews, now).await?);
        tx.commit().await?;
        Ok((due.len(), openings.len()))
    }

    #[expect(clippy::too_many_arguments, reason = "one subscription with all that is known of it")]
    fn plan_one(
        &self,
        plan: &mut Plan,
        plans: &Plans<'_>,
        place: usize,
        row: &DueRow,
        schedule: Option<&Result<StoredSchedule, StoreError>>,
        pause: Option<&PauseRow>,
        now: Instant,
    ) -> Result<(), StoreError> {
        let state: SubscriptionState = parse("subscriptions", row.id, "state", &row.state)?;
        let mut advance = Advance {
            id: row.id,
            was: state,
            state,
            next_index: row.next_index,
            next_charge_at: row.next_charge_at,
            bill_at: row.next_charge_at,
            ended_at: None,
        };
        let planned = match schedule {
            None => Err(Unopenable::NoSchedule),
            Some(Err(unreadable)) => Err(Unopenable::Unreadable(unreadable.to_string())),
            Some(Ok(schedule)) => self.plan_periods(plan, plans, place, row, schedule, pause, &mut advance, now),
        };
        if let Err(why) = planned {
            let reason = if let Unopenable::NoPlan { .. } = why {
                tracing::warn!(subscription.id = row.id, error = %why, "a period is not opened yet, it is tried again: {why}");
                advance.bill_at = now + AFTER_NO_PLAN;
                (now - row.next_charge_at >= NO_PLAN_REVIEW_AFTER).then_some(ReviewReason::Unreadable)
            } else {
                advance.bill_at = now + AFTER_CALENDAR_FAULT;
                Some(ReviewReason::Calendar)
            };
            plan.reviews.extend(
                reason.map(|reason| self.review(row, reason, format!("subscription {}", row.id), why.to_string(), now)),
            );
        }
        plan.advances.push(advance);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one subscription with all that is known of it")]
    fn plan_periods(
        &self,
        plan: &mut Plan,
        plans: &Plans<'_>,
        place: usize,
        row: &DueRow,
        schedule: &StoredSchedule,
        pause: Option<&PauseRow>,
        advance: &mut Advance,
        now: Instant,
    ) -> Result<(), Unopenable> {
        // A period whose predecessor is still open waits for it, within limits: nobody is charged twice at once by a late answer.
        let opens_at = row.next_charge_at + delta(self.rules.engine.predecessor_wait);
        if row.predecessor_open != 0 && now < opens_at {
            advance.bill_at = (now + PREDECESSOR_LOOK).min(opens_at);
            return Ok(());
        }
        let mut periods = schedule.schedule.begun_by(row.next_index, now, PERIODS_AT_ONCE)?;
        if periods.is_empty() {
            // The rules of its zone have changed since the row was written: the period begins later than it says.
            let start_at = schedule.schedule.start_of(row.next_index.max(schedule.schedule.first_index()))?;
            advance.next_charge_at = start_at;
            advance.bill_at = start_at;
            return Ok(());
        }
        if let Some(to) = pause.and_then(|pause| pause.to_index) {
            // What comes after a pause that is over is looked at without it, and so is an end that comes after it.
            periods.retain(|period| period.index < to);
        }
        let ends = row.cancel_at_index.filter(|index| periods.iter().any(|period| period.index >= *index));
        if let Some(index) = ends {
            periods.retain(|period| period.index < index);
        }
        // A period that had begun before the pause is owed.
        let paused_from = pause.map_or(i64::MAX, |pause| pause.from_index);
        let owed = periods.iter().take_while(|period| period.index < paused_from).count();
        let mut decisions = match advance.state {
            SubscriptionState::Unpaid => vec![Decision::Skip; owed],
            _ => {
                let own = schedule.plan_of(row.next_index).and_then(|id| plans.get(id)).and_then(|it| it.plan.catch_up);
                self.rules.catch_up.decide(&periods[..owed], row.handed_over_at, own, now)
            }
        };
        decisions.resize(periods.len(), Decision::Skip);
        let mut held = 0_usize;
        let mut openings = Vec::with_capacity(periods.len());
        for (period, decision) in periods.iter().zip(&decisions) {
            held += usize::from(*decision == Decision::Hold);
            // A period that cannot be opened is not passed over: the subscription stays where it is, and a person is asked.
            let plan_id = schedule.plan_of(period.index);
            let Some(stored) = plan_id.and_then(|id| plans.get(id)) else {
                return Err(Unopenable::NoPlan { index: period.index, why: plans.why_not(plan_id) });
            };
            let skipped_for = match advance.state {
                _ if period.index >= paused_from => SkipReason::Paused,
                SubscriptionState::Unpaid => SkipReason::Unpaid,
                _ => SkipReason::CatchUp,
            };
            let mut opening = self.opening(place, row, stored, period, *decision, skipped_for, now);
            if opening.send_at.is_none() && plan.continuity_from.is_some_and(|from| period.start_at < from) {
                let lately = now - period.start_at <= NOT_BILLED_AUDITED_FOR;
                opening.charge.audit_at = (lately || *decision == Decision::Hold).then_some(now);
            }
            openings.push(opening);
        }
        let bills = openings.iter().any(|opening| opening.send_at.is_some());
        if row.gateway_source_id.is_none() && bills {
            return Err(Unopenable::NoSource);
        }
        plan.openings.extend(openings);
        if held > 0 {
            let evidence = format!("{held} periods that fell due together are held back by the catch-up rule");
            let subject = format!("subscription {} from period {}", row.id, row.next_index);
            plan.reviews.push(self.review(row, ReviewReason::CatchUpHeld, subject, evidence, now));
        }
        if let Some(last) = periods.last() {
            advance.next_index = last.index + 1;
            advance.next_charge_at = last.end_at;
            advance.bill_at = last.end_at;
        }
        if ends.is_some() {
            // Ending voids what is not sent yet, so what was owed before the end is collected first, where it may be.
            if (bills || row.still_collecting != 0) && advance.state.is_chargeable() {
                advance.bill_at = now + PREDECESSOR_LOOK;
                return Ok(());
            }
            let was = advance.state;
            if let Ok(state) = was.after(SubscriptionEvent::Cancel) {
                advance.state = state;
                advance.ended_at = Some(now);
                plan.journal.push(Entry {
                    act: "subscription",
                    subscription_id: Some(row.id),
                    was: Some(was.as_str()),
                    now: Some(state.as_str()),
                    detail: Some("at the end of its period".to_owned()),
                    ..Entry::default()
                });
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one period with all that its row says")]
    fn opening(
        &self,
        due: usize,
        row: &DueRow,
        stored: &StoredPlan,
        period: &Period,
        decision: Decision,
        skipped_for: SkipReason,
        now: Instant,
    ) -> Opening {
        let (charge_state, reason, send_at) = match decision {
            Decision::Bill(at) => (ChargeState::Due, None, Some(at)),
            Decision::Hold => (ChargeState::Held, Some(SkipReason::CatchUp), None),
            Decision::Skip => (ChargeState::Skipped, Some(skipped_for), None),
        };
        let charge = NewCharge {
            public_id: ChargeId::new(now, self.chance.ten_bytes()),
            subscription_id: row.id,
            period_index: period.index,
            period_start_at: period.start_at,
            period_end_at: period.end_at,
            plan_id: stored.id,
            reference: self.rules.ledger.reference(&row.reference, period.index),
            amount: stored.plan.price,
            state: charge_state,
            reason: reason.map(SkipReason::as_str),
            audit_at: send_at.and_then(|_| self.rules.first_audit(now)),
        };
        Opening { due, charge, send_at }
    }

    fn review(&self, row: &DueRow, reason: ReviewReason, subject: String, evidence: String, now: Instant) -> NewReview {
        NewReview {
            public_id: ReviewId::new(now, self.chance.ten_bytes()),
            reason,
            subject,
            subscription_id: Some(row.id),
            charge_id: None,
            payment_id: None,
            evidence,
        }
    }
}
