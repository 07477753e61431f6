//! From what was seen to what follows: pure, on the desk, one observation at a time. The table of what an exchange proves stands in
//! `gateway::outcome`; here stands what dues does about it.

mod answer;
mod asked;
mod audit;
mod first;
mod send;
#[cfg(test)]
mod tables;
mod unknown;

pub(super) use asked::{ASKED, asked, cancel_it};
pub use asked::{Ask, Refusal};
pub(super) use send::{AFTER_NOT_YET, key_is_usable, rest_of_a_key};
pub(super) use unknown::{ABSENT, is_open, took_money};

use chrono::TimeDelta;

use crate::domain::attempt::{AttemptEvent, AttemptState};
use crate::domain::charge::{ChargeEvent, ChargeState};
use crate::domain::review::ReviewReason;
use crate::domain::word::IllegalEvent;
use crate::engine::desk::{Context, Desk};
use crate::engine::observation::{Observation, Seen};
use crate::engine::rules::delta;
use crate::gateway::outcome::{LookOutcome, LookUpOutcome, PostOutcome};

/// How long an attempt that was refused for our own fault, or not sent, waits at the least. The circuit holds back the rest.
const AFTER_UNSENT: TimeDelta = TimeDelta::seconds(5);
/// How long a look waits that the gateway's rate limit refused.
const AFTER_RATE_LIMIT: TimeDelta = TimeDelta::seconds(2);

/// Decides over one observation.
///
/// # Errors
/// [`IllegalEvent`] where a machine knows no such step: the desk is then thrown away and the fault shown.
pub(super) fn decide(desk: &mut Desk, context: &mut Context<'_>, seen: &Observation) -> Result<(), IllegalEvent> {
    let id = seen.attempt_id;
    send::distrust_a_key_of_the_future(desk, context, id);
    let Some(attempt) = desk.attempt(id) else { return Ok(()) };
    let (state, stale) = (attempt.state, attempt.epoch != seen.epoch);
    match &seen.seen {
        Seen::Due if stale || state != AttemptState::Created => Ok(()),
        Seen::Due => send::due(desk, context, id, false),

        // A payment that exists is a fact, whoever saw it and however late.
        Seen::Posted(PostOutcome::Answered(payment)) => answer::seen(desk, context, id, payment, false),
        Seen::Posted(PostOutcome::AnsweredWrong { payment, differences }) => {
            answer::mismatch(desk, context, id, payment, differences)
        }
        Seen::Posted(_) if stale || state != AttemptState::Sending => Ok(()),
        Seen::Posted(PostOutcome::Rejected { status, error_codes, .. }) => {
            rejected(desk, context, id, *status, error_codes)
        }
        Seen::Posted(PostOutcome::OurFault { status, .. }) => {
            give_back(desk, context, id, format!("refused with HTTP {status}"))
        }
        Seen::Posted(PostOutcome::Unsent { reason, .. }) => give_back(desk, context, id, reason.to_string()),
        Seen::Posted(PostOutcome::Unknown { reason, server_error, .. }) => {
            unknown::lose(desk, context, id, *server_error, reason.to_string())
        }
        // A key that was sent again only to hear what its lost answer said. That the books give another request is true whoever saw it.
        Seen::BodyChanged if state == AttemptState::Pending => {
            first::end_replays(desk, context, id);
            Ok(())
        }
        Seen::BodyChanged if stale || state != AttemptState::Sending => Ok(()),
        Seen::BodyChanged => body_changed(desk, context, id),

        Seen::Looked(LookOutcome::Seen(payment)) => answer::seen(desk, context, id, payment, true),
        Seen::Looked(_) if stale => Ok(()),
        Seen::Looked(LookOutcome::NotFound) => answer::not_found(desk, context, id),
        Seen::Looked(LookOutcome::RateLimited) | Seen::LookedUp { outcome: LookUpOutcome::RateLimited, .. } => {
            look_again(desk, context, id, AFTER_RATE_LIMIT);
            Ok(())
        }
        Seen::Looked(_) => no_conclusion(desk, context, id),

        Seen::Audited(LookUpOutcome::Listed(payments)) => audit::audited(desk, context, id, payments),
        Seen::Audited(_) => Ok(()),

        Seen::LookedUp { outcome: LookUpOutcome::Listed(payments), witness } => {
            // What was not there long ago may be there now: absence is recorded within its lease, or looked for again.
            let stale = stale || attempt.leased_until <= context.now;
            unknown::listed(desk, context, id, payments, *witness, stale)
        }
        Seen::LookedUp { .. } if stale => Ok(()),
        Seen::LookedUp { .. } => no_conclusion(desk, context, id),
    }
}

