//! A payment was seen: by its answer, a poll or a look-up. By its status it is pending, captured or over without money.

use chrono::TimeDelta;

use super::first;
use crate::clock::Instant;
use crate::config::Polls;
use crate::domain::attempt::{AttemptEvent, AttemptState};
use crate::domain::charge::{ChargeEvent, ChargeState};
use crate::domain::dunning::{DeclineClass, DunningEnd, NextStep};
use crate::domain::review::ReviewReason;
use crate::domain::source::{SourceEvent, SourceState};
use crate::domain::subscription::{SubscriptionEvent, SubscriptionState};
use crate::domain::word::IllegalEvent;
use crate::engine::desk::{Context, Desk, DunningCase};
use crate::engine::rules::delta;
use crate::gateway::outcome::{Payment, PaymentStatus, differences};
use crate::store::changes::PaymentChange;

/// How long a payment that the gateway did not know waits for the next look, at first.
const AFTER_NOT_FOUND: TimeDelta = TimeDelta::minutes(1);

/// Attempt `id` has this payment; `codes_read` says that its decline code was asked for.
pub(super) fn seen(
    desk: &mut Desk,
    context: &mut Context<'_>,
    id: i64,
    payment: &Payment,
    codes_read: bool,
) -> Result<(), IllegalEvent> {
    let wrong = differences(payment, &desk.expected());
    if !wrong.is_empty() {
        return mismatch(desk, context, id, payment, &wrong);
    }
    if payment.retry_scheduled {
        return pend(desk, context, id, payment);
    }
    match &payment.status {
        PaymentStatus::Pending
        | PaymentStatus::Authorized
        | PaymentStatus::RetryScheduled
        | PaymentStatus::Other(_) => pend(desk, context, id, payment),
        PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded => {
            capture(desk, context, id, payment)
        }
        PaymentStatus::PartiallyCaptured => {
            let part = format!("only {:?} minor units were captured", payment.captured_minor);
            mismatch(desk, context, id, payment, &[part])
        }
        PaymentStatus::Declined if payment.response_code.is_none() && (!codes_read || payment.code_unread) => {
            // The code decides what follows, and only the payment's actions tell it: one more look before we believe anything.
            pend(desk, context, id, payment)?;
            if let Some(attempt) = desk.attempt_mut(id) {
                let wait = if codes_read { delta(context.rules.protocol.look_again) } else { TimeDelta::zero() };
                attempt.next_at = Some(context.now + wait);
            }
            Ok(())
        }
        PaymentStatus::Declined | PaymentStatus::Voided => {
            let class =
                context.rules.declines.classify(payment.response_code.as_deref(), payment.partner_code.as_deref());
            end(desk, context, id, payment, AttemptEvent::Decline, class)
        }
        PaymentStatus::Canceled => end(desk, context, id, payment, AttemptEvent::Cancel, DeclineClass::Refused),
        PaymentStatus::Expired => end(desk, context, id, payment, AttemptEvent::Expire, DeclineClass::Technical),
    }
}

/// A payment under our key or reference that is not what we asked for: kept, shown to a person, never sent again, never believed.
pub(super) fn mismatch(
    desk: &mut Desk,
    context: &mut Context<'_>,
    id: i64,
    payment: &Payment,
    differences: &[String],
) -> Result<(), IllegalEvent> {
    keep(desk, id, payment, None);
    let on_the_wire = desk.attempt(id).is_some_and(|attempt| attempt.state.is_live());
    if on_the_wire {
        if desk.attempt(id).is_some_and(|attempt| attempt.state != AttemptState::Pending) {
            desk.move_attempt(id, AttemptEvent::Pend, Some(payment.id.clone()), context.now)?;
        }
        if let Some(attempt) = desk.attempt_mut(id) {
            attempt.payment_id = Some(payment.id.clone());
            attempt.next_at = Some(context.now + delta(context.rules.polls.within_review));
            attempt.lease_until = Some(context.now);
            attempt.looks += 1;
        }
    }
    if desk.charge.state.is_open() {
        desk.move_charge(ChargeEvent::Review, Some(ReviewReason::Mismatch.as_str()))?;
    }
    let evidence = format!("the gateway's payment differs from ours: {}", differences.join("; "));
    desk.review(context, ReviewReason::Mismatch, payment.id.clone(), Some(&payment.id), evidence);
    Ok(())
}

