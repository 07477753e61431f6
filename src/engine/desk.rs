//! One charge on the desk, with everything around it: a decision moves its machines here, in memory, and only a decision that
//! went through is laid back among the books.

use std::collections::BTreeMap;

use crate::clock::Instant;
use crate::domain::attempt::{AttemptEvent, AttemptState};
use crate::domain::charge::{ChargeEvent, ChargeState};
use crate::domain::id::ReviewId;
use crate::domain::money::Money;
use crate::domain::review::ReviewReason;
use crate::domain::source::{SourceEvent, SourceState};
use crate::domain::subscription::{SubscriptionEvent, SubscriptionState};
use crate::domain::word::IllegalEvent;
use crate::engine::rules::Rules;
use crate::engine::standing::Standing;
use crate::gateway::outcome::Expected;
use crate::store::changes::{NewSource, PaymentChange};
use crate::store::journal::Entry;
use crate::store::reviews::NewReview;

/// What a decision is given beside the desk.
pub(super) struct Context<'a> {
    /// What the engine goes by.
    pub rules: &'a Rules,
    /// Now, by the database's clock.
    pub now: Instant,
    /// No key is sent again before: it may not have rested, whatever the clock says.
    pub resend_from: Instant,
    /// When the clock was seen to have been set forward: time is counted anew from there.
    pub stepped_at: Option<Instant>,
    /// How many attempts may still be cleared to be sent: budget and circuit grant them.
    pub allowance: u32,
    /// What the books say of fence, hold and brake; a day's plan shrinks with every charge that is cleared.
    pub standing: Standing,
    /// Of each subscription that had expired unpaid and is paid after all: another that its customer has begun since, by the merchant's
    /// reference.
    pub newer: BTreeMap<i64, String>,
    /// Draws the ids of review cases.
    pub chance: &'a crate::chance::Chance,
}

/// An attempt as read, and as it stands after the decision.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempt {
    pub id: i64,
    pub n: i64,
    pub is_first: bool,
    pub epoch: i64,
    /// Until when that lease held, as read.
    pub leased_until: Instant,
    /// The lease from now on.
    pub leased_epoch: i64,
    pub state: AttemptState,
    pub payment_id: Option<String>,
    pub next_at: Option<Instant>,
    pub lease_until: Option<Instant>,
    pub sends: i64,
    pub looks: i64,
    pub late_looks: i64,
    pub first_sent_at: Option<Instant>,
    pub last_sent_at: Option<Instant>,
    pub unknown_since: Option<Instant>,
    pub server_error: bool,
    /// It is unknown because an answer was lost, not because its daemon was.
    pub answer_lost: bool,
    pub missing_since: Option<Instant>,
    pub created_at: Instant,
    pub settled_at: Option<Instant>,
}

/// A charge as read, and as it stands after the decision.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Charge {
    pub id: i64,
    pub public_id: String,
    pub subscription_id: i64,
    pub reference: String,
    pub due_at: Instant,
    pub amount: Money,
    pub state: ChargeState,
    pub reason: Option<String>,
    pub paid_at: Option<Instant>,
    pub paid_by: Option<String>,
    pub dunning: String,
    /// The zone as it stands in the books: only a dunning date asks for its rules, and a host that has lost them still collects.
    pub zone: String,
    pub case: Option<DunningCase>,
    pub other_open_cases: i64,
    pub attempts: Vec<Attempt>,
}

/// A dunning case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DunningCase {
    pub policy_id: i64,
    pub state: &'static str,
    pub steps: i64,
    pub next_step_at: Option<Instant>,
    pub opened_at: Instant,
    pub closed_at: Option<Instant>,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subscription {
    pub id: i64,
    pub reference: String,
    pub state: SubscriptionState,
}

/// A source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    pub id: i64,
    pub state: SourceState,
}

/// What a decision adds to the books.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    pub payments: Vec<PaymentChange>,
    pub reviews: Vec<NewReview>,
    pub new_source: Option<NewSource>,
    pub journal: Vec<Entry>,
    /// Attempts whose `sending` is part of these changes.
    pub cleared: Vec<i64>,
    /// Attempts that must be looked up before they may be sent.
    pub look_first: Vec<i64>,
    /// What the log warns of, once it is committed.
    pub warnings: Vec<String>,
    /// Payments that were adopted although the books know of no send, and nobody expected them.
    pub strangers: Vec<String>,
    /// An outcome answered the open questions about this charge, though it was not in review.
    pub answered: bool,
}

/// One charge under decision.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub charge: Charge,
    pub subscription: Subscription,
    pub source: Option<Source>,
    pub notes: Notes,
}

impl Desk {
    /// The attempt with this id; the rows of a situation hold every attempt of the charge.
    pub fn attempt(&self, id: i64) -> Option<&Attempt> {
        self.charge.attempts.iter().find(|it| it.id == id)
    }

    /// The same, to be changed.
    pub fn attempt_mut(&mut self, id: i64) -> Option<&mut Attempt> {
        self.charge.attempts.iter_mut().find(|it| it.id == id)
    }

    /// What a payment for this charge must look like.
    pub fn expected(&self) -> Expected {
        Expected {
            reference: self.charge.reference.clone(),
            amount_minor: self.charge.amount.amount_minor,
            currency: self.charge.amount.currency,
        }
    }

    /// Leases an attempt to this daemon: whoever held it before can no longer write.
    pub fn lease(&mut self, id: i64, until: Instant) {
        if let Some(attempt) = self.attempt_mut(id) {
            attempt.leased_epoch = attempt.epoch + 1;
            attempt.lease_until = Some(until);
        }
    }

