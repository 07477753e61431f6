//! What an operator asks for one charge, and whether its state, and the wire, allow it. Pure, as every decision.

use crate::clock::Instant;
use crate::domain::attempt::{AttemptEvent, AttemptState};
use crate::domain::charge::{ChargeEvent, ChargeState};
use crate::domain::dunning::DeclineClass;
use crate::domain::review::ReviewReason;
use crate::domain::shell;
use crate::domain::source::SourceState;
use crate::domain::subscription::{SubscriptionEvent, SubscriptionState};
use crate::domain::word::IllegalEvent;
use crate::engine::decide::answer::open_case;
use crate::engine::decide::first::first_payment_failed;
use crate::engine::desk::{Attempt, Desk};
use crate::engine::rules::{Rules, delta};

/// The reason of a charge that an operator has asked to be tried again: such a retry spends no dunning step.
pub(in crate::engine) const ASKED: &str = "asked";
/// The reason of a charge that an operator has forgiven.
const FORGIVEN: &str = "forgiven";

/// What an operator asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Try it again now.
    Retry,
    /// It is not owed any more.
    Void,
    /// The gateway's dashboard shows no payment of its unknown attempt.
    NotCharged,
    /// The dashboard shows this payment, `pay_…`, of its unknown attempt.
    Charged(String),
}

impl Ask {
    /// Its word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Ask::Retry => "retry",
            Ask::Void => "void",
            Ask::NotCharged => "not-charged",
            Ask::Charged(_) => "charged",
        }
    }
}

/// Why a charge stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its state has no such step.
    #[error("{charge} is {state}, so there is nothing to {what}; `dues charge show {charge}` tells what became of it")]
    State {
        /// The charge.
        charge: String,
        /// Its state.
        state: ChargeState,
        /// What was asked.
        what: &'static str,
    },
    /// A payment of it may take money.
    #[error(
        "attempt {n} of {charge} is {state}: a payment of it may still take money, so nothing is done beside it; \
         dues goes on looking, and `dues charge show {charge}` tells when it looks next"
    )]
    OnTheWire {
        /// The charge.
        charge: String,
        /// The attempt's number.
        n: i64,
        /// Its state.
        state: AttemptState,
    },
    /// Its subscription is not charged.
    #[error("subscription {subscription} is {state}, and nothing is charged to it{instead}")]
    Subscription {
        /// The merchant's own reference.
        subscription: String,
        /// Its state.
        state: SubscriptionState,
        /// What works.
        instead: &'static str,
    },
    /// There is no source to charge.
    #[error(
        "the source of subscription {subscription} is {state}: its customer has to approve anew before anything can be charged"
    )]
    Source {
        /// The merchant's own reference.
        subscription: String,
        /// The source's state, or that there is none.
        state: String,
    },
    /// A first payment is approved by the customer, not sent again.
    #[error(
        "{charge} is a first payment, which its customer approves: `dues subscribe {} --resume` takes it up again",
        shell::option("--reference", .subscription)
    )]
    FirstPayment {
        /// The charge.
        charge: String,
        /// The merchant's own reference.
        subscription: String,
    },
    /// A first payment that the gateway refused is not sent again, and not forgiven beside a subscription that waits for it.
    #[error(
        "{charge} is the first payment of subscription {subscription:?}, and ends only with that: {}",
        cancel_it(.subscription)
    )]
    EndsWithSubscription {
        /// The charge.
        charge: String,
        /// The merchant's own reference.
        subscription: String,
    },
    /// Nothing is unknown about it.
    #[error("{charge} has no attempt whose outcome is unknown; `dues charge show {charge}` shows its attempts")]
    NothingUnknown {
        /// The charge.
        charge: String,
    },
    /// The key of the attempt may still be at work.
    #[error(
        "the idempotency key of attempt {n} of {charge} lives until {until}: a late request could still be executed; dues looks it up \
         until then, and asks again afterwards"
    )]
    KeyAlive {
        /// The charge.
        charge: String,
        /// The attempt's number.
        n: i64,
        /// Until when.
        until: String,
    },
    /// The config and the books name no dunning policy for it.
    #[error("there is no dunning policy {0:?} in the books; put it into the config and reload the daemon first")]
    NoPolicy(String),
    /// A machine knows no such step.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
}

