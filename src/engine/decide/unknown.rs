//! Step 7 of the protocol: an unknown outcome is looked up, never guessed. What is found is adopted at once; only absence takes
//! time to be believed.

use chrono::TimeDelta;

use super::{answer, send};
use crate::clock::Instant;
use crate::config::Resend;
use crate::domain::attempt::{AttemptEvent, AttemptState};
use crate::domain::charge::{ChargeEvent, ChargeState};
use crate::domain::review::ReviewReason;
use crate::domain::source::SourceState;
use crate::domain::word::IllegalEvent;
use crate::engine::desk::{Context, Desk};
use crate::engine::rules::delta;
use crate::gateway::outcome::{Payment, PaymentStatus, differences};

/// Look-ups past the key's life before absence is believed, beside the witness.
const LATE_LOOKS: i64 = 2;
/// Why a charge waits for its next attempt when no decline caused it.
pub(in crate::engine) const ABSENT: &str = "absent";

/// The answer to a POST was lost.
pub(super) fn lose(
    desk: &mut Desk,
    context: &mut Context<'_>,
    id: i64,
    server_error: bool,
    why: String,
) -> Result<(), IllegalEvent> {
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.server_error |= server_error;
        attempt.answer_lost = true;
    }
    still_unknown(desk, context, id, why)
}

/// Nothing is proven; the clock of absence starts now.
pub(super) fn still_unknown(desk: &mut Desk, context: &Context<'_>, id: i64, why: String) -> Result<(), IllegalEvent> {
    desk.move_attempt(id, AttemptEvent::Lose, Some(why), context.now)?;
    let first = context.rules.protocol.lookup_after.first().copied().unwrap_or_default();
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.unknown_since = Some(context.now);
        attempt.next_at = Some(context.now + delta(first));
    }
    Ok(())
}

/// A whole look-up came back. `stale`: another daemon has leased the attempt since, so only what exists is believed.
pub(super) fn listed(
    desk: &mut Desk,
    context: &mut Context<'_>,
    id: i64,
    payments: &[Payment],
    witness: Option<bool>,
    stale: bool,
) -> Result<(), IllegalEvent> {
    let ours: Vec<&Payment> =
        payments.iter().filter(|it| it.reference.as_deref().is_none_or(|it| it == desk.charge.reference)).collect();
    for payment in &ours {
        let owner = owner_of(desk, payment).unwrap_or(id);
        answer::keep(desk, owner, payment, None);
    }
    let took: Vec<&Payment> = ours.iter().copied().filter(|it| took_money(it)).collect();
    // The list is newest first: where none counts yet, the oldest does.
    let counts = took.iter().find(|it| desk.charge.paid_by.as_ref() == Some(&it.id)).or(took.last()).copied();
    for extra in took.iter().filter(|it| counts.is_some_and(|counts| counts.id != it.id)) {
        answer::double(desk, context, extra)?;
    }
    for ended in ours.iter().filter(|it| !took_money(it) && !is_open(it)) {
        tell_of_a_stranger(desk, context, ended);
    }
    let open = || ours.iter().copied().find(|it| is_open(it));
    if let Some(live) = counts.or_else(open) {
        return adopt(desk, context, id, live);
    }
    let Some(attempt) = desk.attempt(id) else { return Ok(()) };
    let own = ours.iter().copied().find(|it| it.attempt_n == Some(attempt.n) || owner_of(desk, it).is_none());
    if let Some(own) = own {
        return if attempt.state.is_live() { answer::seen(desk, context, id, own, false) } else { Ok(()) };
    }
    if stale {
        return Ok(());
    }
    match attempt.state {
        AttemptState::Created => send::due(desk, context, id, true),
        AttemptState::Sending => {
            still_unknown(desk, context, id, "no payment is listed yet".to_owned())?;
            absent(desk, context, id, witness)
        }
        AttemptState::Unknown => absent(desk, context, id, witness),
        _ => Ok(()),
    }
}

/// The attempt that a payment belongs to: the one that knows its id, else the one whose number it carries.
fn owner_of(desk: &Desk, payment: &Payment) -> Option<i64> {
    let attempts = &desk.charge.attempts;
    let by_id = attempts.iter().find(|it| it.payment_id.as_deref() == Some(&payment.id));
    by_id.or_else(|| attempts.iter().find(|it| Some(it.n) == payment.attempt_n)).map(|it| it.id)
}

pub(in crate::engine) fn took_money(payment: &Payment) -> bool {
    matches!(
        payment.status,
        PaymentStatus::Captured
            | PaymentStatus::PartiallyCaptured
            | PaymentStatus::PartiallyRefunded
            | PaymentStatus::Refunded
    )
}