/// The gateway says that it does not know the payment: that is a wrong account or a late index, never "unpaid".
pub(super) fn not_found(desk: &mut Desk, context: &mut Context<'_>, id: i64) -> Result<(), IllegalEvent> {
    let now = context.now;
    let polls = &context.rules.polls;
    let (not_found_for, in_review) = (delta(polls.not_found_for), delta(polls.in_review));
    let Some(attempt) = desk.attempt_mut(id) else { return Ok(()) };
    if attempt.state != AttemptState::Pending {
        return Ok(());
    }
    let since = *attempt.missing_since.get_or_insert(now);
    attempt.lease_until = Some(now);
    if now - since < not_found_for {
        attempt.next_at = Some(now + AFTER_NOT_FOUND.min(not_found_for));
        return Ok(());
    }
    attempt.next_at = Some(now + in_review);
    let payment_id = attempt.payment_id.clone().unwrap_or_default();
    if desk.charge.state.is_open() {
        desk.move_charge(ChargeEvent::Review, Some(ReviewReason::NotFound.as_str()))?;
    }
    let evidence = format!("the gateway answers 404 for {payment_id} since {}", since.format("%Y-%m-%d %H:%M:%SZ"));
    desk.review(context, ReviewReason::NotFound, payment_id.clone(), Some(&payment_id), evidence);
    Ok(())
}

fn pend(desk: &mut Desk, context: &mut Context<'_>, id: i64, payment: &Payment) -> Result<(), IllegalEvent> {
    let now = context.now;
    keep(desk, id, payment, None);
    let Some(attempt) = desk.attempt(id) else { return Ok(()) };
    if !attempt.state.is_live() {
        // An older answer arrived after a newer one; but of a payment beside the one that counts it is news.
        let known = attempt.payment_id.as_deref() == Some(&payment.id);
        let counts = counts_for(desk, id);
        if !counts && !known {
            return double(desk, context, payment);
        }
        let another_is_live = desk.charge.attempts.iter().any(|it| it.state.is_live());
        if !counts || attempt.state != AttemptState::Withdrawn || another_is_live {
            return first::learn_source(desk, context, id, payment);
        }
    }
    let was = desk.attempt(id).map(|attempt| attempt.state);
    desk.move_attempt(id, AttemptEvent::Pend, Some(payment.id.clone()), now)?;
    let polls = context.rules.polls.clone();
    let mut age = TimeDelta::zero();
    if let Some(attempt) = desk.attempt_mut(id) {
        if was == Some(AttemptState::Pending) {
            attempt.looks += 1;
        }
        attempt.payment_id = Some(payment.id.clone());
        attempt.missing_since = None;
        attempt.unknown_since = None;
        age = now - attempt.first_sent_at.unwrap_or(attempt.created_at);
        attempt.next_at = Some(now + next_poll(&polls, attempt.looks, age));
    }
    if matches!(desk.charge.state, ChargeState::Due | ChargeState::Retrying) {
        desk.move_charge(ChargeEvent::Send, None)?;
    }
    let wanted = desk.wants_source();
    first::learn_source(desk, context, id, payment)?;
    if was == Some(AttemptState::Pending)
        && wanted
        && !desk.wants_source()
        && let Some(attempt) = desk.attempt_mut(id)
    {
        // A repeated answer has named the source, but says how the payment stood at first: it may have been captured since.
        attempt.next_at = Some(now);
    }
    if (delta(polls.alert_after)..delta(polls.review_after)).contains(&age) {
        desk.warn(format!("{} has been {} for {} hours", payment.id, payment.status.word(), age.num_hours()));
    }
    if age >= delta(polls.review_after) {
        if desk.charge.state == ChargeState::Collecting {
            desk.move_charge(ChargeEvent::Review, Some(ReviewReason::PendingTooLong.as_str()))?;
        }
        let evidence = format!("{} has been {} for {} hours", payment.id, payment.status.word(), age.num_hours());
        desk.review(context, ReviewReason::PendingTooLong, payment.id.clone(), Some(&payment.id), evidence);
    }
    Ok(())
}

