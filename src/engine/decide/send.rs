//! Step 4 of the protocol: may this attempt be sent now?

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::config::LookFirst;
use crate::domain::attempt::{AttemptEvent, AttemptState};
use crate::domain::charge::ChargeEvent;
use crate::domain::review::ReviewReason;
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;
use crate::domain::word::IllegalEvent;
use crate::engine::desk::{Context, Desk};
use crate::engine::rules::{Rules, delta};
use crate::engine::steady::STEP_AT_MOST;

/// How long an attempt waits that may not be sent yet: its source is not confirmed, or its subscription paused.
pub(in crate::engine) const AFTER_NOT_YET: TimeDelta = TimeDelta::hours(1);
/// How long an attempt waits while nothing may be sent: an operator is waited for, or collecting is stopped.
const WHILE_STOPPED: TimeDelta = TimeDelta::minutes(10);
/// How long an attempt waits while what fell due before the fence is looked up.
const WHILE_SURVEYED: TimeDelta = TimeDelta::seconds(5);
/// A key is not sent again sooner: the gateway may still be at work on it (checkout.com docs, "Retry a payment": 30 seconds). A step of
/// the clock may go unseen, and is waited for as well.
const RESEND_AFTER: TimeDelta = TimeDelta::seconds(30 + STEP_AT_MOST.num_seconds());
/// How long an attempt waits for which the budget held no token.
const AFTER_NO_TOKEN: TimeDelta = TimeDelta::milliseconds(200);

/// Clears attempt `id`, which is certainly not on the wire, to be sent; `looked` says that a look-up under this lease found no
/// payment of its period.
pub(super) fn due(desk: &mut Desk, context: &mut Context<'_>, id: i64, looked: bool) -> Result<(), IllegalEvent> {
    let now = context.now;
    let Some(attempt) = desk.attempt(id) else { return Ok(()) };
    let (is_first, n) = (attempt.is_first, attempt.n);
    if desk.subscription.state == SubscriptionState::Paused {
        postpone(desk, id, now + AFTER_NOT_YET);
        return Ok(());
    }
    if desk.subscription.state.has_ended() {
        desk.move_attempt(id, AttemptEvent::Withdraw, Some("the subscription has ended".to_owned()), now)?;
        // Who canceled may have voided it already.
        return if desk.charge.state.is_open() {
            desk.move_charge(ChargeEvent::Void, Some("canceled"))
        } else {
            Ok(())
        };
    }
    if !is_first {
        match desk.source.as_ref().map(|source| source.state) {
            Some(SourceState::Active) => {}
            Some(SourceState::Revoked) => {
                desk.move_attempt(id, AttemptEvent::Withdraw, Some("its source was revoked".to_owned()), now)?;
                return desk.move_charge(ChargeEvent::GiveUp, Some("authorisation_gone"));
            }
            Some(SourceState::Provisional | SourceState::Failed) | None => {
                postpone(desk, id, now + AFTER_NOT_YET);
                return Ok(());
            }
        }
    }
    if desk.charge.amount.amount_minor > context.rules.largest_charge_minor {
        return over_limit(desk, context, id);
    }
    let fence = context.standing.continuity_from.filter(|from| desk.charge.due_at < *from);
    let always = context.rules.protocol.look_first == LookFirst::Always;
    let lease = delta(context.rules.protocol.lease);
    let surveyed_at =
        desk.attempt(id).and_then(|it| it.missing_since).filter(|at| fence.is_some_and(|fence| fence <= *at));
    if context.standing.unsurveyed && surveyed_at.is_some() && !is_first {
        if is_stopped(desk, context, id) {
            wait_for_operator(desk, id, now);
        } else {
            postpone(desk, id, now + WHILE_SURVEYED);
        }
        return Ok(());
    }
    if let (true, Some(_), Some(attempt)) = (looked, fence, desk.attempt_mut(id)) {
        attempt.missing_since = Some(now);
    }
    // What the survey has just shown to be absent is not looked up twice.
    let looked = looked || surveyed_at.is_some_and(|at| now - at < lease);
    if !looked && (n > 1 || fence.is_some() || context.standing.held || always) {
        desk.lease(id, now + lease);
        desk.notes.look_first.push(id);
        return Ok(());
    }
    clear(desk, context, id)
}

/// Moves the attempt to `sending`. The caller commits it, and only then a POST is built of it.
pub(super) fn clear(desk: &mut Desk, context: &mut Context<'_>, id: i64) -> Result<(), IllegalEvent> {
    let now = context.now;
    if is_stopped(desk, context, id) {
        wait_for_operator(desk, id, now);
        return Ok(());
    }
    if context.standing.unsurveyed && !desk.attempt(id).is_some_and(|it| it.is_first) {
        postpone(desk, id, now + WHILE_SURVEYED);
        return Ok(());
    }
    if desk.subscription.state == SubscriptionState::Paused {
        postpone(desk, id, now + AFTER_NOT_YET);
        return Ok(());
    }
    let is_new = desk.attempt(id).is_some_and(|it| it.n == 1 && it.sends == 0 && !it.is_first);
    if context.allowance == 0 || is_new && !context.standing.takes(&desk.charge.amount) {
        if context.standing.exceeded.is_some() {
            wait_for_operator(desk, id, now);
            return Ok(());
        }
        // An unknown one costs a look-up each time it comes back.
        let is_unknown = desk.attempt(id).is_some_and(|it| it.state == AttemptState::Unknown);
        postpone(desk, id, now + if is_unknown { RESEND_AFTER } else { AFTER_NO_TOKEN });
        return Ok(());
    }
    context.allowance -= 1;
    desk.move_attempt(id, AttemptEvent::Send, None, now)?;
    let lease_until = now + delta(context.rules.protocol.lease);
    desk.lease(id, lease_until);
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.sends += 1;
        attempt.first_sent_at = attempt.first_sent_at.or(Some(now));
        attempt.last_sent_at = Some(now);
        attempt.unknown_since = None;
        attempt.missing_since = None;
        attempt.server_error = false;
        attempt.answer_lost = false;
        // If this process dies, whoever comes after the lease looks it up.
        attempt.next_at = Some(lease_until);
    }
    desk.move_charge(ChargeEvent::Send, None)?;
    desk.notes.cleared.push(id);
    Ok(())
}