    /// Moves an attempt. A move into a final state ends its schedule and its lease.
    pub fn move_attempt(
        &mut self,
        id: i64,
        event: AttemptEvent,
        detail: Option<String>,
        now: Instant,
    ) -> Result<(), IllegalEvent> {
        let Some(attempt) = self.charge.attempts.iter_mut().find(|it| it.id == id) else {
            return Err(IllegalEvent {
                machine: "charge",
                state: self.charge.state.as_str(),
                event: format!("find attempt {id}"),
            });
        };
        let was = attempt.state;
        let state = was.after(event)?;
        attempt.state = state;
        if was != state {
            attempt.looks = 0;
        }
        if state.is_live() {
            attempt.settled_at = None;
        } else {
            attempt.next_at = None;
            attempt.settled_at = attempt.settled_at.or(Some(now));
        }
        attempt.lease_until = Some(now);
        let n = attempt.n;
        if was != state {
            self.note("attempt", Some(n), was.as_str(), state.as_str(), detail);
        }
        Ok(())
    }

    /// Moves the charge; `reason` replaces the one it had.
    pub fn move_charge(&mut self, event: ChargeEvent, reason: Option<&str>) -> Result<(), IllegalEvent> {
        let was = self.charge.state;
        let state = was.after(event)?;
        self.charge.state = state;
        self.charge.reason = reason.map(str::to_owned);
        // A charge that nobody collects any more is in no dunning either.
        if let (ChargeState::Void | ChargeState::Uncollectible, Some(case)) = (state, &mut self.charge.case)
            && case.state == "open"
        {
            case.state = "stopped";
            case.next_step_at = None;
        }
        if was != state {
            self.note("charge", None, was.as_str(), state.as_str(), reason.map(str::to_owned));
        }
        Ok(())
    }

    /// Moves the subscription.
    pub fn move_subscription(&mut self, event: SubscriptionEvent) -> Result<(), IllegalEvent> {
        let was = self.subscription.state;
        let state = was.after(event)?;
        self.subscription.state = state;
        if was != state {
            self.note("subscription", None, was.as_str(), state.as_str(), None);
        }
        Ok(())
    }

    /// Moves the source, where there is one.
    pub fn move_source(&mut self, event: SourceEvent) -> Result<(), IllegalEvent> {
        let Some(source) = &mut self.source else { return Ok(()) };
        let was = source.state;
        let state = was.after(event)?;
        source.state = state;
        if was != state {
            self.note("source", None, was.as_str(), state.as_str(), None);
        }
        Ok(())
    }

    /// Opens a review case about this charge. The subject makes a second sight of the same fault the same case.
    pub fn review(
        &mut self,
        context: &Context<'_>,
        reason: ReviewReason,
        subject: String,
        payment_id: Option<&str>,
        evidence: String,
    ) {
        self.notes.reviews.push(NewReview {
            public_id: ReviewId::new(context.now, context.chance.ten_bytes()),
            reason,
            subject,
            subscription_id: Some(self.subscription.id),
            charge_id: Some(self.charge.id),
            payment_id: payment_id.map(str::to_owned),
            evidence,
        });
    }

    /// Whether the subscription waits for its first payment and no answer has named the source yet.
    pub fn wants_source(&self) -> bool {
        self.source.is_none()
            && self.notes.new_source.is_none()
            && matches!(self.subscription.state, SubscriptionState::Incomplete | SubscriptionState::IncompleteExpired)
    }

    /// A payment was adopted of which the books know no send; `expected`: an operator has acknowledged that there may be such.
    pub fn stranger(&mut self, payment_id: &str, expected: bool) {
        if !expected {
            self.notes.strangers.push(payment_id.to_owned());
        }
        self.notes.journal.push(Entry {
            act: "stranger",
            subscription_id: Some(self.subscription.id),
            charge_id: Some(self.charge.id),
            detail: Some(payment_id.to_owned()),
            ..Entry::default()
        });
    }

    /// An operator asked for what was done here.
    pub fn asked(&mut self, what: &str, reason: &str) {
        self.notes.journal.push(Entry {
            act: "asked",
            subscription_id: Some(self.subscription.id),
            charge_id: Some(self.charge.id),
            detail: Some(format!("{what}: {reason}")),
            ..Entry::default()
        });
    }

    /// Warns in the log of what takes too long but needs nobody yet.
    pub fn warn(&mut self, what: String) {
        self.notes.warnings.push(what);
    }

    /// An outcome that fits no machine: nothing moves, the attempt is looked at again much later, and a person is asked.
    pub fn set_aside(&mut self, context: &Context<'_>, id: i64, illegal: &IllegalEvent) {
        let later = context.now + crate::engine::rules::delta(context.rules.polls.in_review);
        if let Some(attempt) = self.attempt_mut(id)
            && attempt.state.is_live()
        {
            attempt.next_at = Some(later);
            attempt.lease_until = Some(context.now);
        }
        let subject = self.charge.public_id.clone();
        self.review(context, ReviewReason::Contradiction, subject, None, illegal.to_string());
    }

    fn note(
        &mut self,
        act: &'static str,
        n: Option<i64>,
        was: &'static str,
        now: &'static str,
        detail: Option<String>,
    ) {
        self.notes.journal.push(Entry {
            act,
            subscription_id: Some(self.subscription.id),
            charge_id: Some(self.charge.id),
            attempt_n: n,
            was: Some(was),
            now: Some(now),
            detail,
        });
    }
}
