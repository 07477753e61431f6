//! A first payment: the source that it names, and what becomes of the subscription that waits for it.

use crate::domain::attempt::AttemptState;
use crate::domain::charge::{ChargeEvent, ChargeState};
use crate::domain::dunning::DeclineClass;
use crate::domain::review::ReviewReason;
use crate::domain::source::{SourceEvent, SourceState};
use crate::domain::subscription::{SubscriptionEvent, SubscriptionState};
use crate::domain::word::IllegalEvent;
use crate::engine::desk::{Context, Desk};
use crate::gateway::outcome::Payment;
use crate::store::changes::NewSource;

/// The money was taken: the subscription begins, unless its customer has begun another since it expired.
pub(super) fn paid(desk: &mut Desk, context: &mut Context<'_>, payment: &Payment) -> Result<(), IllegalEvent> {
    if let Some(newer) = newer(desk, context) {
        let evidence = format!(
            "{} was captured after its subscription had expired unpaid, and {newer:?} of this customer and plan was begun since: \
             this one stays as it is, and is not charged",
            payment.id
        );
        desk.review(context, ReviewReason::CapturedAfterVoid, payment.id.clone(), Some(&payment.id), evidence);
        return Ok(());
    }
    match (&desk.source, &payment.source_id) {
        (Some(_), _) => desk.move_source(SourceEvent::Confirm)?,
        (None, Some(source)) => name_source(desk, source, SourceState::Active),
        (None, None) if desk.notes.new_source.is_some() => {}
        (None, None) => {
            let evidence = format!("{} was captured, and no answer named its source", payment.id);
            desk.review(context, ReviewReason::SourceUnknown, payment.id.clone(), Some(&payment.id), evidence);
            return Ok(());
        }
    }
    desk.move_subscription(SubscriptionEvent::Activate)
}

/// A first payment came to nothing: its customer has to be asked again.
pub(super) fn first_payment_failed(desk: &mut Desk, class: DeclineClass) -> Result<(), IllegalEvent> {
    desk.move_charge(ChargeEvent::GiveUp, Some(class.as_str()))?;
    if desk.source.as_ref().is_some_and(|source| source.state == SourceState::Provisional) {
        desk.move_source(SourceEvent::Fail)?;
    }
    if desk.subscription.state == SubscriptionState::Incomplete {
        desk.move_subscription(SubscriptionEvent::LetPass)?;
    }
    Ok(())
}

/// A first payment's source stands in the answer to its POST alone. Where that answer was lost, the same key is sent again: the
/// gateway repeats what it said. Past the key's life, or after a server error, it could make another payment, so it is not.
pub(super) fn learn_source(
    desk: &mut Desk,
    context: &mut Context<'_>,
    id: i64,
    payment: &Payment,
) -> Result<(), IllegalEvent> {
    let follows =
        desk.attempt(id).is_some_and(|it| it.is_first && (it.state.is_live() || it.state == AttemptState::Captured));
    if !follows || !desk.wants_source() {
        return Ok(());
    }
    let paid = desk.charge.state == ChargeState::Paid;
    match &payment.source_id {
        // A person is asked whether it goes on beside the newer one.
        Some(_) if paid && newer(desk, context).is_some() => Ok(()),
        Some(source) if paid => {
            name_source(desk, source, SourceState::Active);
            desk.notes.answered = true;
            desk.move_subscription(SubscriptionEvent::Activate)
        }
        Some(source) => {
            name_source(desk, source, SourceState::Provisional);
            Ok(())
        }
        None => {
            super::send::replay(desk, context, id);
            Ok(())
        }
    }
}

/// The request of a pending first payment is no longer the one that was frozen: its key cannot be sent again, and nothing else names its
/// source. A person is told now, for the customer may still approve it.
pub(super) fn end_replays(desk: &mut Desk, context: &mut Context<'_>, id: i64) {
    let Some(attempt) = desk.attempt_mut(id) else { return };
    // As after a server error, the key is not sent again to hear an answer.
    attempt.server_error = true;
    let Some(payment_id) = attempt.payment_id.clone() else { return };
    if !desk.wants_source() {
        return;
    }
    let evidence = format!(
        "the answer that named the source of {payment_id} was lost, and its request no longer has the digest it was frozen with: it cannot \
         be sent again to hear it. Once the customer approves it, the money is taken and no source is known"
    );
    desk.review(context, ReviewReason::SourceUnknown, payment_id.clone(), Some(&payment_id), evidence);
}

/// Whether it is the first payment of a subscription that was canceled: what its customer approved afterwards buys nothing. A later
/// payment that was on its way is for a period that had begun.
pub(super) fn canceled_unpaid(desk: &Desk, id: i64) -> bool {
    let ended = match desk.subscription.state {
        SubscriptionState::Canceled | SubscriptionState::Completed => true,
        SubscriptionState::Incomplete
        | SubscriptionState::IncompleteExpired
        | SubscriptionState::Trialing
        | SubscriptionState::Active
        | SubscriptionState::PastDue
        | SubscriptionState::Unpaid
        | SubscriptionState::Paused => false,
    };
    ended && desk.attempt(id).is_some_and(|attempt| attempt.is_first)
}

/// What the customer has begun since this subscription expired unpaid.
fn newer(desk: &Desk, context: &Context<'_>) -> Option<String> {
    let expired = desk.subscription.state == SubscriptionState::IncompleteExpired;
    context.newer.get(&desk.subscription.id).filter(|_| expired).cloned()
}

fn name_source(desk: &mut Desk, gateway_source_id: &str, state: SourceState) {
    desk.notes.new_source = Some(NewSource {
        subscription_id: desk.subscription.id,
        gateway_source_id: gateway_source_id.to_owned(),
        state,
    });
}