/// The wait before the next poll of a payment that was looked at `looks` times and is `age` old: widening, never ending.
pub(super) fn next_poll(polls: &Polls, looks: i64, age: TimeDelta) -> TimeDelta {
    let first = usize::try_from(looks).ok().and_then(|looks| polls.first.get(looks));
    delta(match first {
        Some(wait) => *wait,
        None if age < delta(polls.alert_after) => polls.within_alert,
        None if age < delta(polls.review_after) => polls.within_review,
        None => polls.in_review,
    })
}

fn capture(desk: &mut Desk, context: &mut Context<'_>, id: i64, payment: &Payment) -> Result<(), IllegalEvent> {
    let now = context.now;
    if payment.source_id.is_none() && desk.wants_source() && super::send::may_replay(desk, context, id) {
        // The money is certain, the source is not: the attempt stays open until the gateway has repeated its first answer.
        return pend(desk, context, id, payment);
    }
    keep(desk, id, payment, None);
    if !counts_for(desk, id) {
        return double(desk, context, payment);
    }
    desk.move_attempt(id, AttemptEvent::Capture, Some(payment.id.clone()), now)?;
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.payment_id = Some(payment.id.clone());
    }
    let others: Vec<(i64, AttemptState)> =
        desk.charge.attempts.iter().filter(|it| it.id != id).map(|it| (it.id, it.state)).collect();
    let why = Some(format!("{} was captured", payment.id));
    // Also where the charge was paid before: whoever opened this attempt did not know of it yet.
    for (waiting, _) in others.iter().filter(|(_, state)| *state == AttemptState::Created) {
        desk.move_attempt(*waiting, AttemptEvent::Withdraw, why.clone(), now)?;
    }
    if let Some(paid_by) = &desk.charge.paid_by {
        return if *paid_by == payment.id { Ok(()) } else { double(desk, context, payment) };
    }
    for (other, state) in others {
        let why = why.clone();
        match state {
            AttemptState::Sending | AttemptState::Unknown => {
                desk.move_attempt(other, AttemptEvent::Supersede, why, now)?;
                double(desk, context, payment)?;
            }
            AttemptState::Pending => double(desk, context, payment)?,
            _ => {}
        }
    }
    if desk.charge.state == ChargeState::Void {
        let evidence = format!("{} was captured although the charge was void", payment.id);
        desk.review(context, ReviewReason::CapturedAfterVoid, payment.id.clone(), Some(&payment.id), evidence);
    } else if first::canceled_unpaid(desk, id) {
        let evidence = format!("{} was captured although its subscription was canceled before it was paid", payment.id);
        desk.review(context, ReviewReason::CapturedAfterVoid, payment.id.clone(), Some(&payment.id), evidence);
    }
    let was_billed = !matches!(desk.charge.state, ChargeState::Held | ChargeState::Skipped);
    desk.move_charge(ChargeEvent::Pay, None)?;
    desk.charge.paid_at = Some(now);
    desk.charge.paid_by = Some(payment.id.clone());
    close_case(desk, "recovered", now);
    // Money for a period that these books never billed says nothing of what is owed now.
    if was_billed { paid_subscription(desk, context, payment) } else { Ok(()) }
}

/// Whether a payment of this attempt may be the one that counts. What was taken back before it was sent has none, unless books that were
/// set back had forgotten that it was sent: then it is the only one there is.
fn counts_for(desk: &Desk, id: i64) -> bool {
    match desk.attempt(id).map(|attempt| attempt.state) {
        Some(AttemptState::Superseded) => false,
        Some(AttemptState::Withdrawn) => desk.charge.paid_by.is_none(),
        _ => true,
    }
}

