//! `begin`: enters a subscription whose first payment the customer approves in the wallet. The first payment is the attempt of
//! period 0, by the same protocol as every other: the intent is committed, then sent, then followed to its end.

use chrono::NaiveDate;

use crate::clock::Instant;
use crate::domain::attempt::AttemptState;
use crate::domain::calendar::{CalendarError, Interval, Period, Schedule, Segment, Zone, local_date};
use crate::domain::charge::ChargeState;
use crate::domain::id::{ChargeId, SubscriptionId};
use crate::domain::shell;
use crate::domain::subscription::SubscriptionState;
use crate::engine::decide::{key_is_usable, rest_of_a_key};
use crate::engine::grants::Grants;
use crate::engine::hand_over::Refusal;
use crate::engine::intent::Owed;
use crate::engine::{Engine, EngineError};
use crate::gateway::payments::Terminal;
use crate::store::StoreError;
use crate::store::charges::NewCharge;
use crate::store::customers::NewCustomer;
use crate::store::first_payments::{BeginningRow, FirstPaymentRow, OtherSubscriptionRow};
use crate::store::journal::Entry;
use crate::store::subscriptions::NewSubscription;

/// What a new subscription is made of.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The merchant's own reference.
    pub reference: String,
    /// The plan's name.
    pub plan: String,
    /// Who pays.
    pub customer: NewCustomer,
    /// The customer's time zone.
    pub zone: Zone,
    /// The first day of period 0; today there where none is given.
    pub anchor_on: Option<NaiveDate>,
    /// Where the customer approves.
    pub terminal: Terminal,
    /// Whether it is meant although the customer has a subscription of this plan.
    pub another: bool,
}

/// A subscription that waits for its first payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The subscription.
    pub subscription_id: i64,
    /// Period 0.
    pub charge_id: i64,
}

/// Where the customer approves a first payment, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Here.
    At(String),
    /// It stands in an answer that is still to come.
    Awaited,
    /// That answer was lost, and no payment of it was found yet.
    LookedUp {
        /// When it is looked up again.
        at: Option<Instant>,
    },
    /// The payment is there, and the answer with its link was lost: the same key is sent again, and the gateway repeats what it said.
    AskedForAgain {
        /// `pay_…`
        payment_id: String,
        /// The earliest time of that.
        at: Instant,
    },
    /// The payment is there, and nothing gives its link again.
    Lost {
        /// `pay_…`
        payment_id: String,
    },
}