pub(in crate::engine) fn is_open(payment: &Payment) -> bool {
    payment.retry_scheduled
        || matches!(
            payment.status,
            PaymentStatus::Pending
                | PaymentStatus::Authorized
                | PaymentStatus::RetryScheduled
                | PaymentStatus::Other(_)
        )
}

/// A payment of this period is alive, whatever attempt made it: it is the one, and no other attempt goes on beside it.
pub(super) fn adopt(
    desk: &mut Desk,
    context: &mut Context<'_>,
    id: i64,
    payment: &Payment,
) -> Result<(), IllegalEvent> {
    let wrong = differences(payment, &desk.expected());
    if !wrong.is_empty() {
        return answer::mismatch(desk, context, id, payment, &wrong);
    }
    tell_of_a_stranger(desk, context, payment);
    let closed = |desk: &Desk, it: i64| {
        desk.attempt(it).is_none_or(|it| matches!(it.state, AttemptState::Superseded | AttemptState::Withdrawn))
    };
    let owner = owner_of(desk, payment).filter(|owner| !closed(desk, *owner)).unwrap_or(id);
    // Money that was taken is the owner's, and settles what becomes of the attempts beside it.
    if owner == id || !is_open(payment) || desk.attempt(owner).is_some_and(|it| it.state.is_live()) {
        return answer::seen(desk, context, owner, payment, false);
    }
    match desk.attempt(id).map(|it| it.state) {
        // Ours was never sent: it follows the payment that is there.
        Some(AttemptState::Created) => answer::seen(desk, context, id, payment, false),
        Some(AttemptState::Sending | AttemptState::Unknown) => beside(desk, context, id, payment),
        _ => Ok(()),
    }
}

/// A payment of which the books know no send shows that they are not the latest, whatever became of it.
fn tell_of_a_stranger(desk: &mut Desk, context: &Context<'_>, payment: &Payment) {
    if is_stranger(desk, context, payment) {
        let expected = context.standing.acknowledged_until.is_some_and(|until| desk.charge.due_at < until);
        desk.stranger(&payment.id, expected);
    }
}

/// Whether the books know of no send that could have made this payment: they may have been set back in time, or another ledger charges
/// the same periods.
fn is_stranger(desk: &Desk, context: &Context<'_>, payment: &Payment) -> bool {
    let other = payment.ledger.as_ref().is_some_and(|ledger| *ledger != context.rules.ledger.to_string());
    let known = desk.charge.attempts.iter().any(|it| {
        it.payment_id.as_ref() == Some(&payment.id) || it.sends > 0 && payment.attempt_n.is_none_or(|n| n == it.n)
    });
    other || !known
}

/// The payment of an attempt that had ended is open at the gateway, and ours beside it may have been sent: two may take money. A
/// person is asked, nothing more is sent, and the look-ups by reference go on, for they show both.
fn beside(desk: &mut Desk, context: &mut Context<'_>, id: i64, payment: &Payment) -> Result<(), IllegalEvent> {
    if desk.attempt(id).is_some_and(|it| it.state == AttemptState::Sending) {
        desk.move_attempt(id, AttemptEvent::Lose, Some(format!("{} is open", payment.id)), context.now)?;
    }
    let next_at = context.now + delta(context.rules.polls.within_alert);
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.unknown_since.get_or_insert(context.now);
        attempt.next_at = Some(next_at);
        attempt.lease_until = Some(context.now);
    }
    if desk.charge.state.is_open() && desk.charge.state != ChargeState::InReview {
        desk.move_charge(ChargeEvent::Review, Some(ReviewReason::Double.as_str()))?;
    }
    answer::double(desk, context, payment)
}