/// How a subscription whose first payment came to nothing is ended.
pub(in crate::engine) fn cancel_it(subscription: &str) -> String {
    format!(
        "`dues subscription cancel {} --reason \"...\"` ends both and closes the case; then begin again by `dues subscribe` with a \
         new --reference",
        shell::word(subscription)
    )
}

/// Does what was asked, on the desk.
pub(in crate::engine) fn asked(desk: &mut Desk, rules: &Rules, now: Instant, ask: &Ask) -> Result<(), Refusal> {
    match ask {
        Ask::Retry => retry(desk, rules, now),
        Ask::Void => void(desk, now),
        Ask::NotCharged => not_charged(desk, rules, now),
        Ask::Charged(payment_id) => charged(desk, now, payment_id),
    }
}

fn retry(desk: &mut Desk, rules: &Rules, now: Instant) -> Result<(), Refusal> {
    refuse_beside_the_wire(desk)?;
    let open = desk.charge.state.is_open() || desk.charge.state == ChargeState::Uncollectible;
    if !open {
        return Err(refused(desk, "retry"));
    }
    let subscription = desk.subscription.reference.clone();
    let state = desk.subscription.state;
    if !state.is_chargeable() {
        let paused = state == SubscriptionState::Paused;
        let instead = if paused { "; `dues subscription resume` lets it go on" } else { "" };
        return Err(Refusal::Subscription { subscription, state, instead });
    }
    if desk.charge.attempts.iter().any(|it| it.is_first) {
        return retry_first(desk, now);
    }
    match &desk.source {
        Some(source) if source.state == SourceState::Active => {}
        source => {
            let state = source.as_ref().map_or_else(|| "missing".to_owned(), |it| it.state.to_string());
            return Err(Refusal::Source { subscription, state });
        }
    }
    if wake_waiting(desk, now) { Ok(()) } else { reopen(desk, rules, now, ASKED) }
}

/// A first payment that was never sent is sent now; one that was refused would only be refused again.
fn retry_first(desk: &mut Desk, now: Instant) -> Result<(), Refusal> {
    if wake_waiting(desk, now) {
        return Ok(());
    }
    let (charge, subscription) = (desk.charge.public_id.clone(), desk.subscription.reference.clone());
    let refused = desk.charge.attempts.iter().any(|it| it.state == AttemptState::Rejected);
    Err(if refused {
        Refusal::EndsWithSubscription { charge, subscription }
    } else {
        Refusal::FirstPayment { charge, subscription }
    })
}

/// Whether an attempt had its intent already: it is sent, or shown to a person again, by what holds now.
fn wake_waiting(desk: &mut Desk, now: Instant) -> bool {
    let waiting = desk.charge.attempts.iter_mut().find(|it| it.state == AttemptState::Created);
    let Some(waiting) = waiting else { return false };
    waiting.next_at = Some(now);
    waiting.lease_until = Some(now);
    true
}

/// The dunning case opens the next attempt at once.
fn reopen(desk: &mut Desk, rules: &Rules, now: Instant, reason: &str) -> Result<(), Refusal> {
    let pinned = desk.charge.case.as_ref().map(|case| case.policy_id);
    let Some((policy_id, _)) = rules.policy(pinned, &desk.charge.dunning) else {
        return Err(Refusal::NoPolicy(desk.charge.dunning.clone()));
    };
    desk.move_charge(ChargeEvent::Retry, Some(reason))?;
    open_case(desk, policy_id, now).next_step_at = Some(now);
    match desk.subscription.state {
        SubscriptionState::Active | SubscriptionState::Trialing => {
            desk.move_subscription(SubscriptionEvent::FallBehind)?;
        }
        _ => {}
    }
    Ok(())
}