/// Why a subscription was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The plan is not in the books.
    #[error("there is no plan {name:?}; the config has: {known}")]
    NoPlan {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Its price is not agreed on.
    #[error(transparent)]
    Withheld(Refusal),
    /// The reference is taken.
    #[error("there is a subscription {reference:?} already; see `dues subscription show {}`", shell::word(.reference))]
    Taken {
        /// The merchant's own reference.
        reference: String,
    },
    /// The customer has a subscription of this plan: a second first payment would be one too many, unless it is meant.
    #[error(
        "the customer has a subscription of plan {plan:?} already, {reference:?} ({state}{}); see `dues subscription show {}`",
        if *.payable { ", but its first payment can still be made at its link" } else { "" },
        shell::word(.reference)
    )]
    Stands {
        /// The plan's name.
        plan: String,
        /// The merchant's own reference of the one that stands.
        reference: String,
        /// Where it stands.
        state: String,
        /// Whether its own first payment is still waited for.
        incomplete: bool,
        /// Whether it has ended, and its first payment can still be made.
        payable: bool,
    },
    /// The first payment would pay a period that is over, and the period that runs would be charged right after it.
    #[error(
        "the first period from {anchor_on} on is over: give {running_on}, the first day of the period that runs now, \
         or no day at all to begin today"
    )]
    Over {
        /// What was asked for.
        anchor_on: NaiveDate,
        /// The first day of the period that runs now, counted from there.
        running_on: NaiveDate,
    },
    /// The first payment, which is taken now, would pay a period that is far off.
    #[error(
        "the first period would begin on {anchor_on}, more than {interval} from now, and it is paid now: give {latest_on} \
         or an earlier day, or no day at all to begin today"
    )]
    FarOff {
        /// What was asked for.
        anchor_on: NaiveDate,
        /// The interval of the plan.
        interval: Interval,
        /// The latest day that is taken.
        latest_on: NaiveDate,
    },
    /// The calendar has no such date.
    #[error("its first period cannot be dated")]
    Calendar(#[from] CalendarError),
    /// The books.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What became of it in the books.
enum Entered {
    /// Subscription and charge.
    Begun(i64, i64),
    Taken,
    Stands(OtherSubscriptionRow),
}

impl Engine {
    /// Enters the subscription and the intent of its first payment.
    ///
    /// # Errors
    /// [`BeginError`].
    pub async fn begin(&self, beginning: &Beginning) -> Result<Begun, BeginError> {
        let Some(stored) = self.rules.plan_named(&beginning.plan) else {
            let known = self.rules.plan_names().collect::<Vec<_>>().join(", ");
            return Err(BeginError::NoPlan { name: beginning.plan.clone(), known });
        };
        if self.rules.withheld.contains(&beginning.plan) {
            return Err(BeginError::Withheld(Refusal::Withheld(beginning.plan.clone())));
        }
        let now = self.store.now().await.map_err(EngineError::of("begin"))?;
        let today = local_date(&beginning.zone, now);
        let anchor_on = beginning.anchor_on.unwrap_or(today);
        let segment = Segment {
            first_index: 0,
            anchor_on,
            hour: stored.plan.billing_hour,
            zone: beginning.zone.clone(),
            interval: stored.plan.interval,
        };
        let period = first_period(&segment, today, now)?;
        let new = NewSubscription {
            public_id: SubscriptionId::new(now, self.chance.ten_bytes()),
            reference: beginning.reference.clone(),
            customer_id: 0,
            source_id: None,
            state: SubscriptionState::Incomplete,
            plan_id: stored.id,
            segment,
            next_index: 1,
            next_charge_at: period.end_at,
            first_payment_id: None,
        };
        let charge = NewCharge {
            public_id: ChargeId::new(now, self.chance.ten_bytes()),
            subscription_id: 0,
            period_index: 0,
            period_start_at: period.start_at,
            period_end_at: period.end_at,
            plan_id: stored.id,
            reference: self.rules.ledger.reference(&beginning.reference, 0),
            amount: stored.plan.price,
            state: ChargeState::Due,
            reason: None,
            audit_at: self.rules.first_audit(now),
        };
        let (subscription_id, charge_id) = match self.enter(beginning, new, charge, now).await {
            Ok(Entered::Begun(subscription_id, charge_id)) => (subscription_id, charge_id),
            Ok(Entered::Taken) => return Err(BeginError::Taken { reference: beginning.reference.clone() }),
            Ok(Entered::Stands(row)) => {
                return Err(BeginError::Stands {
                    plan: beginning.plan.clone(),
                    incomplete: row.state == SubscriptionState::Incomplete.as_str(),
                    payable: row.payable != 0,
                    reference: row.reference,
                    state: row.state,
                });
            }
            Err(error) => return Err(EngineError::of("begin")(error).into()),
        };
        self.bells.collect.notify_one();
        Ok(Begun { subscription_id, charge_id })
    }

    async fn enter(
        &self,
        beginning: &Beginning,
        mut new: NewSubscription,
        mut charge: NewCharge,
        now: Instant,
    ) -> Result<Entered, StoreError> {
        let customer = &beginning.customer;
        // Whatever stands now is looked for before anything is held up; in the unit of work only what was entered meanwhile.
        let before = self.store.other_subscription(customer, &beginning.plan, &new.reference).await?;
        let mut tx = self.store.begin("begin").await?;
        tx.one_beginning_at_a_time().await?;
        if !tx.taken_references(&[&new.reference]).await?.is_empty() {
            return Ok(Entered::Taken);
        }
        if !beginning.another {
            let meanwhile = tx.other_new_subscription(customer, &beginning.plan, &new.reference).await?;
            if let Some(stands) = before.or(meanwhile) {
                return Ok(Entered::Stands(stands));
            }
        }
        let customers = tx.know_customers(std::slice::from_ref(customer), now).await?;
        new.customer_id = customers.get(&customer.reference).copied().unwrap_or_default();
        let entered = tx.enter_subscriptions(std::slice::from_ref(&new), now).await?;
        let Some(subscription_id) = entered.get(&new.reference).copied() else { return Ok(Entered::Taken) };
        charge.subscription_id = subscription_id;
        let opened = tx.open_charges(std::slice::from_ref(&charge), now).await?;
        let Some(charge_id) = opened.values().next().copied() else { return Ok(Entered::Taken) };
        let owed = Owed {
            charge_id,
            subscription_reference: &new.reference,
            period_index: 0,
            reference: &charge.reference,
            amount_minor: charge.amount.amount_minor,
            currency: charge.amount.currency,
            plan_name: &beginning.plan,
            description: self.rules.plan(new.plan_id).map_or("", |it| &it.plan.description),
            customer_id: new.customer_id,
            customer_name: customer.name.as_deref(),
            customer_email: customer.email.as_deref(),
            country: &customer.country,
        };
        tx.create_attempts(&[owed.first(&self.rules, beginning.terminal, 1, now)], now).await?;
        let begun = Entry {
            act: "subscription",
            subscription_id: Some(subscription_id),
            charge_id: Some(charge_id),
            now: Some(new.state.as_str()),
            ..Entry::default()
        };
        let mut grants = Grants::default();
        grants.add_next(new.next_charge_at, new.segment.interval, &charge.amount);
        grants.give(&mut tx, &self.rules.brake, true).await?;
        tx.write_journal(&self.node, now, &[begun]).await?;
        tx.commit().await?;
        Ok(Entered::Begun(subscription_id, charge_id))
    }

    /// The first payment that was begun for the subscription with this reference.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn begun(&self, reference: &str) -> Result<Option<Begun>, EngineError> {
        let rows = self.store.begun(reference).await.map_err(EngineError::of("begin"))?;
        Ok(rows.map(|(subscription_id, charge_id)| Begun { subscription_id, charge_id }))
    }

    /// How the first payment of a charge stands.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn first_payment(&self, charge_id: i64) -> Result<FirstPaymentRow, EngineError> {
        self.store.first_payment(charge_id).await.map_err(EngineError::of("begin"))
    }

    /// How the first payment of a charge was begun.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn beginning(&self, charge_id: i64) -> Result<BeginningRow, EngineError> {
        self.store.beginning(charge_id).await.map_err(EngineError::of("begin"))
    }

    /// Where the customer approves the first payment that stands so at `now`.
    pub fn link_of(&self, row: &FirstPaymentRow, now: Instant) -> Link {
        if let Some(url) = &row.redirect_url {
            return Link::At(url.clone());
        }
        match (row.attempt_state.parse(), &row.payment_id) {
            (Ok(AttemptState::Unknown), _) => Link::LookedUp { at: row.next_at },
            (Ok(AttemptState::Pending), Some(payment_id)) => {
                let payment_id = payment_id.clone();
                match self.asked_again_at(row, now) {
                    Some(at) => Link::AskedForAgain { payment_id, at },
                    None => Link::Lost { payment_id },
                }
            }
            _ => Link::Awaited,
        }
    }

    /// When the key of a pending first payment is sent again for its source, by the rule of `decide::send::may_replay`; none where it is
    /// not.
    fn asked_again_at(&self, row: &FirstPaymentRow, now: Instant) -> Option<Instant> {
        let (first, last) = (row.first_sent_at?, row.last_sent_at?);
        let at = now.max(last + rest_of_a_key(&self.rules));
        let may = row.has_source == 0
            && row.server_error == 0
            && row.late_looks == 0
            && key_is_usable(&self.rules, row.sends, first, at);
        may.then_some(at)
    }
}

/// Period 0 of a schedule of this segment, which the first payment pays: one that runs now, or begins within one interval.
fn first_period(segment: &Segment, today: NaiveDate, now: Instant) -> Result<Period, BeginError> {
    let anchor_on = segment.anchor_on;
    let latest_on = Schedule::new(vec![Segment { anchor_on: today, ..segment.clone() }])?.start_on(1)?;
    if anchor_on > latest_on {
        return Err(BeginError::FarOff { anchor_on, interval: segment.interval, latest_on });
    }
    let schedule = Schedule::new(vec![segment.clone()])?;
    let period = schedule.period(0)?;
    if period.end_at <= now {
        // The period that begins today has perhaps not begun yet: its hour is to come.
        let next = schedule.index_at_or_after(today).unwrap_or_default();
        let running = if schedule.start_of(next)? <= now { next } else { next - 1 };
        return Err(BeginError::Over { anchor_on, running_on: schedule.start_on(running)? });
    }
    Ok(period)
}