/// A whole look-up shows no payment of an attempt that may have been sent.
fn absent(desk: &mut Desk, context: &mut Context<'_>, id: i64, witness: Option<bool>) -> Result<(), IllegalEvent> {
    let now = context.now;
    let protocol = context.rules.protocol.clone();
    let Some(attempt) = desk.attempt_mut(id) else { return Ok(()) };
    attempt.looks += 1;
    attempt.lease_until = Some(now);
    let since = (*attempt.unknown_since.get_or_insert(now)).max(context.stepped_at.unwrap_or(Instant::MIN_UTC));
    let first_sent_at = attempt.first_sent_at.unwrap_or(attempt.created_at);
    let watch = delta(if attempt.server_error {
        protocol.settle_wait_after_server_error.max(protocol.settle_wait)
    } else {
        protocol.settle_wait
    });
    // It was looked for after this lease was taken, so what is recorded late watches no longer than what is recorded at once.
    let looked_at = now.min(attempt.leased_until - delta(protocol.lease));
    let age = looked_at - since;
    if age < watch {
        attempt.next_at = Some(next_look_up(&protocol.lookup_after, since, age, watch));
        return Ok(());
    }
    let key_age = now - first_sent_at;
    let life = delta(protocol.key_life);
    let is_usable = send::key_is_usable(context.rules, attempt.sends, first_sent_at, now) && attempt.late_looks == 0;
    let rests_until = send::rests_until(attempt.last_sent_at, context);
    let is_first = attempt.is_first;
    if desk.subscription.state.has_ended() {
        return not_owed(desk, id, now);
    }
    if !is_first && desk.source.as_ref().is_some_and(|source| source.state == SourceState::Revoked) {
        let why = Some("never arrived; its source was revoked".to_owned());
        desk.move_attempt(id, AttemptEvent::FindAbsent, why, now)?;
        return desk.move_charge(ChargeEvent::GiveUp, Some("authorisation_gone"));
    }
    let Some(attempt) = desk.attempt_mut(id) else { return Ok(()) };
    if let (Some(until), true) = (rests_until, key_age < life) {
        attempt.next_at = Some(until);
        return Ok(());
    }
    if protocol.resend == Resend::SameKey && is_usable {
        return send::clear(desk, context, id);
    }
    let Some(attempt) = desk.attempt_mut(id) else { return Ok(()) };
    if key_age < life {
        attempt.next_at = Some(first_sent_at + life);
        return Ok(());
    }
    attempt.late_looks += 1;
    let wants_witness = protocol.auto_after_window && witness != Some(true);
    if attempt.late_looks <= LATE_LOOKS || (wants_witness && attempt.late_looks < 2 * LATE_LOOKS) {
        attempt.next_at = Some(now + delta(protocol.lookup_past_life));
        return Ok(());
    }
    // A first payment has no source that another attempt could charge: its customer has to be asked again.
    if protocol.auto_after_window && witness == Some(true) && !is_first {
        return next_attempt(desk, context, id);
    }
    unresolved(desk, context, id)
}

/// The next look-up of an outcome unknown since `since`: by the schedule, at the latest when absence may be believed.
fn next_look_up(schedule: &[std::time::Duration], since: Instant, age: TimeDelta, watch: TimeDelta) -> Instant {
    let next = schedule.iter().map(|after| delta(*after)).find(|after| *after > age);
    since + next.unwrap_or(watch).min(watch)
}

/// It never arrived, and nobody owes it any more.
fn not_owed(desk: &mut Desk, id: i64, now: Instant) -> Result<(), IllegalEvent> {
    desk.move_attempt(id, AttemptEvent::FindAbsent, Some("never arrived; the subscription has ended".to_owned()), now)?;
    desk.move_charge(ChargeEvent::Void, Some("canceled"))
}

/// Proven absent past its key's life: the dunning case opens the next attempt, without a step spent.
fn next_attempt(desk: &mut Desk, context: &mut Context<'_>, id: i64) -> Result<(), IllegalEvent> {
    let now = context.now;
    let pinned = desk.charge.case.as_ref().map(|case| case.policy_id);
    let Some((policy_id, _)) = context.rules.policy(pinned, &desk.charge.dunning) else {
        return unresolved(desk, context, id);
    };
    desk.move_attempt(id, AttemptEvent::FindAbsent, Some("never arrived; its key is over".to_owned()), now)?;
    // The reason tells `dun` that this retry spends no step: the trouble was not the customer's.
    desk.move_charge(ChargeEvent::Retry, Some(ABSENT))?;
    answer::open_case(desk, policy_id, now).next_step_at = Some(now);
    Ok(())
}

/// Nothing proves anything any more: a person decides, while the daily look-ups go on.
fn unresolved(desk: &mut Desk, context: &mut Context<'_>, id: i64) -> Result<(), IllegalEvent> {
    let in_review = delta(context.rules.polls.in_review);
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.next_at = Some(context.now + in_review);
    }
    if matches!(desk.charge.state, ChargeState::Collecting | ChargeState::Due | ChargeState::Retrying) {
        desk.move_charge(ChargeEvent::Review, Some(ReviewReason::Unresolved.as_str()))?;
    }
    let subject = desk.charge.public_id.clone();
    let evidence = format!("no look-up shows a payment of {}, and its key is over", desk.charge.reference);
    desk.review(context, ReviewReason::Unresolved, subject, None, evidence);
    Ok(())
}