fn void(desk: &mut Desk, now: Instant) -> Result<(), Refusal> {
    refuse_beside_the_wire(desk)?;
    if desk.subscription.state == SubscriptionState::Incomplete {
        let (charge, subscription) = (desk.charge.public_id.clone(), desk.subscription.reference.clone());
        return Err(Refusal::EndsWithSubscription { charge, subscription });
    }
    let state = desk.charge.state;
    if !(state.is_open() || matches!(state, ChargeState::Uncollectible | ChargeState::Held)) {
        return Err(refused(desk, "void"));
    }
    let waiting: Vec<i64> =
        desk.charge.attempts.iter().filter(|it| it.state == AttemptState::Created).map(|it| it.id).collect();
    for id in waiting {
        desk.move_attempt(id, AttemptEvent::Withdraw, Some("the charge is void".to_owned()), now)?;
    }
    desk.move_charge(ChargeEvent::Void, Some(FORGIVEN))?;
    let pays = desk.source.as_ref().is_some_and(|source| source.state == SourceState::Active);
    let behind = matches!(desk.subscription.state, SubscriptionState::PastDue | SubscriptionState::Unpaid);
    if behind && pays && desk.charge.other_open_cases == 0 {
        desk.move_subscription(SubscriptionEvent::Recover)?;
    }
    Ok(())
}

fn not_charged(desk: &mut Desk, rules: &Rules, now: Instant) -> Result<(), Refusal> {
    let charge = desk.charge.public_id.clone();
    let Some(open) = in_question(desk) else { return Err(Refusal::NothingUnknown { charge }) };
    let (id, n, state, is_first) = (open.id, open.n, open.state, open.is_first);
    let over_at = open.first_sent_at.unwrap_or(open.created_at) + delta(rules.protocol.key_life);
    // Who looked late has seen that the life of the key is over, whatever a clock that was set says.
    if open.late_looks == 0 && now < over_at {
        let until = over_at.format("%Y-%m-%d %H:%M:%SZ").to_string();
        return Err(Refusal::KeyAlive { charge, n, until });
    }
    if state == AttemptState::Pending {
        desk.move_attempt(id, AttemptEvent::Lose, Some("the payment that was named is not its own".to_owned()), now)?;
    }
    desk.move_attempt(id, AttemptEvent::FindAbsent, Some("an operator found no payment of it".to_owned()), now)?;
    if desk.subscription.state.has_ended() {
        desk.move_charge(ChargeEvent::Void, Some("canceled"))?;
        return Ok(());
    }
    if is_first {
        return Ok(first_payment_failed(desk, DeclineClass::Technical)?);
    }
    reopen(desk, rules, now, ASKED)
}

fn charged(desk: &mut Desk, now: Instant, payment_id: &str) -> Result<(), Refusal> {
    let charge = desk.charge.public_id.clone();
    let Some(open) = in_question(desk) else { return Err(Refusal::NothingUnknown { charge }) };
    // Only the gateway's word makes it paid: it is asked for that payment at once, and reference, amount and currency must be ours.
    let id = open.id;
    desk.move_attempt(id, AttemptEvent::Pend, Some(payment_id.to_owned()), now)?;
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.payment_id = Some(payment_id.to_owned());
        attempt.unknown_since = None;
        attempt.missing_since = None;
        attempt.next_at = Some(now);
    }
    Ok(())
}

/// The attempt that a person is asked about: nothing is known of it, or the payment that it has is not found, or not ours.
fn in_question(desk: &Desk) -> Option<&Attempt> {
    let asked = desk.charge.state == ChargeState::InReview
        && desk.charge.reason.as_deref().is_some_and(|reason| {
            [ReviewReason::NotFound, ReviewReason::Mismatch, ReviewReason::Unresolved]
                .iter()
                .any(|it| it.as_str() == reason)
        });
    desk.charge.attempts.iter().find(|it| match it.state {
        AttemptState::Unknown => true,
        AttemptState::Pending => asked,
        _ => false,
    })
}

/// Nothing is decided beside an attempt that may be at the gateway.
fn refuse_beside_the_wire(desk: &Desk) -> Result<(), Refusal> {
    match desk.charge.attempts.iter().find(|it| it.state.is_on_the_wire()) {
        None => Ok(()),
        Some(flying) => {
            Err(Refusal::OnTheWire { charge: desk.charge.public_id.clone(), n: flying.n, state: flying.state })
        }
    }
}

fn refused(desk: &Desk, what: &'static str) -> Refusal {
    Refusal::State { charge: desk.charge.public_id.clone(), state: desk.charge.state, what }
}
