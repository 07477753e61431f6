//! Step 10 of the protocol: what the gateway has under a period's reference, long after, against what the books say of it.

use chrono::TimeDelta;

use super::unknown::{adopt, is_open, took_money};
use super::{answer, answer::keep};
use crate::domain::review::ReviewReason;
use crate::domain::word::IllegalEvent;
use crate::engine::desk::{Context, Desk};
use crate::gateway::outcome::Payment;

/// The gateway's sandbox keeps payments for 30 days: an empty list says nothing of what is older.
const KEPT_AT_LEAST: TimeDelta = TimeDelta::days(29);

/// A whole look-up came back for a charge of which `id` is the last attempt.
pub(super) fn audited(
    desk: &mut Desk,
    context: &mut Context<'_>,
    id: i64,
    payments: &[Payment],
) -> Result<(), IllegalEvent> {
    let ours: Vec<&Payment> =
        payments.iter().filter(|it| it.reference.as_deref().is_none_or(|it| it == desk.charge.reference)).collect();
    for payment in &ours {
        keep(desk, id_of(desk, id, payment), payment, None);
    }
    let took: Vec<&Payment> = ours.iter().copied().filter(|it| took_money(it)).collect();
    let counts = took.iter().find(|it| desk.charge.paid_by.as_ref() == Some(&it.id)).or(took.last()).copied();
    for extra in took.iter().filter(|it| counts.is_some_and(|counts| counts.id != it.id)) {
        answer::double(desk, context, extra)?;
    }
    if let Some(paid_by) = desk.charge.paid_by.clone() {
        let forgotten = payments.is_empty() && context.now - desk.charge.due_at > KEPT_AT_LEAST;
        if !forgotten && !took.iter().any(|it| it.id == paid_by) {
            let evidence =
                format!("{paid_by} was captured, and the gateway no longer lists it as money that was taken");
            desk.review(context, ReviewReason::Mismatch, paid_by.clone(), Some(&paid_by), evidence);
        }
        return Ok(());
    }
    // A live attempt is followed by its own looks; what they do not know of is a double, and told above.
    if desk.charge.attempts.iter().any(|it| it.state.is_live()) {
        return Ok(());
    }
    if let Some(taken) = counts {
        return adopt(desk, context, id, taken);
    }
    if let Some(open) = ours.iter().find(|it| is_open(it)) {
        let evidence = format!("{} is open at the gateway although every attempt has ended here", open.id);
        desk.review(context, ReviewReason::Mismatch, open.id.clone(), Some(&open.id), evidence);
    }
    Ok(())
}

/// The attempt that knows a payment, else the last one.
fn id_of(desk: &Desk, last: i64, payment: &Payment) -> i64 {
    let knows = |it: &&crate::engine::desk::Attempt| {
        it.payment_id.as_ref() == Some(&payment.id) || payment.attempt_n == Some(it.n)
    };
    desk.charge.attempts.iter().find(knows).map_or(last, |it| it.id)
}