/// The gateway was asked and said nothing that can be used. That is nobody's fault and changes nothing, but a look that never
/// concludes must not go on in silence.
fn no_conclusion(desk: &mut Desk, context: &mut Context<'_>, id: i64) -> Result<(), IllegalEvent> {
    let Some(attempt) = desk.attempt(id) else { return Ok(()) };
    let (state, payment_id) = (attempt.state, attempt.payment_id.clone());
    let age = attempt.first_sent_at.map_or(TimeDelta::zero(), |sent| context.now - sent);
    let polls = &context.rules.polls;
    let (alert_after, review_after, in_review) =
        (delta(polls.alert_after), delta(polls.review_after), delta(polls.in_review));
    if !state.is_on_the_wire() || age < review_after {
        if state.is_on_the_wire() && age >= alert_after {
            desk.warn(format!("no look at attempt {id} concludes for {} hours", age.num_hours()));
        }
        look_again(desk, context, id, delta(context.rules.protocol.look_again));
        return Ok(());
    }
    look_again(desk, context, id, in_review);
    let reason = if state == AttemptState::Pending { ReviewReason::PendingTooLong } else { ReviewReason::Unresolved };
    if desk.charge.state.is_open() && desk.charge.state != ChargeState::InReview {
        desk.move_charge(ChargeEvent::Review, Some(reason.as_str()))?;
    }
    let subject = payment_id.clone().unwrap_or_else(|| desk.charge.public_id.clone());
    let evidence = format!("no look at the gateway has given a conclusion for {} hours", age.num_hours());
    desk.review(context, reason, subject, payment_id.as_deref(), evidence);
    Ok(())
}

/// No conclusion: the same look again, later.
fn look_again(desk: &mut Desk, context: &Context<'_>, id: i64, wait: TimeDelta) {
    if let Some(attempt) = desk.attempt_mut(id)
        && attempt.state.is_live()
    {
        attempt.next_at = Some(context.now + wait);
        attempt.lease_until = Some(context.now);
    }
}

/// Proven not sent, or not taken: the send is given back. But only the first send can be: behind a second one stands a first
/// whose outcome nobody knows.
fn give_back(desk: &mut Desk, context: &mut Context<'_>, id: i64, why: String) -> Result<(), IllegalEvent> {
    let now = context.now;
    let Some(attempt) = desk.attempt_mut(id) else { return Ok(()) };
    attempt.sends -= 1;
    let (first_send, retry) = (attempt.sends == 0, attempt.n > 1);
    if !first_send {
        return unknown::still_unknown(desk, context, id, why);
    }
    attempt.first_sent_at = None;
    attempt.last_sent_at = None;
    if attempt.n == 1 && !attempt.is_first {
        context.standing.gives_back(&desk.charge.amount);
    }
    desk.move_attempt(id, AttemptEvent::GiveBack, Some(why), now)?;
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.next_at = Some(now + AFTER_UNSENT);
    }
    let event = if retry { ChargeEvent::GiveBackRetry } else { ChargeEvent::GiveBackFirst };
    desk.move_charge(event, None)
}

/// Refused, certainly not charged by this send, and it would be refused again. A refusal of a second send proves nothing of the
/// first.
fn rejected(
    desk: &mut Desk,
    context: &Context<'_>,
    id: i64,
    status: u16,
    error_codes: &[String],
) -> Result<(), IllegalEvent> {
    let why = match error_codes {
        [] => format!("HTTP {status} and no error code"),
        codes => format!("HTTP {status} {}", codes.join(" ")),
    };
    if desk.attempt(id).is_some_and(|attempt| attempt.sends > 1) {
        return unknown::still_unknown(desk, context, id, why);
    }
    desk.move_attempt(id, AttemptEvent::Reject, Some(why.clone()), context.now)?;
    desk.move_charge(ChargeEvent::Review, Some(ReviewReason::Rejected.as_str()))?;
    let subject = desk.charge.public_id.clone();
    let evidence = format!("the gateway refused the payment {} with {why}", desk.charge.reference);
    desk.review(context, ReviewReason::Rejected, subject, None, evidence);
    Ok(())
}

/// The books give another request than the one that was frozen: it was not sent, and never is.
fn body_changed(desk: &mut Desk, context: &mut Context<'_>, id: i64) -> Result<(), IllegalEvent> {
    give_back(desk, context, id, "the stored request changed".to_owned())?;
    if let Some(attempt) = desk.attempt_mut(id) {
        attempt.next_at = Some(context.now + delta(context.rules.polls.in_review));
    }
    desk.move_charge(ChargeEvent::Review, Some(ReviewReason::BodyChanged.as_str()))?;
    let subject = desk.charge.public_id.clone();
    let evidence = format!("the request of {} no longer has the digest it was frozen with", desk.charge.reference);
    desk.review(context, ReviewReason::BodyChanged, subject, None, evidence);
    Ok(())
}