/// Whether the key of a first payment may be sent once more, only to hear again what its lost answer said. After a server error, or
/// late in its life, the gateway could make another payment of it.
pub(super) fn may_replay(desk: &Desk, context: &Context<'_>, id: i64) -> bool {
    desk.attempt(id).is_some_and(|attempt| {
        attempt.is_first
            && attempt.state.is_on_the_wire()
            && !attempt.server_error
            && attempt.late_looks == 0
            && attempt.first_sent_at.is_some_and(|sent| key_is_usable(context.rules, attempt.sends, sent, context.now))
    })
}

/// Whether a key that was sent so often, first at `sent`, has sends and life left at `at`.
pub(in crate::engine) fn key_is_usable(rules: &Rules, sends: i64, sent: Instant, at: Instant) -> bool {
    let usable_for = delta(rules.protocol.key_life) - delta(rules.protocol.key_margin);
    sends < i64::from(rules.protocol.max_sends.get()) && at >= sent && at - sent < usable_for
}

/// A first send that is dated ahead of now, by more than the margin covers, was dated by a clock that ran ahead: how old its key is nobody
/// knows, only that it was sent before now. It is never sent again, and takes a whole life from now to be over.
pub(super) fn distrust_a_key_of_the_future(desk: &mut Desk, context: &Context<'_>, id: i64) {
    let (now, margin) = (context.now, delta(context.rules.protocol.key_margin));
    let Some(attempt) = desk.attempt_mut(id) else { return };
    if attempt.state.is_on_the_wire() && attempt.first_sent_at.is_some_and(|sent| sent - now > margin) {
        attempt.first_sent_at = Some(now);
        attempt.last_sent_at = Some(now);
        attempt.late_looks = attempt.late_looks.max(1);
    }
}

/// Sends it, as soon as the key has rested; the attempt stays as it is.
pub(super) fn replay(desk: &mut Desk, context: &mut Context<'_>, id: i64) {
    if !may_replay(desk, context, id) || is_stopped(desk, context, id) {
        return;
    }
    let now = context.now;
    let rest = rest_of_a_key(context.rules);
    let Some(attempt) = desk.attempt_mut(id) else { return };
    let rests_until = rests_until(attempt.last_sent_at, context).unwrap_or(now);
    if rests_until > now || context.allowance == 0 {
        let again_at = rests_until.max(now + AFTER_NO_TOKEN);
        attempt.next_at = attempt.next_at.map(|at| at.min(again_at));
        return;
    }
    context.allowance -= 1;
    attempt.sends += 1;
    attempt.last_sent_at = Some(now);
    attempt.leased_epoch = attempt.epoch + 1;
    // Whatever becomes of this send, the payment is looked at again when the key has rested.
    attempt.next_at = attempt.next_at.map(|at| at.min(now + rest));
    desk.notes.cleared.push(id);
}

/// How long a key rests, counted from the commit of its last send: what was committed then may have been sent so much later.
pub(in crate::engine) fn rest_of_a_key(rules: &Rules) -> TimeDelta {
    delta(rules.protocol.send_within) + RESEND_AFTER
}

/// Until when a key rests that was sent last at `last_sent_at`, by the clock of then; none where it has rested.
pub(super) fn rests_until(last_sent_at: Option<Instant>, context: &Context<'_>) -> Option<Instant> {
    let rested_at = last_sent_at? + rest_of_a_key(context.rules);
    Some(rested_at.max(context.resend_from)).filter(|until| *until > context.now)
}

/// Whether nothing may be sent of this attempt for now. A brake does not hold up whoever approves a first payment.
fn is_stopped(desk: &Desk, context: &Context<'_>, id: i64) -> bool {
    let standing = &context.standing;
    let is_first = desk.attempt(id).is_some_and(|it| it.is_first);
    standing.held || standing.closed || standing.braked && !is_first
}

/// Puts it off until an operator lets things go on; what waits for that is known by its count of looks.
fn wait_for_operator(desk: &mut Desk, id: i64, now: Instant) {
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.looks += i64::from(attempt.state == AttemptState::Created);
    }
    postpone(desk, id, now + WHILE_STOPPED);
}

fn postpone(desk: &mut Desk, id: i64, until: Instant) {
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.next_at = Some(until);
        attempt.lease_until = Some(until);
    }
}

fn over_limit(desk: &mut Desk, context: &mut Context<'_>, id: i64) -> Result<(), IllegalEvent> {
    postpone(desk, id, context.now + delta(context.rules.polls.in_review));
    desk.move_charge(ChargeEvent::Review, Some(ReviewReason::OverLimit.as_str()))?;
    let evidence = format!(
        "{} is above the limit of {} minor units for one charge",
        desk.charge.amount, context.rules.largest_charge_minor
    );
    let subject = desk.charge.public_id.clone();
    desk.review(context, ReviewReason::OverLimit, subject, None, evidence);
    Ok(())
}