fn paid_subscription(desk: &mut Desk, context: &mut Context<'_>, payment: &Payment) -> Result<(), IllegalEvent> {
    match desk.subscription.state {
        SubscriptionState::Incomplete | SubscriptionState::IncompleteExpired => first::paid(desk, context, payment),
        SubscriptionState::PastDue | SubscriptionState::Unpaid
            if desk.charge.other_open_cases == 0
                && desk.source.as_ref().is_some_and(|source| source.state == SourceState::Active) =>
        {
            desk.move_subscription(SubscriptionEvent::Recover)
        }
        _ => Ok(()),
    }
}

/// More than one payment of this period took money, or may: the one that counts stays, the other is for a person to refund.
pub(super) fn double(desk: &mut Desk, context: &mut Context<'_>, payment: &Payment) -> Result<(), IllegalEvent> {
    let evidence = format!(
        "{} stands beside another payment of {}: one of them is to be refunded",
        payment.id, desk.charge.reference
    );
    desk.review(context, ReviewReason::Double, payment.id.clone(), Some(&payment.id), evidence);
    Ok(())
}

/// The attempt ended without money, and `class` says what that means.
fn end(
    desk: &mut Desk,
    context: &mut Context<'_>,
    id: i64,
    payment: &Payment,
    event: AttemptEvent,
    class: DeclineClass,
) -> Result<(), IllegalEvent> {
    let now = context.now;
    keep(desk, id, payment, Some(class));
    let Some(attempt) = desk.attempt(id) else { return Ok(()) };
    let (was, is_first) = (attempt.state, attempt.is_first);
    if !was.is_live() && !matches!(was, AttemptState::Absent | AttemptState::Rejected) {
        return Ok(());
    }
    let code =
        payment.response_code.clone().or_else(|| payment.partner_code.clone()).unwrap_or_else(|| "no code".to_owned());
    desk.move_attempt(id, event, Some(format!("{} {code} {class}", payment.id)), now)?;
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.payment_id = Some(payment.id.clone());
    }
    let another_is_live = desk.charge.attempts.iter().any(|it| it.id != id && it.state.is_live());
    if another_is_live || !desk.charge.state.is_open() {
        return Ok(());
    }
    if is_first {
        return first::first_payment_failed(desk, class);
    }
    declined(desk, context, class, now)
}

/// A charge was declined: the next dunning step, or the end of the case.
fn declined(desk: &mut Desk, context: &mut Context<'_>, class: DeclineClass, now: Instant) -> Result<(), IllegalEvent> {
    if desk.subscription.state.has_ended() {
        close_case(desk, "stopped", now);
        return desk.move_charge(ChargeEvent::Void, Some("canceled"));
    }
    if desk.source.as_ref().is_some_and(|source| source.state == SourceState::Revoked) {
        close_case(desk, "stopped", now);
        return desk.move_charge(ChargeEvent::GiveUp, Some(DeclineClass::AuthorisationGone.as_str()));
    }
    let (pinned, steps) = desk.charge.case.as_ref().map_or((None, 0), |case| (Some(case.policy_id), case.steps));
    let Some((policy_id, policy)) = context.rules.policy(pinned, &desk.charge.dunning) else {
        let evidence = format!("there is no dunning policy {:?}", desk.charge.dunning);
        return alarm(desk, context, ReviewReason::Configuration, evidence);
    };
    let zone = || desk.charge.zone.parse();
    let next = policy.after_decline(class, usize::try_from(steps).unwrap_or_default(), zone, now);
    match next {
        Err(error) => alarm(desk, context, ReviewReason::Calendar, error.to_string()),
        Ok(NextStep::RetryAt(at)) => {
            desk.move_charge(ChargeEvent::Retry, Some(class.as_str()))?;
            let case = open_case(desk, policy_id, now);
            case.next_step_at = Some(at);
            match desk.subscription.state {
                SubscriptionState::Active | SubscriptionState::Trialing => {
                    desk.move_subscription(SubscriptionEvent::FallBehind)
                }
                _ => Ok(()),
            }
        }
        Ok(NextStep::End(end)) => {
            desk.move_charge(ChargeEvent::GiveUp, Some(class.as_str()))?;
            open_case(desk, policy_id, now);
            close_case(desk, "exhausted", now);
            end_of_dunning(desk, end)
        }
        Ok(NextStep::AskForAuthorisation) => {
            desk.move_charge(ChargeEvent::GiveUp, Some(class.as_str()))?;
            close_case(desk, "stopped", now);
            desk.move_source(SourceEvent::Revoke)?;
            let source = desk.source.as_ref().map_or(0, |source| source.id);
            let evidence = "a decline says that the customer withdrew the authorisation; every subscription on this \
                            source is stopped"
                .to_owned();
            desk.review(context, ReviewReason::AuthorisationGone, format!("source {source}"), None, evidence);
            Ok(())
        }
        Ok(NextStep::AlarmOperator) => {
            alarm(desk, context, ReviewReason::Configuration, "a decline points at our own set-up".to_owned())
        }
    }
}

/// What follows from a decline is for a person to say: no step is spent.
fn alarm(
    desk: &mut Desk,
    context: &mut Context<'_>,
    reason: ReviewReason,
    evidence: String,
) -> Result<(), IllegalEvent> {
    desk.move_charge(ChargeEvent::Review, Some(reason.as_str()))?;
    let subject = desk.charge.public_id.clone();
    desk.review(context, reason, subject, None, evidence);
    Ok(())
}

fn end_of_dunning(desk: &mut Desk, end: DunningEnd) -> Result<(), IllegalEvent> {
    let state = desk.subscription.state;
    let runs = matches!(state, SubscriptionState::Trialing | SubscriptionState::Active | SubscriptionState::PastDue);
    match end {
        DunningEnd::Suspend if runs => desk.move_subscription(SubscriptionEvent::Suspend),
        DunningEnd::Cancel if runs || matches!(state, SubscriptionState::Unpaid | SubscriptionState::Paused) => {
            desk.move_subscription(SubscriptionEvent::Cancel)
        }
        DunningEnd::Keep if state == SubscriptionState::PastDue && desk.charge.other_open_cases == 0 => {
            desk.move_subscription(SubscriptionEvent::Recover)
        }
        DunningEnd::Suspend | DunningEnd::Cancel | DunningEnd::Keep => Ok(()),
    }
}

pub(super) fn open_case(desk: &mut Desk, policy_id: i64, now: Instant) -> &mut DunningCase {
    let case = desk.charge.case.get_or_insert(DunningCase {
        policy_id,
        state: "open",
        steps: 0,
        next_step_at: None,
        opened_at: now,
        closed_at: None,
    });
    case.state = "open";
    case.closed_at = None;
    case
}

fn close_case(desk: &mut Desk, state: &'static str, now: Instant) {
    if let Some(case) = &mut desk.charge.case
        && case.state == "open"
    {
        case.state = state;
        case.next_step_at = None;
        case.closed_at = Some(now);
    }
}

/// Keeps what the gateway showed of a payment, of whichever attempt.
pub(super) fn keep(desk: &mut Desk, id: i64, payment: &Payment, class: Option<DeclineClass>) {
    let attempt = desk.attempt(id);
    let took =
        matches!(payment.status, PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded);
    let captured = payment.captured_minor.or_else(|| took.then_some(payment.amount_minor).flatten());
    desk.notes.payments.push(PaymentChange {
        gateway_payment_id: payment.id.clone(),
        attempt_id: attempt.map(|it| it.id),
        charge_id: Some(desk.charge.id),
        kind: if attempt.is_some_and(|it| it.is_first) { "first" } else { "recurring" },
        reference: payment.reference.clone(),
        status: payment.status.word().to_owned(),
        amount_minor: payment.amount_minor,
        currency: payment.currency.clone(),
        captured_minor: captured.unwrap_or(0).max(0),
        refunded_minor: payment.refunded_minor.unwrap_or(0).max(0),
        response_code: payment.response_code.clone(),
        decline_class: class.map(DeclineClass::as_str),
        redirect_url: payment.redirect_url.clone(),
        request_id: payment.request_id.clone(),
    });
}
